"""A folder has one writer at a time; disks that refuse are told in one line."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jrepose.errors import InputError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

_LOG = logging.getLogger(__name__)

LOCK = ".lock"
"""File of a folder that says which process writes to it."""

# A file system that cannot lock, some network and user-space ones.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# Lock files of this process and their words: POSIX locks do not keep a process out of what it
# holds itself, and are lost when it opens and closes the file once more.
_held: dict[pathlib.Path, str] = {}


@contextmanager
def sole_writer(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Keeps every other process out of a folder; makes it if it is absent.

    The lock is the kernel's, on the file `LOCK` in the folder, and ends with the process,
    however that ends.  It holds between machines where the network file system passes POSIX
    locks on (NFS 4, NFS 3 with lockd); where there are none a warning says so.

    Yields:
        A word that is in the file as long as this process holds it: who reads it there sees
        the same folder.

    Raises:
        InputError: another process holds it, or the file system refuses.
    """
    folder = pathlib.Path(folder).absolute()
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path)
    except OSError as error:
        raise InputError(cannot_write(folder, error)) from error
    word = _held[path] = uuid.uuid4().hex
    try:
        who = f"process {os.getpid()} on {socket.gethostname()}\n{word}\n"
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, who.encode(), 0)
        except OSError as error:
            raise InputError(cannot_write(folder, error)) from error
        yield word
    finally:
        # The file stays: between its removal and a new one two processes could hold both.
        del _held[path]
        with suppress(OSError):
            os.truncate(descriptor, 0)
        os.close(descriptor)


def lock_word(folder: str | os.PathLike[str]) -> str | None:
    """The word of the process that holds a folder, or None if it cannot be read."""
    path = pathlib.Path(folder).absolute() / LOCK
    if path in _held:
        return _held[path]
    try:
        return path.read_text().split("\n")[1]
    except (OSError, IndexError, ValueError):
        return None


def _lock(path: pathlib.Path) -> int:
    """A descriptor of the locked file."""
    while True:
        if path in _held:
            raise InputError(f"{path.parent} is in use by this process")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                _LOG.warning(
                    "%s is on a file system without locks: start one run at a time", path.parent
                )
                return descriptor
            holder = ""
            with suppress(OSError):
                holder = os.pread(descriptor, 300, 0).decode(errors="replace").split("\n")[0]
            os.close(descriptor)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise InputError(
                f"{path.parent} is in use by {holder or 'another process'}; "
                "wait for it to end or take another folder"
            ) from None
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # removed, or replaced, since it was opened


def cannot_write(where: object, error: Exception) -> str:
    """One line about a failure to write, whoever reported it.

    Args:
        where: file or folder.
        error: an `OSError`, or what a library made of one.
    """
    number = system_error(error)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left on the disk while writing {where}; "
            "free some and run the same command to continue"
        )
    if number in (errno.ENOENT, errno.ESTALE):
        return f"cannot write {where}: it was removed or moved away"
    reason = os.strerror(number) if number else str(error).strip().split("\n")[0][:200]
    blocked = pathlib.Path(str(where))
    if number in (errno.ENOTDIR, errno.EEXIST):
        files = [path for path in (blocked, *blocked.parents) if path.is_file()]
        reason = f"{files[0]} is a file, not a folder" if files else reason
    return f"cannot write {where}: {reason}"


# How libraries say which system error they met: TensorStore, then everybody else.
_CODES = re.compile(r"os_error_code='(\d+)'|\[Errno (\d+)\]")
_TEXTS = {
    os.strerror(number): number
    for number in (
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR,
        errno.EFBIG, errno.EIO, errno.ESTALE, errno.ENOENT, errno.EMFILE, errno.ENAMETOOLONG,
    )
}  # fmt: skip


def system_error(error: BaseException | None) -> int | None:
    """The `errno` behind an error, its text or its causes; None if there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        text = str(error)
        if found := _CODES.search(text):
            return int(found[1] or found[2])
        for message, number in _TEXTS.items():
            if message in text:
                return number
        error = error.__cause__
    return None
