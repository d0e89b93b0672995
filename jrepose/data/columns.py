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

from jrepose.data.dataset import PoseDataset
from jrepose.data.flip import flip_poses
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
}
"""Columns that a pose dataset has: the model's inputs x, y, confidence, and its labels in the
target space; the keypoints of the frames that are labelled; the root's position in camera axes
`[clips, frames, 1, 3]` in the target space's unit; the lens, see
`camera.project_to_2d`; the detector's heatmaps and the part of the image that they cover, two
corners."""


def columns_of(dataset: PoseDataset, names: Iterable[str]) -> dict[str, Column]:
    """The named columns of a dataset.

    Raises:
        InputError: there is no such column, or the dataset lacks what it is made of.
    """
    names = tuple(names)
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"no column {name!r} in pose datasets; known: {', '.join(COLUMNS)}")
    return {name: COLUMNS[name](dataset) for name in names}


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """A task's columns by the split that they are of: `SPLIT/COLUMN`, without it `"train"`."""
    found: dict[str, list[str]] = {}
    for name in names:
        split, _, column = name.rpartition("/")
        found.setdefault(split or "train", []).append(column)
    return found
