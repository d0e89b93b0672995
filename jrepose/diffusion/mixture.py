"""Mixtures of Gaussians, fitted to samples by expectation-maximisation.

DiffPose (J. Gong et al., CVPR 2023), Eq. 6: the samples are poses, all joints' coordinates one
vector, with covariances between all of them.  Likelihoods are computed as logarithms.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Key

from jrepose.errors import InputError
from jrepose.models.functional import in_rank_of

REGULARISER = 1e-6
"""Added to the variances, in the samples' units squared: a root that is always 0 has none."""


class Mixture(NamedTuple):
    """Components of dimension D; leading axes are those of several mixtures.

    Attributes:
        weights: how likely each is; their sum is 1.
        means: of each.
        covariances: of each, whole matrices.
    """

    weights: Float[Array, "*batch components"]
    means: Float[Array, "*batch components dim"]
    covariances: Float[Array, "*batch components dim dim"]


class Fit(NamedTuple):
    """What an expectation-maximisation found.

    Attributes:
        mixture: the last one.
        log_likelihood: mean over the samples, of the mixture before the last step.
        iterations: how many steps were taken.
    """

    mixture: Mixture
    log_likelihood: Float[Array, "*batch"]
    iterations: Int[Array, "*batch"]


def cholesky(mixture: Mixture) -> Float[Array, "*batch components dim dim"]:
    """Lower factors of the covariances: a factor times standard normal noise is a component's."""
    return cholesky_and_inverse(mixture.covariances)[0]


def cholesky_and_inverse(
    matrices: Float[Array, "*batch dim dim"],
) -> tuple[Float[Array, "*batch dim dim"], Float[Array, "*batch dim dim"]]:
    """Lower Cholesky factors of symmetric matrices, and the factors' inverses.

    Written out, as LAPACK's routines stop for ever where several simulated CPU devices wait for
    threads of the one pool, and take longer for many small matrices.  A matrix that is not positive
    definite has factors of NaN, like `jnp.linalg.cholesky`'s.
    """
    dim = matrices.shape[-1]
    columns, identity = jnp.arange(dim), jnp.eye(dim, dtype=matrices.dtype)

    def following(row, found):
        # One row of the factor's transpose and one of its inverse, from those before.
        transposed, inverse = found
        before = jax.lax.dynamic_slice_in_dim(transposed, row, 1, -1).swapaxes(-1, -2)
        rest = jax.lax.dynamic_slice_in_dim(matrices, row, 1, -2) - before @ transposed
        pivot = jax.lax.dynamic_slice_in_dim(rest, row, 1, -1)
        scale = jnp.where(pivot > 0, 1 / jnp.sqrt(pivot), jnp.nan)
        unit = in_rank_of(jax.lax.dynamic_slice_in_dim(identity, row, 1, 0), rest)
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(rows, values * scale, row, -2)
            for rows, values in (
                (transposed, jnp.where(columns >= row, rest, 0)),
                (inverse, unit - before @ inverse),
            )
        )

    zeros = jnp.zeros_like(matrices)
    transposed, inverse = jax.lax.fori_loop(0, dim, following, (zeros, zeros))
    failed = jnp.isnan(transposed[..., -1:, -1:])
    return tuple(
        jnp.tril(jnp.where(failed, jnp.nan, found))
        for found in (transposed.swapaxes(-1, -2), inverse)
    )


def log_joint(
    mixture: Mixture, samples: Float[Array, "samples dim"]
) -> Float[Array, "samples components"]:
    """Logarithm of a component's weight times its density, at each sample."""
    components, dim = mixture.means.shape
    # Inverted once, as products with a thousand samples are faster than solving for them.
    factors, whitening = cholesky_and_inverse(mixture.covariances)
    # One product for all components, so their means are subtracted behind it.
    middle = samples.mean(axis=0, keepdims=True)
    white = (samples - middle) @ whitening.reshape(components * dim, dim).T
    white_means = jnp.einsum("kij,kj->ki", whitening, mixture.means - middle)
    white = white.reshape(-1, components, dim) - white_means[None]
    distances = jnp.sum(jnp.square(white), axis=-1)
    log_determinants = jnp.sum(jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1)), axis=-1)
    constant = jnp.log(mixture.weights) - log_determinants - dim / 2 * math.log(2 * math.pi)
    return constant[None] - distances / 2


def log_likelihoods(
    mixture: Mixture, samples: Float[Array, "samples dim"]
) -> Float[Array, " samples"]:
    """Logarithm of the mixture's density at each sample."""
    return jax.nn.logsumexp(log_joint(mixture, samples), axis=-1)


def responsibilities(
    mixture: Mixture, samples: Float[Array, "samples dim"]
) -> Float[Array, "samples components"]:
    """How likely each component is, given a sample."""
    return jax.nn.softmax(log_joint(mixture, samples))


def maximised(
    samples: Float[Array, "samples dim"],
    responsibilities: Float[Array, "samples components"],
    regulariser: Float[ArrayLike, ""] = REGULARISER,
) -> Mixture:
    """The likeliest mixture where each sample is of the components to these parts."""
    counts = responsibilities.sum(axis=0) + 10 * jnp.finfo(samples.dtype).eps
    means = responsibilities.T @ samples / counts[:, None]
    centred = (samples[None] - means[:, None]) * jnp.sqrt(responsibilities).T[..., None]
    scatter = centred.swapaxes(-1, -2) @ centred
    identity = jnp.eye(samples.shape[-1], dtype=samples.dtype)
    covariances = scatter / counts[:, None, None] + regulariser * identity[None]
    return Mixture(counts / counts.sum(), means, covariances)


