"""The way back from noise to poses, in few steps.

J. Song et al., "Denoising Diffusion Implicit Models", ICLR 2021, as DiffPose (CVPR 2023) uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Integer

from jrepose.diffusion import schedules
from jrepose.errors import InputError
from jrepose.models.functional import in_rank_of

Denoiser = Callable[[Array, Array], Array]
"""`f(noisy [*batch, joints, channels], steps [*batch]) -> answer`, the noisy poses' shape."""

PREDICTIONS = ("noise", "clean", "previous")


class Trajectory(NamedTuple):
    """What a sampler went through.

    Attributes:
        final: poses at the end.
        states: the poses after every step, in the order in which they are visited.
        clean: the noise-free poses that every step expected.
    """

    final: Float[Array, "*shape"]
    states: Float[Array, visited * shape]
    clean: Float[Array, visited * shape]


class Coefficients(NamedTuple):
    """What the steps of a way back multiply by, each `[visited]`, in the order of the visits.

    Attributes:
        step: number of the step, for the network.
        left, noise: `sqrt(a)` and `sqrt(1 - a)` of the level.
        previous_left, previous_noise: the same one level before.
        next_left, next_noise, fresh: of the level that it goes to: pose, noise that was found,
            noise that is drawn.
    """

    step: Float[np.ndarray, " visited"]
    left: Float[np.ndarray, " visited"]
    noise: Float[np.ndarray, " visited"]
    previous_left: Float[np.ndarray, " visited"]
    previous_noise: Float[np.ndarray, " visited"]
    next_left: Float[np.ndarray, " visited"]
    next_noise: Float[np.ndarray, " visited"]
    fresh: Float[np.ndarray, " visited"]


def coefficients(
    alpha_bars: Float[np.ndarray, " steps"],
    visited: Integer[np.ndarray, " visited"],
    eta: float = 0.0,
) -> Coefficients:
    """Of a way back over some steps.

    Args:
        alpha_bars: of every step, as from `schedules.alpha_bars`.
        visited: numbers of the steps, ascending; may repeat.
        eta: share of the noise that is drawn anew: 0 draws none (DDIM), 1 as much as the
            forward process added (DDPM).

    Raises:
        InputError: steps that are not there, in another order, without noise, or of noise only.
    """
    visited = np.asarray(visited)
    if not len(visited) or visited[0] < 0 or visited[-1] >= len(alpha_bars):
        raise InputError(
            f"sampling visits steps {visited.tolist()}, expected some of 0 to {len(alpha_bars) - 1}"
        )
    if (np.diff(visited) < 0).any():
        raise InputError(f"sampling visits steps {visited.tolist()}, expected them ascending")
    levels = schedules.with_clean_level(np.asarray(alpha_bars, np.float64))
    now, before = levels[visited + 1], levels[visited]
    if now[0] == 1:
        raise InputError(
            f"sampling visits step {visited[0]}, where the schedule has added no noise yet; "
            "expected a beta above 0 up to there"
        )
    after = np.concatenate([[1.0], now[:-1]])
    if after[-1] == 0:
        raise InputError(
            f"sampling visits steps {visited.tolist()}, and before the last one nothing of a pose "
            "is left; expected betas below 1 up to there"
        )
    fresh = eta * np.sqrt((1 - now / after) * (1 - after) / (1 - now))
    found = np.sqrt(np.maximum(1 - after - fresh**2, 0))
    columns = (visited, np.sqrt(now), np.sqrt(1 - now), np.sqrt(before), np.sqrt(1 - before),
               np.sqrt(after), found, fresh)  # fmt: skip
    return Coefficients(*(column[::-1].astype(np.float32) for column in columns))


def sample(
    denoiser: Denoiser,
    start: Float[Array, "*batch joints channels"],
    coefficients: Coefficients,
    *,
    prediction: str = "noise",
    mean: Float[ArrayLike, "*means"] = 0.0,
    fresh_noise: Float[ArrayLike, "visited *batch joints channels"] | None = None,
) -> Trajectory:
    """Goes back to the poses, one scan over the steps.

    Args:
        denoiser: the network with its weights.
        start: poses at the last of the visited steps.
        coefficients: from `coefficients`.
        prediction: what the network answers: `"noise"` (the released DiffPose), `"clean"` poses, or
            the `"previous"`, less noisy poses of one step before (the paper's Eq. 8).  From two
            neighbouring levels the noise and the clean poses follow, so that a step may be long;
            the paper does not say how it does that.
        mean: that the forward process contracted to (`forward.noised`).
        fresh_noise: standard normal noise or the mixture's, in the order of the visits; needed
            where the coefficients ask for some.

    Returns:
        The trajectory; what is not used of it is not computed under `jax.jit`.

    Raises:
        InputError: no such prediction, or no fresh noise where some is asked for.
    """
    if prediction not in PREDICTIONS:
        raise InputError(f"prediction is {prediction!r}, expected one of {', '.join(PREDICTIONS)}")
    draws = fresh_noise is not None
    # Under a transformation that traces them, the coefficients cannot be looked at.
    if not draws and isinstance(coefficients.fresh, np.ndarray) and coefficients.fresh.any():
        raise InputError("sampling with eta above 0 got no fresh noise")
    batch, mean = start.shape[:-2], in_rank_of(jnp.asarray(mean), start)

    def back(noisy: Array, per_step: tuple[Coefficients, Array | None]):
        at, drawn = per_step
        answer = jnp.asarray(denoiser(noisy, jnp.full(batch, at.step, jnp.float32)))
        clean, noise = _told(prediction, noisy - mean, answer, at, mean)
        following = at.next_left * clean + at.next_noise * noise
        if draws:
            following = following + at.fresh * drawn
        return following + mean, (following + mean, clean + mean)

    per_step = jax.tree.map(jnp.asarray, (coefficients, fresh_noise))
    final, (states, clean) = jax.lax.scan(back, start, per_step)
    return Trajectory(final, states, clean)


def _told(prediction, centred, answer, at, mean) -> tuple[Array, Array]:
    """Clean poses, less the mean, and noise by a network's answer."""
    if prediction == "noise":
        return (centred - at.noise * answer) / at.left, answer
    if prediction == "clean":
        clean = answer - mean
        return clean, (centred - at.left * clean) / at.noise
    previous = answer - mean
    determinant = at.left * at.previous_noise - at.previous_left * at.noise
    clean = (at.previous_noise * centred - at.noise * previous) / determinant
    noise = (at.left * previous - at.previous_left * centred) / determinant
    return clean, noise


def sample_hypotheses(
    denoiser: Denoiser,
    starts: Float[Array, "hypotheses *batch joints channels"],
    coefficients: Coefficients,
    *,
    prediction: str = "noise",
    mean: Float[ArrayLike, hypotheses * means] | None = None,
    fresh_noise: Float[ArrayLike, "visited hypotheses *batch joints channels"] | None = None,
) -> Float[Array, "hypotheses *batch joints channels"]:
    """The poses that several starts lead to, each by itself.

    Args:
        starts: as many poses as hypotheses, along the first axis.
        mean: of each hypothesis.
        denoiser, coefficients, prediction, fresh_noise: as for `sample`.
    """

    def one(start, mean, fresh_noise):
        return sample(
            denoiser,
            start,
            coefficients,
            prediction=prediction,
            mean=0.0 if mean is None else mean,
            fresh_noise=fresh_noise,
        ).final

    axes = (0, None if mean is None else 0, None if fresh_noise is None else 1)
    return jax.vmap(one, in_axes=axes)(starts, mean, fresh_noise)
