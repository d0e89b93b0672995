"""BatchNorm as PyTorch has it, and convolutions over frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamNotFoundError, ScopeParamShapeError
from lifters import compute, draw_variables

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.layers import BatchNorm, Linear, TemporalConv

FEATURES = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, size=(4, 5, 6)), jnp.float32)
ROWS = np.asarray(FEATURES, np.float64).reshape(-1, 6)


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(1)
    draw = lambda low, high: rng.uniform(low, high, 6).astype(np.float32)  # noqa: E731
    return {
        "params": {"scale": draw(0.5, 2), "bias": draw(-1, 1)},
        "batch_stats": {"mean": draw(-1, 1), "var": draw(0.5, 2)},
    }


def normalised(variables, mean, var):
    scaled = (np.asarray(FEATURES, np.float64) - mean) / np.sqrt(var + 1e-5)
    return scaled * variables["params"]["scale"] + variables["params"]["bias"]


def test_running_statistics_normalise_and_stay(variables):
    y, state = BatchNorm().apply(variables, FEATURES, True, mutable="batch_stats")
    old = variables["batch_stats"]
    np.testing.assert_allclose(y, normalised(variables, old["mean"], old["var"]), atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, state["batch_stats"], old))


def test_the_batch_normalises_and_is_remembered(variables):
    """The biased variance normalises, the unbiased one is remembered; the momentum is traced."""
    apply = jax.jit(
        lambda momentum: BatchNorm().apply(
            variables, FEATURES, False, momentum, mutable="batch_stats"
        )
    )
    old = variables["batch_stats"]
    for momentum in (0.1, 0.001):
        y, state = apply(momentum)
        np.testing.assert_allclose(y, normalised(variables, ROWS.mean(0), ROWS.var(0)), atol=1e-5)
        for name, batch in (("mean", ROWS.mean(0)), ("var", ROWS.var(0, ddof=1))):
            expected = (1 - momentum) * old[name] + momentum * batch
            np.testing.assert_allclose(state["batch_stats"][name], expected, rtol=1e-5, atol=1e-6)
    # Whoever does not ask for the statistics gets the features alone.
    np.testing.assert_allclose(BatchNorm().apply(variables, FEATURES, False), y, atol=1e-5)


def test_devices_share_statistics(variables):
    """On four of them a batch is normalised, and remembered, as on one."""
    norm = BatchNorm(axis_name="devices")

    def apply(features):
        return norm.apply(variables, features, False, mutable="batch_stats")

    y, state = jax.jit(jax.vmap(apply, axis_name="devices"))(FEATURES[:, None])
    alone, expected = BatchNorm().apply(variables, FEATURES, False, mutable="batch_stats")
    np.testing.assert_allclose(y[:, 0], alone, atol=1e-5)
    for name, leaf in expected["batch_stats"].items():
        for device in range(4):
            np.testing.assert_allclose(
                state["batch_stats"][name][device], leaf, rtol=1e-5, atol=1e-6
            )


def test_statistics_are_float32_in_bfloat16(variables):
    features = jnp.asarray(
        np.random.default_rng(2).normal(100.0, 1.0, size=(4096, 1)), jnp.bfloat16
    )
    rounded = np.asarray(features, np.float64)
    norm = BatchNorm(dtype=jnp.bfloat16)

    @jax.jit
    def first(features):
        fresh = norm.init(jax.random.key(0), features, True)
        return norm.apply(fresh, features, False, 1.0, mutable="batch_stats")

    y, state = first(features)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(state["batch_stats"]["mean"], rounded.mean(0), rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["var"], rounded.var(0, ddof=1), rtol=1e-5)


def test_one_value_has_no_variance(variables):
    with pytest.raises(InputError, match="one value per channel"):
        BatchNorm().apply(variables, FEATURES[:1, 0], False)


@pytest.mark.parametrize("dilation", [1, 9])
def test_long_clips_are_convolved_with_fewer_products(dilation):
    """Outputs and gradients, against float64; the last outputs make no group of four.

    Such sums round by some 1e-5 of the outputs' spread, four times as much as the plain one's.
    """
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 640, 256)).astype(np.float32)
    kernel, bias = (rng.normal(size=s).astype(np.float32) / 16 for s in ((3, 256, 256), (256,)))
    count = 640 - 2 * dilation
    assert count % (4 * dilation)

    @jax.jit
    def both(x, kernel, bias):
        y, of = jax.vjp(lambda *a: functional.temporal_conv(*a, dilation=dilation), x, kernel, bias)
        return y, of(jnp.ones_like(y))

    y, gradients = both(x, kernel, bias)
    taps = [x[:, tap * dilation : tap * dilation + count].astype(float) for tap in range(3)]
    expected = sum(part @ weights for part, weights in zip(taps, kernel, strict=True)) + bias
    np.testing.assert_allclose(y, expected, atol=1e-4)
    of_kernel = [np.repeat(part.sum((0, 1))[:, None], 256, axis=1) for part in taps]
    np.testing.assert_allclose(gradients[1], np.stack(of_kernel), atol=2e-3)
    np.testing.assert_allclose(gradients[2], np.full(256, 2 * count), rtol=1e-6)


def test_a_long_convolution_whose_length_is_a_symbol():
    kernel = np.random.default_rng(0).normal(size=(3, 256, 256)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(1, 1030, 256)).astype(np.float32)
    convolve = jax.jit(lambda x: functional.temporal_conv(x, kernel, None))
    shape = jax.export.symbolic_shape("batch, frames, 256", constraints=("frames >= 9",))
    exported = jax.export.export(convolve)(jax.ShapeDtypeStruct(shape, jnp.float32))
    np.testing.assert_allclose(exported.call(x), convolve(x), atol=1e-3)


@pytest.mark.parametrize(
    "window, stride, dilation", [(3, 3, 1), (3, 1, 4), (3, 2, 3), (1, 1, 1), (3, 3, 2), (5, 5, 1)]
)
def test_temporal_convolution(window, stride, dilation):
    """Against a loop over outputs and taps, also where the last frames do not fill a window."""
    x = np.random.default_rng(3).normal(size=(2, 16, 3)).astype(np.float32)
    layer = TemporalConv(4, window, stride, dilation, use_bias=True)
    params = draw_variables(layer, x)["params"]
    assert params["kernel"].shape == (window, 3, 4)
    y = compute(layer, {"params": params}, x)
    expected = [
        sum(x[:, first + dilation * tap] @ params["kernel"][tap] for tap in range(window))
        + params["bias"]
        for first in range(0, 16 - dilation * (window - 1), stride)
    ]
    np.testing.assert_allclose(y, np.stack(expected, axis=1), atol=1e-5)


def test_parameters_of_another_shape_are_refused():
    layer, x = Linear(3), np.zeros((1, 2), np.float32)
    params = {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}
    jax.eval_shape(layer.apply, {"params": params}, x)
    for name, shape in (("kernel", (2, 1)), ("kernel", (3, 3)), ("bias", (1,))):
        other = {**params, name: np.zeros(shape, np.float32)}
        with pytest.raises(ScopeParamShapeError, match=name):
            jax.eval_shape(layer.apply, {"params": other}, x)
    with pytest.raises(ScopeParamNotFoundError, match="bias"):
        jax.eval_shape(layer.apply, {"params": {"kernel": params["kernel"]}}, x)
