"""The losses of semi-supervised training, by their formulas in NumPy."""

import jax
import numpy as np
import pytest

from jrepose import losses
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

back_projection = jax.jit(losses.back_projection, static_argnames="distortion")
RNG = np.random.default_rng(0)
POSES, UNLABELLED = RNG.normal(size=(2, 3, 1, 17, 3)).astype(np.float32) * 0.3
ROOTS = RNG.normal([0, 0, 5], 0.3, size=(3, 1, 1, 3)).astype(np.float32)
KEYPOINTS = RNG.normal(size=(3, 1, 17, 2)).astype(np.float32)
CAMERAS = np.tile([2.3, 2.2, 0.1, -0.1, -0.2, 0.24, -0.03, 0.01, 0.02], (3, 1)).astype(np.float32)
CAMERAS[:, 0] += [0.0, 0.1, 0.2]


def test_trajectory_counts_by_depth():
    predicted = ROOTS + RNG.normal(size=ROOTS.shape).astype(np.float32)
    expected = (np.linalg.norm(predicted - ROOTS, axis=-1) / ROOTS[..., 2]).mean()
    np.testing.assert_allclose(jax.jit(losses.trajectory)(predicted, ROOTS), expected, rtol=1e-5)


def test_back_projection():
    """Each clip by its own camera; with the lens's distortion or without."""
    x = (POSES + ROOTS).astype(np.float64)
    ray = x[..., :2] / x[..., 2:]
    f, c, k, p = np.split(CAMERAS[:, None, None].astype(np.float64), [2, 4, 7], axis=-1)
    r2 = (ray**2).sum(-1, keepdims=True)
    lens = 1 + k[..., :1] * r2 + k[..., 1:2] * r2**2 + k[..., 2:] * r2**3
    distorted = ray * (lens + (p * ray).sum(-1, keepdims=True)) + p * r2
    for seen, distortion in ((distorted, True), (ray, False)):
        expected = np.linalg.norm(f * seen + c - KEYPOINTS, axis=-1).mean()
        found = back_projection(POSES, ROOTS, KEYPOINTS, CAMERAS, distortion=distortion)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_back_projection_trains_both_networks():
    slopes = jax.jit(jax.grad(losses.back_projection, argnums=(0, 1)))
    both = slopes(POSES, ROOTS, KEYPOINTS, CAMERAS)
    for gradient in both:
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_mean_limb_lengths():
    def lengths(poses):
        parents, children = np.transpose(HUMAN36M_17.limbs)
        return np.linalg.norm(poses[:, :, parents] - poses[:, :, children], axis=-1).mean((0, 1))

    found = jax.jit(losses.mean_limb_lengths)(POSES, UNLABELLED[:2])
    expected = np.abs(lengths(POSES) - lengths(UNLABELLED[:2])).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    slopes = jax.jit(jax.grad(losses.mean_limb_lengths, argnums=(0, 1)))
    first, second = slopes(POSES, UNLABELLED)
    assert np.abs(first).max() > 0 and np.abs(second).max() > 0
    with pytest.raises(InputError, match="16 joints"):
        losses.mean_limb_lengths(POSES[:, :, 1:], UNLABELLED[:, :, 1:])
