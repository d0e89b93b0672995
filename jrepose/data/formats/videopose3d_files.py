"""What the two files of VideoPose3D's layout hold, checked before any of it is used."""

from __future__ import annotations

import dataclasses
import logging
import operator
import os
import pathlib
import reprlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jrepose.camera import Camera
from jrepose.data.formats.humaneva import PlacedCamera
from jrepose.errors import InputError, listed
from jrepose.restricted_pickle import read_npz
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15, MPII_16, Skeleton

_KEYPOINT_SKELETONS: Mapping[str, Skeleton] = {
    "h36m": HUMAN36M_17,
    "coco": COCO_17,
    "mpii": MPII_16,
    "humaneva15": HUMANEVA_15,
}
"""Joint orders of keypoints by `layout_name`."""

_MOST_JOINTS = 1000

_LOG = logging.getLogger(__name__)

AnyCamera = Camera | PlacedCamera


@dataclass(frozen=True)
class Benchmark:
    """What differs between the datasets in this layout.

    Args:
        file_stem: names the files.
        skeleton: of the dataset that is read.
        joints: for every accepted number of joints, those of them that make up the skeleton.
        subjects: in the order of the dataset.
        cameras: of a subject, in the order of the files.
        frame_rate: frames per second.
        corrupt: (subject, action) that are left out.
    """

    file_stem: str
    skeleton: Skeleton
    joints: Mapping[int, tuple[int, ...]]
    subjects: tuple[str, ...]
    cameras: Callable[[str], tuple[AnyCamera, ...]]
    frame_rate: float
    corrupt: tuple[tuple[str, str], ...] = ()


class Leaf(NamedTuple):
    """An array in a file, and which one it is: the beginning of a message about it."""

    array: np.ndarray
    where: str


class SequenceArrays(NamedTuple):
    """A recording: poses, and for each camera keypoints of at least as many frames."""

    subject: str
    action: str
    poses: Leaf
    views: list[Leaf]

    @property
    def frames(self) -> int:
        return len(self.poses.array)


def find_files(
    benchmark: Benchmark, folder: str | os.PathLike[str], detections: str
) -> tuple[pathlib.Path, ...]:
    """The files of the 3D positions and of the 2D keypoints.

    Raises:
        InputError: one of them is not there; says which, and what is.
    """
    folder = pathlib.Path(folder)
    names = (
        f"data_3d_{benchmark.file_stem}.npz",
        f"data_2d_{benchmark.file_stem}_{detections}.npz",
    )
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with {' and '.join(names)}")
    for name in names:
        if not (folder / name).is_file():
            present = sorted(path.name for path in folder.glob("data_?d_*.npz"))
            reason = f"the folder has {', '.join(present) or 'no data_2d_*.npz or data_3d_*.npz'}"
            if any("humaneva20" in file for file in present):
                reason += "; HumanEva's 20-joint skeleton is not supported"
            raise InputError(f"{folder / name}: no such file; {reason}")
    return tuple(folder / name for name in names)


def load(
    benchmark: Benchmark, poses_path: pathlib.Path, keypoints_path: pathlib.Path
) -> tuple[deque[SequenceArrays], Skeleton]:
    """The recordings in the dataset's order, and the joint order of their keypoints.

    Nothing else refers to the arrays: they go with the sequence.

    Raises:
        InputError: an entry is missing or is not what it should be, or the files do not fit
            together.
    """
    poses = _entry(read_npz(poses_path), "positions_3d", poses_path)
    content = read_npz(keypoints_path)
    keypoints = _entry(content, "positions_2d", keypoints_path)
    kernels = has_kernels(keypoints_path)
    if kernels:
        keypoint_skeleton = benchmark.skeleton  # DiffPose's files have no metadata
    else:
        metadata = _entry(content, "metadata", keypoints_path)
        keypoint_skeleton = _keypoint_skeleton(metadata, f"{keypoints_path}: metadata")

    where_3d, where_2d = f"{poses_path}: positions_3d", f"{keypoints_path}: positions_2d"
    if unknown := [subject for subject in poses if subject not in benchmark.subjects]:
        raise InputError(
            f"{where_3d} has subject {_some(unknown)}; expected {', '.join(benchmark.subjects)}"
        )
    sequences: deque[SequenceArrays] = deque()
    for subject in (subject for subject in benchmark.subjects if subject in poses):
        if subject not in keypoints:
            raise InputError(f"{where_2d} has no subject {subject}; expected those of {poses_path}")
        actions_3d = _mapping(poses[subject], f"{where_3d}, {subject}")
        actions_2d = _mapping(keypoints[subject], f"{where_2d}, {subject}")
        _check_actions(actions_2d, actions_3d, f"{where_2d}, {subject}", poses_path)
        _check_actions(actions_3d, actions_2d, f"{where_3d}, {subject}", keypoints_path)
        for action, views in actions_2d.items():
            if (subject, action) in benchmark.corrupt:
                _LOG.info("%s: %s is left out: the recording is corrupt", poses_path, action)
                continue
            name = f"{subject} {action!r}"
            sequence = SequenceArrays(
                subject=subject,
                action=action,
                poses=_leaf(
                    actions_3d[action], tuple(benchmark.joints), (3,), f"{where_3d}, {name}"
                ),
                views=_views(
                    views,
                    benchmark.cameras(subject),
                    (keypoint_skeleton.num_joints,),
                    f"{where_2d}, {name}",
                    kernels=kernels,
                ),
            )
            _check_lengths(sequence)
            sequences.append(sequence)
    if not sequences:
        raise InputError(f"{where_3d} has no recording that is not corrupt")
    return sequences, keypoint_skeleton


