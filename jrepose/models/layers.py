"""Parts that the lifters share: linear layers, convolutions, norms, attention, MLP, block.

Most of them work on `[..., tokens, channels]`, whatever the tokens are: the joints of one
frame or the frames of one joint; convolutions on `[batch, frames, joints, channels]` or
`[batch, frames, channels]`.  Parameters are float32; `dtype` is the compute dtype.  Statistics
of norms and softmax are float32 whatever `dtype` is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamShapeError
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.attention import multi_head_attention

# Truncated normal of standard deviation 0.02, the vision transformers' initialisation.
truncated_normal = nn.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0)

# Name of the variable collection that keeps attention weights.
ATTENTION = "attention"

# The score of a key that is not attended to.
MASKED = -1e9

# Name of the variable collection that keeps BatchNorm's running statistics.
BATCH_STATS = "batch_stats"


class Initialisation(NamedTuple):
    """How linear layers begin.

    Attributes:
        kernel: initialiser of the kernel [inputs, outputs].
        bias: gives the bias's initialiser for a number of inputs.
    """

    kernel: nn.initializers.Initializer
    bias: Callable[[int], nn.initializers.Initializer]


def parameter(
    module: nn.Module, name: str, initialiser: Callable[..., Array], shape: tuple[int, ...]
) -> Array | np.ndarray:
    """`module.param`, but the initialiser is not traced where the parameter is there already.

    Flax does so for its shape, which is known here: for a small network a tenth of its tracing.

    Raises:
        InputError: a shape without elements.
        flax.errors.ScopeParamShapeError: the parameter that is there has another shape.
    """
    if 0 in shape:
        raise InputError(
            f"{module.scope.path_text}: {name} would be of shape {list(shape)}; expected "
            "hyperparameters that leave every layer a channel, such as a larger mlp_ratio"
        )
    if module.is_initializing() or not module.has_variable("params", name):
        return module.param(name, initialiser, shape)
    value = module.get_variable("params", name)
    if np.shape(value) != shape:
        raise ScopeParamShapeError(name, module.scope.path_text, np.shape(value), shape)
    return value


def _zeros(inputs: int) -> nn.initializers.Initializer:
    del inputs
    return nn.initializers.zeros


def _uniform_bias(inputs: int) -> nn.initializers.Initializer:
    bound = inputs**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(
        key, shape, dtype, -bound, bound
    )


VISION_TRANSFORMER = Initialisation(truncated_normal, _zeros)
"""Truncated normal kernels, zero biases."""

# A variance of 1/3 over the inputs is that of U(-1/sqrt(inputs), 1/sqrt(inputs)).
TORCH_DEFAULT = Initialisation(
    nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"), _uniform_bias
)
"""Kernels and biases from U(-1/sqrt(inputs), 1/sqrt(inputs)), what PyTorch's layers begin with."""


def drawn_once(module: nn.Module, count: int) -> tuple[Initialisation, ...]:
    """Of `count` kinds of layers, those of a kind beginning equal: `TORCH_DEFAULT`, drawn once.

    Released code that copies one layer into several places has such.

    Args:
        module: called from its `__call__`.
        count: how many kinds.
    """
    if not module.is_initializing():
        return (TORCH_DEFAULT,) * count
    return tuple(map(_always_drawn_by, jax.random.split(module.make_rng("params"), count)))


def _always_drawn_by(key: Array) -> Initialisation:
    kernel_key, bias_key = jax.random.split(key)
    return Initialisation(
        lambda _, *shape: TORCH_DEFAULT.kernel(kernel_key, *shape),
        lambda inputs: lambda _, *shape: TORCH_DEFAULT.bias(inputs)(bias_key, *shape),
    )


def placed(
    module: nn.Module,
    x: Float[Array, "*batch tokens channels"],
    name: str,
    *,
    length: int | None = None,
    initialiser: nn.initializers.Initializer = nn.initializers.zeros,
) -> Float[Array, "*batch tokens channels"]:
    """Features with a learned embedding of their places, in the module's `dtype`.

    Args:
        module: called from its `__call__`; the embedding `[1, length, channels]` is its own.
        x: features.
        name: of the embedding.
        length: places that it knows, the first of which are taken; None: as many as there are.
        initialiser: of the embedding.
    """
    tokens, channels = x.shape[-2:]
    shape = (1, tokens if length is None else length, channels)
    places = parameter(module, name, initialiser, shape)[0, :tokens]
    # In float32, so that the embedding's gradient is summed in it too.
    return (x.astype(jnp.float32) + functional.in_rank_of(places, x)).astype(module.dtype)


