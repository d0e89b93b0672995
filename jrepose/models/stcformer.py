"""STCFormer: half of the channels attends over joints, the other half over frames.

Z. Tang et al., "3D Human Pose Estimation with Spatio-Temporal Criss-cross Attention", CVPR 2023.
This is the released network for Human3.6M; `stcformer_3dhp.py` says in what the one for
MPI-INF-3DHP is another.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from jrepose.models import functional
from jrepose.models.attention import multi_head_attention
from jrepose.models.checks import check_hyperparameters, check_keypoints
from jrepose.models.layers import (
    TORCH_DEFAULT,
    DepthwiseConv,
    LayerNorm,
    Linear,
    Mlp,
    keep_attention,
)


class Variant(NamedTuple):
    """In what the released networks differ beyond their sizes.

    Attributes:
        parts: body part of each joint.
        embeddings: rows of the parts' embedding; of some nothing may be learned.
        part_factors: what the embedding is multiplied by, beside attention over joints and over
            frames; 0: it is not there.
        untrained_part: the part whose embedding begins at zero and stays (PyTorch's
            `padding_idx`); None: every part's is learned.
        scaled_halves: the scores of attention are divided by the square root of the channels of
            this many halves, 1 or 2; of one head's it never is.
        unused_norm: every block keeps a second LayerNorm, `layer_norm2`, that nothing goes through.
    """

    parts: tuple[int, ...]
    embeddings: int
    part_factors: tuple[float, float]
    untrained_part: int | None = None
    scaled_halves: int = 1
    unused_norm: bool = False


HUMAN36M = Variant(
    parts=(0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4),
    embeddings=5,
    # So small in the released code that the embedding hardly counts.
    part_factors=(1e-4, 1e-9),
)
"""For Human3.6M's joints; the parts are torso and head, right leg, left leg, left arm, right
arm."""

_NORM_EPS = 1e-5


class STCFormer(nn.Module):
    """Lifts clips of 2D keypoints to 3D poses, all frames at once (seq2seq).

    Nothing in it depends on the number of frames.  The defaults are those of the published model
    for 243 frames (4,748,000 parameters); STCFormer-L has `d_hid` 512.

    Attributes:
        frames: frames of a clip in `input_shape`; clips of any length are taken.
        d_hid: channels of the features.
        depth: number of blocks.
        num_heads: attention heads of either half of the channels.
        mlp_ratio: hidden channels of the MLPs over `d_hid`.
        drop_rate: dropout in the MLPs.
        part_drop_rate: probability that a block's attention over joints, or over frames, does
            without the parts' embedding in a step; one draw for the whole batch.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.
        variant: which of the released networks it is; given by the class.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    variant: ClassVar[Variant] = HUMAN36M

    frames: int = 243
    d_hid: int = 256
    depth: int = 6
    num_heads: int = 8
    mlp_ratio: float = 4.0
    drop_rate: float = 0.1
    part_drop_rate: float = 0.5
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(self, ("frames", "d_hid", "depth"), width="d_hid", streams=2)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, joints, channels) of a clip."""
        return self.frames, len(self.variant.parts), 2

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool = False,
    ) -> Float32[Array, "batch frames joints 3"]:
        """Predicts one pose per frame.

        Args:
            keypoints: x, y (normalised image coordinates) of every joint; further
                channels, such as a confidence, are not looked at.
            train: apply dropout; needs the PRNG stream `"dropout"` where a rate is above 0.

        Returns:
            poses `[batch, frames, joints, 3]`.

        Raises:
            InputError: wrong joints, or too few channels.
        """
        check_keypoints(keypoints, len(self.variant.parts), 2)
        x = Linear(
            self.d_hid,
            use_bias=False,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="pose_emb",
        )(jnp.asarray(keypoints)[..., :2])
        x = functional.gelu(x)
        block_class = CrissCrossBlock
        if self.remat:
            block_class = nn.remat(CrissCrossBlock, static_argnums=(2,))
        for level in range(self.depth):
            x = block_class(
                self.variant,
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                drop_rate=self.drop_rate,
                part_drop_rate=self.part_drop_rate,
                dtype=self.dtype,
                name=f"stc_block_{level}",
            )(x, train)
        # The head is small and its rounding is the poses' rounding: always float32.
        return Linear(3, use_bias=False, initialisation=TORCH_DEFAULT, name="regress_head")(
            x.astype(jnp.float32)
        )


class CrissCrossBlock(nn.Module):
    """Pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Attributes:
        variant, num_heads, mlp_ratio, drop_rate, part_drop_rate, dtype: see `STCFormer`.
    """

    variant: Variant
    num_heads: int
    mlp_ratio: float
    drop_rate: float
    part_drop_rate: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames joints channels"], train: bool = False
    ) -> Float[Array, "batch frames joints channels"]:
        attention = CrissCrossAttention(
            self.variant, self.num_heads, self.part_drop_rate, self.dtype, name="stc_att"
        )
        mlp = Mlp(
            hidden_dim=int(x.shape[-1] * self.mlp_ratio),
            drop_rate=self.drop_rate,
            use_bias=False,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="mlp",
        )
        x = x + attention(x, train)
        if self.variant.unused_norm:
            # Official checkpoints hold its weights; they come and go with the others.
            LayerNorm(_NORM_EPS, self.dtype, name="layer_norm2")(x)
        return x + mlp(LayerNorm(_NORM_EPS, self.dtype, name="layer_norm")(x), train)


class CrissCrossAttention(nn.Module):
    """Attention over joints with the first half of the channels, over frames with the second.

    The halves meet head by head: output channels are [spatial | temporal] of head 0, of head 1
    and so on, before the last linear layer.

    Attributes:
        variant, num_heads, part_drop_rate, dtype: see `STCFormer`.
    """

    variant: Variant
    num_heads: int
    part_drop_rate: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames joints channels"], train: bool = False
    ) -> Float[Array, "batch frames joints channels"]:
        channels = x.shape[-1]
        x = LayerNorm(_NORM_EPS, self.dtype, name="layer_norm")(x)
        qkv = Linear(
            3 * channels,
            parts=3,
            one_product=train,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="qkv",
        )(x)
        first, second = zip(*(jnp.split(part, 2, axis=-1) for part in qkv), strict=True)

        head_dim = channels // 2 // self.num_heads
        variant = self.variant
        parts = self.param("emb", self._initial_parts, (variant.embeddings, head_dim))
        if variant.untrained_part is not None:
            row = variant.untrained_part
            parts = jnp.asarray(parts).at[row].set(jax.lax.stop_gradient(parts[row]))
        of_joints = parts[np.asarray(variant.parts)]
        options = (variant.scaled_halves, self.num_heads, self.part_drop_rate, self.dtype)
        over_joints, over_frames = variant.part_factors
        spatial = AttentionAlongAxis("joints", over_joints, *options, name="spatial")
        temporal = AttentionAlongAxis("frames", over_frames, *options, name="temporal")
        attended = [spatial(*first, of_joints, train), temporal(*second, of_joints, train)]
        x = jnp.concatenate(attended, axis=-1).reshape(x.shape)
        return Linear(channels, initialisation=TORCH_DEFAULT, dtype=self.dtype, name="proj")(x)

    def _initial_parts(self, key: Array, shape: tuple[int, int]) -> Array:
        parts = jax.random.normal(key, shape)
        row = self.variant.untrained_part
        return parts if row is None else parts.at[row].set(0.0)


class AttentionAlongAxis(nn.Module):
    """Multi-head attention along one axis, and the structure-enhanced positional embedding.

    That embedding is a convolution of the values over neighbouring frames and joints (dynamic)
    and a learned vector of each joint's body part (static).

    Attributes:
        axis: what attends to each other, `"joints"` of a frame or `"frames"` of a joint.
        part_factor: of the static embedding; 0: there is none.
        scaled_halves: see `Variant`.
        num_heads, part_drop_rate, dtype: see `STCFormer`.
    """

    axis: str
    part_factor: float
    scaled_halves: int
    num_heads: int
    part_drop_rate: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        q: Float[Array, "batch frames joints half"],
        k: Float[Array, "batch frames joints half"],
        v: Float[Array, "batch frames joints half"],
        parts: Float32[functional.Parameter, "joints head_dim"],
        train: bool = False,
    ) -> Float[Array, "batch frames joints heads head_dim"]:
        by_head = (*v.shape[:-1], self.num_heads, v.shape[-1] // self.num_heads)

        def along(x: Array) -> Array:
            """[batch, frames, joints, ...] with the tokens third, and back."""
            return x if self.axis == "joints" else x.swapaxes(1, 2)

        q, k, values = (along(x.reshape(by_head)) for x in (q, k, v))
        shape = values.shape
        q, k, values = (x.reshape(-1, *shape[2:]).swapaxes(1, 2) for x in (q, k, values))
        scale = (self.scaled_halves * v.shape[-1]) ** -0.5
        keep_attention(self, q, k, scale)
        attended = multi_head_attention(q, k, values, scale)
        attended = along(attended.swapaxes(1, 2).reshape(shape))

        dynamic = DepthwiseConv(dtype=self.dtype, name="sep2")(v).reshape(by_head)
        if not self.part_factor:
            return attended + dynamic
        static = nn.Dropout(self.part_drop_rate, broadcast_dims=(0, 1))(
            parts, deterministic=not train
        )
        # In float32, so that the embedding's gradient is summed in it too.
        x = (attended + dynamic).astype(jnp.float32) + self.part_factor * static[
            None, None, :, None
        ]
        return x.astype(self.dtype)
