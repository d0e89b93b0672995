"""The weights that a user points at: a run, one checkpoint of it, or a PyTorch file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from jrepose import checkpoints, models
from jrepose.errors import InputError
from jrepose.interop.state_dicts import from_torch
from jrepose.interop.torch_files import read_state_dict


def load_variables(
    path: str | os.PathLike[str], model: Mapping[str, Any], which: str = "best"
) -> tuple[dict[str, Any], str]:
    """Variables for a model.

    Args:
        path: workdir of a run, folder of one checkpoint, or a PyTorch file.
        model: the config's `model` section: name and hyperparameters.
        which: `"best"` or `"latest"` checkpoint of a workdir.

    Returns:
        `{"params": ...}` of NumPy arrays, and one line that says what was read.

    Raises:
        InputError: nothing there, damaged, or weights of another model.
    """
    path = pathlib.Path(path)
    if path.is_file():
        hyperparameters = dict(model)
        name = hyperparameters.pop("name")
        variables = from_torch(name, read_state_dict(path), **hyperparameters)
        return variables, f"PyTorch checkpoint: {path}"
    checkpoint = checkpoints.load(path, which)
    _check_same_model(model, checkpoint.config["model"])
    return checkpoint.variables, f"checkpoint of step {checkpoint.step}: {checkpoint.path}"


def _check_same_model(config: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    ours, theirs = _resolved(config), _resolved(stored)
    for field in sorted({*ours, *theirs}):
        if ours.get(field) != theirs.get(field):
            raise InputError(
                f"config.model.{field} is {ours.get(field)!r}, the checkpoint was trained with "
                f"{theirs.get(field)!r}"
            )


def _resolved(model: Mapping[str, Any]) -> dict[str, Any]:
    """Every hyperparameter, those that a config does not mention with their defaults."""
    given = {name: value for name, value in model.items() if name not in _FREE}
    defaults = models.hyperparameters(model["name"])
    return {name: value for name, value in defaults.items() if name not in _FREE} | given


# How a model computes; the same weights fit.
_FREE = ("dtype", "remat")
