"""C3D, the binary files of motion capture: millimetres, z up, through `ezc3d`."""

from __future__ import annotations

import pathlib

import numpy as np

from jrepose.errors import InputError, MissingExtra
from jrepose.motion.motion import Motion

_MM_PER_M = 1000
_FRAMES = 2**16 - 1  # the header's numbers are of 16 bits


def check() -> None:
    """Raises MissingExtra where `ezc3d` is not installed."""
    _load_ezc3d()


def write(motion: Motion, path: pathlib.Path, name: str) -> None:
    """Writes one person; x right, y forward, z up.

    Raises:
        MissingExtra: `ezc3d` is not installed.
        InputError: frames beyond the numbers that the format has.
    """
    c3d = _load_ezc3d().c3d()
    frames, joints = motion.poses_m.shape[:2]
    if motion.first_frame + frames > _FRAMES:
        raise InputError(
            f"{path}: {frames} frames from number {motion.first_frame} on, and C3D numbers them up "
            f"to {_FRAMES}; expected another format, BVH or NPZ for instance"
        )
    point = c3d["parameters"]["POINT"]
    point["RATE"]["value"] = [float(motion.fps)]
    point["LABELS"]["value"] = list(motion.skeleton.joint_names)
    point["UNITS"]["value"] = ["mm"]
    c3d.add_parameter("POINT", "X_SCREEN", ["+X"])
    c3d.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    c3d["header"]["points"]["first_frame"] = motion.first_frame
    points = np.ones((4, joints, frames))
    points[:3] = motion.poses_m.transpose(2, 1, 0) * _MM_PER_M
    c3d["data"]["points"] = points
    c3d["data"]["meta_points"]["residuals"] = np.zeros((1, joints, frames))
    c3d.write(str(path))


def _load_ezc3d():
    try:
        import ezc3d
    except ImportError:
        raise MissingExtra("ezc3d", "writing C3D", "c3d") from None
    return ezc3d
