"""Run-time checks of shapes and types that cost nothing until a function is called."""

from collections.abc import Callable

import beartype


def when_called(function: Callable) -> Callable:
    """As `beartype.beartype`, which writes a program for each of thousands of functions."""
    checked = None

    def check(*args, **kwargs):
        nonlocal checked
        if checked is None:
            checked = beartype.beartype(function)
        return checked(*args, **kwargs)

    return check
