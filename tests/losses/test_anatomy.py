"""Limb lengths and angles."""

import jax
import numpy as np
import pytest

from jrepose.errors import InputError
from jrepose.losses import angle, limb_angles, limb_length, limb_lengths, limb_variance
from jrepose.skeleton import HUMAN36M_17, Skeleton

# Operation by operation, each would be a program.
limb_lengths, limb_angles, limb_variance = (
    jax.jit(function, static_argnums=1) for function in (limb_lengths, limb_angles, limb_variance)
)
limb_length, angle = (jax.jit(function, static_argnums=2) for function in (limb_length, angle))

# Three joints: an upper limb from 0 to 1 and a lower one from 1 to 2.
ARM = Skeleton("arm", ("a", "b", "c"), (-1, 0, 1), (), (), limb_angles=((0, 1),))


def arm(elbow_angle, upper=2.0, lower=1.0):
    """[1, 1, 3, 3] with the given angle between the two limbs' directions."""
    direction = np.array([np.cos(elbow_angle), np.sin(elbow_angle), 0])
    joints = np.array([np.zeros(3), [upper, 0, 0], [upper, 0, 0] + lower * direction])
    return joints[None, None].astype(np.float32)


def random_poses(shape=(2, 5), seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 17, 3)).astype(np.float32)


def test_lengths_and_angles_by_hand():
    np.testing.assert_allclose(limb_lengths(arm(1.0), ARM), [[[2, 1]]], rtol=1e-6)
    for radians in (0.3, np.pi / 2, 3.0):
        np.testing.assert_allclose(limb_angles(arm(radians), ARM), [[[radians]]], rtol=1e-5)
    # Straight and folded limbs stop at the margin of the arc cosine.
    np.testing.assert_allclose(limb_angles(arm(0.0), ARM), [[[4.8828e-4]]], rtol=1e-4)
    np.testing.assert_allclose(limb_angles(arm(np.pi), ARM), [[[3.14110446]]], rtol=1e-6)


def test_losses_by_hand():
    assert np.isclose(limb_length(arm(1.0, upper=3), arm(2.0), ARM), (1 + 0) / 2)
    assert np.isclose(angle(arm(1.0), arm(2.5), ARM), 1.5, rtol=1e-5)
    # Lengths 1, 2, 6 have the unbiased variance 7; the other limb keeps its length.
    clip = np.concatenate([arm(0.5, lower=lower) for lower in (1, 2, 6)], axis=1)
    assert np.isclose(limb_variance(clip, ARM), 7 / 2, rtol=1e-5)
    assert limb_variance(clip[:, :1], ARM) == 0


@pytest.mark.parametrize("frames", [1, 6])
def test_perfect_prediction_has_no_gradient(frames):
    # Compiled, where rounding the two operands differently would show.
    poses = random_poses((3, frames))
    for loss in (limb_length, angle):
        value, gradient = jax.jit(jax.value_and_grad(loss))(poses, poses.copy())
        assert value == 0 and not np.any(gradient), loss.__name__


def test_collapsed_body_has_finite_gradients():
    for loss in (limb_length, angle, lambda p, _: limb_variance(p)):
        gradient = jax.jit(jax.grad(loss))(
            np.zeros((1, 4, 17, 3), np.float32), random_poses((1, 4))
        )
        assert np.all(np.isfinite(gradient))


def test_poses_must_have_the_skeletons_joints():
    with pytest.raises(InputError, match="5 joints; skeleton human36m_17 has 17"):
        limb_lengths(np.zeros((1, 2, 5, 3), np.float32), HUMAN36M_17)
    bare = Skeleton("bare", ("a", "b"), (-1, 0), (), ())
    with pytest.raises(InputError, match="bare lists no limb_angles"):
        limb_angles(np.zeros((1, 2, 2, 3), np.float32), bare)
