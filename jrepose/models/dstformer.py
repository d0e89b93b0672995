"""DSTformer: the dual-stream spatio-temporal transformer of MotionBERT and RePOSE.

W. Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations",
ICCV 2023, section 3.2; RePOSE (ECCV 2024) trains the same network with depth ranking losses.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from jrepose.errors import InputError
from jrepose.models.checks import check_hyperparameters, check_most
from jrepose.models.layers import (
    Block,
    Initialisation,
    LayerNorm,
    Linear,
    growing_rates,
    truncated_normal,
)

# The streams' weights begin equal, whatever the features.
HALF = Initialisation(nn.initializers.zeros, lambda inputs: nn.initializers.constant(0.5))


class DSTformer(nn.Module):
    """Lifts clips of 2D keypoints to 3D poses, all frames at once (seq2seq).

    Every level runs two streams on the same features: one attends over the joints of a frame
    and then over the frames of a joint, the other the other way round.  The streams are
    averaged with weights that depend on the features.

    The defaults are RePOSE's (16,001,549 parameters); MotionBERT has `dim_feat=512,
    mlp_ratio=2` (42,466,317).

    Attributes:
        dim_in, dim_out: channels per joint of keypoints and poses.
        dim_feat: channels of the features.
        dim_rep: channels of the representation before the head.
        depth: number of levels.
        num_heads: attention heads; divides `dim_feat`.
        mlp_ratio: hidden channels of the MLPs over `dim_feat`.
        num_joints: joints per pose.
        maxlen: most frames per clip; shorter clips use the first rows of the time embedding.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the attention scores, `head_dim ** -0.5` where None.
        drop_rate: dropout of embeddings and linear outputs.
        attn_drop_rate: dropout of attention weights.
        drop_path_rate: stochastic depth of the last level, growing linearly from 0; one draw
            per clip, frame and residual branch.
        att_fuse: weigh the streams by the features; otherwise plain mean.
        norm_eps: epsilon of the LayerNorms.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    dim_in: int = 3
    dim_out: int = 3
    dim_feat: int = 256
    dim_rep: int = 512
    depth: int = 5
    num_heads: int = 8
    mlp_ratio: float = 4.0
    num_joints: int = 17
    maxlen: int = 243
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    att_fuse: bool = True
    norm_eps: float = 1e-6
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        sizes = ("dim_in", "dim_out", "dim_feat", "dim_rep", "depth", "num_joints", "maxlen")
        check_hyperparameters(self, sizes, width="dim_feat")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, joints, channels) of the longest clip."""
        return self.maxlen, self.num_joints, self.dim_in

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool = False,
        return_representation: bool = False,
    ) -> Float32[Array, "batch frames joints out"]:
        """Predicts one pose per frame.

        Args:
            keypoints: x, y (normalised image coordinates) and confidence of every joint.
            train: apply dropout and stochastic depth; needs the PRNG stream `"dropout"`.
            return_representation: return the features before the head instead.

        Returns:
            poses `[batch, frames, joints, dim_out]`, or the representation
            `[batch, frames, joints, dim_rep]` with values in (-1, 1).

        Raises:
            InputError: more frames than `maxlen`, or wrong joints or channels.
        """
        frames, joints, channels = keypoints.shape[1:]
        check_most(frames, self.maxlen, "frames", "maxlen")
        if (joints, channels) != (self.num_joints, self.dim_in):
            raise InputError(
                f"keypoints have {joints} joints of {channels} channels, the model expects "
                f"{self.num_joints} joints of {self.dim_in} channels"
            )

        x = Linear(self.dim_feat, dtype=self.dtype, name="joints_embed")(jnp.asarray(keypoints))
        pos_embed = self.param("pos_embed", truncated_normal, (1, joints, self.dim_feat))
        temp_embed = self.param("temp_embed", truncated_normal, (1, self.maxlen, 1, self.dim_feat))
        # In float32, for the embeddings' gradients are sums over the batch and frames or joints.
        x = (x.astype(jnp.float32) + pos_embed[:, None] + temp_embed[:, :frames]).astype(self.dtype)
        x = nn.Dropout(self.drop_rate, deterministic=not train)(x)
        self.sow("intermediates", "embed", x)

        block_class = nn.remat(DualBlock, static_argnums=(2,)) if self.remat else DualBlock
        for level, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
            streams = [
                block_class(
                    temporal_first=temporal_first,
                    num_heads=self.num_heads,
                    mlp_ratio=self.mlp_ratio,
                    qkv_bias=self.qkv_bias,
                    qk_scale=self.qk_scale,
                    drop_rate=self.drop_rate,
                    attn_drop_rate=self.attn_drop_rate,
                    drop_path_rate=rate,
                    norm_eps=self.norm_eps,
                    dtype=self.dtype,
                    name=f"{name}_{level}",
                )(x, train)
                for name, temporal_first in (("blocks_st", False), ("blocks_ts", True))
            ]
            if self.att_fuse:
                logits = Linear(
                    2,
                    initialisation=HALF,
                    dtype=self.dtype,
                    name=f"ts_attn_{level}",
                )(jnp.concatenate(streams, axis=-1))
                alpha = nn.softmax(logits.astype(jnp.float32)).astype(self.dtype)
                x = streams[0] * alpha[..., :1] + streams[1] * alpha[..., 1:]
            else:
                x = (streams[0] + streams[1]) * 0.5

        x = LayerNorm(self.norm_eps, self.dtype, name="norm")(x)
        x = Linear(self.dim_rep, dtype=self.dtype, name="pre_logits")(x)
        x = nn.tanh(x.astype(jnp.float32))
        if return_representation:
            return x
        # The head is small and its rounding is the poses' rounding: always float32.
        return Linear(self.dim_out, name="head")(x)


class DualBlock(nn.Module):
    """One stream's level: a block over joints and a block over frames, in either order."""

    temporal_first: bool
    num_heads: int
    mlp_ratio: float
    qkv_bias: bool
    qk_scale: float | None
    drop_rate: float
    attn_drop_rate: float
    drop_path_rate: float
    norm_eps: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames joints channels"], train: bool
    ) -> Float[Array, "batch frames joints channels"]:
        def block(name: str, frame_axis: int) -> Block:
            return Block(
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                qkv_bias=self.qkv_bias,
                qk_scale=self.qk_scale,
                drop_rate=self.drop_rate,
                attn_drop_rate=self.attn_drop_rate,
                drop_path_rate=self.drop_path_rate,
                # Stochastic depth decides per frame in both blocks.
                drop_path_shared=tuple({1, 2, 3} - {frame_axis}),
                norm_eps=self.norm_eps,
                dtype=self.dtype,
                name=name,
            )

        spatial = block("spatial", frame_axis=1)
        temporal = block("temporal", frame_axis=2)
        if self.temporal_first:
            x = temporal(x.swapaxes(1, 2), train).swapaxes(1, 2)
            return spatial(x, train)
        x = spatial(x, train)
        return temporal(x.swapaxes(1, 2), train).swapaxes(1, 2)
