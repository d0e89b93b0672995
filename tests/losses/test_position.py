"""Position losses on poses small enough to work out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose.losses import (
    joint_l1,
    mean_squared,
    mpjpe,
    n_mpjpe,
    reprojection_2d,
    weighted_mpjpe,
)

# Operation by operation, each would be a program.
joint_l1, mean_squared, mpjpe, n_mpjpe, reprojection_2d, weighted_mpjpe = map(
    jax.jit, (joint_l1, mean_squared, mpjpe, n_mpjpe, reprojection_2d, weighted_mpjpe)
)

# One clip of one frame of two joints, off by (3, 4, 0) and (0, 0, -2).
TARGET = np.array([[[[1, 1, 1], [2, 0, 1]]]], np.float32)
PREDICTED = TARGET + np.array([[[[3, 4, 0], [0, 0, -2]]]], np.float32)


def test_errors_by_hand():
    assert mpjpe(PREDICTED, TARGET) == (5 + 2) / 2
    assert joint_l1(PREDICTED, TARGET) == (3 + 4 + 2) / 6
    assert mean_squared(PREDICTED, TARGET) == np.float32((9 + 16 + 4) / 6)
    # The divisor is the number of joints.
    assert weighted_mpjpe(PREDICTED, TARGET, np.float32([2.0, 0.5])) == (10 + 1) / 2
    confidence = np.array([[[[0.5], [1.0]]]], np.float32)
    assert reprojection_2d(PREDICTED, TARGET, confidence) == 2.5 / 2


def test_confidence_stands_inside_the_norm():
    # A negative weight would show if it stood outside.
    confidence = np.full((1, 1, 2, 1), -1, np.float32)
    assert reprojection_2d(PREDICTED, TARGET, confidence) == 5 / 2


def test_n_mpjpe_takes_any_scale_out():
    random = np.random.default_rng(0)
    target = random.normal(size=(2, 3, 17, 3)).astype(np.float32)
    scale = random.uniform(0.5, 2, size=(2, 3, 1, 1)).astype(np.float32)
    assert n_mpjpe(scale * target, target) < 1e-6
    noisy = target + random.normal(size=target.shape).astype(np.float32)
    np.testing.assert_allclose(n_mpjpe(scale * noisy, target), n_mpjpe(noisy, target), rtol=1e-5)
    # So moving along the prediction itself changes nothing.
    gradient = np.asarray(jax.jit(jax.grad(n_mpjpe))(noisy, target))
    assert abs(np.sum(gradient * noisy)) < 1e-5 < np.sum(np.abs(gradient))


@pytest.mark.parametrize("loss", [mpjpe, n_mpjpe, joint_l1, mean_squared])
def test_exact_and_zero_predictions_have_finite_gradients(loss):
    value, gradient = jax.jit(jax.value_and_grad(loss))(TARGET, TARGET)
    assert value == 0 and not np.any(gradient)
    value, gradient = jax.jit(jax.value_and_grad(loss))(np.zeros_like(TARGET), TARGET)
    assert np.isfinite(value) and value > 0 and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("loss", [mpjpe, n_mpjpe, joint_l1])
def test_bfloat16_predictions_give_float32(loss):
    # Distances of 3, whose sum is exact in float32 in any order, and stays far below in bfloat16.
    predicted = np.tile(np.array([1, 2, 2], jnp.bfloat16), (4, 243, 17, 1))
    target = 2 * predicted.astype(np.float32)
    expected = {mpjpe: 3, n_mpjpe: 0, joint_l1: 5 / 3}[loss]
    assert loss(predicted, target).dtype == jnp.float32
    np.testing.assert_allclose(loss(predicted, target), expected, rtol=1e-6)
