"""The weights that a user points at: a run, a checkpoint of it, an archive, or a PyTorch file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jrepose import checkpoints, models
from jrepose.data.dataset import PoseDataset
from jrepose.data.description import check_fits
from jrepose.errors import InputError, listed
from jrepose.interop.archives import find_archive, read_archive
from jrepose.interop.state_dicts import (
    another_model,
    from_torch,
    known_variables,
    variable_shapes,
)
from jrepose.interop.torch_files import read_model, read_state_dict

HOW_IT_COMPUTES = ("dtype", "remat", "batch_norm_axis")
"""Hyperparameters that weights do not depend on."""


def load_run_or_file(
    path: str | os.PathLike[str], model: Mapping[str, Any], which: str = "best"
) -> tuple[dict[str, Any], str]:
    """A model's variables from a run of ours, an archive or a PyTorch file, all of them.

    Args:
        path: workdir of a run, folder of one checkpoint, an archive of `jrepose.Lifter.save` or
            the name of one that comes with jrepose, or a PyTorch file; `FILE::ENTRY` takes that
            part of a file, see `read_state_dict`.
        model: the config's `model` section: name and hyperparameters.
        which: `"best"` or `"latest"` checkpoint of a workdir.

    Returns:
        `{"params": ...}`, with `"batch_stats"` where the model has them, of NumPy arrays; and one
        line that says what was read.

    Raises:
        InputError: nothing there, damaged, weights of another model, or weights that are not
            finite.
    """
    path = pathlib.Path(path)
    hyperparameters = dict(model)
    name = hyperparameters.pop("name")
    if (archive := find_archive(path)) is not None:
        described, variables = read_archive(archive)
        found = _checked(variables, model, described["model"], archive)
        return found, f"archive of weights: {archive}"
    if (found := _torch_file(path)) is not None:
        weights, noted = found
        if other := another_model(name, weights):
            raise InputError(f"config is {name}, checkpoint is {other}: {path}")
        if noted is not None:
            _check_same(model, noted, path)
        try:
            variables = from_torch(name, weights, **hyperparameters)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return variables, f"PyTorch checkpoint: {path}"
    checkpoint = checkpoints.load(path, which)
    described = f"checkpoint of step {checkpoint.step}: {checkpoint.path}"
    return variables_of(checkpoint, model), described


def load_context(context: Mapping[str, Any], dataset: PoseDataset) -> tuple[dict[str, Any], str]:
    """The frozen lifter that a task builds on.

    Args:
        context: the config's `context` section: `path`, a run of ours or a PyTorch file, and
            `model`.
        dataset: what the task is trained or evaluated on.

    Returns:
        As `load_run_or_file`.

    Raises:
        InputError: as `load_run_or_file`, or the lifter was trained on other joints or for another
            target space.
    """
    given, model = context["path"], context["model"]
    if given is None:
        raise InputError(
            "config.context.path is missing: the trained lifter that the task builds on, a run or "
            "a PyTorch file"
        )
    path = pathlib.Path(given)
    try:
        if path.is_dir():
            checkpoint = checkpoints.load(path)
            check_fits(checkpoint.description, dataset, checkpoint.path)
        return load_run_or_file(path, model)
    except InputError as error:
        said = str(error).replace("config.model", "config.context.model")
        raise InputError(f"config.context.path: {said}") from None


def variables_of(checkpoint: checkpoints.Checkpoint, model: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's variables, if they are those of a model.

    Args:
        checkpoint: of a run of ours.
        model: the config's `model` section: name and hyperparameters.

    Raises:
        InputError: weights of another model, or weights that are not finite.
    """
    return _checked(checkpoint.variables, model, checkpoint.model, checkpoint.path)


