"""PyTorch state dicts in and out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import dstformer_oracle, mixste_oracle

from jrepose import interop, models
from jrepose.errors import InputError
from jrepose.interop.fixtures.arrays import below

SMALL = {
    "dim_feat": 8,
    "dim_rep": 6,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 2,
    "maxlen": 4,
    "num_joints": 5,
    "qkv_bias": True,
    "att_fuse": True,
}


def small_state_dict(**changes):
    return dstformer_oracle.random_state_dict(np.random.default_rng(0), **{**SMALL, **changes})


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}, {"att_fuse": False}])
def test_round_trip_is_bit_exact(changes):
    weights = small_state_dict(**changes)
    variables = interop.from_torch("repose", weights, **{**SMALL, **changes})
    back = interop.to_torch("repose", variables)
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        assert back[key].dtype == np.float32 and back[key].flags.c_contiguous
        np.testing.assert_array_equal(back[key], value)


@pytest.mark.parametrize("name", ["repose", "motionbert"])
def test_round_trip_of_official_weights(golden, name):
    arrays, config = golden(name)
    weights = below(arrays, "param/")
    back = interop.to_torch(name, interop.from_torch(name, weights, **config["constructor"]))
    assert back.keys() == weights.keys()
    assert all(np.array_equal(back[key], weights[key]) for key in weights)


MIXSTE = {
    "num_frame": 4,
    "num_joints": 5,
    "in_chans": 2,
    "embed_dim_ratio": 8,
    "depth": 3,
    "mlp_ratio": 2.0,
    "qkv_bias": True,
}


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False, "depth": 1, "mlp_ratio": 1.5}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_mixste_round_trip_and_sizes(changes, prefix):
    sizes = {**MIXSTE, **changes}
    weights = mixste_oracle.random_state_dict(np.random.default_rng(0), **sizes)
    given = {prefix + key: value for key, value in weights.items()}
    found = interop.infer_hyperparameters("mixste", given)
    assert found == sizes
    back = interop.to_torch("mixste", interop.from_torch("mixste", given, num_heads=2, **found))
    assert back.keys() == weights.keys()
    assert all(np.array_equal(back[key], weights[key]) for key in weights)
    with pytest.raises(InputError, match="does not fit mixste: it is a repose's"):
        interop.infer_hyperparameters("mixste", small_state_dict())


def test_round_trip_of_official_mixste_weights(golden):
    arrays, config = golden("mixste")
    weights = below(arrays, "param/")
    sizes = interop.infer_hyperparameters("mixste", weights)
    assert all(config[name] == value for name, value in sizes.items())
    variables = interop.from_torch("mixste", weights, num_heads=config["num_heads"], **sizes)
    back = interop.to_torch("mixste", variables)
    assert back.keys() == weights.keys()
    assert all(np.array_equal(back[key], weights[key]) for key in weights)


def test_variables_fit_the_model():
    model = models.create("repose", **SMALL)
    expected = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *model.input_shape)))
    variables = interop.from_torch("repose", small_state_dict(), **SMALL)
    assert jax.tree.structure(variables) == jax.tree.structure(dict(expected))
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), variables, dict(expected))


def test_the_data_parallel_prefix_is_removed():
    weights = small_state_dict()
    wrapped = {f"module.{key}": value for key, value in weights.items()}
    plain = interop.from_torch("repose", weights, **SMALL)
    jax.tree.map(
        np.testing.assert_array_equal, plain, interop.from_torch("repose", wrapped, **SMALL)
    )


def test_every_problem_is_listed():
    weights = small_state_dict()
    del weights["head.bias"], weights["blocks_ts.1.mlp_t.fc2.weight"]
    weights["extra.weight"] = np.zeros(3, np.float32)
    weights["joints_embed.weight"] = weights["joints_embed.weight"].T
    weights["norm.bias"] = np.zeros(8, np.int64)
    with pytest.raises(InputError) as caught:
        interop.from_torch("repose", weights, **SMALL)
    message = str(caught.value)
    assert "missing blocks_ts.1.mlp_t.fc2.weight, head.bias" in message
    assert "unexpected extra.weight" in message
    assert "joints_embed.weight is float32 [3, 8], expected float32 [8, 3]" in message
    assert "norm.bias is int64 [8]" in message
    assert "\n" not in message


def test_weights_of_another_size_are_refused():
    with pytest.raises(InputError, match="temp_embed is float32 \\[1, 4, 1, 8\\], expected"):
        interop.from_torch("repose", small_state_dict(), **{**SMALL, "maxlen": 5})


def test_unknown_model():
    with pytest.raises(InputError, match="unknown model"):
        interop.to_torch("resnet", {"params": {}})


def test_half_precision_weights_are_read_as_float32():
    weights = {key: value.astype(np.float16) for key, value in small_state_dict().items()}
    variables = interop.from_torch("repose", weights, **SMALL)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
