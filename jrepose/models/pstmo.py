"""P-STMO: an encoder of poses over frames, and an aggregator that shrinks them to one.

W. Shan et al., "P-STMO: Pre-Trained Spatial Temporal Many-to-One Model for 3D Human Pose
Estimation", ECCV 2022.  Where the paper and the released code differ, this is the code.

`PSTMO` lifts.  `MaskedPSTMO` is the auto-encoder of 2D poses that its encoder is trained in first,
`Refinement` the released network behind it that knows the camera and the root's depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int

from jrepose.errors import InputError
from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import (
    TORCH_DEFAULT,
    BatchNorm,
    DeviationNorm,
    Initialisation,
    Linear,
    MultiHeadedAttention,
    TemporalConv,
    drawn_once,
    placed,
)
from jrepose.models.videopose3d import leaky_relu

STRIDES: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        9: (1, 3, 3),
        27: (3, 3, 3),
        81: (3, 3, 3, 3),
        243: (3, 3, 3, 3, 3),
        351: (3, 9, 13),
    }
)
"""Frames -> the released code's strides of the aggregator."""

_SLOPE = 0.2  # of the encoder's LeakyReLU
_PLACES = nn.initializers.normal(1.0)
_EMBEDDINGS = 3  # of the aggregator's layers, the first ones


class PSTMO(nn.Module):
    """Lifts clips of 2D keypoints to the 3D pose of the frame in the middle (seq2frame).

    The encoder's own poses of all frames are a second output, trained beside the first.  The
    defaults are those of the published P-STMO for 243 frames (7,009,382 parameters); P-STMO-S has
    a `depth` of 3.

    Attributes:
        frames: of every clip, neither more nor fewer.
        num_joints: keypoints per frame.
        num_joints_out: joints per pose.
        depth: transformer layers of the encoder.
        channel: of the features.
        num_heads: attention heads; divides `channel`.
        mlp_ratio: hidden channels of the feed-forward layers over `channel`.
        stride_num: a layer of the aggregator for each, that keeps every so many-th frame; in the
            end one is left.  `STRIDES` has the released ones.
        drop_rate: dropout of activations, of attention weights and of the residual branches.
        batch_norm_axis: mapped axis whose devices share the batch's statistics; empty: each has
            its own.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    frames: int = 243
    num_joints: int = 17
    num_joints_out: int = 17
    depth: int = 4
    channel: int = 256
    num_heads: int = 8
    mlp_ratio: float = 2.0
    stride_num: tuple[int, ...] = STRIDES[243]
    drop_rate: float = 0.1
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("frames", "num_joints", "num_joints_out", "depth", "channel")
        check_hyperparameters(self, sizes, width="channel")
        left = self.frames
        for stride in self.stride_num:
            if type(stride) is not int or stride < 1:
                raise InputError(f"PSTMO: stride_num is {self.stride_num}, expected numbers >= 1")
            left = (left - 1) // stride + 1
        if left != 1:
            raise InputError(
                f"PSTMO: stride_num {self.stride_num} leaves {left} of {self.frames} frames, "
                f"expected 1; the released ones are {STRIDES.get(self.frames, 'for others')}"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, keypoints, channels) of a clip."""
        return self.frames, self.num_joints, 2

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames keypoints channels"],
        train: bool = False,
    ) -> dict[str, Float32[Array, "batch _ joints 3"]]:
        """Predicts the pose in the middle, and the encoder's poses of all frames.

        Args:
            keypoints: x, y (normalised image coordinates) of every keypoint; further channels,
                such as a confidence, are not looked at.
            train: normalise by the batch's statistics, keep them in `"batch_stats"` if that is
                mutable, and apply dropout, which needs the PRNG stream `"dropout"` where the rate
                is above 0.

        Returns:
            `"poses"` `[batch, 1, num_joints_out, 3]` and `"sequence"`
            `[batch, frames, num_joints_out, 3]`.

        Raises:
            InputError: another number of frames than `frames`, wrong keypoints or too few
                channels.
        """
        check_frames(keypoints, self.frames, "frames")
        check_keypoints(keypoints, self.num_joints, 2)
        x = _encoded(self, jnp.asarray(keypoints)[..., :2], train)
        x = _Stack(depth=self.depth, placed=True, **_sizes(self), name="Transformer")(x, train)
        sequence = self._head(x, "fcn_1", train)
        x = _Aggregator(
            embedded_frames=self.frames,
            strides=self.stride_num,
            **_sizes(self),
            name="Transformer_reduce",
        )(x, train)
        return {"poses": self._head(x, "fcn", train), "sequence": sequence}

    def _head(self, x: Array, name: str, train: bool) -> Array:
        axis = self.batch_norm_axis or None
        # The heads are small and their rounding is the poses' rounding: always float32.
        x = BatchNorm(axis_name=axis, name=f"{name}_0")(x.astype(jnp.float32), not train)
        x = TemporalConv(3 * self.num_joints_out, 1, use_bias=True, name=f"{name}_1")(x)
        return x.reshape(*x.shape[:2], self.num_joints_out, 3)


