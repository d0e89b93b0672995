"""COCO's keypoints: results (`image_id`, `keypoints`, `score`) and annotation files.

In annotations the third value is a flag: 0 is not labelled, 1 and 2 are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part

TITLE = "COCO keypoints"


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a file that begins with these parts is of this format."""
    return any(
        key in (LIST, "annotations")
        and isinstance(entry, dict)
        and {"image_id", "keypoints"} <= entry.keys()
        for key, entry in parts
    ) or {"images", "annotations"} <= {key for key, _ in parts}


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people; `frame` is the name of the frame where the file is of one."""
    names: dict[Any, str] = {}
    sizes: set[tuple[int, int]] = set()
    annotated = []
    for key, entry in parts:
        if key == "images" and isinstance(entry, dict):
            names[_hashable(entry.get("id"))] = str(entry.get("file_name", entry.get("id")))
            sizes |= _size(entry)
        elif key == "categories" and isinstance(entry, dict):
            _take_names(collector, entry)
        elif key == LIST:
            _add(collector, entry, frame, {})
        elif key == "annotations":
            # Images may stand behind their annotations.
            annotated.append(_compact(entry))
    if len(sizes) == 1:
        collector.size = sizes.pop()
    for name in names.values():
        collector.frame(name)
    for entry in annotated:
        _add(collector, entry, frame, names, flags=True)


def _compact(entry: Any) -> Any:
    """An annotation without what is not needed, in little memory."""
    if not isinstance(entry, dict):
        return entry
    kept = {key: entry.get(key) for key in ("image_id", "score", "track_id")}
    values = entry.get("keypoints")
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        values = values if values is None else np.array(values, np.float64)
    return kept | {"keypoints": values}


def _hashable(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _size(image: dict[str, Any]) -> set[tuple[int, int]]:
    size = (image.get("width"), image.get("height"))
    fits = all(isinstance(value, int) and 0 < value < 10**5 for value in size)
    return {size} if fits else set()


def _take_names(collector: Collector, category: dict[str, Any]) -> None:
    names = category.get("keypoints")
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        collector.names = tuple(names)


def _add(
    collector: Collector,
    entry: Any,
    frame: str | None,
    names: dict[Any, str],
    flags: bool = False,
) -> None:
    if not isinstance(entry, dict) or entry.get("keypoints") is None:
        collector.fail("an entry without image_id and keypoints; expected those of COCO")
    image = entry.get("image_id") if frame is None else frame
    values = entry["keypoints"]
    count = np.size(values) if isinstance(values, np.ndarray) and values.ndim == 1 else 0
    count = len(values) if isinstance(values, list) else count
    if not count or count % 3:
        collector.fail(f"image {image}: keypoints is no list of x, y, confidence")
    try:
        points = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        collector.fail(f"image {image}: keypoints are no numbers")
    if flags or (np.isin(points[:, 2], (0, 1, 2)).all() and (points[:, 2] == 2).any()):
        points[:, 2] = points[:, 2] > 0
    collector.add(
        names.get(_hashable(image), image),
        points,
        score=entry.get("score", 1.0),
        track=entry.get("track_id"),
    )
