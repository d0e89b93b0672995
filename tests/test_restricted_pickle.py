"""Pickles and archives: whatever is plain comes back exactly, everything else is one line."""

import collections
import contextlib
import functools
import io
import os
import pathlib
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jrepose.errors import InputError
from jrepose.files import GROWTH
from jrepose.restricted_pickle import load, read_npz, read_pickle

PROTOCOLS = range(6)
RANDOM = np.random.default_rng(0)


def arrays():
    kinds = ("f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", ">i8", "u1", "u8", "c8", "c16", "?")
    return {
        **{f"kind {kind}": (RANDOM.normal(size=(2, 3)) * 9).astype(kind) for kind in kinds},
        "large": RANDOM.normal(size=(40, 17, 3)).astype(np.float32),
        "Fortran": np.asfortranarray(RANDOM.normal(size=(30, 50))),
        "every second": np.arange(500)[::2],
        "empty": np.zeros((0, 17, 2), np.float32),
        "no dimensions": np.array(1.5),
        "text": np.array([["S9", "Überall"], ["", "日本"]]),
        "bytes": np.array([b"ab", b"\xff\x00c"]),
    }


def objects():
    """Object arrays, the shapes in which archives keep pickles."""
    table = np.empty((2, 2), dtype=object, order="F")
    table[:] = [[None, "b"], [{"c": np.ones(3)}, [1, 2]]]
    nested = np.empty(2, dtype=object)
    nested[:] = [np.array([1, "x"], dtype=object), np.zeros((2, 2))]
    return {
        "table": table,
        "nested": nested,
        "column": np.array(["a", 1, None], dtype=object),
        "empty": np.empty((0, 2), dtype=object),
    }


def plain():
    return {
        "numbers": [
            0,
            -1,
            255,
            65536,
            -(2**31),
            2**40,
            -(2**90),
            2**3000,
            1.5,
            -0.0,
            1e300,
            2 + 1j,
        ],
        "constants": (None, True, False),
        "text": ["", "a", "Straße", "x" * 300, "日本" * 200, "\udc80", "line\nline 'quoted' \\"],
        "bytes": [b"", b"ab", b"\xff\x00" * 300, bytearray(b"ab"), bytearray()],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)),
        "sets": [{1, "a"}, set(), frozenset({b"b", None})],
        "ordered": collections.OrderedDict([("b", 1), ("a", collections.OrderedDict())]),
        ("tuple", 1): {1: 2, None: 3, 2.5: 4, False: 5},
        "many": list(range(3000)),
        "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("é"), np.bytes_(b"b")],
    }


def videopose3d():
    """Subjects, actions, cameras, as in VideoPose3D's archives."""
    actions = {
        "Walking 1": [RANDOM.normal(size=(20, 17, 2)).astype(np.float32) for _ in range(4)],
        "Sitting": [np.zeros((0, 17, 2), np.float32)],
    }
    return {
        "positions_2d": {"S1": actions, "S11": actions},
        "metadata": {
            "layout_name": "h36m", "num_joints": 17,
            "keypoints_symmetry": [[4, 5, 6], [1, 2, 3]],
            "video_metadata": {"v.mp4": {"w": 1000, "h": 1002}},
        },
    }  # fmt: skip


