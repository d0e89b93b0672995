"""Motion files as text: reading them whole, naming bad lines, numbers in bulk.

Text is what every editor and system makes of it: byte order marks, UTF-16, `\\r\\n` and `\\r`.
"""

from __future__ import annotations

import codecs
import gzip
import math
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jrepose.errors import InputError
from jrepose.files import GROWTH, SPARE, open_regular

MAX_BYTES = 128 * 2**20
"""Largest text accepted, unpacked: about 20 minutes of ASF/AMC at 120 Hz."""

_COORDINATES_PER_NUMBER = 8
_SPARE_COORDINATES = 2**22

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like UTF-16's
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: str | os.PathLike) -> bytes:
    """The file's text with `\\n` line ends, unpacked when its name ends in `.gz`.

    UTF-16 and UTF-32 become UTF-8; byte order marks, and the NUL and Ctrl-Z bytes that some
    systems fill the end with, are dropped.

    Raises:
        InputError: no regular file, unreadable, damaged or truncated, larger than `MAX_BYTES`
            or packed as no motion is.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            most = min(MAX_BYTES, GROWTH * size + SPARE)
            is_packed = path.suffix.lower() == ".gz"
            text = (gzip.GzipFile(fileobj=file) if is_packed else file).read(most + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged or truncated gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(text) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB unpacked")
    if len(text) > most:
        raise InputError(f"{path}: its {size} bytes unpack to more than {most}")
    try:
        text = as_utf8(text).rstrip(b"\0\x1a")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: damaged {error.encoding.upper()} text") from None
    if b"\r" in text:
        text = re.sub(rb"\r+\n|\r", b"\n", text)
    return text


def as_utf8(text: bytes) -> bytes:
    """A text in UTF-8, UTF-16 or UTF-32 without its byte order mark, and in UTF-8.

    UTF-16 without a mark is told by the zeros in every other byte.

    Raises:
        UnicodeDecodeError: damaged UTF-16 or UTF-32.
    """
    mark, encoding = next((pair for pair in _MARKS if text.startswith(pair[0])), (b"", ""))
    start = text[:64]
    if not encoding and len(start) >= 8:
        zeros = [start[first::2].count(0) / len(start[first::2]) for first in (0, 1)]
        if max(zeros) > 0.8 and min(zeros) < 0.2:
            encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    if encoding in ("", "utf-8"):
        return text[len(mark) :]
    return text[len(mark) :].decode(encoding).encode()


def line_error(path: str | os.PathLike, line: int, problem: str) -> InputError:
    """The error for line `line`, counted from 1: `PATH:LINE: problem`."""
    return InputError(f"{path}:{line}: {problem}")


def shown(token: bytes) -> str:
    """A token as it may appear in a one-line message: quoted, printable, not too long."""
    text = ascii(token[:40].decode("latin-1"))
    return text if len(token) <= 40 else text + "..."


def found(token: bytes) -> str:
    """`found TOKEN` where a number was expected, with a hint on decimal commas."""
    comma = re.fullmatch(rb"[-+]?\d*,\d+([eE][-+]?\d+)?", token)
    hint = ", a decimal comma: numbers are spelled with a point" if comma else ""
    return f"found {shown(token)}{hint}"


def decoded(token: bytes) -> str:
    """A name: UTF-8, or Latin-1 as older programs write."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return token.decode("latin-1")


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


def check_count(path: str | os.PathLike, frames: int, joints: int, numbers: int) -> None:
    """Memory in proportion to the file: a body has about as many numbers as coordinates.

    Raises:
        InputError: many more coordinates than `numbers`, which are all that the file holds.
    """
    if frames * joints * 3 > _SPARE_COORDINATES + _COORDINATES_PER_NUMBER * numbers:
        raise InputError(
            f"{path}: {joints} joints in {frames} frames would take far more memory than the "
            f"file's {numbers} numbers"
        )


def block_of(frames: int, joints: int) -> int:
    """At most `frames` to place at once: fewer for many joints, whose rotations are kept."""
    return max(1, min(frames, 2**19 // max(joints, 1)))
