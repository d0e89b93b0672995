"""What a batch is made of: named columns, `{column: [clips, frames, ...]}`.

A column is anything that can be indexed by frames on the host: arrays of a dataset, images on a
disk, camera parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Shaped

from jrepose.data.dataset import Dataset, PoseDataset
from jrepose.data.flip import flip_poses
from jrepose.data.images.dataset import ImageDataset, mirrored_images, mirrored_joints
from jrepose.errors import InputError

Batch = Mapping[str, Shaped[ArrayLike, "clips _ ..."]]
"""Named columns, `[clips, frames, ...]` each."""

Mirror = Callable[[Array], Array]

INPUTS, TARGETS = "inputs", "targets"


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the batches.

    Args:
        values: `values[frames]` gives the values of an integer array of the dataset's frames,
            `[*frames.shape, ...]`; it has a `shape`, `[dataset_frames, ...]`, and a `dtype`.
            A NumPy array may be kept on the devices, all else is streamed.
        window: `"inputs"` or `"targets"`: which frames of a clip it is taken at.
        mirror: what becomes of it in a mirrored clip, traced; None leaves it.
    """

    values: Any
    window: str = INPUTS
    mirror: Mirror | None = None

    def zeros(self, clips: int, frames: int) -> np.ndarray:
        """As many clips, for shapes and data types."""
        return np.zeros((clips, frames, *self.values.shape[1:]), self.values.dtype)


def _keypoints(dataset: PoseDataset) -> Column:
    skeleton = dataset.keypoint_skeleton
    return Column(dataset.model_inputs(), INPUTS, lambda values: flip_poses(values, skeleton))


def _poses(dataset: PoseDataset) -> Column:
    skeleton = dataset.skeleton
    return Column(dataset.model_targets(), TARGETS, lambda values: flip_poses(values, skeleton))


def _target_keypoints(dataset: PoseDataset) -> Column:
    return dataclasses.replace(_keypoints(dataset), window=TARGETS)


def _trajectory(dataset: PoseDataset) -> Column:
    return Column(dataset.trajectory(), TARGETS, lambda values: values.at[..., 0].multiply(-1))


def _intrinsics(dataset: PoseDataset) -> Column:
    return Column(
        dataset.intrinsics(), TARGETS, lambda values: values.at[..., _SIDEWAYS].multiply(-1)
    )


def _heatmaps(dataset: PoseDataset) -> Column:
    if dataset.heatmaps is None:
        raise InputError("dataset: the detector's heatmaps are needed, see config.data.heatmaps")
    joints = dataset.keypoint_skeleton.flip_permutation
    return Column(dataset.heatmaps, INPUTS, lambda values: values[..., joints, :, ::-1])


def _heatmap_boxes(dataset: PoseDataset) -> Column:
    def mirror(boxes):  # the corners change places
        return jnp.asarray(boxes)[..., np.array([2, 1, 0, 3])].at[..., ::2].multiply(-1)

    return Column(dataset.heatmap_boxes(), INPUTS, mirror)


def _images(dataset: ImageDataset) -> Column:
    return Column(dataset.images, INPUTS, mirrored_images)


def _joints_px(dataset: ImageDataset) -> Column:
    skeleton, width = dataset.skeleton, dataset.images.shape[-2]
    return Column(
        dataset.joints_px, INPUTS, lambda joints: mirrored_joints(joints, skeleton, width)
    )


def _joints_seen(dataset: ImageDataset) -> Column:
    order = dataset.skeleton.flip_permutation
    return Column(dataset.joints_seen, INPUTS, lambda seen: seen[..., order])


def _kernels(dataset: PoseDataset) -> Column:
    joints = dataset.keypoint_skeleton.flip_permutation

    def mirror(values):
        return jnp.asarray(values)[..., joints, :, :].at[..., 1].multiply(-1)

    return Column(dataset.model_kernels(), INPUTS, mirror)


# Of a lens: the principal point's x, and the tangential coefficient that goes with x.
_SIDEWAYS = np.array([2, 7])


COLUMNS: Mapping[str, Callable[[PoseDataset], Column]] = {
    "keypoints": _keypoints,
    "poses": _poses,
    "target_keypoints": _target_keypoints,
    "trajectory": _trajectory,
    "intrinsics": _intrinsics,
    "heatmaps": _heatmaps,
    "heatmap_boxes": _heatmap_boxes,
    "kernels": _kernels,
}
"""Columns that a pose dataset has: the model's inputs x, y, confidence, and its labels in the
target space; the keypoints of the frames that are labelled; the root's position in camera axes
`[clips, frames, 1, 3]` in the target space's unit; the lens, see
`camera.project_to_2d`; the detector's heatmaps and the part of the image that they cover, two
corners; its kernels."""


IMAGE_COLUMNS: Mapping[str, Callable[[ImageDataset], Column]] = {
    "images": _images,
    "joints_px": _joints_px,
    "joints_seen": _joints_seen,
    "views_seen": lambda dataset: Column(dataset.views_seen),
}
"""Columns that an image dataset has, fields of `ImageDataset`, all at the frames of the inputs:
`images [clips, frames, views, height, width, 3]` of uint8, `joints_px [clips, frames, views,
joints, 2]` in crop pixels, `joints_seen [clips, frames, views, joints]`, `views_seen [clips,
frames, views]`."""


def columns_of(dataset: Dataset, names: Iterable[str]) -> dict[str, Column]:
    """The named columns of a dataset.

    Raises:
        InputError: there is no such column, or the dataset lacks what it is made of.
    """
    of_images = isinstance(dataset, ImageDataset)
    known, kind = (IMAGE_COLUMNS, "image") if of_images else (COLUMNS, "pose")
    names = tuple(names)
    for name in names:
        if name not in known:
            raise InputError(f"no column {name!r} in {kind} datasets; known: {', '.join(known)}")
    return {name: known[name](dataset) for name in names}


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """A task's columns by the split that they are of: `SPLIT/COLUMN`, without it `"train"`."""
    found: dict[str, list[str]] = {}
    for name in names:
        split, _, column = name.rpartition("/")
        found.setdefault(split or "train", []).append(column)
    return found
