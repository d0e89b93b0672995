"""Optimisers with PyTorch's semantics, and which variables they leave alone.

All are for `{"params": ..., "objective": ...}`.  Patterns are regular expressions that must match
the whole path of a variable, its collection first: `params/encoder/.*`, `batch_stats/.*`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Int, PyTree
from ml_collections import ConfigDict

from jrepose.errors import InputError, listed
from jrepose.training.schedule import Schedule

Paths = Collection[tuple[str, ...]]
"""Variables: collection, then the keys inside of it."""

OPTIMIZERS = ("adamw", "adam", "rmsprop", "muon")


def create_optimizer(training: ConfigDict, schedule: Schedule) -> optax.GradientTransformation:
    """The optimiser of a config's `training` section.

    Args:
        training: read are `optimizer`, `weight_decay` and `no_decay`.
        schedule: its learning rate.

    Raises:
        InputError: an unknown name.
    """
    choice = training.optimizer
    decay = (training.weight_decay, training.no_decay)
    moments = {"b1": choice.beta1, "b2": choice.beta2, "eps": choice.epsilon}
    if choice.name == "adamw":
        return adamw(schedule, *decay, **moments, amsgrad=choice.amsgrad)
    if choice.name == "adam":
        return adam(schedule, *decay, **moments, amsgrad=choice.amsgrad)
    if choice.name == "rmsprop":
        return rmsprop(
            schedule, *decay, smoothing=choice.smoothing, eps=choice.epsilon,
            momentum=choice.momentum,
        )  # fmt: skip
    if choice.name == "muon":
        return muon(schedule, *decay, **moments)
    raise InputError(
        f"unknown training.optimizer.name {choice.name!r}; expected one of {', '.join(OPTIMIZERS)}"
    )


def adamw(
    schedule: Schedule,
    weight_decay: float,
    no_decay: Sequence[str] = (),
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    amsgrad: bool = False,
) -> optax.GradientTransformation:
    """AdamW as `torch.optim.AdamW` does it.

    Every step multiplies all model parameters (biases, norms and embeddings included) by
    1 - rate * weight_decay, then subtracts rate * m / (sqrt(v) + eps) with bias-corrected
    moments.  Learned objective weights are not decayed.

    Args:
        schedule: the learning rate.
        weight_decay: see above.
        no_decay: patterns of what is not decayed.
        b1, b2, eps, amsgrad: as in PyTorch.
    """
    return optax.chain(
        _scale_by_adam(b1, b2, eps, amsgrad),
        _decay(weight_decay, no_decay),
        optax.scale_by_learning_rate(schedule),
    )


def adam(
    schedule: Schedule,
    weight_decay: float,
    no_decay: Sequence[str] = (),
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    amsgrad: bool = False,
) -> optax.GradientTransformation:
    """Adam as `torch.optim.Adam` does it: the decay is added to the gradient, before the moments.

    The arguments are those of `adamw`.
    """
    return optax.chain(
        _decay(weight_decay, no_decay),
        _scale_by_adam(b1, b2, eps, amsgrad),
        optax.scale_by_learning_rate(schedule),
    )


def rmsprop(
    schedule: Schedule,
    weight_decay: float,
    no_decay: Sequence[str] = (),
    *,
    smoothing: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> optax.GradientTransformation:
    """RMSprop as `torch.optim.RMSprop` does it (not centred).

    Args:
        schedule, weight_decay, no_decay: as for `adam`.
        smoothing: of the mean square, PyTorch's `alpha`.
        eps: added to the root of the mean square.
        momentum: of the scaled gradients; the learning rate is outside of it.
    """
    return optax.chain(
        _decay(weight_decay, no_decay),
        optax.scale_by_rms(smoothing, eps, eps_in_sqrt=False),
        optax.trace(momentum) if momentum else optax.identity(),
        optax.scale_by_learning_rate(schedule),
    )


def muon(
    schedule: Schedule,
    weight_decay: float,
    no_decay: Sequence[str] = (),
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for matrices, NAdamW for all else.

    A matrix moves along its momentum with all singular values made 1, times 0.2 sqrt(larger side),
    so that rates and decays are AdamW's (Liu et al., "Muon is scalable for LLM training", 2025,
    Eq. 4).

    Args:
        schedule, weight_decay, no_decay: as for `adamw`.
        b1, b2, eps: of NAdamW; Muon's own momentum is 0.95, with Nesterov's look ahead too.
    """

    directions = optax.contrib.muon(1.0, consistent_rms=0.2, adam_b1=b1, adam_b2=b2, eps=eps)
    return optax.chain(
        directions,
        optax.scale(-1.0),
        _decay(weight_decay, no_decay),
        optax.scale_by_learning_rate(schedule),
    )


