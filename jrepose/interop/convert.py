"""Checkpoints from PyTorch and back, as a command.

    python -m jrepose.interop.convert --model repose best_epoch.bin converted/
    python -m jrepose.interop.convert --model repose runs/repose best_epoch.bin

The first writes a checkpoint that `evaluate.py --checkpoint` and `train.py --init` take, the
second a file that PyTorch loads with `strict=True`.  Neither needs PyTorch.
"""

from __future__ import annotations

import argparse
import ast
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jrepose import checkpoints, interop, models
from jrepose.command import run
from jrepose.errors import InputError


def import_checkpoint(
    source: pathlib.Path,
    target: pathlib.Path,
    model_name: str,
    *,
    entry: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
) -> str:
    """Writes an Orbax checkpoint with the weights of a PyTorch file.

    Args:
        source: PyTorch file.
        target: folder to make.
        model_name: name in `jrepose.models`.
        entry: which weights of the file, see `interop.read_state_dict`.
        hyperparameters: what the shapes do not tell, `num_heads` for instance, or tell wrongly.

    Returns:
        One line about what was written.

    Raises:
        InputError: the file cannot be read, the weights do not fit, or the folder is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists; expected a new folder")
    weights = interop.read_state_dict(source, entry)
    chosen = interop.infer_hyperparameters(model_name, weights) | dict(hyperparameters or {})
    variables = interop.from_torch(model_name, weights, **chosen)
    config = {"model": {"name": model_name, **chosen}}
    collections = {name: value for name, value in variables.items() if name != "params"}
    state = {"params": variables["params"], "ema": {}, "collections": collections}
    try:
        writer = checkpoints.CheckpointWriter(target, keep=1, known={})
        writer.save(0, state, config=config, data={}, validation=None, log={})
        writer.close()
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    described = ", ".join(f"{name}={value}" for name, value in chosen.items())
    return f"wrote {target}: {model_name}, {_size(variables)} parameters, {described}"


def export_checkpoint(
    source: pathlib.Path,
    target: pathlib.Path,
    model_name: str,
    *,
    which: str = "best",
    entry: str | None = None,
    data_parallel: bool = False,
) -> str:
    """Writes a PyTorch file with the weights of a checkpoint.

    Args:
        source: workdir of a run or folder of one checkpoint.
        target: file to make; `entry` and `data_parallel` as in `interop.write_state_dict`.
        model_name: name in `jrepose.models`.
        which: `"best"` or `"latest"` checkpoint of a workdir.

    Returns:
        One line about what was written.

    Raises:
        InputError: no checkpoint, one of another model, or the file exists.
    """
    if target.exists():
        raise InputError(f"{target} exists; expected a new file")
    checkpoint = checkpoints.load(source, which)
    hyperparameters = dict(checkpoint.config["model"])
    stored = hyperparameters.pop("name")
    if models.MODELS.get(stored, (None,))[0] is not models.MODELS[model_name][0]:
        raise InputError(f"{source} holds a {stored}, not a {model_name}")
    weights = interop.to_torch(stored, checkpoint.variables, **hyperparameters)
    interop.write_state_dict(weights, target, entry=entry, data_parallel=data_parallel)
    return f"wrote {target}: {len(weights)} tensors, {_size(checkpoint.variables)} parameters"


def _size(variables: Mapping[str, Any]) -> str:
    return f"{sum(leaf.size for leaf in jax.tree.leaves(variables)):,}"


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=VALUE") from None


def main(argv: Sequence[str]) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=argv[0], description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, choices=list(models.MODELS))
    parser.add_argument("source", type=pathlib.Path, help="PyTorch file, or checkpoint or workdir")
    parser.add_argument("target", type=pathlib.Path, help="folder, or PyTorch file, to write")
    parser.add_argument("--entry", help="which weights of the file; where to put them in it")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="hyperparameter that the shapes do not tell, num_heads=4",
    )  # fmt: skip
    parser.add_argument("--which", default="best", choices=["best", "latest"], help="of a workdir")
    parser.add_argument(
        "--data-parallel", action="store_true", help="write keys for torch.nn.DataParallel"
    )
    flags = parser.parse_args(argv[1:])
    if flags.source.is_dir():
        line = export_checkpoint(
            flags.source, flags.target, flags.model, which=flags.which, entry=flags.entry,
            data_parallel=flags.data_parallel,
        )  # fmt: skip
    else:
        line = import_checkpoint(
            flags.source, flags.target, flags.model, entry=flags.entry,
            hyperparameters=dict(flags.set),
        )  # fmt: skip
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(run(main, ["python -m jrepose.interop.convert", *sys.argv[1:]]))
