"""The one form of image data: moments in time, each seen by all views.

A "frame" of this dataset, as windows and batches count them, is a moment.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from jrepose.camera import Camera, transformed
from jrepose.data.dataset import check_in_a_row, in_a_row
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, Skeleton


@dataclass(frozen=True)
class View:
    """One camera of a sequence.

    Args:
        name: of the camera.
        width, height: image size in pixels.
        camera: its calibration; None where unknown.
    """

    name: str
    width: int
    height: int
    camera: Camera | None = None


@dataclass(frozen=True)
class ImageSequence:
    """One person seen by synchronised cameras: the moments `start:stop` of a dataset.

    Args:
        name: unique name.
        subject, action: who, doing what.
        frame_rate: moments per second.
        start, stop: range in the dataset's arrays.
        views: its cameras; a dataset's further views are absent.
    """

    name: str
    subject: str
    action: str
    frame_rate: float
    start: int
    stop: int
    views: tuple[View, ...]

    @property
    def frames(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Reindexed:
    """Some moments of what can be indexed by moments.

    Args:
        values: has a `shape` and a `dtype`.
        moments: which, in their order.
    """

    values: Any
    moments: Int[np.ndarray, " moments"]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.moments), *self.values.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, moments: Int[np.ndarray, "*entries"]) -> np.ndarray:
        return self.values[self.moments[moments]]

    def fingerprint(self) -> bytes:
        """Of what they are taken from; which, the dataset's sequences tell."""
        return fingerprint_of(self.values)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Arrays over all moments, sequences one after another.

    Args:
        images: `images[moments]` gives `[*moments.shape, views, height, width, 3]`, RGB crops of
            uint8; it has a `shape` and a `dtype`.  Black where a view is absent.
        joints_px: joints in crop pixels; anything where they are not seen.
        joints_seen: joints that are known and visible in the view.
        views_seen: False where a camera is absent or its image is left out.
        crops: affine maps from crop to image pixels, on (x, y, 1).
        boxes: of the person in the image: x and y of the corner, width, height, px.
        sequences: in array order, covering all moments without gaps.
        skeleton: joint order.
        poses_camera_mm: poses in the axes of each view's camera, mm, where they are known.
        occluded: moments at which something stands between the camera and the person; None
            where unknown.

    Raises:
        InputError: there are more or fewer images than labels, or the sequences leave gaps.
    """

    images: Any
    joints_px: Float32[np.ndarray, "moments views joints 2"]
    joints_seen: Bool[np.ndarray, "moments views joints"]
    views_seen: Bool[np.ndarray, "moments views"]
    crops: Float32[np.ndarray, "moments views 2 3"]
    boxes: Float32[np.ndarray, "moments views 4"]
    sequences: tuple[ImageSequence, ...]
    skeleton: Skeleton = HUMAN36M_17
    poses_camera_mm: Float32[np.ndarray, "moments views joints 3"] | None = None
    occluded: Bool[np.ndarray, "moments views"] | None = None

    # As a `data.dataset.Dataset`: a model sees crops, and predicts in their pixels.
    target_space = "crop_px"
    scaling = "crop"

    def __post_init__(self):
        moments, views = self.images.shape[:2]
        if (moments, views) != self.views_seen.shape:
            raise InputError(
                f"image dataset: images of {moments} moments and {views} views, views_seen has "
                f"{self.frames} and {self.views_seen.shape[1]}"
            )
        check_in_a_row(self.sequences, self.frames, "image dataset", "sequence", "moment")

    @property
    def frames(self) -> int:
        """Moments in all."""
        return len(self.views_seen)

    @property
    def videos(self) -> tuple[ImageSequence, ...]:
        """The ranges that no clip leaves."""
        return self.sequences

    @property
    def valid(self) -> Bool[np.ndarray, " moments"]:
        """Moments that any camera sees."""
        return self.views_seen.any(1)

    @property
    def keypoint_skeleton(self) -> Skeleton:
        return self.skeleton

    @property
    def labelled(self) -> bool:
        """Whether there are joints at all, to train on or to compare with."""
        return bool(self.joints_seen.any())

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays over moments that the dataset has, by field name, without the images."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, np.ndarray) and name != "images"
        }

    def to_image_px(
        self,
        points_px: Float[np.ndarray, "*entries views joints 2"],
        moments: Int[np.ndarray, "*entries"],
    ) -> Float[np.ndarray, "*entries views joints 2"]:
        """Points in crop pixels, in pixels of the images.

        Args:
            points_px: of every view.
            moments: to which they belong.
        """
        return transformed(self.crops[moments], points_px)

    def select(self, videos: Iterable[ImageSequence]) -> ImageDataset:
        """The dataset of these sequences only, or of parts of them, in the given order.

        Raises:
            InputError: none.
        """
        sequences = tuple(videos)
        if not sequences:
            raise InputError("image dataset: no sequence left after selection")
        chosen = np.concatenate([np.arange(s.start, s.stop) for s in sequences])
        return dataclasses.replace(
            self,
            images=Reindexed(self.images, chosen),
            sequences=in_a_row(sequences),
            **{name: array[chosen] for name, array in self.arrays().items()},
        )

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all arrays, of the sequences, and of what the images come from."""
        digest = hashlib.sha256(repr((self.skeleton.name, self.sequences)).encode())
        for name, array in self.arrays().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8))
        digest.update(fingerprint_of(self.images))
        return digest.hexdigest()


def fingerprint_of(images: Any) -> bytes:
    """A few bytes that tell images apart: of an array its own, of a source what it says."""
    if isinstance(images, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(images).view(np.uint8)).digest()
    return images.fingerprint()


def mirrored_images(images: Array) -> Array:
    """Crops seen in a mirror: left and right change places."""
    return images[..., ::-1, :]


def mirrored_joints(joints: Array, skeleton: Skeleton, width: int) -> Array:
    """Joints of crops seen in a mirror, in crop pixels; left and right joints change places.

    Args:
        joints: `[..., joints, 2]`.
        skeleton: their order.
        width: of the crops; the pixel in column c goes to `width - 1 - c`.
    """
    swapped = jnp.asarray(joints)[..., skeleton.flip_permutation, :]
    return swapped.at[..., 0].set(width - 1 - swapped[..., 0])
