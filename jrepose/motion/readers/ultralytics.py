"""Ultralytics YOLO-pose: text files of `save_txt`, one per image, and JSON of `to_json`.

A line is class, box, keypoints (x, y, confidence or x, y), then the box's confidence with
`save_conf` and the track's number with tracking; all coordinates are shares of width and height.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jrepose.errors import InputError
from jrepose.files import open_regular
from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import Part
from jrepose.restricted_pickle import reading

TITLE = "Ultralytics YOLO-pose"
_BOX = 5  # class and box, before the keypoints
_KEYPOINTS = 17
_LARGEST = 2**26


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a JSON file that begins with these parts is of this format."""
    return any(
        _is_result(entry) or (isinstance(entry, list) and any(map(_is_result, entry)))
        for _, entry in parts
    )


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people; `frame` is the name of the frame where the file is of one."""
    if frame is not None:
        collector.frame(frame)
    for number, (_, entry) in enumerate(parts):
        if isinstance(entry, list):  # a list over frames
            collector.frame(number if frame is None else frame)
            for result in entry:
                _add(collector, number if frame is None else frame, result)
        else:
            _add(collector, 0 if frame is None else frame, entry)


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("keypoints"), dict)


def _add(collector: Collector, frame: int | str, result: Any) -> None:
    if not _is_result(result):
        collector.fail(f"frame {frame}: an entry without keypoints of x and y")
    points = result["keypoints"]
    x, y = points.get("x"), points.get("y")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        collector.fail(f"frame {frame}: keypoints have not as many x as y")
    visible = points.get("visible")
    collector.add(
        frame,
        [list(pair) for pair in zip(x, y, strict=True)],
        visible if visible else None,
        score=result.get("confidence", 1.0),
        track=result.get("track_id"),
    )


def looks_like_text(line: bytes) -> bool:
    """Whether a text file with such a first line is one of `save_txt`."""
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return False
    return len(values) in _layouts()


def _layouts() -> dict[int, tuple[int, int]]:
    """Numbers in a line -> channels of a keypoint, numbers after the keypoints."""
    return {
        _BOX + channels * _KEYPOINTS + extra: (channels, extra)
        for channels in (2, 3)
        for extra in (0, 1, 2)
    }


def read_text(path: str, collector: Collector, frame: str) -> None:
    """Adds the people in a text file.

    Raises:
        InputError: lines of other lengths, or without numbers.
    """
    collector.normalised, collector.layout = True, "coco_17"
    collector.frame(frame)
    with reading(path), open_regular(path) as file:
        content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(f"{path}: too large for the keypoints of one image")
        lines = content.decode("utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = np.array([float(word) for word in line.split()])
        except ValueError:
            raise InputError(f"{path}: line {number} holds something else than numbers") from None
        if len(values) not in _layouts():
            raise InputError(
                f"{path}: line {number} has {len(values)} numbers; expected class, box and 17 "
                "keypoints, 56 (39 without confidences) and up to two more"
            )
        channels, extra = _layouts()[len(values)]
        end = _BOX + channels * _KEYPOINTS
        score, track = _extras(values[end:], extra)
        collector.add(frame, values[_BOX:end].reshape(-1, channels), score=score, track=track)


def _extras(values: np.ndarray, extra: int) -> tuple[float, float | None]:
    """Confidence of the box and number of the track.  One number alone is either of them."""
    if extra == 2:
        return float(values[0]), float(values[1])
    if extra == 1 and values[0] >= 1 and values[0] == int(values[0]):
        return 1.0, float(values[0])
    return (float(values[0]) if extra else 1.0), None
