"""Losses on frame-to-frame changes."""

import jax
import numpy as np
import pytest

from jrepose.losses import angle_velocity, motion, temporal_consistency, velocity

# Operation by operation, each would be a program.
angle_velocity, temporal_consistency, velocity = map(
    jax.jit, (angle_velocity, temporal_consistency, velocity)
)
motion = jax.jit(motion, static_argnums=2)

losses = pytest.mark.parametrize("loss", [velocity, angle_velocity, motion])


def random_poses(frames, seed=0):
    return np.random.default_rng(seed).normal(size=(2, frames, 17, 3)).astype(np.float32)


def test_velocity_by_hand():
    # One joint drifts by (0, 3, 4) a frame and stands still in the target.
    drift = np.arange(5, dtype=np.float32)[:, None, None] * np.array([0, 3, 4], np.float32)
    target = np.ones((1, 5, 1, 3), np.float32)
    assert velocity(target + drift[None], target) == 5
    # Constant offsets do not matter.
    assert velocity(target + 7, target) == 0


def test_temporal_consistency_by_hand():
    # Two joints of which the second moves by (1, 0, 2) a frame; weights 3 and 4.
    steps = np.zeros((2, 4, 2, 3), np.float32)
    steps[:, :, 1] = np.arange(4, dtype=np.float32)[:, None] * np.array([1, 0, 2], np.float32)
    expected = (2 * 3) * 4 * (1 + 4) / (2 * 3 * 2 * 3)
    np.testing.assert_allclose(
        temporal_consistency(steps, np.array([3.0, 4.0])), expected, rtol=1e-6
    )
    assert temporal_consistency(steps[:, :1], np.array([3.0, 4.0])) == 0
    still = np.broadcast_to(random_poses(1), (2, 6, 17, 3))
    assert temporal_consistency(still, np.ones(17)) == 0


def test_motion_by_hand():
    poses, target = random_poses(6), random_poses(6, seed=1)
    errors = [
        np.mean(
            [
                np.abs(
                    np.cross(poses[b, t, j], poses[b, t + interval, j])
                    - np.cross(target[b, t, j], target[b, t + interval, j])
                )
                for b in range(2)
                for t in range(6 - interval)
                for j in range(17)
            ]
        )
        for interval in (1, 4)
    ]
    # Every interval counts alike, however many pairs of frames it has.
    np.testing.assert_allclose(motion(poses, target, (1, 4, 6)), np.mean(errors), rtol=1e-5)
    assert motion(poses, target, (6, 7)) == 0


def test_angles_that_keep_their_error_have_no_angle_velocity():
    still = np.repeat(random_poses(1), 4, axis=1)
    other = np.repeat(random_poses(1, seed=1), 4, axis=1)
    assert angle_velocity(still, other) == 0
    assert angle_velocity(random_poses(4), other) > 0.1


@losses
def test_one_frame_has_no_motion(loss):
    value, gradient = jax.jit(jax.value_and_grad(loss))(random_poses(1), random_poses(1, seed=1))
    assert value == 0 and not np.any(gradient)


@losses
def test_perfect_prediction_is_at_rest(loss):
    poses = random_poses(7)
    value, gradient = jax.jit(jax.value_and_grad(loss))(poses, poses.copy())
    assert value == 0 and not np.any(gradient)
