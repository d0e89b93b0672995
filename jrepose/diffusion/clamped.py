"""Diffusion of poses that stay within bounds, seen with their keypoints, as D3DP does it.

W. Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV
2023.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.diffusion.ddim import Denoiser

_BOUND = 1.1


def noised(
    clean: Float[ArrayLike, "clips frames joints 3"],
    noise: Float[ArrayLike, "clips frames joints 3"],
    share: Float[ArrayLike, " clips"],
    noise_share: Float[ArrayLike, " clips"],
    scale: float = 1.0,
) -> Float[Array, "clips frames joints 3"]:
    """Noisy poses to train on.

    Args:
        clean: root-relative poses in metres.
        noise: standard normal.
        share, noise_share: what each clip's step leaves of the poses, and of noise: the roots of
            alpha_bar and of 1 - alpha_bar, which float32 would take from it too roughly.
        scale: of the poses before noise is added.
    """
    share, noise_share = (jnp.asarray(of)[:, None, None, None] for of in (share, noise_share))
    noisy = share * (jnp.asarray(clean) * scale) + noise_share * jnp.asarray(noise)
    return _within(noisy, scale) / scale


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
