"""Evaluates a checkpoint: tables, JSON, CSV, predictions, pictures.

A run says itself what it was trained on and how it is to be evaluated; `--config` takes another
config instead, `--config.FIELD=VALUE` changes one field.

examples:
  jrepose evaluate --checkpoint runs/repose
  jrepose evaluate --checkpoint best_epoch.bin --config repose_h36m --config.data.path=FILE
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.commands import from_checkpoint
from jrepose.config_fields import main_fields


def evaluate(argv: Sequence[str]) -> int:
    """Evaluates a checkpoint: table, JSON, CSV, predictions, pictures."""
    fields = main_fields("data", "evaluation", "published")
    line = CommandLine(argv, __doc__, config="[--config CONFIG]", fields=fields)
    from_checkpoint.define_flags(line)
    line.text("output", None, "Folder for the results (CHECKPOINT/evaluation/SPLIT).", value="DIR")
    line.show_help()

    import jax

    from jrepose import tasks
    from jrepose.evaluation.evaluate import evaluate_dataset
    from jrepose.evaluation.report import summary, write_report

    chosen = from_checkpoint.load(line)
    result = evaluate_dataset(
        tasks.create(chosen.config, chosen.dataset),
        jax.device_put(chosen.variables),
        chosen.dataset,
        chosen.config,
        progress=True,
    )
    result = dataclasses.replace(result, settings={**chosen.origin, **result.settings})
    print(summary(result, chosen.dataset))
    output = line["output"] or chosen.folder / "evaluation" / line["split"]
    for written in write_report(result, chosen.dataset, output):
        print(f"wrote {written}")
    return 0
