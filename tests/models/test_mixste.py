"""MixSTE against the official outputs, an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import compute, rates_in_training
from models import mixste_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch

SMALL = {
    "num_frame": 6,
    "num_joints": 5,
    "embed_dim_ratio": 16,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2,
    "qkv_bias": True,
    "drop_path_rate": 0,
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    """Weights that are all different from their first values, and the model with them."""
    weights = mixste_oracle.random_state_dict(np.random.default_rng(1), **SMALL)
    return models.create("mixste", **SMALL), from_torch("mixste", weights, **SMALL)


@pytest.mark.parametrize(
    "changes, count",
    [
        ({"num_frame": 1}, 33_659_907),
        ({"num_frame": 43, "num_joints": 15}, 33_680_387),
        ({"depth": 10}, 42_194_947),
        ({"embed_dim_ratio": 256}, 8_503_299),
    ],
)
def test_published_parameter_counts(changes, count):
    model = models.create("mixste", **changes)
    clip = jnp.zeros((1, *model.input_shape))
    variables = jax.eval_shape(model.init, jax.random.key(0), clip)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize(
    "depth, width, frames",
    # One layer tells widths and frames as well as the ablation's eight.
    [(10, 64, 27), (1, 128, 27), (1, 256, 27), (1, 512, 27), (1, 640, 27)]
    + [(1, 512, 81), (1, 512, 128), (1, 512, 243), (1, 512, 300)],
)
def test_every_size_of_the_ablation(depth, width, frames):
    model = models.create("mixste", depth=depth, embed_dim_ratio=width, num_frame=frames)
    clip = jax.ShapeDtypeStruct((2, *model.input_shape), jnp.float32)
    poses, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), clip)
    assert poses.shape == (2, frames, 17, 3)


@pytest.mark.parametrize(
    "changes", [{}, {"qkv_bias": False, "qk_scale": 0.3, "mlp_ratio": 1.5, "in_chans": 3}]
)
def test_independent_numpy_version(changes):
    hyperparameters = {**SMALL, **changes}
    channels = hyperparameters.get("in_chans", 2)
    weights = mixste_oracle.random_state_dict(np.random.default_rng(1), **hyperparameters)
    model = models.create("mixste", **hyperparameters)
    variables = from_torch("mixste", weights, **hyperparameters)
    expected = mixste_oracle.forward(weights, KEYPOINTS[..., :channels], **hyperparameters)
    poses = compute(model, variables, KEYPOINTS)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5)


def test_confidence_is_not_looked_at(small):
    model, variables = small
    blind = np.concatenate([KEYPOINTS[..., :2], np.zeros_like(KEYPOINTS[..., :1])], axis=-1)
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(variables, KEYPOINTS), apply(variables, blind))
    without = jax.eval_shape(model.apply, variables, KEYPOINTS[..., :2])
    assert without.shape == KEYPOINTS.shape


def test_clips_that_do_not_fit_are_refused(small):
    model, variables = small
    for frames in (5, 7):
        with pytest.raises(InputError, match=f"clip of {frames} frames.*exactly 6"):
            jax.eval_shape(model.apply, variables, np.zeros((1, frames, 5, 2)))
    with pytest.raises(InputError, match="4 joints of 2 channels.*5 joints of at least 2"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 6, 4, 2)))
    with pytest.raises(InputError, match="5 joints of 1 channels.*5 joints of at least 2"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 6, 5, 1)))


def test_initialisation():
    model = models.create("mixste", **{**SMALL, "embed_dim_ratio": 64, "depth": 1})
    params = jax.device_get(jax.jit(model.init)(jax.random.key(3), KEYPOINTS))["params"]
    block = params["STEblocks_0"]
    for layer, inputs in (
        (block["attn"]["qkv"], 64),
        (block["mlp"]["fc2"], 128),
        (params["head_1"], 64),
        (params["Spatial_patch_to_embedding"], 2),
    ):
        for leaf in jax.tree.leaves(layer):
            bound = inputs**-0.5
            assert np.abs(leaf).max() <= bound
            if leaf.size >= 64:
                assert np.abs(leaf).max() > 0.9 * bound
                assert np.std(leaf) == pytest.approx(bound / 3**0.5, rel=0.2)
    assert not np.any(params["Spatial_pos_embed"]) and not np.any(params["Temporal_pos_embed"])
    assert np.all(params["Temporal_norm"]["scale"] == 1)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_bfloat16_computes_in_bfloat16_and_returns_float32(small):
    model, variables = small
    poses = compute(model, variables, KEYPOINTS)
    half = models.create("mixste", **SMALL, dtype="bfloat16")
    rounded, captured = compute(half, variables, KEYPOINTS, capture_intermediates=True)
    assert captured["intermediates"]["TTEblocks_1"]["__call__"][0].dtype == jnp.bfloat16
    assert rounded.dtype == jnp.float32 and np.any(rounded != poses)
    np.testing.assert_allclose(rounded, poses, rtol=0, atol=0.03 * np.abs(poses).max())


def test_rematerialisation_changes_nothing():
    sizes = {**SMALL, "depth": 1}
    weights = mixste_oracle.random_state_dict(np.random.default_rng(1), **sizes)
    model, variables = models.create("mixste", **sizes), from_torch("mixste", weights, **sizes)

    def gradient(model):
        return jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, KEYPOINTS) ** 2)))(variables)

    remat = models.create("mixste", **sizes, remat=True)
    jaxpr = str(jax.make_jaxpr(jax.grad(lambda v: jnp.sum(remat.apply(v, KEYPOINTS))))(variables))
    assert "remat" in jaxpr or "checkpoint" in jaxpr
    jax.tree.map(
        # The keys' biases have no gradient but rounding.
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max() + 1e-4),
        gradient(model),
        gradient(remat),
    )


def test_stochastic_depth_grows_over_the_levels():
    sizes = {**SMALL, "depth": 3, "drop_path_rate": 0.4}
    rates = rates_in_training(models.create("mixste", **sizes, drop_rate=0.1))
    for level, expected in enumerate((0.0, 0.2, 0.4)):
        for kind in ("STE", "TTE"):
            for branch in ("Dropout_0", "Dropout_1"):
                assert rates.pop(f"{kind}blocks_{level}/{branch}") == pytest.approx(expected)
    assert set(rates.values()) == {0.1}


def test_stochastic_depth_decides_per_frame_or_joint(small):
    still, variables = small
    model = models.create("mixste", **{**SMALL, "drop_path_rate": 0.5})
    poses, captured = compute(
        model,
        variables,
        KEYPOINTS,
        train=True,
        rngs={"dropout": jax.random.key(1)},
        capture_intermediates=lambda module, _: type(module).__name__ in ("Dropout", "Mlp"),
    )
    assert np.abs(poses - compute(still, variables, KEYPOINTS)).max() > 1e-3
    for kind, rows in (("STE", 6), ("TTE", 5)):
        first = captured["intermediates"][f"{kind}blocks_0"]
        assert np.all(first["Dropout_1"]["__call__"][0] == first["mlp"]["__call__"][0])
        # The last level's rate is the full one.
        last = captured["intermediates"][f"{kind}blocks_1"]
        masks = []
        for branch in ("Dropout_0", "Dropout_1"):
            kept = np.asarray(last[branch]["__call__"][0]) != 0
            assert kept.shape[:2] == (2, rows)
            kept = kept.reshape(2 * rows, -1)
            np.testing.assert_array_equal(kept.all(-1), kept.any(-1))
            assert 0 < kept.all(-1).sum() < 2 * rows
            masks.append(kept.all(-1))
        assert np.any(masks[0] != masks[1])
        branch, dropped = (np.asarray(last[n]["__call__"][0]) for n in ("mlp", "Dropout_1"))
        np.testing.assert_allclose(dropped[dropped != 0], 2 * branch[dropped != 0], rtol=1e-6)


@pytest.mark.parametrize(
    "hyperparameters, message",
    [
        ({"num_frame": 0}, "MixSTE: num_frame is 0, expected >= 1"),
        ({"num_heads": 7}, "embed_dim_ratio 512 does not divide over num_heads 7"),
        ({"drop_path_rate": 1}, "drop_path_rate is 1.0"),
        ({"maxlen": 81}, "no hyperparameter 'maxlen'; it has num_frame, num_joints"),
    ],
)
def test_create_refuses(hyperparameters, message):
    with pytest.raises(InputError, match=message):
        models.create("mixste", **hyperparameters)
