"""Numbers that a caller gives: in their types, if they can be."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from jrepose.errors import InputError

_RATES = (0.1, 10_000.0)


def numbers_of(
    size: Sequence[int],
    fps: float | int,
    height_m: float | int,
    focal_px: float | int | None,
    pitch_deg: float | int | None,
    *,
    upright: bool = False,
) -> tuple[tuple[int, int], float, float, float | None, float | None]:
    """Size, frame rate, height, focal length and pitch, see `Lifter`.

    Args:
        upright: the pitch must be known.

    Raises:
        InputError: one cannot be.
    """
    return (
        size_of("size", size),
        number_of("fps", fps, *_RATES),
        number_of("height", height_m, 0.3, 3.0),
        None if focal_px is None else number_of("focal", focal_px, 1.0, 1e6),
        None if pitch_deg is None and not upright else number_of("pitch", pitch_deg, -89.0, 89.0),
    )


def size_of(name: str, size: object) -> tuple[int, int]:
    """Width and height of a picture in pixels.

    Raises:
        InputError: no two whole numbers, or none between 1 and 100,000.
    """
    try:
        sides = [number_of(name, side, 1.0, 1e5) for side in size]
    except (InputError, TypeError):
        sides = []
    if len(sides) != 2 or any(side % 1 for side in sides):
        raise InputError(f"{name} is {size!r:.50}; expected width and height in pixels")
    return int(sides[0]), int(sides[1])


def number_of(name: str, value: object, low: float, high: float) -> float:
    """A value as a float.

    Raises:
        InputError: no number, or none between the bounds.
    """
    number = float_of(value)
    if not low <= number <= high:
        shown = f"{value!r:.50}" if np.isnan(number) else f"{number:g}"
        raise InputError(f"{name} is {shown}; expected {low:g} to {high:g}")
    return number


def float_of(value: object) -> float:
    """A value as a float; NaN if it is no number, as texts, truth values and lists are none."""
    try:
        none = isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value) > 0
        return np.nan if none else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def whole_number(name: str, value: object, low: int) -> int:
    """A value as an integer.

    Raises:
        InputError: no whole number, or less than the bound.
    """
    try:
        number = low - 1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = low - 1
    if number < low:
        raise InputError(f"{name} is {value!r:.50}; expected a whole number, at least {low}")
    return number


def switch_of(name: str, value: object) -> bool:
    """A value as a truth value: a text is none, nor is any number but 0 and 1.

    Raises:
        InputError: it is something else.
    """
    if value is not None and not (isinstance(value, int | np.bool_) and value in (0, 1)):
        raise InputError(f"{name} is {value!r:.50}; expected True or False")
    return bool(value)
