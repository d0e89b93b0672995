"""MHFormer against an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import rates_in_training
from models.transformer_oracle import Transformer, gelu, softmax

from jrepose import interop, models
from jrepose.errors import InputError

SMALL = {
    "frames": 6,
    "num_joints": 3,
    "num_joints_out": 4,
    "channel": 4,
    "depth": 2,
    "num_heads": 2,
    "mhg_depth": 1,
    "mhg_heads": 3,
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 6, 3, 3)).astype(np.float32)


def in_numpy(weights, keypoints):
    """Poses of the network of `SMALL`, by its PyTorch names."""
    generator, net = (Transformer(weights, SMALL[name]) for name in ("mhg_heads", "num_heads"))

    def conv(x, name):
        return x @ net.weights[f"{name}.weight"][..., 0].T + net.weights[f"{name}.bias"]

    def batch_norm(x, name):
        mean, var = (net.weights[f"{name}.running_{leaf}"] for leaf in ("mean", "var"))
        x = (x - mean) / np.sqrt(var + 1e-5)
        return x * net.weights[f"{name}.weight"] + net.weights[f"{name}.bias"]

    def mixed(hypotheses, block):
        x = np.concatenate(hypotheses, axis=-1)
        hidden = net.linear(net.norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        return np.split(x + net.linear(gelu(hidden), f"{block}.mlp.fc2"), 3, axis=-1)

    def crossed(number, sources, block):
        name = f"{block}.attn_{number}"
        q, k, v = (
            net.linear(net.norm(x, f"{block}.norm3_{number}{place}"), f"{name}.linear_{letter}")
            for place, (letter, x) in enumerate(zip("qkv", sources, strict=True), start=1)
        )
        heads = []
        for part in np.split(np.arange(q.shape[-1]), SMALL["num_heads"]):
            scores = q[..., part] @ k[..., part].swapaxes(-1, -2) * len(part) ** -0.5
            heads.append(softmax(scores) @ v[..., part])
        return net.linear(np.concatenate(heads, axis=-1), f"{name}.proj")

    x = keypoints[..., :2].astype(np.float64).reshape(*keypoints.shape[:2], -1).swapaxes(1, 2)
    hypotheses, top = [], "Transformer_hypothesis"
    for number in (1, 2, 3):
        name = f"Transformer_encoder_{number}"
        y = net.norm(x, f"norm_{number}", 1e-5) + net.weights[f"{name}.pos_embed"]
        block = [f"{name}.blocks.0.{part}" for part in ("norm1", "attn", "norm2", "mlp")]
        x = x + net.norm(generator.block(y[:, None], block, "joints")[:, 0], f"{name}.norm")
        embedded = conv(x.swapaxes(1, 2), f"embedding_{number}.0")
        embedded = np.maximum(batch_norm(embedded, f"embedding_{number}.1"), 0)
        hypotheses.append(embedded + net.weights[f"{top}.pos_embed_{number}"])
    block = f"{top}.SHR_blocks.0"
    for number, y in enumerate(hypotheses, start=1):
        normed = net.norm(y, f"{block}.norm1_{number}")[:, :, None]
        attended = net.attention(normed, f"{block}.attn_{number}", "frames")
        hypotheses[number - 1] = y + attended[:, :, 0]
    one, two, three = mixed(hypotheses, block)
    block = f"{top}.CHI_blocks.0"
    one = one + crossed(1, (two, three, one), block)
    two = two + crossed(2, (one, three, two), block)
    three = three + crossed(3, (one, two, three), block)
    x = np.concatenate(mixed([one, two, three], block), axis=-1)
    x = conv(batch_norm(net.norm(x, f"{top}.norm"), "regression.0"), "regression.1")
    return x.reshape(*x.shape[:2], -1, 3)


@pytest.fixture(scope="module")
def small():
    model = models.create("mhformer", **SMALL)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0), KEYPOINTS)
    variables = jax.tree.map(lambda leaf: rng.normal(0.3, 0.4, leaf.shape).astype("f4"), shapes)
    return model, {**variables, "batch_stats": jax.tree.map(np.abs, variables["batch_stats"])}


def test_independent_numpy_version_and_confidence_that_is_not_looked_at(small):
    model, variables = small
    apply = jax.jit(model.apply)
    poses = apply(variables, KEYPOINTS)
    expected = in_numpy(interop.to_torch("mhformer", variables, **SMALL), KEYPOINTS)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(poses, apply(variables, KEYPOINTS * np.float32([1, 1, 5])))


def test_only_short_clips_are_normalised_when_embedded(small):
    _, variables = small
    assert {"embedding_2_0", "embedding_2_1"} <= set(variables["params"])
    long = models.create("mhformer", **{**SMALL, "frames": 30})
    shapes = jax.eval_shape(long.init, jax.random.key(0), jnp.zeros((1, 30, 3, 2)))
    assert "embedding_2" in shapes["params"] and set(shapes["batch_stats"]) == {"regression_0"}


def test_dropout_rates():
    rates = rates_in_training(models.create("mhformer", **{**SMALL, "mhg_depth": 2}))
    assert rates["Transformer_encoder_1/blocks_1/Dropout_0"] == 0.2
    assert rates["Transformer_hypothesis/SHR_blocks_0/Dropout_0"] == 0
    assert rates["Transformer_hypothesis/CHI_blocks_1/Dropout_0"] == 0.2
    assert rates["Dropout_0"] == 0.25 and rates["Transformer_hypothesis/Dropout_0"] == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 80}, "frames 80 do not divide over mhg_heads 9"),
        ({"channel": 30}, "channel 30 does not divide over num_heads 8"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        models.create("mhformer", **changes)


def test_clips_that_do_not_fit_are_refused(small):
    model, variables = small
    with pytest.raises(InputError, match="clip of 5 frames.*exactly 6"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[:, :5])
    with pytest.raises(InputError, match="2 joints of 3 channels.*3 joints of at least 2"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[:, :, :2])
