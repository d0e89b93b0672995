"""The hand-written derivatives against automatic ones of the textbook formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import draw_variables
from scipy import stats

from jrepose.models import functional, layers

pytestmark = pytest.mark.usefixtures("numpy_ranks")


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def attention(q, k, v, scale):
    return jax.nn.softmax(scale * q @ k.swapaxes(-1, -2)) @ v


def layer_norm(x, scale, bias, epsilon):
    variance = jnp.var(x, axis=-1, keepdims=True)
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(variance + epsilon) * scale + bias


def gelu_linear(x, kernel, bias):
    return jax.nn.gelu(x, approximate=False) @ kernel + bias


def depthwise_conv(x, kernel, bias):
    height, width = kernel.shape[:2]
    x = jnp.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    place = lambda t, j: (x[:, t : t + height, j : j + width] * kernel[:, :, 0]).sum((1, 2))  # noqa: E731
    frames, joints = x.shape[1] - height + 1, x.shape[2] - width + 1
    rows = [jnp.stack([place(t, j) for j in range(joints)], axis=1) for t in range(frames)]
    return jnp.stack(rows, axis=1) + bias


CASES = {
    "linear, widening": (
        functional.linear,
        lambda x, kernel, bias: x @ kernel + bias,
        (normal(2, 3, 4), normal(4, 7, seed=1), normal(7, seed=2)),
    ),
    "linear, narrowing": (
        functional.linear,
        lambda x, kernel, bias: x @ kernel + bias,
        (normal(5, 6), normal(6, 2, seed=1), normal(2, seed=2)),
    ),
    "linear without bias": (
        lambda x, kernel: functional.linear(x, kernel, None),
        lambda x, kernel: x @ kernel,
        (normal(5, 6), normal(6, 6, seed=1)),
    ),
    "gelu": (functional.gelu, lambda x: jax.nn.gelu(x, approximate=False), (normal(50) * 3,)),
    "gelu_linear": (
        functional.gelu_linear,
        gelu_linear,
        (normal(2, 3, 8), normal(8, 5, seed=1), normal(5, seed=2)),
    ),
    "layer_norm": (
        lambda *operands: functional.layer_norm(*operands, 1e-3),
        lambda *operands: layer_norm(*operands, 1e-3),
        (normal(3, 2, 9) + 4, normal(9, seed=1), normal(9, seed=2)),
    ),
    "depthwise_conv": (
        functional.depthwise_conv,
        depthwise_conv,
        (normal(2, 5, 4, 3), normal(3, 5, 1, 3, seed=1), normal(3, seed=2)),
    ),
    "attention": (
        lambda *operands: functional.attention(*operands, 0.3),
        lambda *operands: attention(*operands, 0.3),
        (normal(2, 3, 6, 4), normal(2, 3, 5, 4, seed=1), normal(2, 3, 5, 4, seed=2)),
    ),
}


def pulled_back(functions, operands, seed=None):
    """Of each: the value and the gradients of its sum, weighted at random where there is a seed."""

    @jax.jit
    def compute(*operands):
        results = []
        for function in functions:
            value, pull = jax.vjp(function, *operands)
            g = jnp.ones_like(value) if seed is None else normal(*value.shape, seed=seed)
            results.append((value, pull(g)))
        return results

    return compute(*operands)


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    *functions, operands = CASES[case]
    (value, gradients), (expected, wanted) = pulled_back(functions, operands, seed=9)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives(case):
    """Gradients can themselves be differentiated, as gradient penalties need."""
    *functions, operands = CASES[case]

    def penalty(function, operands):
        def squared(*operands):
            gradients = jax.grad(lambda *o: jnp.sum(jnp.sin(function(*o))))(*operands)
            return jnp.sum(gradients**2)

        return jax.grad(squared)(*operands)

    found, wanted = jax.jit(lambda *o: [penalty(function, o) for function in functions])(*operands)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_gelu_far_from_zero():
    x = np.array([-40.0, -6.0, -1e-8, 0.0, 1e-8, 6.0, 40.0])
    slope = jax.jit(jax.vmap(jax.value_and_grad(functional.gelu)))
    values, slopes = slope(jnp.asarray(x, np.float32))
    np.testing.assert_allclose(values, x * stats.norm.cdf(x), rtol=1e-6, atol=2e-6)
    expected = stats.norm.cdf(x) + x * stats.norm.pdf(x)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=2e-6)


def test_layer_norm_of_constant_rows_is_finite():
    x = np.full((2, 4), 1e4, np.float32)
    norm = lambda x: functional.layer_norm(x, jnp.ones(4), jnp.ones(4), 1e-6)  # noqa: E731
    ((value, gradients),) = pulled_back([norm], [x], seed=0)
    np.testing.assert_array_equal(value, 1)
    assert np.all(np.isfinite(gradients[0]))


def test_attention_to_a_single_key_of_enormous_score():
    """Scores beyond float32's exponential: the weights are exactly 0 and 1."""
    q, k = np.full((3, 1), 1e3, np.float32), np.array([[-1], [1]], np.float32)
    v = np.asarray(normal(2, 5))
    attend = lambda *o: functional.attention(*o, 1.0)  # noqa: E731
    ((out, gradients),) = pulled_back([attend], [q, k, v])
    np.testing.assert_array_equal(out, np.tile(v[1], (3, 1)))
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("case", ["linear, narrowing", "gelu_linear", "layer_norm", "attention"])
def test_bfloat16_keeps_parameter_gradients_in_float32(case):
    function, textbook, operands = CASES[case]
    parameters = [x.ndim <= 2 and i > 0 for i, x in enumerate(operands)]
    half = [
        x if is_parameter else np.asarray(x).astype(jnp.bfloat16)
        for x, is_parameter in zip(operands, parameters, strict=True)
    ]
    ((value, gradients),) = pulled_back([function], half)
    ((expected, exact),) = pulled_back([textbook], operands)
    assert value.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        value, expected, rtol=0, atol=0.03 * np.abs(np.asarray(expected)).max()
    )
    for found, wanted, operand in zip(gradients, map(np.asarray, exact), half, strict=True):
        assert found.dtype == operand.dtype
        found = np.asarray(found).astype(np.float32)
        closeness = 0.05 * np.abs(wanted).max() + 1e-2
        np.testing.assert_allclose(found, wanted, rtol=0, atol=closeness)


