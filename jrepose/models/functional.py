"""The layers' arithmetic, with derivatives written by hand where they save time and memory.

Automatic differentiation keeps what the forward pass computes until the backward pass reads
it; at 243 frames that is half of a training step's memory, and moving it takes longer than
computing it again.  The derivatives here keep operands and results and recompute the rest.
They are of reverse mode: `jax.grad` and `jax.vjp`, also of each other, but not `jax.jvp`.

Arrays are float32 or bfloat16 and so are their gradients.  Parameters and their gradients,
sums, softmax and the statistics of LayerNorm are float32.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Float32

from jrepose.errors import InputError

# Parameters may come straight from a file.
Parameter = Array | np.ndarray


@jax.custom_vjp
def linear(
    x: Float[Array, "*batch inputs"],
    kernel: Float32[Parameter, "inputs outputs"],
    bias: Float32[Parameter, " outputs"] | None,
) -> Float[Array, "*batch outputs"]:
    """`x @ kernel + bias` in the precision of `x`."""
    y = _rows(x) @ kernel.astype(x.dtype)
    y = y if bias is None else y + in_rank_of(bias, y).astype(x.dtype)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _rows(x):
    """`[rows, channels]`, or as it is where a size is a symbol.

    On a GPU XLA gives arrays of more axes orders in memory of its own around every activation,
    and copies them to and fro.
    """
    symbolic = any(map(jax.export.is_symbolic_dim, x.shape))
    return x if symbolic else x.reshape(-1, x.shape[-1])


def in_rank_of(small, x):
    """An array with leading axes of length one until it has as many as `x`."""
    return jnp.expand_dims(small, tuple(range(x.ndim - small.ndim)))


def _linear_forward(x, kernel, bias):
    return linear(x, kernel, bias), (x, kernel, bias)


def _linear_backward(kept, g):
    x, kernel, bias = kept
    dx = (_rows(g) @ kernel.astype(g.dtype).T).reshape(x.shape)
    return dx, *_parameter_gradients(x, g, bias)


linear.defvjp(_linear_forward, _linear_backward)


def _parameter_gradients(x, g, bias):
    """Gradients of a linear layer's kernel and bias."""
    rows, gradients = _rows(x), _rows(g)
    kernel = jax.lax.platform_dependent(
        rows, gradients, cpu=_transposed_product_on_cpu, default=_transposed_product
    )
    return kernel, None if bias is None else jnp.sum(gradients, axis=0, dtype=jnp.float32)


