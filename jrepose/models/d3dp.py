"""D3DP's denoiser: MixSTE that sees noisy poses beside the keypoints, and the diffusion step.

W. Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV
2023.  Where the paper and the released code differ, this is the code.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from jrepose.models import functional
from jrepose.models.checks import check_hyperparameters
from jrepose.models.layers import TORCH_DEFAULT, Linear
from jrepose.models.mixste import MixSTE


class D3DP(MixSTE):
    """Answers with the clean poses of a clip, from noisy ones and the keypoints.

    A joint's channels are u, v (the 2D keypoint) and the noisy x, y, z.  The defaults are those of
    the published model for 243 frames (34,835,459 parameters).

    Attributes:
        timestep: steps of the diffusion.
        num_frame, num_joints, in_chans, embed_dim_ratio, depth, num_heads, mlp_ratio, qkv_bias,
            qk_scale, drop_rate, attn_drop_rate, drop_path_rate, norm_eps, head_norm_eps, dtype,
            remat: as `MixSTE`'s.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    in_chans: int = 5
    timestep: int = 1000

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(self, ("timestep",))

    @nn.compact
    def __call__(
        self,
        noisy: Float[Array | np.ndarray, "*batch frames joints channels"],
        steps: Float[Array | np.ndarray, "*batch"],
        train: bool = False,
    ) -> Float32[Array, "*batch frames joints 3"]:
        """The clean poses.

        Args:
            noisy: keypoints and noisy poses.
            steps: diffusion step of each clip, from 0.
            train: apply dropout and stochastic depth; needs the PRNG stream `"dropout"` where a
                rate is above 0.

        Raises:
            InputError: another number of frames than `num_frame`, wrong joints, or too few
                channels.
        """

        def linear(x: Array, features: int, name: str, **options) -> Array:
            return Linear(
                features, initialisation=TORCH_DEFAULT, dtype=self.dtype, name=name, **options
            )(x)

        width = self.embed_dim_ratio
        embedding = functional.step_embedding(jnp.asarray(steps).reshape(-1), width)
        embedding = linear(embedding, 2 * width, "time_mlp_1")
        embedding = linear(embedding, width, "time_mlp_3", function=functional.gelu_linear)
        clips = jnp.asarray(noisy).reshape(-1, *noisy.shape[-3:])
        poses = self._poses(clips, train, embedding)
        return poses.reshape(*noisy.shape[:-1], 3)
