"""Run-time checks of shapes and types that cost nothing until a function is called."""

from collections.abc import Callable

import beartype

# Of functions within functions, which are made anew by every call of those.
_PROGRAMS: dict[tuple, Callable] = {}


def when_called(function: Callable) -> Callable:
    """As `beartype.beartype`, which writes a program for each of thousands of functions."""
    checked = None

    def check(*args, **kwargs):
        nonlocal checked
        if checked is None:
            checked = _checked(function)
        return checked(*args, **kwargs)

    return check


def _checked(function: Callable) -> Callable:
    """What jaxtyping gives has no body: one program checks all of the same parameters."""
    if "<locals>" not in function.__qualname__:
        return beartype.beartype(function)
    names = (function.__module__, function.__qualname__, function.__code__.co_varnames)
    kinds = tuple(function.__annotations__.items())
    try:
        if (names, kinds) not in _PROGRAMS:
            _PROGRAMS[names, kinds] = beartype.beartype(function)
        return _PROGRAMS[names, kinds]
    except TypeError:  # an annotation that has no hash
        return beartype.beartype(function)
