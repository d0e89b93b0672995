"""Mirroring people: the horizontal flip of augmentation and of flip-averaged prediction."""

from __future__ import annotations

from jaxtyping import Array, Float

from jrepose.skeleton import Skeleton


def flip_poses(
    poses: Float[Array, "*batch joints channels"], skeleton: Skeleton
) -> Float[Array, "*batch joints channels"]:
    """Negates x (the first channel) and swaps left and right joints.

    Works for keypoints and poses in coordinates whose x = 0 is the mirror, such as normalised
    screen units; further channels travel with their joint.
    """
    mirrored = poses[..., skeleton.flip_permutation, :]
    return mirrored.at[..., 0].multiply(-1)
