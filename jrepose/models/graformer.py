"""GraFormer: graph attention and Chebyshev convolutions over the joints of one frame.

W. Zhao et al., "GraFormer: Graph-oriented Transformer for 3D Pose Estimation", CVPR 2022, as in its
released code; and the same network as the context encoder GCNpose of DiffPose (J. Gong et al.,
"DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32

from jrepose.models.checks import check_hyperparameters, check_keypoints
from jrepose.models.graph_layers import GraphTransformer, StepEmbedding, row_normalised_adjacency
from jrepose.skeleton import HUMAN36M_17


class GraFormer(nn.Module):
    """Lifts every frame's 2D keypoints by themselves to a 3D pose.

    The defaults are those of DiffPose's context encoder but for `step_embedding` (654,344
    parameters); GraFormer's own has 16 joints.

    Attributes:
        parents: the skeleton, index of each joint's parent, -1 for the root.
        in_chans: channels per joint that it looks at, the first of those it gets.
        hid_dim: channels of the features.
        depth: attention layers, and as many blocks of two graph convolutions.
        num_heads: attention heads; divides `hid_dim`.
        drop_rate: dropout of the attention layers' residual branches.
        attn_drop_rate: dropout of attention weights.
        gconv_drop_rate: dropout behind the graph convolutions.
        step_embedding: whether it has the two layers that DiffPose's checkpoints of it hold and
            nothing uses (185,088 parameters).
        norm_eps: epsilon of the norms, added to the standard deviation.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    parents: tuple[int, ...] = HUMAN36M_17.parents
    in_chans: int = 2
    hid_dim: int = 96
    depth: int = 5
    num_heads: int = 4
    drop_rate: float = 0.25
    attn_drop_rate: float = 0.1
    gconv_drop_rate: float = 0.1
    step_embedding: bool = False
    norm_eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(self, ("in_chans", "hid_dim", "depth"), width="hid_dim")
        row_normalised_adjacency(self.parents)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, joints, channels) of a clip; any number of frames will do."""
        return 1, len(self.parents), self.in_chans

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames joints channels"],
        train: bool = False,
        mask: Bool[Array | np.ndarray, "*masks joints"] | None = None,
    ) -> Float32[Array, "batch frames joints 3"]:
        """Predicts the poses of all frames.

        Args:
            keypoints: x, y (normalised image coordinates) of every joint; channels after the
                first `in_chans`, such as a confidence, are not looked at.
            train: apply dropout; needs the PRNG stream `"dropout"` where a rate is above 0.
            mask: joints that the others attend to, for all frames or each; None: all, as in the
                released code.

        Raises:
            InputError: wrong joints or too few channels.
        """
        check_keypoints(keypoints, len(self.parents), self.in_chans)
        network = GraphTransformer(
            features=3,
            parents=self.parents,
            hid_dim=self.hid_dim,
            depth=self.depth,
            num_heads=self.num_heads,
            drop_rate=self.drop_rate,
            attn_drop_rate=self.attn_drop_rate,
            gconv_drop_rate=self.gconv_drop_rate,
            norm_eps=self.norm_eps,
            dtype=self.dtype,
            name="network",
        )
        if self.step_embedding:
            StepEmbedding(self.hid_dim, name="temb")(jnp.zeros(()))
        return network(jnp.asarray(keypoints)[..., : self.in_chans], mask=mask, train=train)