class Linear(nn.Module):
    """Linear layer over the channels.

    Attributes:
        features: output channels.
        use_bias: whether it adds a bias.
        function: `functional.linear`, or `functional.gelu_linear` to activate the input.
        parts: returns the output in this many arrays of equal channels, if more than one.
        one_product: computes the parts in one product.  Forward a product each is faster; with
            a gradient one is, as its backward pass is one.
        initialisation: of kernel and bias.
        dtype: compute dtype.
    """

    features: int
    use_bias: bool = True
    function: Callable = functional.linear
    parts: int = 1
    one_product: bool = False
    initialisation: Initialisation = VISION_TRANSFORMER
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch inputs"]
    ) -> Float[Array, "*batch outputs"] | tuple[Float[Array, "*batch part"], ...]:
        inputs = x.shape[-1]
        kernel = parameter(self, "kernel", self.initialisation.kernel, (inputs, self.features))
        bias = None
        if self.use_bias:
            bias = parameter(self, "bias", self.initialisation.bias(inputs), (self.features,))
        x = x.astype(self.dtype)
        if self.parts == 1:
            return self.function(x, kernel, bias)
        if self.one_product:
            return tuple(jnp.split(self.function(x, kernel, bias), self.parts, axis=-1))
        kernels = jnp.split(kernel, self.parts, axis=1)
        biases = [None] * self.parts if bias is None else jnp.split(bias, self.parts)
        return tuple(self.function(x, *part) for part in zip(kernels, biases, strict=True))


class DepthwiseConv(nn.Module):
    """Convolution over frames and joints, each channel by itself; zeros beyond the borders.

    It is PyTorch's cross-correlation, `Conv2d` with as many groups as channels.

    Attributes:
        window: frames and joints that an output looks at, odd numbers.
        initialisation: of kernel `[*window, 1, channels]` and bias, for the window's size.
        dtype: compute dtype.
    """

    window: tuple[int, int] = (3, 3)
    initialisation: Initialisation = TORCH_DEFAULT
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames joints channels"]
    ) -> Float[Array, "batch frames joints channels"]:
        channels = x.shape[-1]
        kernel = parameter(self, "kernel", self.initialisation.kernel, (*self.window, 1, channels))
        bias = parameter(
            self, "bias", self.initialisation.bias(math.prod(self.window)), (channels,)
        )
        return functional.depthwise_conv(x.astype(self.dtype), kernel, bias)


