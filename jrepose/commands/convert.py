"""Makes a checkpoint of a PyTorch file, or a PyTorch file of a checkpoint.

The first gives a checkpoint that `jrepose evaluate --checkpoint` and `jrepose train --init` take,
the second a file that PyTorch loads with `strict=True`.  Neither needs PyTorch.

examples:
  jrepose convert --model repose best_epoch.bin converted/
  jrepose convert --model repose runs/repose best_epoch.bin
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Sequence
from typing import Any

from jrepose.command import CommandLine
from jrepose.errors import InputError


def convert(argv: Sequence[str]) -> int:
    """Converts in the direction that the source tells."""
    line = CommandLine(
        argv,
        __doc__,
        arguments={
            "SOURCE": "PyTorch file, or checkpoint or workdir.",
            "TARGET": "Folder, or PyTorch file, to write.",
        },
    )
    line.text("model", None, "Name of the model.", value="NAME")
    line.text("entry", None, "Which weights of the file; where to put them in it.", value="KEY")
    line.each(
        "set", [], "Hyperparameter that the shapes do not tell, num_heads=4; may be repeated.",
        value="NAME=VALUE",
    )  # fmt: skip
    line.choice("which", "best", "Which checkpoint of a workdir.", ["best", "latest"])
    line.switch("data-parallel", False, "Write keys for torch.nn.DataParallel.")
    source, target = map(pathlib.Path, line.parse())
    hyperparameters = dict(_setting(text) for text in line["set"])
    if line["model"] is None:
        raise InputError("--model NAME is missing (see --help)")

    from jrepose import models
    from jrepose.interop.convert import export_checkpoint, import_checkpoint

    models.hyperparameters(line["model"])  # refuses an unknown one
    unread = [name for name in ("which", "data-parallel") if line.flags[name].present]
    if unread and source.is_file():
        raise InputError(f"--{unread[0]} is for a checkpoint, and {source} is a PyTorch file")
    if source.is_dir():
        print(
            export_checkpoint(
                source, target, line["model"], which=line["which"], entry=line["entry"],
                data_parallel=line["data-parallel"], hyperparameters=hyperparameters,
            )
        )  # fmt: skip
    else:
        print(
            import_checkpoint(
                source, target, line["model"], entry=line["entry"],
                hyperparameters=hyperparameters,
            )
        )  # fmt: skip
    return 0


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name == "name":
        raise InputError(f"--set is {text!r}; expected a hyperparameter, --model is the name")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise InputError(f"--set is {text!r}, expected NAME=VALUE") from None
