"""MotionAGFormer: attention and graph convolutions side by side, fused for each token.

S. Mehraban et al., "MotionAGFormer: Enhancing 3D Human Pose Estimation with a
Transformer-GCNFormer Network", WACV 2024.  Where the paper and the released code differ, this is
the code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Float32

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.checks import check_frames, check_hyperparameters, check_keypoints
from jrepose.models.layers import (
    TORCH_DEFAULT,
    Attention,
    BatchNorm,
    Initialisation,
    LayerNorm,
    Linear,
    Mlp,
    placed,
)
from jrepose.skeleton import HUMAN36M_17

_NORM_EPS = 1e-5

# Bones that the released code has in one direction only: the first joint does not see the second.
_ONE_WAY = ((0, 4), (8, 11), (8, 14))

# The two streams begin with equal weights.
_EQUAL = Initialisation(nn.initializers.zeros, lambda inputs: nn.initializers.constant(0.5))
# Kernels of the graph convolutions: N(0, 2 / inputs).
_GRAPH = Initialisation(
    nn.initializers.variance_scaling(2.0, "fan_in", "normal"), TORCH_DEFAULT.bias
)


def skeleton_adjacency() -> Float32[np.ndarray, "17 17"]:
    """Which joints (columns) each joint (row) of Human3.6M sees; not symmetric."""
    adjacency = np.zeros((HUMAN36M_17.num_joints,) * 2, np.float32)
    for parent, joint in HUMAN36M_17.limbs:
        adjacency[parent, joint] = adjacency[joint, parent] = 1
    for joint, unseen in _ONE_WAY:
        adjacency[joint, unseen] = 0
    return adjacency


def following_adjacency(frames: int, length: int) -> Float32[np.ndarray, "frames frames"]:
    """Each frame sees itself and the `length` frames after it."""
    after = np.arange(frames)[None] - np.arange(frames)[:, None]
    return ((after >= 0) & (after <= length)).astype(np.float32)


def similarity_adjacency(
    x: Float[Array, "*batch frames channels"], neighbours: int
) -> Float32[Array, "*batch frames frames"]:
    """Each frame sees the most similar ones by inner product; no gradient.

    Args:
        x: features.
        neighbours: how many; all those that are as similar as the last of them.
    """
    x = jax.lax.stop_gradient(x.astype(jnp.float32))
    similarity = x @ x.swapaxes(-1, -2)
    least = jax.lax.top_k(similarity, neighbours)[0][..., -1:]
    return (similarity >= least).astype(jnp.float32)


def normalised(
    adjacency: Float32[Array | np.ndarray, "*batch nodes nodes"],
) -> Float32[Array, "*batch nodes nodes"]:
    """`D^-1/2 A D^-1/2`, D the rows' sums on both sides."""
    scale = jnp.asarray(adjacency).sum(axis=-1) ** -0.5
    return scale[..., :, None] * adjacency * scale[..., None, :]


