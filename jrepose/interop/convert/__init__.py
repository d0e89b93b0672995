"""Checkpoints from PyTorch and back: `jrepose convert`."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax

from jrepose import checkpoints, interop, models
from jrepose.errors import InputError
from jrepose.interop.weights import HOW_IT_COMPUTES


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
    published = models.hyperparameters(model_name)
    noted = interop.read_model(source) or {"name": model_name}
    if models.networks().get(noted.pop("name"), (None,))[0] is not models.networks()[model_name][0]:
        raise InputError(f"{source} says that it holds another model than {model_name}")
    inferred = interop.infer_hyperparameters(model_name, weights)
    chosen = noted | inferred | dict(hyperparameters or {})
    untold = published.keys() - chosen.keys() - models.without_dropout(model_name).keys()
    assumed = [field for field in published if field in untold.difference(HOW_IT_COMPUTES)]
    variables = interop.from_torch(model_name, weights, **chosen)
    config = {"model": {"name": model_name, **chosen}}
    collections = {name: value for name, value in variables.items() if name != "params"}
    state = {"params": variables["params"], "ema": {}, "collections": collections}
    try:
        writer = checkpoints.CheckpointWriter(target, keep=1, score="mpjpe")
        writer.save(0, state, config=config, data={}, validation=None, log={})
        writer.close()
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    line = f"wrote {target}: {model_name}, {_size(variables)} parameters, {_listed(chosen)}"
    if assumed:
        values = _listed({field: published[field] for field in assumed})
        line += f"; neither told by the file nor set, so as published: {values}"
    return line


def export_checkpoint(
    source: pathlib.Path,
    target: pathlib.Path,
    model_name: str,
    *,
    which: str = "best",
    entry: str | None = None,
    data_parallel: bool = False,
    hyperparameters: Mapping[str, Any] | None = None,
) -> str:
    """Writes a PyTorch file with the weights of a checkpoint.

    Args:
        source: workdir of a run or folder of one checkpoint.
        target: file to make; `entry` and `data_parallel` as in `interop.write_state_dict`.
        model_name: name in `jrepose.models`.
        which: `"best"` or `"latest"` checkpoint of a workdir.
        hyperparameters: that the checkpoint is expected to have.

    Returns:
        One line about what was written.

    Raises:
        InputError: no checkpoint, one of another model, or the file exists.
    """
    if target.exists():
        raise InputError(f"{target} exists; expected a new file")
    checkpoint = checkpoints.load(source, which)
    chosen = checkpoint.model
    stored = chosen.pop("name")
    if models.networks().get(stored, (None,))[0] is not models.networks()[model_name][0]:
        raise InputError(f"{source} holds a {stored}, not a {model_name}")
    weights = interop.to_torch(stored, checkpoint.variables, **chosen)
    every = models.hyperparameters(stored) | chosen
    for name, expected in (hyperparameters or {}).items():
        if every.get(name) != expected:
            raise InputError(f"{source} has {name}={every.get(name)!r}, not {expected!r}")
    noted = {field: value for field, value in every.items() if field not in HOW_IT_COMPUTES}
    interop.write_state_dict(
        weights, target, entry=entry, data_parallel=data_parallel, model={"name": stored, **noted}
    )
    return f"wrote {target}: {len(weights)} tensors, {_size(checkpoint.variables)} parameters"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _size(variables: Mapping[str, Any]) -> str:
    return f"{sum(leaf.size for leaf in jax.tree.leaves(variables)):,}"
