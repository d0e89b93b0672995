"""Swin: attention in windows of an image's patches, shifted from block to block.

Z. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021;
Microsoft's released code.  Swin-T makes one token of an image for the multi-view relational
detector, which also lifts by PoseFormer.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.checks import check_hyperparameters
from jrepose.models.layers import (
    ATTENTION,
    TORCH_DEFAULT,
    LayerNorm,
    Linear,
    Mlp,
    growing_rates,
    truncated_normal,
)

_NORM_EPS = 1e-5
_APART = -100.0  # added to the score of patches that only the shift has brought together


class Swin(nn.Module):
    """Tokens of images' patches, each of which has seen the whole image.

    The defaults are those of Swin-T (27,519,354 parameters).

    Attributes:
        img_size: pixels of the images' sides for which variables are made.  Others go as well, but
            a map that is smaller than a window has a smaller table of biases.
        patch_size: pixels of a patch's side.
        in_chans: channels of the images.
        embed_dim: channels of a patch; they double from stage to stage.
        depths: blocks of each stage, between which four patches become one.
        num_heads: attention heads of each stage.
        window_size: patches of a window's side; a map that is no larger is one window.
        mlp_ratio: hidden channels of the MLPs over the channels of their stage.
        qkv_bias: whether queries, keys and values have a bias.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0; one draw per
            residual branch and image.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        InputError: stages that do not go together.
    """

    img_size: int = 224
    patch_size: int = 4
    in_chans: int = 3
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.1
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(
            self, ("img_size", "patch_size", "in_chans", "embed_dim", "window_size")
        )
        if min(self.depths, default=0) < 1 or len(self.depths) != len(self.num_heads):
            raise InputError(
                f"Swin: depths {self.depths} and num_heads {self.num_heads}, expected a number of "
                "each for every stage, at least 1"
            )
        for stage, heads in enumerate(self.num_heads):
            if heads < 1 or self.embed_dim * 2**stage % heads:
                raise InputError(
                    f"Swin: stage {stage} has {self.embed_dim * 2**stage} channels, which do not "
                    f"divide over num_heads {heads}"
                )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of an image."""
        return self.img_size, self.img_size, self.in_chans

    @nn.compact
    def __call__(
        self,
        images: Float[Array | np.ndarray, "images height width channels"],
        train: bool = False,
        received: bool = False,
    ) -> (
        Float32[Array, "images rows columns features"]
        | tuple[
            Float32[Array, "images rows columns features"], Float32[Array, "images rows columns"]
        ]
    ):
        """The map of tokens after the last stage, normalised.

        Args:
            images: normalised colours; sides that the patches divide, and halves of the map of
                every stage but the last.
            train: apply stochastic depth; needs the PRNG stream `"dropout"`.
            received: give besides what every patch receives of the last block's attention, see
                `SwinBlock`.

        Raises:
            InputError: images that cannot be cut so.
        """
        height, width = images.shape[1:3]
        factor = self.patch_size * 2 ** (len(self.depths) - 1)
        if height % factor or width % factor:
            raise InputError(
                f"images of {height} x {width} pixels, expected multiples of {factor} "
                f"({len(self.depths)} stages of patches of {self.patch_size})"
            )
        rates = iter(growing_rates(self.drop_path_rate, sum(self.depths)))
        x = PatchEmbed(self.embed_dim, self.patch_size, self.dtype, name="patch_embed")(
            jnp.asarray(images)[..., : self.in_chans]
        )
        block_class = nn.remat(SwinBlock, static_argnums=(2,)) if self.remat else SwinBlock
        for stage, (depth, heads) in enumerate(zip(self.depths, self.num_heads, strict=True)):
            for number in range(depth):
                x, attention = block_class(
                    num_heads=heads,
                    window_size=self.window_size,
                    shift_size=number % 2 * (self.window_size // 2),
                    mlp_ratio=self.mlp_ratio,
                    qkv_bias=self.qkv_bias,
                    drop_path_rate=next(rates),
                    dtype=self.dtype,
                    name=f"layers_{stage}_blocks_{number}",
                )(x, train)
            if stage < len(self.depths) - 1:
                x = PatchMerging(self.dtype, name=f"layers_{stage}_downsample")(x)
        x = LayerNorm(_NORM_EPS, name="norm")(x.astype(jnp.float32))
        return (x, attention) if received else x


class PatchEmbed(nn.Module):
    """Patches of pixels as normalised features.

    Attributes:
        features: channels of a patch.
        patch_size: pixels of its side.
        dtype: compute dtype.
    """

    features: int
    patch_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "images height width channels"]
    ) -> Float[Array, "images rows columns features"]:
        side = (self.patch_size, self.patch_size)
        inputs = images.shape[-1] * self.patch_size**2
        x = nn.Conv(
            self.features,
            side,
            side,
            "VALID",
            dtype=self.dtype,
            kernel_init=TORCH_DEFAULT.kernel,
            bias_init=TORCH_DEFAULT.bias(inputs),
            name="proj",
        )(images)
        return LayerNorm(_NORM_EPS, self.dtype, name="norm")(x)


