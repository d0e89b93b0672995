"""Locks of folders and lines about disks."""

import errno
import pathlib
import signal
import subprocess
import sys

import pytest

from jrepose import disk
from jrepose.errors import InputError

_HOLDER = """
import sys, time
from jrepose.disk import sole_writer
with sole_writer(sys.argv[1]) as word:
    print(word, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path / "run"`, and its word."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_second_writer_is_told_who_has_the_folder(tmp_path, holder):
    process, word = holder
    for _ in range(2):  # trying does not take the lock away
        with pytest.raises(InputError, match=f"run is in use by process {process.pid} on "):
            with disk.sole_writer(tmp_path / "run"):
                pytest.fail("two writers")
        assert disk.lock_word(tmp_path / "run") == word
    process.send_signal(signal.SIGKILL)
    process.wait()
    with disk.sole_writer(tmp_path / "run") as word:
        assert disk.lock_word(tmp_path / "run") == word
    assert disk.lock_word(tmp_path / "run") is None


def test_one_process_has_a_folder_once(tmp_path):
    with disk.sole_writer(tmp_path):
        # Looking does not give the lock up.
        assert disk.lock_word(tmp_path / ".")
        with pytest.raises(InputError, match="in use by this process"):
            with disk.sole_writer(tmp_path):
                pass
        done = subprocess.run(
            [sys.executable, "-c", _HOLDER, str(tmp_path)], capture_output=True, text=True
        )
        assert "is in use by process" in done.stderr
    with disk.sole_writer(tmp_path):
        pass


def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(disk.fcntl, "lockf", refuse)
    with disk.sole_writer(tmp_path):
        pass
    assert "file system without locks" in caplog.text


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match=f"{tmp_path}/file is a file, not a folder"):
            with disk.sole_writer(folder):
                pass


@pytest.mark.parametrize(
    "error, line",
    [
        (OSError(errno.ENOSPC, "x"), "no space left on the disk while writing w; free some"),
        (OSError(errno.EDQUOT, "x"), "no space left"),
        (ValueError("FAILED: [os_error_code='28']"), "no space left"),
        (ValueError("NOT_FOUND: No such file or directory"), "cannot write w: it was removed"),
        (OSError(errno.EROFS, "x"), "cannot write w: Read-only file system"),
        (RuntimeError("[Errno 13] Permission"), "cannot write w: Permission denied"),
        (OSError(errno.EFBIG, "x"), "cannot write w: File too large"),
    ],
)
def test_lines_about_disks(error, line):
    assert disk.cannot_write(pathlib.Path("w"), error).startswith(line)
    wrapped = RuntimeError("save failed")
    wrapped.__cause__ = error
    assert disk.system_error(wrapped) == disk.system_error(error)
    assert disk.system_error(ValueError("shapes differ")) is None
