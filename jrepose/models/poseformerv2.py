"""PoseFormerV2: a few frames in the middle, and the low frequencies of the whole clip.

Q. Zhao et al., "PoseFormerV2: Exploring Frequency Domain for Efficient and Robust 3D Human Pose
Estimation", CVPR 2023.  Where the paper and the released code differ, this is the code.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Float64

from jrepose.errors import InputError
from jrepose.frames import middle
from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import (
    TORCH_DEFAULT,
    Attention,
    Block,
    LayerNorm,
    Linear,
    Mlp,
    growing_rates,
    placed,
)


class PoseFormerV2(nn.Module):
    """Lifts clips of 2D keypoints to the 3D pose of the frame in the middle (seq2frame).

    The defaults are those of the published model for 243 frames (14,381,899 parameters).

    Attributes:
        num_frame: frames of every clip, neither more nor fewer.
        number_of_kept_frames: frames in the middle whose joints attend to each other, an odd
            number; the paper's f.
        number_of_kept_coeffs: lowest frequencies of the keypoints' movement over all frames; the
            paper's n.
        num_joints, in_chans, embed_dim_ratio, num_heads, mlp_ratio, qkv_bias, qk_scale, drop_rate,
            attn_drop_rate, norm_eps, head_norm_eps, dtype, remat: see `PoseFormer`; `in_chans` is
            2, and frequencies have no dropout.
        depth: blocks over joints, and as many over frequencies and frames.
        drop_path_rate: see `PoseFormer`; the two halves of a block's MLP draw for themselves.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    num_frame: int = 243
    number_of_kept_frames: int = 27
    number_of_kept_coeffs: int = 27
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
        sizes = ("num_frame", "number_of_kept_frames", "number_of_kept_coeffs", "num_joints",
                 "in_chans", "embed_dim_ratio", "depth")  # fmt: skip
        check_hyperparameters(self, sizes, width="embed_dim_ratio")
        kept, coefficients = self.number_of_kept_frames, self.number_of_kept_coeffs
        if kept % 2 == 0 or kept > self.num_frame or (self.num_frame - kept) % 2:
            raise InputError(
                f"PoseFormerV2: number_of_kept_frames is {kept}, expected an odd number of the "
                f"{self.num_frame} frames, and an odd number of these (num_frame)"
            )
        if coefficients > self.num_frame:
            raise InputError(
                f"PoseFormerV2: number_of_kept_coeffs is {coefficients}, {self.num_frame} frames "
                "have no more than as many"
            )

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
        keypoints = jnp.asarray(keypoints)[..., : self.in_chans].astype(jnp.float32)
        kept, coefficients = self.number_of_kept_frames, self.number_of_kept_coeffs
        options = {
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "qk_scale": self.qk_scale,
            "drop_rate": self.drop_rate,
            "attn_drop_rate": self.attn_drop_rate,
            "norm_eps": self.norm_eps,
            "dtype": self.dtype,
        }
        rates = growing_rates(self.drop_path_rate, self.depth)

        def remat(block: type[nn.Module]) -> type[nn.Module]:
            return nn.remat(block, static_argnums=(2,)) if self.remat else block

        def linear(features: int, name: str) -> Linear:
            return Linear(features, initialisation=TORCH_DEFAULT, dtype=self.dtype, name=name)

        x = linear(self.embed_dim_ratio, "Joint_embedding")(middle(keypoints, kept))
        x = placed(self, x, "Spatial_pos_embed")
        x = nn.Dropout(self.drop_rate, deterministic=not train)(x)
        for level, rate in enumerate(rates):
            x = remat(Block)(
                **options,
                drop_path_rate=rate,
                initialisation=TORCH_DEFAULT,
                name=f"Spatial_blocks_{level}",
            )(x, train)
        x = LayerNorm(self.norm_eps, self.dtype, name="Spatial_norm")(x).reshape(batch, kept, -1)
        x = placed(self, x, "Temporal_pos_embed")

        movement = cosines(frames)[:coefficients].astype(np.float32) @ keypoints.reshape(
            batch, frames, -1
        )
        movement = linear(x.shape[-1], "Freq_embedding")(movement)
        x = jnp.concatenate([placed(self, movement, "Temporal_pos_embed_"), x], axis=1)
        for level, rate in enumerate(rates):
            x = remat(MixedBlock)(**options, drop_path_rate=rate, name=f"blocks_{level}")(x, train)
        x = LayerNorm(self.norm_eps, self.dtype, name="Temporal_norm")(x)

        # What is left is small and its rounding is the poses' rounding: always float32.
        x = x.astype(jnp.float32).swapaxes(1, 2)
        means = [
            Linear(1, initialisation=TORCH_DEFAULT, name=name)(part)[..., 0]
            for name, part in (
                ("weighted_mean", x[..., :coefficients]),
                ("weighted_mean_", x[..., coefficients:]),
            )
        ]
        x = LayerNorm(self.head_norm_eps, name="head_0")(jnp.concatenate(means, axis=-1))
        x = Linear(3 * joints, initialisation=TORCH_DEFAULT, name="head_1")(x)
        return x.reshape(batch, 1, joints, 3)


class MixedBlock(nn.Module):
    """A transformer block that has one MLP for the first half of its tokens, and one on the
    frequencies of the second.

    Which token is in which half depends on their number only.

    Attributes:
        num_heads, mlp_ratio, qkv_bias, qk_scale, drop_rate, attn_drop_rate, drop_path_rate,
            norm_eps, dtype: see `layers.Block`.
    """

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
        self, x: Float[Array, "batch tokens channels"], train: bool = False
    ) -> Float[Array, "batch tokens channels"]:
        def norm(name: str) -> LayerNorm:
            return LayerNorm(self.norm_eps, self.dtype, name=name)

        def mlp(name: str) -> Mlp:
            hidden = int(x.shape[-1] * self.mlp_ratio)
            return Mlp(
                hidden,
                self.drop_rate,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=name,
            )

        drop_path = nn.Dropout(self.drop_path_rate, broadcast_dims=(1, 2), deterministic=not train)
        attention = Attention(
            num_heads=self.num_heads,
            qkv_bias=self.qkv_bias,
            qk_scale=self.qk_scale,
            attn_drop_rate=self.attn_drop_rate,
            drop_rate=self.drop_rate,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="attn",
        )
        x = x + drop_path(attention(norm("norm1")(x), train))
        half = x.shape[1] // 2
        first, second = x[:, :half], x[:, half:]
        first = first + drop_path(mlp("mlp1")(norm("norm2")(first), train))
        tokens = second.shape[1]
        branch = norm("norm3")(second).astype(jnp.float32)
        branch = mlp("mlp2")(cosines(tokens).astype(np.float32) @ branch, train)
        branch = inverse_cosines(tokens).astype(np.float32) @ branch.astype(jnp.float32)
        second = second + drop_path(branch.astype(self.dtype))
        return jnp.concatenate([first, second], axis=1)


@functools.cache
def cosines(length: int) -> Float64[np.ndarray, "frequencies length"]:
    """The cosine transform, type II, not normalised; row m is that of frequency m."""
    places = np.arange(length)
    return 2 * np.cos(np.pi * (2 * places + 1) * places[:, None] / (2 * length))


@functools.cache
def inverse_cosines(length: int) -> Float64[np.ndarray, "length frequencies"]:
    """Its exact inverse."""
    return cosines(length).T / (2 * length) * np.where(np.arange(length) == 0, 0.5, 1)
