"""Graph networks over the joints of a pose: what GraFormer and DiffPose's denoiser share.

All work on `[*batch, joints, channels]`; the graph is the skeleton's, or learned.  Parameters are
float32; `dtype` is the compute dtype, as in `layers.py`.

W. Zhao et al., "GraFormer: Graph-oriented Transformer for 3D Pose Estimation", CVPR 2022, whose
released code this follows.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.layers import (
    TORCH_DEFAULT,
    DeviationNorm,
    Initialisation,
    Linear,
    MultiHeadedAttention,
    drawn_once,
    parameter,
)


def row_normalised_adjacency(parents: tuple[int, ...]) -> np.ndarray:
    """Neighbours and the joint itself, each row summing to 1, so it is not symmetric.

    Args:
        parents: index of each joint's parent, -1 for the root.

    Returns:
        float64 `[joints, joints]`.

    Raises:
        InputError: the parents are no tree.
    """
    joints = len(parents)
    adjacency = np.eye(joints)
    for joint, parent in enumerate(parents):
        if not -1 <= parent < joints:
            raise InputError(
                f"parents: joint {joint} has parent {parent}, expected -1 to {joints - 1}"
            )
        if parent >= 0:
            adjacency[joint, parent] = adjacency[parent, joint] = 1
    # Joints that are within as many bones as there are joints of the first one.
    reached = np.linalg.matrix_power(adjacency, joints)[:1] > 0
    if parents.count(-1) != 1 or not reached.all():
        raise InputError(f"parents {parents} are not those of one skeleton, a tree with one root")
    return adjacency / adjacency.sum(axis=1, keepdims=True)


def laplacian(adjacency: np.ndarray) -> np.ndarray:
    """`I - D^-1/2 A D^-1/2`, D the rows' sums."""
    scale = adjacency.sum(axis=1) ** -0.5
    return np.eye(len(adjacency)) - scale[:, None] * adjacency * scale


def chebyshev_terms(matrix: np.ndarray, order: int = 2) -> np.ndarray:
    """The Chebyshev polynomials T_0 to T_order of a matrix, `[order + 1, joints, joints]`."""
    terms = [np.eye(len(matrix)), matrix]
    while len(terms) <= order:
        terms.append(2 * matrix @ terms[-1] - terms[-2])
    return np.stack(terms[: order + 1])


class ChebConv(nn.Module):
    """Chebyshev graph convolution of second order, `sum_k T_k(L) x W_k + bias`.

    M. Defferrard et al., NIPS 2016; the Laplacian is not rescaled here.

    Attributes:
        features: output channels.
        parents: the skeleton.
        dtype: compute dtype.
    """

    features: int
    parents: tuple[int, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch joints inputs"]
    ) -> Float[Array, "*batch joints outputs"]:
        terms = chebyshev_terms(laplacian(row_normalised_adjacency(self.parents)))
        inputs = x.shape[-1]
        # Xavier's rule on the four-dimensional kernel of the released code.
        initial = nn.initializers.normal((2 * inputs * self.features) ** -0.5)
        kernel = parameter(self, "kernel", initial, (len(terms), inputs, self.features))
        bias = parameter(self, "bias", nn.initializers.zeros, (self.features,))
        x = x.astype(self.dtype)
        mixed = [x, *(mix_joints(jnp.asarray(term, self.dtype), x) for term in terms[1:])]
        kernel = jnp.asarray(kernel).reshape(-1, self.features)
        return functional.linear(jnp.concatenate(mixed, axis=-1), kernel, bias)


def mix_joints(
    weights: Float[Array, "outputs joints"], x: Float[Array, "*batch joints channels"]
) -> Float[Array, "*batch outputs channels"]:
    """Every joint's features as a sum over all joints'."""
    return jnp.einsum("ij,...jc->...ic", weights, x)


def learned_adjacency(
    weights: Float[Array | np.ndarray, "joints joints"],
) -> Float32[Array, "joints joints"]:
    """The learnable adjacency matrix, both sides divided by the root of its columns' sums."""
    weights = jnp.asarray(weights, jnp.float32)
    scale = (weights.sum(axis=0) + 1e-5) ** -0.5
    return scale[:, None] * weights * scale[None]


class GraphNet(nn.Module):
    """Two linear layers, each behind the same learned mixture of the joints (LAM-Gconv).

    Attributes:
        initialisations: of the first and the second layer.
        dtype: compute dtype.
    """

    initialisations: tuple[Initialisation, Initialisation] = (TORCH_DEFAULT, TORCH_DEFAULT)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch joints channels"]
    ) -> Float[Array, "*batch joints channels"]:
        joints, channels = x.shape[-2:]
        identity = lambda key, shape: jnp.eye(joints)  # noqa: E731
        weights = learned_adjacency(parameter(self, "A_hat", identity, (joints, joints)))
        weights = weights.astype(self.dtype)
        first, second = (
            Linear(width, initialisation=initialisation, dtype=self.dtype, name=name)
            for width, initialisation, name in zip(
                (2 * channels, channels), self.initialisations, ("gconv1", "gconv2"), strict=True
            )
        )
        x = nn.relu(first(mix_joints(weights, x)))
        return second(mix_joints(weights, x))


