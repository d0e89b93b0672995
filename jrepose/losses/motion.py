"""Losses on how poses change from one frame to the next.  A clip of one frame has loss 0."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.losses.anatomy import limb_angles
from jrepose.losses.operands import apply_to_both, matched_float32
from jrepose.losses.subgradients import absolute, norm
from jrepose.skeleton import HUMAN36M_17, Skeleton

MOTION_INTERVALS = (8, 12, 16, 24)


def velocity(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
) -> Float[Array, ""]:
    """Mean of ||dp - dy|| over batch, frame steps and joints, d the difference of frames.

    In the poses' unit per frame.  MotionBERT (ICCV 2023) trains with 20 of it; MixSTE (CVPR
    2022) calls it the MPJVE loss.
    """
    predicted, target = matched_float32(predicted, target)
    if predicted.shape[1] < 2:
        return jnp.zeros((), jnp.float32)
    return jnp.mean(norm(jnp.diff(predicted, axis=1) - jnp.diff(target, axis=1)))


def temporal_consistency(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    weights: Float[ArrayLike, " joints"],
) -> Float[Array, ""]:
    """Mean of w dp^2 over batch, frame steps, joints and the three coordinates.

    In the poses' unit squared.  It looks at the prediction alone and pulls it towards rest;
    MixSTE (CVPR 2022, TC loss) trains with 0.5 of it.

    Args:
        predicted: poses.
        weights: of the joints.
    """
    steps = jnp.diff(jnp.asarray(predicted, jnp.float32), axis=1)
    if steps.size == 0:
        return jnp.zeros((), jnp.float32)
    return jnp.mean(jnp.asarray(weights, jnp.float32)[None, None, :, None] * steps**2)


def motion(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    intervals: Sequence[int] = MOTION_INTERVALS,
) -> Float[Array, ""]:
    """Mean of |m(p) - m(y)| over intervals, batch, frames, joints and the three components.

    m, the pairwise motion encoding of a joint, is the cross product of its positions at frames t
    and t + interval; the loss is in the poses' unit squared.  Intervals that are not shorter
    than the clip are left out.

    J. Wang et al., "Motion Guided 3D Pose Estimation from Videos", ECCV 2020.  Its authors
    published no code; distance, means and intervals are those of the public re-implementation
    (github.com/tamasino52/UGCN), which adds the loss with weight 1 to an MPJPE in metres.

    Args:
        predicted, target: poses.
        intervals: in frames.
    """
    predicted, target = matched_float32(predicted, target)

    def error(interval: int) -> Array:
        ours, theirs = apply_to_both(
            lambda poses: jnp.cross(poses[:, :-interval], poses[:, interval:]), predicted, target
        )
        return jnp.mean(absolute(ours - theirs))

    errors = [error(interval) for interval in intervals if interval < predicted.shape[1]]
    return jnp.mean(jnp.stack(errors)) if errors else jnp.zeros((), jnp.float32)


def angle_velocity(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    skeleton: Skeleton = HUMAN36M_17,
) -> Float[Array, ""]:
    """Mean absolute difference of the limb angles' changes, in radians per frame.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    predicted, target = matched_float32(predicted, target)
    if predicted.shape[1] < 2:
        return jnp.zeros((), jnp.float32)
    angles, target_angles = apply_to_both(
        lambda poses: limb_angles(poses, skeleton), predicted, target
    )
    return jnp.mean(absolute(jnp.diff(angles, axis=1) - jnp.diff(target_angles, axis=1)))
