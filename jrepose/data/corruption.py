"""MotionBERT's corruption of keypoints: a detector's noise and confidence, and masks.

Zhu et al., ICCV 2023; the released code.  It is of the inputs of a training step: pure functions
of arrays and draws.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError
from jrepose.restricted_pickle import read_npz

Arrays = Array | np.ndarray


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """What errors a detector makes, in normalised screen units, and how sure it is then.

    Errors of few key frames are drawn, from a normal distribution or a uniform one, and
    interpolated; every frame jitters besides.  The confidence of an error of length r is
    `distance / (r + distance) + slope * r`, a normal draw times `spread`, and `offset`.

    Args:
        mean, std: of the normal distribution, by joint and coordinate.
        weight: share of the errors that come from it, by joint.
        uniform_range: width of the uniform distribution around 0.
        jitter_std: of every frame.
        key_frames: number of them in a clip, however long.
        distance, slope, spread, offset: of the confidence.
    """

    mean: Float[Arrays, "joints 2"]
    std: Float[Arrays, "joints 2"]
    weight: Float[Arrays, " joints"]
    uniform_range: float = 0.06
    jitter_std: float = 0.002
    key_frames: int = 27
    distance: float = 0.028
    slope: float = 1.1
    spread: float = 0.14310569
    offset: float = -0.0045856964


class NoiseDraws(NamedTuple):
    """Everything random in the noise of a batch.

    Args:
        select, uniform: uniform in [0, 1), for every key frame; one of the first for both
            coordinates.
        normal: standard normal, for every key frame.
        jitter: standard normal, the same for all clips.
        confidence: standard normal, for every frame.
    """

    select: Float[Arrays, "clips key_frames joints 1"]
    normal: Float[Arrays, "clips key_frames joints 2"]
    uniform: Float[Arrays, "clips key_frames joints 2"]
    jitter: Float[Arrays, "frames joints 2"]
    confidence: Float[Arrays, "clips frames joints"]


def plain_noise(joints: int) -> NoiseModel:
    """Errors without a detector to measure them on: all joints alike, mostly a hundredth of half
    the image's width.  Ours; MotionBERT's are in a file of its repository."""
    return NoiseModel(np.zeros((joints, 2)), np.full((joints, 2), 0.01), np.full(joints, 0.9))


def read_noise(path: str | os.PathLike[str], joints: int) -> NoiseModel:
    """A noise model from an NPZ file with the arrays `mean` and `std` `[joints, 2]`, `weight`
    `[joints]`.

    Raises:
        InputError: not such a file, or numbers that cannot be.
    """
    arrays = read_npz(path)
    shapes = {"mean": (joints, 2), "std": (joints, 2), "weight": (joints,)}
    found = {}
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None:
            raise InputError(f"{path}: no array {name!r}; expected {', '.join(shapes)}")
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} is {getattr(array, 'dtype', type(array).__name__)} "
                f"{list(np.shape(array))}, expected floating point {list(shape)}"
            )
        low, high = {"mean": (-2, 2), "std": (0, 2), "weight": (0, 1)}[name]
        if not ((array >= low) & (array <= high)).all():
            raise InputError(f"{path}: {name} has values outside {low} to {high}")
        found[name] = array
    return NoiseModel(**found)


def draw_noise(
    noise: NoiseModel, key: Key[Array, ""], clips: int, frames: int, joints: int
) -> NoiseDraws:
    """Draws for a batch."""
    select, normal, uniform, jitter, confidence = jax.random.split(key, 5)
    keys = (clips, noise.key_frames, joints)
    return NoiseDraws(
        jax.random.uniform(select, (*keys, 1)),
        jax.random.normal(normal, (*keys, 2)),
        jax.random.uniform(uniform, (*keys, 2)),
        jax.random.normal(jitter, (frames, joints, 2)),
        jax.random.normal(confidence, (clips, frames, joints)),
    )


def add_noise(
    noise: NoiseModel, keypoints: Float[Arrays, "clips frames joints channels"], draws: NoiseDraws
) -> Float[Array, "clips frames joints 3"]:
    """Keypoints as the detector would see them, with its confidence.

    Args:
        noise: of the detector.
        keypoints: x, y in normalised screen units; a confidence behind them is not looked at.
        draws: what is random.
    """
    mean, std, weight = (
        jnp.asarray(array, jnp.float32) for array in (noise.mean, noise.std, noise.weight)
    )
    normal = jnp.asarray(draws.normal) * std[None, None] + mean[None, None]
    uniform = (jnp.asarray(draws.uniform) - 0.5) * noise.uniform_range
    of_keys = jnp.where(draws.select < weight[None, None, :, None], normal, uniform)
    jitter = jnp.asarray(draws.jitter)[None] * noise.jitter_std
    error = _interpolated(of_keys, keypoints.shape[1]) + jitter
    length = jnp.sqrt(jnp.sum(error * error, axis=-1))
    confidence = (
        noise.distance / (length + noise.distance)
        + noise.slope * length
        + jnp.asarray(draws.confidence) * noise.spread
        + noise.offset
    )
    confidence = jnp.clip(confidence, 0, 1)[..., None]
    return jnp.concatenate([jnp.asarray(keypoints)[..., :2] + error, confidence], axis=-1)


def _interpolated(
    keys: Float[Array, "clips key_frames joints 2"], frames: int
) -> Float[Array, "clips frames joints 2"]:
    """Straight lines between key frames, the first and the last of which are the clip's."""
    last = keys.shape[1] - 1
    places = np.arange(frames) * (last / max(frames - 1, 1))
    before = np.minimum(places.astype(int), max(last - 1, 0))
    share = (places - before).astype(np.float32)[None, :, None, None]
    return keys[:, before] * (1 - share) + keys[:, np.minimum(before + 1, last)] * share


