"""Writes PyTorch's file layouts without PyTorch, for tests of the reader.

Independent of the reader: made from PyTorch's own `serialization.py` and checked against files
that PyTorch wrote (`test_files_written_by_torch` does so where PyTorch is installed).
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from unittest import mock

import numpy as np

STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip


class Storage:
    def __init__(self, array, elements=None):
        self.array = np.ascontiguousarray(array).ravel()
        self.elements = len(self.array) if elements is None else elements


class Tensor:
    """A view of a storage, in elements."""

    def __init__(self, array=None, *, storage=None, offset=0, shape=None, strides=None):
        if array is not None:
            array = np.asarray(array)
            shape = array.shape
            steps = np.cumprod((1, *shape[:0:-1]))[::-1] if shape else ()
            strides = tuple(int(step) for step in steps)
        self.storage = Storage(array) if storage is None else storage
        self.view = (offset, tuple(shape), tuple(strides), False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (self.storage, *self.view)


def _modules():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def named(name):
        def function():
            raise AssertionError

        function.__module__, function.__qualname__ = "torch._utils", name
        return function

    utils._rebuild_tensor_v2 = named("_rebuild_tensor_v2")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    return {"torch": torch, "torch._utils": utils}


class _Pickler(pickle.Pickler):
    def __init__(self, stream, legacy, storages):
        super().__init__(stream, protocol=2)
        self.legacy, self.storages = legacy, storages

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        key = next((k for k, s in self.storages.items() if s is item), str(len(self.storages)))
        self.storages[key] = item
        kind = getattr(sys.modules["torch"], STORAGES[item.array.dtype.name])
        pid = ("storage", kind, key, "cpu", item.elements)
        return (*pid, None) if self.legacy else pid


def pickled(content, legacy=False):
    storages = {}
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, _modules()):
        _Pickler(stream, legacy, storages).dump(content)
    return stream.getvalue(), storages


def zip_file(content, byte_order="little", compression=zipfile.ZIP_STORED, data=None):
    raw, storages = pickled(content)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", raw if data is None else data)
        archive.writestr("archive/byteorder", byte_order)
        for key, storage in storages.items():
            array = storage.array
            if byte_order == "big":
                array = array.byteswap()
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def legacy_file(content):
    raw, storages = pickled(content, legacy=True)
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [pickle.dumps(item, protocol=2) for item in head] + [raw]
    parts.append(pickle.dumps(list(storages), protocol=2))
    for storage in storages.values():
        parts += [struct.pack("<q", len(storage.array)), storage.array.tobytes()]
    return b"".join(parts)


def safetensors_file(arrays):
    import json

    header, data = {"__metadata__": {"format": "pt"}}, b""
    names = {"float32": "F32", "float16": "F16", "int64": "I64", "bfloat16": "BF16"}
    for name, array in arrays.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
