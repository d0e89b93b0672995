"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from jrepose.errors import InputError

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]

SCHEDULES = ("epoch_decay", "steps", "cosine")


@dataclass(frozen=True)
class Epochs:
    """Where a step stands in the epochs.

    Args:
        batch_size, clips: clips per step and per epoch.

    The epoch of a step is that of its batch's first clip, so the rate of a batch that reaches into
    the next epoch is still the old one.
    """

    batch_size: int
    clips: int

    def whole(self, step: Int[Array, ""]) -> Int[Array, ""]:
        """Number of the epoch, from 0."""
        return self._split(jnp.asarray(step, jnp.int32))[0]

    def __call__(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Epochs done, with the fraction."""
        whole, rest = self._split(jnp.asarray(step, jnp.int32))
        return whole + rest / self.clips

    def _split(self, step):
        """Quotient and remainder of step * batch_size over clips."""

        # The product would leave the 32 bits of a step in a long run: long division, bit by bit.
        def digit(bit, found):
            whole, rest = found
            rest = 2 * rest + ((step >> (30 - bit)) & 1) * self.batch_size
            more, rest = jnp.divmod(rest, self.clips)
            return 2 * whole + more, rest

        zero = jnp.zeros_like(step)
        return lax.fori_loop(0, 31, digit, (zero, zero))


def create_schedule(training: ConfigDict, epochs: Epochs) -> Schedule:
    """The learning rate of a config's `training` section.

    - `"epoch_decay"`: `learning_rate * learning_rate_decay ** epoch`, constant within an epoch.
    - `"steps"`: times `learning_rate_decay` at each epoch of `schedule.milestones`.
    - `"cosine"`: half a cosine from `learning_rate` to `schedule.floor` at the last of
      `training.epochs`, step by step.

    During the first `schedule.warmup_epochs` the rate rises in a straight line from
    `schedule.warmup_start` times what it would be to that; the cosine begins after them.

    Args:
        training: read are `learning_rate`, `learning_rate_decay`, `epochs` and `schedule`.
        epochs: the epoch of a step.

    Raises:
        InputError: an unknown name, or numbers that cannot be.
    """
    choice, rate, decay = training.schedule, training.learning_rate, training.learning_rate_decay
    warmup = choice.warmup_epochs
    if decay <= 0:
        raise InputError(f"training.learning_rate_decay is {decay}, expected a number above 0")
    if list(choice.milestones) != sorted(choice.milestones):
        raise InputError(
            f"training.schedule.milestones {choice.milestones} are epochs and must ascend"
        )
    if choice.name == "epoch_decay":

        def factor(step):
            # exp of a product: the power of a rounded float32 base would drift with the epochs.
            return jnp.exp(epochs.whole(step) * math.log(decay))

    elif choice.name == "steps":

        def factor(step):
            passed = sum((epochs.whole(step) >= epoch for epoch in choice.milestones), start=0)
            return jnp.exp(passed * math.log(decay))

    elif choice.name == "cosine":
        if not training.epochs > warmup:
            raise InputError(
                f"training.schedule.warmup_epochs is {warmup}, expected less than the "
                f"{training.epochs} of training.epochs"
            )
        if rate and choice.floor > rate:
            raise InputError(
                f"training.schedule.floor is {choice.floor}, expected at most the "
                f"{rate} of training.learning_rate"
            )
        floor = choice.floor / rate if rate else 0.0

        def factor(step):
            share = jnp.clip((epochs(step) - warmup) / (training.epochs - warmup), 0.0, 1.0)
            return floor + (1 - floor) * 0.5 * (1 + jnp.cos(jnp.pi * share))

    else:
        raise InputError(
            f"unknown training.schedule.name {choice.name!r}; "
            f"expected one of {', '.join(SCHEDULES)}"
        )

    def schedule(step):
        warm = jnp.minimum(1.0, epochs(step) / warmup) if warmup else 1.0
        warm = choice.warmup_start + (1 - choice.warmup_start) * warm
        return rate * factor(step) * warm

    return schedule
