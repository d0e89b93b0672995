"""PoseFormerV2 against NumPy, and by its own promises."""

import jax
import numpy as np
import pytest
from lifters import rates_in_training
from models.transformer_oracle import Transformer, block_shapes, gelu

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch
from jrepose.models.poseformerv2 import cosines, inverse_cosines

# Five tokens: the second half begins with a frequency.
SMALL = {
    "num_frame": 7,
    "number_of_kept_frames": 1,
    "number_of_kept_coeffs": 4,
    "num_joints": 3,
    "embed_dim_ratio": 4,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 1.5,
    "qk_scale": 0.4,
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 7, 3, 3)).astype(np.float32)


def names(stack, level, *parts):
    return [f"{stack}.{level}.{part}" for part in parts]


def random_state_dict(rng, joints=3, narrow=4, kept=1, coefficients=4, depth=2):
    wide = joints * narrow
    shapes = {
        "Spatial_pos_embed": (1, joints, narrow),
        "Temporal_pos_embed": (1, kept, wide),
        "Temporal_pos_embed_": (1, coefficients, wide),
        "weighted_mean.weight": (1, coefficients, 1),
        "weighted_mean.bias": (1,),
        "weighted_mean_.weight": (1, kept, 1),
        "weighted_mean_.bias": (1,),
    }
    for name, outputs, inputs in (
        ("Joint_embedding", narrow, 2),
        ("Freq_embedding", wide, 2 * joints),
        ("head.1", 3 * joints, 2 * wide),
    ):
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    norms = [("Spatial_norm", narrow), ("Temporal_norm", wide), ("head.0", 2 * wide)]
    norms += [(f"blocks.{level}.norm3", wide) for level in range(depth)]
    for norm, width in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for level in range(depth):
        parts = names("Spatial_blocks", level, "norm1", "attn", "norm2", "mlp")
        shapes |= block_shapes(parts, narrow, int(1.5 * narrow), True)
        for mlp in ("mlp1", "mlp2"):
            parts = names("blocks", level, "norm1", "attn", "norm2", mlp)
            shapes |= block_shapes(parts, wide, int(1.5 * wide), True)
    return {key: rng.normal(0.3, 0.4, shape).astype("f4") for key, shape in shapes.items()}


def forward(weights, keypoints, depth=2, kept=1, coefficients=4):
    net = Transformer(weights, 2, 0.4)
    batch, frames, joints, _ = keypoints.shape
    start = (frames - kept) // 2
    x = net.linear(keypoints[:, start : start + kept].astype(np.float64), "Joint_embedding")
    x = x + net.weights["Spatial_pos_embed"]
    for level in range(depth):
        parts = names("Spatial_blocks", level, "norm1", "attn", "norm2", "mlp")
        x = net.block(x, parts, "joints")
    x = net.norm(x, "Spatial_norm").reshape(batch, kept, -1) + net.weights["Temporal_pos_embed"]
    movement = cosines(frames)[:coefficients] @ keypoints.reshape(batch, frames, -1)
    movement = net.linear(movement, "Freq_embedding") + net.weights["Temporal_pos_embed_"]
    x = np.concatenate([movement, x], axis=1)
    for level in range(depth):
        name = f"blocks.{level}"

        def mlp(x, part, name=name):
            return net.linear(gelu(net.linear(x, f"{name}.{part}.fc1")), f"{name}.{part}.fc2")

        normed = net.norm(x, f"{name}.norm1")[:, :, None]
        x = x + net.attention(normed, f"{name}.attn", "frames")[:, :, 0]
        first, second = np.split(x, [x.shape[1] // 2], axis=1)
        first = first + mlp(net.norm(first, f"{name}.norm2"), "mlp1")
        tokens = second.shape[1]
        branch = mlp(cosines(tokens) @ net.norm(second, f"{name}.norm3"), "mlp2")
        second = second + inverse_cosines(tokens) @ branch
        x = np.concatenate([first, second], axis=1)
    x = net.norm(x, "Temporal_norm")
    means = [
        np.einsum("t,btc->bc", net.weights[f"{name}.weight"][0, :, 0], part)
        + net.weights[f"{name}.bias"]
        for name, part in (
            ("weighted_mean", x[:, :coefficients]),
            ("weighted_mean_", x[:, coefficients:]),
        )
    ]
    pose = net.linear(net.norm(np.concatenate(means, -1), "head.0", 1e-5), "head.1")
    return pose.reshape(batch, 1, joints, 3)


@pytest.fixture(scope="module")
def small():
    weights = random_state_dict(np.random.default_rng(1))
    return (
        models.create("poseformerv2", **SMALL),
        from_torch("poseformerv2", weights, **SMALL),
        weights,
    )


def test_independent_numpy_version(small):
    model, variables, weights = small
    expected = forward(weights, KEYPOINTS[..., :2])
    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("length", [1, 4, 9])
def test_the_cosine_transform_and_its_inverse(length):
    scipy_fft = pytest.importorskip("scipy.fft")
    x = np.random.default_rng(0).normal(size=(3, length))
    np.testing.assert_allclose(x @ cosines(length).T, scipy_fft.dct(x), atol=1e-12)
    np.testing.assert_allclose(x @ inverse_cosines(length).T, scipy_fft.idct(x), atol=1e-12)


def test_dropout_rates():
    rates = rates_in_training(models.create("poseformerv2", **SMALL, drop_path_rate=0.4))
    assert rates["blocks_0/Dropout_0"] == 0 and rates["blocks_1/Dropout_0"] == 0.4
    assert rates["Spatial_blocks_1/Dropout_1"] == 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number_of_kept_frames": 2}, "number_of_kept_frames is 2, expected an odd number"),
        ({"number_of_kept_frames": 9}, "is 9, expected an odd number of the 7 frames"),
        ({"number_of_kept_coeffs": 8}, "7 frames have no more"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        models.create("poseformerv2", **{**SMALL, **changes})


def test_clips_that_do_not_fit_are_refused(small):
    model, variables, _ = small
    with pytest.raises(InputError, match="clip of 5 frames.*exactly 7"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 5, 3, 2)))
    with pytest.raises(InputError, match="4 joints of 2 channels.*3 joints of at least 2"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 7, 4, 2)))