class MaskedPSTMO(nn.Module):
    """Completes clips of 2D keypoints of which joints and whole frames are masked.

    Encoder and first transformer are those of the `PSTMO` with the same hyperparameters, and have
    the same names.  A decoder of half the channels and one layer less stands behind them.

    Attributes:
        frames, num_joints, depth, channel, num_heads, mlp_ratio, drop_rate, batch_norm_axis, dtype:
            see `PSTMO`; `depth` at least 2, and heads that divide half of the channels too.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    frames: int = 243
    num_joints: int = 17
    depth: int = 4
    channel: int = 256
    num_heads: int = 8
    mlp_ratio: float = 2.0
    drop_rate: float = 0.1
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("frames", "num_joints", "depth", "channel")
        check_hyperparameters(self, sizes, width="channel", streams=2)
        if self.depth < 2:
            raise InputError(
                f"MaskedPSTMO: depth is {self.depth}, expected >= 2: its decoder has a layer less"
            )

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames keypoints channels"],
        visible: Int[Array | np.ndarray, " visible"],
        masked: Int[Array | np.ndarray, " masked"],
        masked_joints: Bool[Array | np.ndarray, "frames keypoints"],
        train: bool = False,
    ) -> Float32[Array, "batch frames keypoints 2"]:
        """The keypoints of all frames, the visible ones first.

        Args:
            keypoints: as for `PSTMO`.
            visible: numbers of the frames that are seen, in their order.
            masked: of all others.
            masked_joints: keypoints that a learned token stands for, in any frame.
            train: as for `PSTMO`.

        Returns:
            x, y of the frames `visible` and then `masked`.

        Raises:
            InputError: as `PSTMO`.
        """
        width = self.channel // 2
        token = self.param("spatial_mask_token", nn.initializers.normal(1.0), (1, 1, 2))
        check_frames(keypoints, self.frames, "frames")
        check_keypoints(keypoints, self.num_joints, 2)
        keypoints = jnp.asarray(keypoints)[..., :2]
        keypoints = jnp.where(masked_joints[None, ..., None], token[None], keypoints)
        x = _encoded(self, keypoints, train)
        x = _Stack(depth=self.depth, placed=True, **_sizes(self), name="Transformer")(
            x, train, visible
        )
        x = DeviationNorm(dtype=self.dtype, name="encoder_LN")(x)
        x = Linear(
            width,
            use_bias=False,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="encoder_to_decoder",
        )(x)
        places = self.param(
            "dec_pos_embedding", nn.initializers.normal(1.0), (1, self.frames, width)
        )
        mask = self.param("mask_token", nn.initializers.normal(1.0), (1, 1, width))
        # In float32, so that the gradients of what is added are summed in it too.
        x = x.astype(jnp.float32) + places[:, visible]
        rest = jnp.broadcast_to(mask + places[:, masked], (len(x), len(masked), width))
        x = jnp.concatenate([x, rest], axis=1).astype(self.dtype)
        sizes = {**_sizes(self), "hidden_dim": _sizes(self)["hidden_dim"] // 2}
        x = _Stack(depth=self.depth - 1, placed=False, **sizes, name="Transformer_dec")(x, train)
        axis = self.batch_norm_axis or None
        x = BatchNorm(axis_name=axis, name="fcn_dec_0")(x.astype(jnp.float32), not train)
        x = TemporalConv(2 * self.num_joints, 1, use_bias=True, name="fcn_dec_1")(x)
        return x.reshape(*x.shape[:2], self.num_joints, 2)


class Refinement(nn.Module):
    """Mixes a pose's x and y with those that its keypoints and depths give in the camera.

    Attributes:
        hidden_dim: channels between the two layers.
        drop_rate: dropout between them.
    """

    hidden_dim: int = 1024
    drop_rate: float = 0.5

    @nn.compact
    def __call__(
        self,
        poses: Float[Array | np.ndarray, "batch 1 joints 3"],
        unprojected: Float[Array | np.ndarray, "batch 1 joints 3"],
        train: bool = False,
    ) -> Float32[Array, "batch 1 joints 3"]:
        """The pose with other x and y.

        Args:
            poses: predicted, relative to the root.
            unprojected: the keypoints at the predicted depths, relative to the root, in the same
                unit (`camera.unproject`).
            train: apply dropout, from the PRNG stream `"dropout"`.
        """
        poses, unprojected = jnp.asarray(poses), jnp.asarray(unprojected)
        joints = poses.shape[2]
        x = jnp.concatenate([poses, unprojected], axis=-1).reshape(len(poses), -1)
        x = Linear(self.hidden_dim, initialisation=TORCH_DEFAULT, name="post_refine_0")(x)
        x = nn.Dropout(self.drop_rate, deterministic=not train)(nn.relu(x))
        x = Linear(2 * joints, initialisation=TORCH_DEFAULT, name="post_refine_3")(x)
        share = nn.sigmoid(x).reshape(len(poses), 1, joints, 2)
        mixed = share * poses[..., :2] + (1 - share) * unprojected[..., :2]
        return jnp.concatenate([mixed, poses[..., 2:]], axis=-1)


def _sizes(model: nn.Module) -> dict[str, Any]:
    """What the layers of a model have in common: heads, hidden channels of the feed-forward part,
    dropout and compute dtype."""
    return {
        "num_heads": model.num_heads,
        "hidden_dim": round(model.channel * model.mlp_ratio),
        "drop_rate": model.drop_rate,
        "dtype": model.dtype,
    }


def _encoded(
    model: nn.Module, keypoints: Float[Array, "batch frames keypoints 2"], train: bool
) -> Float[Array, "batch frames channel"]:
    """Features of every frame by itself; called by the model."""
    x = keypoints.reshape(*keypoints.shape[:2], -1)
    return _FrameEncoder(
        channel=model.channel,
        drop_rate=model.drop_rate,
        batch_norm_axis=model.batch_norm_axis or None,
        dtype=model.dtype,
        name="encoder",
    )(x, train)


class _FrameEncoder(nn.Module):
    """A residual network of every frame by itself, with batch normalisation.

    Attributes:
        channel: of its output; it is twice as wide inside.
        drop_rate, dtype: see `PSTMO`.
        batch_norm_axis: as `BatchNorm.axis_name`.
    """

    channel: int
    drop_rate: float
    batch_norm_axis: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames inputs"], train: bool
    ) -> Float[Array, "batch frames channel"]:
        def conv(x: Array, features: int, name: str) -> Array:
            return TemporalConv(features, 1, use_bias=True, dtype=self.dtype, name=name)(x)

        def hidden(x: Array, name: str, norm: str) -> Array:
            norm = BatchNorm(axis_name=self.batch_norm_axis, dtype=self.dtype, name=norm)
            x = leaky_relu(norm(conv(x, 2 * self.channel, name), not train), _SLOPE)
            return nn.Dropout(self.drop_rate, deterministic=not train)(x)

        x = hidden(x, "fc_1", "bn_1")
        branch = hidden(x, "layers_0_w1", "layers_0_batch_norm1")
        x = x + hidden(branch, "layers_0_w2", "layers_0_batch_norm2")
        return conv(x, self.channel, "fc_2")


class _Layer(nn.Module):
    """Pre-norm transformer layer, whose feed-forward part may leave frames out.

    Attributes:
        num_heads, hidden_dim, drop_rate, dtype: see `_sizes`.
        stride: of the frames that are kept; 0: all, and the second layer of the feed-forward part
            looks at its own frame only, otherwise at the neighbours too.
        attention, feed_forward: how their linear layers begin.
    """

    num_heads: int
    hidden_dim: int
    drop_rate: float
    dtype: DTypeLike
    stride: int
    attention: Initialisation
    feed_forward: Sequence[Initialisation]

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames channel"], train: bool
    ) -> Float[Array, "batch kept channel"]:
        dropped = nn.Dropout(self.drop_rate, deterministic=not train)
        attention = MultiHeadedAttention(
            num_heads=self.num_heads,
            attn_drop_rate=self.drop_rate,
            initialisation=self.attention,
            dtype=self.dtype,
            name="self_attn",
        )
        branch = DeviationNorm(dtype=self.dtype, name="sublayer_0_norm")(x)
        x = x + dropped(attention(branch, train=train))
        channels = x.shape[-1]
        branch = DeviationNorm(dtype=self.dtype, name="sublayer_1_norm")(x)
        w_1, w_2 = (
            {"initialisation": initial, "dtype": self.dtype, "name": f"feed_forward_{name}"}
            for initial, name in zip(self.feed_forward, ("w_1", "w_2"), strict=True)
        )
        if not self.stride:
            branch = dropped(nn.relu(Linear(self.hidden_dim, **w_1)(branch)))
            return x + dropped(Linear(channels, **w_2)(branch))
        branch = TemporalConv(self.hidden_dim, 1, use_bias=True, **w_1)(branch)
        branch = jnp.pad(dropped(nn.relu(branch)), ((0, 0), (1, 1), (0, 0)))
        branch = TemporalConv(channels, 3, self.stride, use_bias=True, **w_2)(branch)
        return x[:, :: self.stride] + dropped(branch)


class _Stack(nn.Module):
    """Transformer layers over frames.

    Attributes:
        num_heads, hidden_dim, drop_rate, dtype: see `_sizes`.
        depth: number of layers.
        placed: whether the places of the frames are embedded.
    """

    num_heads: int
    hidden_dim: int
    drop_rate: float
    dtype: DTypeLike
    depth: int
    placed: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames channel"],
        train: bool,
        visible: Int[Array | np.ndarray, " visible"] | None = None,
    ) -> Float[Array, "batch _ channel"]:
        if self.placed:
            x = placed(self, x, "pos_embedding", initialiser=_PLACES)
        if visible is not None:
            x = x[:, visible]
        attention, *feed_forward = drawn_once(self, 3)
        for number in range(self.depth):
            x = _Layer(
                self.num_heads, self.hidden_dim, self.drop_rate, self.dtype, 0, attention,
                feed_forward, name=f"layers_{number}",
            )(x, train)  # fmt: skip
        # Official checkpoints hold its weights, and nothing goes through it.
        DeviationNorm(dtype=self.dtype, name="norm")(x)
        return x


class _Aggregator(nn.Module):
    """Transformer layers that leave ever fewer frames.

    Attributes:
        num_heads, hidden_dim, drop_rate, dtype: see `_sizes`.
        embedded_frames: places that the embeddings know, more than the layers after the first use.
        strides: of each layer.
    """

    num_heads: int
    hidden_dim: int
    drop_rate: float
    dtype: DTypeLike
    embedded_frames: int
    strides: Sequence[int]

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames channel"], train: bool
    ) -> Float[Array, "batch kept channel"]:
        (attention,) = drawn_once(self, 1)
        for number, stride in enumerate(self.strides):
            if number < _EMBEDDINGS:
                name = f"pos_embedding_{number + 1}"
                x = placed(self, x, name, length=self.embedded_frames, initialiser=_PLACES)
            x = _Layer(
                self.num_heads, self.hidden_dim, self.drop_rate, self.dtype, stride, attention,
                (TORCH_DEFAULT, TORCH_DEFAULT), name=f"layers_{number}",
            )(x, train)  # fmt: skip
        DeviationNorm(dtype=self.dtype, name="norm")(x)  # unused, as in `_Stack`
        return x


def masked_frames(frames: int, share: float) -> int:
    """How many frames of a clip are masked, by the released code's rounding."""
    return min(math.floor(frames * share), frames - 1)