def _transposed_product(x, g):
    """`x^T g`, summed in parts: a GPU has few blocks for so small a result, and XLA's way of
    sharing them writes both operands down again where the rows are no multiple of its own."""
    parts = _divisor(len(x), min(32, len(x) // 1024))
    x, g = (part.reshape(parts, -1, part.shape[-1]) for part in (x, g))
    products = jnp.einsum("pri,pro->pio", x, g, preferred_element_type=jnp.float32)
    return jnp.sum(products, axis=0)


def _divisor(count, largest):
    """The largest divisor of a count that is no larger; 1 where there is none."""
    return next((parts for parts in range(largest, 1, -1) if count % parts == 0), 1)


def _transposed_product_on_cpu(x, g):
    """The same, where the compiler's best product takes no transposed operand: writes the
    narrower one down transposed.  The barriers keep the compiler from undoing that."""
    if x.shape[1] > g.shape[1]:
        return jax.lax.optimization_barrier(_transposed_product_on_cpu(g, x)).T
    return jnp.matmul(_written_transposed(x).astype(jnp.float32), g.astype(jnp.float32))


def _written_transposed(x):
    return jax.lax.optimization_barrier(x.swapaxes(-1, -2))


@jax.custom_vjp
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Exact GELU, `x` times the normal distribution function of `x`; Hendrycks and Gimpel 2016.

    In terms of erf as PyTorch's; `jax.nn.gelu` takes the complement erfc, which is slow on CPUs.
    """
    return x * _normal_distribution(x)


def _normal_distribution(x):
    return 0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5))


def _gelu_forward(x):
    return gelu(x), x


def _gelu_backward(x, g):
    x = _recomputed(g, x)
    density = jnp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return (g * (_normal_distribution(x) + x * density),)


gelu.defvjp(_gelu_forward, _gelu_backward)


@jax.custom_vjp
def gelu_linear(
    x: Float[Array, "*batch inputs"],
    kernel: Float32[Parameter, "inputs outputs"],
    bias: Float32[Parameter, " outputs"] | None,
) -> Float[Array, "*batch outputs"]:
    """`linear(gelu(x), kernel, bias)` that does not keep `gelu(x)`."""
    y = linear(gelu(_rows(x)), kernel, bias)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _gelu_linear_forward(x, kernel, bias):
    return gelu_linear(x, kernel, bias), (x, kernel, bias)


def _gelu_linear_backward(kept, g):
    x, kernel, bias = kept
    shape, x, g = x.shape, _rows(x), _rows(g)
    (dx,) = _gelu_backward(x, g @ kernel.astype(g.dtype).T)
    return dx.reshape(shape), *_parameter_gradients(gelu(_recomputed(g, x)), g, bias)


gelu_linear.defvjp(_gelu_linear_forward, _gelu_linear_backward)


def step_embedding(
    steps: Float[ArrayLike, "*batch"], channels: int, *, interleaved: bool = False
) -> Float32[Array, "*batch channels"]:
    """Sines and cosines of a diffusion step at frequencies from 1 to about 1e-4.

    Args:
        steps: any numbers.
        channels: at least 4; where odd and not interleaved, the last is 0.
        interleaved: sine and cosine in turn at frequencies 10000^(-2i/channels), as positions in
            Vaswani et al. 2017; otherwise first all sines, then all cosines, at
            10000^(-i/(channels/2 - 1)), as in J. Ho et al., "Denoising Diffusion Probabilistic
            Models", NeurIPS 2020.

    Raises:
        InputError: fewer channels, or an odd number of them interleaved.
    """
    half = channels // 2
    if half < 2 or (interleaved and channels % 2):
        raise InputError(f"step embedding of {channels} channels, expected an even number from 4")
    last = channels / 2 if interleaved else half - 1
    frequencies = np.exp(np.arange(half) * (-math.log(10000) / last)).astype(np.float32)
    steps = jnp.asarray(steps, jnp.float32)[..., None]
    angles = steps * in_rank_of(frequencies, steps)
    parts = jnp.sin(angles), jnp.cos(angles)
    if interleaved:
        return jnp.stack(parts, axis=-1).reshape(*angles.shape[:-1], channels)
    embedding = jnp.concatenate(parts, axis=-1)
    return jnp.pad(embedding, [(0, 0)] * (embedding.ndim - 1) + [(0, channels % 2)])


def windows(
    x: Float[Array, "batch frames channels"], window: int, stride: int = 1, dilation: int = 1
) -> Float[Array, "batch windows taps"]:
    """The frames that a convolution's outputs look at, their channels one after another."""
    batch, frames, channels = x.shape
    if stride == window and dilation == 1 and frames % window == 0:
        return x.reshape(batch, frames // window, window * channels)
    last = frames - dilation * (window - 1)
    taps = [x[:, tap * dilation : tap * dilation + last : stride] for tap in range(window)]
    return jnp.concatenate(taps, axis=-1)


def temporal_conv(
    x: Float[Array, "batch frames inputs"],
    kernel: Float32[Parameter, "window inputs outputs"],
    bias: Float32[Parameter, " outputs"] | None,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> Float[Array, "batch output_frames outputs"]:
    """Cross-correlation over frames of all channels, without padding."""
    window, _, outputs = kernel.shape

    def direct(x, kernel):
        # One product of all taps, so that their sum is not rounded to `x.dtype` in between.
        return linear(windows(x, window, stride, dilation), kernel.reshape(-1, outputs), bias)

    four = 4 * dilation
    groups = (x.shape[1] - 2 * dilation) // four
    kernel = jnp.asarray(kernel)
    if (
        (window, stride, x.dtype) != (3, 1, jnp.float32)
        or min(kernel.shape[1:]) < _CHANNELS_IN_FOURS
        or _ANY_PLATFORM.get()
        or any(map(jax.export.is_symbolic_dim, x.shape))
        or x.shape[0] * groups * four < _ROWS_IN_FOURS
    ):
        return direct(x, kernel)

    def in_fours(x, kernel):
        y = _conv_in_fours(x, kernel, dilation, groups)
        y = y if bias is None else y + in_rank_of(bias, y)
        rest = x[:, groups * four :]
        return jnp.concatenate([y, direct(rest, kernel)], axis=1)

    return jax.lax.platform_dependent(x, kernel, cpu=in_fours, default=direct)


# Below these, adding kernels and frames costs more than the products that it saves.
_ROWS_IN_FOURS, _CHANNELS_IN_FOURS = 1024, 256

# Winograd's F(4, 3): six products of sums of frames and sums of taps, whose sums are four outputs.
_OF_FRAMES = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
)  # fmt: skip
_OF_TAPS = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
)  # fmt: skip
_OF_PRODUCTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _conv_in_fours(x, kernel, dilation, groups):
    """The first `4 * dilation * groups` outputs of a convolution of three taps, with half the
    products that taking each by itself needs (A. Lavin and S. Gray, "Fast Algorithms for
    Convolutional Neural Networks", CVPR 2016)."""
    batch, channels = len(x), x.shape[-1]
    frames = 4 * dilation * (groups + 1)
    x = jnp.pad(x[:, :frames], ((0, 0), (0, max(0, frames - x.shape[1])), (0, 0)))
    x = x.reshape(batch, groups + 1, 4, dilation, channels)
    seen = [x[:, :-1, 0], x[:, :-1, 1], x[:, :-1, 2], x[:, :-1, 3], x[:, 1:, 0], x[:, 1:, 1]]
    products = [
        linear(_weighted(frames, seen), _weighted(taps, kernel), None)
        for frames, taps in zip(_OF_FRAMES, _OF_TAPS, strict=True)
    ]
    y = jnp.stack([_weighted(weights, products) for weights in _OF_PRODUCTS], axis=2)
    return y.reshape(batch, -1, kernel.shape[-1])


def _weighted(weights, arrays):
    return sum(weight * x for weight, x in zip(weights, arrays, strict=True) if weight)


@jax.custom_vjp
def depthwise_conv(
    x: Float[Array, "batch frames joints channels"],
    kernel: Float32[Parameter, "height width 1 channels"],
    bias: Float32[Parameter, " channels"],
) -> Float[Array, "batch frames joints channels"]:
    """Cross-correlation of every channel with its own kernel, zeros beyond the borders.

    The kernel's height goes over frames and its width over joints; both are odd.
    """
    return _correlation(x, jnp.asarray(kernel)) + in_rank_of(bias, x).astype(x.dtype)


_ANY_PLATFORM = contextvars.ContextVar("any_platform", default=False)


@contextlib.contextmanager
def for_any_platform() -> Iterator[None]:
    """What is traced within has one program for all platforms, none that is a CPU's own."""
    token = _ANY_PLATFORM.set(True)
    try:
        yield
    finally:
        _ANY_PLATFORM.reset(token)


def is_for_any_platform() -> bool:
    """Whether the caller is traced within `for_any_platform`."""
    return _ANY_PLATFORM.get()


def _correlation(x, kernel):
    if _ANY_PLATFORM.get():
        return _correlation_elsewhere(x, kernel.astype(x.dtype))
    # On CPUs the compiler's own takes as long as a dense layer of as many channels.
    return jax.lax.platform_dependent(
        x, kernel.astype(x.dtype), cpu=_correlation_on_cpu, default=_correlation_elsewhere
    )


def _correlation_on_cpu(x, kernel):
    height, width, _, channels = kernel.shape
    taps = kernel.reshape(height * width, 1, 1, 1, channels)
    return sum(part * tap for part, tap in zip(_shifted(x, height, width), taps, strict=True))


def _correlation_elsewhere(x, kernel):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _shifted(x, height, width):
    """What each place of a kernel meets: `x` moved by every offset, row by row."""
    frames, joints = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)))
    return [x[:, i : i + frames, j : j + joints] for i in range(height) for j in range(width)]


