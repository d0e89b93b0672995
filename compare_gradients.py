"""Runs the same weights and batches through JAX and PyTorch and compares the gradients.

    python compare_gradients.py                       # RePOSE at full size, random weights
    python compare_gradients.py --config FILE --checkpoint runs/repose --output gradients/
    python compare_gradients.py --torch-root CHECKOUT --torch-losses lib.model.loss

Prints tables and writes gradients.json and gradients.html, which docs/pytorch.md explains.  Exit
status: 0 the frameworks agree, 1 past tolerance, 2 unusable input.  Needs `jrepose[compare]`.
"""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Sequence

from absl import flags

from jrepose.command import run

CONFIG = pathlib.Path(__file__).resolve().parent / "configs" / "compare_gradients.py"


def main(argv: Sequence[str]) -> int:
    """Compares, prints, writes."""
    from jrepose.config import parse_flags
    from jrepose.data.sources import load_splits
    from jrepose.drawing import load_matplotlib
    from jrepose.interop.gradients import table
    from jrepose.interop.gradients.both_sides import Options, compare_gradients
    from jrepose.interop.gradients.json_and_html import write_report
    from jrepose.interop.gradients.page import load_jinja
    from jrepose.interop.gradients.pictures import write_pictures
    from jrepose.precision import multiply_float32_in_full

    values = flags.FlagValues()
    text, default = {"flag_values": values}, Options()
    flags.DEFINE_string("checkpoint", None, "Workdir of a run, one checkpoint of it, or a PyTorch "
                        "file (weights as training begins with).", **text)  # fmt: skip
    flags.DEFINE_string(
        "output", "runs/gradients", "Folder for the JSON and the HTML page.", **text
    )
    flags.DEFINE_string("torch-root", None, "Checkout of official code, which is run (our own "
                        "rendition of RePOSE).", **text)  # fmt: skip
    flags.DEFINE_string("torch-class", default.torch_class, "MODULE:CLASS in the checkout.", **text)
    flags.DEFINE_string("torch-losses", None, "Module in the checkout, such as lib.model.loss "
                        "(our own rendition).", **text)  # fmt: skip
    flags.DEFINE_list("precisions", list(default.precisions), "Which to compare.", **text)
    flags.DEFINE_bool("reference", True, "Compute the gradient in float64, too.", **text)
    flags.DEFINE_integer("steps", None, "Steps of training, 0 for none (10, or 4 where they are "
                         "long).", **text)  # fmt: skip
    flags.DEFINE_float("tolerance", default.tolerance, "Largest relative error in float32.", **text)
    flags.DEFINE_bool("pictures", False, "Write the page's plots as PNG files, too.", **text)
    named = any(argument.split("=")[0] in ("--config", "-config") for argument in argv)
    config = parse_flags(values, [*argv] if named else [argv[0], f"--config={CONFIG}", *argv[1:]])

    for load in (load_matplotlib, load_jinja):
        load()  # its absence is better found now than after minutes
    multiply_float32_in_full()
    options = Options(
        checkpoint=values["checkpoint"].value,
        torch_root=values["torch-root"].value,
        torch_class=values["torch-class"].value,
        torch_losses=values["torch-losses"].value,
        precisions=tuple(values["precisions"].value),
        reference=values["reference"].value,
        steps=values["steps"].value,
        tolerance=values["tolerance"].value,
    )
    dataset = load_splits(config.data, ("train",))["train"]
    found = compare_gradients(config, options, dataset)
    print(table.summary(found))
    output = values["output"].value
    paths = write_report(found, output, shlex.join(["python", *argv]))
    if values["pictures"].value:
        paths += write_pictures(found, output)
    for path in paths:
        print(f"wrote {path}")
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(run(main, sys.argv))
