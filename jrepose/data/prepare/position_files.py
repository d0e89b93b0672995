"""One recording of Human3.6M's 3D positions, in any of the formats they are passed around in."""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Float
from scipy.io import loadmat, whosmat

from jrepose.data.human36m import NUM_RECORDED_JOINTS
from jrepose.errors import InputError, MissingExtra

COLUMNS = 3 * NUM_RECORDED_JOINTS
MAX_FRAMES = 100_000
"""The longest recording has some 6000; a file that claims more than this is damaged."""


def read_positions(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    """The positions of all joints, mm in the world: x, y, z of the first joint, of the second...

    Args:
        path: an official `.cdf`, a `.cdf.mat` made from it with MATLAB's cdfread, or an `.h5`
            of the archive of Martinez et al. (ICCV 2017).

    Returns:
        `[frames, 96]` in the file's precision, all finite.

    Raises:
        InputError: the file cannot be read, or holds something else.
        MissingExtra: the package that reads the format is not installed.
    """
    read = next(read for suffix, read in _READERS.items() if path.name.endswith(suffix))
    try:
        positions = read(path)
    except InputError:
        raise
    except Exception as error:  # On damaged files the packages raise whatever they stumble over.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or of another format: {reason}") from error
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{path}: frame {int(finite.argmin())} of {len(finite)} holds values that are not "
            "finite; expected millimetres"
        )
    return positions


def _read_cdf(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    file = _import("cdflib", "reading .cdf files").CDF(path)
    info = file.cdf_info()
    _check_key(path, "variable", "Pose", [*info.zVariables, *info.rVariables])
    variable = file.varinq("Pose")
    # One record of all frames, or one record per frame.  Checked before room is made for it.
    _check_shape(path, "Pose", (variable.Last_Rec + 1, *variable.Dim_Sizes), ("frames", COLUMNS))
    return _rows(path, "Pose", file.varget("Pose"))


def _read_mat(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    content = loadmat(path, variable_names=["data"])
    _check_key(path, "variable", "data", [name for name, *_ in whosmat(path)])
    data = content["data"]
    if data.dtype == object and data.size == 1:  # cdfread returns a cell array of one cell.
        data = np.asarray(data.item())
    _check_shape(path, "data", data.shape, ("frames", COLUMNS))
    return _rows(path, "data", data)


def _read_h5(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    with _import("h5py", "reading .h5 files").File(path, "r") as file:
        _check_key(path, "dataset", "3D_positions", list(file))
        dataset = file["3D_positions"]
        _check_shape(path, "3D_positions", dataset.shape, (COLUMNS, "frames"))
        return _rows(path, "3D_positions", dataset[()].T)


_READERS: dict[str, Callable[[pathlib.Path], np.ndarray]] = {
    ".cdf": _read_cdf,
    ".cdf.mat": _read_mat,
    ".h5": _read_h5,
}


def _import(package: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingExtra(package, purpose, "datasets") from None


def _check_key(path: pathlib.Path, kind: str, key: str, present: Sequence[str]) -> None:
    if key not in present:
        raise InputError(
            f"{path}: no {kind} {key!r}; it has {', '.join(map(repr, present)) or 'none at all'}"
        )


def _check_shape(
    path: pathlib.Path, key: str, shape: Sequence[int], expected: Sequence[int | str]
) -> None:
    """Compares a shape, but for a leading axis of length 1, with e.g. `("frames", 96)`."""
    given = tuple(int(length) for length in shape)
    trimmed = given[1:] if len(given) == len(expected) + 1 and given[0] == 1 else given
    fits = len(trimmed) == len(expected) and all(
        1 <= length <= MAX_FRAMES if axis == "frames" else length == axis
        for length, axis in zip(trimmed, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path}: {key} has shape {given}; expected ({', '.join(map(str, expected))}), "
            f"1 to {MAX_FRAMES} frames"
        )


def _rows(path: pathlib.Path, key: str, values: np.ndarray) -> Float[np.ndarray, "frames columns"]:
    """Values of a checked shape as one row per frame."""
    if values.dtype.kind != "f":
        raise InputError(f"{path}: {key} holds {values.dtype}; expected floating-point numbers")
    return values.reshape(-1, COLUMNS)
