"""Noisy poses from clean ones."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from jrepose.models.functional import in_rank_of


def noised(
    clean: Float[ArrayLike, "*shape"],
    noise: Float[ArrayLike, "*shape"],
    alpha_bar: Float[ArrayLike, "*levels"],
    mean: Float[ArrayLike, "*means"] = 0.0,
) -> Float[Array, "*shape"]:
    """`mean + sqrt(a) (clean - mean) + sqrt(1 - a) noise`.

    DiffPose (CVPR 2023) Eq. 7, where mean and noise are of the mixture component that was drawn
    for the whole pose; with mean 0 and standard normal noise its Eq. 4.

    Args:
        clean, noise: poses.
        alpha_bar: a, broadcasts to the poses.
        mean: broadcasts to the poses.
    """
    clean, noise, alpha_bar, mean = map(jnp.asarray, (clean, noise, alpha_bar, mean))
    alpha_bar, mean = in_rank_of(alpha_bar, clean), in_rank_of(mean, clean)
    return mean + jnp.sqrt(alpha_bar) * (clean - mean) + jnp.sqrt(1 - alpha_bar) * noise


def noised_step_by_step(
    clean: Float[ArrayLike, " *shape"],
    noise: Float[ArrayLike, steps * shape],
    alpha_bars: Float[ArrayLike, " steps"],
    mean: Float[ArrayLike, "*means"] = 0.0,
) -> Float[Array, steps * shape]:
    """The chain of DiffPose's supplement, noise of its own at every step.

    Equal in distribution to `noised` at each step, and not independent between steps.

    Args:
        clean: pose.
        noise: of every step.
        alpha_bars: of every step.
        mean: as for `noised`.
    """
    clean, noise, alpha_bars, mean = map(jnp.asarray, (clean, noise, alpha_bars, mean))
    before = jnp.concatenate([jnp.ones(1, alpha_bars.dtype), alpha_bars[:-1]])
    # c_k = sqrt(r_k) c_(k-1) + sqrt(1 - r_k) e_k is, divided by sqrt(a_k), a sum over the steps.
    ratios, left = alpha_bars / before, jnp.sqrt(alpha_bars)
    shape = (-1,) + (1,) * clean.ndim
    scaled = noise * (jnp.sqrt(1 - ratios) / left).reshape(shape)
    mean = in_rank_of(mean, noise)
    return mean + left.reshape(shape) * (clean[None] - mean + jnp.cumsum(scaled, axis=0))
