"""Motion files as text: reading them whole, naming bad lines, numbers in bulk."""

from __future__ import annotations

import gzip
import math
import os
import warnings
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jrepose.errors import InputError

MAX_BYTES = 128 * 2**20
"""Largest text accepted, unpacked: about 20 minutes of ASF/AMC at 120 Hz."""


def read_text(path: str | os.PathLike) -> bytes:
    """The file's bytes with `\\n` line ends, unpacked when its name ends in `.gz`.

    Raises:
        InputError: unreadable, damaged or truncated, or larger than `MAX_BYTES`.
    """
    path = Path(path)
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged or truncated gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(text) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB unpacked")
    return text.replace(b"\r\n", b"\n")


def line_error(path: str | os.PathLike, line: int, problem: str) -> InputError:
    """The error for line `line`, counted from 1: `PATH:LINE: problem`."""
    return InputError(f"{path}:{line}: {problem}")


def shown(token: bytes) -> str:
    """A token as it may appear in a one-line message: quoted, printable, not too long."""
    text = ascii(token[:40].decode("latin-1"))
    return text if len(token) <= 40 else text + "..."


def finite_number(token: bytes) -> float | None:
    """The number a token spells, or None: words, NaN and infinities are no numbers."""
    try:
        value = float(token)
    except ValueError:
        return None
    return value if math.isfinite(value) and b"_" not in token else None


def tokens_per_line(
    text: np.ndarray, line_starts: Int[np.ndarray, " lines"]
) -> Int[np.ndarray, " lines"]:
    """How many blank-separated tokens each line of a `uint8` text holds."""
    blank = text <= ord(" ")
    starts = ~blank
    starts[1:] &= blank[:-1]
    return np.add.reduceat(starts, line_starts, dtype=np.int64)


def bulk_numbers(text: bytes, count: int) -> Float[np.ndarray, " numbers"] | None:
    """All numbers of a text of blank-separated tokens, or None unless it holds exactly `count`.

    None tells the caller to read line by line, which finds and names the trouble.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
    if len(values) != count or not np.isfinite(values).all():
        return None
    return values
