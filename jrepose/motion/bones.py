"""Bones of constant length: a lifter's vary from frame to frame, a body's do not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jrepose.skeleton import Skeleton, parents_first

_RIGID = 1e-3
"""Of its length a bone may vary by this and count as constant."""

# Standard deviations, in shares of the body's height, of a bone as it was lifted, along each axis
# across the line of sight and along it, and of the length that is taken for its true one
# (`benchmarks/lift_bones.py`, between what two sets of subjects have).
_ACROSS, _ALONG, _LENGTH = 0.013, 0.026, 0.009
_DEEPER = 2.0  # times at most: a bone that was lifted far too short is a mistake of another kind
_LEAST_SAY = 1e-4  # so that somebody has one
_HALVINGS = 40  # of the interval in which a factor is looked for


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


def bone_vectors(
    poses: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, "frames joints 3"]:
    """From each joint's parent to the joint; zero for the root."""
    parents = np.array(skeleton.parents)
    vectors = (poses - poses[:, parents]).astype(np.float64)
    vectors[:, parents < 0] = 0
    return vectors


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
    return _joined(poses, lengths[:, None] * bone_directions(poses, skeleton), skeleton)


def _joined(poses: np.ndarray, bones: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The poses' roots with these bones, `[frames, joints, 3]`, one after the other."""
    placed = poses.astype(np.float64)
    for joint in parents_first(skeleton)[1:]:
        placed[:, joint] = placed[:, skeleton.parents[joint]] + bones[:, joint]
    return placed.astype(poses.dtype)


def length_votes(
    poses: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    sight: Float[np.ndarray, "frames 3"],
    sure: Float[np.ndarray, " frames"],
) -> Float[np.ndarray, "2 joints"]:
    """What lifted poses say of a body's bones: weighted lengths and weights, means over frames.

    A weight is the inverse of the length's variance, so a bone that is seen from the side says
    most.  Left and right are added up.

    Args:
        poses, skeleton, sight: as of `with_likely_bones`.
        sure: mean confidence of each frame's keypoints; a frame that is a guess has no say.
    """
    side, depth, _ = _seen(poses, skeleton, sight)
    width = np.linalg.norm(side, axis=-1)
    length = np.hypot(width, depth)
    weight = length**2 / ((_ACROSS * width) ** 2 + (_ALONG * depth) ** 2 + 1e-18)
    weight *= (sure + _LEAST_SAY)[:, None]
    votes = np.stack([(weight * length).mean(0), weight.mean(0)])
    return votes + votes[:, skeleton.flip_permutation]


def likely_lengths(votes: Float[np.ndarray, "2 joints"]) -> Float[np.ndarray, " joints"]:
    """Length of the bone that ends in each joint, by `length_votes`; zero for the root."""
    return votes[0] / np.maximum(votes[1], 1e-12)


def _seen(
    poses: np.ndarray, skeleton: Skeleton, sight: np.ndarray
) -> tuple[
    Float[np.ndarray, "frames joints 3"],
    Float[np.ndarray, "frames joints"],
    Float[np.ndarray, "frames 1 3"],
]:
    """What of each bone lies across the line of sight, how far it goes along it, and that line."""
    ray = (sight / np.linalg.norm(sight, axis=-1, keepdims=True))[:, None]
    bones = bone_vectors(poses, skeleton)
    depth = (bones * ray).sum(-1)
    return bones - depth[..., None] * ray, depth, ray


def with_likely_bones(
    poses: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    lengths: Float[np.ndarray, " joints"],
    *,
    sight: Float[np.ndarray, "frames 3"],
    height: float,
) -> Float[np.ndarray, "frames joints 3"]:
    """The most likely poses of a body with bones of about these lengths.

    A lifter knows least how far away a joint is.  Each bone b becomes the v that maximises the
    posterior density, Gaussian about b with a wide spread along the line of sight and a narrow one
    across it, for a length that is Gaussian about the known one: it turns towards or away from the
    camera rather than being stretched.  Its depth doubles at most.  The root stays where it is, and
    so do poses whose bones have these lengths.

    Args:
        poses: camera axes, any unit.
        skeleton: joint order.
        lengths: of the bone that ends in each joint, in that unit.
        sight: from the camera to the body, any length.
        height: of the body, in that unit.
    """
    side, depth, ray = _seen(poses / height, skeleton, sight)
    width, known = np.linalg.norm(side, axis=-1), lengths / height

    def shrunk(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 1 / (1 + factor * _ACROSS**2), 1 / (1 + factor * _ALONG**2)

    # At the maximum v is b shrunk with an m > -1 / along^2, for which
    # m = (1 - length / |v|) / length_spread^2; its right side falls as m grows.
    low = np.full(width.shape, -(1 - 1 / _DEEPER) / _ALONG**2)
    high = np.full(width.shape, 1 / _LENGTH**2)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        across, along = shrunk(middle)
        length = np.maximum(np.hypot(across * width, along * depth), 1e-12)
        above = middle * _LENGTH**2 > 1 - known / length
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    across, along = shrunk((low + high) / 2)
    bones = side * across[..., None] + (depth * along)[..., None] * ray
    return _joined(poses, height * bones, skeleton)
