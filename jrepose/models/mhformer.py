"""MHFormer: three hypotheses of a clip, which refine each other.

W. Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR 2022.
Where the paper and the released code differ, this is the code.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Float32

from jrepose.errors import InputError
from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import (
    TORCH_DEFAULT,
    Attention,
    BatchNorm,
    Block,
    LayerNorm,
    Mlp,
    MultiHeadedAttention,
    TemporalConv,
    growing_rates,
    placed,
)

_HYPOTHESES = (1, 2, 3)
_NORM_EPS = 1e-6
_OUTER_NORM_EPS = 1e-5  # of the norms in front of the generators
_SHORT = 27  # frames up to which the embedding of a hypothesis is normalised

# Hypothesis -> those that it is compared with: the queries' and the keys'.
_OTHERS = {1: (2, 3), 2: (1, 3), 3: (1, 2)}


class MHFormer(nn.Module):
    """Lifts clips of 2D keypoints to 3D poses, all frames at once (seq2seq).

    Generators whose tokens are the coordinates of joints and whose features are the frames make
    three hypotheses; over the frames, these are refined each by itself and then by the others.
    The defaults are those of the published model for 351 frames (31,516,125 parameters).  Trained
    on all frames, it is published for the one in the middle.

    Attributes:
        frames: of every clip, neither more nor fewer; divides over `mhg_heads`.
        num_joints: keypoints per frame.
        num_joints_out: joints per pose.
        channel: of the features of a hypothesis.
        depth: blocks over frames; in the last one hypotheses attend to each other.
        num_heads: of these; divides `channel`.
        mlp_ratio: hidden channels of their MLPs, which see all hypotheses, over `channel`.
        mhg_depth, mhg_heads: blocks and attention heads of a generator.
        drop_rate: dropout of embeddings and linear outputs.
        embed_drop_rate: dropout of the hypotheses' embeddings, of clips of up to 27 frames.
        drop_path_rate: stochastic depth of the last block of each kind, growing linearly from 0;
            one draw per residual branch, hypothesis and clip.
        batch_norm_axis: mapped axis whose devices share the batch's statistics; empty: each has
            its own.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    frames: int = 351
    num_joints: int = 17
    num_joints_out: int = 17
    channel: int = 512
    depth: int = 3
    num_heads: int = 8
    mlp_ratio: float = 2.0
    mhg_depth: int = 4
    mhg_heads: int = 9
    drop_rate: float = 0.1
    embed_drop_rate: float = 0.25
    drop_path_rate: float = 0.2
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("frames", "num_joints", "num_joints_out", "channel", "depth", "mhg_depth",
                 "mhg_heads")  # fmt: skip
        check_hyperparameters(self, sizes, width="channel")
        if self.frames % self.mhg_heads:
            raise InputError(
                f"MHFormer: frames {self.frames} do not divide over mhg_heads {self.mhg_heads}"
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
        batch_norm_momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float32[Array, "batch frames joints 3"]:
        """Predicts one pose per frame.

        Args:
            keypoints: x, y (normalised image coordinates) of every keypoint; further channels,
                such as a confidence, are not looked at.
            train: normalise by the batch's statistics, keep them in `"batch_stats"` if that is
                mutable, and apply dropout and stochastic depth, which need the PRNG stream
                `"dropout"` where a rate is above 0.
            batch_norm_momentum: weight of this batch in the running statistics; may be traced.

        Returns:
            poses `[batch, frames, num_joints_out, 3]`.

        Raises:
            InputError: another number of frames than `frames`, wrong keypoints or too few
                channels.
        """
        check_frames(keypoints, self.frames, "frames")
        check_keypoints(keypoints, self.num_joints, 2)
        batch, frames = keypoints.shape[:2]

        def batch_norm(x: Array, name: str) -> Array:
            norm = BatchNorm(axis_name=self.batch_norm_axis or None, dtype=x.dtype, name=name)
            return norm(x, not train, batch_norm_momentum)

        def embedded(x: Array, number: int) -> Array:
            name, normalised = f"embedding_{number}", frames <= _SHORT
            x = TemporalConv(
                self.channel,
                1,
                use_bias=True,
                dtype=self.dtype,
                name=f"{name}_0" if normalised else name,
            )(x)
            if not normalised:
                return x
            x = nn.relu(batch_norm(x, f"{name}_1"))
            return nn.Dropout(self.embed_drop_rate, deterministic=not train)(x)

        # Coordinates are the tokens, frames the features.
        x = jnp.asarray(keypoints)[..., :2].reshape(batch, frames, -1).swapaxes(1, 2)
        x = x.astype(self.dtype)
        hypotheses = []
        for number in _HYPOTHESES:
            generator = _Generator(
                depth=self.mhg_depth,
                num_heads=self.mhg_heads,
                drop_rate=self.drop_rate,
                drop_path_rate=self.drop_path_rate,
                dtype=self.dtype,
                name=f"Transformer_encoder_{number}",
            )
            normed = LayerNorm(_OUTER_NORM_EPS, self.dtype, name=f"norm_{number}")(x)
            x = x + generator(normed, train)
            hypotheses.append(embedded(x.swapaxes(1, 2), number))
        x = _Refiner(
            depth=self.depth,
            num_heads=self.num_heads,
            hidden_dim=round(self.channel * self.mlp_ratio),
            drop_rate=self.drop_rate,
            drop_path_rate=self.drop_path_rate,
            dtype=self.dtype,
            name="Transformer_hypothesis",
        )(hypotheses, train)

        # The head is small and its rounding is the poses' rounding: always float32.
        x = batch_norm(x.astype(jnp.float32), "regression_0")
        x = TemporalConv(3 * self.num_joints_out, 1, use_bias=True, name="regression_1")(x)
        return x.reshape(batch, frames, self.num_joints_out, 3)


class _Generator(nn.Module):
    """Transformer blocks over coordinates.

    Attributes:
        depth, num_heads: `MHFormer.mhg_depth` and `.mhg_heads`.
        drop_rate, drop_path_rate, dtype: see `MHFormer`.
    """

    depth: int
    num_heads: int
    drop_rate: float
    drop_path_rate: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch coordinates frames"], train: bool
    ) -> Float[Array, "batch coordinates frames"]:
        x = placed(self, x, "pos_embed")
        x = nn.Dropout(self.drop_rate, deterministic=not train)(x)
        for level, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
            x = Block(
                num_heads=self.num_heads,
                mlp_ratio=2.0,
                drop_rate=self.drop_rate,
                drop_path_rate=rate,
                norm_eps=_NORM_EPS,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=f"blocks_{level}",
            )(x, train)
        return LayerNorm(_NORM_EPS, self.dtype, name="norm")(x)


