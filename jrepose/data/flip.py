"""Mirroring people: the horizontal flip of augmentation and of flip-averaged prediction."""

from __future__ import annotations

import functools

import jax
import numpy as np
from jaxtyping import Array, Float

from jrepose.skeleton import Skeleton


def flip_poses(
    poses: Float[Array, "*batch joints channels"], skeleton: Skeleton
) -> Float[Array, "*batch joints channels"]:
    """Negates x (the first channel) and swaps left and right joints.

    Works for keypoints and poses in coordinates whose x = 0 is the mirror, such as normalised
    screen units; further channels travel with their joint.
    """
    return _flipped(poses, tuple(skeleton.flip_permutation.tolist()))


# By itself it is one program instead of six; in another it is as if it were written there.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def _flipped(poses, permutation):
    return poses[..., np.array(permutation), :].at[..., 0].multiply(-1)
