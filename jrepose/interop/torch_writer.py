"""PyTorch checkpoint files, written without PyTorch.

The zip layout of PyTorch 1.6 and later: a pickle of the dictionary, in which every tensor
names a file of raw numbers beside it.  `torch.load` reads it with `weights_only=True`.
"""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.errors import InputError
from jrepose.files import atomic_path
from jrepose.interop.torch_files import MODEL_NOTE

# What weights and buffers are made of.
_STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage",
    "int32": "IntStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip


def write_state_dict(
    state_dict: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    *,
    entry: str | None = None,
    data_parallel: bool = False,
    model: Mapping[str, Any] | None = None,
) -> None:
    """Writes weights so that PyTorch reads them.

    Args:
        state_dict: key -> array, as `to_torch` gives it.
        path: file to write, replaced if it exists.
        entry: put the weights under this name in an outer dictionary, `"model_pos"` for the
            trainers that grew from VideoPose3D.
        data_parallel: put `module.` before every key, for a model inside
            `torch.nn.DataParallel`.
        model: name and hyperparameters to note in the file, for `read_model`; PyTorch does not
            look at them, and forgets them when it saves the weights again.

    Raises:
        InputError: an array of a data type that PyTorch has not, or the file system refuses.
    """
    prefix = "module." if data_parallel else ""
    arrays = {prefix + key: np.asarray(array, order="C") for key, array in state_dict.items()}
    for key, array in arrays.items():
        if array.dtype.name not in _STORAGES:
            raise InputError(
                f"cannot write {path}: {key} is {array.dtype}, expected {', '.join(_STORAGES)}"
            )
    content = _mapping({key: _tensor(n, array) for n, (key, array) in enumerate(arrays.items())})
    if entry is not None:
        content = _mapping({entry: content})
    path = pathlib.Path(path)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        folder = path.stem or "archive"
        archive.writestr(f"{folder}/data.pkl", pickle.PROTO + b"\x02" + content + pickle.STOP)
        archive.writestr(f"{folder}/byteorder", "little")
        for number, array in enumerate(arrays.values()):
            archive.writestr(f"{folder}/data/{number}", _little_endian(array))
        archive.writestr(f"{folder}/version", "3\n")
        if model is not None:
            archive.writestr(f"{folder}/{MODEL_NOTE}", json.dumps(dict(model)))


# The pickle is put together by hand: the names in it are PyTorch's, which is not there to ask.


def _mapping(items: Mapping[str, bytes]) -> bytes:
    pairs = b"".join(_text(key) + value for key, value in items.items())
    return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS


def _tensor(number: int, array: np.ndarray) -> bytes:
    """`torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`."""
    storage = _tuple(
        _text("storage"),
        _name("torch", _STORAGES[array.dtype.name]),
        _text(str(number)),
        _text("cpu"),
        _integer(array.size),
    )
    strides = [step // array.itemsize for step in array.strides]
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,
        _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE,
    )
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return pickle.BINUNICODE + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
