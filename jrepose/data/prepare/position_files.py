"""One recording of Human3.6M's 3D positions, in any of the formats they are passed around in."""

from __future__ import annotations

import math
import pathlib
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import ModuleType

import numpy as np
from jaxtyping import Float

from jrepose.data.formats.hdf5_files import open_hdf5
from jrepose.data.formats.human36m import NUM_RECORDED_JOINTS
from jrepose.data.formats.mat_files import read_mat
from jrepose.errors import InputError, MissingExtra
from jrepose.files import Budget, check_regular
from jrepose.restricted_pickle import reading

COLUMNS = 3 * NUM_RECORDED_JOINTS
MAX_FRAMES = 100_000
"""The longest recording has some 6000; a file that claims more than this is damaged."""
MAX_SECONDS = 5
"""Of computing, for one .cdf file.  Milliseconds are usual."""


def read_positions(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    """The positions of all joints, mm in the world: x, y, z of the first joint, of the second...

    Args:
        path: an official `.cdf`, a `.cdf.mat` made from it with MATLAB's cdfread, or an `.h5`
            of the archive of Martinez et al. (ICCV 2017).

    Returns:
        `[frames, 96]` in the file's precision, all finite.

    Raises:
        InputError: the file cannot be read, or holds something else.
        MissingExtra: the package that reads the format is not installed.
    """
    read = next(read for suffix, read in _READERS.items() if path.name.endswith(suffix))
    with reading(str(path), "recording"):
        positions = read(path)
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{path}: frame {int(finite.argmin())} of {len(finite)} holds values that are not "
            "finite; expected millimetres"
        )
    return positions


def _read_cdf(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    try:
        from cdflib import cdfread
    except ImportError:
        raise MissingExtra("cdflib", "reading .cdf files", "datasets") from None
    budget = Budget(check_regular(path), path)
    with _limited_time(), _limited_inflation(cdfread, budget):
        file = cdfread.CDF(path)
        info = file.cdf_info()
        _check_key(path, "variable", "Pose", [*info.zVariables, *info.rVariables])
        variable = file.varinq("Pose")
        # One record of all frames, or one per frame.  Checked before room is made for them.
        shape = (variable.Last_Rec + 1, *variable.Dim_Sizes)
        _check_shape(path, "Pose", shape, ("frames", COLUMNS))
        budget.take(8 * math.prod(map(int, shape)), "Pose")
        return _rows(path, "Pose", file.varget("Pose"))


@contextmanager
def _limited_inflation(cdfread: ModuleType, budget: Budget) -> Iterator[None]:
    """Lets cdflib, which unpacks whatever there is, unpack no more than the budget."""
    before = cdfread.gzip_inflate

    def inflate(data: bytes) -> bytes:
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = unpacker.decompress(data, max(budget.left, 1))
        budget.take(len(unpacked) + len(unpacker.unconsumed_tail), "what it unpacks to")
        return unpacked

    cdfread.gzip_inflate = inflate
    try:
        yield
    finally:
        cdfread.gzip_inflate = before


@contextmanager
def _limited_time() -> Iterator[None]:
    """Stops what computes for longer than `MAX_SECONDS`, where the system can (not Windows).

    cdflib believes whatever numbers a file states; a damaged one would keep it for hours.
    """
    if not hasattr(signal, "setitimer") or current_thread() is not main_thread():
        yield
        return

    def stop(*_):
        raise TimeoutError(f"damaged, given up after {MAX_SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _read_mat(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    cells = read_mat(path, cells=["data"])["data"]  # cdfread returns one cell.
    if cells.size != 1:
        raise InputError(f"{path}: data has {cells.size} cells; expected 1")
    _check_shape(path, "data", cells.item().shape, ("frames", COLUMNS))
    return _rows(path, "data", cells.item())


def _read_h5(path: pathlib.Path) -> Float[np.ndarray, "frames columns"]:
    with open_hdf5(path) as file:
        _check_key(path, "dataset", "3D_positions", file.names)
        shape = file.dataset("3D_positions").shape
        _check_shape(path, "3D_positions", shape, (COLUMNS, "frames"))
        return _rows(path, "3D_positions", file.numbers("3D_positions").T)


_READERS: dict[str, Callable[[pathlib.Path], np.ndarray]] = {
    ".cdf": _read_cdf,
    ".cdf.mat": _read_mat,
    ".h5": _read_h5,
}


def _check_key(path: pathlib.Path, kind: str, key: str, present: Sequence[str]) -> None:
    if key not in present:
        raise InputError(
            f"{path}: no {kind} {key!r}; it has {', '.join(map(repr, present)) or 'none at all'}"
        )


def _check_shape(
    path: pathlib.Path, key: str, shape: Sequence[int], expected: Sequence[int | str]
) -> None:
    """Compares a shape, but for a leading axis of length 1, with e.g. `("frames", 96)`."""
    given = tuple(int(length) for length in shape)
    trimmed = given[1:] if len(given) == len(expected) + 1 and given[0] == 1 else given
    fits = len(trimmed) == len(expected) and all(
        1 <= length <= MAX_FRAMES if axis == "frames" else length == axis
        for length, axis in zip(trimmed, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path}: {key} has shape {given}; expected ({', '.join(map(str, expected))}), "
            f"1 to {MAX_FRAMES} frames"
        )


def _rows(path: pathlib.Path, key: str, values: np.ndarray) -> Float[np.ndarray, "frames columns"]:
    """Values of a checked shape as one row per frame."""
    if values.dtype.kind != "f":
        raise InputError(f"{path}: {key} holds {values.dtype}; expected floating-point numbers")
    return values.reshape(-1, COLUMNS)
