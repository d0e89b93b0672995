"""Diffusion of poses that stay within bounds, seen with their keypoints, as D3DP does it.

W. Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV
2023.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.diffusion import forward
from jrepose.diffusion.ddim import Denoiser

_BOUND = 1.1


def noised(
    clean: Float[ArrayLike, "clips frames joints 3"],
    noise: Float[ArrayLike, "clips frames joints 3"],
    alpha_bar: Float[ArrayLike, " clips"],
    scale: float = 1.0,
) -> Float[Array, "clips frames joints 3"]:
    """Noisy poses to train on.

    Args:
        clean: root-relative poses in metres.
        noise: standard normal.
        alpha_bar: of each clip's step.
        scale: of the poses before noise is added.
    """
    left = jnp.asarray(alpha_bar)[:, None, None, None]
    return _within(forward.noised(jnp.asarray(clean) * scale, noise, left), scale) / scale


def clip_denoiser(
    network: Callable[[Array, Array], Array],
    keypoints: Float[ArrayLike, "*clips frames joints 2"],
    mirror: Callable[[Array], Array] | None = None,
    scale: float = 1.0,
) -> Denoiser:
    """What `ddim.sample` goes back with, `prediction="clean"`, over the poses of whole clips.

    Args:
        network: `f(noisy [*clips, frames, joints, 5], steps [*clips])`, keypoints first.
        keypoints: of the clips.
        mirror: mirrors keypoints and poses; given, answers are averaged with those for the
            mirrored clips.
        scale: as for `noised`.
    """
    keypoints = jnp.asarray(keypoints)

    def answer(poses: Array, keypoints: Array, steps: Array) -> Array:
        return network(jnp.concatenate([keypoints, poses], axis=-1), steps)

    def denoiser(noisy: Array, steps: Array) -> Array:
        steps = steps[..., 0]  # all frames of a clip are at the same
        poses = _within(noisy, scale) / scale
        clean = answer(poses, keypoints, steps)
        if mirror is not None:
            clean = (clean + mirror(answer(mirror(poses), mirror(keypoints), steps))) / 2
        return _within(clean * scale, scale)

    return denoiser


def _within(poses: Array, scale: float) -> Array:
    return jnp.clip(poses, -_BOUND * scale, _BOUND * scale)
