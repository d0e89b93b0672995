"""CSV: a row per frame, `frame,time,JOINT_x,JOINT_y,JOINT_z,...`.

Metres, x right, y forward, z up; seconds.
"""

from __future__ import annotations

import csv
import pathlib

from jrepose.motion.motion import Motion


def write(motion: Motion, path: pathlib.Path, name: str) -> None:
    """Writes one person; frames are numbered from 0, the start of the video."""
    names = motion.skeleton.joint_names
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", "time", *(f"{name}_{axis}" for name in names for axis in "xyz")])
        for number, pose in enumerate(motion.poses_m, start=motion.first_frame):
            values = (f"{value:.6f}" for value in pose.ravel())
            writer.writerow([number, f"{number / motion.fps:.6f}", *values])