def _depthwise_conv_forward(x, kernel, bias):
    return depthwise_conv(x, kernel, bias), (x, kernel)


def _depthwise_conv_backward(kept, g):
    x, kernel = kept
    kernel = jnp.asarray(kernel)
    taps = [_sum_of_places(part * g) for part in _shifted(x, *kernel.shape[:2])]
    dkernel = jnp.stack(taps).reshape(kernel.shape)
    return _correlation(g, kernel[::-1, ::-1]), dkernel, _sum_of_places(g)


def _sum_of_places(x):
    return jnp.sum(x, axis=(0, 1, 2), dtype=jnp.float32)


depthwise_conv.defvjp(_depthwise_conv_forward, _depthwise_conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: Float[Array, "*batch channels"],
    scale: Float32[Parameter, " channels"],
    bias: Float32[Parameter, " channels"],
    epsilon: float,
) -> Float[Array, "*batch channels"]:
    """Normalises over the channels; Ba et al. 2016.  The variance is the two-pass one."""
    normalised, _ = _normalise(x, epsilon)
    return (normalised * in_rank_of(scale, x) + in_rank_of(bias, x)).astype(x.dtype)


def _normalise(x, epsilon):
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    inverse_std = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + epsilon)
    return centred * inverse_std, inverse_std


