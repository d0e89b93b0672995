"""The training step: a pure function of state and batch, written for one device's share.

Gradients and metrics are averaged over the named axis, so the same function runs on any
number of devices and gives what one device would with the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, PyTree

from jrepose.errors import InputError
from jrepose.parallel import AXIS
from jrepose.training.schedule import Schedule
from jrepose.training.state import TrainState

ROOTS = ("clip_first", "frame")
BACKWARD_SEEDS = ("one", "loss")

Metrics = dict[str, Any]
TrainStep = Callable[[TrainState, Mapping[str, Any], Mapping[str, Any]], tuple[TrainState, Metrics]]


def relative_labels(
    targets: Float[Array, "clips frames joints 3"], root: str, root_joint: int
) -> Float[Array, "clips frames joints 3"]:
    """Labels relative to the root joint.

    Args:
        targets: normalised 2.5D labels.
        root: `"clip_first"` subtracts from every depth in the clip the depth of the root in
            the clip's first frame and leaves x and y (MotionBERT with rootrel False, which
            RePOSE's release evaluates); `"frame"` subtracts each frame's root from all three
            coordinates (rootrel True).
        root_joint: index of the root.
    """
    if root == "frame":
        return targets - targets[:, :, root_joint : root_joint + 1]
    return targets.at[..., 2].add(-targets[:, :1, root_joint, None, 2])


def make_train_step(
    model: nn.Module,
    objective: Callable,
    optimizer: optax.GradientTransformation,
    assemble: Callable,
    schedule: Schedule,
    *,
    seed: int,
    root: str = "clip_first",
    root_joint: int = 0,
    accumulate: int = 1,
    gradient_clip: float | None = None,
    ema_decay: float | None = None,
    backward_seed: str = "one",
) -> TrainStep:
    """Builds the step for `jrepose.parallel.data_parallel`.

    Args:
        model: called as `model.apply(variables, inputs, train=True, rngs={"dropout": key})`.
        objective: `(weights, predicted, target, inputs) -> (total, terms)`.
        optimizer: of `{"params": ..., "objective": ...}`, its learning rate included.
        assemble: `(arrays, selection) -> (inputs, targets)`, one device's clips.
        schedule: the optimiser's learning rate, to be reported.
        seed: of the dropout.
        root: what labels are relative to, see `relative_labels`.
        root_joint: index of the root.
        accumulate: micro-batches per step; the gradient is their mean, so only memory and
            rounding depend on it.  Must divide a device's clips.
        gradient_clip: gradients with a larger global norm are scaled down to it, as
            `torch.nn.utils.clip_grad_norm_` does; None does not clip.
        ema_decay: d in `ema = d * ema + (1 - d) * params`; None keeps no average.
        backward_seed: what the backward pass begins with. `"one"` is the gradient of the
            objective; `"loss"` multiplies that by the whole batch's objective, as MixSTE's
            (CVPR 2022) released training does: batches with a larger loss weigh more.

    Returns:
        `step(state, arrays, selection) -> (state, metrics)`.  `arrays` and `selection` are
        those of the batches; `selection["stop"]` is nonzero where a process wants to stop.
        The metrics, equal on every device: `total`, `terms` (before the update),
        `gradient_norm` (before clipping), `learning_rate`, and `stop` if any process does.

    Raises:
        InputError: unknown `root` or `backward_seed`.
    """
    if root not in ROOTS:
        raise InputError(f"unknown training.root {root!r}; expected one of {', '.join(ROOTS)}")
    if backward_seed not in BACKWARD_SEEDS:
        raise InputError(
            f"unknown training.backward_seed {backward_seed!r}; "
            f"expected one of {', '.join(BACKWARD_SEEDS)}"
        )

    def loss(trainable, inputs, targets, key):
        predicted = model.apply(
            {"params": trainable["params"]}, inputs, train=True, rngs={"dropout": key}
        )
        return objective(trainable["objective"], predicted, targets, inputs)

    gradient = jax.value_and_grad(loss, has_aux=True)

    def mean_gradient(trainable, inputs, targets, key):
        """Loss, terms and gradient of this device's clips."""
        if accumulate == 1:
            return gradient(trainable, inputs, targets, key)

        def split(clips):
            return clips.reshape(accumulate, len(clips) // accumulate, *clips.shape[1:])

        def add(sums, part):
            results = gradient(trainable, *part)
            return jax.tree.map(jnp.add, sums, results), None

        parts = (split(inputs), split(targets), jax.random.split(key, accumulate))
        first = jax.tree.map(lambda part: part[0], parts)
        shapes = jax.eval_shape(gradient, trainable, *first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        sums, _ = lax.scan(add, zeros, parts)
        return jax.tree.map(lambda leaf: leaf / accumulate, sums)

    def step(state, arrays, selection):
        inputs, targets = assemble(arrays, selection)
        targets = relative_labels(targets, root, root_joint)
        key = jax.random.fold_in(jax.random.key(seed), 1)
        key = jax.random.fold_in(jax.random.fold_in(key, state.step), lax.axis_index(AXIS))
        trainable = {"params": state.params, "objective": state.objective}
        results = mean_gradient(trainable, inputs, targets, key)
        (total, terms), gradients = lax.pmean(results, AXIS)
        if backward_seed == "loss":
            gradients = jax.tree.map(lambda leaf: total * leaf, gradients)

        norm = _global_norm(gradients)
        metrics = {
            "total": total,
            "terms": terms,
            "gradient_norm": norm,
            "learning_rate": schedule(state.step),
            "stop": lax.pmax(selection["stop"], AXIS),
        }
        if gradient_clip is not None:
            factor = jnp.minimum(1.0, gradient_clip / (norm + 1e-6))
            gradients = jax.tree.map(lambda leaf: leaf * factor, gradients)
        updates, moments = optimizer.update(gradients, state.optimizer, trainable)
        trainable = optax.apply_updates(trainable, updates)
        return (
            TrainState(
                step=state.step + 1,
                params=trainable["params"],
                objective=trainable["objective"],
                optimizer=moments,
                ema=_average(state.ema, trainable["params"], ema_decay),
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
