"""PoseFormer: attention over the joints of each frame, then over frames; one pose per clip.

C. Zheng et al., "3D Human Pose Estimation with Spatial and Temporal Transformers", ICCV 2021.
Where the paper and the released code differ, this is the code.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import TORCH_DEFAULT, Block, LayerNorm, Linear, growing_rates, placed


class PoseFormer(nn.Module):
    """Lifts clips of 2D keypoints to the 3D pose of the frame in the middle (seq2frame).

    Joints are the tokens of the first blocks, whole frames those of the second; the pose is read
    from a weighted mean of the frames, whose weights are learned and sum to anything.  The defaults
    are those of the published model (9,602,885 parameters).

    Attributes:
        num_frame: frames of every clip, neither more nor fewer.
        num_joints: joints per pose.
        in_chans: channels per joint that it looks at, the first of those it gets.
        embed_dim_ratio: channels of a joint's features; a frame's has as many for every joint.
        depth: blocks over joints, and as many over frames.
        num_heads: attention heads; divides `embed_dim_ratio`.
        mlp_ratio: hidden channels of the MLPs over the channels of their features.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the attention scores, `head_dim ** -0.5` where None.
        drop_rate: dropout of embeddings and linear outputs.
        attn_drop_rate: dropout of attention weights.
        drop_path_rate: stochastic depth of the last block of each kind, growing linearly from 0;
            one draw per residual branch and frame (blocks over joints) or clip (over frames).
        norm_eps: epsilon of the LayerNorms.
        head_norm_eps: epsilon of the head's LayerNorm.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    num_frame: int = 81
    num_joints: int = 17
    in_chans: int = 2
    embed_dim_ratio: int = 32
    depth: int = 4
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
    ) -> Float32[Array, "batch 1 joints 3"]:
        """Predicts the pose in the middle.

        Args:
            keypoints: x, y (normalised image coordinates) of every joint; channels after the
                first `in_chans`, such as a confidence, are not looked at.
            train: apply dropout and stochastic depth; needs the PRNG stream `"dropout"` where a
                rate is above 0.

        Returns:
            poses `[batch, 1, joints, 3]`.

        Raises:
            InputError: another number of frames than `num_frame`, wrong joints, or too few
                channels.
        """
        batch, frames, joints, _ = keypoints.shape
        check_frames(keypoints, self.num_frame, "num_frame")
        check_keypoints(keypoints, self.num_joints, self.in_chans)

        def embedded(x: Array, name: str) -> Array:
            return nn.Dropout(self.drop_rate, deterministic=not train)(placed(self, x, name))

        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block

        def attended(x: Array, name: str, norm: str) -> Array:
            for level, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
                block = block_class(
                    num_heads=self.num_heads,
                    mlp_ratio=self.mlp_ratio,
                    qkv_bias=self.qkv_bias,
                    qk_scale=self.qk_scale,
                    drop_rate=self.drop_rate,
                    attn_drop_rate=self.attn_drop_rate,
                    drop_path_rate=rate,
                    norm_eps=self.norm_eps,
                    initialisation=TORCH_DEFAULT,
                    dtype=self.dtype,
                    name=f"{name}_{level}",
                )
                x = block(x, train)
            return LayerNorm(self.norm_eps, self.dtype, name=norm)(x)

        x = Linear(
            self.embed_dim_ratio,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="Spatial_patch_to_embedding",
        )(jnp.asarray(keypoints)[..., : self.in_chans])
        x = attended(embedded(x, "Spatial_pos_embed"), "Spatial_blocks", "Spatial_norm")
        x = x.reshape(batch, frames, -1)
        x = attended(embedded(x, "Temporal_pos_embed"), "blocks", "Temporal_norm")

        # What is left is small and its rounding is the poses' rounding: always float32.
        x = x.astype(jnp.float32).swapaxes(1, 2)
        x = Linear(1, initialisation=TORCH_DEFAULT, name="weighted_mean")(x).swapaxes(1, 2)
        x = LayerNorm(self.head_norm_eps, name="head_0")(x)
        x = Linear(3 * joints, initialisation=TORCH_DEFAULT, name="head_1")(x)
        return x.reshape(batch, 1, joints, 3)
