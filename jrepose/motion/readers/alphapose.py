"""AlphaPose's results: a list with an entry per person and frame, or an object keyed by image name.

Halpe-26, Halpe-136 and COCO-17 in the list; the variants `cmu` (`bodies`) and `open` (`people`) are
in COCO-18's order with a neck that AlphaPose takes from the wrong place where there are more than
17 keypoints: here it is between the shoulders again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part
from jrepose.skeleton import COCO_18

TITLE = "AlphaPose results"
_PEOPLE = {"bodies": "joints", "people": "pose_keypoints_2d"}


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a file that begins with these parts is of this format."""
    key, entry = parts[0]
    if key == LIST:
        return (
            isinstance(entry, dict)
            and {"image_id", "keypoints"} <= entry.keys()
            and (isinstance(entry["image_id"], str) or bool({"box", "idx"} & entry.keys()))
        )
    return any(key == "bodies" or _people(entry) is not None for key, entry in parts)


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people; `frame` is the name of the frame where the file is of one."""
    if frame is not None:
        collector.frame(frame)
    for key, entry in parts:
        if key == LIST:
            _add_entry(collector, entry)
        elif key == "bodies":
            _add_reordered(collector, 0 if frame is None else frame, entry, "joints")
        elif (people := _people(entry)) is not None:
            collector.frame(key)
            for person in people[0]:
                _add_reordered(collector, key, person, people[1])


def _people(entry: Any) -> tuple[list[Any], str] | None:
    """The people of an image of the variants, and the name of their keypoints."""
    for name, points in _PEOPLE.items():
        if isinstance(entry, dict) and isinstance(entry.get(name), list):
            return entry[name], points
    return None


def _add_entry(collector: Collector, entry: Any) -> None:
    if not isinstance(entry, dict) or not {"image_id", "keypoints"} <= entry.keys():
        collector.fail("an entry without image_id and keypoints; expected those of AlphaPose")
    collector.add(
        entry["image_id"], entry["keypoints"], score=entry.get("score"), track=entry.get("idx")
    )


def _add_reordered(collector: Collector, frame: int | str, person: Any, name: str) -> None:
    if person == []:
        return
    values = person.get(name) if isinstance(person, dict) else None
    if not isinstance(values, list) or len(values) != 3 * COCO_18.num_joints:
        collector.fail(f"frame {frame}: {name} has not 18 times x, y, confidence")
    try:
        points = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        collector.fail(f"frame {frame}: {name} are no numbers")
    sides = points[[COCO_18.index("left_shoulder"), COCO_18.index("right_shoulder")]]
    neck = sides.mean(0) if (sides[:, 2] > 0).all() else np.zeros(3)
    points[COCO_18.index("neck")] = neck
    collector.layout = COCO_18.name
    collector.add(frame, points)
