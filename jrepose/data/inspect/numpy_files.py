"""Recognises what NumPy archives and pickles hold by their keys."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jrepose.data.formats import human36m, human36m_sh, humaneva
from jrepose.data.formats.custom import FIELDS, REQUIRED, read_custom
from jrepose.data.formats.mpi_inf_3dhp import read_preprocessed
from jrepose.data.formats.videopose3d_files import has_kernels, heaviest
from jrepose.data.inspect.content import Content, Track, joints, mapping, of_datasets
from jrepose.data.inspect.outline import outline
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, HUMANEVA_15, SKELETONS, Skeleton

Entries = Mapping[str, Any]


def custom(path: pathlib.Path, entries: Entries) -> Content | None:
    """The schema of `jrepose.data.formats.custom`."""
    # A misspelt or missing key is for its reader to name.
    of_schema = sum(key in FIELDS for key in entries)
    if "keypoints_px" not in entries and of_schema < len(REQUIRED):
        return None
    use = [f"--config configs/custom.py --config.data.path={path}"]
    return of_datasets(
        "own keypoints and poses (jrepose.data.formats.custom)",
        {"": read_custom(path)},
        outline(dict(entries)),
        use,
    )


def predictions(path: pathlib.Path, entries: Entries) -> Content | None:
    """predictions.npz of an evaluation."""
    if not {"poses_mm", "targets_mm", "video", "video_names"} <= entries.keys():
        return None
    poses = joints(entries["poses_mm"], (3,), f"{path}: poses_mm")
    video = entries["video"]
    evaluated = entries.get("evaluated", np.ones(len(poses), bool))
    for key, column in (("video", video), ("evaluated", evaluated)):
        if not isinstance(column, np.ndarray) or column.shape != poses.shape[:1]:
            raise InputError(f"{path}: {key} is no array of {len(poses)} frames, as poses_mm is")
    joint_names = tuple(map(str, np.ravel(entries.get("joint_names", ()))))
    tracks = []
    for number, name in enumerate(np.ravel(entries["video_names"])):
        rows = np.flatnonzero(video == number)
        if len(rows):
            tracks.append(Track(str(name), poses=poses[rows], valid=evaluated[rows].astype(bool)))
    return Content(
        "predictions of an evaluation by jrepose, root-relative",
        outline(dict(entries)),
        tracks,
        skeleton=next((s for s in SKELETONS.values() if s.joint_names == joint_names), None),
        use=["poses_mm are predicted and drawn; targets_mm, beside them, are the ground truth"],
    )


def videopose3d_poses(path: pathlib.Path, entries: Entries) -> Content | None:
    """data_3d_h36m.npz, data_3d_humaneva15.npz and their like."""
    if "positions_3d" not in entries:
        return None
    tracks = []
    for subject, action, value in _recordings(path, "positions_3d", entries):
        poses = joints(value, (3,), f"{path}: positions_3d, {subject} {action!r}")
        if poses.shape[1] == human36m.NUM_RECORDED_JOINTS:
            poses = poses[:, list(human36m.JOINTS_17)]
        tracks.append(Track(f"{subject}/{action}", subject, action, poses=poses))
    _check_same_joints(path, [track.poses for track in tracks])
    dataset = _dataset_of(tracks)
    return Content(
        f"3D poses of {dataset} in the layout of VideoPose3D",
        outline(dict(entries)),
        tracks,
        skeleton={17: HUMAN36M_17, 15: HUMANEVA_15}.get(tracks[0].poses.shape[1]),
        unit="m",
        up="z",
        use=_USES[dataset],
    )


def videopose3d_keypoints(path: pathlib.Path, entries: Entries) -> Content | None:
    """data_2d_h36m_*.npz, data_2d_humaneva15_*.npz, data_2d_custom_*.npz."""
    if "positions_2d" not in entries:
        return None
    of_kernels = has_kernels(path)
    metadata = {} if of_kernels else mapping(entries.get("metadata"), f"{path}: metadata")
    of_videos = metadata.get("video_metadata")
    sizes = of_videos if isinstance(of_videos, dict) else {}
    tracks = []
    for subject, action, value in _recordings(path, "positions_2d", entries):
        where = f"{path}: positions_2d, {subject} {action!r}"
        if not isinstance(value, list | tuple | np.ndarray) or not len(value):
            raise InputError(f"{where}: expected a list of arrays, one of each camera")
        for number, view in enumerate(value):
            if of_kernels and isinstance(view, np.ndarray) and view.ndim == 4:
                view = heaviest(view)
            view = joints(view, (2, 3), f"{where}, camera {number}")
            camera = _camera(subject, number, len(value))
            tracks.append(
                Track(
                    f"{subject}/{action}/{camera}",
                    subject,
                    action,
                    camera,
                    keypoints_px=view[..., :2],
                    confidence=view[..., 2] if view.shape[2] == 3 else None,
                    image_size=_size(sizes.get(subject)) or _calibrated_size(subject, number),
                )
            )
    _check_same_joints(path, [track.keypoints_px for track in tracks])
    if len({track.confidence is None for track in tracks}) > 1:
        raise InputError(f"{path}: arrays with and without a third channel; expected one of them")
    dataset = "videos in the wild" if "video_metadata" in metadata else _dataset_of(tracks)
    return Content(
        f"2D keypoints of {dataset} in the layout of VideoPose3D",
        outline(dict(entries)),
        tracks,
        keypoint_skeleton=HUMAN36M_17
        if of_kernels
        else _keypoint_skeleton(metadata, tracks[0].keypoints_px.shape[1]),
        use=_USES.get(dataset, ()),
    )


_USES = {
    "Human3.6M": [
        "data_3d_h36m.npz and data_2d_h36m_NAME.npz in one FOLDER make a dataset:",
        "--config.data.source=human36m --config.data.path=FOLDER --config.data.detections=NAME",
    ],
    "HumanEva-I": [
        "data_3d_humaneva15.npz and data_2d_humaneva15_NAME.npz in one FOLDER make a dataset:",
        "--config.data.source=humaneva --config.data.path=FOLDER --config.data.detections=NAME",
    ],
}


def mpi_inf_3dhp(path: pathlib.Path, entries: Entries) -> Content | None:
    """data_train_3dhp.npz and data_test_3dhp.npz."""
    sequences = entries.get("data")
    if not isinstance(sequences, dict):
        return None
    split = "test" if any(isinstance(entry, dict) for entry in sequences.values()) else "train"
    title = "test" if split == "test" else "training"
    return of_datasets(
        f"MPI-INF-3DHP, {title} set as P-STMO preprocesses it",
        {"": read_preprocessed(path, split)},
        outline(dict(entries)),
        ["--config.data.source=mpi_inf_3dhp --config.data.path=FOLDER, the folder it is in"],
    )


def stacked_hourglass(path: pathlib.Path) -> Content:
    """The pickle of `jrepose.data.formats.human36m_sh`, or its folder."""
    return of_datasets(
        "Human3.6M with stacked-hourglass detections and 2.5D labels (Human3.6M-SH)",
        human36m_sh.read_human36m_sh(path),
        use=[f"--config.data.source=human36m_sh --config.data.path={path}"],
    )


ARCHIVES: tuple[Callable[[pathlib.Path, Entries], Content | None], ...] = (
    predictions,
    videopose3d_poses,
    videopose3d_keypoints,
    mpi_inf_3dhp,
    custom,
)
"""Each tells the content of an archive, or None if it is of another format."""


def _recordings(path: pathlib.Path, key: str, entries: Entries) -> Iterator[tuple[str, str, Any]]:
    """Subject, action and what stands there."""
    for subject, actions in mapping(entries[key], f"{path}: {key}").items():
        for action, value in mapping(actions, f"{path}: {key}, {subject}").items():
            yield subject, action, value


def _dataset_of(tracks: list[Track]) -> str:
    subjects = {track.subject for track in tracks}
    if any("/" in subject for subject in subjects):  # Train/S1
        return "HumanEva-I"
    return "Human3.6M" if subjects & set(human36m.SUBJECTS) else "unknown subjects"


def _camera(subject: str, number: int, cameras: int) -> str:
    """A camera's name, which the files do not tell."""
    known = _cameras(subject)
    return known[number].name if len(known) == cameras else f"camera {number}"


