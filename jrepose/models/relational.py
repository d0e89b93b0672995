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
from jaxtyping import Array, Bool, Float, Float32, Int

from jrepose.models import functional
from jrepose.models.checks import check_most
from jrepose.models.layers import (
    TORCH_DEFAULT,
    Block,
    LayerNorm,
    Linear,
    Mlp,
    growing_rates,
    placed,
    truncated_normal,
)


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
        placing: initialiser of that.
        dtype: compute dtype.
        remat: recompute the blocks' activations in the backward pass to save memory.
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
    placing: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array | np.ndarray, "*batch tokens channels"],
        train: bool = False,
        mask: Bool[Array, "*masks tokens"] | None = None,
    ) -> Float[Array, "*batch tokens channels"]:
        """Features of the same tokens.

        Args:
            x: features.
            train: apply stochastic depth; needs the PRNG stream `"dropout"`.
            mask: which tokens are attended to; None: all.

        Raises:
            InputError: more tokens than there are places.
        """
        x, name = jnp.asarray(x), "Temporal_pos_embed"
        tokens, channels = x.shape[-2:]
        if self.placed:
            check_most(tokens, self.tokens, "tokens", "tokens")
            x = placed(self, x, name, length=self.tokens, initialiser=self.placing)
        else:  # released checkpoints hold it all the same
            self.param(name, self.placing, (1, self.tokens, channels))
            x = x.astype(self.dtype)
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        for number, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
            x = block_class(
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                qkv_bias=self.qkv_bias,
                qk_scale=self.qk_scale,
                drop_path_rate=rate,
                norm_eps=self.norm_eps,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=f"blocks_{number}",
            )(x, train, mask)
        return LayerNorm(self.norm_eps, self.dtype, name="Temporal_norm")(x)


class KeypointHead(nn.Module):
    """x, y of every joint from a token.

    Attributes:
        num_joints: how many.
        norm_eps: epsilon of the LayerNorm.
        start_px: where all joints are about before any training, x and y.
    """

    num_joints: int = 17
    norm_eps: float = 1e-5
    start_px: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float32[Array, "*batch joints 2"]:
        x = LayerNorm(self.norm_eps, name="head_0")(x.astype(jnp.float32))
        drawn = TORCH_DEFAULT._replace(bias=self._bias)
        x = Linear(2 * self.num_joints, initialisation=drawn, name="head_1")(x)
        return x.reshape(*x.shape[:-1], self.num_joints, 2)

    def _bias(self, inputs: int) -> nn.initializers.Initializer:
        drawn = TORCH_DEFAULT.bias(inputs)
        return lambda *given: drawn(*given) + self.start_px


class FrameRelations(nn.Module):
    """Keypoints from a token of every image: what its clip and the other views tell, then a head.

    The released code has no view encoder; where it comes is after the paper.

    Attributes:
        num_joints: how many.
        frames: of the longest clip that has places.
        views: cameras that have places; with one there is no view encoder.
        time_depth, view_depth: blocks of the two encoders; 0: without it.
        num_heads, mlp_ratio, qkv_bias, qk_scale, drop_path_rate, norm_eps, dtype, remat: of both
            encoders, see `RelationalEncoder`.
        placed: whether it matters where in its clip a frame is.
        head_norm_eps: epsilon of the head's LayerNorm.
        start_px: see `KeypointHead`.
    """

    num_joints: int = 17
    frames: int = 128
    views: int = 4
    time_depth: int = 4
    view_depth: int = 4
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_path_rate: float = 0.2
    norm_eps: float = 1e-6
    placed: bool = True
    head_norm_eps: float = 1e-5
    start_px: float = 0.0
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array | np.ndarray, "clips frames views channels"],
        views_seen: Bool[Array | np.ndarray, "clips frames views"] | None = None,
        train: bool = False,
    ) -> Float32[Array, "clips frames views joints 2"]:
        """x, y of every joint in every image.

        Args:
            x: tokens.
            views_seen: which images there are; the others are not attended to.  None: all.
            train: apply stochastic depth; needs the PRNG stream `"dropout"`.

        Raises:
            InputError: more frames or views than have places.
        """
        x = jnp.asarray(x)
        options = {
            name: getattr(self, name)
            for name in (
                "num_heads", "mlp_ratio", "qkv_bias", "qk_scale", "drop_path_rate", "norm_eps",
                "dtype", "remat",
            )
        }  # fmt: skip
        check_most(x.shape[2], self.views, "views", "views")
        if self.placed:
            check_most(x.shape[1], self.frames, "frames", "frames")
        seen = None if views_seen is None else jnp.asarray(views_seen)
        if self.time_depth:
            time = RelationalEncoder(
                self.frames, self.time_depth, placed=self.placed, name="time", **options
            )
            mask = None if seen is None else seen.swapaxes(1, 2)
            x = time(x.swapaxes(1, 2), train, mask).swapaxes(1, 2)
        if self.view_depth and self.views > 1:
            view = RelationalEncoder(
                self.views, self.view_depth, placing=truncated_normal, name="view", **options
            )
            x = view(x, train, seen)
        return KeypointHead(self.num_joints, self.head_norm_eps, self.start_px, name="head")(x)


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
