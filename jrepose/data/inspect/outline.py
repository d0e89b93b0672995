"""The layout of nested dictionaries, lists and arrays in a few lines.

What is alike is told once: seven subjects with thirty actions each take three lines.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

_MOST_NAMES = 8
_MOST_LISTED = 12
_MOST_UNLIKE = 4
_DEEPEST = 8
_LONGEST = 60


def outline(content: Any) -> list[str]:
    """A line for each group of things that are alike, indented by their depth.

    Args:
        content: dictionaries, lists, arrays, numbers and strings.
    """
    return [line[2:] for line in _lines([content], depth=0)]


def numbers(low: float | int, high: float | int) -> str:
    """`"LOW to HIGH"`, or one number if they are the same."""
    ends = [f"{end}" if isinstance(end, int) else f"{end:.4g}" for end in (low, high)]
    return ends[0] if low == high else " to ".join(ends)


def names(values: Iterable[Any], most: int = _MOST_NAMES) -> str:
    """The first few of some names."""
    values = [shown(str(value)) for value in values]
    return ", ".join(values[:most]) + (f", ... ({len(values)})" if len(values) > most else "")


def shown(text: str) -> str:
    """Text from a file, fit for a line of its own."""
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return text if text.isprintable() else ascii(text)


def _lines(values: Sequence[Any], depth: int) -> list[str]:
    """The inner structure of values that are alike."""
    margin = "  " * (depth + 1)
    first = values[0]
    if depth > _DEEPEST:
        return [f"{margin}..."]
    if isinstance(first, dict):
        groups: dict[tuple[Hashable, ...], dict[Any, list[Any]]] = {}
        for value in values:
            for key, item in value.items():
                groups.setdefault(_kind(item), {}).setdefault(key, []).append(item)
        lines = []
        for kind, members in groups.items():
            few = len(members) <= (_MOST_LISTED if kind[0] == "array" else 2)
            parts = [{key: found} for key, found in members.items()] if few else [members]
            for part in parts:
                items = [item for found in part.values() for item in found]
                lines += _titled(names(part), items, depth)
        return lines
    if isinstance(first, list | tuple):
        items = [item for value in values for item in value]
        kinds = {_kind(item) for item in items[:1000]}
        if len(kinds) == 1 and not _is_leaf(items[0]):
            return _titled("each", items, depth)
        if len(kinds) > 1 and max(map(len, values)) <= _MOST_UNLIKE:
            # A tuple of different things: told as if its positions were keys.
            return _lines([dict(enumerate(value)) for value in values], depth)
    return []


def _titled(title: str, items: Sequence[Any], depth: int) -> list[str]:
    margin = "  " * (depth + 1)
    return [f"{margin}{title}: {_summary(items)}", *_lines(items, depth + 1)]


def _summary(items: Sequence[Any]) -> str:
    """Of values that are alike."""
    first = items[0]
    if isinstance(first, np.ndarray):
        return _arrays(items)
    if isinstance(first, dict):
        return f"{len(items)} dictionaries" if len(items) > 1 else f"dictionary of {len(first)}"
    if isinstance(first, list | tuple):
        lengths = [len(item) for item in items]
        inner = {type(item).__name__ for value in items for item in value[:1000]}
        what = "" if len(inner) != 1 or not _is_leaf(first[0]) else f" {inner.pop()}"
        return f"list of {numbers(min(lengths), max(lengths))}{what}"
    return ", ".join(reprlib.repr(item) for item in items[:3]) + ", ..." * (len(items) > 3)


def _arrays(arrays: Sequence[np.ndarray]) -> str:
    shapes = list(zip(*(array.shape for array in arrays), strict=True))
    axes = ", ".join(numbers(min(lengths), max(lengths)) for lengths in shapes)
    text = f"{names({str(array.dtype): None for array in arrays})} [{axes}]"
    if arrays[0].dtype.kind in "biuf":
        text += _range([array for array in arrays if array.size])
    return text


def _range(arrays: Sequence[np.ndarray]) -> str:
    """Smallest and largest value, and how many are not finite."""
    low, high, strange = math.inf, -math.inf, 0
    for array in arrays:
        ends = float(array.min()), float(array.max())
        if not all(map(math.isfinite, ends)):
            finite = array[np.isfinite(array)]
            strange += array.size - finite.size
            if not finite.size:
                continue
            ends = float(finite.min()), float(finite.max())
        low, high = min(low, ends[0]), max(high, ends[1])
    text = f", {numbers(low, high)}" if low <= high else ""
    return text + (f", {strange} not finite" if strange else "")


def _kind(value: Any) -> tuple[Hashable, ...]:
    """The same for values that one line can describe."""
    if isinstance(value, np.ndarray):
        return "array", value.dtype.kind, value.ndim, value.shape[1:]
    if isinstance(value, dict | list | tuple):
        container = "dict" if isinstance(value, dict) else "list"
        inner = list(value.values() if container == "dict" else value)[:1000]
        leaves = {_is_leaf(item) for item in inner}
        return container, *sorted(leaves), *sorted({type(item).__name__ for item in inner})
    return "leaf", type(value).__name__


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, np.ndarray | dict | list | tuple)
