"""Losses on the body: limb lengths and the angles between limbs.

They come from MotionBERT's (ICCV 2023) training code, where all of them are reported at every
step and carry weight 0 in the released configurations.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jrepose.errors import InputError
from jrepose.losses.operands import apply_to_both, matched_float32
from jrepose.losses.subgradients import absolute, clamp, cosine_similarity, norm
from jrepose.skeleton import HUMAN36M_17, Skeleton

# Keeps the arc cosine off its poles at -1 and 1.
COSINE_MARGIN = 1e-7


def limb_lengths(
    poses: Float[ArrayLike, "batch frames joints 3"], skeleton: Skeleton = HUMAN36M_17
) -> Float[Array, "batch frames limbs"]:
    """Length of every limb in `skeleton.limbs`, in the poses' unit.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    return norm(_limb_vectors(poses, skeleton))


def limb_angles(
    poses: Float[ArrayLike, "batch frames joints 3"], skeleton: Skeleton = HUMAN36M_17
) -> Float[Array, "batch frames angles"]:
    """Angle between the limbs of every pair in `skeleton.limb_angles`, in radians.

    Raises:
        InputError: the poses do not have the skeleton's joints, or the skeleton has no pairs.
    """
    if not skeleton.limb_angles:
        raise InputError(f"skeleton {skeleton.name} lists no limb_angles for the angle losses")
    limbs = _limb_vectors(poses, skeleton)
    first, second = np.asarray(skeleton.limb_angles).T
    cosine = cosine_similarity(limbs[:, :, first], limbs[:, :, second])
    return jnp.arccos(clamp(cosine, -1 + COSINE_MARGIN, 1 - COSINE_MARGIN))


def limb_variance(
    predicted: Float[ArrayLike, "batch frames joints 3"], skeleton: Skeleton = HUMAN36M_17
) -> Float[Array, ""]:
    """Mean over clips and limbs of the limb length's unbiased variance over the frames.

    In the poses' unit squared; 0 for clips of one frame.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    lengths = limb_lengths(predicted, skeleton)
    if lengths.shape[1] < 2:
        return jnp.zeros((), jnp.float32)
    return jnp.mean(jnp.var(lengths, axis=1, ddof=1))


def limb_length(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    skeleton: Skeleton = HUMAN36M_17,
) -> Float[Array, ""]:
    """Mean absolute difference of the limb lengths, in the poses' unit.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    lengths, target_lengths = apply_to_both(
        lambda poses: limb_lengths(poses, skeleton), *matched_float32(predicted, target)
    )
    return jnp.mean(absolute(lengths - target_lengths))


def angle(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    skeleton: Skeleton = HUMAN36M_17,
) -> Float[Array, ""]:
    """Mean absolute difference of the limb angles, in radians.

    Raises:
        InputError: the poses do not have the skeleton's joints.
    """
    angles, target_angles = apply_to_both(
        lambda poses: limb_angles(poses, skeleton), *matched_float32(predicted, target)
    )
    return jnp.mean(absolute(angles - target_angles))


def _limb_vectors(poses, skeleton):
    poses = jnp.asarray(poses, jnp.float32)
    if poses.shape[2] != skeleton.num_joints:
        raise InputError(
            f"poses have {poses.shape[2]} joints; skeleton {skeleton.name} has "
            f"{skeleton.num_joints}"
        )
    parents, children = np.asarray(skeleton.limbs).T
    return poses[:, :, parents] - poses[:, :, children]
