"""MATLAB's .mat files, whichever version: numeric arrays and cell arrays of them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from jrepose.data.formats.mat_version_5 import read_version_5
from jrepose.errors import InputError, MissingExtra
from jrepose.restricted_pickle import reading

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# MATLAB puts a header of its own before it; other writers may not.
_SIGNATURE_OFFSETS = (0, 512)

_MOST_VALUES = 2**26
"""In one variable.  The largest of the benchmarks has a fourth of it; a damaged file may claim
anything."""


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
        InputError: the file cannot be read, lacks a variable, or holds something else there.
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
    with path.open("rb") as file:
        start = file.read(_SIGNATURE_OFFSETS[-1] + len(_HDF5_SIGNATURE))
    return any(start[offset:].startswith(_HDF5_SIGNATURE) for offset in _SIGNATURE_OFFSETS)


def _read_hdf5(path: pathlib.Path, names: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """As `read_version_5`; HDF5 counts axes from the other end than MATLAB."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", f"reading {path} (MATLAB 7.3)", "datasets") from None

    def numbers(datasets):
        if not all(isinstance(d, h5py.Dataset) and d.dtype.kind in "fiub" for d in datasets):
            raise InputError(f"{path}: {name} is not numeric; expected numbers")
        if sum(dataset.size for dataset in datasets) > _MOST_VALUES:
            raise InputError(f"{path}: {name} claims to hold more than {_MOST_VALUES} values")
        return [dataset[()].T for dataset in datasets]

    variables = {}
    with h5py.File(path, "r") as file:
        for name in names:
            if name not in file:
                continue
            item = file[name]
            if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype):
                if item.size > _MOST_VALUES:
                    raise InputError(f"{path}: {name} claims to have {item.size} cells")
                cells = np.empty(item.shape[::-1], object)
                parts = numbers([file[reference] for reference in item[()].T.flat])
                for position, part in enumerate(parts):
                    cells.flat[position] = part
                variables[name] = cells
            else:
                (variables[name],) = numbers([item])
        # "#refs#" holds the cells' contents.
        return [name for name in file if not name.startswith("#")], variables
