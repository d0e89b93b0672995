"""Plain arrays: what rtmlib, HRNet demos and users' scripts save as NPY, NPZ or JSON.

`[frames, keypoints, 2|3]` of one person, `[people, frames, keypoints, 2|3]`, or a list over frames
of `[people, keypoints, 2|3]`; scores in the third channel or under a key of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part
from jrepose.motion.readers.layouts import COUNTS, LAYOUTS
from jrepose.skeleton import BLAZEPOSE_33

TITLE = "arrays of keypoints"

_POINTS = (
    "keypoints", "kpts", "keypoints_2d", "keypoints2d", "pose2d", "pose_2d", "poses_2d",
    "joints_2d", "keypoints_px", "reconstruction", "points", "arr_0",
)  # fmt: skip
_SCORES = (
    "scores", "keypoint_scores", "confidence", "confidences", "score", "conf", "kpt_scores",
    "keypoints_scores", "arr_1",
)  # fmt: skip
_SIZES = (("width", "height"), ("w", "h"), ("image_width", "image_height"))


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a JSON file that begins with these parts is of this format."""
    key, entry = parts[0]
    if key != LIST:
        return any(key.lower() in _POINTS and _is_nested(entry) for key, entry in parts)
    return _is_nested(entry)


def _is_nested(entry: Any) -> bool:
    """Whether lists in lists end in a number."""
    depth = 0
    while isinstance(entry, list) and entry:
        entry, depth = entry[0], depth + 1
    return depth > 0 and isinstance(entry, int | float) and not isinstance(entry, bool)


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people of a JSON file; `frame` is the name of the frame where it is of one."""
    points: list[Any] = []
    scores: list[Any] = []
    for key, entry in parts:
        if key == LIST or key.lower() in _POINTS:
            points.append(_compact(entry))
        elif key.lower() in _SCORES:
            scores.append(_compact(entry))
    if frame is None:
        _add_all(collector, points, scores or None)
        return
    collector.frame(frame)
    # The parts of one frame are its people, or the keypoints of the one person.
    array = _frame_array(collector, frame, points)
    for person, values in enumerate(_people(collector, frame, array)):
        collector.add(frame, values, scores[person] if len(scores) > person else None)


def _compact(entry: Any) -> Any:
    try:
        return np.array(entry, np.float64)
    except (TypeError, ValueError, OverflowError):
        return entry


def read_archive(entries: Mapping[str, Any], collector: Collector) -> None:
    """Adds all people of a NumPy file.

    Args:
        entries: its arrays by name.
        collector: takes them.

    Raises:
        InputError: no array of keypoints, or one of another shape.
    """
    named = {name.lower(): value for name, value in entries.items()}
    found = [name for name in _POINTS if name in named]
    if not found and len(named) == 1:
        found = list(named)
    if not found:
        collector.fail(f"no array of keypoints; it has {', '.join(list(entries)[:6]) or 'none'}, "
                       f"expected {' or '.join(_POINTS[:3])}")  # fmt: skip
    scores = next((named[name] for name in _SCORES if name in named and name != found[0]), None)
    for width, height in _SIZES:
        if width in named and height in named:
            size = [np.asarray(named[side]).reshape(-1) for side in (width, height)]
            if all(value.size == 1 and value.dtype.kind in "iuf" for value in size):
                collector.size = (int(size[0][0]), int(size[1][0]))
    for name in ("fps", "frame_rate"):
        rate = np.asarray(named.get(name, ""))
        if rate.size == 1 and rate.dtype.kind in "iuf":
            collector.fps = float(rate.reshape(-1)[0])
    order = np.asarray(named.get("keypoint_skeleton", ""))
    if order.size == 1 and str(order) in LAYOUTS:
        collector.layout = str(order)
    if np.size(named.get("video_lengths", 1)) > 1:
        collector.fail(f"{np.size(named['video_lengths'])} videos; expected one")
    _add_all(collector, named[found[0]], scores)


def _add_all(collector: Collector, points: Any, scores: Any) -> None:
    """Adds the people of a whole video."""
    regular = _regular(points)
    if regular is None:  # lists over frames, of as many people as there are
        confidences = scores if scores is not None and len(scores) == len(points) else None
        for number, entry in enumerate(points):
            collector.frame(number)
            people = _people(collector, number, _frame_array(collector, number, entry))
            of_frame = None
            if confidences is not None:
                of_frame = _frame_array(collector, number, confidences[number])
                if of_frame.shape != (len(people), *of_frame.shape[1:]) and of_frame.ndim == 2:
                    collector.fail(f"frame {number}: scores of {len(of_frame)} people, keypoints "
                                   f"of {len(people)}")  # fmt: skip
            for person, values in enumerate(people):
                confidence = None
                if of_frame is not None:
                    confidence = of_frame[person] if of_frame.ndim == 2 else of_frame
                collector.add(number, values, confidence)
        return
    confidences = None if scores is None else _regular(scores)
    if scores is not None and (
        confidences is None or confidences.squeeze().shape != regular[..., 0].squeeze().shape
    ):
        collector.fail(f"scores are not as many as keypoints, of the shape {regular.shape}")
    if confidences is not None:
        confidences = confidences.reshape(regular.shape[:-1])
    for track, (person, confidence) in enumerate(_as_people(collector, regular, confidences)):
        _check_third(collector, person)
        for number, values in enumerate(person):
            given = None if confidence is None else confidence[number]
            collector.add(number, *_channels(values, given), track=track)


def _frame_array(collector: Collector, frame: int | str, entry: Any) -> np.ndarray:
    if entry is None:
        return np.zeros((0, 0, 2))
    try:
        return np.asarray(entry, np.float64)
    except (TypeError, ValueError, OverflowError):
        collector.fail(f"frame {frame}: keypoints that are no numbers, or not as many of each")


def _regular(values: Any) -> np.ndarray | None:
    """One array of numbers; None if it is a list of unequal ones."""
    try:
        array = np.array(list(values) if isinstance(values, list) else values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.size else None


def _as_people(
    collector: Collector, points: np.ndarray, confidence: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """[frames, keypoints, channels] of each person."""
    shape = points.shape
    if points.ndim == 2:
        if shape[1] in (2, 3, 4) and shape[0] in COUNTS:
            points = points[None]  # one frame
        else:
            fitting = [c for c in (3, 2, 4) if shape[1] % c == 0 and shape[1] // c in COUNTS]
            if not fitting:
                collector.fail(f"an array of the shape {shape}; expected frames, keypoints, 2 or 3")
            points = points.reshape(shape[0], -1, fitting[0])
        if confidence is not None:
            confidence = confidence.reshape(points.shape[:2])
    if points.ndim == 3:
        points = points[None]
        confidence = None if confidence is None else confidence[None]
    if points.ndim != 4 or points.shape[3] not in (2, 3, 4):
        collector.fail(
            f"an array of the shape {shape}; expected (people,) frames, keypoints, 2 or 3"
        )
    if points.shape[0] > points.shape[1]:
        collector.notes.append(f"of the axes {shape} the first is taken for the frames, the second "
                               "for people")  # fmt: skip
        points = points.swapaxes(0, 1)
        confidence = None if confidence is None else confidence.swapaxes(0, 1)
    for person in range(len(points)):
        yield points[person], None if confidence is None else confidence[person]


def _check_third(collector: Collector, points: np.ndarray) -> None:
    if points.shape[2] != 3 or points.shape[1] == BLAZEPOSE_33.num_joints:
        return
    third = points[..., 2][np.isfinite(points[..., 2])]
    if third.size and (third.min() < -0.1 or third.max() > 10):
        collector.fail(
            f"the third channel goes from {third.min():.4g} to {third.max():.4g}: 3D poses, not "
            "image coordinates; expected x, y and a confidence from 0 to 1"
        )


def _channels(
    values: np.ndarray, confidence: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """x, y and confidence out of two to four channels: MediaPipe's have z and visibility."""
    if values.shape[1] == 4:
        return values[:, :2], values[:, 3]
    if len(values) == BLAZEPOSE_33.num_joints and values.shape[1] == 3:
        third = values[:, 2]
        if third.size and np.nanmin(third) < 0:  # z
            return values[:, :2], confidence
    return values, confidence


def _people(collector: Collector, frame: int | str, array: np.ndarray) -> list[np.ndarray]:
    if not array.size:
        return []
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[2] not in (2, 3):
        collector.fail(f"frame {frame}: keypoints of the shape {array.shape}; expected people, "
                       "keypoints, 2 or 3")  # fmt: skip
    _check_third(collector, array)
    return list(array)
