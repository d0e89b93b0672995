"""The weights that a user points at: a run, one checkpoint of it, or a PyTorch file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from jrepose import checkpoints, models
from jrepose.errors import InputError, listed
from jrepose.interop.state_dicts import from_torch, known_parameters, parameter_shapes
from jrepose.interop.torch_files import read_state_dict

# How a model computes; the same weights fit.
_FREE = ("dtype", "remat")


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
    for field, ours, theirs in _differences(model, checkpoint.config["model"]):
        raise InputError(
            f"config.model.{field} is {ours!r}, the checkpoint was trained with {theirs!r}"
        )
    return checkpoint.variables, f"checkpoint of step {checkpoint.step}: {checkpoint.path}"


def load_matching_variables(
    path: str | os.PathLike[str], model: Mapping[str, Any], which: str = "best"
) -> tuple[dict[str, Any], str]:
    """Those parameters of another model that have the name and shape of one of this model.

    For fine-tuning on other joints, clip lengths or layers, where `load_variables` refuses.

    Args:
        path, model, which: as for `load_variables`.

    Returns:
        `{"params": ...}` with only the parameters taken, for `training.loop.train` with
        `partial=True`, and a report: what was read, what was taken, which parameters have
        another shape, are missing there or are left over, and in what the models differ.

    Raises:
        InputError: nothing there, damaged, or not one parameter fits.
    """
    path = pathlib.Path(path)
    hyperparameters = dict(model)
    name = hyperparameters.pop("name")
    differences: list[str] = []
    if path.is_file():
        found, left_over = known_parameters(name, read_state_dict(path), **hyperparameters)
        source = f"PyTorch checkpoint: {path}"
    else:
        checkpoint = checkpoints.load(path, which)
        found, left_over = flatten_dict(checkpoint.variables["params"]), []
        source = f"checkpoint of step {checkpoint.step}: {checkpoint.path}"
        differences = [
            f"{field} {theirs!r}, here {ours!r}"
            for field, ours, theirs in _differences(model, checkpoint.config["model"])
        ]
    shapes = parameter_shapes(models.create(**model))
    taken, reshaped, missing = {}, [], []
    for key, shape in shapes.items():
        if key not in found:
            missing.append("/".join(key))
        elif found[key].shape == shape:
            taken[key] = found[key]
        else:
            reshaped.append(f"{'/'.join(key)} {list(found[key].shape)} for {list(shape)}")
    left_over += ["/".join(key) for key in found if key not in shapes]
    if not taken:
        raise InputError(f"{path}: none of its parameters fits {name} by name and shape")
    report = [f"{source}; {len(taken)} of {len(shapes)} parameters taken"]
    for what, names in (
        ("of another shape", reshaped),
        ("missing there", missing),
        ("left over", left_over),
    ):
        report.append(f"{len(names)} {what}" + (f" ({listed(names)})" if names else ""))
    if differences:
        report.append(f"it was trained with {', '.join(differences)}")
    return {"params": unflatten_dict(taken)}, "; ".join(report)


def _differences(
    config: Mapping[str, Any], stored: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Hyperparameters that differ: name, ours, theirs.  Some, such as num_heads, have no shape."""
    ours, theirs = _resolved(config), _resolved(stored)
    for field in sorted({*ours, *theirs}):
        if ours.get(field) != theirs.get(field):
            yield field, ours.get(field), theirs.get(field)


def _resolved(model: Mapping[str, Any]) -> dict[str, Any]:
    """Every hyperparameter, those that a config does not mention with their defaults."""
    given = {name: value for name, value in model.items() if name not in _FREE}
    defaults = models.hyperparameters(model["name"])
    return {name: value for name, value in defaults.items() if name not in _FREE} | given