class TemporalConv(nn.Module):
    """Convolution over frames of all channels, without padding.

    It is PyTorch's cross-correlation, `Conv1d`; of T frames it leaves
    `(T - dilation * (window - 1) - 1) // stride + 1`.

    Attributes:
        features: output channels.
        window: frames that an output looks at.
        stride: frames between the first frames of neighbouring outputs.
        dilation: frames between neighbouring frames that an output looks at.
        use_bias: whether it adds a bias.
        initialisation: of kernel `[window, inputs, outputs]` and bias.
        dtype: compute dtype.
    """

    features: int
    window: int
    stride: int = 1
    dilation: int = 1
    use_bias: bool = False
    initialisation: Initialisation = TORCH_DEFAULT
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames inputs"]
    ) -> Float[Array, "batch output_frames outputs"]:
        shape = (self.window, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", self.initialisation.kernel, shape)
        bias = None
        if self.use_bias:
            initial = self.initialisation.bias(self.window * x.shape[-1])
            bias = parameter(self, "bias", initial, (self.features,))
        return functional.temporal_conv(
            x.astype(self.dtype), kernel, bias, stride=self.stride, dilation=self.dilation
        )


class BatchNorm(nn.Module):
    """BatchNorm over all axes but the channels (Ioffe and Szegedy 2015), as PyTorch has it.

    In training the batch's mean and variance normalise, and move the running ones that
    normalise otherwise: `running = (1 - momentum) * running + momentum * batch`, with the unbiased
    variance of the batch.  The running ones are `mean` and `var` in the collection
    `"batch_stats"`; they move if the network is applied with that mutable.

    Attributes:
        epsilon: added to the variance.
        axis_name: mapped axis whose devices share one mean and variance; None: each its own.
        dtype: dtype of the result.
    """

    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch channels"],
        use_running_average: bool,
        momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float[Array, "*batch channels"]:
        """Normalises.

        Args:
            x: features.
            use_running_average: normalise by the running mean and variance, and leave them.
            momentum: weight of this batch in them, PyTorch's (Flax's is 1 minus it); may be traced.

        Raises:
            InputError: one value per channel, which has no variance to normalise by.
        """
        channels = x.shape[-1:]
        scale = parameter(self, "scale", nn.initializers.ones, channels)
        bias = parameter(self, "bias", nn.initializers.zeros, channels)
        mean = self.variable(BATCH_STATS, "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable(BATCH_STATS, "var", jnp.ones, channels, jnp.float32)
        x = x.astype(self.dtype).astype(jnp.float32)
        if use_running_average:
            centred = x - functional.in_rank_of(mean.value, x)
            normaliser = jax.lax.rsqrt(var.value + self.epsilon)
        else:
            count = math.prod(x.shape[:-1]) * self._devices()
            if count < 2:
                raise InputError(
                    "BatchNorm in training got one value per channel, expected more clips or frames"
                )
            batch_mean = self._batch_mean(x)
            centred = x - functional.in_rank_of(batch_mean, x)
            batch_var = self._batch_mean(jnp.square(centred))
            normaliser = jax.lax.rsqrt(batch_var + self.epsilon)
            if self.is_mutable_collection(BATCH_STATS) and not self.is_initializing():
                unbiased = batch_var * (count / (count - 1))
                mean.value = (1 - momentum) * mean.value + momentum * batch_mean
                var.value = (1 - momentum) * var.value + momentum * unbiased
        normalised = centred * functional.in_rank_of(normaliser, x)
        scale, bias = (functional.in_rank_of(parameter, x) for parameter in (scale, bias))
        return (normalised * scale + bias).astype(self.dtype)

    def _devices(self) -> int:
        return 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)

    def _batch_mean(self, x: Array) -> Array:
        mean = jnp.mean(x, axis=tuple(range(x.ndim - 1)))
        return mean if self.axis_name is None else jax.lax.pmean(mean, self.axis_name)


class LayerNorm(nn.Module):
    """LayerNorm over the channels.

    Attributes:
        epsilon: added to the variance.
        dtype: dtype of the result.
    """

    epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        scale = parameter(self, "scale", nn.initializers.ones, x.shape[-1:])
        bias = parameter(self, "bias", nn.initializers.zeros, x.shape[-1:])
        return functional.layer_norm(x.astype(self.dtype), scale, bias, self.epsilon)


class DeviationNorm(nn.Module):
    """Normalises the channels by their standard deviation, to which epsilon is added.

    Unlike `LayerNorm`'s it is the unbiased one.  Channels that are all equal pass no gradient
    through it, as in PyTorch.

    Attributes:
        epsilon: added to the standard deviation.
        dtype: dtype of the result.
    """

    epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        scale = parameter(self, "scale", nn.initializers.ones, x.shape[-1:])
        bias = parameter(self, "bias", nn.initializers.zeros, x.shape[-1:])
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / max(x.shape[-1] - 1, 1)
        varies = variance > 0
        deviation = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 0)
        normalised = centred / (deviation + self.epsilon)
        scale, bias = (functional.in_rank_of(parameter, x) for parameter in (scale, bias))
        return (scale * normalised + bias).astype(self.dtype)


def keep_attention(
    module: nn.Module, q: Array, k: Array, scale: float, mask: Array | None = None
) -> None:
    """Stores the weights of attention in the module, if it is applied with `mutable="attention"`.

    Args:
        module: where they are kept, as `weights` `[rows, heads, queries, keys]` in float32.
        q, k: queries and keys, `[rows, heads, tokens, head_dim]`.
        scale: factor of the scores.
        mask: which keys are attended to, broadcasts to the weights; None: all.
    """
    # Only whoever asks for the collection pays for the weights.
    if module.is_mutable_collection(ATTENTION) and not module.is_initializing():
        scores = functional.attention_scores(q, k, scale)
        scores = scores if mask is None else jnp.where(mask, scores, MASKED)
        module.sow(ATTENTION, "weights", nn.softmax(scores))


