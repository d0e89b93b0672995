"""Writes what a 2D detector could have written: somebody who walks, as OpenPose's JSON files.

python examples/simulated_detection.py FOLDER
jrepose lift FOLDER --size 1000x1000 --fps 30 -o walk.html
"""

import json
import pathlib
import sys

import numpy as np

from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.layouts import in_layout
from jrepose.data.simulation.procedural import generate_motion
from jrepose.skeleton import BODY_25

SIZE, FPS = 1000, 30.0


def detect() -> np.ndarray:
    """Six seconds of BODY_25 keypoints, x, y in pixels and confidence: [frames, 25, 3]."""
    motion = generate_motion(["hana"], seconds=6.0, frame_rate=FPS, actions=["walking"])
    seen = capture(motion, rig={"cameras": 1, "width": SIZE, "height": SIZE})
    points, confidence = in_layout(seen.keypoints_px, seen.confidence, BODY_25)
    return np.concatenate([points, confidence[..., None]], axis=-1)


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, keypoints in enumerate(detect()):
        people = [{"person_id": [-1], "pose_keypoints_2d": keypoints.round(3).ravel().tolist()}]
        text = json.dumps({"version": 1.3, "people": people})
        (folder / f"walk_{number:012d}_keypoints.json").write_text(text)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
