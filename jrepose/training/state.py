"""The training state: everything that a step changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.core.partial_eval import lazy_init
from jaxtyping import PyTree

from jrepose.checkpoints import predicting_variables
from jrepose.data.columns import Batch
from jrepose.errors import InputError
from jrepose.tasks import CONTEXT, Trainable
from jrepose.training.optimizer import Paths, leave_out, merge


@flax.struct.dataclass
class TrainState:
    """A pytree of arrays.

    Args:
        step: optimiser steps done, int32.
        params: the task's parameters, float32.
        objective: learned weights of the objective; empty if none is learned.
        collections: the task's other variables: statistics that its loss renews
            (`batch_stats`), and what stands still.
        optimizer: the optimiser's moments, of what is not frozen.
        ema: exponential moving average of `params`; empty without averaging.
    """

    step: PyTree
    params: PyTree
    objective: PyTree
    collections: PyTree
    optimizer: PyTree
    ema: PyTree


def create_variables(task: Trainable, batch: Batch, *, seed: int) -> dict[str, Any]:
    """The task's variables before the first step, on the host (NumPy).

    Args:
        task: what is trained.
        batch: one clip in the shapes of the task's columns.
        seed: of the parameters.
    """
    # Compiled as a whole, XLA takes a minute over the generators of a thousand variables.
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), batch)
    key = jax.random.fold_in(jax.random.key(seed), 0)
    return jax.device_get(lazy_init(task.init)(key, shapes))


def create_state(
    variables: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    average: bool,
    frozen: Paths = (),
) -> TrainState:
    """The state before the first step, on the host (NumPy).

    Args:
        variables: the task's, see `create_variables`.
        optimizer: of `{"params": ..., "objective": ...}`.
        average: whether to keep a moving average of the parameters.
        frozen: paths of variables that are not trained.

    Raises:
        InputError: every parameter is frozen.
    """
    collections = dict(variables)
    params, objective = collections.pop("params"), collections.pop("objective", {})
    trained = {"params": leave_out(params, "params", frozen), "objective": objective}
    if not trained["params"]:
        raise InputError("training.freeze matches every parameter, nothing is left to train")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        objective=objective,
        collections=collections,
        optimizer=jax.device_get(jax.jit(optimizer.init)(trained)),
        ema=params if average else {},
    )


def with_variables(
    drawn: Mapping[str, Any], given: Mapping[str, Any], *, partial: bool = False
) -> dict[str, Any]:
    """Variables to begin with: those that are given, in place of those that were drawn.

    Args:
        drawn: the task's, see `create_variables`.
        given: `params` and perhaps other collections; `objective` is never taken.
        partial: any may be absent; they begin as drawn, but for a frozen encoder, `CONTEXT`.

    Raises:
        InputError: they belong to another model.
    """
    wanted = {name: tree for name, tree in drawn.items() if name != "objective"}
    given = {name: tree for name, tree in given.items() if name != "objective" and tree}
    begun = {name: merge(wanted.get(name, {}), given.get(name, {})) for name in {**wanted, **given}}
    _check_fit(wanted, begun if partial else given)
    for name in {CONTEXT} & wanted.keys():
        _check_fit({name: wanted[name]}, {name: given.get(name, {})})
    return {**drawn, **begun}


def variables_of(state: TrainState) -> dict[str, Any]:
    """The variables to predict with: the moving average where there is one."""
    return predicting_variables(to_plain(state))


def to_plain(state: TrainState) -> dict[str, Any]:
    """The state as nested dicts of arrays, the form of a checkpoint."""
    return flax.serialization.to_state_dict(state)


def from_plain(template: TrainState, plain: dict[str, Any]) -> TrainState:
    """The state from what `to_plain` gave.

    Raises:
        InputError: it belongs to another model, objective or optimiser.
    """
    plain = {"collections": {}, **plain}  # older checkpoints have none
    _check_fit(to_plain(template), plain)
    return flax.serialization.from_state_dict(template, plain)


def _check_fit(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuses the first array that is missing, left over or of another shape."""
    expected, found = _shapes(expected), _shapes(found)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"the checkpoint does not fit the config: {name} is {found.get(name, 'absent')}, "
                f"expected {expected.get(name, 'absent')}"
            )


def _shapes(plain: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return {"/".join(str(key.key) for key in path): jnp.shape(leaf) for path, leaf in leaves}
