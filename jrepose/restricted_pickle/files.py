"""The two kinds of files: pickles and NumPy archives."""

from __future__ import annotations

import ast
import io
import os
import pathlib
import pickle
import re
import struct
import zipfile
from typing import Any

import numpy as np

from jrepose.errors import InputError
from jrepose.files import Budget, check_zip, open_regular
from jrepose.restricted_pickle.admitted import array_of, count, dtype_named, verify
from jrepose.restricted_pickle.machine import load, read_bytearray
from jrepose.restricted_pickle.messages import reading, shown

_BUFFER = 2**16
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes, NumPy's own limit


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """The content of a pickle of NumPy arrays, numbers, strings and plain containers.

    Args:
        path: a file of any pickle protocol, 0 to 5, by Python 3 or 2 (whose strings are read as
            Latin-1).

    Returns:
        What was saved; `defaultdict` as `dict`.  Arrays share memory with the bytes as read and
        may be read-only.  Peak memory is about that of the content.

    Raises:
        InputError: no such file, a damaged one, one that contains anything else, or one whose
            content needs more memory than a `jrepose.files.Budget`; in one line that names it.
    """
    path = pathlib.Path(path)
    with reading(str(path)), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = load(file, size, str(path))
        if file.read(1):
            raise InputError(f"{path}: more follows the pickle, expected the end of the file")
        verify(content, size, str(path))
        return content


def read_npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays in a NumPy archive, by name.

    Args:
        path: `.npz`, stored or deflated, or `.npy`.

    Returns:
        Arrays; an object array without dimensions, which is what `np.savez` makes of a
        dictionary, as the object in it.  What object arrays hold is limited as in `read_pickle`.
        The array of an `.npy` file is under `"arr_0"`, NumPy's name for an array without one.

    Raises:
        InputError: as `read_pickle`; or the archive's entries overlap, are encrypted, or are
            compressed in another way.
    """
    path = pathlib.Path(path)
    with reading(str(path)), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(_MAGIC))
        file.seek(0)
        if start == _MAGIC:
            return {"arr_0": _read_array(file, size, str(path), Budget(size, path))}
        if start[:2] != b"PK":
            raise InputError(f"{path}: neither .npz nor .npy, expected a NumPy archive")
        with zipfile.ZipFile(file) as archive:
            return _read_entries(archive, Budget(size, path))


class _Unpacked(io.RawIOBase):
    """An archive's entry, unpacked little by little however much is asked for."""

    def __init__(self, entry):
        self._entry = entry

    def readable(self):
        return True

    def readinto(self, target):
        part = self._entry.read(min(len(target), _BUFFER))
        target[: len(part)] = part
        return len(part)


def _read_entries(archive: zipfile.ZipFile, budget: Budget) -> dict[str, Any]:
    check_zip(archive, budget)
    arrays: dict[str, Any] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        where = f"{budget.where}: entry {shown(name)}"
        if name == entry.filename or name in arrays:
            raise InputError(f"{where}: expected .npy entries, each name once")
        if entry.flag_bits & 1:
            raise InputError(f"{where}: encrypted, which is not read")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{where}: compressed in another way than deflate, which is not read")
        with reading(where), archive.open(entry) as member:
            stream = io.BufferedReader(_Unpacked(member), _BUFFER)
            arrays[name] = _read_array(stream, entry.file_size, where, budget)
    return arrays


def _read_array(stream: io.BufferedIOBase, size: int, where: str, budget: Budget) -> Any:
    """An `.npy` file of `size` bytes."""
    dtype, shape, order = _read_header(stream)
    if dtype.hasobject:
        array = load(stream, size, where, budget=budget)
        if type(array) is not np.ndarray or (array.dtype, array.shape) != (dtype, shape):
            raise pickle.UnpicklingError(f"its pickle is no object array of shape {shape}")
        verify(array, size, where)
    else:
        data = read_bytearray(stream, count(shape) * dtype.itemsize, size)
        array = array_of(shape, dtype, data, order)
    if stream.read(1):  # at the end the zip module compares check sums
        raise InputError(f"{where}: more follows the array, expected the end")
    return array.item() if dtype.hasobject and not shape else array


def _read_header(stream: io.BufferedIOBase) -> tuple[np.dtype, tuple[int, ...], str]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise pickle.UnpicklingError("not in the .npy format")
    version, _ = stream.read(2)
    if version not in (1, 2, 3):
        raise pickle.UnpicklingError(f".npy version {version}, expected 1 to 3")
    (length,) = struct.unpack("<H" if version == 1 else "<I", stream.read(2 if version == 1 else 4))
    if length > _LONGEST_HEADER:
        raise pickle.UnpicklingError(f"a header of {length} bytes")
    text = stream.read(length).decode("utf-8" if version == 3 else "latin1")
    # Python 2 wrote some numbers as 12L.
    header = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text.strip()))
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise pickle.UnpicklingError("a header without descr, fortran_order and shape")
    dtype, shape, fortran_order = (header[k] for k in ("descr", "shape", "fortran_order"))
    count(shape)
    return dtype_named(dtype), shape, "F" if fortran_order else "C"
