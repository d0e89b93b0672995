"""GCNdiff, DiffPose's denoiser as released: GraFormer with an embedding of the diffusion step.

J. Gong et al., "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023.  The network of the
paper's text is another one; this is the one whose checkpoints are public.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32

from jrepose.models.checks import check_hyperparameters, check_noisy
from jrepose.models.graph_layers import GraphTransformer, StepEmbedding, row_normalised_adjacency
from jrepose.skeleton import HUMAN36M_17


class GCNdiff(nn.Module):
    """Predicts the noise in poses, or whatever it is trained to answer.

    A joint's channels are u, v (the 2D keypoint) and x, y, z, all of which are noisy.  The
    defaults are the published ones (1,025,674 parameters).

    Attributes:
        parents: the skeleton, index of each joint's parent, -1 for the root.
        in_chans: channels per joint.
        out_chans: channels per joint of the answer.
        hid_dim: channels of the features, at least 4.
        depth, num_heads, drop_rate, attn_drop_rate, gconv_drop_rate, norm_eps, dtype: as
            `GraFormer`'s.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    parents: tuple[int, ...] = HUMAN36M_17.parents
    in_chans: int = 5
    out_chans: int = 5
    hid_dim: int = 96
    depth: int = 5
    num_heads: int = 4
    drop_rate: float = 0.25
    attn_drop_rate: float = 0.1
    gconv_drop_rate: float = 0.1
    norm_eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        sizes = ("in_chans", "out_chans", "hid_dim", "depth")
        check_hyperparameters(self, sizes, width="hid_dim")
        row_normalised_adjacency(self.parents)

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
        mask: Bool[Array | np.ndarray, "*masks joints"] | None = None,
    ) -> Float32[Array, "*batch joints outputs"]:
        """The network's answer, by default the noise.

        Args:
            noisy: poses.
            steps: diffusion step of each, from 0.
            train: apply dropout; needs the PRNG stream `"dropout"` where a rate is above 0.
            mask: joints that the others attend to, for all poses or each; None: all, as in the
                released code.

        Raises:
            InputError: wrong joints or channels.
        """
        check_noisy(noisy, *self.input_shape)
        embedding = StepEmbedding(self.hid_dim, dtype=self.dtype, name="temb")(jnp.asarray(steps))
        return GraphTransformer(
            features=self.out_chans,
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
        )(jnp.asarray(noisy), embedding, mask, train)