def mask(
    keypoints: Float[Arrays, "clips frames joints channels"],
    joints_draw: Float[Arrays, "clips frames joints 1"],
    frames_draw: Float[Arrays, "1 frames 1 1"],
    joints: float,
    frames: float,
) -> Float[Array, "clips frames joints channels"]:
    """Keypoints of which a share is zero, confidence too.

    Args:
        keypoints: of a batch.
        joints_draw, frames_draw: uniform in [0, 1); a frame is masked in all clips.
        joints, frames: the shares.
    """
    return jnp.asarray(keypoints) * (joints_draw > joints) * (frames_draw > frames)


@dataclass(frozen=True, eq=False)
class Corruption:
    """What is done to the inputs of a training step, and to nothing else.

    Args:
        noise: of a detector; None: none.
        joints, frames: shares that are masked, after the noise.
        projected: the labels' x, y with full confidence are the input, whatever the keypoints.

    Raises:
        InputError: only one of the shares is above 0.
    """

    noise: NoiseModel | None = None
    joints: float = 0.0
    frames: float = 0.0
    projected: bool = False

    def __post_init__(self):
        if bool(self.joints) != bool(self.frames):
            raise InputError(
                f"config.corruption.joints is {self.joints} and .frames {self.frames}; expected "
                "both above 0, or none"
            )

    def __call__(
        self,
        keypoints: Float[Array, "clips frames keypoints channels"],
        poses: Float[Array, "clips target_frames joints 3"],
        key: Key[Array, ""],
    ) -> Float[Array, "clips frames keypoints channels"]:
        """The inputs of a batch with these labels."""
        if self.projected:
            keypoints = jnp.concatenate([poses[..., :2], jnp.ones_like(poses[..., :1])], axis=-1)
        clips, frames, joints, _ = keypoints.shape
        of_noise, of_joints, of_frames = jax.random.split(key, 3)
        if self.noise is not None:
            draws = draw_noise(self.noise, of_noise, clips, frames, joints)
            keypoints = add_noise(self.noise, keypoints, draws)
        if self.joints:
            keypoints = mask(
                keypoints,
                jax.random.uniform(of_joints, (clips, frames, joints, 1)),
                jax.random.uniform(of_frames, (1, frames, 1, 1)),
                self.joints,
                self.frames,
            )
        return keypoints


def from_config(
    section: ConfigDict, dataset: PoseDataset, targets: int | None
) -> Corruption | None:
    """The corruption of a config's section of that name; None where it asks for none.

    Raises:
        InputError: shares that do not go together, a file that is no noise model, or inputs to be
            made of labels that have other joints or frames.
    """
    joints = dataset.keypoint_skeleton.num_joints
    same_joints = dataset.skeleton == dataset.keypoint_skeleton
    if section.projected and (targets or not same_joints or dataset.target_space != "image"):
        raise InputError(
            "config.corruption.projected makes keypoints of labels, which needs labels of the same "
            "joints in image space in all frames of a clip (config.clip.targets None); this data "
            f"has {dataset.target_space} labels of {dataset.skeleton.name}"
        )
    noise = None
    if section.noise is not None:
        plain = section.noise == "plain"
        noise = plain_noise(joints) if plain else read_noise(section.noise, joints)
    corruption = Corruption(noise, section.joints, section.frames, section.projected)
    return corruption if noise or section.joints or section.projected else None
