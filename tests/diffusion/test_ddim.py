"""The way there and back: a network that knows the truth leads back to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose.diffusion import ddim, forward, schedules
from jrepose.errors import InputError

RNG = np.random.default_rng(0)
CLEAN, NOISE = RNG.normal(size=(2, 3, 2, 4, 3)).astype(np.float32)  # 3 hypotheses of 2 poses
MEAN = RNG.normal(size=(4, 3)).astype(np.float32)
LEFT = schedules.alpha_bars(schedules.betas("linear", 20, 1e-2, 0.2))
VISITED = np.array([0, 4, 11, 19])


def noisy(step):
    """The poses after step `step`; -1: none."""
    levels = jnp.concatenate([jnp.ones(1), jnp.asarray(LEFT, jnp.float32)])
    return forward.noised(CLEAN, NOISE, levels[step + 1], MEAN)


def knowing(prediction, steps):
    step = steps[0].astype(int)
    answers = {"noise": lambda: NOISE, "clean": lambda: CLEAN, "previous": lambda: noisy(step - 1)}
    return answers[prediction]()


@pytest.mark.parametrize("prediction", ddim.PREDICTIONS)
def test_the_truth_is_found_again(prediction):
    way = ddim.coefficients(LEFT, VISITED)
    np.testing.assert_array_equal(way.step, VISITED[::-1])
    found = ddim.sample(
        lambda poses, steps: knowing(prediction, steps[:, 0]),
        noisy(VISITED[-1]),
        way,
        prediction=prediction,
        mean=MEAN,
    )
    np.testing.assert_allclose(found.final, CLEAN, atol=2e-4)
    np.testing.assert_allclose(found.clean, np.broadcast_to(CLEAN, found.clean.shape), atol=2e-3)
    for state, step in zip(found.states, [11, 4, 0, -1], strict=True):
        np.testing.assert_allclose(state, noisy(step), atol=2e-3)


def test_fresh_noise_takes_the_place_of_the_found():
    start = noisy(VISITED[-1])
    answer = lambda poses, steps: jnp.zeros_like(poses)  # noqa: E731
    way = ddim.coefficients(LEFT, VISITED, eta=1.0)
    assert way.fresh[-1] == 0 and (way.fresh[:-1] > 0).all()
    levels = np.concatenate([[1], LEFT])[VISITED + 1][::-1]
    drawn = RNG.normal(size=(4, *start.shape)).astype(np.float32)
    found = ddim.sample(answer, start, way, fresh_noise=drawn)
    expected = np.asarray(start)
    for at, after, noise in zip(levels, [*levels[1:], 1.0], drawn, strict=True):
        # DDPM's posterior deviation.
        deviation = np.sqrt((1 - after) / (1 - at) * (1 - at / after))
        expected = expected / np.sqrt(at) * np.sqrt(after) + deviation * noise
    np.testing.assert_allclose(found.final, expected, rtol=2e-4, atol=2e-4)
    with pytest.raises(InputError, match="no fresh noise"):
        ddim.sample(answer, start, way)


def test_hypotheses_do_not_see_each_other():
    way = ddim.coefficients(LEFT, VISITED)
    denoiser = lambda poses, steps: jnp.tanh(poses) * steps[..., None, None]  # noqa: E731
    starts = noisy(VISITED[-1])
    means = jnp.stack([MEAN, 2 * MEAN, -MEAN])
    together = jax.jit(lambda: ddim.sample_hypotheses(denoiser, starts, way, mean=means))()
    alone = ddim.sample(denoiser, starts[1], way, mean=means[1]).final
    np.testing.assert_allclose(together[1], alone, rtol=1e-4, atol=1e-4)


def test_steps_that_are_not_there_are_refused():
    for visited, said in (([20], "expected some of 0 to 19"), ([], "expected some"),
                          ([3, 1], "ascending"), ([-1], "expected some")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            ddim.coefficients(LEFT, np.array(visited, int))
    with pytest.raises(InputError, match="before the last one nothing of a pose is left"):
        ddim.coefficients(np.array([0.5, 0.0, 0.0]), np.array([1, 2]))
    with pytest.raises(InputError, match="'pose', expected one of noise, clean, previous"):
        ddim.sample(jnp.add, noisy(0), ddim.coefficients(LEFT, VISITED), prediction="pose")


def test_the_chain_of_the_supplement():
    noise = RNG.normal(size=(20, 4, 3)).astype(np.float32)
    expected, chain = CLEAN[0, 0] - MEAN, []
    for before, after, drawn in zip([1, *LEFT[:-1]], LEFT, noise, strict=True):
        ratio = after / before
        expected = np.sqrt(ratio) * expected + np.sqrt(1 - ratio) * drawn
        chain.append(expected + MEAN)
    found = forward.noised_step_by_step(CLEAN[0, 0], noise, LEFT.astype(np.float32), MEAN)
    np.testing.assert_allclose(found, chain, atol=1e-5)
