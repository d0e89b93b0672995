"""How the losses take their two operands: in float32, of one shape, and on equal terms."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from jrepose.errors import InputError


def matched_float32(
    predicted: Float[ArrayLike, "*axes"], target: Float[ArrayLike, "*target_axes"]
) -> tuple[Float[Array, "*axes"], Float[Array, "*axes"]]:
    """Both arrays in float32, whatever precision the model computes in.

    Raises:
        InputError: the shapes differ (they would broadcast silently).
    """
    if jnp.shape(predicted) != jnp.shape(target):
        raise InputError(
            f"loss: predicted has shape {jnp.shape(predicted)} but target {jnp.shape(target)}; "
            "expected one shape"
        )
    return jnp.asarray(predicted, jnp.float32), jnp.asarray(target, jnp.float32)


def apply_to_both(
    function: Callable[[Array], Array],
    predicted: Float[Array, "*axes"],
    target: Float[Array, "*axes"],
) -> tuple[Float[Array, "*results"], Float[Array, "*results"]]:
    """`function` of both arrays, computed so that equal operands give results equal to the bit.

    Compiled one by one the two may be fused, and therefore rounded, differently; an absolute
    difference that should be 0 would then pass a whole gradient instead of none.
    """
    both = function(jnp.concatenate([predicted, target]))
    first, second = jnp.split(lax.optimization_barrier(both), 2)
    return first, second
