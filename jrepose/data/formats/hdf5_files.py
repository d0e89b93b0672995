"""HDF5 files from strangers: datasets that stand in the file itself, within its budget of memory.

HDF5 can point elsewhere: links into other files, values in other files (external storage,
virtual datasets), filters that are loaded from the system.  None of it is followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jrepose.errors import InputError, MissingExtra
from jrepose.files import Budget, check_regular

_FILTERS = {1, 2, 3, 32000}
"""Deflate, shuffle, check sum, and LZF, which h5py brings along."""

_REFERENCE = 300  # bytes that a reference and the dataset opened by it take


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[Hdf5]:
    """Opens a file.

    Raises:
        InputError, OSError: it cannot be opened.
        MissingExtra: h5py is missing.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", f"reading {path} (HDF5)", "datasets") from None
    budget = Budget(check_regular(path), path)
    with h5py.File(path, "r") as file:
        yield Hdf5(file, budget)


class Hdf5:
    """The datasets at a file's root, or in one of its groups, by name."""

    def __init__(self, file: Any, budget: Budget):
        self._file, self._budget = file, budget
        self.names = list(file)

    def dataset(self, name: str) -> Any:
        """The h5py dataset of a name that is there.

        Raises:
            InputError: it is a link, or no dataset, or not (only) in this file.
        """
        import h5py

        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{self._budget.where}: refused, {name} is a link to something else")
        return self._checked(self._file[name], name)

    def group(self, name: str) -> Hdf5:
        """A group that is there.

        Raises:
            InputError: it is a link, or no group.
        """
        import h5py

        hard = isinstance(self._file.get(name, getlink=True), h5py.HardLink)
        if not hard or not isinstance(self._file[name], h5py.Group):
            raise InputError(f"{self._budget.where}: {name} is no group of this file")
        return Hdf5(self._file[name], self._budget)

    def text(self, name: str, of: str | None = None) -> bytes | None:
        """An attribute of this group, or of the dataset `of` in it; None if it is no text."""
        attributes = (self._file if of is None else self.dataset(of)).attrs
        if name not in attributes or attributes.get_id(name).get_storage_size() > self._budget.size:
            return None
        value = attributes[name]
        value = value.encode() if isinstance(value, str) else value
        return bytes(value) if isinstance(value, bytes) else None

    def columns(self, name: str) -> dict[str, np.ndarray]:
        """The numeric columns of a table, a dataset of records, by their names."""
        dataset = self.dataset(name)
        fields = dataset.dtype.fields
        if not fields or dataset.shape is None or len(dataset.shape) != 1:
            raise InputError(f"{self._budget.where}: {name} is no table of records")
        self._budget.take(dataset.size * dataset.dtype.itemsize, name)
        values = dataset[()]
        return {field: values[field] for field in fields if values[field].dtype.kind in "fiub"}

    def words(self, name: str) -> list[str]:
        """The entries of a dataset of byte strings of fixed length."""
        dataset = self.dataset(name)
        if dataset.dtype.kind != "S" or dataset.shape is None:
            raise InputError(f"{self._budget.where}: {name} holds no words")
        self._budget.take(dataset.size * (dataset.dtype.itemsize + 50), name)
        return [word.decode("utf-8", errors="replace") for word in dataset[()].ravel().tolist()]

    def numbers(self, name: str) -> np.ndarray:
        """The values of a numeric dataset, axes as HDF5 has them."""
        return self._values(self.dataset(name), name)

    def cells(self, name: str) -> list[np.ndarray] | None:
        """What a dataset of references refers to, in HDF5's order; None: it is another dataset."""
        import h5py

        dataset = self.dataset(name)
        if h5py.check_ref_dtype(dataset.dtype) is not h5py.Reference:
            return None
        self._budget.take(dataset.size * _REFERENCE, f"{name} with {dataset.size} cells")
        parts = (self._file[reference] for reference in dataset[()].ravel())
        return [self._values(self._checked(part, name), name) for part in parts]

    def _values(self, dataset: Any, name: str) -> np.ndarray:
        if dataset.dtype.kind not in "fiub" or dataset.shape is None:
            raise InputError(f"{self._budget.where}: {name} is not numeric; expected numbers")
        self._budget.take(dataset.size * dataset.dtype.itemsize, name)
        return dataset[()]

    def _checked(self, dataset: Any, name: str) -> Any:
        import h5py

        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{self._budget.where}: {name} is not numeric; expected numbers")
        settings = dataset.id.get_create_plist()
        filters = {settings.get_filter(n)[0] for n in range(settings.get_nfilters())}
        if dataset.external or dataset.is_virtual:
            raise InputError(
                f"{self._budget.where}: refused, the values of {name} are in other files"
            )
        if filters - _FILTERS:
            raise InputError(f"{self._budget.where}: {name} is compressed in another way than "
                             "deflate, which is not read")  # fmt: skip
        return dataset
