"""MMPose 1.x: what its demo scripts and its inferencer save.

An object with `meta_info` (which names the keypoints) and `instance_info`; a list of frames; or the
list of one image's instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jrepose.motion.readers.detections import Collector
from jrepose.motion.readers.json_files import LIST, Part

TITLE = "MMPose predictions"


def recognise(parts: Sequence[Part]) -> bool:
    """Whether a file that begins with these parts is of this format."""
    return any(
        key == "instance_info"
        or (isinstance(entry, dict) and "instances" in entry)
        or _is_instance(entry)
        or (isinstance(entry, list) and any(_is_instance(instance) for instance in entry))
        for key, entry in parts
    )


def read(parts: Iterable[Part], collector: Collector, frame: str | None) -> None:
    """Adds all people; `frame` is the name of the frame where the file is of one."""
    if frame is not None:
        collector.frame(frame)
    for number, (key, entry) in enumerate(parts):
        if key == "meta_info":
            _take_names(collector, entry)
        elif isinstance(entry, dict) and "instances" in entry:
            found = entry.get("frame_id", number)
            if isinstance(found, float) and found.is_integer():
                found = int(found)
            _add(collector, found if frame is None else frame, entry["instances"])
        elif _is_instance(entry):
            _add(collector, 0 if frame is None else frame, [entry])
        elif isinstance(entry, list) and key in (LIST, "predictions", "instance_info"):
            _add(collector, number if frame is None else frame, entry)
        elif key in (LIST, "instance_info"):
            collector.fail(f"entry {number} has no instances")


def _is_instance(entry: Any) -> bool:
    return isinstance(entry, dict) and {"keypoints", "keypoint_scores"} <= entry.keys()


def _take_names(collector: Collector, meta: Any) -> None:
    """The keypoints' names, `{"0": "nose", ...}`."""
    table = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(table, dict):
        return
    names = [table.get(str(number)) for number in range(len(table))]
    if names and all(isinstance(name, str) for name in names):
        collector.names = tuple(names)


def _add(collector: Collector, frame: Any, instances: Any) -> None:
    if not isinstance(instances, list):
        collector.fail(f"frame {str(frame)[:50]}: instances is no list")
    collector.frame(frame)
    for instance in instances:
        if not _is_instance(instance):
            collector.fail(f"frame {frame}: an instance without keypoints and keypoint_scores")
        collector.add(
            frame,
            instance["keypoints"],
            instance["keypoint_scores"],
            score=instance.get("bbox_score", 1.0),
            track=instance.get("track_id"),
        )
