"""Evaluates a checkpoint: tables, JSON, CSV, predictions, pictures.

A run says itself what it was trained on and how it is to be evaluated; `--config` takes another
config instead, `--config.FIELD=VALUE` changes one field.

Keypoints without poses are predicted and not scored: `predictions.npz` has the poses.

examples:
  jrepose evaluate --checkpoint runs/repose
  jrepose evaluate --checkpoint best_epoch.bin --config repose_h36m --config.data.path=FILE
"""

from __future__ import annotations

import dataclasses
import pathlib
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
    from jrepose.evaluation.evaluate import evaluate_dataset, predict_dataset
    from jrepose.evaluation.report import summary, write_report
    from jrepose.evaluation.tables import write_unscored

    chosen = from_checkpoint.load(line)
    output = line["output"] or chosen.folder / "evaluation" / line["split"]
    arguments = (
        tasks.create(chosen.config, chosen.dataset),
        jax.device_put(chosen.variables),
        chosen.dataset,
        chosen.config,
    )
    if not chosen.dataset.labelled:
        path = pathlib.Path(output) / "predictions.npz"
        write_unscored(predict_dataset(*arguments, progress=True), chosen.dataset, path)
        print(f"no poses to compare with: nothing is scored\nwrote {path}")
        return 0
    result = evaluate_dataset(*arguments, progress=True)
    result = dataclasses.replace(result, settings={**chosen.origin, **result.settings})
    print(summary(result, chosen.dataset))
    for written in write_report(result, chosen.dataset, output):
        print(f"wrote {written}")
    return 0
