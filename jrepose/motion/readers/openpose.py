"""OpenPose's JSON (`--write_json`): one file per frame with a list `people`.

BODY_25, BODY_25B and COCO-18 are told apart by number and geometry; Pose2Sim and others write
Halpe-26 and more in the same schema.  Coordinates are pixels, or what `--keypoint_scale` made of
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part

TITLE = "OpenPose JSON"
_POINTS = ("pose_keypoints_2d", "pose_keypoints")


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a file that begins with these parts is of this format."""
    return any(
        (key == "people" and (entry == [] or _is_person(entry)))
        or (key == LIST and isinstance(entry, dict) and isinstance(entry.get("people"), list))
        for key, entry in parts
    )


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds the people of a frame, or of all frames where a list of them is one file.

    Args:
        parts: of the file.
        collector: takes them.
        frame: the frame's name; None: the file is the whole video.

    Raises:
        InputError: people without keypoints.
    """
    if frame is not None:
        collector.frame(frame)
    for number, (key, entry) in enumerate(parts):
        if key == "people":
            _add(collector, 0 if frame is None else frame, entry)
        elif key == LIST:
            if not isinstance(entry, dict) or not isinstance(entry.get("people"), list):
                collector.fail(f"frame {number}: no list of people")
            collector.frame(number)
            for person in entry["people"]:
                _add(collector, number, person)


def _is_person(entry: Any) -> bool:
    return isinstance(entry, dict) and any(key in entry for key in _POINTS)


def _add(collector: Collector, frame: int | str, person: Any) -> None:
    if person == []:
        return
    if not _is_person(person):
        collector.fail(f"frame {frame}: a person without pose_keypoints_2d")
    values = next(person[key] for key in _POINTS if key in person)
    if not values:
        return
    if not isinstance(values, list) or len(values) % 3:
        collector.fail(f"frame {frame}: pose_keypoints_2d is no list of x, y, confidence")
    collector.add(frame, values, track=person.get("person_id"))
