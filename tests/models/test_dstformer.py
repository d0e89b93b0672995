"""DSTformer against the official outputs, an independent NumPy version and its own promises."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from lifters import compute, draw_variables, rates_in_training
from models import dstformer_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch

SMALL = {
    "dim_feat": 16,
    "dim_rep": 12,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2,
    "maxlen": 6,
    "num_joints": 5,
    "qkv_bias": True,
    "att_fuse": True,
}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)


def parameter_count(name, **hyperparameters):
    model = models.create(name, **hyperparameters)
    variables = jax.eval_shape(
        model.init, jax.random.key(0), jnp.zeros((1, 1, *model.input_shape[1:]))
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.fixture(scope="module")
def small():
    model = models.create("repose", **SMALL)
    return model, draw_variables(model, KEYPOINTS)


@pytest.mark.parametrize(
    "name, hyperparameters, count",
    [
        ("motionbert_lite", {}, 16_001_549),
        ("repose", {"mlp_ratio": 2}, 10_748_429),
    ],
)
def test_published_parameter_counts(name, hyperparameters, count):
    assert parameter_count(name, **hyperparameters) == count


@pytest.mark.parametrize(
    "changes, lengths",
    [
        ({}, (6, 1)),
        ({"att_fuse": False, "qkv_bias": False, "qk_scale": 0.3, "mlp_ratio": 1.5}, (4,)),
    ],
)
def test_independent_numpy_version(changes, lengths):
    hyperparameters = {**SMALL, **changes}
    weights = dstformer_oracle.random_state_dict(np.random.default_rng(1), **hyperparameters)
    model = models.create("repose", **hyperparameters)
    variables = from_torch("repose", weights, **hyperparameters)

    @jax.jit
    def both(keypoints):
        poses = model.apply(variables, keypoints)
        return poses, model.apply(variables, keypoints, return_representation=True)

    for frames in lengths:
        wanted = dstformer_oracle.forward(weights, KEYPOINTS[:, :frames], **hyperparameters)
        for found, expected in zip(both(KEYPOINTS[:, :frames]), wanted, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_clips_that_do_not_fit_are_refused(small):
    model, variables = small
    with pytest.raises(InputError, match="7 frames.*6"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 7, 5, 3)))
    with pytest.raises(InputError, match="4 joints of 3 channels.*5 joints of 3"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 6, 4, 3)))
    with pytest.raises(InputError, match="5 joints of 2 channels.*5 joints of 3"):
        jax.eval_shape(model.apply, variables, np.zeros((1, 6, 5, 2)))


def test_initialisation():
    model = models.create("repose", **{**SMALL, "dim_feat": 64, "depth": 1})
    params = jax.device_get(jax.jit(model.init)(jax.random.key(3), KEYPOINTS))["params"]
    kernel = params["blocks_ts_0"]["temporal"]["attn"]["qkv"]["kernel"]
    assert np.std(kernel) == pytest.approx(0.02, rel=0.03)
    assert np.abs(kernel).max() > 0.06  # not cut at two standard deviations
    assert np.std(params["temp_embed"]) == pytest.approx(0.02, rel=0.15)
    assert np.std(params["pos_embed"]) == pytest.approx(0.02, rel=0.15)
    assert not np.any(params["head"]["bias"])
    assert not np.any(params["ts_attn_0"]["kernel"])
    np.testing.assert_array_equal(params["ts_attn_0"]["bias"], [0.5, 0.5])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_bfloat16_computes_in_bfloat16_and_returns_float32(small):
    model, variables = small
    poses = compute(model, variables, KEYPOINTS)
    half = models.create("repose", **SMALL, dtype="bfloat16")
    rounded, captured = compute(half, variables, KEYPOINTS, capture_intermediates=True)
    activations = captured["intermediates"]
    assert activations["blocks_st_1"]["__call__"][0].dtype == jnp.bfloat16
    assert rounded.dtype == jnp.float32
    assert np.any(rounded != poses)
    np.testing.assert_allclose(rounded, poses, rtol=0, atol=0.03 * np.abs(poses).max())
    params = jax.eval_shape(half.init, jax.random.key(0), KEYPOINTS)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_rematerialisation_changes_nothing():
    sizes = {**SMALL, "depth": 1}
    model = models.create("repose", **sizes)
    variables = draw_variables(model, KEYPOINTS)

    def gradient(model):
        return jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, KEYPOINTS) ** 2)))(variables)

    remat = models.create("repose", **sizes, remat=True)
    jaxpr = str(jax.make_jaxpr(jax.grad(lambda v: jnp.sum(remat.apply(v, KEYPOINTS))))(variables))
    assert "remat" in jaxpr or "checkpoint" in jaxpr
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max() + 1e-9),
        gradient(model),
        gradient(remat),
    )


def test_dropout_draws_only_when_training(small):
    still, variables = small
    program = str(jax.make_jaxpr(still.apply)(variables, KEYPOINTS))
    for rate in ("drop_rate", "attn_drop_rate", "drop_path_rate"):
        model = models.create("repose", **SMALL, **{rate: 0.4})
        assert str(jax.make_jaxpr(model.apply)(variables, KEYPOINTS)) == program, rate

        @jax.jit
        def train(key, model=model):
            return model.apply(variables, KEYPOINTS, train=True, rngs={"dropout": key})

        one, other, again = (train(jax.random.key(seed)) for seed in (0, 1, 0))
        assert np.any(one != other), rate
        np.testing.assert_array_equal(one, again)


def test_stochastic_depth_decides_per_frame(small):
    """A branch is left out for all joints of a frame at once, in both orders of attention."""
    _, variables = small
    model = models.create("repose", **SMALL, drop_path_rate=0.5)
    _, captured = compute(
        model,
        variables,
        KEYPOINTS,
        train=True,
        rngs={"dropout": jax.random.key(1)},
        capture_intermediates=lambda module, _: type(module).__name__ == "Dropout",
    )
    # The last level's rate is the full one; its Dropout_0 and Dropout_1 are the residual branches.
    for stream, frame_axis in (("spatial", 1), ("temporal", 2)):
        block = captured["intermediates"]["blocks_st_1"][stream]
        for branch in ("Dropout_0", "Dropout_1"):
            kept = np.moveaxis(np.asarray(block[branch]["__call__"][0]), frame_axis, 1) != 0
            kept = kept.reshape(2, 6, -1)
            np.testing.assert_array_equal(kept.all(-1), kept.any(-1))
            assert 0 < kept.all(-1).sum() < 12


def test_stochastic_depth_grows_over_the_levels():
    sizes = {**SMALL, "depth": 3}
    rates = rates_in_training(models.create("repose", **sizes, drop_rate=0.1, drop_path_rate=0.4))
    for level, expected in enumerate((0.0, 0.2, 0.4)):
        for stream in ("blocks_st", "blocks_ts"):
            for axis in ("spatial", "temporal"):
                for branch in ("Dropout_0", "Dropout_1"):
                    assert rates.pop(f"{stream}_{level}/{axis}/{branch}") == pytest.approx(expected)
    assert set(rates.values()) == {0.1}


def test_kept_branches_are_scaled_up(small):
    _, variables = small
    model = models.create("repose", **{**SMALL, "drop_path_rate": 0.75})
    keep = lambda module, _: type(module).__name__ in ("Dropout", "Mlp")  # noqa: E731
    _, captured = compute(
        model,
        variables,
        KEYPOINTS,
        train=True,
        rngs={"dropout": jax.random.key(2)},
        capture_intermediates=keep,
    )
    block = captured["intermediates"]["blocks_ts_1"]["spatial"]
    branch = np.asarray(block["mlp"]["__call__"][0])
    dropped = np.asarray(block["Dropout_1"]["__call__"][0])
    np.testing.assert_allclose(dropped[dropped != 0], 4 * branch[dropped != 0], rtol=1e-6)


def test_create_from_a_config():
    config = ml_collections.ConfigDict({"name": "repose", "depth": 1, "drop_rate": 0})
    model = models.create(**config)
    assert (model.depth, model.drop_rate, model.dim_feat) == (1, 0.0, 256)
    assert models.create("motionbert", dtype="bfloat16").dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "name, hyperparameters, message",
    [
        ("reprose", {}, "unknown model 'reprose'; known: repose, motionbert"),
        ("repose", {"dimfeat": 3}, "no hyperparameter 'dimfeat'; it has dim_in, dim_out, dim_feat"),
        ("repose", {"depth": "5"}, "depth is '5', expected int"),
        ("repose", {"depth": 0}, "depth is 0"),
        ("repose", {"num_heads": 7}, "dim_feat 256 .*num_heads 7"),
        ("repose", {"drop_rate": 1}, "drop_rate is 1.0"),
        ("repose", {"dtype": "float16"}, "dtype is 'float16', expected 'float32' or 'bfloat16'"),
        ("repose", {"remat": 1}, "remat is 1, expected bool"),
    ],
)
def test_create_refuses(name, hyperparameters, message):
    with pytest.raises(InputError, match=message):
        models.create(name, **hyperparameters)
