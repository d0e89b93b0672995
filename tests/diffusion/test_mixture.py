"""Mixtures fitted to samples whose distribution is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jrepose.diffusion import mixture
from jrepose.errors import InputError

CENTRES = np.array([[-2.0, 0.5, 0.0], [2.0, -0.5, 0.0]])
SPREAD = np.array([[0.3, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.0]])  # the last one is a root
COUNT = 300


@pytest.fixture(scope="module")
def samples():
    """Of three poses, 30 % around the one centre and 70 % around the other, moved by pose."""
    rng = np.random.default_rng(0)
    chosen = (rng.uniform(size=(3, COUNT)) < 0.7).astype(int)
    factor = np.linalg.cholesky(SPREAD + 1e-12 * np.eye(3))
    found = CENTRES[chosen] + rng.normal(size=(3, COUNT, 3)) @ factor.T
    return jnp.asarray(found + np.arange(3)[:, None, None], jnp.float32)


@pytest.fixture(scope="module")
def fitted(samples):
    return mixture.fit(jax.random.key(0), samples, 2, tolerance=1e-5)


def test_the_distribution_is_found(samples, fitted):
    for pose, (weights, means, covariances) in enumerate(zip(*fitted.mixture, strict=True)):
        order = np.argsort(means[:, 0])
        np.testing.assert_allclose(means[order], CENTRES + pose, atol=0.25)
        np.testing.assert_allclose(weights[order], [0.3, 0.7], atol=0.08)
        np.testing.assert_allclose(covariances, np.stack([SPREAD] * 2), atol=0.12)
        # A coordinate that never varies has the regulariser for a variance.
        np.testing.assert_allclose(covariances[:, 2, 2], mixture.REGULARISER, rtol=0.1)
    assert (fitted.iterations < 100).all()


def test_likelihoods_are_scipys(samples, fitted):
    one = jax.tree.map(lambda leaf: leaf[1], fitted.mixture)
    densities = [
        weight * multivariate_normal(mean, covariance).pdf(np.float64(samples[1]))
        for weight, mean, covariance in zip(*map(np.float64, one), strict=True)
    ]
    found = jax.jit(mixture.log_likelihoods)(one, samples[1])
    np.testing.assert_allclose(found, np.log(np.sum(densities, axis=0)), rtol=1e-2, atol=1e-2)
    parts = jax.jit(mixture.responsibilities)(one, samples[1])
    expected = np.transpose(densities) / np.sum(densities, axis=0)[:, None]
    np.testing.assert_allclose(parts, expected, atol=1e-2)


def test_poses_are_fitted_by_themselves(samples, fitted):
    others = jnp.concatenate([samples[:2], 5 * samples[:1]])
    again = mixture.fit(jax.random.key(0), others, 2, tolerance=1e-5)
    for ours, theirs in zip(again.mixture, fitted.mixture, strict=True):
        np.testing.assert_allclose(ours[:2], theirs[:2], rtol=1e-5, atol=1e-5)


def test_factors_are_those_of_linear_algebra():
    """In 51 dimensions, one of which never varies; what is not positive definite has none."""
    samples = np.random.default_rng(0).normal(size=(2, 3, 80, 51), scale=np.logspace(-3, 0, 51))
    samples[..., 20] = 0.0
    matrices = np.einsum("...na,...nb->...ab", samples, samples) / 80
    matrices += mixture.REGULARISER * np.eye(51)
    matrices[1, 2, 30, 30] = 0.0
    matrices[0, 1] = 0.0
    found, inverses = jax.jit(mixture.cholesky_and_inverse)(jnp.asarray(matrices, jnp.float32))
    given = jnp.asarray(matrices, jnp.float32)
    expected = np.array(jax.jit(jnp.linalg.cholesky)(given))
    failed = np.isnan(expected[..., 0, 0])
    assert failed.tolist() == [[False, True, False], [False, False, True]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # NaN and above the diagonal
    assert np.isnan(inverses[failed][:, -1]).all()
    exact = np.linalg.inv(np.linalg.cholesky(matrices[~failed]))
    np.testing.assert_allclose(inverses[~failed], exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_no_step_is_downhill(samples, fitted):
    current = mixture.initial(samples[0], jnp.array([0, 1]))
    current = current._replace(covariances=current.covariances + 1e-6 * jnp.eye(3)[None])
    step, before = jax.jit(mixture.step), -np.inf
    for _ in range(60):
        current, likelihood = step(current, samples[0])
        assert likelihood > before - 1e-4
        before = likelihood
    assert before == pytest.approx(float(fitted.log_likelihood[0]), abs=0.05)


def test_a_component_is_drawn_by_its_weight():
    weights = jnp.array([[0.2, 0.5, 0.3], [0.0, 0.25, 0.75]])
    for uniform, expected in ((0.1, [0, 1]), (0.6, [1, 2]), (0.99999, [2, 2]), (1.0, [2, 2])):
        found = mixture.component(weights, jnp.full(2, uniform))
        assert found.tolist() == expected


def test_as_many_components_as_can_be(samples):
    for components in (0, COUNT + 1):
        with pytest.raises(InputError, match=f"{components} components, expected 1 to {COUNT}"):
            mixture.fit(jax.random.key(0), samples, components)
