"""TRC, marker trajectories of Motion Analysis: what OpenSim reads.

Metres; OpenSim's axes: x forward, y up, z right, of the world and so of the camera's view.
"""

from __future__ import annotations

import pathlib

import numpy as np

from jrepose.motion.motion import Motion
from jrepose.motion.writers.text import write_rows


def write(motion: Motion, path: pathlib.Path, name: str) -> None:
    """Writes one person.

    Frames are numbered from 1 and timed from 0, counted from the start of the video.
    """
    right, forward, up = np.moveaxis(motion.poses_m.astype(np.float64), -1, 0)
    frames, joints = right.shape
    first, rate = motion.first_frame + 1, f"{motion.fps:.10g}"
    columns = range(1, joints + 1)
    markers = ("_".join(joint.split()) for joint in motion.skeleton.joint_names)
    header = [
        ["PathFileType", "4", "(X/Y/Z)", name],
        ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate",
         "OrigDataStartFrame", "OrigNumFrames"],
        [rate, rate, str(frames), str(joints), "m", rate, str(first), str(frames)],
        ["Frame#", "Time", "\t\t\t".join(markers), "", ""],
        ["", "", *(f"{axis}{number}" for number in columns for axis in "XYZ")],
    ]  # fmt: skip
    numbers = np.arange(first, first + frames)
    table = np.concatenate(
        [
            numbers[:, None],
            (numbers[:, None] - 1) / motion.fps,
            np.stack([forward, up, right], axis=-1).reshape(frames, -1),
        ],
        axis=1,
    )
    row = "\t".join(["%d", *["%.6f"] * (table.shape[1] - 1)]) + "\n"
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(line) + "\n" for line in header)
        write_rows(file, row, table)
