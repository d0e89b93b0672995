"""VideoPose3D against an independent NumPy version, and its own promises."""

import jax
import numpy as np
import pytest
from models import temporal_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch, infer_hyperparameters, to_torch

WIDTHS = (3, 5, 3)
SMALL = {
    "num_joints_in": 5,
    "num_joints_out": 4,
    "filter_widths": WIDTHS,
    "channels": 6,
    "drop_rate": 0.0,
}
CLIPS = np.random.default_rng(0).normal(size=(4, 45, 5, 3)).astype(np.float32)
LONG = np.random.default_rng(1).normal(size=(2, 52, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def weights():
    return temporal_oracle.random_videopose3d(np.random.default_rng(2), **SMALL)


@pytest.fixture(scope="module")
def variables(weights):
    return from_torch("videopose3d", weights, **SMALL)


def create(**changes):
    return models.create("videopose3d", **{**SMALL, **changes})


@pytest.mark.parametrize("causal", [False, True])
def test_independent_numpy_version(weights, variables, causal):
    """Strided and dilated networks of the same weights; the dilated one on longer clips too."""
    poses = {}
    for strided, clips in ((True, CLIPS), (False, CLIPS), (True, LONG)):
        expected, _ = temporal_oracle.videopose3d(
            weights, clips[..., :2], WIDTHS, strided=False, causal=causal
        )
        found = jax.jit(create(strided=strided, causal=causal).apply)(variables, clips)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert found.shape == (len(clips), clips.shape[1] - 44, 4, 3)
        poses[strided, len(clips)] = found
    np.testing.assert_allclose(poses[True, 4], poses[False, 4], rtol=0, atol=1e-6)


@pytest.mark.parametrize("strided", [False, True])
def test_in_training(weights, variables, strided):
    """The two see other frames, so their statistics, and with them the poses, differ."""
    expected, batch = temporal_oracle.videopose3d(
        weights, CLIPS[..., :2], WIDTHS, strided=strided, train=True
    )
    model = create(strided=strided)
    poses, state = jax.jit(
        lambda momentum: model.apply(
            variables, CLIPS, True, batch_norm_momentum=momentum, mutable="batch_stats"
        )
    )(0.25)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    after = to_torch("videopose3d", state)
    for key, statistic in batch.items():
        moved = 0.75 * weights[key] + 0.25 * statistic
        np.testing.assert_allclose(after[key], moved, rtol=1e-5, atol=1e-5)


def test_dropout_is_of_the_branches(variables):
    model = create(drop_rate=0.5)
    apply = jax.jit(lambda key: model.apply(variables, CLIPS, True, rngs={"dropout": key}))
    first, second, again = (apply(jax.random.key(seed)) for seed in (0, 1, 0))
    assert not np.allclose(first, second) and np.array_equal(first, again)


def test_initialisation():
    model = create(channels=64)
    params = jax.jit(model.init)(jax.random.key(3), CLIPS)["params"]["network"]
    for layer, inputs in (("expand_conv", 30), ("layers_conv_0", 320), ("layers_conv_1", 64)):
        kernel = params[layer]["kernel"]
        assert 0.9 * inputs**-0.5 < np.abs(kernel).max() <= inputs**-0.5
    assert 0.5 * 64**-0.5 < np.abs(params["shrink"]["bias"]).max() <= 64**-0.5


def test_hyperparameters_of_weights(weights):
    found = infer_hyperparameters("videopose3d", weights)
    assert found == {
        "num_joints_in": 5, "num_joints_out": 4, "in_features": 2, "filter_widths": WIDTHS,
        "channels": 6,
    }  # fmt: skip
    with_confidence = {**weights, "expand_conv.weight": np.zeros((6, 51, 3), np.float32)}
    found = infer_hyperparameters("videopose3d", with_confidence)
    assert found["num_joints_in"] == 17 and found["in_features"] == 3


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"filter_widths": (3, 4)}, r"filter_widths is \(3, 4\), expected one or more odd"),
        ({"filter_widths": ()}, r"filter_widths is \(\)"),
        ({"filter_widths": (3, 3.0)}, "expected a tuple of int"),
        ({"filter_widths": 3}, "filter_widths is 3, expected tuple"),
        ({"channels": 0}, "VideoPose3D: channels is 0, expected >= 1"),
        ({"drop_rate": 1}, "drop_rate is 1.0"),
    ],
)
def test_create_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        create(**changes)


def test_lists_are_widths_too():
    assert create(filter_widths=[3, 3]).filter_widths == (3, 3)


def test_clips_that_do_not_fit_are_refused(variables):
    apply = jax.jit(create().apply, static_argnames="train")
    with pytest.raises(InputError, match="clip of 44 frames.*receptive field is 45"):
        apply(variables, CLIPS[:, 1:])
    with pytest.raises(InputError, match="4 joints of 3 channels.*5 joints of at least 2"):
        apply(variables, CLIPS[:, :, 1:])
    with pytest.raises(InputError, match="one value per channel"):
        apply(variables, CLIPS[:1], train=True)