def _layer_norm_forward(x, scale, bias, epsilon):
    return layer_norm(x, scale, bias, epsilon), (x, scale)


def _layer_norm_backward(epsilon, kept, g):
    x, scale = kept
    normalised, inverse_std = _normalise(_recomputed(g, x), epsilon)
    g = g.astype(jnp.float32)
    dscale = g * normalised
    weights = scale / x.shape[-1]
    dx = inverse_std * (
        g * in_rank_of(scale, g)
        - _weighted_sum(g, weights)
        - normalised * _weighted_sum(dscale, weights)
    )
    rows = tuple(range(x.ndim - 1))
    return dx.astype(x.dtype), jnp.sum(dscale, axis=rows), jnp.sum(g, axis=rows)


def _weighted_sum(x, weights):
    """Sum of `x * weights` over the channels, `[..., 1]`; on CPUs faster as a product."""
    return jax.lax.platform_dependent(
        x,
        weights,
        cpu=lambda x, weights: (x @ weights)[..., None],
        default=lambda x, weights: jnp.sum(x * in_rank_of(weights, x), axis=-1, keepdims=True),
    )


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def attention(
    q: Float[Array, "*heads queries head_dim"],
    k: Float[Array, "*heads keys head_dim"],
    v: Float[Array, "*heads keys value_dim"],
    scale: float,
) -> Float[Array, "*heads queries value_dim"]:
    """`softmax(scale q k^T) v` (Vaswani et al. 2017, Eq. 1); does not keep the weights."""
    # Normalised after the product with v: fewer divisions, and a form of attention that XLA
    # compiles into one pass without the array of weights.
    weights = _unnormalised_weights(q, k, scale)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    out = jnp.matmul(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return (out / total).astype(v.dtype)


def _unnormalised_weights(q, k, scale):
    scores = attention_scores(q, k, scale)
    return jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))


def attention_scores(
    q: Float[Array, "*heads queries head_dim"],
    k: Float[Array, "*heads keys head_dim"],
    scale: float,
) -> Float32[Array, "*heads queries keys"]:
    """`scale q k^T`, whose softmax are the attention weights."""
    return jnp.matmul(q * scale, k.swapaxes(-1, -2), preferred_element_type=jnp.float32)


def _attention_forward(q, k, v, scale):
    out = attention(q, k, v, scale)
    return out, (q, k, v, out)


def _attention_backward(scale, kept, g):
    q, k, v, out = kept
    q, g = _recomputed(g, q), g.astype(jnp.float32)
    weights = _unnormalised_weights(q, k, scale)
    # The barrier keeps the compiler from computing the weights again for every product below.
    weights, total = jax.lax.optimization_barrier(
        (weights, jnp.sum(weights, axis=-1, keepdims=True))
    )
    along = jnp.sum(g * out, axis=-1, keepdims=True)
    dscores = weights * (attention_scores(g.astype(v.dtype), v, 1.0) - along)
    # Normalised after the products; by a sum of its own here, as in the forward pass: on CPUs XLA
    # compiles a product and a sum of its operand into one pass on all cores, a product alone
    # into one on a single core.
    dq = jnp.matmul(dscores.astype(v.dtype), k, preferred_element_type=jnp.float32)
    dq = dq * scale / jnp.sum(weights, axis=-1, keepdims=True)
    return (
        dq.astype(v.dtype),
        _head_products(dscores.astype(v.dtype), (q * (scale / total)).astype(v.dtype)),
        _head_products(weights.astype(v.dtype), (g / total).astype(v.dtype)),
    )


attention.defvjp(_attention_forward, _attention_backward)


def _head_products(x, g):
    """`x^T g` for every head."""

    def product(x, g):
        return x.swapaxes(-1, -2) @ g

    if x.shape[-1] > g.shape[-1]:
        return product(x, g)
    # Of small matrices the one to transpose is cheaper written down, on CPUs.
    return jax.lax.platform_dependent(
        x, g, cpu=lambda x, g: _written_transposed(x) @ g, default=product
    )


def _recomputed(g, x):
    """`x` in a form that depends on the incoming gradient.

    The compiler would otherwise find that the forward pass has computed the same from it
    already, and keep that result after all.
    """
    return x + jnp.minimum(jnp.abs(g[(0,) * g.ndim]), 0).astype(x.dtype)
