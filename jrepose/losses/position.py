"""Losses on joint positions.

Poses and targets share one unit and the loss has that unit.  All means run over every index
that is left: batch, frames and joints.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.losses.operands import matched_float32
from jrepose.losses.subgradients import absolute, norm


def mpjpe(
    predicted: Float[ArrayLike, "batch frames joints coordinates"],
    target: Float[ArrayLike, "batch frames joints coordinates"],
) -> Float[Array, ""]:
    """Mean per-joint position error: mean of ||p - y||.

    RePOSE (ECCV 2024) equation 1, with a mean for the sum as in its released code.
    """
    predicted, target = matched_float32(predicted, target)
    return jnp.mean(norm(predicted - target))


def weighted_mpjpe(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    weights: Float[ArrayLike, "*weight_axes"],
) -> Float[Array, ""]:
    """Mean of w ||p - y||; the divisor is the number of joints, not the sum of the weights.

    Args:
        predicted, target: poses.
        weights: anything that broadcasts to [batch, frames, joints], such as [joints].

    MixSTE (CVPR 2022) equation 10, without the square, as in its released code; VideoPose3D
    (CVPR 2019) weighs its trajectory loss by 1 / depth.
    """
    predicted, target = matched_float32(predicted, target)
    errors = norm(predicted - target)
    return jnp.mean(jnp.broadcast_to(jnp.asarray(weights, jnp.float32), errors.shape) * errors)


def n_mpjpe(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
) -> Float[Array, ""]:
    """MPJPE after the least-squares scale of each frame: mean of ||s p - y||, s = y.p / p.p.

    The gradient flows through the scale.  A frame predicted as all zeros has no scale; it
    counts with s = 0 and passes no gradient, where the published code divides 0 by 0.

    Rhodin et al. (CVPR 2018); MotionBERT (ICCV 2023) trains with 0.5 of it.
    """
    predicted, target = matched_float32(predicted, target)
    missing = target - predicted
    energy, overlap = (
        jnp.mean(jnp.sum(predicted * other, -1, keepdims=True), -2, keepdims=True)
        for other in (predicted, missing)
    )
    # s - 1: exactly 0 where prediction and target are equal, however a device rounds the sums, so
    # that rounding does not decide the direction of the gradient there.
    excess = jnp.where(energy == 0, -1.0, overlap / jnp.where(energy == 0, 1.0, energy))
    return jnp.mean(norm(excess * predicted - missing))


def joint_l1(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
) -> Float[Array, ""]:
    """Mean absolute difference over all coordinates."""
    predicted, target = matched_float32(predicted, target)
    return jnp.mean(absolute(predicted - target))


def mean_squared(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
) -> Float[Array, ""]:
    """Mean of (p - y)^2 over the coordinates too, in the unit squared.

    GraFormer (CVPR 2022), its released code.
    """
    predicted, target = matched_float32(predicted, target)
    return jnp.mean(jnp.square(predicted - target))


def reprojection_2d(
    predicted: Float[ArrayLike, "batch frames joints coordinates"],
    target: Float[ArrayLike, "batch frames joints coordinates"],
    confidence: Float[ArrayLike, "batch frames joints 1"],
) -> Float[Array, ""]:
    """Mean of ||c (p_xy - y_xy)||: the confidence stands inside the norm.

    Args:
        predicted, target: x and y in the first two channels; further channels are ignored.
        confidence: of each keypoint, 0 to 1; a keypoint with confidence 0 has no influence.

    MotionBERT (ICCV 2023), the objective of its 2D pretraining data.
    """
    predicted, target = matched_float32(
        jnp.asarray(predicted)[..., :2], jnp.asarray(target)[..., :2]
    )
    return jnp.mean(norm((predicted - target) * jnp.asarray(confidence, jnp.float32)))
