"""Values and derivatives at the kinks, where JAX and PyTorch part by default."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose.losses.subgradients import absolute, clamp, cosine_similarity, norm


def slopes(function, values):
    return jax.vmap(jax.grad(function))(jnp.asarray(values, jnp.float32))


def test_norm():
    vectors = jnp.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [1e-12, 0.0, 0.0]])
    np.testing.assert_allclose(norm(vectors), [5.0, 0.0, 1e-12], rtol=1e-6)
    np.testing.assert_allclose(
        slopes(norm, vectors), [[0.6, 0.8, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], rtol=1e-6
    )


def test_absolute():
    np.testing.assert_array_equal(absolute(jnp.array([-2.0, 0.0, 3.0])), [2, 0, 3])
    np.testing.assert_array_equal(slopes(absolute, [-2.0, 0.0, 3.0]), [-1, 0, 1])


def test_clamp():
    values = [-1.5, -1.0, 0.5, 1.0, 1.5]
    np.testing.assert_array_equal(clamp(jnp.array(values), -1.0, 1.0), [-1, -1, 0.5, 1, 1])
    np.testing.assert_array_equal(
        slopes(lambda value: clamp(value, -1.0, 1.0), values), [0, 1, 1, 1, 0]
    )


@pytest.mark.parametrize(
    ("length", "cosine", "by_first", "by_second"),
    [
        # Recorded from PyTorch 2.13's cosine_similarity of (s, 0.3 s, 0) and (0.2, 0.5, 0.1).
        (0.0, 0.0, (3.651484e07, 9.128710e07, 1.825742e07), (0.0, 0.0, 0.0)),
        (
            3e-9,
            0.1917029172182083,
            (1.815303e07, 8.577856e07, 1.825742e07),
            (0.41992068, -0.1551881, -0.06390098),
        ),
        (
            2e-8,
            0.6120603084564209,
            (-1.0588726e07, 3.5295744e07, 8.7437180e06),
            (1.3407036, -0.4954775, -0.2040201),
        ),
    ],
)
def test_cosine_of_a_vanishing_vector(length, cosine, by_first, by_second):
    first, second = jnp.array([length, 0.3 * length, 0.0]), jnp.array([0.2, 0.5, 0.1])
    value, (to_first, to_second) = jax.value_and_grad(cosine_similarity, argnums=(0, 1))(
        first, second
    )
    np.testing.assert_allclose(value, cosine, rtol=1e-6)
    np.testing.assert_allclose(to_first, by_first, rtol=1e-5)
    np.testing.assert_allclose(to_second, by_second, rtol=1e-5, atol=1e-7)
