"""DeepLabCut's tables, CSV and H5: three or four rows of header, a row per frame.

Body parts are the user's; they are read by their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jrepose.errors import InputError
from jrepose.motion.readers.csv_files import Table, _frame
from jrepose.motion.readers.detections import Collector

TITLE = "DeepLabCut table"
_HEADERS = ("scorer", "individuals", "bodyparts", "coords")
_SCORE_PLACE = {"x": 0, "y": 1, "likelihood": 2}

Column = tuple[str, str, str]
"""Individual (empty where there is one), body part, coordinate."""


def read_csv(path: str | os.PathLike[str], collector: Collector) -> None:
    """Adds all individuals of a CSV table.

    Raises:
        InputError: another header, or cells without numbers.
    """
    table = Table(path)
    rows = table.rows()
    headers: dict[str, list[str]] = {}
    for row in rows:
        name = row[0].strip().lower()
        if name not in _HEADERS:
            break
        headers[name] = [cell.strip() for cell in row]
    else:
        row = None
    if not {"scorer", "bodyparts", "coords"} <= headers.keys():
        collector.fail("the header has not the rows scorer, bodyparts and coords")
    scorer = headers["scorer"]
    leading = next((k for k, cell in enumerate(scorer) if k and cell and cell != "scorer"), 1)
    individuals = headers.get("individuals", [""] * len(scorer))
    if len({len(cells) for cells in headers.values()}) != 1:
        collector.fail("the rows of the header are not of one length")
    columns = list(zip(individuals, headers["bodyparts"], headers["coords"], strict=True))[leading:]

    def frames() -> Iterable[tuple[int | str, np.ndarray]]:
        number, cells = 0, row
        while cells is not None:
            place = f"row {number + 1 + len(headers)}"
            if len(cells) != len(scorer):
                collector.fail(f"{place} has {len(cells)} cells, the header {len(scorer)}")
            yield _frame(cells[leading - 1], number), table.numbers(cells[leading:], place)
            number, cells = number + 1, next(rows, None)

    add_frames(columns, frames(), collector)


def add_frames(
    columns: Sequence[Column], frames: Iterable[tuple[int | str, np.ndarray]], collector: Collector
) -> None:
    """Adds the rows of a table.

    Args:
        columns: what each number in a row is.
        frames: the rows: number or name of the frame, and the numbers.
        collector: takes them.

    Raises:
        InputError: a body part without x and y.
    """
    individuals = list(dict.fromkeys(individual for individual, _, _ in columns))
    parts = list(dict.fromkeys(part for _, part, _ in columns))
    chosen: dict[str, np.ndarray] = {}
    for individual in individuals:
        places = np.full((len(parts), 3), -1)
        for place, (owner, part, coordinate) in enumerate(columns):
            if owner == individual and coordinate in _SCORE_PLACE:
                places[parts.index(part), _SCORE_PLACE[coordinate]] = place
        if (places[:, :2] >= 0).any():
            chosen[individual] = places
    if not chosen:
        collector.fail("no body part has the coordinates x and y")
    collector.names = tuple(parts)
    if len(chosen) > 1:
        collector.people = dict(enumerate(chosen))
    for frame, values in frames:
        collector.frame(frame)
        for track, places in enumerate(chosen.values()):
            points = np.where(places >= 0, values[places], np.nan)
            points[places[:, 2] < 0, 2] = 1
            points[np.isnan(points[:, 2]), 2] = 0
            if (points[:, 2] > 0).any() or len(chosen) == 1:
                collector.add(frame, points, track=track if len(chosen) > 1 else None)


def read_hdf5(path: str | os.PathLike[str], collector: Collector) -> None:
    """Adds all individuals of an H5 table, as pandas writes it with PyTables.

    Raises:
        InputError: another structure.
        MissingExtra: h5py is missing.
    """
    from jrepose.motion.readers.pandas_tables import read_table

    columns, index, values = read_table(path)
    widths = {len(column) for column in columns}
    if widths <= {3}:
        named = [("", part, coordinate) for _, part, coordinate in columns]
    elif widths <= {4}:
        named = [(who, part, coordinate) for _, who, part, coordinate in columns]
    else:
        raise InputError(f"{path}: columns of {sorted(widths)} levels; expected scorer, "
                         "(individuals,) bodyparts, coords")  # fmt: skip
    rows: list[tuple[Any, np.ndarray]] = list(zip(index, values, strict=True))
    add_frames(named, rows, collector)
