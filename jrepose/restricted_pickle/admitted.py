"""What may stand in a file: the names that it may ask for, and limits on what it builds."""

from __future__ import annotations

import collections
import math
import pickle
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.errors import InputError
from jrepose.files import GROWTH, SPARE

DEEPEST = 100

LEAVES = frozenset({str, bytes, bytearray, int, float, complex, bool, type(None)}) | {
    np.dtype(code).type for code in "?bhilqBHILQefdFDSU"
}
"""Types of all that is neither a container nor an array."""

# Keys of dictionaries: neither slow to hash nor easily made to collide.
_KEYS = LEAVES - {bytearray, complex, np.complex64, np.complex128}
_LONGEST_KEY, _LONGEST_TUPLE = 1000, 8


def check_keys(keys: Any) -> None:
    """Keys and elements of sets: strings, numbers, short tuples of them."""
    for key in keys:
        for part in key if type(key) is tuple and len(key) <= _LONGEST_TUPLE else (key,):
            kind = type(part)
            # Integers that differ by the modulus of their hash would all collide.
            if (
                kind not in _KEYS
                or (kind is int and abs(part) >= sys.hash_info.modulus)
                or (isinstance(part, (str, bytes)) and len(part) > _LONGEST_KEY)
            ):
                raise pickle.UnpicklingError(
                    f"a {kind.__name__} as a key, expected short strings, numbers or tuples of them"
                )


def verify(content: Any, size: int, where: str) -> None:
    """Refuses all but arrays, leaves and plain containers, and what unfolds without measure.

    Args:
        content: what came out of a pickle.
        size: bytes of the file, which limit how much the content may be when walked through.
        where: what the message starts with.
    """
    known: dict[int, tuple[int, int]] = {}  # by id: how much it unfolds to, how deep it is nested

    def measure(item: Any, depth: int) -> tuple[int, int]:
        if type(item) in LEAVES:
            return 1, 0
        if id(item) not in known:
            if depth > DEEPEST:  # also what contains itself
                raise RecursionError
            if type(item) is np.ndarray and not item.dtype.hasobject:
                known[id(item)] = 1 + item.nbytes, 0
            else:
                known[id(item)] = measure_all(parts(item), depth + 1)
        unfolded, height = known[id(item)]
        if depth + height > DEEPEST:
            raise RecursionError
        return unfolded, height

    def measure_all(items: Any, depth: int) -> tuple[int, int]:
        if LEAVES.issuperset(map(type, items)):
            return 1 + len(items), 1
        measures = [measure(item, depth) for item in items]
        return 1 + sum(m[0] for m in measures), 1 + max(m[1] for m in measures)

    def parts(item: Any) -> Any:
        if type(item) in (list, tuple, set, frozenset):
            return item
        if type(item) in (dict, collections.OrderedDict):
            return item.values()
        if type(item) is np.ndarray:
            return item.ravel().tolist()
        raise InputError(
            f"{where}: refused, it holds a class or function as content; only arrays, numbers, "
            "strings and plain containers are read"
        )

    # What stands in several places is walked through as often, though it is in memory once.
    if measure(content, 0)[0] > GROWTH * size + SPARE:
        raise InputError(f"{where}: refused, its content unfolds far beyond the file's size")


# ---- arrays ------------------------------------------------------------------------------


def dtype_named(name: Any) -> np.dtype:
    """The dtype of a name such as `f4` or `<U16`: numbers, strings and objects only."""
    if name in ("O", "|O", "O4", "O8"):
        return np.dtype(object)
    if type(name) is str and re.fullmatch(r"[<>|=]?([biufc]\d{1,2}|[SU][1-9]\d{0,8})", name):
        dtype = np.dtype(name)
        if dtype.type in LEAVES:
            return dtype
    described = name[:50] if type(name) is str else "of a structure"
    raise pickle.UnpicklingError(f"an array of the dtype {described}, which is not read")


def count(shape: Any) -> int:
    """How many elements an array of that shape has."""
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("an array's shape is no tuple of numbers from 0")
    return math.prod(shape)


def array_of(shape: Any, dtype: np.dtype, data: Any, order: Any = "C") -> np.ndarray:
    """The array over those bytes, which it shares."""
    return check_elements(np.ndarray(shape, dtype, raw(data, dtype, count(shape)), order=order))


