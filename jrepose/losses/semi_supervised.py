"""Losses of VideoPose3D's semi-supervised training (CVPR 2019, section 4).

A second network predicts the trajectory, the root's position in camera axes, so that poses without
ground truth can be projected onto their keypoints.  Poses and trajectories are in metres.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from jrepose.camera import project_to_2d, project_to_2d_linear
from jrepose.losses.anatomy import limb_lengths
from jrepose.losses.operands import matched_float32
from jrepose.losses.position import weighted_mpjpe
from jrepose.losses.subgradients import absolute, norm
from jrepose.skeleton import HUMAN36M_17, Skeleton


def trajectory(
    predicted: Float[ArrayLike, "batch frames 1 3"], target: Float[ArrayLike, "batch frames 1 3"]
) -> Float[Array, ""]:
    """Mean of ||p - y|| / z with z the target's depth: what is far away is harder to place.

    Args:
        predicted, target: positions of the root in camera axes, depths above 0.
    """
    return weighted_mpjpe(predicted, target, 1 / jnp.asarray(target, jnp.float32)[..., 2])


def back_projection(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    predicted_trajectory: Float[ArrayLike, "batch frames 1 3"],
    keypoints: Float[ArrayLike, "batch frames joints 2"],
    intrinsics: Float[ArrayLike, "batch 9"],
    *,
    distortion: bool = True,
) -> Float[Array, ""]:
    """Mean distance of the projected poses to the keypoints that they were lifted from.

    Args:
        predicted: poses relative to the root; where the root is predicted too, it counts.
        predicted_trajectory: positions of the root in camera axes.
        keypoints: of the poses' frames, in normalised screen units.
        intrinsics: see `camera.project_to_2d`, for the keypoints' units.
        distortion: whether the lens distorts.

    The gradient reaches both networks; it is 0 where a projected ray lies outside [-1, 1].
    """
    positions = jnp.asarray(predicted, jnp.float32) + jnp.asarray(predicted_trajectory, jnp.float32)
    project = project_to_2d if distortion else project_to_2d_linear
    projected = project(positions, jnp.asarray(intrinsics, jnp.float32)[:, None, None])
    projected, keypoints = matched_float32(projected, keypoints)
    return jnp.mean(norm(projected - keypoints))


def mean_limb_lengths(
    predicted: Float[ArrayLike, "labelled frames joints 3"],
    predicted_unlabelled: Float[ArrayLike, "unlabelled frames joints 3"],
    skeleton: Skeleton = HUMAN36M_17,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Mean over limbs of the difference between both batches' mean lengths.

    The gradient flows through both.

    Args:
        predicted, predicted_unlabelled: poses of clips with and without ground truth.
        skeleton: of the poses.
        axis_name: mapped axis over whose devices the lengths are means, too; None: each its own.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    lengths, unlabelled = (
        jnp.mean(limb_lengths(poses, skeleton), axis=(0, 1))
        for poses in (predicted, predicted_unlabelled)
    )
    if axis_name is not None:
        lengths, unlabelled = lax.pmean((lengths, unlabelled), axis_name)
    return jnp.mean(absolute(lengths - unlabelled))
