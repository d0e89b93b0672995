"""Files of users: results appear whole or not at all, inputs are read within limits.

Whatever the format, reading a file takes no more memory than its size allows (`Budget`), and
only what is a regular file is opened (`open_regular`).
"""

from __future__ import annotations

import os
import pathlib
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from jrepose.errors import InputError

GROWTH, SPARE = 100, 2**26
"""Reading a file of n bytes may take GROWTH * n + SPARE bytes: compressed text and masks of one
value swell by such a factor, and small files by more."""


class Budget:
    """The memory that reading one file may take.

    Every reader says before, or at the latest while, it makes something how large that is.  All
    parts of a file share one budget: entries of an archive, cells, variables.

    Args:
        size: of the file, bytes.
        where: the file, for the message.
    """

    def __init__(self, size: int, where: str | os.PathLike[str]):
        self.size, self.where = size, where
        self.left = GROWTH * size + SPARE

    def take(self, amount: int, what: str = "its content") -> None:
        """Uses up `amount` bytes for `what`.

        Raises:
            InputError: more than is left.
        """
        self.left -= amount
        if self.left < 0:
            raise InputError(
                f"{self.where}: refused, {what} would take far more memory than the file's "
                f"{self.size} bytes (at most {GROWTH} times that and {SPARE >> 20} MiB)"
            )


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file for reading, in binary; pipes, devices and sockets are not waited for.

    Raises:
        InputError: something else than a regular file.
        OSError: no such file, or no right to read it.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
            kind = kinds.get(stat.S_IFMT(mode), "no regular file")
            raise InputError(f"{path}: {kind}; expected a regular file")
        yield file


def check_regular(path: str | os.PathLike[str]) -> int:
    """The size of a file that a library opens by its name.

    Raises:
        InputError, OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def check_zip(archive: zipfile.ZipFile, budget: Budget) -> None:
    """Checks that an archive's entries share no bytes, and what they unpack to.

    Raises:
        InputError: two entries overlap, or their sizes are beyond the budget.
    """
    header = 30  # bytes in front of an entry's name, extra field and content
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    starts = [entry.header_offset for entry in entries[1:]] + [archive.start_dir]
    for entry, next_start in zip(entries, starts, strict=False):
        if entry.header_offset + header + entry.compress_size > next_start:
            name = ascii(entry.filename[:80])
            raise InputError(f"{budget.where}: refused, entry {name} shares its bytes with others")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > budget.left:
        raise InputError(f"{budget.where}: refused, its {budget.size} bytes unpack to {unpacked}")
    budget.take(unpacked)


def check_not_input(output: str | os.PathLike[str], given: str | os.PathLike[str]) -> None:
    """Refuses to write over what is read.

    Args:
        output: file to write.
        given: file or folder that is read.

    Raises:
        InputError: they are the same file.
    """
    try:
        same = os.path.samefile(output, given)
    except (OSError, ValueError):  # one is not there
        return
    if same:
        raise InputError(f"{output} is what is read; expected another file to write to")


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuses to write where something else than a regular file is, a folder or a device.

    Raises:
        InputError: there is.
        OSError: the file system does not say.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise InputError(f"{path}: {kind}, expected a file to write")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives a temporary path in the same folder and, on success, renames it to `path`.

    The temporary name keeps the suffix, which some writers take the format from.  Missing
    folders are made.  Where `path` is a link, what it points to is replaced.

    Raises:
        InputError: the file system refuses, or there is something else than a regular file.
    """
    path = pathlib.Path(path)
    target = pathlib.Path(os.path.realpath(path))
    temporary = target.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        check_replaceable(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