class AttentionLayer(nn.Module):
    """`x + attention(norm(x))`, then `x + graph network(norm(x))`.

    Attributes:
        num_heads, attn_drop_rate: see `MultiHeadedAttention`.
        drop_rate: dropout of the residual branches.
        norm_eps: epsilon of the norms.
        attention, graph_net: initialisations of their linear layers.
        dtype: compute dtype.
    """

    num_heads: int
    attn_drop_rate: float = 0.0
    drop_rate: float = 0.0
    norm_eps: float = 1e-6
    attention: Initialisation = TORCH_DEFAULT
    graph_net: tuple[Initialisation, Initialisation] = (TORCH_DEFAULT, TORCH_DEFAULT)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch joints channels"],
        mask: Bool[Array, "*masks joints"] | None = None,
        train: bool = False,
    ) -> Float[Array, "*batch joints channels"]:
        def dropped(branch: Array) -> Array:
            return nn.Dropout(self.drop_rate, deterministic=not train)(branch)

        norm_0, norm_1 = (
            DeviationNorm(self.norm_eps, self.dtype, name=f"norm_{index}") for index in range(2)
        )
        self_attn = MultiHeadedAttention(
            self.num_heads, self.attn_drop_rate, self.attention, self.dtype, name="self_attn"
        )
        feed_forward = GraphNet(self.graph_net, self.dtype, name="feed_forward")
        x = x + dropped(self_attn(norm_0(x), mask, train))
        return x + dropped(feed_forward(norm_1(x)))


class ResidualConv(nn.Module):
    """Two graph convolutions, each rectified, added to their input.

    Attributes:
        parents: the skeleton.
        drop_rate: dropout behind each convolution.
        dtype: compute dtype.
    """

    parents: tuple[int, ...]
    drop_rate: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch joints channels"],
        embedding: Float[Array, "*batch embedding"] | None = None,
        train: bool = False,
    ) -> Float[Array, "*batch joints channels"]:
        """With an embedding, its projection is added between the convolutions."""
        channels = x.shape[-1]

        def convolved(x: Array, name: str) -> Array:
            x = nn.relu(ChebConv(channels, self.parents, self.dtype, name=name)(x))
            return nn.Dropout(self.drop_rate, deterministic=not train)(x)

        branch = convolved(x, "gconv1")
        if embedding is not None:
            projection = Linear(
                channels, initialisation=TORCH_DEFAULT, dtype=self.dtype, name="temb_proj"
            )
            branch = branch + projection(nn.swish(embedding))[..., None, :]
        return x + convolved(branch, "gconv2")


class GraphTransformer(nn.Module):
    """Graph attention and residual graph convolutions in turn, between two graph convolutions.

    Attributes:
        features: output channels.
        parents: the skeleton.
        hid_dim: channels of the features.
        depth: attention layers, and as many residual convolutions.
        num_heads: attention heads.
        drop_rate: dropout of the attention layers' residual branches.
        attn_drop_rate: dropout of attention weights.
        gconv_drop_rate: dropout behind the graph convolutions.
        norm_eps: epsilon of the norms.
        dtype: compute dtype.
    """

    features: int
    parents: tuple[int, ...]
    hid_dim: int
    depth: int
    num_heads: int
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    gconv_drop_rate: float = 0.0
    norm_eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch joints inputs"],
        embedding: Float[Array, "*batch embedding"] | None = None,
        mask: Bool[Array, "*masks joints"] | None = None,
        train: bool = False,
    ) -> Float32[Array, "*batch joints outputs"]:
        """The network.

        Args:
            x: a pose's joints.
            embedding: of the diffusion step, for all convolution blocks.
            mask: joints that are attended to; None: all.
            train: apply dropout.
        """
        # The released code copies one layer into all places of its kind, so that they begin equal.
        attention, *graph_net = drawn_once(self, 3)
        x = ChebConv(self.hid_dim, self.parents, self.dtype, name="gconv_input")(x)
        for level in range(self.depth):
            x = AttentionLayer(
                self.num_heads,
                self.attn_drop_rate,
                self.drop_rate,
                self.norm_eps,
                attention,
                tuple(graph_net),
                self.dtype,
                name=f"atten_layers_{level}",
            )(x, mask, train)
            x = ResidualConv(
                self.parents, self.gconv_drop_rate, self.dtype, name=f"gconv_layers_{level}"
            )(x, embedding, train)
        # The rounding of what is left would be the poses': always float32.
        x = x.astype(jnp.float32)
        return ChebConv(self.features, self.parents, name="gconv_output")(x)


class StepEmbedding(nn.Module):
    """What the convolution blocks are told of the diffusion step: two layers on its sinusoids.

    Attributes:
        channels: of the sinusoids; the embedding has four times as many.
        dtype: compute dtype.
    """

    channels: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, steps: Float[Array, "*batch"]) -> Float[Array, "*batch embedding"]:
        first, second = (
            Linear(
                4 * self.channels, initialisation=TORCH_DEFAULT, dtype=self.dtype, name=f"dense_{i}"
            )
            for i in range(2)
        )
        return second(nn.swish(first(functional.step_embedding(steps, self.channels))))
