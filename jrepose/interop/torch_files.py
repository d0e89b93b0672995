"""PyTorch checkpoint files, read without PyTorch and without trusting them.

A `.pth` file is a pickle, and a pickle can call anything.  It goes through the project's
restricted unpickler, which learns here what tensors and storages are; any other name in the
file is refused, and sizes are checked against the file before memory is taken.

Layouts: PyTorch's zip archives (1.6 and later), its older stream of pickles (0.1.10 to 1.5),
and safetensors.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import pathlib
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from jrepose.errors import InputError
from jrepose.files import Budget, check_zip, open_regular
from jrepose.interop.wrappers import below, is_average, unwrapped
from jrepose.restricted_pickle import LEAVES, NAMES, Discarded, load, reading
from jrepose.restricted_pickle.admitted import PickledDtype
from jrepose.restricted_pickle.messages import shown

_LOG = logging.getLogger(__name__)

StateDict = dict[str, np.ndarray]

# Names under which trainers keep the weights, the preferred first.
_WEIGHTS = (
    "model_pos", "state_dict", "model_state_dict", "model", "net", "network", "module",
    "model_state", "weights", "params",
)  # fmt: skip
_BESIDE = re.compile(
    r"optim|^opt$|sched|scaler|callback|hyper|loss|criterion|args|cfg|config|rng|random|metric"
    r"|history|backup|^state$|^loops$", re.IGNORECASE,
)  # fmt: skip

_DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
    "uint16", "uint32", "uint64", "bool", "complex64", "complex128",
)  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip
_SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16",
    "U32": "uint32", "U64": "uint64", "BOOL": "bool",
}  # fmt: skip

MODEL_NOTE = "jrepose_model.json"
"""Entry of a zip file of ours with the model's name and hyperparameters; PyTorch skips it."""

_LONGEST_NOTE = 2**16
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# Tensors may share and repeat elements, so they can be larger than the file, but not by much.
_LARGEST_GROWTH, _MOST_REPEATED = 8, 2**26
_DEEPEST = 100
_MOST_PLACES = 20_000


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """The content of a checkpoint file: containers as they are, tensors as arrays.

    Args:
        path: `.pth`, `.pt`, `.bin`, `.tar`, `.ckpt` or `.safetensors`; what it is is read from
            the content, not from the name.

    Returns:
        What was saved, usually nested dictionaries.  Tensors become NumPy arrays of their own
        dtype (bfloat16 as JAX's), each with memory of its own; NumPy arrays stay such.

    Raises:
        InputError: no such file, another format, a damaged file, or one that contains anything
            but tensors, arrays and plain containers (the message names it).
    """
    path = pathlib.Path(path)
    with reading(str(path), "PyTorch file"), open_regular(path) as file:
        return _read(file, path, os.fstat(file.fileno()).st_size)


def read_state_dict(path: str | os.PathLike[str], entry: str | None = None) -> StateDict:
    """The weights in a checkpoint file, `{name: array}`.

    Args:
        path: see `read_torch_file`.
        entry: which part of the file, `"model_ema"` or `"outer.inner"` for instance.  By default
            the file itself if it is a state dict, else the entry under a name that trainers
            use (`model_pos`, `state_dict`, `model`, ...), else the only one.  The parts of a list
            are `"0"`, `"1"` and so on; of several the first is meant.

    Returns:
        The arrays in the file's order, without the `module.` and the like that wrappers put
        before every name and without entries that are no arrays.

    Raises:
        InputError: as `read_torch_file`; or no weights, no such entry, or several that could be
            meant (the message lists them).
    """
    with reading(str(path), "PyTorch file"):
        found = _state_dicts(read_torch_file(path), set_aside=entry is None)
    if not found:
        raise InputError(f"{path}: no weights in this file (no dictionary of tensors)")
    listing = ", ".join(name or "the file itself" for name in found)
    if entry is None:
        entry = _usual_entry(found)
        if entry is None:
            raise InputError(f"{path}: several sets of weights, choose one: {listing}")
        averages = [name for name in found if is_average(name) and not is_average(entry)]
        if averages:
            _LOG.info(
                "%s: weights and their moving average: taken %s, not %s (%s::%s or --entry takes "
                "that)", path, entry, ", ".join(averages), path, averages[0],
            )  # fmt: skip
    if entry in found:
        return unwrapped(found[entry])
    # A prefix in the names of one of them.
    for name, arrays in found.items():
        prefix = entry.removeprefix(f"{name}.") if name else entry
        if part := below(arrays, prefix):
            return part
    raise InputError(f"{path}: no weights under {entry!r}; there are: {listing}")