# Few rows; many, in three parts; a prime number of them.
@pytest.mark.parametrize("rows, closeness", [(11, 1e-6), (3 * 1031, 1e-4), (2053, 1e-4)])
def test_the_kernel_gradient_is_the_same_on_other_devices(rows, closeness):
    x, g = normal(rows, 4), normal(rows, 3, seed=1)
    for operands in ((x, g), (g, x)):
        np.testing.assert_allclose(
            functional._transposed_product_on_cpu(*operands),
            functional._transposed_product(*operands),
            rtol=1e-6,
            atol=closeness,
        )


def test_a_kernel_gradient_is_summed_in_equal_parts():
    assert [functional._divisor(*given) for given in ((3093, 3), (2053, 2), (132192, 32))] == [
        3, 1, 32,
    ]  # fmt: skip
    assert functional._divisor(12, 0) == 1


def test_the_convolution_is_the_same_on_other_devices():
    x, kernel = normal(2, 5, 4, 3), normal(3, 5, 1, 3, seed=1)
    np.testing.assert_allclose(
        functional._correlation_on_cpu(x, kernel),
        functional._correlation_elsewhere(x, kernel),
        rtol=1e-5,
        atol=1e-5,
    )


def test_attention_weights_are_not_kept():
    """Gradient memory of a chain of attentions: a few arrays of weights, however long the chain."""
    heads, frames, channels, length = 8, 128, 4, 12

    def temporary_bytes(attention):
        def chained(x):
            for _ in range(length):
                x = attention(x, x, x, 0.5)
            return jnp.sum(x)

        program = jax.jit(jax.grad(chained)).lower(normal(heads, frames, channels)).compile()
        return program.memory_analysis().temp_size_in_bytes

    weights = 4 * heads * frames * frames
    assert temporary_bytes(functional.attention) < length * weights / 2
    assert temporary_bytes(attention) > length * weights / 2  # so the bound above means something


@pytest.mark.parametrize("rate", ["drop_rate", "attn_drop_rate"])
def test_dropout_takes_the_same_path_as_its_absence(rate):
    """A rate too small to drop anything: only the code that applies it differs."""
    x = normal(2, 5, 8)
    still = layers.Block(num_heads=2)
    variables = draw_variables(still, x)
    dropping = layers.Block(num_heads=2, **{rate: 1e-9})

    def loss(block, variables, **options):
        return jnp.sum(jnp.sin(block.apply(variables, x, **options)))

    rngs = {"dropout": jax.random.key(1)}
    slopes = (
        jax.value_and_grad(lambda v: loss(still, v)),
        jax.value_and_grad(lambda v: loss(dropping, v, train=True, rngs=rngs)),
    )
    (value, gradients), (other, others) = jax.jit(lambda v: [slope(v) for slope in slopes])(
        variables
    )
    np.testing.assert_allclose(other, value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), gradients, others
    )
