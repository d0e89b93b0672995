"""JSON: everything that is known, of all people."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import TextIO

import numpy as np

from jrepose import __version__
from jrepose.motion.motion import Motion

_DECIMALS = 6
_FRAMES_PER_BLOCK = 256


def write_all(motions: Sequence[Motion], path: pathlib.Path, name: str) -> None:
    """Writes one or several people.

    `{"format": "jrepose motion", "version": 1, "units": "m", "axes": {...}, "people": [...]}`;
    a person has `person`, `fps`, `first_frame`, `joint_names`, `parents`,
    `poses_m [frames, joints, 3]`, `notes`, and where known `size`, `keypoint_names` and
    `keypoints [frames, joints2d, 3]` (pixels, confidence).
    """
    about = {
        "format": "jrepose motion",
        "version": 1,
        "writer": f"jrepose {__version__}",
        "units": "m",
        "axes": {"x": "right", "y": "forward", "z": "up"},
    }
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(about)[:-1] + ', "people": [\n')
        for number, motion in enumerate(motions):
            file.write(",\n" if number else "")
            _write_person(file, motion)
        file.write("\n]}\n")


def _write_person(file: TextIO, motion: Motion) -> None:
    about = {
        "person": motion.person,
        "fps": float(motion.fps),
        "first_frame": motion.first_frame,
        "notes": list(motion.notes),
        "skeleton": motion.skeleton.name,
        "joint_names": list(motion.skeleton.joint_names),
        "parents": list(motion.skeleton.parents),
    }
    if motion.size is not None:
        about["size"] = [int(side) for side in motion.size]
    arrays = {"poses_m": motion.poses_m}
    if motion.keypoints is not None:
        about["keypoint_names"] = list(motion.keypoint_skeleton.joint_names)
        arrays["keypoints"] = motion.keypoints
    file.write(json.dumps(about)[:-1])
    for name, values in arrays.items():
        file.write(f', "{name}": [')
        file.writelines(_blocks(values))
        file.write("]")
    file.write("}")


def _blocks(values: np.ndarray) -> Iterator[str]:
    """A long array as JSON, piece by piece: as Python's numbers it would take ten times more."""
    for start in range(0, len(values), _FRAMES_PER_BLOCK):
        block = values[start : start + _FRAMES_PER_BLOCK].astype(np.float64)
        text = json.dumps(np.round(block, _DECIMALS).tolist())[1:-1]
        yield ", " + text if start else text
