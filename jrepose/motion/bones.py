"""Bones of constant length: a lifter's vary from frame to frame, a body's do not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jrepose.skeleton import Skeleton, parents_first

_RIGID = 1e-3
"""Of its length a bone may vary by this and count as constant."""


def bone_lengths(
    poses: Float[np.ndarray, "*frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, " joints"]:
    """Length of the bone that ends in each joint: the median over frames.

    Lengths of left and right are averaged, unless neither varies: then they are known.  Zero for
    the root.  Units are those of the poses.
    """
    poses = poses.reshape(-1, *poses.shape[-2:])
    lengths, varies = np.zeros(skeleton.num_joints), np.zeros(skeleton.num_joints, bool)
    for parent, child in skeleton.limbs:
        bones = np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1)
        lengths[child] = np.median(bones)
        varies[child] = np.abs(bones - lengths[child]).max() > _RIGID * lengths[child]
    for pair in zip(skeleton.left, skeleton.right, strict=True):
        if varies[list(pair)].any():
            lengths[list(pair)] = lengths[list(pair)].mean()
    return lengths


def bone_directions(
    poses: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, "frames joints 3"]:
    """Unit vectors from each joint's parent to the joint; zero for the root.

    A bone without length keeps the direction of the frame before, or of the first one that has
    any; zero if none has.
    """
    directions = np.zeros(poses.shape)
    for parent, child in skeleton.limbs:
        bones = (poses[:, child] - poses[:, parent]).astype(np.float64)
        lengths = np.linalg.norm(bones, axis=-1)
        known = np.flatnonzero(lengths > 1e-9)
        if len(known):
            before = np.searchsorted(known, np.arange(len(bones)), side="right") - 1
            source = known[np.maximum(before, 0)]
            directions[:, child] = bones[source] / lengths[source, None]
    return directions


def with_constant_bones(
    poses: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    lengths: Float[np.ndarray, " joints"] | None = None,
) -> Float[np.ndarray, "frames joints 3"]:
    """The same directions of all bones and the same root, with lengths that do not change.

    Args:
        poses: any unit.
        skeleton: joint order.
        lengths: of the bone that ends in each joint; None: `bone_lengths` of the poses.
    """
    lengths = bone_lengths(poses, skeleton) if lengths is None else lengths
    directions = bone_directions(poses, skeleton)
    placed = poses.astype(np.float64)
    for joint in parents_first(skeleton)[1:]:
        placed[:, joint] = (
            placed[:, skeleton.parents[joint]] + lengths[joint] * directions[:, joint]
        )
    return placed.astype(poses.dtype)
