"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def decay_per_epoch(learning_rate: float, decay: float, *, batch_size: int, clips: int) -> Schedule:
    """`learning_rate * decay ** epoch`, constant within an epoch.

    The epoch is that of the batch's first clip, so the rate of a batch that reaches into the
    next epoch is still the old one.

    Args:
        learning_rate: rate of epoch 0.
        decay: factor per epoch; MotionBERT and RePOSE use 0.99.
        batch_size, clips: clips per step and per epoch.
    """

    def schedule(step):
        # step * batch_size would leave the 32 bits of a step in a long run.
        rounds, rest = jnp.divmod(step, clips)
        epoch = rounds * batch_size + rest * batch_size // clips
        return learning_rate * jnp.power(jnp.float32(decay), epoch)

    return schedule
