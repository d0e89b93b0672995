"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jrepose.errors import InputError

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def decay_per_epoch(learning_rate: float, decay: float, *, batch_size: int, clips: int) -> Schedule:
    """`learning_rate * decay ** epoch`, constant within an epoch.

    The epoch is that of the batch's first clip, so the rate of a batch that reaches into the
    next epoch is still the old one.

    Args:
        learning_rate: rate of epoch 0.
        decay: factor per epoch; MotionBERT and RePOSE use 0.99.
        batch_size, clips: clips per step and per epoch.

    Raises:
        InputError: `decay` is not above 0.
    """
    if decay <= 0:
        raise InputError(f"training.learning_rate_decay is {decay}, expected a number above 0")

    def schedule(step):
        # step * batch_size would leave the 32 bits of a step in a long run.
        rounds, rest = jnp.divmod(step, clips)
        epoch = rounds * batch_size + rest * batch_size // clips
        # exp of a product: the power of a rounded float32 base would drift with the epochs.
        return learning_rate * jnp.exp(epoch * math.log(decay))

    return schedule
