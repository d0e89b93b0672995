"""The multi-view relational detector: keypoints in images, from clips of synchronised cameras.

Jiao et al., "Towards Precise 3D Human Pose Estimation with Multi-Perspective Spatial-Temporal
Relational Transformers", whose second stage is PoseFormer.  Swin makes one token of the patches of
an image that matter, transformers relate the tokens of a camera's frames and those of a moment's
cameras.  The released code keeps all patches and knows no cameras.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, UInt8

from jrepose.errors import InputError
from jrepose.models import functional
from jrepose.models.checks import check_hyperparameters
from jrepose.models.layers import ATTENTION, TORCH_DEFAULT, Linear
from jrepose.models.relational import FrameRelations
from jrepose.models.swin import Swin, kept_patches

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MultiViewDetector(nn.Module):
    """Detects the joints of a person in every frame and view of a clip.

    The defaults are the paper's, where it is silent ours (65,467,804 parameters); the released
    network is `multiview_released` of `jrepose.models` (46,581,311, of which it uses 46,456,732).

    Applied with `mutable="attention"` it stores besides the weights of its parts `received`
    `[images, rows, columns]`, the attention that every patch receives, and `kept`, which count.

    Attributes:
        num_joints: joints of a person.
        views: cameras that it can tell apart; with one there is no view encoder.
        frames: of the longest clip.
        img_size, patch_size, in_chans, embed_dim, depths, num_heads, window_size, mlp_ratio,
            qkv_bias, drop_path_rate: of Swin, see `Swin`.
        keep: share of the patches, those that receive most attention in Swin's last block, that an
            image's token is the mean of; 1: all.
        fuse: what is left out makes one more, weighted by the attention that it gets.
        time_depth, view_depth: blocks of the encoders over frames and over views; 0: without it.
        relation_heads, relation_mlp_ratio, relation_drop_path_rate: of both encoders; one draw for
            a sequence.
        placed: whether it matters where in its clip a frame is; the released code has the
            embedding and does not add it.
        start_px: where all joints are about before any training; the released code begins at 0, in
            a corner, and takes a while to leave it where the network is narrow.
        unused: hold the weights that the release stores and does not use: a head of Swin's and a
            weighted mean of the frames.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.
        remat: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        InputError: hyperparameters that contradict each other.
    """

    num_joints: int = 17
    views: int = 4
    frames: int = 128
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
    keep: float = 0.7
    fuse: bool = False
    time_depth: int = 4
    view_depth: int = 4
    relation_heads: int = 8
    relation_mlp_ratio: float = 2.0
    relation_drop_path_rate: float = 0.2
    placed: bool = True
    start_px: float = 0.0
    unused: bool = False
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(self, ("num_joints", "views", "frames", "relation_heads"))
        if not 0 < self.keep <= 1:
            raise InputError(f"MultiViewDetector: keep is {self.keep}, expected above 0, at most 1")
        if min(self.time_depth, self.view_depth) < 0:
            raise InputError("MultiViewDetector: time_depth and view_depth must be at least 0")
        width = self.embed_dim * 2 ** (len(self.depths) - 1)
        if width % self.relation_heads:
            raise InputError(
                f"MultiViewDetector: the {width} channels of Swin's last stage do not divide over "
                f"relation_heads {self.relation_heads}"
            )
        self.backbone_sizes()

    @property
    def input_shape(self) -> tuple[int, int, int, int, int]:
        """Frames, views, rows, columns and channels of the shortest clip."""
        return 1, self.views, self.img_size, self.img_size, self.in_chans

    def backbone_sizes(self) -> Swin:
        """The Swin that it has, unbound."""
        fields = (
            "img_size", "patch_size", "in_chans", "embed_dim", "depths", "num_heads",
            "window_size", "mlp_ratio", "qkv_bias", "drop_path_rate", "dtype", "remat",
        )  # fmt: skip
        return Swin(**{name: getattr(self, name) for name in fields}, parent=None)

    @nn.compact
    def __call__(
        self,
        images: Float[Array | np.ndarray, "clips frames views height width channels"],
        views_seen: Bool[Array | np.ndarray, "clips frames views"] | None = None,
        train: bool = False,
        keep: Float[Array, ""] | float | None = None,
    ) -> Float32[Array, "clips frames views joints 2"]:
        """x, y of every joint, pixels of the images.

        Args:
            images: normalised colours, see `normalised`.
            views_seen: which images there are; no other one looks at those that are not.  None:
                all.
            train: apply stochastic depth; needs the PRNG stream `"dropout"`.
            keep: in the place of the field, while a schedule lowers it.

        Raises:
            InputError: more frames or views than it knows, or images that cannot be cut into
                patches.
        """
        *clips, height, width, channels = images.shape
        if (height, width) != (self.img_size, self.img_size):
            raise InputError(
                f"images of {height} x {width} pixels, the model takes {self.img_size} x "
                f"{self.img_size} (img_size)"
            )
        tokens, received = self.backbone_sizes().clone(name="backbone", parent=self)(
            jnp.asarray(images).reshape(-1, height, width, channels), train, received=True
        )
        kept, _ = kept_patches(
            received.reshape(len(received), -1), self.keep if keep is None else keep
        )
        if self.is_mutable_collection(ATTENTION) and not self.is_initializing():
            self.sow(ATTENTION, "received", received)
            self.sow(ATTENTION, "kept", kept.reshape(received.shape))
        tokens = tokens.reshape(*kept.shape, -1)
        fused = received.reshape(kept.shape) if self.fuse else None
        tokens = mean_of_kept(tokens, kept, fused)
        if self.unused:
            Linear(2 * self.num_joints, name="backbone_head")(tokens[:1])
            Linear(1, initialisation=TORCH_DEFAULT, name="weighted_mean")(jnp.zeros(self.frames))
        return FrameRelations(
            num_joints=self.num_joints,
            frames=self.frames,
            views=self.views,
            time_depth=self.time_depth,
            view_depth=self.view_depth,
            num_heads=self.relation_heads,
            mlp_ratio=self.relation_mlp_ratio,
            qkv_bias=self.qkv_bias,
            drop_path_rate=self.relation_drop_path_rate,
            placed=self.placed,
            start_px=self.start_px,
            dtype=self.dtype,
            remat=self.remat,
            name="relations",
        )(tokens.reshape(*clips, -1), views_seen, train)


def normalised(
    images: UInt8[Array | np.ndarray, "*batch height width 3"],
) -> Float32[Array, "*batch height width 3"]:
    """Colours as Swin's and ViT's public weights expect them."""
    images = jnp.asarray(images).astype(jnp.float32)
    mean, deviation = (
        functional.in_rank_of(255 * jnp.array(values), images)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (images - mean) / deviation


def mean_of_kept(
    tokens: Float[Array, "images patches channels"],
    kept: Bool[Array, "images patches"],
    received: Float[Array, "images patches"] | None = None,
) -> Float[Array, "images channels"]:
    """One token of an image.

    Args:
        tokens: of its patches.
        kept: which count.
        received: the attention by which the others are summed, to count as one more (EViT's fused
            token); None: they do not.
    """
    counts = kept.astype(tokens.dtype)
    total, number = jnp.einsum("np,npc->nc", counts, tokens), counts.sum(axis=1, keepdims=True)
    if received is None:
        return total / number
    rest = jnp.where(kept, 0, received)
    left = (~kept).any(axis=1, keepdims=True)
    return (total + jnp.einsum("np,npc->nc", rest, tokens)) / (number + left)