class MotionAGFormer(nn.Module):
    """Lifts clips of 2D keypoints with confidence to 3D poses, all frames at once (seq2seq).

    In every layer one stream attends over the joints of a frame and then over the frames of a
    joint; the other one is convolved over the skeleton and then over the frames that are most
    alike.  Their sum is weighted anew for every token.

    The defaults are those of the published model B (11,723,811 parameters).  L has `depth` 26; S
    `depth` 26, `dim_feat` 64 and 81 frames; XS `depth` 12, `dim_feat` 64 and 27 frames.

    Attributes:
        n_frames: of every clip, neither more nor fewer: each has its own BatchNorm.
        dim_in: channels per joint that it looks at, the first of those it gets.
        dim_out: coordinates per joint.
        dim_feat: channels of the features.
        dim_rep: channels of the representation that poses are read from.
        depth: number of layers.
        num_heads: attention heads; divides `dim_feat`.
        mlp_ratio: hidden channels of the MLPs over `dim_feat`.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the attention scores, `head_dim ** -0.5` where None.
        neighbour_num: frames that a frame sees in the graph.
        use_temporal_similarity: these are the most similar ones; otherwise a frame sees itself and
            the `temporal_connection_len` frames after it.
        temporal_connection_len: see above.
        use_adaptive_fusion: streams are weighted for each token; otherwise their mean is taken.
        use_layer_scale: residual branches are scaled by channel.
        layer_scale_init_value: what these scales begin with.
        drop_rate: dropout of attention's output and in the MLPs.
        attn_drop_rate: dropout of attention weights.
        drop_path_rate: stochastic depth; one draw per residual branch and clip.
        batch_norm_axis: mapped axis whose devices share the batch's statistics; empty: each has
            its own.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the layers' activations in the backward pass to save memory.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    n_frames: int = 243
    dim_in: int = 3
    dim_out: int = 3
    dim_feat: int = 128
    dim_rep: int = 512
    depth: int = 16
    num_heads: int = 8
    mlp_ratio: float = 4.0
    qkv_bias: bool = False
    qk_scale: float | None = None
    neighbour_num: int = 2
    use_temporal_similarity: bool = True
    temporal_connection_len: int = 1
    use_adaptive_fusion: bool = True
    use_layer_scale: bool = True
    layer_scale_init_value: float = 1e-5
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        sizes = ("n_frames", "dim_in", "dim_out", "dim_feat", "dim_rep", "depth", "neighbour_num",
                 "temporal_connection_len")  # fmt: skip
        check_hyperparameters(self, sizes, width="dim_feat")
        if self.use_temporal_similarity and self.neighbour_num > self.n_frames:
            raise InputError(
                f"MotionAGFormer: neighbour_num is {self.neighbour_num}, expected at most n_frames "
                f"{self.n_frames}"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, joints, channels) of a clip."""
        return self.n_frames, HUMAN36M_17.num_joints, self.dim_in

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool = False,
        batch_norm_momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float32[Array, "batch frames joints coordinates"]:
        """Predicts one pose per frame.

        Args:
            keypoints: x, y (normalised image coordinates) and confidence of the joints of
                Human3.6M; channels after the first `dim_in` are not looked at.
            train: normalise by the batch's statistics, keep them in `"batch_stats"` if that is
                mutable, and apply dropout and stochastic depth, which need the PRNG stream
                `"dropout"` where a rate is above 0.
            batch_norm_momentum: weight of this batch in the running statistics; may be traced.

        Returns:
            poses `[batch, frames, joints, dim_out]`.

        Raises:
            InputError: another number of frames than `n_frames`, wrong joints, or too few
                channels.
        """
        check_frames(keypoints, self.n_frames, "n_frames")
        check_keypoints(keypoints, HUMAN36M_17.num_joints, self.dim_in)
        x = Linear(
            self.dim_feat, initialisation=TORCH_DEFAULT, dtype=self.dtype, name="joints_embed"
        )(jnp.asarray(keypoints)[..., : self.dim_in])
        x = placed(self, x, "pos_embed")
        branch_class = nn.remat(_Branch, static_argnums=(2,)) if self.remat else _Branch

        def attention(name: str) -> Callable[..., Array]:
            attend = Attention(
                num_heads=self.num_heads,
                qkv_bias=self.qkv_bias,
                qk_scale=self.qk_scale,
                attn_drop_rate=self.attn_drop_rate,
                drop_rate=self.drop_rate,
                initialisation=TORCH_DEFAULT,
                dtype=self.dtype,
                name=name,
            )
            return lambda x, train, momentum: attend(x, train)

        def over_joints(x: Array) -> Array:
            return normalised(skeleton_adjacency())

        def over_frames(x: Array) -> Array:
            if self.use_temporal_similarity:
                return normalised(similarity_adjacency(x, self.neighbour_num))
            return normalised(following_adjacency(self.n_frames, self.temporal_connection_len))

        def graph(adjacency: Callable[[Array], Array]) -> Callable[..., GraphConvolution]:
            return functools.partial(
                GraphConvolution, adjacency, self.batch_norm_axis or None, self.dtype
            )

        def branch(x: Array, name: str, mixer: Callable[[str], Callable[..., Array]]) -> Array:
            branched = branch_class(
                mixer=mixer,
                hidden_dim=int(self.dim_feat * self.mlp_ratio),
                layer_scale=self.layer_scale_init_value if self.use_layer_scale else None,
                drop_rate=self.drop_rate,
                drop_path_rate=self.drop_path_rate,
                dtype=self.dtype,
                name=name,
            )
            return branched(x, train, batch_norm_momentum)

        for level in range(self.depth):
            streams = []
            for stream, spatial, temporal in (
                ("att", attention, attention),
                ("graph", graph(over_joints), graph(over_frames)),
            ):
                y = branch(x, f"{stream}_spatial_{level}", spatial).swapaxes(1, 2)
                y = branch(y, f"{stream}_temporal_{level}", temporal).swapaxes(1, 2)
                streams.append(y)
            if self.use_adaptive_fusion:
                fusion = Linear(2, initialisation=_EQUAL, dtype=self.dtype, name=f"fusion_{level}")
                logits = fusion(jnp.concatenate(streams, axis=-1))
                weights = nn.softmax(logits.astype(jnp.float32)).astype(self.dtype)
            else:
                weights = jnp.full((*x.shape[:-1], 2), 0.5, self.dtype)
            x = weights[..., :1] * streams[0] + weights[..., 1:] * streams[1]
        x = LayerNorm(_NORM_EPS, self.dtype, name="norm")(x)
        # The head is small and its rounding is the poses' rounding: always float32.
        representation = Linear(self.dim_rep, initialisation=TORCH_DEFAULT, name="rep_logit")
        head = Linear(self.dim_out, initialisation=TORCH_DEFAULT, name="head")
        return head(nn.tanh(representation(x.astype(jnp.float32))))