def raw(data: Any, dtype: np.dtype, elements: int) -> bytes | bytearray:
    """The data, which must be the bytes of so many elements."""
    if type(data) is str:  # as Python 2 wrote them
        data = data.encode("latin1")
    if type(data) not in (bytes, bytearray) or dtype.hasobject:
        raise pickle.UnpicklingError(f"an array of {dtype} with a {type(data).__name__} as content")
    if len(data) != elements * dtype.itemsize:
        raise pickle.UnpicklingError(f"{elements} elements of {dtype} in {len(data)} bytes")
    return data


def check_elements(array: np.ndarray) -> np.ndarray:
    """The array, if its bytes are what the dtype allows: NumPy takes them on trust."""
    if array.dtype.kind in "bU" and array.size:
        bits = "u1" if array.dtype.kind == "b" else array.dtype.byteorder + "u4"
        flat = array.ravel("K").view(bits)
        if flat.max() > (1 if array.dtype.kind == "b" else sys.maxunicode):
            raise pickle.UnpicklingError(f"an array of {array.dtype} with impossible elements")
    return array


class PickledDtype:
    """A dtype in a pickle: first its name, then the byte order."""

    def __init__(self, name: Any, *_: Any):
        self.dtype = dtype_named(name)

    def set_state(self, state: Any) -> None:
        # version, byte order, subarray, names, fields, item size or -1, alignment, flags
        _, order, subarray, names, fields, item_size = state[:6]
        if (subarray, names, fields) != (None, None, None):
            raise pickle.UnpicklingError("an array with a structured dtype, which is not read")
        if item_size not in (-1, self.dtype.itemsize):
            raise pickle.UnpicklingError(f"{self.dtype} with elements of another size")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


def unpickled_dtype(item: Any) -> np.dtype:
    if type(item) is not PickledDtype:
        raise pickle.UnpicklingError("an array without dtype")
    return item.dtype


# ---- names -------------------------------------------------------------------------------


class _ClassName:
    """Stands for a class that is only ever an argument."""


class Discarded:
    """Stands for an object that nobody needs, whatever it is made of and whatever its state."""

    def __init__(self, *_: Any):
        pass


_NDARRAY = _ClassName()


def new_array(kind: Any, shape: Any, *_: Any) -> np.ndarray:
    """An array whose content comes later, by the pickle's BUILD operation."""
    if kind is not _NDARRAY or shape != (0,):
        raise pickle.UnpicklingError("an array made in another way than NumPy makes them")
    return np.empty(0, np.int8)


def _array_from_buffer(data, dtype, shape, order):
    return array_of(shape, unpickled_dtype(dtype), data, order)


def _number(dtype, data):
    return array_of((), unpickled_dtype(dtype), data)[()]


def _encoded(text, encoding):
    """Bytes, as the protocols without bytes write them."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in another encoding than Latin-1")
    return text.encode("latin1")


def _bytes():
    return b""


def _bytearray(data=b""):
    if type(data) is not bytes:
        raise pickle.UnpicklingError("a bytearray made of something else than bytes")
    return bytearray(data)


def _complex(real, imaginary):
    if type(real) is not float or type(imaginary) is not float:
        raise pickle.UnpicklingError("a complex number made of something else than floats")
    return complex(real, imaginary)


def _set(items=()):
    check_keys(items)
    return set(items)


def frozen_set(items=()):
    check_keys(items)
    return frozenset(items)


def _ordered_dict(pairs=()):
    check_keys(key for key, _ in pairs)
    return collections.OrderedDict(pairs)


def _default_dict(*_):
    return {}


_BUILTINS = {
    "bytes": _bytes, "bytearray": _bytearray, "complex": _complex,
    "set": _set, "frozenset": frozen_set,
    # What a defaultdict would make.
    "list": _ClassName(), "dict": _ClassName(), "int": _ClassName(), "float": _ClassName(),
}  # fmt: skip
_NUMPY = {
    ("multiarray", "_reconstruct"): new_array,
    ("multiarray", "scalar"): _number,
    ("numeric", "_frombuffer"): _array_from_buffer,
}

NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "defaultdict"): _default_dict,
    **{("builtins", name): value for name, value in _BUILTINS.items()},
    **{("__builtin__", name): value for name, value in _BUILTINS.items()},
    **{(f"numpy.core.{module}", name): value for (module, name), value in _NUMPY.items()},
    **{(f"numpy._core.{module}", name): value for (module, name), value in _NUMPY.items()},
}
"""What a pickle may ask for, and what it gets: a function of ours, or a stand-in."""
