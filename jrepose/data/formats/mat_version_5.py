"""MATLAB's .mat files of version 5: numeric arrays and cell arrays of them.

The format: "MAT-File Format", The MathWorks, chapter 1.  SciPy reads more of it, but looks up
a file's data types in a table without checking that they are in it: one flipped bit ends
Python with a segmentation fault.
"""

from __future__ import annotations

import math
import pathlib
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from jrepose.errors import InputError
from jrepose.files import Budget, open_regular

_HEADER = 128
_VERSION_5 = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
"""The header's end, which is the version and a mark of the byte order, and that order."""

_TAG = 8
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
           13: "u8"}  # fmt: skip
"""Data types of elements.  A class's values may be stored as a smaller type that fits them."""

_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4",
            14: "i8", 15: "u8"}  # fmt: skip
"""Classes of arrays."""
_CELL, _OPAQUE = 1, 17
_OTHERS = {2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix",
           16: "a function", _OPAQUE: "an object"}  # fmt: skip
_COMPLEX = 0x800
_CELL_OBJECT = 200  # bytes of a cell's array besides its values

_Elements = Iterator[tuple[int, memoryview]]


def read_version_5(
    path: pathlib.Path, names: Sequence[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of all variables, and those asked for as far as they are there.

    Axes are MATLAB's, in MATLAB's order; cell arrays are object arrays.

    Raises:
        InputError: not a file of version 5, or a variable that was asked for is neither
            numeric nor made of cells that are.
        ValueError, OSError, zlib.error, RecursionError: the file is damaged.
    """
    with open_regular(path) as file:
        content = memoryview(file.read())
    budget = Budget(len(content), path)
    order = _VERSION_5.get(bytes(content[_HEADER - 4 : _HEADER]))
    if order is None:
        raise InputError(f"{path}: not a MATLAB file of version 5 or 7.3")
    present, variables = [], {}
    for kind, data in _elements(content[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, data = _next(_elements(_unpacked(data, budget), order))
        if kind != _MATRIX:
            raise ValueError(f"data type {kind} where a variable was expected")
        _, _, name = _header(_elements(data, order), order)
        if name:  # What objects and functions share has none.
            present.append(name)
        if name in names:
            variables[name] = _array(data, order, f"{path}: {name}", budget)
    return present, variables


def _elements(content: memoryview, order: str) -> _Elements:
    """Data type and data of the elements that follow one another."""
    offset = 0
    while offset + _TAG <= len(content):
        kind, length = struct.unpack_from(order + "II", content, offset)
        start = offset + _TAG
        if kind >> 16:  # A small element: type, length and up to four bytes in place of a tag.
            kind, length, start = kind & 0xFFFF, kind >> 16, start - 4
            if length > 4:
                raise ValueError(f"a small element of {length} bytes")
        end = start + length
        if end > len(content):
            raise ValueError(f"{length} bytes expected, {len(content) - start} left")
        yield kind, content[start:end]
        # Elements begin at multiples of 8 bytes, but for those that follow a compressed one.
        offset = end if kind == _COMPRESSED else -(-end // _TAG) * _TAG


def _next(elements: _Elements) -> tuple[int, memoryview]:
    for element in elements:
        return element
    raise ValueError("a variable ends early")


def _unpacked(data: memoryview, budget: Budget) -> memoryview:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, max(budget.left, 1))
    if not unpacker.eof:
        raise ValueError("a variable is truncated, or much larger than the file")
    budget.take(len(unpacked))
    return memoryview(unpacked)


def _header(elements: _Elements, order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags, lengths of the axes and name of an array, its first elements."""
    (flags,) = struct.unpack_from(order + "I", _next(elements)[1])
    shape: tuple[int, ...] = ()
    if flags & 0xFF != _OPAQUE:
        shape = tuple(int(length) for length in np.frombuffer(_next(elements)[1], order + "i4"))
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    name = str(_next(elements)[1], "latin1")
    if name and not (name.isascii() and name.isidentifier()):
        raise ValueError("a variable has no proper name")
    return flags, shape, name


def _array(data: memoryview, order: str, where: str, budget: Budget) -> np.ndarray:
    """An array; `where` says in complaints which it is."""
    if not data:  # How an empty cell may be stored.
        return np.empty((0, 0))
    elements = _elements(data, order)
    flags, shape, _ = _header(elements, order)
    kind = flags & 0xFF
    if kind == _CELL:
        if math.prod(shape) > len(data) // _TAG:
            raise ValueError(f"a cell array of shape {shape} in {len(data)} bytes")
        budget.take(math.prod(shape) * _CELL_OBJECT)
        cells = np.empty(math.prod(shape), object)
        for index in range(len(cells)):
            stored, content = _next(elements)
            if stored != _MATRIX:
                raise ValueError(f"data type {stored} where a cell was expected")
            cells[index] = _array(content, order, where, budget)
        return cells.reshape(shape, order="F")
    if kind not in _NUMERIC or flags & _COMPLEX:
        what = "complex" if kind in _NUMERIC else _OTHERS.get(kind, "of an unknown class")
        raise InputError(f"{where} is {what}; expected real numbers")
    stored, content = _next(elements)
    if stored not in _STORED:
        raise ValueError(f"data type {stored} where numbers were expected")
    values = np.frombuffer(content, order + _STORED[stored])
    budget.take(len(values) * np.dtype(_NUMERIC[kind]).itemsize)
    return values.astype(_NUMERIC[kind]).reshape(shape, order="F")