def _entry(content: Mapping[str, Any], key: str, path: pathlib.Path) -> dict[str, Any]:
    """A dictionary in an archive."""
    if key not in content:
        raise InputError(f"{path}: no entry {key}; it has {_some(content) or 'none'}")
    return _mapping(content[key], f"{path}: {key}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """The value, which must be a dictionary with names as keys."""
    if not isinstance(value, dict):
        raise InputError(f"{where} is of type {type(value).__name__}; expected a dictionary")
    if not value:
        raise InputError(f"{where} is empty")
    if unnamed := [key for key in value if not isinstance(key, str)]:
        raise InputError(f"{where} has the key {_some(unnamed)}; expected names")
    return value


def _some(names: Collection[Any]) -> str:
    """The first few names of a file, for a message."""
    return listed([reprlib.repr(name) for name in names])


def _check_actions(
    present: Mapping[str, Any], expected: Mapping[str, Any], where: str, other: pathlib.Path
) -> None:
    if missing := [action for action in expected if action not in present]:
        raise InputError(f"{where} has no {_some(missing)}; expected the actions of {other}")


def _check_lengths(sequence: SequenceArrays) -> None:
    for view in sequence.views:
        if len(view.array) < sequence.frames:
            raise InputError(
                f"{view.where} has {len(view.array)} frames; expected at least "
                f"{sequence.frames}, as it has poses"
            )


def has_kernels(path: pathlib.Path) -> bool:
    """Whether a file of keypoints is of DiffPose's layout, several weighted places for each."""
    return path.stem.endswith("_gmm")


def heaviest(kernels: np.ndarray) -> np.ndarray:
    """Where each keypoint is most likely, `[frames, joints, 2]`."""
    chosen = kernels[..., :1].argmax(axis=2, keepdims=True)
    return np.take_along_axis(kernels, chosen, axis=2)[:, :, 0, 1:3]


def _views(
    value: Any,
    cameras: Sequence[AnyCamera],
    joints: Sequence[int],
    where: str,
    *,
    kernels: bool,
) -> list[Leaf]:
    """The keypoints of all cameras."""
    of_cameras = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)
    if not of_cameras or len(value) != len(cameras):
        found = len(value) if of_cameras else type(value).__name__
        raise InputError(f"{where}: expected arrays of {len(cameras)} cameras, found {found}")
    return [
        _leaf(view, joints, (5,) if kernels else (2, 3), f"{where}, camera {camera.name}", kernels)
        for view, camera in zip(value, cameras, strict=True)
    ]


def _leaf(
    value: Any, joints: Sequence[int], channels: Sequence[int], where: str, kernels: bool = False
) -> Leaf:
    """Numbers `[frames, joints, channels]`, or `[frames, joints, kernels, channels]`."""
    is_array = isinstance(value, np.ndarray)
    fits = is_array and value.dtype.kind in "fiu" and value.ndim == 3 + kernels and value.size > 0
    if not fits or value.shape[1] not in joints or value.shape[-1] not in channels:
        found = f"{value.dtype} {list(value.shape)}" if is_array else type(value).__name__
        axes = [" or ".join(map(str, axis)) for axis in (joints, channels)]
        expected = ", 1 or more kernels, ".join(axes) if kernels else ", ".join(axes)
        raise InputError(f"{where}: expected numbers [1 or more frames, {expected}], found {found}")
    return Leaf(value, where)


def _keypoint_skeleton(metadata: Mapping[str, Any], where: str) -> Skeleton:
    """The keypoints' joint order with left and right joints paired as the file pairs them.

    Old files do not name it: it is known by the number of joints and the two sides.
    """
    given = metadata.get("layout_name")
    try:
        if not isinstance(given, str | None):
            raise TypeError
        joints = operator.index(metadata["num_joints"])
        left, right = (tuple(map(operator.index, s)) for s in metadata["keypoints_symmetry"])
        if joints > _MOST_JOINTS or not all(0 <= joint < joints for joint in left + right):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{where}: expected num_joints, a number, keypoints_symmetry, lists of the left and "
            "of the right of these joints, and layout_name, if given, a name"
        ) from None
    for name, skeleton in _KEYPOINT_SKELETONS.items():
        sides = [sorted(left), sorted(right)] == [sorted(skeleton.left), sorted(skeleton.right)]
        if sides and joints == skeleton.num_joints and given in (name, None):
            # The published code mirrors by these lists, so a model has learned their pairs.
            if set(zip(left, right, strict=True)) == set(
                zip(skeleton.left, skeleton.right, strict=True)
            ):
                return skeleton
            return dataclasses.replace(
                skeleton, name=f"{skeleton.name}_paired_by_file", left=left, right=right
            )
    known = ", ".join(f"{name} ({s.num_joints})" for name, s in _KEYPOINT_SKELETONS.items())
    raise InputError(
        f"{where}: unknown layout, layout_name {reprlib.repr(given)}, num_joints {joints}, "
        f"keypoints_symmetry {reprlib.repr(left)} {reprlib.repr(right)}; known: {known}"
    )
