"""`index.csv`: what the user knows about clips, such as their action, unit, up axis and rate."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from jrepose.data.mocap.body import UNITS, UP_AXES
from jrepose.data.mocap.motion_text import line_error, read_text
from jrepose.errors import listed

FILE_NAME = "index.csv"


@dataclass(frozen=True)
class Entry:
    """What a user states about a clip; None and False: nothing.

    Args:
        action: label of per-action tables.
        frame_rate: of the file, frames per second.
        unit: millimetres of the file's unit.
        up: the file's axis that points up, of `body.UP_AXES`.
        skip: whether to leave the clip out.
    """

    action: str | None = None
    frame_rate: float | None = None
    unit: float | None = None
    up: str | None = None
    skip: bool = False


@dataclass
class Index:
    """The rows of an `index.csv`, and which of them a clip has used."""

    path: Path
    rows: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def entry(self, names: Iterable[str]) -> Entry:
        """What is stated about a clip: its own row's values before those of patterns.

        Args:
            names: all that the clip may be called in the file.
        """
        names = list(names)
        values: dict[str, Any] = {}
        for exact in (True, False):
            for line, name, stated in self.rows:
                if (name in names) if exact else any(fnmatchcase(own, name) for own in names):
                    self.used.add(line)
                    values = {**stated, **values}
        return Entry(**values)

    def complaints(self) -> list[str]:
        """What in the file had no effect, a line each."""
        unused = [f"{name!r} (line {line})" for line, name, _ in self.rows if line not in self.used]
        lines = []
        if self.unknown_columns:
            lines.append(
                f"{self.path}: columns {listed(list(map(ascii, self.unknown_columns)))} not used; "
                f"known are clip, {', '.join(_COLUMNS)}"
            )
        if unused:
            lines.append(f"{self.path}: no clip is called {listed(unused)}; not used")
        return lines


def read_index(folder: Path) -> Index:
    """`folder/index.csv`, or an empty index where there is none.

    Columns may be separated by commas, semicolons or tabs, as spreadsheets write them.

    Raises:
        InputError: malformed; the message names the line.
    """
    path = folder / FILE_NAME
    index = Index(path)
    if not path.exists():
        return index
    text = read_text(path)
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError:
        lines = text.decode("latin-1").splitlines()
    head = lines[0] if lines else ""
    rows = csv.reader(lines, delimiter=max(",;\t", key=head.count))
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        if "clip" not in columns or len(set(columns)) < len(columns):
            raise line_error(
                path, 1, f"expected the columns clip,action and optionally {','.join(_COLUMNS[1:])}"
            )
        index.unknown_columns = [name for name in columns if name not in ("clip", *_COLUMNS)]
        for row in rows:
            if not any(value.strip() for value in row):
                continue
            line = rows.line_num
            if len(row) != len(columns):
                raise line_error(path, line, f"expected {len(columns)} values, found {len(row)}")
            entry = {name: value.strip() for name, value in zip(columns, row, strict=True)}
            name = entry.pop("clip").replace("\\", "/")
            if any(other == name for _, other, _ in index.rows):
                raise line_error(path, line, f"a second row for {name!r}")
            stated = {
                column: _value(path, line, column, entry[column])
                for column in _COLUMNS
                if entry.get(column)
            }
            index.rows.append((line, name, stated))
    except csv.Error as error:
        raise line_error(path, rows.line_num, str(error)) from None
    return index


def _value(path: Path, line: int, column: str, text: str) -> Any:
    try:
        return _READ[column](text)
    except ValueError:
        raise line_error(path, line, f"expected {_EXPECTED[column]}, found {text!r}") from None


def _action(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < np.inf:
        raise ValueError
    return number


def _unit(text: str) -> float:
    return UNITS.get(text.lower()) or _positive(text)


def _up(text: str) -> str:
    axis = text.lower().lstrip("+")
    if axis not in UP_AXES:
        raise ValueError
    return axis


def _yes(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError
    return text.lower() == "yes"


_READ: Mapping[str, Callable[[str], Any]] = {
    "action": _action,
    "frame_rate": _positive,
    "unit": _unit,
    "up": _up,
    "skip": _yes,
}
_EXPECTED = {
    "action": "printable text",
    "frame_rate": "a positive frame rate",
    "unit": f"a unit of {', '.join(UNITS)}, or its millimetres",
    "up": f"an axis of {', '.join(UP_AXES)}",
    "skip": "yes or no",
}
_COLUMNS = tuple(_READ)
