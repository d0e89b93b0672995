"""DiffPose's denoiser as its paper describes it.

J. Gong et al., "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023, with its supplement.
The released checkpoints are of another network, `models/gcndiff.py`.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.checks import check_hyperparameters, check_noisy
from jrepose.models.functional import in_rank_of
from jrepose.models.graph_layers import ChebConv, ResidualConv, row_normalised_adjacency
from jrepose.models.layers import (
    TORCH_DEFAULT,
    DeviationNorm,
    Linear,
    MultiHeadedAttention,
)
from jrepose.skeleton import HUMAN36M_17


class DiffPose(nn.Module):
    """Answers a less noisy pose, or whatever it is trained to, told what the context encoder saw.

    A graph convolution of the noisy pose and a linear layer of the encoder's features have half of
    the channels each; the embedding of the diffusion step is added once.  Then come blocks of
    self-attention and two graph convolutions, both residual, and a graph convolution.  Their order,
    norms, dropout and the layer that brings the features to their width are GraFormer's or
    ours, as the paper does not tell them.

    Attributes:
        parents: the skeleton, index of each joint's parent, -1 for the root.
        in_chans, out_chans: channels per joint of the pose and of the answer.
        hid_dim: channels of the features, an even number from 4.
        depth: blocks.
        num_heads, drop_rate, attn_drop_rate, gconv_drop_rate, norm_eps, dtype: as `GraFormer`'s.
        copies: networks one after another, each given the answer of the one before (the paper's
            baseline B, which does not say how many).
        residual: whether the answer is added to the noisy pose (ours).

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    parents: tuple[int, ...] = HUMAN36M_17.parents
    in_chans: int = 3
    out_chans: int = 3
    hid_dim: int = 256
    depth: int = 3
    num_heads: int = 4
    drop_rate: float = 0.25
    attn_drop_rate: float = 0.1
    gconv_drop_rate: float = 0.1
    copies: int = 1
    residual: bool = False
    norm_eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("in_chans", "out_chans", "hid_dim", "depth", "copies")
        check_hyperparameters(self, sizes, width="hid_dim")
        row_normalised_adjacency(self.parents)
        if (self.copies > 1 or self.residual) and self.in_chans != self.out_chans:
            raise InputError(
                f"DiffPose: out_chans is {self.out_chans}, expected {self.in_chans}, as in_chans, "
                "where the answer is added to the pose or given to another copy"
            )

    @property
    def input_shape(self) -> tuple[int, int]:
        """(joints, channels) of a pose."""
        return len(self.parents), self.in_chans

    @nn.compact
    def __call__(
        self,
        noisy: Float[Array | np.ndarray, "*batch joints channels"],
        steps: Float[Array | np.ndarray, "*batch"],
        train: bool = False,
        context: Float[Array | np.ndarray, "*clips joints features"] | None = None,
    ) -> Float32[Array, "*batch joints outputs"]:
        """The network's answer.

        Args:
            noisy: poses.
            steps: diffusion step of each, from 0.
            train: apply dropout; needs the PRNG stream `"dropout"` where a rate is above 0.
            context: features of the poses' joints; may lack leading axes that the poses have.
                None: half of the channels are 0.

        Raises:
            InputError: wrong joints or channels.
        """
        check_noisy(noisy, *self.input_shape)
        embedding = functional.step_embedding(steps, self.hid_dim, interleaved=True)[..., None, :]
        pose = jnp.asarray(noisy)
        for copy in range(self.copies):
            answer = self._network(f"network_{copy}", pose, embedding, context, train)
            pose = pose + answer if self.residual else answer
        return pose

    def _network(self, name, pose, embedding, context, train):
        half = self.hid_dim // 2
        x = ChebConv(half, self.parents, self.dtype, name=f"{name}_gconv_input")(pose)
        told = jnp.zeros((*x.shape[:-1], self.hid_dim - half), self.dtype)
        if context is not None:
            features = Linear(
                self.hid_dim - half, initialisation=TORCH_DEFAULT, dtype=self.dtype,
                name=f"{name}_context",
            )(jnp.asarray(context))  # fmt: skip
            told = jnp.broadcast_to(in_rank_of(features, told), told.shape)
        x = jnp.concatenate([x, told], -1) + embedding.astype(self.dtype)
        for level in range(self.depth):
            norm = DeviationNorm(self.norm_eps, self.dtype, name=f"{name}_norm_{level}")
            attention = MultiHeadedAttention(
                self.num_heads,
                self.attn_drop_rate,
                dtype=self.dtype,
                name=f"{name}_self_attn_{level}",
            )
            attended = attention(norm(x), None, train)
            x = x + nn.Dropout(self.drop_rate, deterministic=not train)(attended)
            x = ResidualConv(
                self.parents, self.gconv_drop_rate, self.dtype, name=f"{name}_gconv_layers_{level}"
            )(x, None, train)
        x = x.astype(jnp.float32)
        return ChebConv(self.out_chans, self.parents, name=f"{name}_gconv_output")(x)
