"""Archives of weights, NPZ with a description, that `jrepose.Lifter.save` writes."""

from __future__ import annotations

import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from jrepose import models
from jrepose.errors import InputError, listed
from jrepose.interop.state_dicts import variable_shapes
from jrepose.restricted_pickle import read_npz

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "weights"
"""Those that come with jrepose."""


def find_archive(spec: str | os.PathLike[str]) -> pathlib.Path | None:
    """The archive of that path, or the one of that name that comes with jrepose; None: neither."""
    path = pathlib.Path(spec)
    if not path.exists():
        named = FOLDER / f"{spec}.npz"
        return named if named.parent == FOLDER and named.is_file() else None
    if not path.is_file() or not zipfile.is_zipfile(path):  # a pipe would be waited for
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return path if "description.npy" in archive.namelist() else None
    except zipfile.BadZipFile:  # whoever reads it says more
        return None


def read_archive(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an archive says of its weights, `model` among it, and the variables in float32.

    Raises:
        InputError: damaged, something else, or not the arrays that its network has.
    """
    content = read_npz(path)
    try:
        described = json.loads(str(content.pop("description")))
        if not isinstance(described["model"]["name"], str):
            raise TypeError("model's name is no text")
        arrays = {
            tuple(name.split("/")): value.astype(np.float32, casting="same_kind", copy=False)
            for name, value in content.items()
        }
        _check(described["model"], arrays)
        return described, unflatten_dict(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise InputError(f"{path}: no archive of weights ({error})") from None


def _check(model: Mapping[str, Any], arrays: Mapping[tuple[str, ...], np.ndarray]) -> None:
    """Refuses arrays that are not those of the network; one of another version is not known.

    Raises:
        InputError: they are not.
        ValueError: there is no such network.
    """
    if model["name"] not in models.MODELS:
        return
    try:
        network = models.create(**model)
    except InputError as error:
        raise ValueError(str(error)) from None
    # Each layer has an array, and is traced for its shape.
    if (depth := getattr(network, "depth", 0)) > len(arrays):
        raise InputError(f"{len(arrays)} arrays, fewer than the layers of depth {depth}")
    wanted = variable_shapes(network)
    for what, names in (
        ("missing", wanted.keys() - arrays.keys()),
        (
            "of another shape",
            {k for k in wanted.keys() & arrays.keys() if arrays[k].shape != wanted[k]},
        ),
        ("of no parameter", arrays.keys() - wanted.keys()),
    ):
        if names:
            found = listed(sorted("/".join(key) for key in names))
            raise InputError(f"arrays {what} in {model['name']}: {found}")
