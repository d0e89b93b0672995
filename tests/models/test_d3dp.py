"""D3DP's denoiser against MixSTE's NumPy version, and its weights both ways."""

import jax
import numpy as np
import pytest
from models import mixste_oracle
from models.transformer_oracle import gelu

from jrepose import interop, models
from jrepose.errors import InputError
from jrepose.interop.d3dp import constants

SIZES = {"num_frame": 3, "num_joints": 4, "in_chans": 5, "embed_dim_ratio": 8, "depth": 1,
         "mlp_ratio": 1.5, "qkv_bias": True, "timestep": 7}  # fmt: skip
SMALL = {**SIZES, "num_heads": 2}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def weights():
    network = mixste_oracle.random_state_dict(RNG, **SMALL)
    for layer, (outputs, inputs) in {"time_mlp.1": (16, 8), "time_mlp.3": (8, 16)}.items():
        network[f"{layer}.weight"] = RNG.normal(size=(outputs, inputs)).astype(np.float32)
        network[f"{layer}.bias"] = RNG.normal(size=outputs).astype(np.float32)
    schedule = constants(models.create("d3dp", **SMALL))
    return schedule | {f"pose_estimator.{key}": value for key, value in network.items()}


def test_it_is_mixste_with_an_embedding_of_the_step(weights):
    noisy = RNG.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    steps = np.float32([[0, 3], [6, 6]])
    variables = interop.from_torch("d3dp", weights, **SMALL)
    found = jax.jit(models.create("d3dp", **SMALL).apply)(variables, noisy, steps)
    network = {key.removeprefix("pose_estimator."): value for key, value in weights.items()}
    for place in np.ndindex(2, 2):
        angles = steps[place] * 10000 ** (-np.arange(4) / 3)
        hidden = network["time_mlp.1.weight"] @ np.concatenate([np.sin(angles), np.cos(angles)])
        hidden = gelu(hidden + network["time_mlp.1.bias"])
        embedding = network["time_mlp.3.weight"] @ hidden + network["time_mlp.3.bias"]
        placed = {**network, "Spatial_pos_embed": network["Spatial_pos_embed"] + embedding}
        expected = mixste_oracle.forward(placed, noisy[place][None], **SMALL)[0]
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-5 * largest)


def test_weights_both_ways(weights):
    variables = interop.from_torch("d3dp", weights, **SMALL)
    back = interop.to_torch("d3dp", variables, **SMALL)
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(back[key], value)
        assert back[key].dtype == value.dtype
    assert interop.infer_hyperparameters("d3dp", weights) == SIZES
    with pytest.raises(InputError, match="betas: not the constant"):
        interop.from_torch("d3dp", {**weights, "betas": weights["betas"] + 1}, **SMALL)
    with pytest.raises(InputError, match="it is a d3dp's"):
        interop.infer_hyperparameters("mixste", weights)


def test_published_size():
    model = models.create("d3dp")
    shapes = jax.eval_shape(model.init, jax.random.key(0), *models.example_inputs(model))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 34_835_459
    assert constants(model)["betas"][0] == pytest.approx(4.1284e-5, rel=1e-4)
    assert constants(model)["alphas_cumprod"][-1] == pytest.approx(2.4288e-9, rel=1e-4)
    with pytest.raises(InputError, match="D3DP: timestep is 0"):
        models.create("d3dp", timestep=0)
