"""MotionAGFormer against an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.transformer_oracle import Transformer, gelu, softmax

from jrepose import interop, models
from jrepose.errors import InputError
from jrepose.models.motionagformer import (
    following_adjacency,
    normalised,
    similarity_adjacency,
    skeleton_adjacency,
)

SMALL = {"n_frames": 5, "dim_feat": 4, "dim_rep": 3, "depth": 1, "num_heads": 2, "mlp_ratio": 1.5}
RNG = np.random.default_rng(0)
KEYPOINTS = RNG.normal(size=(2, 5, 17, 3)).astype(np.float32)


def in_numpy(weights, keypoints):
    """Poses of the network with one layer, by its PyTorch names."""
    net = Transformer(weights, SMALL["num_heads"])

    def branch(x, name, mixer):
        x = x + net.weights[f"{name}.layer_scale_1"] * mixer(net.norm(x, f"{name}.norm1", 1e-5))
        hidden = gelu(net.linear(net.norm(x, f"{name}.norm2", 1e-5), f"{name}.mlp.fc1"))
        return x + net.weights[f"{name}.layer_scale_2"] * net.linear(hidden, f"{name}.mlp.fc2")

    def graph(x, name, adjacency):
        """Of a clip's `[rows, nodes, channels]`."""
        norm = {
            leaf: net.weights[f"{name}.batch_norm.{leaf}"][:, None]
            for leaf in ("weight", "bias", "running_mean", "running_var")
        }
        found = np.empty_like(x)
        for row, nodes in enumerate(x):
            seen = adjacency(nodes)
            degree = seen.sum(1)
            others = net.linear(nodes, f"{name}.V") / np.sqrt(degree)[:, None]
            mixed = (seen @ others) / np.sqrt(degree)[:, None] + net.linear(nodes, f"{name}.U")
            mixed = (mixed - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
            found[row] = np.maximum(nodes + mixed * norm["weight"] + norm["bias"], 0)
        return found

    def two_most_alike(nodes):
        similarity = nodes @ nodes.T
        seen = np.zeros_like(similarity)
        np.put_along_axis(seen, np.argsort(-similarity, axis=1)[:, :2], 1.0, axis=1)
        return seen

    def over_joints(x):
        return np.stack([graph(clip, g_spatial, lambda _: skeleton_adjacency()) for clip in x])

    def over_frames(x):
        clips = [graph(clip.swapaxes(0, 1), g_temporal, two_most_alike) for clip in x]
        return np.stack(clips).swapaxes(1, 2)

    g_spatial, g_temporal = "layers.0.graph_spatial.mixer", "layers.0.graph_temporal.mixer"
    x = net.linear(keypoints.astype(np.float64), "joints_embed") + net.weights["pos_embed"]
    a, g = x, x
    for axis, tokens, mixer in (
        ("spatial", "joints", over_joints),
        ("temporal", "frames", over_frames),
    ):
        name = f"layers.0.att_{axis}"
        a = branch(a, name, lambda y, n=name, t=tokens: net.attention(y, f"{n}.mixer", t))
        g = branch(g, f"layers.0.graph_{axis}", mixer)
    w = softmax(net.linear(np.concatenate([a, g], -1), "layers.0.fusion"))
    x = net.norm(w[..., :1] * a + w[..., 1:] * g, "norm", 1e-5)
    return net.linear(np.tanh(net.linear(x, "rep_logit.fc")), "head")


@pytest.fixture(scope="module")
def small():
    model = models.create("motionagformer", **SMALL)
    shapes = jax.eval_shape(model.init, jax.random.key(0), KEYPOINTS)
    variables = jax.tree.map(
        lambda leaf: (
            RNG.uniform(0.2, 1.2, leaf.shape).astype(np.float32)
            * RNG.choice([1, -1], leaf.shape if leaf.ndim > 1 else ()).astype(np.float32)
        ),
        dict(shapes),
    )
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return model, variables


def test_independent_numpy_version(small):
    model, variables = small
    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    expected = in_numpy(interop.to_torch("motionagformer", variables, **SMALL), KEYPOINTS)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_three_bones_go_one_way():
    adjacency = skeleton_adjacency()
    assert adjacency.sum() == 2 * 16 - 3
    assert np.argwhere(adjacency < adjacency.T).tolist() == [[0, 4], [8, 11], [8, 14]]


def test_both_sides_are_divided_by_the_rows_sums():
    found = normalised(np.float32([[1, 1], [0, 4]]))
    np.testing.assert_allclose(found, [[0.5, 8**-0.5], [0, 1]], rtol=1e-6)


def test_graphs_over_frames():
    x = jnp.float32([[1, 0], [0, 1], [0, 3], [0, -1]])
    found = similarity_adjacency(x, 2)
    # The first one sees itself and, as all others are equally unlike it, all of them.
    assert found.tolist() == [[1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    assert following_adjacency(3, 1).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_streams_begin_with_equal_weights_and_faint_branches():
    model = models.create("motionagformer", **SMALL)
    params = jax.jit(model.init)(jax.random.key(0), KEYPOINTS)["params"]
    assert not params["fusion_0"]["kernel"].any() and (params["fusion_0"]["bias"] == 0.5).all()
    assert (params["att_spatial_0"]["layer_scale_2"] == np.float32(1e-5)).all()
    assert "bias" not in params["att_spatial_0"]["mixer"]["qkv"]


def test_other_switches_are_told_by_the_weights():
    changes = {"use_adaptive_fusion": False, "use_layer_scale": False, "qkv_bias": True}
    model = models.create("motionagformer", **SMALL, **changes, use_temporal_similarity=False)
    shapes = jax.eval_shape(model.init, jax.random.key(0), KEYPOINTS)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), dict(shapes))
    weights = interop.to_torch("motionagformer", zeros, **SMALL, **changes)
    told = interop.infer_hyperparameters("motionagformer", weights)
    assert {name: told[name] for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neighbour_num": 6}, "neighbour_num is 6, expected at most n_frames 5"),
        ({"num_heads": 3}, "dim_feat 4 does not divide over num_heads 3"),
        ({"temporal_connection_len": 0}, "temporal_connection_len is 0"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        models.create("motionagformer", **{**SMALL, **changes})


def test_clips_that_do_not_fit_are_refused(small):
    model, variables = small
    with pytest.raises(InputError, match="clip of 4 frames.*exactly 5"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[:, :4])
    with pytest.raises(InputError, match="17 joints of 2 channels.*17 joints of at least 3"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[..., :2])
