"""MATLAB's .mat files, whichever version: numeric arrays and cell arrays of them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from jrepose.data.formats.hdf5_files import open_hdf5
from jrepose.data.formats.mat_version_5 import read_version_5
from jrepose.errors import InputError
from jrepose.files import open_regular
from jrepose.restricted_pickle import reading

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# MATLAB puts a header of its own before it; other writers may not.
_SIGNATURE_OFFSETS = (0, 512)


def read_mat(
    path: str | os.PathLike[str],
    names: Sequence[str] = (),
    *,
    cells: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Variables of a MATLAB file of version 5 or 7.3.

    Args:
        path: the file.
        names: numeric arrays to read.
        cells: cell arrays of numeric arrays to read.
        optional: further numeric arrays, left out of the result if the file lacks them.

    Returns:
        By name, numeric arrays with MATLAB's axes in MATLAB's order; cell arrays as object
        arrays of them.

    Raises:
        InputError: the file cannot be read, lacks a variable, holds something else there, or
            needs more memory than its budget.
        MissingExtra: a file of version 7.3, and h5py is missing.
    """
    path = pathlib.Path(path)
    with reading(str(path), "MATLAB file"):
        read = _read_hdf5 if _is_hdf5(path) else read_version_5
        present, variables = read(path, [*names, *cells, *optional])
    for name in (*names, *cells):
        if name not in variables:
            there = ", ".join(present) or "nothing"
            raise InputError(f"{path}: no variable {name!r}; it has {there}")
    for name, value in variables.items():
        if (value.dtype == object) != (name in cells):
            kinds = ("a cell array", "a numeric array")[:: -1 if name in cells else 1]
            raise InputError(f"{path}: {name} is {kinds[0]}; expected {kinds[1]}")
        for part in value.flat if name in cells else (value,):
            if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiub":
                raise InputError(f"{path}: {name} is not numeric; expected numbers")
    return variables


def _is_hdf5(path: pathlib.Path) -> bool:
    with open_regular(path) as file:
        start = file.read(_SIGNATURE_OFFSETS[-1] + len(_HDF5_SIGNATURE))
    return any(start[offset:].startswith(_HDF5_SIGNATURE) for offset in _SIGNATURE_OFFSETS)


def _read_hdf5(path: pathlib.Path, names: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """As `read_version_5`; HDF5 counts axes from the other end than MATLAB."""
    variables = {}
    with open_hdf5(path) as file:
        for name in names:
            if name not in file.names:
                continue
            parts = file.cells(name)
            if parts is None:
                variables[name] = file.numbers(name).T
                continue
            cells = np.empty(file.dataset(name).shape, object)
            for position, part in enumerate(parts):
                cells.flat[position] = part.T
            variables[name] = cells.T
        # "#refs#" holds the cells' contents.
        return [name for name in file.names if not name.startswith("#")], variables
