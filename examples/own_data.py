"""Trains on keypoints and poses of one's own: the file, the training, the scores.

python examples/own_data.py FOLDER [--config.FIELD=VALUE ...]

Here procedural motion stands for a recording: three subjects before one calibrated camera.
"""

import pathlib
import sys

import numpy as np

from jrepose import cli
from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.procedural import generate_motion


def record(path: pathlib.Path) -> None:
    """Writes what `jrepose/data/formats/custom.py` describes."""
    motion = generate_motion(["ada", "ben", "cleo"], seconds=20.0, frame_rate=10.0)
    seen = capture(motion, rig={"cameras": 1, "width": 1000, "height": 1000})
    # A dataset's lenses are in screen units, of -1 to 1 over the width.
    lenses = np.array([video.intrinsics[:4] for video in seen.videos])
    np.savez(
        path,
        keypoints_px=np.concatenate([seen.keypoints_px, seen.confidence[..., None]], axis=-1),
        poses_camera_mm=seen.poses_camera_mm,
        intrinsics_px=(lenses + [0, 0, 1, 1]) * 500,
        width=1000,
        height=1000,
        frame_rate=10,
        video_lengths=[video.frames for video in seen.videos],
        subjects=[video.subject for video in seen.videos],
        actions=[video.action for video in seen.videos],
    )


def main(folder: pathlib.Path, *changes: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    record(folder / "own.npz")
    fields = ["--config=custom", f"--config.data.path={folder / 'own.npz'}", *changes]
    status = cli.main(["jrepose", "train", *fields, f"--workdir={folder / 'run'}"])
    return status or cli.main(["jrepose", "evaluate", f"--checkpoint={folder / 'run'}"])


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), *sys.argv[2:]))
