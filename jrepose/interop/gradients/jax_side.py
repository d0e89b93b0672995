"""JAX's side: predictions, loss terms, gradients and training steps, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jrepose import models
from jrepose.interop.gradients.side import BackwardPass, Clips, LossGradient, TrainingStep
from jrepose.interop.state_dicts import to_torch
from jrepose.losses.objective import Objective
from jrepose.training.optimizer import adamw

_MATMUL = {"float32": "highest", "bfloat16": "highest", "tf32": "tensorfloat32"}


class JaxSide:
    """A model of ours in one precision; see `results.Side`.

    Args:
        model_name: name in `jrepose.models`.
        hyperparameters: of the model; without dropout, as its draws cannot be compared.
        objective: the loss terms and their weights.
        variables: the model's weights.
        precision: `"float32"`, `"tf32"` or `"bfloat16"`.
    """

    def __init__(
        self,
        model_name: str,
        hyperparameters: Mapping[str, Any],
        objective: Objective,
        variables: Mapping[str, Any],
        precision: str,
    ):
        self._name, self._objective = model_name, objective
        self._params = jax.tree.map(jnp.asarray, variables["params"])
        self._matmul = _MATMUL[precision]
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        model = models.create(model_name, **{**hyperparameters, "dtype": dtype})

        def weighted_sum(params, weights, keypoints, targets):
            poses = model.apply({"params": params}, keypoints, train=True)
            _, terms = objective({}, poses, targets, keypoints)
            return sum(weights[name] * value for name, value in terms.items()), (poses, terms)

        # One program for every term and for the objective: compiling takes longer than running.
        self._gradient = jax.jit(jax.grad(weighted_sum, has_aux=True))

        def term(poses, targets, name):
            # No term that has a PyTorch counterpart looks at the keypoints.
            return objective({}, poses, targets, poses)[1][name]

        self._term_gradient = jax.jit(jax.value_and_grad(term), static_argnums=2)

    def backward(self, clips: Clips, *, per_term: bool) -> BackwardPass:
        weights = self._objective.weights
        wanted = {"total": dict(weights)}
        if per_term:
            wanted |= {term: {name: float(name == term) for name in weights} for term in weights}
        gradients = {}
        with jax.default_matmul_precision(self._matmul):
            for objective, mixture in wanted.items():
                gradient, (poses, terms) = self._gradient(self._params, mixture, *clips)
                gradients[objective] = self._state_dict(gradient)
        return BackwardPass(np.asarray(poses), _floats(terms), gradients)

    def loss_gradients(self, poses: np.ndarray, targets: np.ndarray) -> dict[str, LossGradient]:
        found = {
            name: self._term_gradient(poses, targets, name) for name in self._objective.weights
        }
        return {
            name: LossGradient(float(value), np.asarray(gradient))
            for name, (value, gradient) in found.items()
        }

    def train(
        self, batches: Iterable[Clips], *, learning_rate: float, weight_decay: float
    ) -> Iterator[TrainingStep]:
        optimizer = adamw(lambda step: learning_rate, weight_decay)

        @jax.jit
        def update(trainable, moments, gradient):
            gradients = {"params": gradient, "objective": {}}
            updates, moments = optimizer.update(gradients, moments, trainable)
            return optax.apply_updates(trainable, updates), moments

        trainable = {"params": self._params, "objective": {}}
        moments = optimizer.init(trainable)
        weights = dict(self._objective.weights)
        for clips in batches:
            with jax.default_matmul_precision(self._matmul):
                gradient, (_, terms) = self._gradient(trainable["params"], weights, *clips)
            trainable, moments = update(trainable, moments, gradient)
            yield TrainingStep(_floats(terms), self._state_dict(trainable["params"]))

    def _state_dict(self, params) -> dict[str, np.ndarray]:
        return to_torch(self._name, {"params": jax.device_get(params)})


def _floats(terms: Mapping[str, jax.Array]) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}
