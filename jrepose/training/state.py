"""The training state: everything that a step changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from jrepose.errors import InputError
from jrepose.training.schedule import Schedule


@flax.struct.dataclass
class TrainState:
    """A pytree of arrays.

    Args:
        step: optimiser steps done, int32.
        params: the model's parameters, float32.
        objective: learned weights of the objective; empty if none is learned.
        optimizer: the optimiser's moments.
        ema: exponential moving average of `params`; empty without averaging.
    """

    step: PyTree
    params: PyTree
    objective: PyTree
    optimizer: PyTree
    ema: PyTree


def adamw(schedule: Schedule, weight_decay: float) -> optax.GradientTransformation:
    """AdamW as `torch.optim.AdamW` does it, for `{"params": ..., "objective": ...}`.

    Every step multiplies all model parameters (biases, norms and embeddings included) by
    1 - rate * weight_decay, then subtracts rate * m / (sqrt(v) + 1e-8) with bias-corrected
    moments of betas 0.9 and 0.999.  Learned objective weights are not decayed.
    """
    return optax.chain(
        _scale_by_adam(0.9, 0.999, 1e-8),
        optax.add_decayed_weights(weight_decay, mask={"params": True, "objective": False}),
        optax.scale_by_learning_rate(schedule),
    )


def _scale_by_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """`optax.scale_by_adam` with exact bias corrections.

    Optax's `1 - b2**t` is off by 2e-5 in float32, and with it every step's length by half that:
    enough for a ranking loss to decide pairs otherwise than PyTorch after one step.
    """

    def correction(beta, count):
        return -jnp.expm1(count * math.log(beta))

    def update(gradients, state, params=None):
        del params
        mean = jax.tree.map(lambda g, m: (1 - b1) * g + b1 * m, gradients, state.mu)
        square = jax.tree.map(lambda g, v: (1 - b2) * g**2 + b2 * v, gradients, state.nu)
        count = state.count + 1
        mean_correction, square_correction = correction(b1, count), correction(b2, count)
        updates = jax.tree.map(
            lambda m, v: m / mean_correction / (jnp.sqrt(v / square_correction) + eps),
            mean,
            square,
        )
        return updates, optax.ScaleByAdamState(count=count, mu=mean, nu=square)

    return optax.GradientTransformation(optax.scale_by_adam(b1, b2, eps).init, update)


def create_state(
    model: nn.Module,
    objective: Any,
    optimizer: optax.GradientTransformation,
    *,
    clip_shape: tuple[int, int, int],
    seed: int,
    average: bool,
) -> TrainState:
    """The state before the first step, on the host (NumPy).

    Args:
        model, objective, optimizer: what is trained and how.
        clip_shape: frames, joints and channels of a model input.
        seed: of the parameters.
        average: whether to keep a moving average of the parameters.

    Raises:
        InputError: the model has state besides its parameters.
    """

    # Compiled as a whole: built leaf by leaf, every shape would be a program of its own.
    @jax.jit
    def create(key):
        clip = jnp.zeros((1, *clip_shape), jnp.float32)
        variables = model.init(key, clip, train=False)
        if set(variables) != {"params"}:
            raise InputError(
                f"the model has variables {', '.join(sorted(variables))}; only params are trained"
            )
        params = variables["params"]
        weights = objective.init()
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            objective=weights,
            optimizer=optimizer.init({"params": params, "objective": weights}),
            ema=params if average else {},
        )

    return jax.device_get(create(jax.random.fold_in(jax.random.key(seed), 0)))


def with_parameters(state: TrainState, params: PyTree, *, partial: bool = False) -> TrainState:
    """A state before the first step that begins with the given parameters.

    Args:
        state: before the first step.
        params: the model's parameters.
        partial: parameters may be absent; they begin as in `state`.

    Raises:
        InputError: they belong to another model.
    """
    plain = to_plain(state)
    if partial:
        params = unflatten_dict({**flatten_dict(plain["params"]), **flatten_dict(params)})
    plain["params"] = params
    if plain["ema"]:
        plain["ema"] = params
    return from_plain(state, plain)


def to_plain(state: TrainState) -> dict[str, Any]:
    """The state as nested dicts of arrays, the form of a checkpoint."""
    return flax.serialization.to_state_dict(state)


def from_plain(template: TrainState, plain: dict[str, Any]) -> TrainState:
    """The state from what `to_plain` gave.

    Raises:
        InputError: it belongs to another model, objective or optimiser.
    """
    expected, found = _shapes(to_plain(template)), _shapes(plain)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"the checkpoint does not fit the config: {name} is {found.get(name, 'absent')}, "
                f"expected {expected.get(name, 'absent')}"
            )
    return flax.serialization.from_state_dict(template, plain)


def _shapes(plain: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return {"/".join(str(key.key) for key in path): jnp.shape(leaf) for path, leaf in leaves}
