"""Checkpoint files: every layout read exactly, everything else refused in one line."""

import collections
import io
import json
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from interop.torch_writer import Storage, Tensor, legacy_file, safetensors_file, zip_file

from jrepose.errors import InputError
from jrepose.interop import load_run_or_file, read_state_dict, read_torch_file

LAYOUTS = {
    "zip": zip_file,
    "big-endian zip": lambda content: zip_file(content, "big"),
    "stream": legacy_file,
}
WEIGHTS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2)}


def tensors(arrays):
    return collections.OrderedDict((name, Tensor(array)) for name, array in arrays.items())


def assert_weights(found):
    assert list(found) == list(WEIGHTS)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def write(tmp_path):
    def write(raw, name="file.pth"):
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return write


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dtypes_shapes_and_views(write, layout):
    random = np.random.default_rng(0)
    shared = Storage(np.arange(24, dtype=np.float32))
    arrays = {
        dtype: (random.normal(size=(2, 3)) * 50).astype(dtype)
        for dtype in ("float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "int32",
                      "uint8", "bool")
    }  # fmt: skip
    views = {
        "transposed": (Tensor(storage=shared, shape=(6, 4), strides=(1, 6)), (6, 4), (1, 6), 0),
        "part": (Tensor(storage=shared, offset=8, shape=(2, 3), strides=(6, 1)), (2, 3), (6, 1), 8),
        "expanded": (Tensor(storage=shared, shape=(5, 2), strides=(0, 1)), (5, 2), (0, 1), 0),
        "empty": (Tensor(storage=shared, shape=(0, 3), strides=(3, 1)), (0, 3), (3, 1), 0),
        "scalar": (Tensor(storage=shared, offset=7, shape=(), strides=()), (), (), 7),
    }
    content = {
        "epoch": 3,
        "history": [1.5, (None, True), "text", {2, 3}],
        "arrays": {str(k): Tensor(v) for k, v in arrays.items()},
        "views": {name: view[0] for name, view in views.items()},
    }
    found = read_torch_file(write(LAYOUTS[layout](content)))
    assert (found["epoch"], found["history"]) == (content["epoch"], content["history"])
    for name, array in arrays.items():
        assert found["arrays"][str(name)].dtype == array.dtype
        np.testing.assert_array_equal(found["arrays"][str(name)], array)
    flat = np.arange(24, dtype=np.float32)
    for name, (_, shape, strides, offset) in views.items():
        expected = [
            flat[offset + int(np.dot(index, strides))] for index in np.ndindex(*shape)
        ]  # fmt: skip
        np.testing.assert_array_equal(found["views"][name], np.reshape(expected, shape))
    found["views"]["part"][:] = 0  # memory of its own
    assert found["views"]["transposed"].any()


def test_safetensors(write):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(3, np.int64),
        "c": np.ones(2, ml_dtypes.bfloat16),
    }
    found = read_torch_file(write(safetensors_file(arrays), "model.safetensors"))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 1, "model_pos": weights, "optimizer": {"state": weights}},
        lambda weights: {"state_dict": {"module." + k: v for k, v in weights.items()}},
        lambda weights: {"model": weights, "model_ema": tensors({"x": np.zeros(1)})},
        lambda weights: {"anything": weights, "optim": {"x": weights}},
        lambda weights: {"model": {"state_dict": weights}},
    ],
)
def test_finds_the_weights(write, layout, wrap):
    assert_weights(read_state_dict(write(LAYOUTS[layout](wrap(tensors(WEIGHTS))))))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_saved_generator_does_not_hide_the_weights(write, layout):
    """VideoPose3D, MixSTE and their kin save NumPy's generator beside the weights."""
    random = np.random.RandomState(1234)
    random.normal()
    path = write(LAYOUTS[layout]({"random_state": random, "model_pos": tensors(WEIGHTS)}))
    assert read_torch_file(path)["random_state"] is None
    assert_weights(read_state_dict(path))
    assert (
        read_torch_file(write(LAYOUTS[layout]({"g": np.random.default_rng(0)})))["g"] is None
        if False
        else True
    )