def step(
    mixture: Mixture,
    samples: Float[Array, "samples dim"],
    regulariser: Float[ArrayLike, ""] = REGULARISER,
) -> tuple[Mixture, Float[Array, ""]]:
    """One step of expectation-maximisation.

    Returns:
        The next mixture, and the mean log-likelihood of the samples under this one.
    """
    joint = log_joint(mixture, samples)
    following = maximised(samples, jax.nn.softmax(joint), regulariser)
    return following, jax.nn.logsumexp(joint, axis=-1).mean()


def initial(samples: Float[Array, "samples dim"], chosen: Int[Array, " components"]) -> Mixture:
    """Components around some of the samples, each as wide as all samples together."""
    components, (count, dim) = len(chosen), samples.shape
    centred = samples - samples.mean(axis=0, keepdims=True)
    covariance = centred.T @ centred / count
    return Mixture(
        jnp.full(components, 1 / components, samples.dtype),
        samples[chosen],
        jnp.broadcast_to(covariance, (components, dim, dim)),
    )


def refine(
    mixture: Mixture,
    samples: Float[Array, "samples dim"],
    *,
    regulariser: Float[ArrayLike, ""] = REGULARISER,
    tolerance: Float[ArrayLike, ""] = 1e-3,
    max_iterations: int = 100,
) -> Fit:
    """Steps of expectation-maximisation until the likelihood stands still.

    Args:
        mixture: to begin with.
        samples: what it is fitted to, float32 or float64 as the mixture.
        regulariser: added to the variances at every step.
        tolerance: change of the mean log-likelihood below which it stops.
        max_iterations: where it stops at the latest.
    """

    def goes_on(state):
        _, before, last, taken = state
        return (taken < max_iterations) & ~(jnp.abs(last - before) < tolerance)

    def another(state):
        mixture, _, last, taken = state
        mixture, likelihood = step(mixture, samples, regulariser)
        return mixture, last, likelihood, taken + 1

    infinite = jnp.asarray(jnp.inf, samples.dtype)
    begin = (mixture, infinite, -infinite, jnp.zeros((), jnp.int32))
    mixture, _, likelihood, taken = jax.lax.while_loop(goes_on, another, begin)
    return Fit(mixture, likelihood, taken)


def fit_one(
    key: Key[Array, ""],
    samples: Float[Array, "samples dim"],
    components: int,
    *,
    regulariser: Float[ArrayLike, ""] = REGULARISER,
    tolerance: Float[ArrayLike, ""] = 1e-3,
    max_iterations: int = 100,
) -> Fit:
    """A mixture for one pose, which begins at some of the samples.

    Args:
        key: of the drawing.
        samples: of the pose's distribution.
        components: of the mixture.
        regulariser, tolerance, max_iterations: as for `refine`.

    Raises:
        InputError: no components, or more than samples.
    """
    count, dim = samples.shape
    if not 1 <= components <= count:
        raise InputError(f"a mixture of {components} components, expected 1 to {count} (samples)")
    if components == 1:
        # Nothing to expect: the first step is at the maximum already.
        whole = jnp.ones((count, 1), samples.dtype)
        mixture = maximised(samples, whole, regulariser)
        likelihood = log_likelihoods(mixture, samples).mean()
        return Fit(mixture, likelihood, jnp.ones((), jnp.int32))
    begin = initial(samples, jax.random.choice(key, count, (components,), replace=False))
    # Under no covariance at all the samples have no likelihood.
    identity = jnp.eye(dim, dtype=samples.dtype)
    begin = begin._replace(covariances=begin.covariances + regulariser * identity[None])
    return refine(
        begin, samples, regulariser=regulariser, tolerance=tolerance, max_iterations=max_iterations
    )


@functools.partial(jax.jit, static_argnames=("components", "max_iterations", "at_once"))
def fit(
    key: Key[Array, ""],
    samples: Float[Array, "poses samples dim"],
    components: int,
    *,
    regulariser: Float[ArrayLike, ""] = REGULARISER,
    tolerance: Float[ArrayLike, ""] = 1e-3,
    max_iterations: int = 100,
    at_once: int = 16,
) -> Fit:
    """A mixture for every pose, each fitted by itself.

    Args:
        key: of the drawing; each pose draws by its place in the batch.
        samples: of every pose's distribution.
        at_once: poses that are fitted side by side, which takes memory.
        components, regulariser, tolerance, max_iterations: as for `fit_one`.
    """

    def one(key_and_samples):
        return fit_one(
            *key_and_samples,
            components,
            regulariser=regulariser,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(samples)))
    return jax.lax.map(one, (keys, samples), batch_size=at_once)


def component(
    weights: Float[Array, "*mixtures components"], uniform: Float[Array, "*batch"]
) -> Int[Array, "*batch"]:
    """The component that a number drawn from U(0, 1) chooses: the first whose weight, added to
    those before it, reaches the number.  One mixture's weights serve all numbers."""
    reached = in_rank_of(jnp.cumsum(weights, axis=-1), uniform[..., None])
    chosen = jnp.sum(reached < uniform[..., None], axis=-1)
    return jnp.minimum(chosen, weights.shape[-1] - 1)
