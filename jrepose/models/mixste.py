"""MixSTE: transformer blocks over joints and over frames in turn, at one width.

J. Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in
Video", CVPR 2022.  Where the paper and the released code differ, this is the code.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import TORCH_DEFAULT, Block, LayerNorm, Linear, growing_rates, placed


class MixSTE(nn.Module):
    """Lifts clips of 2D keypoints to 3D poses, all frames at once (seq2seq).

    Every level attends over the joints of a frame and then over the frames of a joint.  Two
    LayerNorms, one for all levels' joints and one for all levels' frames, normalise the features
    after every block.

    The defaults are those of the published model for 243 frames (33,783,811 parameters).

    Attributes:
        num_frame: frames of every clip, neither more nor fewer.
        num_joints: joints per pose.
        in_chans: channels per joint that it looks at, the first of those it gets.
        embed_dim_ratio: channels of the features.
        depth: number of levels.
        num_heads: attention heads; divides `embed_dim_ratio`.
        mlp_ratio: hidden channels of the MLPs over `embed_dim_ratio`.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the attention scores, `head_dim ** -0.5` where None.
        drop_rate: dropout of embeddings and linear outputs.
        attn_drop_rate: dropout of attention weights.
        drop_path_rate: stochastic depth of the last level, growing linearly from 0; one draw per
            residual branch and frame (blocks over joints) or joint (blocks over frames).
        norm_eps: epsilon of the LayerNorms.
        head_norm_eps: epsilon of the head's LayerNorm.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    num_frame: int = 243
    num_joints: int = 17
    in_chans: int = 2
    embed_dim_ratio: int = 512
    depth: int = 8
    num_heads: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    norm_eps: float = 1e-6
    head_norm_eps: float = 1e-5
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        sizes = ("num_frame", "num_joints", "in_chans", "embed_dim_ratio", "depth")
        check_hyperparameters(self, sizes, width="embed_dim_ratio")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, joints, channels) of a clip."""
        return self.num_frame, self.num_joints, self.in_chans

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool = False,
    ) -> Float32[Array, "batch frames joints 3"]:
        """Predicts one pose per frame.

        Args:
            keypoints: x, y (normalised image coordinates) of every joint; channels after the
                first `in_chans`, such as a confidence, are not looked at.
            train: apply dropout and stochastic depth; needs the PRNG stream `"dropout"` where a
                rate is above 0.

        Returns:
            poses `[batch, frames, joints, 3]`.

        Raises:
            InputError: another number of frames than `num_frame`, wrong joints, or too few
                channels.
        """
        return self._poses(keypoints, train)

    def _poses(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool,
        embedding: Float[Array, "batch features"] | None = None,
    ) -> Float32[Array, "batch frames joints 3"]:
        """The network; `embedding` is added to the features of every joint of a clip."""
        check_frames(keypoints, self.num_frame, "num_frame")
        check_keypoints(keypoints, self.num_joints, self.in_chans)

        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block

        def block(name: str, drop_path_rate: float) -> Block:
            return block_class(
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                qkv_bias=self.qkv_bias,
                qk_scale=self.qk_scale,
                drop_rate=self.drop_rate,
                attn_drop_rate=self.attn_drop_rate,
                drop_path_rate=drop_path_rate,
                norm_eps=self.norm_eps,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=name,
            )

        spatial_norm = LayerNorm(self.norm_eps, self.dtype, name="Spatial_norm")
        temporal_norm = LayerNorm(self.norm_eps, self.dtype, name="Temporal_norm")
        dropout = nn.Dropout(self.drop_rate, deterministic=not train)

        x = Linear(
            self.embed_dim_ratio,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="Spatial_patch_to_embedding",
        )(jnp.asarray(keypoints)[..., : self.in_chans])
        x = placed(self, x, "Spatial_pos_embed")
        x = dropout(x if embedding is None else x + embedding[:, None, None].astype(self.dtype))
        for level, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
            x = spatial_norm(block(f"STEblocks_{level}", rate)(x, train))
            x = x.swapaxes(1, 2)
            if level == 0:
                x = dropout(placed(self, x, "Temporal_pos_embed"))
            x = temporal_norm(block(f"TTEblocks_{level}", rate)(x, train))
            x = x.swapaxes(1, 2)

        # The head is small and its rounding is the poses' rounding: always float32.
        x = LayerNorm(self.head_norm_eps, name="head_0")(x.astype(jnp.float32))
        return Linear(3, initialisation=TORCH_DEFAULT, name="head_1")(x)
