"""Runs the same weights and batches through JAX and PyTorch and compares the gradients.

Prints tables and writes gradients.json and gradients.html, which docs/pytorch.md explains.  Exit
status: 0 the frameworks agree, 1 past tolerance, 2 unusable input.  Needs the extra `compare`.
Without --config RePOSE at full size, with random weights.

examples:
  jrepose compare-gradients
  jrepose compare-gradients --config repose_h36m --checkpoint runs/repose --output gradients/
  jrepose compare-gradients --torch-root CHECKOUT --torch-losses lib.model.loss
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.config_fields import main_fields

CONFIG = "compare_gradients"
"""The config where no other is named."""


def compare_gradients(argv: Sequence[str]) -> int:
    """Compares, prints, writes."""
    line = CommandLine(
        argv, __doc__, config="[--config CONFIG]", fields=main_fields("clip", "model", "objective")
    )
    line.text(
        "checkpoint", None,
        "Workdir of a run, one checkpoint of it, or a PyTorch file (weights as training begins "
        "with).", value="PATH",
    )  # fmt: skip
    line.text("output", "runs/gradients", "Folder for the JSON and the HTML page.", value="DIR")
    line.text(
        "torch-root", None,
        "Checkout of official code, which is run (our own rendition of RePOSE).", value="DIR",
    )  # fmt: skip
    line.text(
        "torch-class", "lib.model.RePOSE:RePOSE", "The network in the checkout.",
        value="MODULE:CLASS",
    )  # fmt: skip
    line.text(
        "torch-losses", None,
        "Module in the checkout, such as lib.model.loss (our own rendition).", value="MODULE",
    )  # fmt: skip
    line.texts("precisions", ["float32", "tf32", "bfloat16"], "Which to compare.")
    line.switch("reference", True, "Compute the gradient in float64, too.")
    line.whole("steps", None, "Steps of training, 0 for none (10, or 4 where they are long).")
    line.number("tolerance", 1e-4, "Largest relative error in float32.")
    line.switch("pictures", False, "Write the page's plots as PNG files, too.")
    line.show_help()

    from jrepose.config import load_config, parse_flags
    from jrepose.data.sources import load_splits
    from jrepose.drawing import load_matplotlib
    from jrepose.interop.gradients import table
    from jrepose.interop.gradients.both_sides import Options
    from jrepose.interop.gradients.both_sides import compare_gradients as compare
    from jrepose.interop.gradients.json_and_html import write_report
    from jrepose.interop.gradients.page import load_jinja
    from jrepose.interop.gradients.pictures import write_pictures
    from jrepose.precision import multiply_float32_in_full

    config = parse_flags(line.flags, argv, lambda: load_config(CONFIG))
    for extra in (load_matplotlib, load_jinja):
        extra()  # its absence is better found now than after minutes
    multiply_float32_in_full()
    options = Options(
        checkpoint=line["checkpoint"],
        torch_root=line["torch-root"],
        torch_class=line["torch-class"],
        torch_losses=line["torch-losses"],
        precisions=tuple(line["precisions"]),
        reference=line["reference"],
        steps=line["steps"],
        tolerance=line["tolerance"],
    )
    dataset = load_splits(config.data, ("train",))["train"]
    found = compare(config, options, dataset)
    print(table.summary(found))
    program = f"python {argv[0]}" if argv[0].endswith(".py") else argv[0]
    paths = write_report(found, line["output"], f"{program} {shlex.join(argv[1:])}".strip())
    if line["pictures"]:
        paths += write_pictures(found, line["output"])
    for path in paths:
        print(f"wrote {path}")
    return 1 if found.complaints else 0