def load_what_fits(
    path: str | os.PathLike[str], model: Mapping[str, Any], which: str = "best"
) -> tuple[dict[str, Any], str]:
    """Those arrays of another model that have the name and shape of one of this model.

    For fine-tuning on other joints, clip lengths or layers, where `load_run_or_file` refuses.

    Args:
        path, model, which: as for `load_run_or_file`.

    Returns:
        `{"params": ..., "batch_stats": ...}` with only the arrays taken, for
        `training.loop.train` with `partial=True`, and a report: what was read, what was taken,
        which arrays have another shape, are missing there or are left over, and in what the
        models differ.

    Raises:
        InputError: nothing there, damaged, not one array fits, or one that fits is not finite.
    """
    path = pathlib.Path(path)
    hyperparameters = dict(model)
    name = hyperparameters.pop("name")
    differences: list[str] = []
    stored, left_over = None, []
    if (archive := find_archive(path)) is not None:
        described, variables = read_archive(archive)
        found, stored = flatten_dict(variables), described["model"]
        source = f"archive of weights: {archive}"
    elif (torch_file := _torch_file(path)) is not None:
        found, left_over = known_variables(name, torch_file[0], **hyperparameters)
        source = f"PyTorch checkpoint: {path}"
    else:
        checkpoint = checkpoints.load(path, which)
        found, stored = flatten_dict(checkpoint.variables), checkpoint.model
        source = f"checkpoint of step {checkpoint.step}: {checkpoint.path}"
    if stored is not None:
        if _network(stored) is not _network(model):
            differences = [f"another network, {stored['name']}"]
        else:
            differences = [
                f"{field} {theirs!r}, here {ours!r}"
                for field, ours, theirs in _differences(model, stored)
            ]
    shapes = variable_shapes(models.create(**model))
    taken, reshaped, missing = {}, [], []
    for key, shape in shapes.items():
        if key not in found:
            missing.append(_name(key))
        elif found[key].shape == shape:
            taken[key] = found[key]
        else:
            reshaped.append(f"{_name(key)} {list(found[key].shape)} for {list(shape)}")
    left_over += [_name(key) for key in found if key not in shapes]
    if not taken:
        raise InputError(f"{path}: none of its parameters fits {name} by name and shape")
    check_finite(taken, path)
    report = [f"{source}; {len(taken)} of {len(shapes)} parameters taken"]
    for what, names in (
        ("of another shape", reshaped),
        ("missing there", missing),
        ("left over", left_over),
    ):
        report.append(f"{len(names)} {what}" + (f" ({listed(names)})" if names else ""))
    if differences:
        report.append(f"it was trained with {', '.join(differences)}")
    return unflatten_dict(taken), "; ".join(report)


def _torch_file(
    path: pathlib.Path,
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None] | None:
    """A PyTorch file's weights and its note about the model; None if the path is no file."""
    entry = None
    if not path.exists():
        file, separator, last = str(path).rpartition("::")
        if separator and pathlib.Path(file).exists():
            path, entry = pathlib.Path(file), last
    if not path.exists() or path.is_dir():
        return None
    return read_state_dict(path, entry), read_model(path)


def _checked(
    variables: dict[str, Any],
    model: Mapping[str, Any],
    stored: Mapping[str, Any],
    path: pathlib.Path,
) -> dict[str, Any]:
    """Variables that say which network's they are, if they are a model's and finite."""
    _check_same(model, stored, path)
    check_finite(flatten_dict(variables), path)
    return variables


def _check_same(model: Mapping[str, Any], stored: Mapping[str, Any], path: pathlib.Path) -> None:
    """Refuses weights of another network, or of one with other hyperparameters."""
    if _network(stored) is not _network(model):
        raise InputError(f"config is {model['name']}, checkpoint is {stored['name']}: {path}")
    for field, ours, theirs in _differences(model, stored):
        raise InputError(
            f"config.model.{field} is {ours!r}, the checkpoint was trained with {theirs!r}: {path}"
        )


def _name(key: tuple[str, ...]) -> str:
    """An array's path without its collection."""
    return "/".join(key[1:])


def check_finite(arrays: Mapping[tuple[str, ...], np.ndarray], path: pathlib.Path) -> None:
    """Refuses weights, by their path in the variables, that are NaN or infinite."""
    broken = [_name(key) for key, value in arrays.items() if not np.isfinite(value).all()]
    if broken:
        raise InputError(f"{path}: weights that are not finite: {listed(broken)}")


def _network(model: Mapping[str, Any]) -> type[nn.Module] | None:
    """The class of a config's model; None if there is none of that name any more."""
    return models.networks().get(model["name"], (None,))[0]


def _differences(
    config: Mapping[str, Any], stored: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Hyperparameters of one network that differ: name, ours, theirs.  Not all have a shape."""
    ours, theirs = _resolved(config), _resolved(stored)
    for field in sorted({*ours, *theirs}):
        if ours.get(field) != theirs.get(field):
            yield field, ours.get(field), theirs.get(field)


def _resolved(model: Mapping[str, Any]) -> dict[str, Any]:
    """Every hyperparameter, those that a config does not mention with their defaults."""
    every = models.hyperparameters(model["name"]) | dict(model)
    return {
        # A checkpoint's config is JSON, which has no tuples.
        field: tuple(value) if isinstance(value, list) else value
        for field, value in every.items()
        if field not in ("name", *HOW_IT_COMPUTES)
    }
