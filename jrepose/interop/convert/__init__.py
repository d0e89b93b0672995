"""Checkpoints from PyTorch and back: `jrepose convert`."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax

from jrepose import checkpoints, interop, models
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
