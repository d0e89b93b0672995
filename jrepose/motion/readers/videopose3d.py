"""VideoPose3D's archives: Detectron's inference of one video, and datasets of custom videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.motion.readers.detections import Collector

TITLE = "VideoPose3D archive"


def recognise(entries: Mapping[str, Any]) -> bool:
    """Whether an archive of these arrays is of this format."""
    return "positions_2d" in entries or {"boxes", "keypoints"} <= entries.keys()


def read(entries: Mapping[str, Any], collector: Collector) -> None:
    """Adds all people.

    Raises:
        InputError: another structure, or several videos.
    """
    metadata = entries.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if "positions_2d" in entries:
        _add_dataset(collector, entries["positions_2d"], metadata)
        return
    collector.size = _size(metadata)
    boxes, keypoints = entries["boxes"], entries["keypoints"]
    if not isinstance(keypoints, np.ndarray | list) or len(boxes) != len(keypoints):
        collector.fail("boxes and keypoints are not of as many frames")
    for frame, (box, points) in enumerate(zip(boxes, keypoints, strict=True)):
        collector.frame(frame)
        box, points = _of_class(box), _of_class(points)
        if points is None:
            continue
        if points.ndim != 3 or points.shape[1] != 4:
            collector.fail(f"keypoints of frame {frame} have the shape {points.shape}; expected "
                           "people, 4, keypoints")  # fmt: skip
        scored = box is not None and box.ndim == 2 and box.shape[1] == 5 and len(box) == len(points)
        for person, values in enumerate(points):
            collector.add(frame, values[:2].T, values[3], score=box[person, 4] if scored else 1.0)


def _of_class(entry: Any) -> np.ndarray | None:
    """The array of persons in Detectron's list over classes; None if there is nobody."""
    if isinstance(entry, list | tuple) or (isinstance(entry, np.ndarray) and entry.dtype == object):
        entry = next((part for part in reversed(list(entry)) if np.size(part)), None)
    if entry is None or not np.size(entry):
        return None
    try:
        return np.asarray(entry, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _add_dataset(collector: Collector, positions: Any, metadata: Mapping[str, Any]) -> None:
    videos = [
        (f"{subject}/{action}", view)
        for subject, actions in (positions.items() if isinstance(positions, dict) else ())
        for action, views in (actions.items() if isinstance(actions, dict) else ())
        for view in (views if isinstance(views, list | tuple | np.ndarray) else ())
    ]
    if len(videos) != 1:
        names = ", ".join(name for name, _ in videos[:4])
        collector.fail(f"{len(videos)} videos ({names}); expected one")
    name, view = videos[0]
    sizes = metadata.get("video_metadata")
    if isinstance(sizes, dict):
        collector.size = _size(sizes.get(name.partition("/")[0]))
    try:
        view = np.asarray(view, np.float64)
    except (TypeError, ValueError, OverflowError):
        view = np.zeros(0)
    if view.ndim != 3 or view.shape[2] not in (2, 3):
        collector.fail(f"{name} has the shape {view.shape}; expected frames, keypoints, 2 or 3")
    for frame, values in enumerate(view):
        collector.add(frame, values)


def _size(entry: Any) -> tuple[int, int] | None:
    values = [entry.get("w"), entry.get("h")] if isinstance(entry, dict) else []
    if len(values) == 2 and all(isinstance(v, int | np.integer) and 0 < v < 10**5 for v in values):
        return int(values[0]), int(values[1])
    return None