class PatchMerging(nn.Module):
    """Four neighbouring patches become one of twice the channels.

    Attributes:
        dtype: compute dtype.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "images rows columns channels"]
    ) -> Float[Array, "images half_rows half_columns features"]:
        # The second is the lower one.
        x = jnp.concatenate(
            [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], axis=-1
        )
        x = LayerNorm(_NORM_EPS, self.dtype, name="norm")(x)
        return Linear(x.shape[-1] // 2, use_bias=False, dtype=self.dtype, name="reduction")(x)


class SwinBlock(nn.Module):
    """Pre-norm transformer block whose attention is within windows.

    Applied with `mutable="attention"` it stores its weights, `attn/weights`
    `[images * windows, heads, queries, keys]`, the windows of an image row by row.

    Attributes:
        num_heads, qkv_bias, mlp_ratio, dtype: see `Swin`.
        window_size: patches of a window's side; of a map that is no larger, its shorter side.
        shift_size: patches by which the map is moved before it is cut; 0 for such a map.
        drop_path_rate: of each residual branch, one draw for an image.
    """

    num_heads: int
    window_size: int
    shift_size: int = 0
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "images rows columns channels"], train: bool = False
    ) -> tuple[Float[Array, "images rows columns channels"], Float32[Array, "images rows columns"]]:
        """Features, and what every patch receives: the mean over heads and over the patches of its
        window of the attention that they pay to it."""
        rows, columns, channels = x.shape[1:]
        window, shift = self.window_size, self.shift_size
        if min(rows, columns) <= window:
            window, shift = min(rows, columns), 0
        if rows % window or columns % window:
            raise InputError(
                f"a map of {rows} x {columns} patches does not divide into windows of {window}"
            )

        def drop_path(branch: Array) -> Array:
            return nn.Dropout(self.drop_path_rate, broadcast_dims=(1, 2, 3))(
                branch, deterministic=not train
            )

        attention = WindowAttention(self.num_heads, window, self.qkv_bias, self.dtype, name="attn")
        branch = LayerNorm(_NORM_EPS, self.dtype, name="norm1")(x)
        branch = jnp.roll(branch, (-shift, -shift), axis=(1, 2))
        apart = shift_mask(rows, columns, window, shift) if shift else None
        branch, weights = attention(_cut(branch, window), apart)
        received = weights.mean(axis=(2, 3))[..., None]

        def whole(windows: Array) -> Array:
            return jnp.roll(_joined(windows, rows, columns), (shift, shift), axis=(1, 2))

        x = x + drop_path(whole(branch))
        mlp = Mlp(int(channels * self.mlp_ratio), dtype=self.dtype, name="mlp")
        x = x + drop_path(mlp(LayerNorm(_NORM_EPS, self.dtype, name="norm2")(x), train))
        return x, whole(received)[..., 0]


class WindowAttention(nn.Module):
    """Self-attention of the patches of a window, with a learned bias for where they are.

    Attributes:
        num_heads, qkv_bias, dtype: see `Swin`.
        window_size: patches of the window's side.
    """

    num_heads: int
    window_size: int
    qkv_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "images windows patches channels"],
        apart: Float32[np.ndarray, "windows patches patches"] | None,
    ) -> tuple[
        Float[Array, "images windows patches channels"],
        Float32[Array, "images windows heads patches patches"],
    ]:
        """Features, and the weights of the attention."""
        images, windows, patches, channels = x.shape
        qkv = Linear(3 * channels, self.qkv_bias, parts=3, dtype=self.dtype, name="qkv")(x)
        shape = (images, windows, patches, self.num_heads, channels // self.num_heads)
        q, k, v = (part.reshape(shape).swapaxes(2, 3) for part in qkv)
        table = self.param(
            "relative_position_bias_table",
            truncated_normal,
            ((2 * self.window_size - 1) ** 2, self.num_heads),
        )
        bias = jnp.asarray(table)[relative_positions(self.window_size)]
        scores = functional.attention_scores(q, k, shape[-1] ** -0.5)
        scores = scores + jnp.moveaxis(bias, -1, 0)[None, None]
        if apart is not None:
            scores = scores + apart[None, :, None]
        weights = nn.softmax(scores)
        if self.is_mutable_collection(ATTENTION) and not self.is_initializing():
            self.sow(ATTENTION, "weights", weights.reshape(-1, *weights.shape[2:]))
        x = (weights.astype(self.dtype) @ v).swapaxes(2, 3).reshape(x.shape)
        return Linear(channels, dtype=self.dtype, name="proj")(x), weights


def _cut(
    x: Float[Array, "images rows columns channels"], window: int
) -> Float[Array, "images windows patches channels"]:
    """Windows row by row, their patches row by row."""
    images, rows, columns, channels = x.shape
    x = x.reshape(images, rows // window, window, columns // window, window, channels)
    return x.swapaxes(2, 3).reshape(images, -1, window * window, channels)


def _joined(
    x: Float[Array, "images windows patches channels"], rows: int, columns: int
) -> Float[Array, "images rows columns channels"]:
    """The inverse of `_cut`."""
    images, _, patches, channels = x.shape
    window = round(patches**0.5)
    x = x.reshape(images, rows // window, columns // window, window, window, channels)
    return x.swapaxes(2, 3).reshape(images, rows, columns, channels)


@functools.cache
def relative_positions(window: int) -> Int[np.ndarray, "patches patches"]:
    """For a query and a key of a window, the row of the bias table: query minus key, the offset of
    the rows changing more slowly."""
    places = np.stack(np.divmod(np.arange(window * window), window), axis=-1)
    offsets = places[:, None] - places[None] + window - 1
    return offsets[..., 0] * (2 * window - 1) + offsets[..., 1]


@functools.cache
def shift_mask(
    rows: int, columns: int, window: int, shift: int
) -> Float32[np.ndarray, "windows patches patches"]:
    """What is added to the scores of a shifted map: -100 for patches that are not neighbours."""

    def regions(length: int) -> np.ndarray:
        return np.searchsorted([length - window, length - shift], np.arange(length), "right")

    labels = 3 * regions(rows)[:, None] + regions(columns)
    labels = labels.reshape(rows // window, window, columns // window, window)
    labels = labels.swapaxes(1, 2).reshape(-1, window * window)
    return np.where(labels[:, :, None] == labels[:, None], 0, _APART).astype(np.float32)


def kept_patches(
    received: Float[Array, "images patches"], share: Float[Array, ""] | float
) -> tuple[Bool[Array, "images patches"], Int[Array, "images patches"]]:
    """The patches that receive most attention, our reading of the detector's paper.

    Args:
        received: see `SwinBlock`; no gradient goes through it.
        share: of the patches that are kept, rounded up; it may be traced, as no shape depends on
            it.

    Returns:
        Which patches are kept, and the rank of every one, 0 for the one that receives most, the
        first of equal ones first.
    """
    scores = jax.lax.stop_gradient(received)
    order = jnp.argsort(-scores, axis=-1, stable=True)
    ranks = jnp.argsort(order, axis=-1)
    patches = scores.shape[-1]
    # The product may be a rounding above a whole number.
    count = jnp.ceil(jnp.asarray(share, jnp.float32) * patches - 1e-3)
    return ranks < jnp.maximum(count, 1), ranks