def same(found, expected):
    """Equal in values, types, dtypes, shapes and order."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        assert found.shape == expected.shape
        if expected.dtype == object:
            for one, other in zip(found.ravel(), expected.ravel(), strict=True):
                same(one, other)
        else:
            np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        assert list(map(type, found)) == list(map(type, expected))
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


@pytest.fixture
def write(tmp_path):
    def write(raw, name="file.pkl"):
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return write


def archive(compress=False, **entries):
    stream = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(stream, **entries)
    return stream.getvalue()


def zipped(entries, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as file:
        for name, raw in entries.items():
            file.writestr(name, raw)
    return stream.getvalue()


def npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), **options)
    return stream.getvalue()


def header(text, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


def refused(read, path, message, *words):
    with pytest.raises(InputError, match=message) as error:
        read(path)
    line = str(error.value)
    assert "\n" not in line and str(path) in line and len(line) < len(str(path)) + 600
    for word in words:
        assert word in line


# ---- what is read ------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("content", [plain, arrays, objects, videopose3d])
def test_pickles_come_back_exactly(write, protocol, content):
    expected = content()
    same(read_pickle(write(pickle.dumps(expected, protocol))), expected)


@pytest.mark.parametrize("compress", [False, True])
def test_archives_come_back_exactly(write, compress):
    plain_entries, object_entries = arrays(), {f"object {k}": v for k, v in objects().items()}
    path = write(archive(compress, **plain_entries, **object_entries), "file.npz")
    same(read_npz(path), {**plain_entries, **object_entries})
    found = read_npz(path)["Fortran"]
    assert found.flags.f_contiguous and not found.flags.c_contiguous


@pytest.mark.parametrize("compress", [False, True])
def test_dictionaries_in_archives_are_unwrapped(write, compress):
    expected = {**videopose3d(), "data": plain()}
    same(read_npz(write(archive(compress, **expected), "file.npz")), expected)


def test_one_array(write):
    array = arrays()["large"]
    for version in ((1, 0), (2, 0), (3, 0)):
        same(read_npz(write(npy(array, version=version), "a.npy")), {"arr_0": array})
    same(read_npz(write(npy(np.array({"a": array})), "a.npy")), {"arr_0": {"a": array}})
    python2 = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n")
    same(read_npz(write(python2 + b"\0" * 24, "a.npy")), {"arr_0": np.zeros((2, 3), np.float32)})


def test_names_of_older_numpy(write):
    array = arrays()["large"]
    raw = pickle.dumps([array, np.float64(2.5)], 2)
    assert b"cnumpy._core.multiarray\n" in raw
    older = raw.replace(b"cnumpy._core", b"cnumpy.core")
    same(read_pickle(write(older)), [array, np.float64(2.5)])
    raw = pickle.dumps(array, 5)
    older = raw.replace(b"\x13numpy._core.numeric", b"\x12numpy.core.numeric")
    assert older != raw
    same(read_pickle(write(older)), array)


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 did: bytes without a word on what they encode."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, item):
        raw = item.encode("latin1") if isinstance(item, str) else item
        if not self.bin:
            self.write(b"S'" + raw.decode("latin1").encode("unicode_escape") + b"'\n")
        elif len(raw) < 256:
            self.write(b"U" + bytes([len(raw)]) + raw)
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(item)

    dispatch[str] = dispatch[bytes] = save_string

    def memoize(self, item):  # its C version counted from 1
        self.memo.setdefault(None, (0, None))
        super().memoize(item)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_pickles_of_python_2(write, protocol):
    expected = {
        "S\xe91": [np.arange(1000, dtype=np.float32).reshape(100, 10), np.arange(3.0)],
        "text": ["a", "x" * 300, "\xff\x80'"],
        "numbers": [1, 2.5, 2**70, np.float64(0.5)],
    }
    stream = io.BytesIO()
    Python2Pickler(stream, protocol).dump(expected)
    same(read_pickle(write(stream.getvalue())), expected)


def test_default_dicts_are_dictionaries(write):
    content = collections.defaultdict(list, a=[1])
    for protocol in PROTOCOLS:
        same(read_pickle(write(pickle.dumps(content, protocol))), {"a": [1]})


def test_shared_content_is_shared(write):
    array = arrays()["large"]
    found = read_pickle(write(pickle.dumps([array, array], 4)))
    assert found[0] is found[1]
    # Equal strings that the file has many times exist once.
    names = ["".join(["camera ", str(i % 2)]) for i in range(20)]
    found = read_pickle(write(pickle.dumps(names, 4)))
    assert found == names and found[0] is found[2]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner)
    | st.dictionaries(st.tuples(st.text(), st.integers(-(2**60), 2**60)), inner),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_any_plain_content_comes_back(write, content, protocol):
    same(read_pickle(write(pickle.dumps(content, protocol))), content)


# ---- what is refused ---------------------------------------------------------------------


class Call:
    """A pickle that calls."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = {
    "posix.mkdir": (os.mkdir, "TARGET"),
    "posix.system": (os.system, "mkdir TARGET"),
    "eval": (eval, "__import__('os').mkdir('TARGET')"),
    "exec": (exec, "__import__('os').mkdir('TARGET')"),
    "getattr": (getattr, os, "mkdir"),
    "functools.partial": (functools.partial, os.mkdir, "TARGET"),
    "numpy.load": (np.load, "TARGET"),
    "pathlib.Path": (pathlib.Path, "TARGET"),
    "open": (open, "TARGET", "w"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_calls_are_refused_by_name(write, tmp_path, protocol, name):
    target = tmp_path / "made"
    function, *arguments = CALLS[name]
    if os in arguments:
        arguments = ["os", "mkdir"]  # modules cannot be pickled
    arguments = [a.replace("TARGET", str(target)) if type(a) is str else a for a in arguments]
    call = Call(function, *arguments)
    # Where a function lives differs between Pythons: io or _io, pathlib or pathlib._local.
    module = r"(posix|nt|builtins|__builtin__|_?io|pathlib|pathlib\._local|functools|numpy)"
    message = rf"refused, the file asks for {module}\.{name.rpartition('.')[2]}"
    refused(read_pickle, write(pickle.dumps({"a": call}, protocol)), message)
    entries = {"a": np.array([call], dtype=object), "b": np.ones(2)}
    stream = io.BytesIO()
    np.savez(stream, **entries)
    refused(read_npz, write(stream.getvalue(), "f.npz"), message, "entry a")
    assert not target.exists()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


MADE = "MADE"  # stands for a path that must not be made


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"cos\nmkdir\n(V" + b"MADE\ntR.", "asks for os.mkdir"),
        (b"(V" + b"MADE\nios\nmkdir\n.", "asks for os.mkdir"),
        (b"(cos\nmkdir\nV" + b"MADE\no.", "asks for os.mkdir"),
        (text("os") + text("mkdir") + b"\x93" + text(MADE) + b"\x85R.", "asks for os.mkdir"),
        (text("numpy.core.multiarray") + text("os.system") + b"\x93.", "multiarray.os.system"),
        (text("builtins") + text("set.__init__") + b"\x93.", "builtins.set.__init__"),
        (b"cos\nmkdir\n" + text(MADE) + b"\x85\x81.", "asks for os.mkdir"),
        (b"cjrepose.not_there\nx\n.", "asks for jrepose.not_there.x"),
        (text("a\nb") + text("c\x1b[0m") + b"\x93.", r"asks for 'a\\nb.c\\x1b\[0m'"),
        (b"cbuiltins\nset\n)\x81.", "uses the operation NEWOBJ"),
        (b"cbuiltins\nset\n)}\x92.", "uses the operation NEWOBJ_EX"),
        (b"(cbuiltins\nset\no.", "uses the operation OBJ"),
        (b"(ibuiltins\nset\n.", "uses the operation INST"),
        (b"\x82\x01.", "uses the operation EXT1"),
        (b"\x83\x01\x01.", "uses the operation EXT2"),
        (b"\x84\x01\x01\x01\x01.", "uses the operation EXT4"),
        (b"\x97.", "uses the operation NEXT_BUFFER"),
        (b"]\x98.", "uses the operation READONLY_BUFFER"),
        (b"Pid\n.", "refers to objects outside of it"),
        (b"]Q.", "refers to objects outside of it"),
        (b"cbuiltins\nset\n.", "holds a class or function"),
        (b"cnumpy\nndarray\n.", "holds a class or function"),
        (b"]cnumpy\ndtype\n" + text("f4") + b"\x85Ra.", "holds a class or function"),
        (b"cnumpy\nndarray\n)R.", "no function"),
        (b"]K\x01\x85R.", "no function"),
        (b"cbuiltins\nset\n]R.", "no function"),
        # The state of one thing given to another: no attribute of anything is ever set.
        (b"cbuiltins\nset\n}" + text("x") + b"K\x01sb.", "a state for something that has none"),
        (b"]}b.", "a state for something that has none"),
        (b"cnumpy\ndtype\n" + text("f4") + b"\x85RK\x01a.", "an operation meant for a list"),
        (b"}]K\x01e.", "damaged"),
    ],
)
def test_hostile_pickles(write, tmp_path, monkeypatch, raw, message):
    monkeypatch.chdir(tmp_path)
    refused(read_pickle, write(raw), message)
    content = npy(np.array(None))[:128] + raw
    refused(read_npz, write(zipped({"key.npy": content}), "f.npz"), "entry key")
    assert not (tmp_path / MADE).exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (np.ones((1, 1)).view(np.matrix), "numpy.matrix"),
        (np.ma.masked_array([1.0], [True]), "MaskedArray|_mareconstruct"),
        (np.rec.array([(1, 2.0)]), "numpy.rec.recarray"),
        (np.zeros(2, [("a", "f4")]), "dtype"),
        (np.zeros(2, "V8"), "dtype V8"),
        (np.zeros(2, "M8[s]"), "dtype M8"),
        (np.zeros(2, "m8[s]"), "dtype m8"),
        (np.zeros(2, np.longdouble), "dtype f16"),
        (np.random.default_rng(0), "numpy.random"),
        (np.dtype("f4"), "holds a class or function"),
        (np.float32, "numpy.float32"),
        (pathlib.PurePosixPath("a"), r"pathlib(\._local)?\.PurePosixPath"),
        (range(3), "range"),
        (slice(3), "slice"),
        (test_one_array, "test_one_array"),
        (collections.Counter("a"), "collections.Counter"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_objects(write, content, name, protocol):
    refused(read_pickle, write(pickle.dumps([content], protocol)), name)


def test_buffers_outside_of_the_pickle(write):
    raw = pickle.dumps(arrays()["large"], 5, buffer_callback=[].append)
    refused(read_pickle, write(raw), "refused, the file uses the operation NEXT_BUFFER")


def array_pickle(shape, dtype, data, *, first=b"\x00", state=b""):
    """An array's pickle with whatever in it; `shape`, `data`, the dtype's `state` as operations."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK" + first + b"\x85C\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n" + text(dtype) + b"\x89\x88\x87R" + state
        + b"\x89" + data + b"tb"
    )  # fmt: skip


def raw_bytes(length):
    return b"B" + struct.pack("<I", length) + b"\0" * length


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (array_pickle(b"K\x03\x85", "f4", raw_bytes(8)), "3 elements of float32 in 8 bytes"),
        (array_pickle(b"K\x03\x85", "f4", raw_bytes(13)), "3 elements of float32 in 13 bytes"),
        (array_pickle(b"J\xff\xff\xff\xff\x85", "f4", raw_bytes(0)), "shape"),
        (array_pickle(b"J\xff\xff\xff\xff\x8a\x01\xff\x86", "f4", raw_bytes(4)), "shape"),
        (array_pickle(b"\x8a\x05\0\0\0\0\1J\0\0\0\1\x86", "f4", raw_bytes(0)), "in 0 bytes"),
        (array_pickle(b"K\x03", "f4", raw_bytes(12)), "shape"),
        (array_pickle(b"]K\x03a", "f4", raw_bytes(12)), "shape"),
        (array_pickle(b"G\x40\x08\0\0\0\0\0\0\x85", "f4", raw_bytes(12)), "shape"),
        (array_pickle(b"K\x03\x85", "f4", b"]"), "list as content"),
        (array_pickle(b"K\x03\x85", "O8", raw_bytes(24)), "3 elements, not in its list"),
        (array_pickle(b"K\x03\x85", "O8", b"](K\x01K\x02e"), "3 elements, not in its list"),
        (array_pickle(b"K\x01\x85", "O8", b"](K\x01K\x02e"), "1 elements, not in its list"),
        (array_pickle(b"K\x01\x85", "U0", raw_bytes(0)), "dtype U0"),
        (array_pickle(b"K\x01\x85", "f4,f4", raw_bytes(8)), "dtype f4,f4"),
        (array_pickle(b"K\x01\x85", "(9,)f4", raw_bytes(36)), "dtype"),
        (array_pickle(b"K\x01\x85", "float", raw_bytes(8)), "dtype float"),
        (array_pickle(b"K\x01\x85", "?", b"C\x01\x02"), "dtype"),
        (array_pickle(b"K\x01\x85", "b1", b"C\x01\x02"), "impossible elements"),
        (array_pickle(b"K\x01\x85", "U1", b"C\x04\xff\xff\xff\xff"), "impossible elements"),
        (array_pickle(b"K\x01\x85", "f4", raw_bytes(4), first=b"\x05"), "another way than NumPy"),
        (array_pickle(b"K\x01\x85", "f4", raw_bytes(4)) + b"(K\x01K\x01\x85NNNtb", "has none"),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R",
         "array without content"),
        (array_pickle(b"K\x01\x85", "S4", raw_bytes(4),
                      state=b"(K\x03X\x01\0\0\0|NNNK\x09K\x01K\0tb"), "elements of another size"),
        (array_pickle(b"K\x01\x85", "f4", raw_bytes(4),
                      state=b"(K\x03X\x01\0\0\0|N]}J\x01\0\0\0K\x01K\0tb"), "structured dtype"),
        (b"cnumpy.core.multiarray\nscalar\n]C\x01b\x86R", "array without dtype"),
        (b"cnumpy.core.numeric\n_frombuffer\n(C\x04abcdcnumpy\ndtype\n" + text("f4") + b"\x85R"
         b"K\x02\x85" + text("C") + b"tR", "2 elements of float32 in 4 bytes"),
        (b"cnumpy.core.numeric\n_frombuffer\n(C\x04abcdcnumpy\ndtype\n" + text("f4") + b"\x85R"
         b"K\x01\x85" + text("X") + b"tR", "damaged"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be(write, raw, message):
    refused(read_pickle, write(raw + b"."), message)


def test_big_endian_state(write):
    state = b"(K\x03X\x01\0\0\0>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    raw = array_pickle(b"K\x02\x85", "i2", b"C\x04\0\x01\x01\0", state=state)
    np.testing.assert_array_equal(read_pickle(write(raw + b".")), [1, 256])


KEY = "a key, expected short strings, numbers or tuples"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "ends early"),
        (b"\x80\x04", "ends early"),
        (b"K", "damaged"),
        (b"N", "ends early"),
        (b".", "damaged"),
        (b"0.", "damaged"),
        (b"t.", "damaged"),
        (b"K\x01\x86.", "a tuple of what is not there"),
        (b"hello", "damaged"),
        (b"\xff.", "no pickle operation"),
        (b"N.N.", "more follows the pickle"),
        (b"Ix\n.", "damaged"),
        (b"L99", "a line without end"),
        (b"I" + b"9" * 6000 + b"\n.", "damaged"),
        (b"Sab\n.", "without quotes"),
        (b"h\x05.", "memo index 5 is empty"),
        (b"]q\x05h\x01.", "memo index 1 is empty"),
        (b"g-1\n.", "memo index -1 is empty"),
        (b"]p-1\n.", "memo index -1"),
        (b"X\x01\0\0\0\xff.", "damaged"),
        (b"(K\x01d.", "damaged"),
        (b"(]K\x01d.", KEY),
        (b"}}K\x01s.", KEY),
        (b"}(]tK\x01s.", KEY),
        (b"\x8f(]\x90.", KEY),
        (b"(]\x91.", KEY),
        (b"}(G\0\0\0\0\0\0\0\0" + b"K\x01" * 8 + b"tK\x01s.", KEY),
        (b"}" + text("k" * 2000) + b"K\x01s.", KEY),
        (b"cbuiltins\nset\n(]]ea\x85R.", "damaged"),
        (b"ccollections\nOrderedDict\n](]K\x01\x86e\x85R.", KEY),
        (b"c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf-8\x86R.", "encoding"),
        (b"cbuiltins\nbytearray\n\x8a\x08" + b"\xff" * 7 + b"\x0f\x85R.", "bytearray"),
        (b"cbuiltins\ncomplex\nX\x02\0\0\x001jK\x01\x86R.", "complex"),
    ],
)  # fmt: skip
def test_damage_is_one_line(write, raw, message):
    refused(read_pickle, write(raw), message)


# ---- bombs: much out of little -----------------------------------------------------------


def within(limit_bytes, read, *arguments):
    """Calls within memory and time."""
    tracemalloc.start()
    try:
        started = time.process_time()
        read(*arguments)
        assert time.process_time() - started < 60  # a bomb would take minutes
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


def nested_tuples(depth):
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * depth


def nested_lists(depth):
    """All in one list, the innermost first: each is met near the surface before it is deep."""
    lists = [[]]
    for _ in range(depth):
        lists.append([lists[-1]])
    return lists


LIST = b"](" + b"N" * 20_000 + b"eq\x00"
BOMBS = {
    "memo": (b"Nr\xff\xff\xff\xff.", "memo index"),
    "memo line": (b"Np99999999999\n.", "memo index"),
    "string": (b"X\xff\xff\xff\xffabc.", "does not have"),
    "string 8": (b"\x8d" + b"\xff" * 6 + b"\0\0abc.", "does not have"),
    "bytes": (b"B\xff\xff\xff\xffabc.", "does not have"),
    "bytes 8": (b"\x8e" + b"\xff" * 8 + b"abc.", "does not have"),
    "bytearray": (b"\x96" + b"\xff" * 5 + b"\0\0\0abc.", "does not have"),
    "old string": (b"T\xff\xff\xff\x7fabc.", "does not have"),
    "number": (b"\x8b\xff\xff\xff\x7fabc.", "does not have"),
    "frame": (b"\x80\x04\x95" + b"\xff" * 8, "ends early"),
    "lists of lists": (b"]q\x00" + b"]h\x00ah\x00aq\x00" * 200 + b".", "too deeply"),
    "laughs": (b"](" + b"N" * 99 + b"eq\x00" + (b"](" + b"h\x00" * 99 + b"eq\x00") * 9 + b".",
               "unfolds far beyond"),
    "laughing keys": (b"}" + nested_tuples(60) + b"Ns.", KEY),
    "laughing sets": (b"\x8f(" + nested_tuples(60) + b"\x90.", KEY),
    "laughing shape": (array_pickle(nested_tuples(60), "f4", raw_bytes(4)) + b".", "shape"),
    "laughing name": (nested_tuples(60) + b"h\x00\x93.", "no string"),
    "laughing dtype": (b"cnumpy\ndtype\n" + nested_tuples(60) + b"\x85R.", "dtype"),
    "laughing call": (nested_tuples(60) + b"h\x00R.", "no function"),
    "deep": (b"]" * 20_000 + b"a" * 19_999 + b".", "too deeply"),
    "deep tuples": (b")" + b"\x85" * 20_000 + b".", "too deeply"),
    "deep, met before": (pickle.dumps(nested_lists(300), 4), "too deeply"),
    "itself": (b"]q\x00h\x00a.", "too deeply"),
    "itself in a dictionary": (b"}q\x00" + text("a") + b"h\x00s.", "too deeply"),
    "repeated sets": (b"cbuiltins\nset\nq\x01" + LIST + b"(" + b"h\x01h\x00\x85R" * 20_000 + b"l.",
                      "repeats its content"),
    "repeated bytes": (b"c_codecs\nencode\nq\x01" + text("x" * 50_000) + text("latin1")
                       + b"\x86q\x00(" + b"h\x01h\x00R" * 10_000 + b"l.", "repeats its content"),
    "repeated arrays": (text("\0" * 50_000) + b"q\x05(" + array_pickle(
        b"M\x50\xc3\x85", "u1", b"h\x05") * 500 + b"l.", "repeats its content"),
    "repeated objects": (LIST + b"(" + array_pickle(b"M\x20\x4e\x85", "O8", b"h\x00") * 500
                         + b"l.", "repeats its content"),
    "arrays in arrays": (
        b"]q\x00" + b"".join(
            array_pickle(b"K\x01\x85", "O8", b"]h\x00a") + b"q\x00" for _ in range(3000)) + b".",
        "damaged|too deeply"),
    "array in itself": (
        array_pickle(b"K\x01\x85", "O8", b"]h\x00a").replace(b"\x87R(", b"\x87Rq\x00(") + b".",
        "damaged"),
    "array in its list": (
        array_pickle(b"K\x01\x85", "O8", b"]]h\x00aa").replace(b"\x87R(", b"\x87Rq\x00(") + b".",
        "damaged|too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(write, name):
    raw, message = BOMBS[name]
    within(2**20 + 700 * len(raw), refused, read_pickle, write(raw), message)


@pytest.mark.parametrize("name", ["arrays in arrays", "array in itself"])
def test_arrays_in_arrays_are_not_even_built(name):
    """NumPy frees them by recursion, which ends the process when there are enough."""
    raw = BOMBS[name][0]
    with pytest.raises((RecursionError, pickle.UnpicklingError)):
        load(io.BytesIO(raw), len(raw), "file")


def test_colliding_keys(write):
    """Integers that differ by their hash's modulus: quadratic work for a dictionary."""
    step = 2**61 - 1
    raw = pickle.dumps({i * step: None for i in range(2)}, 4)
    refused(read_pickle, write(raw), KEY)


def test_zip_bombs(write):
    bomb = zipped({"a.npy": npy(np.zeros(2**27, np.uint8))}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**18
    within(2**22, refused, read_npz, write(bomb, "f.npz"), r"refused, its \d+ bytes unpack to \d+")


def test_operation_bombs(write, monkeypatch):
    """Few enough bytes, but each of them becomes an object: limited for all entries together."""
    monkeypatch.setattr("jrepose.files.SPARE", 2_500_000)
    entry = npy(np.array(None))[:128] + array_pickle(b")", "O8", b"](](%see") + b"."

    def lists(count, names="a", **options):
        entries = {f"{name}.npy": entry.replace(b"%s", b"]" * count) for name in names}
        return write(zipped(entries, **options), "f.npz")

    path = lists(20_000, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 500
    refused(read_npz, path, "unpacks to far more than its size", "entry a")
    same(read_npz(lists(5000)), {"a": [[]] * 5000})
    same(read_npz(lists(5000, compression=zipfile.ZIP_DEFLATED)), {"a": [[]] * 5000})
    path = lists(5000, "abcd", compression=zipfile.ZIP_DEFLATED)
    refused(read_npz, path, "unpacks to far more than its size", "entry")


@pytest.mark.parametrize(
    "code", [b"\x8f", b"}", b")\x85\x85\x85"], ids=["set", "dictionary", "tuples"]
)
def test_memory_of_objects(write, monkeypatch, code):
    """What one byte of a pickle can become is counted: a set takes 216."""
    entry = npy(np.array(None))[:128] + array_pickle(b")", "O8", b"](](" + code * 5000 + b"ee")
    path = write(zipped({"a.npy": entry + b"."}, compression=zipfile.ZIP_DEFLATED), "f.npz")
    monkeypatch.setattr("jrepose.files.SPARE", 125_000)
    memory = GROWTH * path.stat().st_size + 125_000
    tracemalloc.start()
    try:
        with contextlib.suppress(InputError):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * memory
    finally:
        tracemalloc.stop()


def test_entries_that_share_their_bytes(write):
    """Zip directories may name the same bytes again and again."""
    raw = zipped({"a.npy": npy(np.zeros(100_000))}, compression=zipfile.ZIP_STORED)
    start = raw.index(b"PK\1\2")
    end = raw.index(b"PK\5\6")
    entry = raw[start:end]
    again = b"".join(entry.replace(b"a.npy", f"{n:05d}.npy"[-5:].encode()) for n in (1, 2, 3))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 4, 4, len(entry + again), start, 0)
    path = write(raw[:end] + again + tail, "f.npz")
    within(2**20, refused, read_npz, path, "shares its bytes")


@pytest.mark.parametrize("read", [read_npz, read_pickle])
def test_pipes_are_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    refused(read, tmp_path / "pipe.npz", "a pipe; expected a regular file")
    refused(read, pathlib.Path("/dev/zero"), "a device; expected a regular file")


# ---- archives that cannot be -------------------------------------------------------------

ONE = npy(np.arange(3.0))
TEXT = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "neither .npz nor .npy"),
        (b"GIF89a", "neither .npz nor .npy"),
        (b"PK\x03\x04" + b"\0" * 50, "damaged"),
        (ONE[:-1], "ends early"),
        (ONE + b"x", "more follows the array"),
        (ONE[:9], "damaged"),
        (header(TEXT, 4) + b"\0" * 24, "version 4"),
        (header(TEXT, 2)[:8] + b"\xff\xff\xff\xff", "a header of"),
        (header(TEXT.replace("<f8", "<M8[s]")) + b"\0" * 24, "dtype <M8"),
        (header(TEXT.replace("'<f8'", "[('a', '<f8')]")) + b"\0" * 24, "dtype of a structure"),
        (header(TEXT.replace("(3,)", "(-3,)")) + b"\0" * 24, "shape"),
        (header(TEXT.replace("(3,)", "3")) + b"\0" * 24, "shape"),
        (header(TEXT.replace("(3,)", "(2**9,)")) + b"\0" * 24, "damaged"),
        (header(TEXT.replace("(3,)", f"({2**62}, 4)")) + b"\0" * 24, "does not have"),
        (header(TEXT.replace("(3,)", f"(0, {2**80})")), "damaged"),
        (header(TEXT.replace("False", "__import__('os').getpid()")) + b"\0" * 24, "damaged"),
        (header("{}") + b"\0" * 24, "without descr"),
        (header("(" * 9000) + b"\0" * 24, "damaged"),
        (header(TEXT.replace("<f8", "|b1")) + b"\2\2\2", "impossible elements"),
        (header(TEXT.replace("<f8", "|O")) + pickle.dumps([1, 2, 3]), "no object array"),
        (header(TEXT.replace("<f8", "|O")) + pickle.dumps(np.array([1, None])), "no object array"),
        (zipped({"a.npy": ONE[:-1]}), "entry a: damaged"),
        (zipped({"a.npy": ONE, "b.txt": b"text"}), "entry b.txt: expected .npy"),
        (zipped({"a.npy": ONE, "a\nb": b"text"}), r"entry 'a\\nb': expected .npy"),
        (zipped({"a.npy": ONE}, compression=zipfile.ZIP_BZIP2), "another way than deflate"),
        (zipped({"a.npy": ONE}, compression=zipfile.ZIP_LZMA), "another way than deflate"),
        (zipped({"a.npy": ONE}).replace(ONE[-8:], b"\0" * 8), "entry a: damaged.*CRC"),
        (zipped({"a.npy": ONE}).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14"
                                        b"\0\x01\0"), "encrypted, which is not read"),
    ],
)  # fmt: skip
def test_archives_that_cannot_be(write, raw, message):
    refused(read_npz, write(raw, "f.npz"), message)


