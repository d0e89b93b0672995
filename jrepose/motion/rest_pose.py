"""A body in a T-pose, from which a skeleton's rest pose takes the directions of its bones.

Axes here and in `rotations.py` are those of character animation: y up, z forward, x to the
subject's left.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.skeleton import Skeleton

_CENTRE = {
    "pelvis": (0.0, 0.95, 0.0),
    "spine": (0.0, 1.2, 0.0),
    "thorax": (0.0, 1.47, 0.0),
    "neck": (0.0, 1.58, 0.0),
    "upper_neck": (0.0, 1.58, 0.0),
    "nose": (0.0, 1.64, 0.1),
    "head": (0.0, 1.75, 0.0),
    "head_top": (0.0, 1.78, 0.0),
}
_LEFT = {
    "eye": (0.03, 1.68, 0.08),
    "ear": (0.07, 1.65, 0.0),
    "shoulder": (0.18, 1.47, 0.0),
    "elbow": (0.46, 1.47, 0.0),
    "wrist": (0.71, 1.47, 0.0),
    "hip": (0.13, 0.95, 0.0),
    "knee": (0.13, 0.51, 0.0),
    "ankle": (0.13, 0.08, 0.0),
    "heel": (0.13, 0.0, -0.05),
    "big_toe": (0.11, 0.0, 0.17),
    "small_toe": (0.17, 0.0, 0.14),
}
POSITIONS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    _CENTRE
    | {f"left_{part}": place for part, place in _LEFT.items()}
    | {f"right_{part}": (-x, y, z) for part, (x, y, z) in _LEFT.items()}
)
"""Joint -> its place in a grown person's T-pose, metres."""

_BENDS = {"knee": (0.0, 0.0, -1.0), "elbow": (0.0, 0.0, 1.0)}

# Where a limb goes on after its last joint, in lengths of its last bone.
_FOOT = (np.array([0.0, 0.0, 1.0]), 0.45)
_HAND = 0.4


def direction(skeleton: Skeleton, joint: int) -> Float[np.ndarray, " 3"] | None:
    """Unit vector from a joint's parent to the joint; None where the T-pose lacks either."""
    names = skeleton.joint_names
    ends = [POSITIONS.get(names[number]) for number in (skeleton.parents[joint], joint)]
    if None in ends:
        return None
    bone = np.subtract(ends[1], ends[0])
    length = np.linalg.norm(bone)
    return bone / length if length > 0 else None


def bend(skeleton: Skeleton, joint: int) -> Float[np.ndarray, " 3"] | None:
    """Where the next bone goes when this joint, a hinge, bends; None: it is no hinge."""
    part = skeleton.joint_names[joint].rpartition("_")[2]
    return np.array(_BENDS[part]) if part in _BENDS else None


def tip(
    skeleton: Skeleton, joint: int, along: Float[np.ndarray, " 3"], length: float
) -> Float[np.ndarray, " 3"]:
    """From a limb's last joint to its end: feet point forward, all else goes on.

    Args:
        skeleton: joint order.
        joint: the last joint.
        along: direction of the bone that ends in it, at rest.
        length: of that bone.
    """
    if skeleton.joint_names[joint].endswith("ankle"):
        return _FOOT[0] * _FOOT[1] * length
    return along * _HAND * length