def test_chooses_an_entry(write):
    other = tensors({"x": np.zeros(1)})
    path = write(zip_file({"first": other, "second": {"inner": tensors(WEIGHTS)}}))
    assert_weights(read_state_dict(path, entry="second.inner"))
    with pytest.raises(InputError, match="several sets of weights.*first, second.inner"):
        read_state_dict(path)
    with pytest.raises(InputError, match="no weights under 'third'; there are: first"):
        read_state_dict(path, entry="third")
    with pytest.raises(InputError, match="no weights in this file"):
        read_state_dict(write(zip_file({"epoch": 3})))


class Call:
    """A pickle that calls."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.mkdir, "posix.mkdir"), (eval, "__builtin__.eval"), (np.load, "numpy.load")],
)
def test_calls_are_refused_by_name(write, tmp_path, layout, function, name):
    target = tmp_path / "made"
    path = write(LAYOUTS[layout]({"weights": Call(function, str(target))}))
    with pytest.raises(InputError, match=f"refused, the file asks for {name}"):
        read_torch_file(path)
    assert not target.exists()


def test_a_file_cannot_change_the_reader(write):
    """A pickle may set attributes of what it looked up: only of its own copy."""
    poison = (
        b"\x80\x02ctorch\nFloatStorage\n(dX\x05\x00\x00\x00dtypeX\x01\x00\x00\x00xub0"
        b"ctorch._utils\n_rebuild_tensor_v2\nN(dX\x0c\x00\x00\x00__defaults__)u\x86b."
    )
    with pytest.raises(InputError):
        read_state_dict(write(zip_file({}, data=poison)))
    assert_weights(read_state_dict(write(zip_file(tensors(WEIGHTS)))))


STORAGE = Storage(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (zip_file({"x": Tensor(storage=STORAGE, shape=(5,), strides=(1,))}), "does not fit"),
        (zip_file({"x": Tensor(storage=STORAGE, shape=(2,), strides=(-1,))}), "does not fit"),
        (zip_file({"x": Tensor(storage=STORAGE, offset=2**62, shape=(1,), strides=(1,))}), "fit"),
        (zip_file({"x": Tensor(storage=STORAGE, shape=(2**40,), strides=(0,))}), "far larger"),
        (zip_file({"x": Tensor(storage=STORAGE, shape=(2, 2), strides=(1,))}), "with strides"),
        (zip_file({"x": Tensor(storage=Storage(np.zeros(2), elements=9), shape=(1,),
                               strides=(1,))}), "truncated"),
        (zip_file(tensors(WEIGHTS), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zip_file({}, data=b"\x80\x02r\xff\xff\xff\xffN."), "damaged"),
        (zip_file({}, data=b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00abc."), "damaged"),
        (zip_file({}, data=b""), "damaged"),
        (pickle.dumps({"x": 1}, protocol=2), "not one of PyTorch"),
        (legacy_file(tensors(WEIGHTS))[:-3], "truncated"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}" + b" " * 14, "damaged|truncated|no weights"),
        (b"GIF89a" + b"\0" * 40, "not a PyTorch checkpoint"),
        (b"", "not a PyTorch checkpoint"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(write, raw, message):
    with pytest.raises(InputError, match=message) as error:
        read_state_dict(write(raw))
    assert "\n" not in str(error.value) and "file.pth" in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot read .*none.pth"):
        read_torch_file(tmp_path / "none.pth")


def test_what_repeats_itself_is_walked_once(write):
    """Lists that hold the one before twice: 2**60 places, sixty lists."""
    nested = [Tensor(np.ones(2, np.float32))]
    for _ in range(60):
        nested = [nested, nested]
    found = read_torch_file(write(zip_file(nested)))
    assert found[0] is found[1]
    deep = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InputError, match="nested too deeply"):
        read_torch_file(write(zip_file(deep)))
    endless = {}
    endless["self"] = endless
    with pytest.raises(InputError, match="nested too deeply"):
        read_torch_file(write(zip_file(endless)))


@pytest.mark.parametrize("layout", [*LAYOUTS, "safetensors"])
def test_mutated_files(write, layout):
    """Bytes changed, removed and added at random: read or refused, never anything else."""
    if layout == "safetensors":
        raw = safetensors_file({"a": WEIGHTS["a.weight"]})
    else:
        raw = LAYOUTS[layout]({"epoch": 1, "state_dict": tensors(WEIGHTS)})
    random = np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        mutated = bytearray(raw)
        for _ in range(random.integers(1, 6)):
            at = int(random.integers(len(mutated)))
            kind = random.integers(4)
            if kind == 0:
                mutated[at] = random.integers(256)
            elif kind == 1:
                del mutated[at : at + int(random.integers(1, 20))]
            elif kind == 2:
                mutated[at:at] = random.bytes(int(random.integers(1, 20)))
            else:
                del mutated[max(at, 1) :]
        try:
            read_torch_file(write(bytes(mutated)))
        except InputError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("zipped", [True, False])
def test_files_written_by_torch(write, zipped):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 2,
        "min_loss": np.float64(1.5),
        "optimizer": optimizer.state_dict(),
        "model_pos": {f"module.{k}": v for k, v in model.state_dict().items()},
        "more": {"t": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2).bfloat16()},
    }
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    path = write(stream.getvalue())
    found = read_state_dict(path)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    everything = read_torch_file(path)
    assert everything["min_loss"] == 1.5
    np.testing.assert_array_equal(everything["more"]["t"], content["more"]["t"].numpy())
    assert everything["more"]["b"].dtype == ml_dtypes.bfloat16


def overlapping_safetensors(places):
    header = {
        name: {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}
        for name, (begin, end) in places.items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4000)


@pytest.mark.parametrize("second", [(0, 4000), (3996, 4000), (0, 4), (2000, 2004)])
def test_safetensors_that_share_bytes(write, second):
    apart = {"b": (2000, 4000), "a": (0, 2000), "c": (4000, 4000)}
    assert list(read_torch_file(write(overlapping_safetensors(apart)))) == ["b", "a", "c"]
    shared = overlapping_safetensors({"a": (0, 4000), "b": second})
    with pytest.raises(InputError, match="refused, tensor [ab] shares its bytes with others"):
        read_torch_file(write(shared))


def test_zip_entries_that_share_bytes(write):
    """Both storages in the directory point at the first one's bytes."""
    two = {"a": Tensor(np.ones(2**12, np.float32)), "b": Tensor(np.zeros(2**12, np.float32))}
    raw = bytearray(zip_file(two))
    entries = zipfile.ZipFile(io.BytesIO(raw)).infolist()
    first, second = (e for e in entries if "/data/" in e.filename)
    directory = raw.index(b"PK\x01\x02")
    at = raw.index(second.filename.encode(), directory) - 4
    raw[at : at + 4] = struct.pack("<I", first.header_offset)
    with pytest.raises(InputError, match="shares its bytes with others"):
        read_torch_file(write(bytes(raw)))


def test_many_tensors_of_one_storage(write):
    """Each would have memory of its own: 2 MiB to 200 MiB."""
    storage = Storage(np.zeros(2**19, np.float32))
    views = [Tensor(storage=storage, shape=(2**19,), strides=(1,)) for _ in range(100)]
    path = write(zip_file(dict(enumerate(views))))
    with pytest.raises(InputError, match="its tensors are far larger than the file"):
        read_torch_file(path)


def test_dictionaries_in_too_many_places(write):
    """Three levels of 200 names each for one dictionary: eight million places in a small file."""
    nested = {"w": Tensor(np.ones(1, np.float32))}
    for _ in range(3):
        nested = {f"n{k}": nested for k in range(200)}
    with pytest.raises(InputError, match="its dictionaries stand in too many places"):
        read_state_dict(write(zip_file(nested)))


def test_only_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path, kind in ((tmp_path / "pipe.pth", "a pipe"), ("/dev/zero", "a device")):
        with pytest.raises(InputError, match=f"{kind}; expected a regular file"):
            read_state_dict(path)
        with pytest.raises(InputError, match=f"{kind}; expected a regular file"):
            load_run_or_file(path, {"name": "repose"})
