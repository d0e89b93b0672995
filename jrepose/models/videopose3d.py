"""VideoPose3D: residual blocks of temporal convolutions, one pose per receptive field.

D. Pavllo et al., "3D human pose estimation in video with temporal convolutions and
semi-supervised training", CVPR 2019.  The released code is what this follows.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Float32

from jrepose.config_fields import range_of
from jrepose.errors import InputError
from jrepose.models.checks import check_hyperparameters, check_keypoints
from jrepose.models.layers import TORCH_DEFAULT, BatchNorm, TemporalConv


class VideoPose3D(nn.Module):
    """Lifts clips of 2D keypoints to the 3D poses of the frames that have all their context.

    A clip of T frames gives the `T - receptive_field + 1` poses in the middle of it, or, causal,
    at the end of it.  The defaults are those of the published model (16,952,371 parameters).  With
    `num_joints_out` 1 it is the trajectory model of the semi-supervised training.

    Attributes:
        num_joints_in: keypoints per frame.
        num_joints_out: joints per pose.
        in_features: channels per keypoint that it looks at, the first of those it gets.
        filter_widths: frames that each convolution looks at, odd numbers; the receptive field is
            their product.
        causal: poses of the newest frame instead of the middle one; the weights mean the same.
        strided: clips of exactly one receptive field are convolved with strides, which computes
            only what the one pose needs.  It changes no pose, but in training the batch's
            statistics, which then are of fewer frames.  Longer clips are always dilated.
        channels: of the features.
        drop_rate: dropout in the blocks.
        batch_norm_axis: mapped axis whose devices share the batch's statistics; empty: each has
            its own.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.

    Raises:
        InputError: hyperparameters that cannot be.
    """

    num_joints_in: int = 17
    num_joints_out: int = 17
    in_features: int = 2
    filter_widths: tuple[int, ...] = (3, 3, 3, 3, 3)
    causal: bool = False
    strided: bool = True
    channels: int = 1024
    drop_rate: float = 0.25
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("num_joints_in", "num_joints_out", "in_features", "channels")
        check_hyperparameters(self, sizes)
        check_filter_widths(self)

    @property
    def receptive_field(self) -> int:
        """Frames that a pose depends on."""
        return math.prod(self.filter_widths)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, keypoints, channels) of the shortest clip."""
        return self.receptive_field, self.num_joints_in, self.in_features

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames keypoints channels"],
        train: bool = False,
        batch_norm_momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float32[Array, "batch output_frames joints 3"]:
        """Predicts the poses of all frames whose receptive field is in the clip.

        Args:
            keypoints: x, y (normalised image coordinates) of every keypoint; channels after the
                first `in_features`, such as a confidence, are not looked at.
            train: normalise by the batch's statistics, keep them in `"batch_stats"` if that is
                mutable, and apply dropout, which needs the PRNG stream `"dropout"` where the rate
                is above 0.
            batch_norm_momentum: weight of this batch in the running statistics; may be traced.

        Returns:
            poses `[batch, frames - receptive_field + 1, num_joints_out, 3]`.

        Raises:
            InputError: fewer frames than the receptive field, wrong keypoints, too few channels,
                or, training, a batch without a variance.
        """
        batch, frames = keypoints.shape[:2]
        if frames < self.receptive_field:
            raise InputError(
                f"clip of {frames} frames, the model's receptive field is {self.receptive_field}"
            )
        check_keypoints(keypoints, self.num_joints_in, self.in_features)
        x = jnp.asarray(keypoints)[..., : self.in_features].reshape(batch, frames, -1)
        x = TemporalNetwork(
            features=self.num_joints_out * 3,
            filter_widths=self.filter_widths,
            channels=self.channels,
            drop_rate=self.drop_rate,
            causal=self.causal,
            strided=self.strided and frames == self.receptive_field,
            batch_norm_axis=self.batch_norm_axis or None,
            dtype=self.dtype,
            name="network",
        )(x, train, batch_norm_momentum)
        # The last layer computes in float32: its rounding is the poses'.
        return x.reshape(batch, -1, self.num_joints_out, 3)


def check_filter_widths(module: nn.Module) -> None:
    """Checks the field `filter_widths`.

    Raises:
        InputError: none, one that is not an odd number, or a receptive field of too many frames.
    """
    widths = module.filter_widths
    if not widths or not all(type(width) is int and width > 0 and width % 2 for width in widths):
        raise InputError(
            f"{type(module).__name__}: filter_widths is {widths}, expected one or more odd numbers"
        )
    if math.prod(widths) not in (frames := range_of("clip.frames")):
        raise InputError(
            f"{type(module).__name__}: filter_widths is {widths}, whose product is the frames of a "
            f"clip; expected {frames}"
        )


class TemporalNetwork(nn.Module):
    """VideoPose3D's network on features of a frame: the first convolution, residual blocks of two
    convolutions each, and a linear layer.

    Attributes:
        features: output channels.
        filter_widths, channels, drop_rate, causal, dtype: see `VideoPose3D`.
        strided: convolve with strides as wide as the windows, for clips of one receptive field.
        negative_slope: of the LeakyReLU; 0 is ReLU.
        batch_norm_axis: as `BatchNorm.axis_name`.
    """

    features: int
    filter_widths: tuple[int, ...]
    channels: int
    drop_rate: float
    causal: bool = False
    strided: bool = False
    negative_slope: float = 0.0
    batch_norm_axis: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames inputs"],
        train: bool = False,
        batch_norm_momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float32[Array, "batch output_frames outputs"]:
        def conv(x: Array, name: str, window: int, stride: int = 1, dilation: int = 1) -> Array:
            layer = TemporalConv(
                self.channels, window, stride, dilation, dtype=self.dtype, name=name
            )
            return layer(x)

        def activated(x: Array, name: str) -> Array:
            norm = BatchNorm(axis_name=self.batch_norm_axis, dtype=self.dtype, name=name)
            x = leaky_relu(norm(x, not train, batch_norm_momentum), self.negative_slope)
            return nn.Dropout(self.drop_rate, deterministic=not train)(x)

        first, *widths = self.filter_widths
        x = activated(conv(x, "expand_conv", first, first if self.strided else 1), "expand_bn")
        dilation = first
        for block, width in enumerate(widths):
            if self.strided:
                branch = conv(x, f"layers_conv_{2 * block}", width, stride=width)
                x = x[:, width - 1 if self.causal else width // 2 :: width]
            else:
                branch = conv(x, f"layers_conv_{2 * block}", width, dilation=dilation)
                context = (width - 1) * dilation
                x = x[:, context if self.causal else context // 2 :][:, : branch.shape[1]]
                dilation *= width
            branch = activated(branch, f"layers_bn_{2 * block}")
            branch = conv(branch, f"layers_conv_{2 * block + 1}", 1)
            x = x + activated(branch, f"layers_bn_{2 * block + 1}")
        shrink = TemporalConv(
            self.features, 1, use_bias=True, initialisation=TORCH_DEFAULT, name="shrink"
        )
        return shrink(x)


def leaky_relu(x: Float[Array, "*shape"], slope: float) -> Float[Array, "*shape"]:
    """`x` where it is positive, elsewhere `slope * x`; PyTorch's derivative at 0, the slope."""
    return jnp.where(x > 0, x, slope * x)