def _cameras(subject: str) -> tuple[Any, ...]:
    if subject in human36m.SUBJECTS:
        return human36m.cameras(subject)
    return humaneva.cameras(subject) if subject in humaneva.SUBJECTS else ()


def _calibrated_size(subject: str, number: int) -> tuple[int, int] | None:
    known = _cameras(subject)
    return (known[number].width, known[number].height) if number < len(known) else None


def _size(entry: Any) -> tuple[int, int] | None:
    """The image size that VideoPose3D keeps for a video."""
    values = [entry.get("w"), entry.get("h")] if isinstance(entry, dict) else []
    if len(values) == 2 and all(isinstance(v, int | np.integer) and 0 < v < 1e6 for v in values):
        return int(values[0]), int(values[1])
    return None


def _keypoint_skeleton(metadata: Entries, keypoints: int) -> Skeleton | None:
    """The known joint order with that many joints and the same sides."""
    try:
        left, right = (set(map(int, side)) for side in metadata["keypoints_symmetry"])
    except (KeyError, TypeError, ValueError):
        return None
    for skeleton in SKELETONS.values():
        same_sides = (set(skeleton.left), set(skeleton.right)) == (left, right)
        if skeleton.num_joints == keypoints and same_sides:
            return skeleton
    return None


def _check_same_joints(path: pathlib.Path, arrays: list[np.ndarray]) -> None:
    counts = sorted({array.shape[1] for array in arrays})
    if len(counts) != 1:
        raise InputError(
            f"{path}: arrays of {' and '.join(map(str, counts))} joints; expected as many in all"
        )