class _Refiner(nn.Module):
    """Blocks in which hypotheses are refined, and in the last one compared.

    Attributes:
        depth, num_heads, drop_rate, drop_path_rate, dtype: see `MHFormer`.
        hidden_dim: of the MLPs.
    """

    depth: int
    num_heads: int
    hidden_dim: int
    drop_rate: float
    drop_path_rate: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, hypotheses: Sequence[Float[Array, "batch frames channel"]], train: bool
    ) -> Float[Array, "batch frames channels"]:
        dropout = nn.Dropout(self.drop_rate, deterministic=not train)
        hypotheses = [
            dropout(placed(self, x, f"pos_embed_{number}"))
            for number, x in zip(_HYPOTHESES, hypotheses, strict=True)
        ]
        for level, rate in enumerate(growing_rates(self.drop_path_rate, self.depth)):
            last = level == self.depth - 1
            hypotheses = _HypothesesBlock(
                crossed=last,
                num_heads=self.num_heads,
                hidden_dim=self.hidden_dim,
                drop_rate=self.drop_rate,
                drop_path_rate=rate,
                dtype=self.dtype,
                name=f"{'CHI' if last else 'SHR'}_blocks_{level}",
            )(hypotheses, train)
        x = jnp.concatenate(hypotheses, axis=-1)
        return LayerNorm(_NORM_EPS, self.dtype, name="norm")(x)


class _HypothesesBlock(nn.Module):
    """A transformer block over frames: attention of each hypothesis, one MLP for all.

    Attributes:
        crossed: queries and keys are the others', one hypothesis after the other; otherwise each
            attends to itself.
        num_heads, drop_rate, drop_path_rate, dtype: see `MHFormer`.
        hidden_dim: of the MLP.
    """

    crossed: bool
    num_heads: int
    hidden_dim: int
    drop_rate: float
    drop_path_rate: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, hypotheses: Sequence[Float[Array, "batch frames channel"]], train: bool
    ) -> list[Float[Array, "batch frames channel"]]:
        drop_path = nn.Dropout(self.drop_path_rate, broadcast_dims=(1, 2), deterministic=not train)
        dropout = nn.Dropout(self.drop_rate, deterministic=not train)

        def norm(name: str, x: Array) -> Array:
            return LayerNorm(_NORM_EPS, self.dtype, name=name)(x)

        of = dict(zip(_HYPOTHESES, hypotheses, strict=True))
        for number in _HYPOTHESES:
            name = f"attn_{number}"
            if self.crossed:
                queries, keys, values = (
                    norm(f"norm3_{number}{place}", of[part])
                    for place, part in enumerate((*_OTHERS[number], number), start=1)
                )
                attention = MultiHeadedAttention(self.num_heads, dtype=self.dtype, name=name)
                branch = dropout(attention(queries, train=train, key_of=keys, value_of=values))
            else:
                attention = Attention(
                    num_heads=self.num_heads,
                    drop_rate=self.drop_rate,
                    initialisation=TORCH_DEFAULT,
                    dtype=self.dtype,
                    name=name,
                )
                branch = attention(norm(f"norm1_{number}", of[number]), train)
            of[number] = of[number] + drop_path(branch)
        x = jnp.concatenate(list(of.values()), axis=-1)
        mlp = Mlp(
            self.hidden_dim,
            self.drop_rate,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="mlp",
        )
        x = x + drop_path(mlp(norm("norm2", x), train))
        return jnp.split(x, len(_HYPOTHESES), axis=-1)
