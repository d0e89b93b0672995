"""The training step: a pure function of state and batch, written for one device's share.

Gradients, metrics and renewed statistics are averaged over the named axis, so the same function
runs on any number of devices and gives what one device would with the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, PyTree

from jrepose.parallel import AXIS
from jrepose.tasks import Trainable
from jrepose.training.optimizer import Paths, leave_out, merge
from jrepose.training.schedule import Schedule
from jrepose.training.state import TrainState

Metrics = dict[str, Any]
TrainStep = Callable[[TrainState, Mapping[str, Any], Mapping[str, Any]], tuple[TrainState, Metrics]]


def make_train_step(
    task: Trainable,
    optimizer: optax.GradientTransformation,
    assemble: Callable,
    schedule: Schedule,
    *,
    seed: int,
    accumulate: int = 1,
    gradient_clip: float | None = None,
    ema_decay: float | None = None,
    gradient_times_loss: bool = False,
    frozen: Paths = (),
) -> TrainStep:
    """Builds the step for `jrepose.parallel.data_parallel`.

    Args:
        task: what is learned.
        optimizer: of `{"params": ..., "objective": ...}`, its learning rate included.
        assemble: `(arrays, selection) -> batch`, one device's clips.
        schedule: the optimiser's learning rate, to be reported.
        seed: of all that the task draws at random.
        accumulate: micro-batches per step; the gradient is their mean, so only memory and
            rounding depend on it.  Must divide a device's clips.  Batch statistics are those of
            a micro-batch; the running ones take their mean.
        gradient_clip: gradients with a larger global norm are scaled down to it, as
            `torch.nn.utils.clip_grad_norm_` does; None does not clip.
        ema_decay: d in `ema = d * ema + (1 - d) * params`; None keeps no average.
        gradient_times_loss: the gradient is multiplied by the whole batch's objective, as
            MixSTE's (CVPR 2022) released training does: batches with a larger loss weigh more.
        frozen: paths of variables that stand still: parameters get no gradient and are not
            decayed, statistics keep their values.

    Returns:
        `step(state, arrays, selection) -> (state, metrics)`.  `arrays` and `selection` are
        those of the batches; `selection["stop"]` is nonzero where a process wants to stop.
        The metrics, equal on every device: `total`, `terms` (before the update),
        `gradient_norm` (before clipping), `learning_rate`, and `stop` if any process does.
    """

    def loss(trained, state, batch, key):
        params = merge(state.params, trained["params"]) if frozen else trained["params"]
        variables = {**state.collections, "params": params, "objective": trained["objective"]}
        return task.loss(variables, batch, key, state.step)

    gradient = jax.value_and_grad(loss, has_aux=True)

    def mean_gradient(trained, state, batch, key):
        """Loss, outcome and gradient of this device's clips."""
        if accumulate == 1:
            return gradient(trained, state, batch, key)

        def split(clips):
            return clips.reshape(accumulate, len(clips) // accumulate, *clips.shape[1:])

        def add(sums, part):
            results = gradient(trained, state, *part)
            return jax.tree.map(jnp.add, sums, results), None

        parts = (jax.tree.map(split, batch), jax.random.split(key, accumulate))
        first = jax.tree.map(lambda part: part[0], parts)
        shapes = jax.eval_shape(gradient, trained, state, *first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        sums, _ = lax.scan(add, zeros, parts)
        return jax.tree.map(lambda leaf: leaf / accumulate, sums)

    def step(state, arrays, selection):
        batch = assemble(arrays, selection)
        key = jax.random.fold_in(jax.random.key(seed), 1)
        key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index(AXIS))
        trained = {
            "params": leave_out(state.params, "params", frozen),
            "objective": state.objective,
        }
        results = mean_gradient(trained, state, batch, key)
        (total, outcome), gradients = lax.pmean(results, AXIS)
        if gradient_times_loss:
            gradients = jax.tree.map(lambda leaf: total * leaf, gradients)

        norm = _global_norm(gradients)
        metrics = {
            "total": total,
            "terms": outcome.terms,
            "gradient_norm": norm,
            "learning_rate": schedule(state.step),
            "stop": lax.pmax(selection["stop"], AXIS),
        }
        if gradient_clip is not None:
            factor = jnp.minimum(1.0, gradient_clip / (norm + 1e-6))
            gradients = jax.tree.map(lambda leaf: leaf * factor, gradients)
        updates, moments = optimizer.update(gradients, state.optimizer, trained)
        trained = optax.apply_updates(trained, updates)
        params = merge(state.params, trained["params"]) if frozen else trained["params"]
        renewed = {
            name: merge(state.collections[name], leave_out(tree, name, frozen))
            for name, tree in outcome.collections.items()
        }
        return (
            TrainState(
                step=state.step + 1,
                params=params,
                objective=trained["objective"],
                collections={**state.collections, **renewed},
                optimizer=moments,
                ema=_average(state.ema, params, ema_decay),
            ),
            metrics,
        )

    return step


def _global_norm(tree: PyTree) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _average(ema: PyTree, params: PyTree, decay: float | None) -> PyTree:
    if decay is None:
        return ema
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, ema, params)
