"""A pandas table in an HDF5 file, read without pandas, PyTables or unpickling."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from jrepose.data.formats.hdf5_files import Hdf5, open_hdf5
from jrepose.errors import InputError
from jrepose.restricted_pickle import load, reading

Levels = tuple[str, ...]


def read_table(
    path: str | os.PathLike[str],
) -> tuple[list[Levels], list[int], np.ndarray]:
    """The only numeric table of a file, of pandas' formats `table` and `fixed`.

    Returns:
        The columns, by their names on every level; the rows' numbers; the values
        `[rows, columns]`.

    Raises:
        InputError: no such table.
        MissingExtra: h5py is missing.
    """
    with reading(str(path), "HDF5 file"), open_hdf5(path) as file:
        found = [name for name in file.names if _kind(file, name) is not None]
        if len(found) != 1:
            raise InputError(f"{path}: {len(found)} tables of pandas; expected one, DeepLabCut's")
        group = file.group(found[0])
        read = _table if _kind(file, found[0]) == b"frame_table" else _fixed
        columns, index, values = read(group, str(path))
    if values.ndim != 2 or values.shape != (len(index), len(columns)):
        raise InputError(f"{path}: {len(columns)} columns for values of the shape {values.shape}")
    return columns, index, values.astype(np.float64)


def _kind(file: Hdf5, name: str) -> bytes | None:
    try:
        kind = file.group(name).text("pandas_type")
    except InputError:
        return None
    return kind if kind in (b"frame_table", b"frame") else None


def _table(group: Hdf5, where: str) -> tuple[list[Levels], list[int], np.ndarray]:
    """Rows of an index and a block of values; the columns' names are a pickled list."""
    fields = group.columns("table")
    columns: list[Levels] = []
    blocks = []
    for name in sorted(field for field in fields if field.startswith("values_block_")):
        pickled = group.text(f"{name}_kind", of="table")
        names = load(io.BytesIO(pickled), len(pickled), where) if pickled else None
        block = fields[name].reshape(len(fields[name]), -1)
        if not isinstance(names, list) or len(names) != block.shape[1]:
            raise InputError(f"{where}: the columns of {name} are not named")
        columns += [_levels(entry) for entry in names]
        blocks.append(block)
    if not blocks:
        raise InputError(f"{where}: a table without values")
    index = fields.get("index", np.arange(len(blocks[0])))
    return columns, index.astype(np.int64).tolist(), np.concatenate(blocks, axis=1)


def _fixed(group: Hdf5, where: str) -> tuple[list[Levels], list[int], np.ndarray]:
    """A block of values, and levels of the columns' names with the place in each."""
    values = group.numbers("block0_values")
    levels = []
    for level in range(8):
        if f"block0_items_level{level}" not in group.names:
            break
        words = group.words(f"block0_items_level{level}")
        places = group.numbers(f"block0_items_label{level}").astype(np.int64)
        if places.size and not (0 <= places.min() and places.max() < len(words)):
            raise InputError(f"{where}: columns with names that are not there")
        levels.append([words[place] for place in places.ravel().tolist()])
    index = np.arange(len(values))
    if "axis1" in group.names:
        index = group.numbers("axis1").astype(np.int64).ravel()
    return list(zip(*levels, strict=True)), index.tolist(), values


def _levels(entry: Any) -> Levels:
    parts = entry if isinstance(entry, tuple | list) else (entry,)
    return tuple(str(part) for part in parts)
