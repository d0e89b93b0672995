"""Attention maps against softmax written out, and their pictures."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
from lifters import compute, draw_variables
from training import tiny

from jrepose import models
from jrepose.errors import InputError
from jrepose.evaluation import attention
from jrepose.interop import from_torch
from jrepose.interop.fixtures.arrays import below
from jrepose.models import layers

FRAMES = 8


@pytest.fixture(scope="module")
def small():
    model = models.create(
        "repose", dim_feat=8, dim_rep=8, depth=2, num_heads=2, mlp_ratio=2, maxlen=FRAMES
    )
    keypoints = np.random.default_rng(0).normal(size=(FRAMES, 17, 3)).astype(np.float32)
    # Attention of a model at its own initialisation is almost uniform; this is not.
    return model, draw_variables(model, keypoints[None]), keypoints


@pytest.fixture(scope="module")
def maps(small):
    return attention.attention_maps(*small)


def test_weights_of_a_layer_are_the_softmax():
    heads, channels, scale = 2, 6, 0.7
    layer = layers.Attention(heads, qk_scale=scale)
    x = np.random.default_rng(1).normal(size=(2, 3, 5, channels)).astype(np.float32)
    variables = draw_variables(layer, x)
    assert set(variables) == {"params"}
    out, stored = compute(layer, variables, x, mutable="attention")
    weights = np.asarray(stored["attention"]["weights"][0])
    np.testing.assert_allclose(out, compute(layer, variables, x), rtol=1e-6, atol=1e-6)

    qkv = variables["params"]["qkv"]
    q, k, _ = np.split(x @ np.float64(qkv["kernel"]) + np.float64(qkv["bias"]), 3, -1)
    for row in range(6):
        for head in range(heads):
            part = slice(head * 3, (head + 1) * 3)
            scores = scale * q[row // 3, row % 3, :, part] @ k[row // 3, row % 3, :, part].T
            expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            np.testing.assert_allclose(weights[row, head], expected, atol=1e-5)
    assert weights.shape == (6, heads, 5, 5)


def test_a_prediction_does_not_compute_them(small):
    """As many exponentials as without the collection: the weights cost who asks for them."""
    model, variables, keypoints = small

    def exponentials(**options):
        def run(variables, clip):
            return model.apply(variables, clip, **options)

        return str(jax.make_jaxpr(run)(variables, keypoints[None])).count(" exp ")

    assert exponentials() + 8 == exponentials(mutable="attention")


def test_maps_of_a_model(small, maps):
    assert [(found.layer, found.block, found.spatial) for found in maps] == [
        (layer, f"blocks_{stream}_{layer}/{kind}", kind == "spatial")
        for layer in (0, 1)
        for stream in ("st", "ts")
        for kind in ("spatial", "temporal")
    ]
    for found in maps:
        rows, tokens = (FRAMES, 17) if found.spatial else (17, FRAMES)
        assert found.weights.shape == (rows, tokens, tokens)
        np.testing.assert_allclose(found.weights.sum(-1), 1, rtol=1e-5)
        assert np.ptp(found.weights) > 0.01


def test_spatial_maps_belong_to_their_frame(small, maps):
    """What happens in the last frame does not reach the first level's other frames."""
    model, variables, keypoints = small
    changed = keypoints.copy()
    changed[-1] *= -2
    others = attention.attention_maps(model, variables, changed)
    first = next(found for found in maps if found.block == "blocks_st_0/spatial")
    other = next(found for found in others if found.block == "blocks_st_0/spatial")
    np.testing.assert_allclose(first.weights[:-1], other.weights[:-1], atol=1e-6)
    assert np.abs(first.weights[-1] - other.weights[-1]).max() > 1e-3


def test_choice_of_the_layer(maps):
    assert {found.layer for found in attention.choose_layer(maps, None)} == {1}
    assert {found.layer for found in attention.choose_layer(maps, 0)} == {0}
    with pytest.raises(InputError, match="--layer is 2, the model's layers are 0 to 1"):
        attention.choose_layer(maps, 2)


