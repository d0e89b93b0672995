"""The multi-view relational detector's transformers: tokens of frames, then tokens of views.

Jiao et al., "Towards Precise 3D Human Pose Estimation with Multi-Perspective Spatial-Temporal
Relational Transformers"; where the released code has no such module (views, the places of the
frames), after the paper.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int

from jrepose.models import functional
from jrepose.models.layers import TORCH_DEFAULT, Block, LayerNorm, Linear, Mlp, placed


class RelationalEncoder(nn.Module):
    """Transformer blocks over tokens, the frames of a camera or the cameras of a moment.

    Attributes:
        tokens: of the longest sequence that has places.
        depth: number of blocks.
        num_heads: divides the channels.
        mlp_ratio: hidden channels of the MLPs over channels.
        qkv_bias, qk_scale: see `layers.Attention`.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0; one draw per
            residual branch and sequence.
        norm_eps: epsilon of the LayerNorms.
        placed: add what is learned about the places; the released code does not.
        dtype: compute dtype.
    """

    tokens: int = 128
    depth: int = 4
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_path_rate: float = 0.2
    norm_eps: float = 1e-6
    placed: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "*batch tokens channels"], train: bool = False
    ) -> Float[Array, "*batch tokens channels"]:
        """Features of the same tokens.

        Args:
            x: features.
            train: apply stochastic depth; needs the PRNG stream `"dropout"`.
        """
        x = jnp.asarray(x)
        # Released checkpoints hold the embedding, whether it is used or not.
        embedded = placed(self, x, "Temporal_pos_embed", length=self.tokens)
        x = embedded if self.placed else x.astype(self.dtype)
        for number, rate in enumerate(np.linspace(0, self.drop_path_rate, self.depth).tolist()):
            x = Block(
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                qkv_bias=self.qkv_bias,
                qk_scale=self.qk_scale,
                drop_path_rate=rate,
                norm_eps=self.norm_eps,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=f"blocks_{number}",
            )(x, train)
        return LayerNorm(self.norm_eps, self.dtype, name="Temporal_norm")(x)


class KeypointHead(nn.Module):
    """x, y of every joint from a token.

    Attributes:
        num_joints: how many.
        norm_eps: epsilon of the LayerNorm.
    """

    num_joints: int = 17
    norm_eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float32[Array, "*batch joints 2"]:
        x = LayerNorm(self.norm_eps, name="head_0")(x.astype(jnp.float32))
        x = Linear(2 * self.num_joints, initialisation=TORCH_DEFAULT, name="head_1")(x)
        return x.reshape(*x.shape[:-1], self.num_joints, 2)


class PruningBlock(nn.Module):
    """A transformer block that leaves out the tokens to which the class token attends least.

    Liang et al., "EViT: Expediting Vision Transformers via Token Reorganizations", ICLR 2022; it is
    in the detector's released code, which does not use it.

    Attributes:
        num_heads, mlp_ratio, qkv_bias, norm_eps, dtype: see `RelationalEncoder`.
        keep_rate: share of the tokens, the class token not counted, that is kept, rounded up.
        fuse: what is left out makes one more token, weighted by the attention that it gets.
    """

    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    norm_eps: float = 1e-6
    keep_rate: float = 0.7
    fuse: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array | np.ndarray, "batch tokens channels"]
    ) -> tuple[Float[Array, "batch kept channels"], Int[Array, "batch chosen"]]:
        """Features of the class token, the kept ones and perhaps the fused one.

        Returns:
            They, and the numbers of the kept tokens among those without the class token, those with
            most attention first.
        """
        x = jnp.asarray(x)
        branch, weights = _SeenAttention(self.num_heads, self.qkv_bias, self.dtype, name="attn")(
            LayerNorm(self.norm_eps, self.dtype, name="norm1")(x)
        )
        x = x + branch
        attention = jnp.mean(weights[:, :, 0, 1:], axis=1)
        kept = math.ceil(self.keep_rate * attention.shape[1])
        order = jnp.argsort(-attention, axis=1, stable=True)

        def taken(chosen: Array) -> Array:
            return jnp.take_along_axis(x[:, 1:], chosen[..., None], axis=1)

        parts = [x[:, :1], taken(order[:, :kept])]
        if self.fuse:
            rest = order[:, kept:]
            shares = jnp.take_along_axis(attention, rest, axis=1)[..., None]
            parts.append(jnp.sum(taken(rest) * shares, axis=1, keepdims=True))
        x = jnp.concatenate(parts, axis=1)
        mlp = Mlp(
            int(x.shape[-1] * self.mlp_ratio),
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="mlp",
        )
        return x + mlp(LayerNorm(self.norm_eps, self.dtype, name="norm2")(x)), order[:, :kept]


class _SeenAttention(nn.Module):
    """`layers.Attention` that gives its weights away, through which gradients go too."""

    num_heads: int
    qkv_bias: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens channels"]
    ) -> tuple[Float[Array, "batch tokens channels"], Float[Array, "batch heads tokens tokens"]]:
        channels = x.shape[-1]
        shape = (*x.shape[:2], self.num_heads, channels // self.num_heads)
        options = {"initialisation": TORCH_DEFAULT, "dtype": self.dtype}
        qkv = Linear(3 * channels, self.qkv_bias, parts=3, name="qkv", **options)(x)
        q, k, v = (part.reshape(shape).swapaxes(1, 2) for part in qkv)
        weights = jax.nn.softmax(functional.attention_scores(q, k, shape[-1] ** -0.5))
        seen = (weights.astype(self.dtype) @ v).swapaxes(1, 2).reshape(x.shape)
        return Linear(channels, name="proj", **options)(seen), weights
