"""PoseFormer against an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import rates_in_training
from models import poseformer_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.evaluation.attention import attention_maps
from jrepose.interop import from_torch

SMALL = {
    "num_frame": 4,
    "num_joints": 5,
    "embed_dim_ratio": 4,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 1.5,
    "qkv_bias": False,
    "qk_scale": 0.3,
    "in_chans": 3,
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 4, 5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    weights = poseformer_oracle.random_state_dict(np.random.default_rng(1), **SMALL)
    return models.create("poseformer", **SMALL), from_torch("poseformer", weights, **SMALL), weights


def test_independent_numpy_version(small):
    model, variables, weights = small
    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    expected = poseformer_oracle.forward(weights, KEYPOINTS[..., :3], **SMALL)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_whole_frames_attend(small):
    model, variables, _ = small
    maps = attention_maps(model, variables, KEYPOINTS[0])
    assert [(found.block, found.spatial, found.weights.shape) for found in maps] == [
        (f"{stack}_{level}", spatial, shape)
        for level in range(2)
        for stack, spatial, shape in (
            ("Spatial_blocks", True, (4, 5, 5)),
            ("blocks", False, (1, 4, 4)),
        )
    ]


def test_dropout_rates():
    rates = rates_in_training(
        models.create("poseformer", **{**SMALL, "depth": 3}, drop_path_rate=0.4, drop_rate=0.1)
    )
    for level, expected in enumerate((0.0, 0.2, 0.4)):
        for stack in ("Spatial_blocks", "blocks"):
            for branch in ("Dropout_0", "Dropout_1"):
                assert rates.pop(f"{stack}_{level}/{branch}") == pytest.approx(expected)
    assert set(rates.values()) == {0.1} and {"Dropout_0", "Dropout_1"} <= set(rates)


def test_clips_that_do_not_fit_are_refused(small):
    model, variables, _ = small
    with pytest.raises(InputError, match="clip of 5 frames.*exactly 4"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 5, 5, 3)))
    with pytest.raises(InputError, match="5 joints of 2 channels.*5 joints of at least 3"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 4, 5, 2)))


def test_initialisation():
    model = models.create("poseformer", num_frame=64, depth=1, num_joints=5)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *model.input_shape)))["params"]
    for layer, inputs in (
        (params["weighted_mean"], 64),
        (params["head_1"], 160),
        (params["blocks_0"]["mlp"]["fc2"], 320),
    ):
        kernel, bound = layer["kernel"], inputs**-0.5
        assert np.abs(kernel).max() <= bound and np.abs(layer["bias"]).max() <= bound
        assert np.std(kernel) == pytest.approx(bound / 3**0.5, rel=0.25)
    assert not np.any(params["Spatial_pos_embed"]) and not np.any(params["Temporal_pos_embed"])