class GraphConvolution(nn.Module):
    """`relu(x + norm(A V(x) + U(x)))`, the norm with its statistics and weights by node.

    Attributes:
        adjacency: features -> the graph over their nodes, normalised.
        axis_name: see `layers.BatchNorm`.
        dtype: compute dtype.
    """

    adjacency: Callable[[Array], Array]
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch nodes channels"],
        train: bool = False,
        momentum: ArrayLike = 0.1,
    ) -> Float[Array, "*batch nodes channels"]:
        own, others = (
            Linear(x.shape[-1], initialisation=_GRAPH, dtype=self.dtype, name=name)(x)
            for name in ("U", "V")
        )
        mixed = self.adjacency(x).astype(self.dtype) @ others + own
        norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="batch_norm")
        mixed = norm(mixed.swapaxes(-1, -2), not train, momentum).swapaxes(-1, -2)
        return nn.relu(x + mixed)


class _Branch(nn.Module):
    """A mixer of tokens and an MLP, both behind a norm and added to what they are given.

    Attributes:
        mixer: makes the module that is called `(x, train, momentum)`, from its name.
        hidden_dim: of the MLP.
        layer_scale: what the residual branches' scales begin with; None: they have none.
        drop_rate, drop_path_rate, dtype: see `MotionAGFormer`.
    """

    mixer: Callable[[str], Callable[..., Array]]
    hidden_dim: int
    layer_scale: float | None
    drop_rate: float
    drop_path_rate: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows tokens channels"], train: bool, momentum: ArrayLike
    ) -> Float[Array, "batch rows tokens channels"]:
        def added(x: Array, number: int, branch: Array) -> Array:
            if self.layer_scale is not None:
                initial = nn.initializers.constant(self.layer_scale)
                scale = self.param(f"layer_scale_{number}", initial, x.shape[-1:])
                # In float32, so that the scale's gradient is summed in it too.
                scale = functional.in_rank_of(scale, x)
                branch = (branch.astype(jnp.float32) * scale).astype(self.dtype)
            drop_path = nn.Dropout(self.drop_path_rate, broadcast_dims=(1, 2, 3))
            return x + drop_path(branch, deterministic=not train)

        normed = LayerNorm(_NORM_EPS, self.dtype, name="norm1")(x)
        x = added(x, 1, self.mixer(name="mixer")(normed, train, momentum))
        mlp = Mlp(
            self.hidden_dim,
            self.drop_rate,
            initialisation=TORCH_DEFAULT,
            dtype=self.dtype,
            name="mlp",
        )
        return added(x, 2, mlp(LayerNorm(_NORM_EPS, self.dtype, name="norm2")(x), train))
