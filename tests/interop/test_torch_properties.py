"""What holds for any checkpoint: files of PyTorch's own, and arbitrary content."""

import pathlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from interop.torch_writer import Storage, Tensor, legacy_file, safetensors_file, zip_file

from jrepose.interop import read_state_dict, read_torch_file, write_state_dict

FILES = pathlib.Path(__file__).parent / "files"
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")

names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def arrays(draw, dtypes=DTYPES):
    """Any bytes: NaN payloads, infinities and denormals come along."""
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), draw(shapes)
    if dtype.kind == "b":
        return draw(hnp.arrays(bool, shape))
    bits = draw(hnp.arrays(f"u{dtype.itemsize}", shape))
    return bits.view(dtype)


plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)
)
containers = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def same(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("name", ["zip", "stream"])
def test_files_that_pytorch_wrote(name):
    """Written by files/make.py with PyTorch itself."""
    base = np.arange(24, dtype=np.float32)
    found = read_torch_file(FILES / f"{name}.pth")
    assert (found["epoch"], found["lr"]) == (7, 5e-4)
    weights = read_state_dict(FILES / f"{name}.pth")
    same(weights["a.weight"], base.reshape(4, 6))
    same(weights["a.bias"], base[::4].astype(np.float16))
    same(weights["b.weight"], base.reshape(4, 6).T)
    same(weights["b.bias"], base[5:9].astype(ml_dtypes.bfloat16))
    same(weights["steps"], np.array(3))
    same(found["optimizer"]["state"][0]["exp_avg"], base[:2])


@pytest.mark.parametrize("layout", [zip_file, legacy_file])
@QUICK
@given(weights=st.dictionaries(names, arrays(), max_size=4), rest=containers)
def test_any_content_is_read_to_the_bit(tmp_path, layout, weights, rest):
    path = tmp_path / "file.pth"
    tensors = {name: Tensor(array) for name, array in weights.items()}
    path.write_bytes(layout({"rest": rest, "weights": tensors}))
    found = read_torch_file(path)
    assert found["rest"] == rest
    assert list(found["weights"]) == list(weights)
    for name, array in weights.items():
        same(found["weights"][name], array)


@QUICK
@given(data=st.data())
def test_any_view_of_a_shared_storage(tmp_path, data):
    base = np.arange(60, dtype=np.float32)
    storage, views = Storage(base), {}
    for number in range(data.draw(st.integers(1, 4))):
        shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
        strides = tuple(data.draw(st.integers(0, 4)) for _ in shape)
        reach = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        offset = data.draw(st.integers(0, 59 - reach))
        bytes_ = tuple(4 * step for step in strides)
        expected = np.lib.stride_tricks.as_strided(base[offset:], shape, bytes_)
        views[str(number)] = (
            Tensor(storage=storage, offset=offset, shape=shape, strides=strides),
            expected,
        )
    path = tmp_path / "file.pth"
    path.write_bytes(zip_file({name: tensor for name, (tensor, _) in views.items()}))
    found = read_torch_file(path)
    for name, (_, expected) in views.items():
        same(found[name], expected)


@QUICK
@given(
    weights=st.dictionaries(names, arrays(("float32", "float16", "bfloat16", "int64")), max_size=4)
)
def test_any_safetensors(tmp_path, weights):
    weights = {f"w.{name}": array for name, array in weights.items()}
    path = tmp_path / "file.safetensors"
    path.write_bytes(safetensors_file(weights))
    found = read_torch_file(path)
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        same(found[name], array)


@QUICK
@given(
    weights=st.dictionaries(names, arrays(("float32",)), min_size=1, max_size=4),
    entry=st.none() | names,
    data_parallel=st.booleans(),
)
def test_what_is_written_is_read(tmp_path, weights, entry, data_parallel):
    path = tmp_path / "file.pth"
    weights = {f"w.{name}": array for name, array in weights.items()}
    write_state_dict(weights, path, entry=entry, data_parallel=data_parallel)
    content = read_torch_file(path)
    found = content if entry is None else content[entry]
    prefix = "module." if data_parallel else ""
    assert list(found) == [prefix + name for name in weights]
    for name, array in weights.items():
        same(found[prefix + name], array)


@QUICK
@given(content=st.dictionaries(names, arrays(("float32", "int64", "bool")), max_size=4),
       zipped=st.booleans())  # fmt: skip
def test_any_content_written_by_torch(tmp_path, content, zipped):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "file.pth"
    tensors = {name: torch.from_numpy(array.copy()) for name, array in content.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    found = read_torch_file(path)
    for name, array in content.items():
        same(found[name], array)
    write_state_dict({"w": np.ones((2, 3), np.float32)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["w"], torch.ones(2, 3))
