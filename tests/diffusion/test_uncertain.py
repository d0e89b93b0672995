"""Where joints may be: distributions whose samples are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jrepose.diffusion import uncertain

RNG = np.random.default_rng(0)
PARENTS = (-1, 0, 1)


def test_around_keypoints():
    points = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    confidence = jnp.array([1.0, 0.5, 0.0])
    planes = uncertain.around_keypoints(points, confidence, PARENTS, (0.1, 0.5), 2.0)
    seen = np.asarray(points[:2])
    middle = np.average(seen, axis=0, weights=[1, 0.5])
    size = np.sqrt(np.average(np.square(seen - middle).sum(1), weights=[1, 0.5]))
    np.testing.assert_array_equal(planes.mean, points)
    # The root has no bone; the others' are upright and level.
    np.testing.assert_allclose(planes.factor[0], 0.1 * size * np.eye(2), rtol=1e-4)
    np.testing.assert_allclose(planes.factor[1], 0.3 * size * np.diag([1, 2]), rtol=1e-4)
    np.testing.assert_allclose(planes.factor[2], 0.5 * size * np.diag([2, 1]), rtol=1e-4)
    drawn = planes.sample(jax.random.key(0), 4000)
    np.testing.assert_allclose(drawn.mean(0), points, atol=0.05)
    np.testing.assert_allclose(drawn[:, 1].std(0), [0.3 * size, 0.6 * size], rtol=0.05)


def test_heatmaps():
    """Three joints: one cell, two cells, nothing; rows are y, columns x."""
    values = np.zeros((3, 4, 2), np.float32)
    values[0, 3, 0] = 2.0
    values[1, 0, 0], values[1, 0, 1] = 1.0, 3.0
    values[1, 2, 0] = -5.0
    maps = uncertain.Heatmaps(jnp.asarray(values), jnp.array([10.0, 20.0, 14.0, 28.0]))
    expected = [[11, 27], [0.25 * 11 + 0.75 * 13, 21], [12, 24]]
    np.testing.assert_allclose(maps.mean, expected, rtol=1e-6)
    drawn = np.asarray(maps.sample(jax.random.key(0), 2000))
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.15)
    assert (drawn[:, 0] >= [10, 26]).all() and (drawn[:, 0] <= [12, 28]).all()
    assert abs((drawn[:, 1, 0] > 12).mean() - 0.75) < 0.04 and (drawn[:, 1, 1] <= 22).all()
    assert drawn[:, 2].min() < 11 and drawn[:, 2].max() > 27


def test_likeness_undoes_scale_and_shift():
    poses = jnp.asarray(RNG.normal(size=(2, 5, 3)), jnp.float32)
    points = 0.3 * poses[..., :2] + jnp.array([[[0.1, -0.2]]])
    # One is not found, and so not looked at.
    weights, points = jnp.ones((2, 5)).at[0, 2].set(0), points.at[0, 2].set(9.0)
    scale, shift = uncertain.likeness(poses, points, weights)
    np.testing.assert_allclose(scale[:, 0, 0], 0.3, rtol=1e-3)
    np.testing.assert_allclose(shift[:, 0], [[0.1, -0.2]] * 2, atol=1e-3)
    # A mirror image keeps a size, and one point makes no infinity.
    scale, _ = uncertain.likeness(-poses, points, weights)
    np.testing.assert_allclose(scale[1, 0, 0], 0.3 / 4, rtol=1e-3)
    scale, shift = uncertain.likeness(poses, jnp.ones((2, 5, 2)), weights)
    assert scale[0, 0, 0] == 1 and np.isfinite(shift).all()


def test_depths_are_drawn_from_their_histogram():
    errors = np.stack([RNG.normal(0.1, 0.05, 5000), np.full(5000, -0.2), RNG.normal(0, 9, 5000)], 1)
    shares = uncertain.histogram(jnp.asarray(errors, jnp.float32), 100, 0.5)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(shares[0], np.histogram(errors[:, 0], 100, (-0.5, 0.5))[0] / 5000,
                               atol=2e-3)  # fmt: skip
    assert shares[2, 0] > 0.4 and shares[2, -1] > 0.4
    planes = uncertain.Planes(jnp.zeros((3, 2)), jnp.zeros((3, 2, 2)))
    depth = jnp.array([1.0, 2.0, 3.0])
    drawn = np.asarray(uncertain.sample(jax.random.key(0), planes, depth, shares, 0.5, 3000))
    assert not drawn[..., :2].any()
    np.testing.assert_allclose(drawn[:, 0, 2].mean(), 1.1, atol=5e-3)
    np.testing.assert_allclose(drawn[:, 0, 2].std(), 0.05, rtol=0.1)
    np.testing.assert_allclose(drawn[:, 1, 2], 1.8, atol=0.011)
    # The joints are independent.
    assert abs(np.corrcoef(drawn[:, 0, 2], drawn[:, 2, 2])[0, 1]) < 0.06
