"""A short round of the drills; `python tests/drills.py --minutes N` is the long one."""

import logging

import drills
import pytest


@pytest.fixture(autouse=True)
def same_level():
    """The drills mute the run; the tests after them read what is logged."""
    logger = logging.getLogger("jrepose")
    level = logger.level
    yield
    logger.setLevel(level)


def test_short_round(capsys):
    assert drills.main(["--rounds", "1", "--only", "race", "fuzz"]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    # The second start may come when the first has ended: then nobody is refused.
    assert " refused" in out and "24 damages" in out
