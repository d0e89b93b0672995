"""Functions with a kink, with the derivative there that the published training code uses.

The lifters this library reproduces were trained with PyTorch, whose derivatives at a kink or a
pole are finite and differ from JAX's defaults:

| function | at | here, as in PyTorch | JAX's default |
|---|---|---|---|
| Euclidean norm | the zero vector | 0 | nan |
| absolute value | 0 | 0 | 1 |
| clamp | exactly a bound | 1 | 1/2 |
| cosine similarity | a zero vector | that of `v / minimum_norm` | depends on the formula |
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def norm(vectors: Float[Array, "*axes components"]) -> Float[Array, "*axes"]:
    """Euclidean length over the last axis; the derivative at the zero vector is 0."""
    squared = jnp.sum(vectors * vectors, axis=-1)
    is_zero = squared == 0
    # The inner `where` keeps the square root's pole out of the backward pass.
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)))


def absolute(values: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Absolute value; the derivative at 0 is 0."""
    return values * lax.stop_gradient(jnp.sign(values))


def clamp(values: Float[Array, "*axes"], low: float, high: float) -> Float[Array, "*axes"]:
    """`values` limited to [low, high]; the derivative is 1 on the closed interval, 0 outside."""
    return jnp.where(values < low, low, jnp.where(values > high, high, values))


def cosine_similarity(
    first: Float[Array, "*axes components"],
    second: Float[Array, "*axes components"],
    minimum_norm: float = 1e-8,
) -> Float[Array, "*axes"]:
    """Cosine of the angle between vectors over the last axis.

    Each length is raised to `minimum_norm` on its own, so the result is 0 where a vector is
    zero.  Raising a length changes its value only: the derivative is that of the true length.
    """
    return jnp.sum(_unit(first, minimum_norm) * _unit(second, minimum_norm), axis=-1)


def _unit(vectors, minimum_norm):
    length = norm(vectors)
    raised = minimum_norm + (length - lax.stop_gradient(length))
    length = jnp.where(length < minimum_norm, raised, length)
    return vectors / length[..., None]
