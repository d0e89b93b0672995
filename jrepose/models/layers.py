"""Transformer parts that the lifters share: attention, MLP and the pre-norm block.

All of them work on `[..., tokens, channels]`, whatever the tokens are: the joints of one
frame or the frames of one joint.  Parameters are float32; `dtype` is the compute dtype.
LayerNorm and softmax statistics are float32 whatever `dtype` is.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# Truncated normal of standard deviation 0.02, the vision transformers' initialisation.
truncated_normal = nn.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0)


class Attention(nn.Module):
    """Multi-head self-attention over the tokens (Vaswani et al. 2017, section 3.2).

    Attributes:
        num_heads: number of heads; divides the channels.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores, `head_dim ** -0.5` where None.
        attn_drop_rate: dropout of the attention weights.
        drop_rate: dropout of the output.
        dtype: compute dtype.
    """

    num_heads: int
    qkv_bias: bool = True
    qk_scale: float | None = None
    attn_drop_rate: float = 0.0
    drop_rate: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch tokens channels"], train: bool = False
    ) -> Float[Array, "*batch tokens channels"]:
        *batch, tokens, channels = x.shape
        head_dim = channels // self.num_heads
        scale = head_dim**-0.5 if self.qk_scale is None else self.qk_scale

        qkv = nn.Dense(
            3 * channels,
            use_bias=self.qkv_bias,
            dtype=self.dtype,
            kernel_init=truncated_normal,
            name="qkv",
        )(x)
        # [3, batch, heads, tokens, head_dim]: contiguous matrices per head.
        qkv = qkv.reshape(-1, tokens, 3, self.num_heads, head_dim).transpose(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * scale, qkv[1], qkv[2]
        scores = jnp.matmul(q, k.swapaxes(-1, -2), preferred_element_type=jnp.float32)
        weights = nn.softmax(scores).astype(self.dtype)
        weights = nn.Dropout(self.attn_drop_rate, deterministic=not train)(weights)
        x = jnp.matmul(weights, v)
        x = x.swapaxes(1, 2).reshape(*batch, tokens, channels)
        x = nn.Dense(channels, dtype=self.dtype, kernel_init=truncated_normal, name="proj")(x)
        return nn.Dropout(self.drop_rate, deterministic=not train)(x)


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them, applied to every token.

    Attributes:
        hidden_dim: channels between the two layers.
        drop_rate: dropout after the activation and after the second layer.
        dtype: compute dtype.
    """

    hidden_dim: int
    drop_rate: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch channels"], train: bool = False
    ) -> Float[Array, "*batch channels"]:
        channels = x.shape[-1]
        x = nn.Dense(self.hidden_dim, dtype=self.dtype, kernel_init=truncated_normal, name="fc1")(x)
        x = nn.gelu(x, approximate=False)
        x = nn.Dropout(self.drop_rate, deterministic=not train)(x)
        x = nn.Dense(channels, dtype=self.dtype, kernel_init=truncated_normal, name="fc2")(x)
        return nn.Dropout(self.drop_rate, deterministic=not train)(x)


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
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch tokens channels"], train: bool = False
    ) -> Float[Array, "*batch tokens channels"]:
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
            dtype=self.dtype,
            name="attn",
        )
        mlp = Mlp(
            hidden_dim=int(x.shape[-1] * self.mlp_ratio),
            drop_rate=self.drop_rate,
            dtype=self.dtype,
            name="mlp",
        )
        x = x + drop_path(attn(layer_norm(self.norm_eps, self.dtype, "norm1")(x), train))
        return x + drop_path(mlp(layer_norm(self.norm_eps, self.dtype, "norm2")(x), train))


def layer_norm(epsilon: float, dtype: DTypeLike, name: str) -> nn.LayerNorm:
    """LayerNorm over channels; two-pass variance, as accurate as PyTorch's."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, use_fast_variance=False, name=name)
