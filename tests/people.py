"""Motion of people for the tests."""

import numpy as np

from jrepose.data.simulation.procedural import generate_motion
from jrepose.motion.bones import with_constant_bones
from jrepose.motion.motion import Motion
from jrepose.skeleton import COCO_17, HUMAN36M_17, Skeleton


def person(action: str = "walking", seconds: float = 2.0, **fields) -> Motion:
    """Made-up motion with bones of constant length, and keypoints as from a camera in front."""
    (recording,) = generate_motion(["S1"], seconds, 30, actions=[action])
    poses = with_constant_bones(recording.positions_mm / 1000.0, HUMAN36M_17)
    keypoints = np.ones((len(poses), 17, 3))
    keypoints[..., :2] = 400 + 150 * poses[..., [0, 2]] * [1, -1]
    return Motion(
        poses, HUMAN36M_17, 30.0, keypoints, COCO_17, (800, 600), notes=("height 1.7 m",), **fields
    )


def scattered(skeleton: Skeleton, frames: int = 6) -> Motion:
    """Any pose at all, with bones of constant length."""
    poses = np.random.default_rng(0).normal(size=(frames, skeleton.num_joints, 3))
    return Motion(with_constant_bones(poses, skeleton), skeleton, 29.97)
