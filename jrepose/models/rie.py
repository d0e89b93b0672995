"""RIE: relative information encoding of body parts, and a network that fuses their features.

W. Shan et al., "Improving Robustness and Accuracy via Relative Information Encoding in 3D Human
Pose Estimation", ACM Multimedia 2021, with its supplement.  Where paper and released code differ,
this is the code; the encodings that it lacks are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Float32

from jrepose.errors import InputError
from jrepose.models.checks import check_hyperparameters
from jrepose.models.layers import TORCH_DEFAULT, BatchNorm, Linear
from jrepose.models.videopose3d import TemporalNetwork, check_filter_widths, leaky_relu
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17

_SLOPE = 0.2


class BodyParts(NamedTuple):
    """How a skeleton's joints are grouped.

    Attributes:
        parts: name -> joints.  The names are those of the released weights, whose left is the
            person's right.
        root: joints in whose middle the positional encoding has its origin.
    """

    parts: Mapping[str, tuple[int, ...]]
    root: tuple[int, ...]


def _body(*joints: tuple[int, ...], root: tuple[int, ...]) -> BodyParts:
    return BodyParts(
        dict(zip(("Torso", "LArm", "RArm", "LLeg", "RLeg"), joints, strict=True)), root
    )


BODY_PARTS: Mapping[str, BodyParts] = MappingProxyType(
    {
        HUMAN36M_17.name: _body(
            (0, 7, 8, 9, 10), (14, 15, 16), (11, 12, 13), (1, 2, 3), (4, 5, 6), root=(0,)
        ),
        # These groups and the following ones are ours; the paper evaluates on HumanEva, too, but
        # neither prints nor releases what it grouped.
        HUMANEVA_15.name: _body(
            (0, 1, 14), (5, 6, 7), (2, 3, 4), (11, 12, 13), (8, 9, 10), root=(0,)
        ),
        MPI_INF_3DHP_17.name: _body(
            (14, 15, 1, 16, 0), (2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13), root=(14,)
        ),
        # For keypoints only; there is no pelvis, so the root is between the hips.
        COCO_17.name: _body(
            (0, 1, 2, 3, 4), (6, 8, 10), (5, 7, 9), (12, 14, 16), (11, 13, 15), root=(11, 12)
        ),
    }
)
"""Skeleton -> its five body parts."""


def positional_encoding(
    keypoints: Float[Array, "*batch joints 2"], root: tuple[int, ...] = (0,)
) -> Float[Array, "*batch joints 2"]:
    """Keypoints relative to the same frame's root (section 3.2).

    Args:
        keypoints: x and y.
        root: joints whose mean is the root.
    """
    return keypoints - jnp.mean(keypoints[..., root, :], axis=-2, keepdims=True)


def _difference(keypoints: Array, centre: Array) -> Array:
    return keypoints - centre


def _difference_and_square(keypoints: Array, centre: Array) -> Array:
    difference = keypoints - centre
    return jnp.concatenate([difference, jnp.square(difference)], axis=-1)


def _inner_product(keypoints: Array, centre: Array) -> Array:
    return jnp.sum(keypoints * centre, axis=-1, keepdims=True)


def _cross_product(keypoints: Array, centre: Array) -> Array:
    return keypoints[..., :1] * centre[..., 1:] - keypoints[..., 1:] * centre[..., :1]


def _cosine_similarity(keypoints: Array, centre: Array) -> Array:
    norms = _inner_product(keypoints, keypoints) * _inner_product(centre, centre)
    # A keypoint in the middle of the image has no direction; it counts as at right angles.
    zero = norms == 0
    cosine = _inner_product(keypoints, centre) / jnp.sqrt(jnp.where(zero, 1.0, norms))
    return jnp.where(zero, 0.0, cosine)


TEMPORAL_OPERATORS: Mapping[str, Callable[[Array, Array], Array]] = MappingProxyType(
    {
        "sub": _difference,
        "sub_sub_s": _difference_and_square,
        "ip": _inner_product,
        "cp": _cross_product,
        "cs": _cosine_similarity,
    }
)
"""The supplement's operators of a joint's keypoints and those of the clip's central frame."""


def temporal_encoding(
    keypoints: Float[Array, "batch frames joints 2"], operator: str = "sub", frames: int = 0
) -> Float[Array, "batch frames joints encoded"]:
    """Keypoints relative to the same joint in the central frame (section 3.2).

    Args:
        keypoints: x and y; frame `frames // 2` of a clip is its central one.
        operator: `"sub"`, the difference; `"sub_sub_s"`, the difference and its square; `"ip"`,
            the inner product; `"cp"`, the cross product; `"cs"`, the cosine similarity.
        frames: encode only so many central frames and leave 0 elsewhere; 0: all.

    Returns:
        2, 4, 1, 1 and 1 channels.
    """
    length = keypoints.shape[1]
    centre = length // 2
    encoded = TEMPORAL_OPERATORS[operator](keypoints, keypoints[:, centre : centre + 1])
    if frames:
        near = np.abs(np.arange(length) - centre) <= frames // 2
        encoded = jnp.where(near[None, :, None, None], encoded, 0.0)
    return encoded


