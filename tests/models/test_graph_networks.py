"""GraFormer and GCNdiff against an independent NumPy version and their own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from lifters import rates_in_training
from models import graph_oracle

from jrepose import interop, models
from jrepose.errors import InputError

PARENTS = (-1, 0, 1, 0, 3)
RNG = np.random.default_rng(0)
SIZES = {"parents": PARENTS, "hid_dim": 8, "depth": 2, "num_heads": 2}
DENOISER = {**SIZES, "in_chans": 4, "out_chans": 3}
MASK = np.array([True, True, False, True, True])


def test_denoiser_is_the_independent_version_and_its_weights_go_both_ways():
    weights = graph_oracle.random_state_dict(RNG, joints=5, **DENOISER)
    variables = interop.from_torch("gcndiff", weights, **DENOISER)
    model = models.create("gcndiff", **DENOISER)
    noisy = RNG.normal(size=(3, 5, 4)).astype(np.float32)
    steps = np.array([0.0, 7.0, 50.0], np.float32)
    found = jax.jit(lambda mask: model.apply(variables, noisy, steps, mask=mask))(MASK)
    expected = graph_oracle.forward(weights, noisy, steps=steps, mask=MASK, **DENOISER)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    back = interop.to_torch("gcndiff", variables, **DENOISER)
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(back[key], value)
    told = interop.infer_hyperparameters("gcndiff", weights)
    assert told == {"in_chans": 4, "out_chans": 3, "hid_dim": 8, "depth": 2}
    with pytest.raises(InputError, match="it is a gcndiff's"):
        interop.infer_hyperparameters("graformer", weights)
    with pytest.raises(InputError, match=r"gconv_input.weight is float32 \[3, 4, 8\], expected"):
        wrong = weights["gconv_input.weight"][:, 0]
        interop.from_torch("gcndiff", {**weights, "gconv_input.weight": wrong}, **DENOISER)
    with pytest.raises(InputError, match="unexpected gconv_layers.2.temb_proj.bias"):
        interop.from_torch(
            "gcndiff", {**weights, "gconv_layers.2.temb_proj.bias": np.ones(8, "f4")}, **DENOISER
        )


def test_lifter_is_the_independent_version():
    config = {**SIZES, "step_embedding": True}
    weights = graph_oracle.random_state_dict(
        RNG, joints=5, in_chans=2, out_chans=3, steps=False, **SIZES
    )
    variables = interop.from_torch("graformer", weights, **config)
    model = models.create("graformer", **config)
    keypoints = RNG.normal(size=(2, 2, 5, 3)).astype(np.float32)
    keypoints[1, 1] = 0  # a frame without a person

    def loss(variables):
        poses = model.apply(variables, keypoints)
        return jnp.sum(poses**2), poses

    (_, poses), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    frames = keypoints.reshape(4, 5, 3)[..., :2]
    expected = graph_oracle.forward(weights, frames, **SIZES).reshape(poses.shape)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # GraFormer's own files lack what DiffPose's have and do not use.
    own = {key: value for key, value in weights.items() if not key.startswith("temb.")}
    interop.from_torch("graformer", own, **SIZES)
    assert interop.infer_hyperparameters("graformer", own)["step_embedding"] is False
    assert interop.infer_hyperparameters("graformer", weights)["step_embedding"] is True


def test_equal_features_pass_a_finite_gradient():
    """As a new network has for a frame without keypoints: biases are 0 then."""
    model = models.create("graformer", **{**SIZES, "depth": 1})
    keypoints = jnp.zeros((1, 1, 5, 2))
    variables = jax.jit(model.init)(jax.random.key(0), keypoints)
    gradients = jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, keypoints) ** 2)))(variables)
    for path, leaf in flatten_dict(gradients, sep="/").items():
        assert np.isfinite(leaf).all(), path


def test_initialisation():
    model = models.create("gcndiff", **{**DENOISER, "hid_dim": 32})
    shapes = models.example_inputs(model)
    network = jax.jit(model.init)(
        jax.random.key(0), *(jnp.zeros(leaf.shape, leaf.dtype) for leaf in shapes)
    )["params"]["network"]
    kernel = network["gconv_layers_0"]["gconv1"]["kernel"]
    assert np.std(kernel) == pytest.approx(1 / (32 * 2**0.5), rel=0.1)
    assert not np.array_equal(kernel, network["gconv_layers_0"]["gconv2"]["kernel"])
    first, second = (network[f"atten_layers_{i}"] for i in range(2))
    np.testing.assert_array_equal(first["feed_forward"]["A_hat"], np.eye(5))
    # The released code copies one layer into all of its kind.
    copies = [layer["self_attn"][f"linears_{i}"] for layer in (first, second) for i in range(4)]
    for copy in copies[1:]:
        jax.tree.map(np.testing.assert_array_equal, copy, copies[0])
    for name in ("gconv1", "gconv2"):
        jax.tree.map(
            np.testing.assert_array_equal,
            first["feed_forward"][name],
            second["feed_forward"][name],
        )
    assert np.abs(copies[0]["kernel"]).max() <= 32**-0.5


def test_dropout_rates():
    rates = rates_in_training(models.create("graformer", **SIZES))
    for path, rate in rates.items():
        expected = 0.25 if path.count("/") == 2 and "atten" in path else 0.1
        assert rate == expected, path
    assert len(rates) == 2 * (3 + 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parents": (-1, 0, 5)}, "joint 2 has parent 5, expected -1 to 2"),
        ({"parents": (-1, 2, 1)}, "not those of one skeleton"),
        ({"parents": (-1, -1, 0)}, "not those of one skeleton"),
        ({"parents": ()}, "not those of one skeleton"),
        ({"hid_dim": 9}, "hid_dim 9 does not divide over num_heads 2"),
    ],
)
def test_what_cannot_be_is_refused(changes, said):
    for name in ("graformer", "gcndiff"):
        with pytest.raises(InputError, match=said):
            models.create(name, **{**SIZES, **changes})


def test_poses_that_do_not_fit_are_refused():
    model = models.create("gcndiff", **DENOISER)
    with pytest.raises(InputError, match="5 joints of 3 channels, the model expects 5 joints of 4"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 5, 3)), jnp.zeros(1))
    lifter = models.create("graformer", **SIZES)
    with pytest.raises(InputError, match="5 joints of 1 channels.*5 joints of at least 2"):
        jax.eval_shape(lifter.init, jax.random.key(0), jnp.zeros((1, 1, 5, 1)))
