"""P-STMO against an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from lifters import compute, draw_variables, rates_in_training
from models import pstmo_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch
from jrepose.interop.names import usual_layout
from jrepose.interop.pstmo import torch_key
from jrepose.models.layers import DeviationNorm
from jrepose.models.pstmo import MaskedPSTMO, Refinement, masked_frames

SMALL = {
    "frames": 10,
    "num_joints": 5,
    "depth": 2,
    "channel": 8,
    "num_heads": 2,
    "mlp_ratio": 1.5,
    "stride_num": (1, 2, 3, 2),
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 10, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    sizes = {**SMALL, "num_joints_out": 5}
    weights = pstmo_oracle.random_state_dict(np.random.default_rng(1), **SMALL)
    return models.create("pstmo", **sizes), from_torch("pstmo", weights, **sizes), weights


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_independent_numpy_version(small):
    model, variables, weights = small
    outputs = jax.jit(model.apply)(variables, KEYPOINTS)
    poses, sequence = pstmo_oracle.forward(weights, KEYPOINTS[..., :2], **SMALL)
    assert outputs["poses"].shape == (2, 1, 5, 3)
    close(outputs["poses"], poses)
    close(outputs["sequence"], sequence)


def test_the_auto_encoder_completes_what_is_masked():
    sizes = {name: value for name, value in SMALL.items() if name != "stride_num"}
    model = MaskedPSTMO(**sizes)
    weights = pstmo_oracle.random_masked_state_dict(np.random.default_rng(1), **sizes)
    is_masked = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 1], bool)
    joints = np.random.default_rng(2).random((10, 5)) < 0.3
    masks = np.flatnonzero(~is_masked), np.flatnonzero(is_masked), joints
    shapes = flatten_dict(jax.eval_shape(model.init, jax.random.key(0), KEYPOINTS, *masks))
    keys = {path: torch_key(path[1:]) for path in shapes}
    assert set(keys.values()) == set(weights)
    variables = unflatten_dict(
        {p: usual_layout(p).to_flax(weights[key]) for p, key in keys.items()}
    )
    apply = jax.jit(model.apply)
    completed = apply(variables, KEYPOINTS, *masks)
    expected = pstmo_oracle.complete(weights, KEYPOINTS[..., :2], *masks, **sizes)
    close(completed, expected)
    # What is masked is not seen: only the encoder's statistics would see whole frames.
    hidden = KEYPOINTS.copy()
    hidden[:, is_masked], hidden[:, joints] = 7, 8
    np.testing.assert_array_equal(apply(variables, hidden, *masks), completed)


def test_layers_begin_as_copies():
    model = models.create("pstmo", **SMALL)
    params = jax.jit(model.init)(jax.random.key(0), KEYPOINTS)["params"]
    encoder, aggregator = params["Transformer"], params["Transformer_reduce"]
    first = encoder["layers_0"]["self_attn"]["linears_0"]
    for stack, number in ((encoder, 0), (encoder, 1)):
        for linear in stack[f"layers_{number}"]["self_attn"].values():
            jax.tree.map(np.testing.assert_array_equal, linear, first)
    feed_forward = [
        stack[f"layers_{number}"]["feed_forward_w_1"]["kernel"].ravel()
        for stack in (encoder, aggregator)
        for number in (0, 1)
    ]
    np.testing.assert_array_equal(feed_forward[0], feed_forward[1])
    assert np.any(feed_forward[2] != feed_forward[3])
    others = aggregator["layers_3"]["self_attn"]["linears_2"]
    assert np.any(others["kernel"] != first["kernel"])
    for leaf in jax.tree.leaves((first, others)):
        assert 0 < np.abs(leaf).max() <= 8**-0.5
    assert 0.7 < np.std(encoder["pos_embedding"]) < 1.3


def test_norm_by_the_unbiased_deviation():
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    x[3] = 1
    norm = DeviationNorm()

    @jax.jit
    def compute(x):
        variables = norm.init(jax.random.key(0), x)
        normed, pull = jax.vjp(lambda x: norm.apply(variables, x), x)
        return normed, pull(jnp.ones_like(normed))[0]

    normed, gradient = compute(x)
    expected = (x - x.mean(-1, keepdims=True)) / (x.std(-1, ddof=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(normed, expected, atol=1e-6)
    assert np.isfinite(gradient).all()  # also where there is no deviation


def test_refinement_mixes_x_and_y():
    rng = np.random.default_rng(0)
    poses, seen = rng.normal(size=(2, 2, 1, 5, 3)).astype(np.float32)
    model = Refinement(hidden_dim=7)
    refined = compute(model, draw_variables(model, poses, seen), poses, seen)
    np.testing.assert_array_equal(refined[..., 2], poses[..., 2])
    share = (refined - seen)[..., :2] / (poses - seen)[..., :2]
    assert 0 < share.min() and share.max() < 1 and np.ptp(share) > 0.01


def test_dropout_is_everywhere():
    rates = rates_in_training(models.create("pstmo", **SMALL, drop_rate=0.3))
    assert set(rates.values()) == {0.3}
    for name in ("encoder", "Transformer/layers_1", "Transformer_reduce/layers_3/self_attn"):
        assert any(path.startswith(f"{name}/Dropout") for path in rates)


@pytest.mark.parametrize(
    ("frames", "share", "expected"), [(243, 0.8, 194), (81, 0.7, 56), (27, 0.8, 21), (3, 1.0, 2)]
)
def test_masked_frames(frames, share, expected):
    assert masked_frames(frames, share) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 11, "stride_num": (3, 3)}, r"leaves 2 of 11 frames, expected 1"),
        ({"frames": 351}, r"leaves 2 of 351 frames.*released ones are \(3, 9, 13\)"),
        ({"stride_num": (0, 3)}, "expected numbers >= 1"),
        ({"channel": 12}, "does not divide over num_heads 8"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        models.create("pstmo", **changes)


def test_clips_that_do_not_fit_are_refused(small):
    model, variables, _ = small
    with pytest.raises(InputError, match="clip of 9 frames.*exactly 10"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[:, :9])
    with pytest.raises(InputError, match="4 joints of 3 channels.*5 joints of at least 2"):
        jax.eval_shape(model.apply, variables, KEYPOINTS[:, :, :4])
