"""Noise, confidence and masks of training inputs, against NumPy and by what they leave alone."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from training import tiny

from jrepose.data import corruption
from jrepose.data.corruption import Corruption, NoiseDraws, NoiseModel, add_noise, draw_noise, mask
from jrepose.errors import InputError
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import Lifting

RNG = np.random.default_rng(0)
NOISE = NoiseModel(
    RNG.normal(size=(17, 2)) * 0.01,
    RNG.uniform(0.01, 0.1, (17, 2)),
    RNG.uniform(0.2, 0.8, 17),
    key_frames=4,
)
KEYPOINTS = RNG.normal(size=(2, 9, 17, 3)).astype(np.float32)
POSES = RNG.normal(size=(2, 9, 17, 3)).astype(np.float32)


def drawn(seed, clips, frames) -> NoiseDraws:
    draw = jax.jit(lambda key: draw_noise(NOISE, key, clips, frames, 17))
    return jax.device_get(draw(jax.random.key(seed)))


@pytest.mark.parametrize("frames", [1, 3, 9])
def test_noise_and_confidence_by_numpy(frames):
    draws = drawn(0, 2, frames)
    normal = draws.normal * NOISE.std + NOISE.mean
    uniform = (draws.uniform - 0.5) * 0.06
    of_keys = np.where(draws.select < NOISE.weight[:, None], normal, uniform)
    error = np.empty((2, frames, 17, 2))
    for clip, joint, axis in np.ndindex(2, 17, 2):
        error[clip, :, joint, axis] = np.interp(
            np.linspace(0, 3, frames), range(4), of_keys[clip, :, joint, axis]
        )
    error += 0.002 * draws.jitter
    length = np.linalg.norm(error, axis=-1)
    confidence = 0.028 / (length + 0.028) + 1.1 * length
    confidence = np.clip(confidence + 0.14310569 * draws.confidence - 0.0045856964, 0, 1)
    add = jax.jit(lambda keypoints, draws: add_noise(NOISE, keypoints, draws))
    found = np.asarray(add(KEYPOINTS[:, :frames], draws))
    np.testing.assert_allclose(found[..., :2], KEYPOINTS[:, :frames, :, :2] + error, atol=1e-5)
    np.testing.assert_allclose(found[..., 2], confidence, atol=1e-5)


def test_draws_are_what_they_are_called():
    draws = drawn(1, 64, 9)
    for uniform in (draws.select, draws.uniform):
        assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.02
    for normal in (draws.normal, draws.jitter, draws.confidence):
        assert abs(normal.mean()) < 0.15 and abs(normal.std() - 1) < 0.1


def test_masks_of_joints_and_of_whole_frames():
    joints, frames = RNG.random((2, 9, 17, 1)), RNG.random((1, 9, 1, 1))
    masked = np.asarray(mask(KEYPOINTS, joints, frames, 0.3, 0.4))
    gone = (joints[..., 0] <= 0.3) | (frames[..., 0] <= 0.4)
    assert not masked[gone].any() and 0 < gone.sum() < gone.size
    np.testing.assert_array_equal(masked[~gone], KEYPOINTS[~gone])


def test_labels_seen_by_a_detector():
    def seen(corruption, *seeds):
        corrupt = jax.jit(lambda *arguments: corruption(*arguments))
        return [np.asarray(corrupt(KEYPOINTS, POSES, jax.random.key(seed))) for seed in seeds]

    (projected,) = seen(Corruption(projected=True), 0)
    np.testing.assert_array_equal(projected[..., :2], POSES[..., :2])
    assert (projected[..., 2] == 1).all()
    once, again, other = seen(Corruption(NOISE, 0.2, 0.3, projected=True), 0, 0, 1)
    np.testing.assert_array_equal(once, again)
    assert np.any(once != other) and not once[(once == 0).any(-1)].any()


class Copy(nn.Module):
    @nn.compact
    def __call__(self, keypoints, train=False):
        return keypoints * self.param("scale", nn.initializers.ones, ())


def test_only_the_model_sees_it_and_only_in_training():
    objective = create_objective({"mpjpe": 0.0, "reprojection_2d": 1.0}, HUMAN36M_17)
    task = Lifting(
        Copy(), HUMAN36M_17, HUMAN36M_17, objective, "frame",
        corruption=Corruption(projected=True),
    )  # fmt: skip
    batch = {"keypoints": KEYPOINTS, "poses": POSES}
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    terms = jax.jit(lambda *arguments: task.loss(*arguments)[1].terms)(
        variables, batch, jax.random.key(1), np.int32(0)
    )
    expected = np.linalg.norm((POSES - KEYPOINTS)[..., :2] * KEYPOINTS[..., 2:], axis=-1).mean()
    assert terms["reprojection_2d"] == pytest.approx(float(expected), rel=1e-5)
    keys = jax.random.split(jax.random.key(0), 2)
    np.testing.assert_array_equal(task.predict(variables, batch, keys, flip=False), KEYPOINTS)


def test_what_a_config_asks_for(tmp_path):
    data, section = tiny.dataset(), tiny.config().corruption
    assert corruption.from_config(section, data, None) is None
    section.update(noise="plain", joints=0.1, frames=0.2)
    found = corruption.from_config(section, data, None)
    assert found.noise.weight.shape == (17,) and (found.joints, found.frames) == (0.1, 0.2)
    arrays = {"mean": NOISE.mean, "std": NOISE.std, "weight": NOISE.weight}
    section.noise = str(tmp_path / "noise.npz")
    np.savez(section.noise, **arrays)
    np.testing.assert_array_equal(
        corruption.from_config(section, data, None).noise.mean, NOISE.mean
    )
    for changes, message in (
        ({"mean": NOISE.mean[:5]}, r"noise.npz: mean is float64 \[5, 2\], expected .* \[17, 2\]"),
        ({"weight": NOISE.weight + 1}, "weight has values outside 0 to 1"),
        ({"std": np.full((17, 2), np.nan)}, "std has values outside 0 to 2"),
        ({"std": np.zeros((17, 2), int)}, "std is int64"),
    ):
        np.savez(section.noise, **{**arrays, **changes})
        with pytest.raises(InputError, match=message):
            corruption.from_config(section, data, None)
    np.savez(section.noise, mean=NOISE.mean)
    with pytest.raises(InputError, match="no array 'std'"):
        corruption.from_config(section, data, None)
    section.update(noise="plain", frames=0.0)
    with pytest.raises(InputError, match="joints is 0.1 and .frames 0.0; expected both"):
        corruption.from_config(section, data, None)
    section.update(projected=True, frames=0.1)
    with pytest.raises(InputError, match="of the same joints in image space in all frames"):
        corruption.from_config(section, data, 1)