def read_model(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_state_dict` noted about the model: its name and hyperparameters.

    Args:
        path: as for `read_torch_file`.

    Returns:
        `{"name": ..., HYPERPARAMETER: ...}`, or None if the file says nothing of it.

    Raises:
        InputError: the file cannot be read, or the note is damaged.
    """
    with reading(str(path), "PyTorch file"), open_regular(path) as file:
        if file.read(4) != b"PK\x03\x04":
            return None
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            notes = [i for i in archive.infolist() if i.filename.rpartition("/")[2] == MODEL_NOTE]
            if not notes:
                return None
            if len(notes) > 1 or notes[0].file_size > _LONGEST_NOTE:
                raise ValueError(f"{MODEL_NOTE} is none of ours")
            model = json.loads(archive.read(notes[0]))
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            raise ValueError(f"{MODEL_NOTE} names no model")
        return model


def _usual_entry(found: Mapping[str, StateDict]) -> str | None:
    """The entry that is meant where none is named; None if that cannot be told."""
    preferred = ["", *_WEIGHTS, *(f"{a}.{b}" for a in _WEIGHTS for b in _WEIGHTS), "0"]
    for name in preferred:
        if name in found:
            return name
    trained = [name for name in found if not is_average(name)] or list(found)
    return trained[0] if len(trained) == 1 else None


def _state_dicts(content: Any, *, set_aside: bool) -> dict[str, StateDict]:
    """Dictionaries that hold arrays under names, by where they stand.

    `set_aside` leaves out what by its name is a state of the training, not of the network.
    """
    visited = 0

    def search(item: Any, prefix: str, depth: int) -> dict[str, StateDict]:
        nonlocal visited
        visited += 1
        if isinstance(item, list | tuple) and not depth:
            item = {str(place): value for place, value in enumerate(item)}
        if not isinstance(item, Mapping) or depth > 3:
            return {}
        if visited > _MOST_PLACES:
            raise ValueError("its dictionaries stand in too many places")
        found: dict[str, StateDict] = {}
        for name, value in item.items():
            if isinstance(name, str) and not (set_aside and _BESIDE.search(name)):
                found |= search(value, f"{prefix}.{name}" if prefix else name, depth + 1)
        arrays = {
            name: value
            for name, value in item.items()
            if isinstance(name, str) and isinstance(value, np.ndarray) and value.dtype != object
        }
        return found or ({prefix: arrays} if arrays else {})

    return search(content, "", 0)


def _read(file: BinaryIO, path: pathlib.Path, size: int) -> Any:
    start = file.read(16)
    file.seek(0)
    if start[:4] == b"PK\x03\x04":
        return _read_zip(file, path, size)
    if start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= size:
        return _read_safetensors(file, path, size)
    if start[:1] == b"\x80":
        return _read_stream(file, path, size)
    if _looks_like_tar(file):
        raise InputError(f"{path}: tar archive of a PyTorch before 0.1.10, which is not read")
    raise InputError(f"{path}: not a PyTorch checkpoint (neither zip, pickle nor safetensors)")


def _looks_like_tar(file: BinaryIO) -> bool:
    file.seek(257)
    return file.read(5) == b"ustar"


# ---- the three layouts -------------------------------------------------------------------


def _read_zip(file: BinaryIO, path: pathlib.Path, size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        check_zip(archive, Budget(size, path))
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.rsplit("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise InputError(f"{path}: a zip file, but not one of PyTorch (no single data.pkl)")
        folder = pickles[0].removesuffix("data.pkl")

        def entry(name: str) -> bytes:
            info = entries[folder + name]
            # PyTorch never compresses, so nothing can be larger than the file.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise InputError(f"{path}: entry {info.filename} is compressed, expected stored")
            return archive.read(info)

        byte_order = "<"
        if folder + "byteorder" in entries and entry("byteorder").strip() == b"big":
            byte_order = ">"
        storages: dict[str, bytes] = {}

        def data(storage: _Storage) -> np.ndarray:
            if storage.key not in storages:
                if folder + "data/" + storage.key not in entries:
                    raise InputError(f"{path}: entry data/{storage.key} is missing")
                storages[storage.key] = entry("data/" + storage.key)
            return _elements(storages[storage.key], storage, byte_order, path)

        raw = entry("data.pkl")
        return _resolve(_unpickle(io.BytesIO(raw), len(raw), path), data, path, size)


def _read_stream(file: BinaryIO, path: pathlib.Path, size: int) -> Any:
    if _unpickle(file, size, path) != _LEGACY_MAGIC:
        raise InputError(f"{path}: a pickle, but not one of PyTorch")
    protocol = _unpickle(file, size, path)
    if protocol != _LEGACY_PROTOCOL:
        raise InputError(f"{path}: another PyTorch file protocol than {_LEGACY_PROTOCOL}")
    system, content, keys = (_unpickle(file, size, path) for _ in range(3))
    byte_order = "<" if system.get("little_endian", True) else ">"
    if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
        raise InputError(f"{path}: damaged PyTorch file (list of storages)")
    # The sizes of elements are known from the tensors only.
    item_sizes = {s.key: s.dtype.itemsize for s in _storages(content)}
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        length = count * item_sizes.get(str(key), 0)
        if count < 0 or length > size - file.tell():
            raise InputError(f"{path}: truncated: storage {key} ends beyond the file")
        storages[str(key)] = file.read(length)

    def data(storage: _Storage) -> np.ndarray:
        if storage.key not in storages:
            raise InputError(f"{path}: storage {storage.key} is missing")
        return _elements(storages[storage.key], storage, byte_order, path)

    return _resolve(content, data, path, size)


def _read_safetensors(file: BinaryIO, path: pathlib.Path, size: int) -> StateDict:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length).decode("utf-8"))
    header.pop("__metadata__", None)
    start, arrays, last = 8 + length, {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in _SAFETENSORS:
            raise InputError(
                f"{path}: tensor {shown(name)} has the dtype {entry['dtype']}, not read"
            )
        dtype = jnp.dtype(_SAFETENSORS[entry["dtype"]])
        shape = tuple(int(extent) for extent in entry["shape"])
        begin, end = (int(offset) for offset in entry["data_offsets"])
        if not 0 <= begin <= end <= size - start or min(shape, default=0) < 0:
            raise InputError(f"{path}: truncated: tensor {shown(name)} ends beyond the file")
        if math.prod(shape) * dtype.itemsize != end - begin:
            raise InputError(
                f"{path}: tensor {shown(name)} of shape {shape} has {end - begin} bytes"
            )
        if begin < last:
            raise InputError(f"{path}: refused, tensor {shown(name)} shares its bytes with others")
        last = max(last, end)
        file.seek(start + begin)
        data = np.frombuffer(file.read(end - begin), dtype.newbyteorder("<"))
        arrays[name] = data.reshape(shape).astype(dtype)
    return {name: arrays[name] for name in header}


# ---- tensors and storages ----------------------------------------------------------------


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's elements are; `key` names the raw data."""

    dtype: np.dtype
    key: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Untyped:
    """Stands for a storage class; names its dtype."""

    dtype: np.dtype


class _Dtype(_Untyped):
    """Stands for `torch.float32` and the like."""


def _elements(raw: bytes, storage: _Storage, byte_order: str, path: pathlib.Path) -> np.ndarray:
    """A storage's bytes, byte by byte in the machine's order of `storage.dtype`."""
    if len(raw) < storage.elements * storage.dtype.itemsize:
        raise InputError(f"{path}: truncated: storage {storage.key} has {len(raw)} bytes")
    whole = len(raw) - len(raw) % storage.dtype.itemsize
    array = np.frombuffer(raw, np.uint8, count=whole)
    if byte_order == ">" and storage.dtype.itemsize > 1:
        array = array.reshape(-1, storage.dtype.itemsize)[:, ::-1].ravel()
    return array


def _array(tensor: _Tensor, raw: np.ndarray, path: pathlib.Path) -> np.ndarray:
    """The tensor's elements, gathered from its storage."""
    available = len(raw) // tensor.dtype.itemsize
    count = math.prod(tensor.shape)
    last = tensor.offset
    if count:
        last += sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or (count and last >= available):
        raise InputError(
            f"{path}: a tensor of shape {tensor.shape} does not fit into its storage of "
            f"{available} elements"
        )
    flat = raw[: available * tensor.dtype.itemsize].view(tensor.dtype)
    strides = tuple(step * tensor.dtype.itemsize for step in tensor.strides)
    if not count:
        return np.zeros(tensor.shape, tensor.dtype)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()


def _walk(content: Any, visit: Callable[[Any], Any]) -> Any:
    """The content with `visit` applied to all that is no container, dictionaries made plain.

    What stands in several places is visited once, so the work is bounded by the file's size.
    """
    done: dict[int, Any] = {}

    def walk(item: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise RecursionError
        if id(item) in done:
            return done[id(item)]
        if isinstance(item, Mapping):
            result = {key: walk(value, depth + 1) for key, value in item.items()}
        elif isinstance(item, (list, tuple, set, frozenset)):
            result = type(item)([walk(value, depth + 1) for value in item])
        else:
            result = visit(item)
        done[id(item)] = result
        return result

    return walk(content, 0)


def _storages(content: Any) -> list[_Storage]:
    found = []

    def visit(item):
        if isinstance(item, (_Tensor, _Storage)):
            found.append(item.storage if isinstance(item, _Tensor) else item)

    _walk(content, visit)
    return found


def _resolve(
    content: Any, data: Callable[[_Storage], np.ndarray], path: pathlib.Path, size: int
) -> Any:
    """The content with arrays in the place of tensors."""
    left = _LARGEST_GROWTH * size + _MOST_REPEATED

    def visit(item):
        nonlocal left
        if isinstance(item, _Storage):
            item = _Tensor(item, item.dtype, 0, (item.elements,), (1,))
        if isinstance(item, _Tensor):
            left -= math.prod(item.shape) * item.dtype.itemsize
            if left < 0:
                raise InputError(f"{path}: refused, its tensors are far larger than the file")
            return _array(item, data(item.storage), path)
        if isinstance(item, (_Untyped, PickledDtype)):
            return str(item.dtype)
        if isinstance(item, Discarded) or item is Discarded:
            return None
        if type(item) in LEAVES or (isinstance(item, np.ndarray) and not item.dtype.hasobject):
            return item
        raise InputError(f"{path}: refused, it holds more than tensors, arrays and containers")

    return _walk(content, visit)


# ---- the pickle inside -------------------------------------------------------------------


def _unpickle(stream: io.BufferedIOBase, size: int, path: pathlib.Path) -> Any:
    """The next pickle of the stream, with `_Tensor`s and `_Storage`s in it."""

    def storage(pid: Any) -> _Storage:
        kind, storage_class, key, _, elements = pid[:5]
        if kind != "storage" or not isinstance(storage_class, _Untyped):
            raise pickle.UnpicklingError("a storage without type")
        if not isinstance(key, (str, int)):
            raise pickle.UnpicklingError("a storage without name")
        if len(pid) > 5 and pid[5] is not None:
            raise InputError(f"{path}: storages that are views of others are not read")
        return _Storage(storage_class.dtype, str(key), int(elements))

    return load(stream, size, str(path), _NAMES, storage)


def _rebuild_tensor(storage, offset, shape, strides, *rest):
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without storage")
    # Version 3 names the dtype last, over an untyped storage.
    dtype = next((item.dtype for item in rest if isinstance(item, _Dtype)), storage.dtype)
    shape, strides = (tuple(int(x) for x in values) for values in (shape, strides))
    if len(shape) != len(strides) or len(shape) > 32:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} with strides {strides}")
    return _Tensor(storage, dtype, int(offset), shape, strides)


def _rebuild_parameter(data, *_):
    return data


def _size(extents=()):
    return tuple(extents)


def _device(kind, index=None):
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise pickle.UnpicklingError("a device without name")
    return kind if index is None else f"{kind}:{index}"


_PATHS = ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
# Settings, counts and states of training, which are passed over.
_PASSED_OVER: Mapping[str, Sequence[str]] = {
    "argparse": ("Namespace",), "types": ("SimpleNamespace",), "typing": ("Any",),
    "pathlib": _PATHS, "pathlib._local": _PATHS,
    "datetime": ("date", "datetime", "timedelta"), "collections": ("Counter", "deque"),
    "easydict": ("EasyDict",), "addict.addict": ("Dict",), "yacs.config": ("CfgNode",),
    "fvcore.common.config": ("CfgNode",), "mmengine.config.config": ("Config", "ConfigDict"),
    "ml_collections.config_dict.config_dict": ("ConfigDict", "FrozenConfigDict"),
    "omegaconf.dictconfig": ("DictConfig",), "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.nodes": ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "StringNode"),
    **dict.fromkeys(
        ("pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing",
         "lightning_fabric.utilities.data", "lightning.fabric.utilities.data"),
        ("AttributeDict",),
    ),
    "torch.torch_version": ("TorchVersion",),
    "torch.optim.adam": ("Adam",), "torch.optim.adamw": ("AdamW",), "torch.optim.sgd": ("SGD",),
    "torch.optim.rmsprop": ("RMSprop",),
    "torch.optim.lr_scheduler": (
        "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
        "LambdaLR", "LinearLR", "MultiStepLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR",
        "StepLR",
    ),
    "torch.cuda.amp.grad_scaler": ("GradScaler",), "torch.amp.grad_scaler": ("GradScaler",),
}  # fmt: skip


_NAMES: Mapping[tuple[str, str], Any] = {
    **NAMES,
    **{
        (module, name): value
        for module in ("torch", "torch.storage", "torch.cuda")
        for name, value in (
            *((name, _Untyped(jnp.dtype(dtype))) for name, dtype in _STORAGES.items()),
            ("UntypedStorage", _Untyped(np.dtype(np.uint8))),
            *((name, _Dtype(jnp.dtype(name))) for name in _DTYPES),
        )
    },
    **{(module, name): Discarded for module in _PASSED_OVER for name in _PASSED_OVER[module]},
    # The state of NumPy's generator, which trainers grown from VideoPose3D save.
    **{
        ("numpy.random._pickle", name): Discarded
        for name in ("__randomstate_ctor", "__bit_generator_ctor")
    },
    ("numpy.random._mt19937", "MT19937"): Discarded,
    ("numpy.random", "__RandomState_ctor"): Discarded,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}
