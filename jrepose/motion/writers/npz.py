"""NumPy archives: plain arrays, loadable without pickle."""

from __future__ import annotations

import pathlib

import numpy as np

from jrepose.motion.motion import Motion


def write(motion: Motion, path: pathlib.Path, name: str) -> None:
    """Writes one person.

    Arrays: `poses_m [frames, joints, 3]` (x right, y forward, z up), `joint_names`, `parents`,
    `skeleton`, `fps`, `first_frame`, `person`, `notes`, and where known `size` and
    `keypoints [frames, joints2d, 3]` with `keypoint_names`.
    """
    arrays = {
        "poses_m": motion.poses_m,
        "joint_names": np.array(motion.skeleton.joint_names),
        "parents": np.array(motion.skeleton.parents),
        "skeleton": np.array(motion.skeleton.name),
        "fps": np.array(float(motion.fps)),
        "first_frame": np.array(motion.first_frame),
        "person": np.array(motion.person),
        "notes": np.array(motion.notes, dtype=np.str_),
    }
    if motion.size is not None:
        arrays["size"] = np.array(motion.size)
    if motion.keypoints is not None:
        arrays["keypoints"] = motion.keypoints
        arrays["keypoint_names"] = np.array(motion.keypoint_skeleton.joint_names)
    np.savez(path, **arrays)
