"""MediaPipe Pose landmarks in JSON: a list over frames of landmarks, or of people with landmarks.

A landmark is `{x, y, z, visibility}`; x and y are shares of width and height.  What a detector
found nobody in is null, empty or all zeros.  Its CSV files are read by `csv_files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part
from jrepose.skeleton import BLAZEPOSE_33

TITLE = "MediaPipe landmarks"
_KEYS = ("pose_landmarks", "landmarks", "keypoints", "poseLandmarks")
_WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "world_landmarks")
_FRAMES = ("frame", "frame_id", "frame_index", "frame_number")


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a file that begins with these parts is of this format."""
    return any(_people(entry) for _, entry in parts)


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people; `frame` is the name of the frame where the file is of one."""
    collector.layout = BLAZEPOSE_33.name
    if frame is not None:
        collector.frame(frame)
    number = -1
    for key, entry in parts:
        if key != LIST and isinstance(entry, str | int | float | bool):
            continue  # a width, a version
        if key in _WORLD and number < 0:
            collector.fail(f"{key} are metres about the hips, no places in the picture; expected "
                           "pose_landmarks")  # fmt: skip
        number += 1
        place = number if frame is None else frame
        if frame is None and isinstance(entry, dict):
            found = next((entry[name] for name in _FRAMES if name in entry), number)
            if isinstance(found, int | str) and not isinstance(found, bool):
                place = found
            if not any(name in entry for name in _KEYS) and any(n in entry for n in _WORLD):
                collector.fail(f"frame {place}: world landmarks, metres about the hips, and no "
                               "places in the picture; expected pose_landmarks")  # fmt: skip
        collector.frame(place)
        for person in _people(entry) or ():
            _add(collector, place, person)


def _is_landmark(entry: Any) -> bool:
    return isinstance(entry, dict) and {"x", "y"} <= {str(key).lower() for key in entry}


def _people(entry: Any) -> list[Any] | None:
    """The lists of landmarks in what stands for a frame; None if there are none."""
    if isinstance(entry, dict):
        for key in _KEYS:
            if key in entry:
                return _people(entry[key])
        if entry and all(map(_is_landmark, entry.values())):
            return [entry]
        return None
    if not isinstance(entry, list) or not entry:
        return None
    if _is_landmark(entry[0]):
        return [entry]
    return [person for part in entry for person in _people(part) or ()] or None


def _add(collector: Collector, frame: int | str, person: Any) -> None:
    values = np.zeros((BLAZEPOSE_33.num_joints, 3))
    if isinstance(person, dict):
        names = {str(name).lower(): landmark for name, landmark in person.items()}
        unknown = sorted(names.keys() - set(BLAZEPOSE_33.joint_names))
        if unknown:
            collector.fail(f"frame {frame}: unknown landmark {unknown[0][:50]!r}")
        person = [names.get(name) for name in BLAZEPOSE_33.joint_names]
    if len(person) != BLAZEPOSE_33.num_joints:
        collector.fail(f"frame {frame}: {len(person)} landmarks; expected 33")
    for number, landmark in enumerate(person):
        if landmark is None:
            continue
        if not _is_landmark(landmark):
            collector.fail(f"frame {frame}: landmark {number} without x and y")
        fields = {str(key).lower(): value for key, value in landmark.items()}
        found = (fields["x"], fields["y"], fields.get("visibility", 1.0))
        if any(isinstance(value, list | dict | str) for value in found):
            collector.fail(f"frame {frame}: landmark {number} has no numbers")
        try:
            values[number] = [np.nan if value is None else value for value in found]
        except OverflowError:
            collector.fail(f"frame {frame}: landmark {number} is at {str(found)[:40]}")
    if np.isnan(values[:, 2]).all():
        values[:, 2] = 1
    collector.add(frame, values)
