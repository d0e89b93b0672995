"""From a path to what is there, told by the content of files and not by their names."""

from __future__ import annotations

import dataclasses
import gzip
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable

from jrepose.data.inspect import motion, numpy_files, originals
from jrepose.data.inspect.content import Content
from jrepose.data.inspect.folders import folder
from jrepose.data.inspect.outline import names, outline
from jrepose.data.mocap.motion_text import as_utf8
from jrepose.errors import InputError
from jrepose.files import open_regular
from jrepose.restricted_pickle import read_npz, read_pickle, reading

SUPPORTED = (
    "Human3.6M-SH (.pkl), VideoPose3D's data_2d_*.npz and data_3d_*.npz, MPI-INF-3DHP (.npz and "
    ".mat), Human3.6M's original positions (.cdf, .cdf.mat, .h5), jrepose's own .npz, ASF, AMC and "
    "BVH, and folders of these"
)

_START = 1024
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def recognise(path: pathlib.Path) -> Content:
    """What a file or folder holds.

    Raises:
        InputError: it cannot be read, is damaged, or of no supported format.
        MissingExtra: an optional package is needed to read it.
    """
    if path.is_dir():
        content = folder(path)
        return content or _unknown(
            path, "a folder with none of the files that are looked for in folders"
        )
    start = _start(path)
    if not start:
        _unknown(path, "an empty file")
    for belongs, read in _FORMATS:
        if belongs(start):
            return read(path)
    return _unknown(path, f"a file that starts with {start[:16]!r}")


def _unknown(path: pathlib.Path, found: str) -> Content:
    raise InputError(f"{path}: {found}, which is not supported; supported are {SUPPORTED}")


def _start(path: pathlib.Path) -> bytes:
    """The first bytes, unpacked if the file is gzipped."""
    try:
        with open_regular(path) as file:
            start = file.read(_START)
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path) as file:
                start = file.read(_START)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return start


def _zip(path: pathlib.Path) -> Content:
    with reading(str(path), "zip file"), zipfile.ZipFile(path) as archive:
        entries = archive.namelist()
    if any(name.rpartition("/")[2] == "data.pkl" for name in entries):
        return _torch(path)
    if not any(name.endswith(".npy") for name in entries):
        return _unknown(path, f"a zip file of {names(map(ascii, entries)) or 'nothing'}")
    arrays = read_npz(path)
    for recogniser in numpy_files.ARCHIVES:
        with reading(str(path)):
            if content := recogniser(path, arrays):
                return content
    return _unknown(path, f"a NumPy archive of {names(map(ascii, arrays))}")


def _npy(path: pathlib.Path) -> Content:
    (line,) = outline(read_npz(path))
    return _unknown(path, f"a NumPy array without a key, {line.partition(': ')[2]}")


def _pickle(path: pathlib.Path) -> Content:
    content = read_pickle(path)
    if isinstance(content, dict) and {"train", "test"} <= content.keys():
        lines = outline(content)
        del content  # it is read once more
        return dataclasses.replace(numpy_files.stacked_hourglass(path), outline=lines)
    is_dict = isinstance(content, dict)
    holds = f"dictionary of {names(map(ascii, content))}" if is_dict else type(content).__name__
    return _unknown(path, f"a pickle of a {holds}")


def _torch(path: pathlib.Path) -> Content:
    return Content(
        "a PyTorch checkpoint: weights of a model, no data",
        use=[
            f"python -m jrepose.interop.convert --model NAME {path} FOLDER converts it,",
            f"evaluate.py --config FILE --checkpoint {path} evaluates it",
        ],
    )


def _is_safetensors(start: bytes) -> bool:
    return start[8:10] == b'{"' and struct.unpack("<Q", start[:8])[0] < 2**32


def _is_pickle(start: bytes) -> bool:
    """Protocols 2 to 5, or a dictionary in protocol 0 or 1."""
    return (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5") or start[:2] in (b"(d", b"}q")


def _says(*words: bytes) -> Callable[[bytes], bool]:
    """Whether the first line that is not empty and no comment starts with one of the words."""

    def belongs(start: bytes) -> bool:
        try:
            text = as_utf8(start)
        except UnicodeDecodeError:
            return False
        lines = (line.strip().lower() for line in text.splitlines())
        first = next((line for line in lines if line and not line.startswith(b"#")), b"")
        return first.startswith(words)

    return belongs


def _begins(*signatures: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda start: start[at:].startswith(signatures)


_HDF5 = b"\x89HDF\r\n\x1a\n"

_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[pathlib.Path], Content]], ...] = (
    (_begins(b"PK\3\4", b"PK\5\6"), _zip),
    (_begins(b"\x93NUMPY"), _npy),
    (_begins(_HDF5), originals.hdf5),
    (_begins(_HDF5, at=512), originals.hdf5),
    (_begins(b"\0\1IM", b"\1\0MI", at=124), originals.matlab),
    (_begins(b"\xcd\xf3\0\1", b"\xcd\xf2\x60\2"), originals.positions),
    (_begins(_LEGACY_TORCH), _torch),
    (_is_safetensors, _torch),
    (_is_pickle, _pickle),
    (_says(b"hierarchy"), motion.bvh_motion),
    (_says(b":version", b":name", b":units"), motion.asf_skeleton),
    (_says(b":fully-specified", b":degrees", b":radians"), motion.amc_motion),
)
"""Whether a file that starts so is of the format, and what reads it."""