def test_names_once(write):
    with pytest.warns(UserWarning, match="Duplicate name"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr("a.npy", ONE)
            file.writestr("a.npy", ONE)
    refused(read_npz, write(stream.getvalue(), "f.npz"), "each name once", "entry a")


@pytest.mark.parametrize("read", [read_pickle, read_npz])
def test_no_such_file(read, tmp_path):
    refused(read, tmp_path / "none", "cannot read")
    refused(read, tmp_path, "cannot read")


# ---- at random ---------------------------------------------------------------------------


def small_content():
    return {
        "S1": {"Walking": [np.arange(12, dtype=np.float32).reshape(3, 2, 2)]},
        "names": ["ca_01", "ca_02", "ca_01"], "object": np.array([None, [1.5], "x"], dtype=object),
        "numbers": [1, 2**40, -1.5, np.float64(2.5)], "set": {1, 2},
        "text": np.array(["a", "bc"]), "ordered": collections.OrderedDict(a=b"bytes"),
    }  # fmt: skip


def originals():
    for protocol in PROTOCOLS:
        yield read_pickle, pickle.dumps(small_content(), protocol)
    for compress in (False, True):
        yield read_npz, archive(compress, a=small_content(), b=np.arange(20.0), c=["a", "b"])
    yield read_npz, npy(np.array(small_content()))
    yield read_npz, npy(np.arange(20.0))


@pytest.mark.filterwarnings("ignore")
def test_mutated_files(tmp_path):
    """Bytes changed, removed, added and moved: read or refused in one line, never anything else."""
    random, path = np.random.default_rng(11), tmp_path / "file"
    files = list(originals())
    outcomes = collections.Counter()

    def attempt(read):
        try:
            read(path)
            outcomes["read"] += 1
        except InputError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            outcomes["refused"] += 1

    def mutate(raw):
        raw = bytearray(raw)
        for _ in range(random.integers(1, 5)):
            at, length = int(random.integers(len(raw))), int(random.integers(1, 20))
            kind = random.integers(5)
            if kind == 0:
                raw[at] = random.integers(256)
            elif kind == 1:
                del raw[at : at + length]
            elif kind == 2:
                raw[at:at] = random.bytes(length)
            elif kind == 3:
                source = files[random.integers(len(files))][1]
                start = int(random.integers(len(source)))
                raw[at : at + length] = source[start : start + length]
            elif random.integers(4) == 0:
                del raw[max(at, 1) :]
        return bytes(raw)

    def everything():
        for _ in range(80):
            for read, raw in files:
                path.write_bytes(mutate(raw))
                attempt(read)

    started = time.process_time()
    within(2**24, everything)
    assert time.process_time() - started < 60
    assert outcomes["refused"] > 200 and outcomes["read"] > 20
    assert outcomes.total() == 80 * len(files) >= 400
