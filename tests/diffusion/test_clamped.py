import jax.numpy as jnp
import numpy as np

from jrepose.diffusion import clamped


def test_noisy_poses_stay_within_bounds():
    clean = np.full((2, 1, 1, 3), 0.5, np.float32)
    noise = np.full_like(clean, 3)
    found = clamped.noised(clean, noise, np.float32([1.0, 0.0]), np.float32([0.0, 1.0]), scale=2.0)
    np.testing.assert_allclose(found[:, 0, 0, 0], [0.5, 1.1])


def test_answers_are_clamped_and_averaged_with_the_mirror():
    keypoints = jnp.full((2, 1, 1, 2), 0.25)
    noisy = jnp.array([[[[4.0, 0, 0]]], [[[-0.5, 0, 0]]]])
    steps = jnp.full((2, 1), 7.0)

    def network(given, steps):
        assert steps.shape == (2,)
        u, x = given[..., :1], given[..., 2:3]
        return jnp.concatenate([x + u, x, steps[:, None, None, None] + 0 * x], axis=-1)

    def mirror(poses):
        return poses.at[..., 0].multiply(-1)

    alone = clamped.clip_denoiser(network, keypoints)(noisy, steps)
    np.testing.assert_allclose(alone[:, 0, 0], [[1.1, 1.1, 1.1], [-0.25, -0.5, 1.1]])
    both = clamped.clip_denoiser(network, keypoints, mirror)(noisy, steps)
    # x is odd and agrees with its mirror; y takes the sign of x, and cancels.
    np.testing.assert_allclose(both[:, 0, 0], [[1.1, 0, 1.1], [-0.25, 0, 1.1]], atol=1e-7)
    double = clamped.clip_denoiser(network, keypoints, scale=2.0)(noisy, steps)
    np.testing.assert_allclose(double[:, 0, 0, 0], [2.2, 0.0], atol=1e-7)