def test_scales():
    weights = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
    scaled = attention.scaled_to_one(weights)
    np.testing.assert_allclose(scaled, [[0, 1], [0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(
        attention.scaled_to_one(weights, "max"), [[0.25, 1], [0.625, 0.625]], atol=1e-6
    )
    np.testing.assert_array_equal(attention.scaled_to_one(np.full((3, 3), 1 / 3)), 0)
    with pytest.raises(InputError, match="'log', expected min_max or max"):
        attention.scaled_to_one(weights, "log")


def test_models_without_attention_are_refused(small):
    _, _, keypoints = small
    linear = nn.Dense(3)
    variables = linear.init(jax.random.key(0), keypoints)
    with pytest.raises(InputError, match="Dense has no attention to look at"):
        attention.attention_maps(linear, variables, keypoints)


def test_as_many_frames_as_joints_are_refused(small):
    model, variables, _ = small
    with pytest.raises(InputError, match="17 frames and 17 joints"):
        attention.attention_maps(model, variables, np.zeros((17, 17, 3), np.float32))


def test_pictures(small, tmp_path, monkeypatch):
    model, variables, _ = small
    data, drawn = tiny.dataset(videos=2, frames=20), []
    plot = attention.plot_attention

    def remember(maps, tokens, path, **options):
        drawn.append((maps, tokens, options))
        plot(maps, tokens, path, **options)

    monkeypatch.setattr(attention, "plot_attention", remember)
    written = attention.draw_clip(
        model, variables, data, tiny.config(), tmp_path / "new", clip=4, layer=0, joint="neck"
    )
    assert [path.name for path in written] == [
        "spatial_layer_0_clip_4.png",
        "temporal_layer_0_clip_4.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    (spatial, joints, first), (temporal, frames, second) = drawn
    assert joints == data.skeleton.joint_names and frames is None
    assert (first["row"], second["row"]) == (None, joints.index("neck"))
    # Clips of 8 frames cover 20 frames in three windows; the fifth is the second of video 1.
    assert "v1 of s1, frames 8 to 15" in first["title"]
    expected = attention.attention_maps(model, variables, data.model_inputs()[28:36])
    for found in (*spatial, *temporal):
        (same,) = (other for other in expected if other.block == found.block)
        np.testing.assert_array_equal(found.weights, same.weights)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"clip": 6}, "--clip is 6, expected 0 to 5"),
        ({"frame": -1}, "--frame is -1, expected 0 to 7"),
        ({"joint": "tail"}, "--joint is 'tail', the joints are pelvis"),
    ],
)
def test_bad_choices_are_one_line(small, tmp_path, choice, message):
    model, variables, _ = small
    data = tiny.dataset(videos=2, frames=20)
    with pytest.raises(InputError, match=message):
        attention.draw_clip(model, variables, data, tiny.config(), tmp_path, **choice)


def test_weights_of_the_official_code(golden):
    arrays, config = golden("mixste")
    names = ("num_frame", "num_joints", "in_chans", "embed_dim_ratio", "depth", "num_heads")
    sizes = {name: config[name] for name in names}
    variables = from_torch("mixste", below(arrays, "param/"), **sizes)
    model = models.create("mixste", **sizes)
    keypoints = arrays["input/keypoints_2d"]
    _, stored = jax.jit(functools.partial(model.apply, mutable="attention"))(variables, keypoints)
    for level in range(sizes["depth"]):
        for kind, blocks in (("spatial", "STEblocks"), ("temporal", "TTEblocks")):
            (weights,) = stored["attention"][f"{blocks}_{level}"]["attn"]["weights"]
            expected = arrays[f"output/attention_{kind}_{level}"]
            np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)

    maps = attention.attention_maps(model, variables, keypoints[1])
    assert [(m.block, m.layer, m.spatial) for m in maps[-2:]] == [
        ("STEblocks_1", 1, True),
        ("TTEblocks_1", 1, False),
    ]
    # Rows of the merged axes: frames 9 to 17 are the second clip's.
    expected = arrays["output/attention_spatial_1"][9:18].mean(axis=1)
    np.testing.assert_allclose(maps[-2].weights, expected, rtol=0, atol=1e-5)