def _decay(weight_decay: float, no_decay: Sequence[str]) -> optax.GradientTransformation:
    def mask(trained):
        decayed = {
            path: not any(
                re.fullmatch(pattern, "/".join(("params", *path))) for pattern in no_decay
            )
            for path in flatten_dict(trained["params"])
        }
        return {"params": unflatten_dict(decayed), "objective": False}

    return optax.add_decayed_weights(weight_decay, mask=mask)


class _AmsgradState(NamedTuple):
    count: Int[Array, ""]
    mu: PyTree
    nu: PyTree
    nu_max: PyTree


def _scale_by_adam(b1: float, b2: float, eps: float, amsgrad: bool) -> optax.GradientTransformation:
    """`optax.scale_by_adam` with exact bias corrections, and PyTorch's AMSGrad.

    Optax's `1 - b2**t` is off by 2e-5 in float32, and with it every step's length by half that:
    enough for a ranking loss to decide pairs otherwise than PyTorch after one step.  Its AMSGrad
    takes the largest of the corrected second moments; PyTorch's corrects the largest.
    """
    plain = optax.scale_by_adam(b1, b2, eps)

    def correction(beta, count):
        return -jnp.expm1(count * (math.log(beta) if beta else -math.inf))

    def init(params):
        state = plain.init(params)
        if not amsgrad:
            return state
        return _AmsgradState(*state, nu_max=jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        del params
        mean = jax.tree.map(lambda g, m: (1 - b1) * g + b1 * m, gradients, state.mu)
        square = jax.tree.map(lambda g, v: (1 - b2) * g**2 + b2 * v, gradients, state.nu)
        count = state.count + 1
        new = state._replace(count=count, mu=mean, nu=square)
        if amsgrad:
            square = jax.tree.map(jnp.maximum, state.nu_max, square)
            new = new._replace(nu_max=square)
        mean_correction, square_correction = correction(b1, count), correction(b2, count)
        updates = jax.tree.map(
            lambda m, v: m / mean_correction / (jnp.sqrt(v / square_correction) + eps),
            mean,
            square,
        )
        return updates, new

    return optax.GradientTransformation(init, update)


def leave_out(tree: PyTree, collection: str, paths: Paths) -> PyTree:
    """A collection without some of its leaves."""
    if not paths:
        return tree
    flat = flatten_dict(tree)
    return unflatten_dict({k: leaf for k, leaf in flat.items() if (collection, *k) not in paths})


def merge(tree: PyTree, newer: PyTree) -> PyTree:
    """A nested dict whose leaves are replaced by those that `newer` has, which may be few."""
    return unflatten_dict({**flatten_dict(tree), **flatten_dict(newer)})


def matching_paths(variables: PyTree, patterns: Sequence[str], field: str) -> Paths:
    """The variables that patterns name.

    Args:
        variables: collections, `{"params": ...}` and the like.
        patterns: of their paths.
        field: where the patterns are from, for the message.

    Raises:
        InputError: one matches nothing, or is no regular expression.
    """
    names = {path: "/".join(path) for path in flatten_dict(dict(variables))}
    found: set[tuple[str, ...]] = set()
    for pattern in patterns:
        try:
            here = {path for path, name in names.items() if re.fullmatch(pattern, name)}
        except (re.error, TypeError) as error:
            raise InputError(f"{field}: {pattern!r} is no regular expression: {error}") from None
        if not here:
            known = listed(sorted(names.values()))
            raise InputError(f"{field}: {pattern!r} matches no variable; there are {known}")
        found |= here
    return frozenset(found)
