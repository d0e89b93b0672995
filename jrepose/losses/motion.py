"""Losses on how poses change from one frame to the next.  A clip of one frame has loss 0."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.losses.anatomy import limb_angles
from jrepose.losses.operands import apply_to_both, matched_float32
from jrepose.losses.subgradients import absolute, norm
from jrepose.skeleton import HUMAN36M_17, Skeleton


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