def attend(
    module: nn.Module,
    queries: Float[Array, "*batch tokens channels"],
    keys: Float[Array, "*batch tokens channels"],
    values: Float[Array, "*batch tokens channels"],
    num_heads: int,
    scale: float,
    drop_rate: float,
    mask: Bool[Array, "*masks tokens"] | None = None,
) -> Float[Array, "*batch tokens channels"]:
    """What the heads of a module see, beside each other in the channels.

    Args:
        module: called from its `__call__`; it keeps the weights, see `keep_attention`.
        queries, keys, values: of all heads, those of a head beside each other.
        num_heads: divides the channels.
        scale: factor of the scores.
        drop_rate: dropout of the weights, 0 outside of training.
        mask: which keys are attended to; None: all.
    """
    *batch, tokens, channels = queries.shape
    shape = (-1, tokens, num_heads, channels // num_heads)
    # One contiguous matrix per head; split first, as one transposition of all three is slow.
    q, k, v = (part.reshape(shape).swapaxes(1, 2) for part in (queries, keys, values))
    if mask is not None:
        mask = jnp.broadcast_to(mask, (*batch, tokens)).reshape(-1, 1, 1, tokens)
    keep_attention(module, q, k, scale, mask)
    if drop_rate or mask is not None:
        scores = functional.attention_scores(q, k, scale)
        scores = scores if mask is None else jnp.where(mask, scores, MASKED)
        weights = nn.softmax(scores).astype(v.dtype)
        x = nn.Dropout(drop_rate, deterministic=False)(weights) @ v
    else:
        x = multi_head_attention(q, k, v, scale)
    return x.swapaxes(1, 2).reshape(*batch, tokens, channels)


class Attention(nn.Module):
    """Multi-head self-attention over the tokens (Vaswani et al. 2017, section 3.2).

    Applied with `mutable="attention"`, it also stores its weights there as `weights`,
    `[rows, heads, queries, keys]` in float32, the rows being all leading axes of the input.

    Attributes:
        num_heads: number of heads; divides the channels.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores, `head_dim ** -0.5` where None.
        attn_drop_rate: dropout of the attention weights.
        drop_rate: dropout of the output.
        initialisation: of the linear layers.
        dtype: compute dtype.
    """

    num_heads: int
    qkv_bias: bool = True
    qk_scale: float | None = None
    attn_drop_rate: float = 0.0
    drop_rate: float = 0.0
    initialisation: Initialisation = VISION_TRANSFORMER
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch tokens channels"],
        train: bool = False,
        mask: Bool[Array, "*masks tokens"] | None = None,
    ) -> Float[Array, "*batch tokens channels"]:
        channels = x.shape[-1]
        scale = (channels // self.num_heads) ** -0.5 if self.qk_scale is None else self.qk_scale

        qkv = Linear(
            3 * channels,
            use_bias=self.qkv_bias,
            parts=3,
            one_product=train,
            initialisation=self.initialisation,
            dtype=self.dtype,
            name="qkv",
        )(x)
        drop_rate = self.attn_drop_rate if train else 0.0
        x = attend(self, *qkv, self.num_heads, scale, drop_rate, mask)
        x = Linear(channels, initialisation=self.initialisation, dtype=self.dtype, name="proj")(x)
        return nn.Dropout(self.drop_rate, deterministic=not train)(x)


class MultiHeadedAttention(nn.Module):
    """Attention with a layer each for queries, keys, values and output; tokens may be masked.

    Applied with `mutable="attention"`, it stores its weights as `Attention` does.

    Attributes:
        num_heads: number of heads; divides the channels.
        attn_drop_rate: dropout of the attention weights.
        initialisation: of the four linear layers.
        dtype: compute dtype.
    """

    num_heads: int
    attn_drop_rate: float = 0.0
    initialisation: Initialisation = TORCH_DEFAULT
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch tokens channels"],
        mask: Bool[Array, "*masks tokens"] | None = None,
        train: bool = False,
        *,
        key_of: Float[Array, "*batch tokens channels"] | None = None,
        value_of: Float[Array, "*batch tokens channels"] | None = None,
    ) -> Float[Array, "*batch tokens channels"]:
        """What the tokens see.

        Args:
            x: what queries are made of.
            mask: which keys are attended to; None: all.
            train: drop weights.
            key_of, value_of: what keys and values are made of; None: of `x`, self-attention.
        """
        channels = x.shape[-1]
        queries, keys, values, output = (
            Linear(
                channels,
                initialisation=self.initialisation,
                dtype=self.dtype,
                name=f"linears_{index}",
            )
            for index in range(4)
        )
        scale = (channels // self.num_heads) ** -0.5
        drop_rate = self.attn_drop_rate if train else 0.0
        q, k, v = (
            layer(x if given is None else given)
            for layer, given in ((queries, x), (keys, key_of), (values, value_of))
        )
        return output(attend(self, q, k, v, self.num_heads, scale, drop_rate, mask))


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them, applied to every token.

    Attributes:
        hidden_dim: channels between the two layers.
        drop_rate: dropout after the activation and after the second layer.
        use_bias: whether the layers add biases.
        initialisation: of the linear layers.
        dtype: compute dtype.
    """

    hidden_dim: int
    drop_rate: float = 0.0
    use_bias: bool = True
    initialisation: Initialisation = VISION_TRANSFORMER
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch channels"], train: bool = False
    ) -> Float[Array, "*batch channels"]:
        channels = x.shape[-1]
        x = Linear(
            self.hidden_dim,
            self.use_bias,
            initialisation=self.initialisation,
            dtype=self.dtype,
            name="fc1",
        )(x)
        if train and self.drop_rate:
            x = nn.Dropout(self.drop_rate, deterministic=False)(functional.gelu(x))
            function = functional.linear
        else:
            function = functional.gelu_linear
        x = Linear(
            channels,
            self.use_bias,
            function=function,
            initialisation=self.initialisation,
            dtype=self.dtype,
            name="fc2",
        )(x)
        return nn.Dropout(self.drop_rate, deterministic=not train)(x)


def growing_rates(last: float, count: int) -> list[float]:
    """Rates of stochastic depth that grow linearly with the level, from 0 to the last one's."""
    return np.linspace(0, last, count).tolist()


class Block(nn.Module):
    """Pre-norm transformer block: `x + attn(norm1(x))`, then `x + mlp(norm2(x))`.

    Attributes:
        num_heads, qkv_bias, qk_scale, attn_drop_rate: see `Attention`.
        mlp_ratio: hidden channels of the MLP over channels.
        drop_rate: dropout of the attention's and the MLP's linear outputs.
        drop_path_rate: probability of leaving out a residual branch (stochastic depth,
            Huang et al. 2016); kept branches are divided by the keep probability.
        drop_path_shared: axes along which one stochastic depth decision holds; by default
            one draw for all tokens of a row.
        norm_eps: epsilon of the LayerNorms.
        initialisation: of the linear layers.
        dtype: compute dtype.
    """

    num_heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    drop_path_shared: Sequence[int] = (-2, -1)
    norm_eps: float = 1e-6
    initialisation: Initialisation = VISION_TRANSFORMER
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch tokens channels"],
        train: bool = False,
        mask: Bool[Array, "*masks tokens"] | None = None,
    ) -> Float[Array, "*batch tokens channels"]:
        """`mask`: which tokens are attended to; None: all."""

        def drop_path(branch: jax.Array) -> jax.Array:
            dropped = [axis % x.ndim for axis in self.drop_path_shared]
            return nn.Dropout(self.drop_path_rate, broadcast_dims=dropped)(
                branch, deterministic=not train
            )

        attn = Attention(
            num_heads=self.num_heads,
            qkv_bias=self.qkv_bias,
            qk_scale=self.qk_scale,
            attn_drop_rate=self.attn_drop_rate,
            drop_rate=self.drop_rate,
            initialisation=self.initialisation,
            dtype=self.dtype,
            name="attn",
        )
        mlp = Mlp(
            hidden_dim=int(x.shape[-1] * self.mlp_ratio),
            drop_rate=self.drop_rate,
            initialisation=self.initialisation,
            dtype=self.dtype,
            name="mlp",
        )
        normed = LayerNorm(self.norm_eps, self.dtype, name="norm1")(x)
        x = x + drop_path(attn(normed, train, mask))
        return x + drop_path(mlp(LayerNorm(self.norm_eps, self.dtype, name="norm2")(x), train))
