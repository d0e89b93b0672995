"""MATLAB files of version 5: against what SciPy writes, and against damage."""

import pathlib
import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from jrepose.data.formats.mat_files import read_mat
from jrepose.data.formats.mat_version_5 import read_version_5
from jrepose.errors import InputError

GENERATOR = np.random.default_rng(0)


def cells(*contents, shape=None):
    array = np.empty(len(contents), object)
    for index, content in enumerate(contents):
        array[index] = content
    return array.reshape(shape or (1, -1), order="F")


ARRAYS = {
    "doubles": GENERATOR.normal(size=(3, 4)),
    "singles": GENERATOR.normal(size=(2, 3, 4)).astype(np.float32),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "shorts": np.arange(-3, 3, dtype=np.int16).reshape(3, 2),
    "longs": np.array([[2**60, -1]], np.int64),
    "flags": np.array([[True, False, True]]),
    "one": np.array([[7.0]]),
    "none": np.empty((0, 5)),
}
CELLS = {
    "poses": cells(GENERATOR.normal(size=(4, 6)), np.empty((0, 0)), np.array([[1.0]])),
    "grid": cells(*(np.full((1, n + 1), n, float) for n in range(6)), shape=(2, 3)),
}
OTHERS = {
    "text": "hello",
    "record": {"x": 1.0, "y": "z"},
    "sparse": scipy.sparse.csc_matrix(np.eye(3)),
    "waves": np.ones((1, 2)) * 1j,
}
COMPRESSED = pytest.mark.parametrize("compressed", [False, True], ids=["stored", "compressed"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.mat"


@COMPRESSED
def test_reads_what_scipy_writes(path, compressed):
    scipy.io.savemat(path, ARRAYS | OTHERS | CELLS, do_compression=compressed)
    present, variables = read_version_5(path, [*ARRAYS, *CELLS])
    assert present == [*ARRAYS, *OTHERS, *CELLS]
    assert list(variables) == [*ARRAYS, *CELLS]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(variables[name], array)
        assert variables[name].flags.writeable
        if name != "flags":  # SciPy stores them as bytes.
            assert variables[name].dtype == array.dtype
    for name, array in CELLS.items():
        assert variables[name].dtype == object and variables[name].shape == array.shape
        for index in np.ndindex(array.shape):
            np.testing.assert_array_equal(variables[name][index], array[index])


def test_other_byte_order_and_small_storage(path):
    """A big-endian file whose doubles are stored as bytes, as MATLAB does with whole numbers."""
    part = lambda kind, data: struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)  # noqa: E731
    small = struct.pack(">HH", 4, 2) + bytes([1, 2, 3, 250])
    matrix = (
        part(6, struct.pack(">II", 6, 0))
        + part(5, struct.pack(">ii", 2, 2))
        + struct.pack(">HH", 1, 1) + b"x\0\0\0"
        + small
    )  # fmt: skip
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + part(14, matrix))
    (variable,) = read_version_5(path, ["x"])[1].values()
    assert variable.dtype == np.float64
    np.testing.assert_array_equal(variable, [[1, 3], [2, 250]])
    np.testing.assert_array_equal(scipy.io.loadmat(path)["x"], variable)


@COMPRESSED
@pytest.mark.parametrize(
    "name, what",
    [
        ("text", "text is text"),
        ("record", "record is a struct"),
        ("sparse", "sparse is a sparse matrix"),
        ("waves", "waves is complex"),
    ],
)
def test_other_classes_are_named(path, compressed, name, what):
    scipy.io.savemat(path, OTHERS, do_compression=compressed)
    with pytest.raises(InputError, match=f"{what}; expected real numbers"):
        read_version_5(path, [name])


def test_another_version(path):
    scipy.io.savemat(path, {"x": ARRAYS["doubles"]}, format="4")
    with pytest.raises(InputError, match="not a MATLAB file of version 5"):
        read_version_5(path, ["x"])


def test_a_variable_that_swells(path):
    scipy.io.savemat(path, {"x": np.zeros(2**25)}, do_compression=True)
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match="truncated, or much larger than the file"):
        read_mat(path, ["x"])


@COMPRESSED
def test_every_truncation_is_one_line(path, compressed):
    scipy.io.savemat(path, {"a": ARRAYS["doubles"], "c": CELLS["grid"]}, do_compression=compressed)
    content = path.read_bytes()
    for length in range(len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            read_mat(path, ["a"], cells=["c"])
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@COMPRESSED
def test_mutated_files_raise_only_input_errors(path, compressed):
    scipy.io.savemat(path, ARRAYS | CELLS | OTHERS, do_compression=compressed)
    content = path.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        mutated = bytearray(content)
        for place in generator.integers(120, len(mutated), generator.integers(1, 6)):
            mutated[place] = generator.choice([0, 1, 8, 14, 255, generator.integers(256)])
        path.write_bytes(mutated)
        try:
            read_mat(path, ["doubles", "bytes", "none"], cells=["poses"])
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and str(path) in str(error)
    assert refused > 50


def test_data_types_outside_the_table(path):
    """SciPy's own reader ends the process on some of these."""
    scipy.io.savemat(path, {"x": np.full((1, 3), 0.5)})
    content = path.read_bytes()
    place = content.index(struct.pack("<II", 9, 24))
    for kind in [0, 8, 10, 11, 14, 15, 16, 19, 255]:
        path.write_bytes(content[:place] + struct.pack("<I", kind) + content[place + 4 :])
        with pytest.raises(InputError, match=f"data type {kind} where numbers were expected"):
            read_mat(path, ["x"])


def test_files_that_matlab_wrote():
    folder = pathlib.Path(scipy.io.__file__).parent / "matlab/tests/data"
    paths = sorted(folder.glob("test[!h]*_[67].*.mat"))
    if not paths:
        pytest.skip("SciPy is installed without its test data")
    compared = 0
    for path in paths:
        present, _ = read_version_5(path, [])
        theirs = scipy.io.loadmat(path)
        assert set(present) <= set(theirs)
        for name in present:
            try:
                mine = read_version_5(path, [name])[1][name]
            except InputError:
                continue
            assert mine.shape == theirs[name].shape
            if mine.dtype != object:
                np.testing.assert_array_equal(mine, theirs[name])
                compared += 1
    assert compared >= 5