class RIE(nn.Module):
    """Lifts clips of one receptive field to the 3D pose of their central frame (seq2frame).

    Each body part's keypoints, as they are, relative to the root and relative to the central
    frame, go through temporal convolutions of their own; a fully connected network looks at the
    central pose as a whole, a further one at each part's four others; one decoder per part makes
    its joints.  The defaults are those of the release for ground truth (41,783,091 parameters); the
    one for CPN has `latent_features` 512, the paper's text `channels` 512 too.

    Attributes:
        skeleton_in: joint order of the keypoints, a name in `BODY_PARTS`.
        skeleton_out: joint order of the poses.
        filter_widths: frames that each convolution looks at, odd numbers; clips have exactly their
            product.
        channels: of the temporal convolutions.
        latent_features: of a body part, of the whole pose and of the other parts.
        fc_width: hidden channels of the fully connected networks.
        fusion: whether the parts see each other.  The first of the three stages of training goes
            without.
        absolute: whether the convolutions see the keypoints as they are.  Without, the temporal
            difference is in the central frame, where it is 0, the keypoints themselves.
        positional: whether they see the keypoints relative to the root.
        temporal: by which of `TEMPORAL_OPERATORS` they see them relative to the central frame;
            empty: not.
        temporal_frames: central frames that the temporal encoding is of; 0: all.
        drop_rate: dropout in the temporal convolutions.
        fc_drop_rate: dropout in the fully connected networks.
        batch_norm_axis: mapped axis whose devices share the batch's statistics; empty: each has
            its own.
        dtype: compute dtype, float32 or bfloat16; parameters and outputs are float32.

    Raises:
        InputError: hyperparameters that cannot be, or contradict each other.
    """

    skeleton_in: str = HUMAN36M_17.name
    skeleton_out: str = HUMAN36M_17.name
    filter_widths: tuple[int, ...] = (3, 3, 3, 3, 3)
    channels: int = 256
    latent_features: int = 256
    fc_width: int = 1024
    fusion: bool = True
    absolute: bool = True
    positional: bool = True
    temporal: str = "sub"
    temporal_frames: int = 0
    drop_rate: float = 0.2
    fc_drop_rate: float = 0.25
    batch_norm_axis: str = ""
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        super().__post_init__()
        check_hyperparameters(self, ("channels", "latent_features", "fc_width"))
        check_filter_widths(self)
        for field in ("skeleton_in", "skeleton_out"):
            known = [name for name in BODY_PARTS if (field, name) != ("skeleton_out", COCO_17.name)]
            if getattr(self, field) not in known:
                raise InputError(
                    f"RIE: {field} is {getattr(self, field)!r}, its body parts are known for "
                    f"{', '.join(known)}"
                )
        if self.temporal not in ("", *TEMPORAL_OPERATORS):
            raise InputError(
                f"RIE: temporal is {self.temporal!r}, expected one of "
                f"{', '.join(TEMPORAL_OPERATORS)}, or '' for none"
            )
        if not 0 <= self.temporal_frames <= self.receptive_field:
            raise InputError(
                f"RIE: temporal_frames is {self.temporal_frames}, expected 0 to "
                f"{self.receptive_field}, the receptive field"
            )
        if not (self.absolute or self.positional or self.temporal == "sub"):
            raise InputError("RIE: without absolute it needs positional, or temporal 'sub'")

    @property
    def receptive_field(self) -> int:
        """Frames of a clip, neither more nor fewer."""
        return math.prod(self.filter_widths)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(frames, keypoints, channels) of a clip."""
        return self.receptive_field, _joints(self.skeleton_in), 2

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array | np.ndarray, "batch frames keypoints channels"],
        train: bool = False,
        batch_norm_momentum: Float[ArrayLike, ""] = 0.1,
    ) -> Float32[Array, "batch 1 joints 3"]:
        """Predicts the pose of the central frame.

        Args:
            keypoints: x, y (normalised image coordinates) of every keypoint; further channels,
                such as a confidence, are not looked at.
            train: normalise by the batch's statistics, keep them in `"batch_stats"` if that is
                mutable, and apply dropout, which needs the PRNG stream `"dropout"` where a rate
                is above 0.
            batch_norm_momentum: weight of this batch in the running statistics of the temporal
                convolutions, which is scheduled in training; may be traced.  Those of the fully
                connected networks stay with 0.1.

        Returns:
            poses `[batch, 1, joints, 3]`.

        Raises:
            InputError: another number of frames than the receptive field, wrong keypoints, too few
                channels, or, training, a batch of one clip.
        """
        frames, joints, channels = keypoints.shape[1:]
        if frames != self.receptive_field:
            raise InputError(
                f"clip of {frames} frames, the model expects exactly its receptive field, "
                f"{self.receptive_field}"
            )
        if joints != _joints(self.skeleton_in) or channels < 2:
            raise InputError(
                f"keypoints have {joints} joints of {channels} channels, the model expects the "
                f"{_joints(self.skeleton_in)} joints of {self.skeleton_in} of at least 2 channels"
            )
        keypoints = jnp.asarray(keypoints)[..., :2]
        pose, encoded = self.encode(keypoints)
        parts_out = BODY_PARTS[self.skeleton_out].parts

        def fully_connected(x: Array, name: str, features: int, blocks: int = 1) -> Array:
            return FullyConnected(
                features=features,
                width=self.fc_width,
                blocks=blocks,
                drop_rate=self.fc_drop_rate,
                batch_norm_axis=self.batch_norm_axis or None,
                dtype=self.dtype,
                name=name,
            )(x, train)

        of_pose = fully_connected(pose, "GlobalInfo", self.latent_features, blocks=2)
        local = {
            part: TemporalNetwork(
                features=self.latent_features,
                filter_widths=self.filter_widths,
                channels=self.channels,
                drop_rate=self.drop_rate,
                strided=True,
                negative_slope=_SLOPE,
                batch_norm_axis=self.batch_norm_axis or None,
                dtype=self.dtype,
                name=f"LocalLayer_{part}",
            )(x, train, batch_norm_momentum)[:, 0]
            for part, x in encoded.items()
        }
        decoded = []
        for number, (part, joints) in enumerate(parts_out.items()):
            features = [local[part], of_pose]
            if self.fusion:
                others = jnp.concatenate([local[other] for other in local if other != part], -1)
                fused = fully_connected(others, f"FuseBlocks_{number}", self.latent_features)
                features.insert(1, fused)
            joints_3d = fully_connected(
                jnp.concatenate(features, -1), f"Integration_{part}", 3 * len(joints)
            )
            decoded.append(joints_3d.reshape(-1, len(joints), 3))
        order = np.argsort([joint for joints in parts_out.values() for joint in joints])
        return jnp.concatenate(decoded, axis=1)[:, None, order]

    def encode(
        self, keypoints: Float[Array, "batch frames keypoints 2"]
    ) -> tuple[Float[Array, "batch coordinates"], dict[str, Float[Array, "batch frames _"]]]:
        """What the network sees.

        Returns:
            The central pose, x and y joint by joint, and what the temporal convolutions of each
            body part see: the absolute channels, joint by joint, then the positional ones, then the
            temporal ones.
        """
        parts, root = BODY_PARTS[self.skeleton_in]
        encodings = [keypoints] if self.absolute else []
        if self.positional:
            encodings.append(positional_encoding(keypoints, root))
        if self.temporal:
            temporal = temporal_encoding(keypoints, self.temporal, self.temporal_frames)
            if not self.absolute and self.temporal == "sub":
                centre = keypoints.shape[1] // 2
                temporal = temporal.at[:, centre].set(keypoints[:, centre])
            encodings.append(temporal)
        batch, frames = keypoints.shape[:2]
        return keypoints[:, frames // 2].reshape(batch, -1), {
            part: jnp.concatenate(
                [encoding[:, :, joints].reshape(batch, frames, -1) for encoding in encodings], -1
            )
            for part, joints in parts.items()
        }


def _joints(skeleton: str) -> int:
    return sum(map(len, BODY_PARTS[skeleton].parts.values()))


class FullyConnected(nn.Module):
    """A linear layer, residual blocks of two, and a last linear layer.

    All but the last are normalised over the batch, activated and dropped from.

    Attributes:
        features: output channels.
        width: hidden channels.
        blocks: number of residual blocks.
        drop_rate: dropout after each activation.
        batch_norm_axis: as `BatchNorm.axis_name`.
        dtype: compute dtype of all but the last layer, which is float32.
    """

    features: int
    width: int
    blocks: int
    drop_rate: float
    batch_norm_axis: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch inputs"], train: bool = False
    ) -> Float32[Array, "batch outputs"]:
        options = (self.width, self.drop_rate, self.batch_norm_axis, self.dtype)
        x = _hidden(x, "fc_1", "bn_1", train, *options)
        for block in range(self.blocks):
            x = ResidualBlock(*options, name=f"layers_{block}")(x, train)
        return Linear(self.features, initialisation=TORCH_DEFAULT, name="fc_2")(x)


class ResidualBlock(nn.Module):
    """Two linear layers beside an identity; both are normalised, activated and dropped from.

    Attributes:
        width, drop_rate, batch_norm_axis, dtype: see `FullyConnected`.
    """

    width: int
    drop_rate: float
    batch_norm_axis: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch channels"], train: bool = False
    ) -> Float[Array, "batch channels"]:
        options = (self.width, self.drop_rate, self.batch_norm_axis, self.dtype)
        branch = _hidden(x, "w1", "batch_norm1", train, *options)
        return x + _hidden(branch, "w2", "batch_norm2", train, *options)


def _hidden(x, linear, norm, train, width, drop_rate, axis_name, dtype):
    """Linear layer, BatchNorm, activation and dropout, by these names in the calling module."""
    x = Linear(width, initialisation=TORCH_DEFAULT, dtype=dtype, name=linear)(x)
    x = BatchNorm(axis_name=axis_name, dtype=dtype, name=norm)(x, not train)
    x = leaky_relu(x, _SLOPE)
    return nn.Dropout(drop_rate, deterministic=not train)(x)
