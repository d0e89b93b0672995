"""CSV tables of landmarks: MediaPipe's as users write them, and any other with named keypoints.

Wide, a row per frame with `nose_x, nose_y, nose_z, nose_v`, `x1, y1, z1, v1` or `Landmark_0_x`; or
long, a row per landmark with the columns frame, landmark, x, y.  Separated by commas, semicolons
or tabs.  DeepLabCut's tables have a file of their own, `deeplabcut`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np

from jrepose.errors import InputError, listed
from jrepose.files import Budget, open_regular
from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.layouts import COUNTS
from jrepose.restricted_pickle import reading
from jrepose.skeleton import BLAZEPOSE_33

TITLE = "CSV of landmarks"

_CHANNELS = {
    "x": "x", "y": "y", "z": "z", "v": "confidence", "vis": "confidence",
    "visibility": "confidence", "c": "confidence", "conf": "confidence",
    "confidence": "confidence", "score": "confidence", "likelihood": "confidence",
    "prob": "confidence", "presence": "z", "p": "z",
}  # fmt: skip
_CHANNEL = "|".join(sorted(_CHANNELS, key=len, reverse=True))
_AFTER = re.compile(rf"(?P<name>.*?[^_\-. ])[_\-. ]+(?P<channel>{_CHANNEL})", re.IGNORECASE)
_BEFORE = re.compile(rf"(?P<channel>{_CHANNEL})[_\-. ]*(?P<name>[0-9]{{1,3}})", re.IGNORECASE)
_FRAME = {"frame", "frame_id", "frame_number", "frame_index", "frame_idx", "frame_no", "image",
          "image_id", "filename", "frames", "framenumber", "frameid"}  # fmt: skip
_LANDMARK = {"landmark", "landmark_name", "landmark_id", "landmark_index", "name", "joint",
             "keypoint", "bodypart", "type", "id", "index", "joint_name",
             "keypoint_name"}  # fmt: skip
_PERSON = {"person", "person_id", "track_id", "pose", "pose_id"}
_LONGEST_LINE = 2**20
_CELL = 64  # bytes that a cell takes while its row is read


class Table:
    """The rows of a text table.

    Args:
        path: the file.

    Raises:
        InputError: no such file, or no text.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = str(path)
        with reading(self.path, "CSV file"), open_regular(path) as file:
            start = file.read(2**16)
        if not start.strip():
            raise InputError(f"{path}: an empty file")
        first = start.decode("utf-8-sig", errors="replace").splitlines()[0]
        self.delimiter = max(",;\t", key=first.count)

    def rows(self) -> Iterator[list[str]]:
        """The rows that are not empty."""
        with reading(self.path, "CSV file"), open_regular(self.path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            yield from filter(any, csv.reader(_lines(text, self.path), delimiter=self.delimiter))

    def numbers(self, row: Sequence[str], place: str) -> np.ndarray:
        """A row's cells as numbers, NaN where one is empty."""
        try:
            return np.array(row, np.float64)
        except ValueError:
            pass  # a cell is empty, or has a decimal comma
        try:
            return np.array([self._number(cell) for cell in row], np.float64)
        except ValueError:
            bad = next(cell for cell in row if not self._is_number(cell))
            raise InputError(f"{self.path}: {place} has {bad[:50]!r}; expected a number") from None

    def _number(self, cell: str) -> float:
        text = cell.strip()
        if text.lower() in ("", "nan", "none", "null", "na"):
            return np.nan
        # Tables that are separated by semicolons may have decimal commas.
        return float(text.replace(",", ".") if self.delimiter == ";" else text)

    def _is_number(self, cell: str) -> bool:
        try:
            self._number(cell)
        except ValueError:
            return False
        return True

    def is_numeric(self, row: Sequence[str]) -> bool:
        return all(map(self._is_number, row))


def _lines(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise InputError(f"{path}: a line of more than {_LONGEST_LINE} characters; no table")
        yield line


def read(path: str | os.PathLike[str], collector: Collector) -> None:
    """Adds all people of a table.

    Raises:
        InputError: no columns of coordinates, or cells without numbers.
    """
    table = Table(path)
    rows = table.rows()
    header = next(rows, [])
    Budget(os.path.getsize(path), path).take(_CELL * len(header), "its header")
    if table.is_numeric(header):
        _read_nameless(table, collector, len(header))
        return
    columns = [cell.strip() for cell in header]
    lower = [name.lower().replace(" ", "_") for name in columns]
    if {"x", "y"} <= set(lower) and _LANDMARK & set(lower):
        _read_long(table, rows, lower, collector)
    else:
        _read_wide(table, rows, columns, collector)


def _read_nameless(table: Table, collector: Collector, width: int) -> None:
    """Rows of 33 landmarks with x, y, z and visibility, or of x, y and confidence."""
    for channels, joints in (
        (4, BLAZEPOSE_33.num_joints),
        *((3, count) for count in sorted(COUNTS)),
    ):
        if width in (channels * joints, channels * joints + 1):
            break
    else:
        collector.fail(f"{width} columns without a header; expected names, or x, y and confidence "
                       "of a known layout")  # fmt: skip
    first = width - channels * joints
    for number, row in enumerate(table.rows()):
        values = table.numbers(row, f"row {number + 1}")
        if len(values) != width:
            collector.fail(f"row {number + 1} has {len(values)} cells; expected {width}")
        points = values[first:].reshape(joints, channels)
        collector.add(number, points[:, [0, 1, channels - 1]])


def _split(column: str) -> tuple[str, str] | None:
    """The landmark and the channel that a column is of."""
    match = _AFTER.fullmatch(column) or _BEFORE.fullmatch(column)
    return (match["name"], _CHANNELS[match["channel"].lower()]) if match else None


def _read_wide(
    table: Table, rows: Iterator[list[str]], columns: list[str], collector: Collector
) -> None:
    places: dict[str, dict[str, int]] = {}
    for place, column in enumerate(columns):
        if (found := _split(column)) is not None:
            name, channel = found
            if channel in places.setdefault(name, {}) and channel != "z":
                collector.fail(f"the column {column[:50]!r} is there twice")
            places[name][channel] = place
    places = {name: where for name, where in places.items() if {"x", "y"} <= where.keys()}
    if not places:
        collector.fail(f"columns {listed(columns)}; expected a table of landmarks, with columns "
                       "such as nose_x and nose_y")  # fmt: skip
    names = _names_of(list(places), collector)
    frame_column = next((k for k, c in enumerate(columns) if c.lower() in _FRAME), None)
    person_column = next((k for k, c in enumerate(columns) if c.lower() in _PERSON), None)
    x, y = ([places[name][channel] for name in places] for channel in "xy")
    confidence = [places[name].get("confidence") for name in places]
    sure = None if None in confidence else confidence
    collector.names = names
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            collector.fail(f"row {number + 2} has {len(row)} cells, the header {len(columns)}")
        frame = number if frame_column is None else _frame(row[frame_column], number)
        cells = table.numbers([row[k] for k in (*x, *y, *(sure or ()))], f"row {number + 2}")
        parts = cells.reshape(-1, len(x))
        collector.add(
            frame,
            parts[:2].T,
            None if sure is None else parts[2],
            track=None if person_column is None else row[person_column],
        )


def _read_long(
    table: Table, rows: Iterator[list[str]], columns: list[str], collector: Collector
) -> None:
    def column(names: set[str]) -> int | None:
        return next((place for place, name in enumerate(columns) if name in names), None)

    sure = column({name for name, channel in _CHANNELS.items() if channel == "confidence"})
    of = {"frame": column(_FRAME), "landmark": column(_LANDMARK), "person": column(_PERSON)}
    if of["frame"] is None:
        collector.fail(f"columns {listed(columns)}, and none says which frame; expected 'frame'")
    x, y = columns.index("x"), columns.index("y")
    joints: dict[str, int] = {}
    people: dict[tuple[int | str, str], int] = {}
    found: list[tuple[int, int]] = []
    values: list[tuple[float, float, float]] = []
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            collector.fail(f"row {number + 2} has {len(row)} cells, the header {len(columns)}")
        frame = _frame(row[of["frame"]], number)
        person = "" if of["person"] is None else row[of["person"]].strip()
        joint = joints.setdefault(row[of["landmark"]].strip(), len(joints))
        found.append((people.setdefault((frame, person), len(people)), joint))
        cells = [row[k] for k in (x, y, *(() if sure is None else (sure,)))]
        numbers = table.numbers(cells, f"row {number + 2}")
        values.append((numbers[0], numbers[1], 1.0 if sure is None else numbers[2]))
        if len(joints) > 1000:
            collector.fail("more than 1000 landmarks by their names; no table of landmarks")
    filled = np.full((len(people), len(joints), 3), np.nan)
    if found:
        filled[tuple(np.array(found).T)] = values
    names = _names_of(list(joints), collector)
    collector.names = names
    for (frame, person), row in people.items():
        collector.add(frame, np.nan_to_num(filled[row]), track=person or None)


def _names_of(names: list[str], collector: Collector) -> tuple[str, ...] | None:
    """Names of the landmarks; numbers become MediaPipe's where there are 33, else nothing."""
    digits = [re.search(r"[0-9]+", name) for name in names]
    numbers = [int(match[0]) if match else -1 for match in digits]
    if any(number < 0 for number in numbers) or len(set(numbers)) < len(names):
        return tuple(names)
    words = {re.sub(r"[0-9]+", "", name).strip("_-. ").lower() for name in names}
    if not words <= {"", "landmark", "lm", "kp", "keypoint", "joint", "point"}:
        return tuple(names)
    first = min(numbers)
    if first not in (0, 1) or sorted(numbers) != list(range(first, first + len(names))):
        collector.fail("landmarks with numbers of which some are not there; expected their names")
    if numbers != sorted(numbers):
        collector.fail("landmarks whose numbers are out of order; expected their names")
    return None


def _frame(cell: str, number: int) -> int | str:
    """A frame's number or name; the row's own number where the cell is empty."""
    text = cell.strip()
    if not text:
        return number
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value == int(value) else text
