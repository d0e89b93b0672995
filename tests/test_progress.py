import io
import itertools

import pytest

from jrepose import progress
from jrepose.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock on which every look takes ten seconds."""
    ticks = itertools.count(0, 10)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(ticks)))


def test_a_file_gets_a_line_now_and_then(clock):
    file = io.StringIO()
    with Progress(100, "step", "demo", stream=file) as shown:
        for step in range(1, 101):
            shown.to(step, {"loss": "0.5"})
    lines = file.getvalue().splitlines()
    assert 3 < len(lines) < 60 and not {"\r", "\x1b"} & set(file.getvalue())
    assert lines[0].startswith("demo: 3 of 100 steps (3 %), ") and "s/step, loss=0.5" in lines[0]
    assert lines[-1].startswith("demo: 100 of 100 steps (100 %)")


def test_the_end_is_said_once_and_only_if_something_was_done():
    file = io.StringIO()
    with Progress(8, "clip", "predict", done=3, stream=file) as shown:
        pass
    assert file.getvalue() == ""
    with Progress(8, "clip", "predict", done=3, stream=file) as shown:
        shown.to(8)
        shown.close()
    assert file.getvalue().count("predict: 8 of 8 clips") == 1
    with Progress(8, "clip", "predict", shown=False, stream=file) as shown:
        shown.to(8)
    assert file.getvalue().count("\n") == 1


def test_a_terminal_gets_a_bar_in_the_unit_that_is_counted():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with Progress(8, "step", "demo", stream=terminal) as shown:
        shown.to(8, {"loss": "0.5"})
    assert "\r" in terminal.getvalue() and "8/8 [" in terminal.getvalue()
    assert "step/s, loss=0.5" in terminal.getvalue().splitlines()[-1]
