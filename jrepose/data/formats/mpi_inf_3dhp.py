"""MPI-INF-3DHP (Mehta et al., 3DV 2017) as a dataset, protocol of P-STMO (Shan et al., ECCV 2022).

Per split, whichever is there is read, the first of these if both are:

- `data_train_3dhp.npz`, `data_test_3dhp.npz`, the preprocessed files that P-STMO introduced
  (`univ_annot3`), or `data_train_3dhp_ori.npz`, `data_test_3dhp_ori.npz`, those of D3DP
  (`annot3`); `python -m jrepose.data.prepare mpi_inf_3dhp` makes the former;
- the original annotations, see `jrepose/data/formats/mpi_inf_3dhp_annotations.py`.

2D keypoints are the annotated ones: there is no published detection.  Test sequences are read
whole; `valid` marks the frames that are scored.
"""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8

from jrepose.camera import Camera
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.formats.mpi_inf_3dhp_annotations import (
    CAMERAS,
    LABELS,
    NUM_CAMERAS,
    SEQUENCES,
    TEST_SEQUENCES,
    TRAINING_SEQUENCES,
    check_finite,
    find_annotations,
    read_annotations,
)
from jrepose.data.plausibility import check_plausible
from jrepose.errors import InputError
from jrepose.restricted_pickle import read_npz
from jrepose.restricted_pickle.messages import shown
from jrepose.skeleton import MPI_INF_3DHP_17

_LOG = logging.getLogger(__name__)

SPLITS = ("train", "test")

NPZ_FILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "univ_annot3": {"train": "data_train_3dhp.npz", "test": "data_test_3dhp.npz"},
        "annot3": {"train": "data_train_3dhp_ori.npz", "test": "data_test_3dhp_ori.npz"},
    }
)
"""Label -> split -> name of the preprocessed file."""

ACTIVITIES: Mapping[int, str] = MappingProxyType(
    {
        1: "Standing/Walking",
        2: "Exercising",
        3: "Sitting",
        4: "Reaching/Crouching",
        5: "On The Floor",
        6: "Sports",
        7: "Miscellaneous",
    }
)
"""What the numbers in `PoseDataset.activity` mean."""

# The files do not tell the test sequences' frame rate, and no score depends on it.
_TEST_FRAME_RATE = 25.0
_TEST_CAMERA = "0"  # each sequence is seen by one


def image_size(sequence: str) -> tuple[int, int]:
    """Width and height in pixels of the images of a sequence such as `"S1 Seq1"` or `"TS5"`."""
    return (1920, 1080) if sequence in ("TS5", "TS6") else (2048, 2048)


# Focal length, and how far right of and below the picture's middle the principal point is, by
# picture size.  Pixels count as square and lenses as perfect, as with D3DP: annotated keypoints are
# free of distortion.
_TEST_OPTICS_MM: Mapping[tuple[int, int], tuple[float, float, float]] = MappingProxyType(
    {
        (2048, 2048): (7.32506, -0.0322884, 0.0929296),
        (1920, 1080): (8.770747185, -0.104908645, 0.104899704),
    }
)
_SENSOR_WIDTH_MM = 10.0


def camera_of(sequence: str) -> Camera:
    """The camera of a test sequence, `"TS1"` to `"TS6"`, in its own axes.

    Its calibration as D3DP (ICCV 2023, released code) takes it to see hypotheses in the picture.
    """
    width, height = image_size(sequence)
    focal, right, down = np.array(_TEST_OPTICS_MM[width, height]) * width / _SENSOR_WIDTH_MM
    return Camera(
        name=_TEST_CAMERA,
        width=width,
        height=height,
        focal_px=(focal, focal),
        centre_px=(width / 2 + right, height / 2 + down),
        orientation_wxyz=(1.0, 0.0, 0.0, 0.0),
        translation_mm=(0.0, 0.0, 0.0),
    )


def source_files(
    folder: str | os.PathLike[str], label: str = "univ_annot3"
) -> dict[str, list[pathlib.Path]]:
    """The files that `read_mpi_inf_3dhp` reads, by split; a split without files is left out.

    Raises:
        InputError: no such folder, an unknown label, nothing found, or a sequence is there
            twice.
    """
    return {split: list(files.values()) for split, files in _find(folder, label).items()}


def read_mpi_inf_3dhp(
    folder: str | os.PathLike[str],
    label: str = "univ_annot3",
    splits: Sequence[str] = SPLITS,
) -> dict[str, PoseDataset]:
    """Reads the training and the test sequences, or one of the two.

    Args:
        folder: holds the preprocessed files, or the original annotations, possibly some folders
            further down.
        label: `"univ_annot3"` (poses of one common body size: P-STMO and those who follow it)
            or `"annot3"` (true size: D3DP).
        splits: what to read of `"train"` and `"test"`.

    Returns:
        The splits that are there.  Videos are in the files' order: of a training sequence one
        for each camera, with the sequence (`"S1 Seq1"`) as action and the person (`"S1"`) as
        subject; a test sequence (`"TS1"`) is all three of name, action and subject.  Targets
        are `"camera_by_width"`, poses are in camera axes.  Test videos have their camera's
        intrinsics with `annot3`, as only poses of true size can be seen in it.  Activities are
        known for the test set if it was read from original annotations or converted by us.

    Raises:
        InputError: nothing found, or a file that cannot be read, holds something else, or is in
            other units or axes.
            Missing sequences, and sequences of other lengths than published, are only warned
            about.
        MissingExtra: original annotations in MATLAB 7.3, and h5py is missing.
    """
    found = _find(folder, label)
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise InputError(f"unknown split {unknown[0]!r}; expected {' or '.join(SPLITS)}")
    return {
        split: _dataset(split, _read(split, found[split], label), folder, label)
        for split in SPLITS
        if split in splits and split in found
    }


def read_preprocessed(path: str | os.PathLike[str], split: str) -> PoseDataset:
    """One preprocessed file, whatever it is called, as `read_mpi_inf_3dhp` reads it.

    Raises:
        InputError: not such a file.
    """
    path = pathlib.Path(path)
    return _assembled(split, list(_read(split, {None: path})), str(path))


def _find(folder: str | os.PathLike[str], label: str) -> dict[str, dict[str | None, pathlib.Path]]:
    """Split -> sequence -> file; a preprocessed file holds all, its sequence is None."""
    folder = pathlib.Path(folder)
    if label not in LABELS:
        raise InputError(f"unknown label {label!r}; expected one of {', '.join(LABELS)}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with MPI-INF-3DHP")
    packed = {split: folder / name for split, name in NPZ_FILES[label].items()}
    found: dict[str, dict[str | None, pathlib.Path]] = {
        split: {None: path} for split, path in packed.items() if path.is_file()
    }
    if len(found) < len(SPLITS):
        originals = find_annotations(folder)
        found |= {s: files for s, files in originals.items() if files and s not in found}
    if not found:
        other = next(name for name in LABELS if name != label)
        names = [name for name in NPZ_FILES[other].values() if (folder / name).is_file()]
        hint = f" ({names[0]} has {other})" if names else ""
        raise InputError(
            f"{folder}: no MPI-INF-3DHP with {label}{hint}; expected {packed['train'].name}, "
            f"{packed['test'].name}, S*/Seq*/annot.mat or TS*/annot_data.mat"
        )
    return found


class _View(NamedTuple):
    """A sequence seen by one camera."""

    sequence: str
    camera: str
    frame_rate: float
    keypoints_px: Float32[np.ndarray, "frames 17 2"]
    poses_camera_mm: Float32[np.ndarray, "frames 17 3"]
    valid: Bool[np.ndarray, " frames"]
    activity: Int8[np.ndarray, " frames"]


def _read(split: str, files: Mapping[str | None, pathlib.Path], label: str = "") -> Iterator[_View]:
    for sequence, path in files.items():
        if sequence is not None:
            entry = read_annotations(path, split, sequence, label)
            yield from _views(split, sequence, entry, str(path))
            continue
        entries = read_npz(path).get("data")
        if not isinstance(entries, dict) or not entries:
            raise InputError(f"{path}: no dictionary of sequences under 'data'; expected P-STMO's")
        for name, entry in entries.items():
            if name not in SEQUENCES[split]:
                raise InputError(
                    f"{path}: {shown(str(name))} is no {split} sequence of MPI-INF-3DHP; expected "
                    f"some of {', '.join(SEQUENCES[split])}"
                )
            yield from _views(split, name, entry, f"{path}: {name}")


def _views(split: str, sequence: str, entry: Any, where: str) -> Iterator[_View]:
    """Checks what the preprocessed layout has for a sequence."""
    if split == "test":
        yield _view(sequence, _TEST_CAMERA, _TEST_FRAME_RATE, entry, where, needs_valid=True)
        return
    cameras, frame_rate = entry if isinstance(entry, list | tuple) and len(entry) == 2 else (0, 0)
    number = isinstance(frame_rate, int | float | np.integer | np.floating)
    if not isinstance(cameras, dict) or not cameras or not number or not 0 < frame_rate < 1e6:
        raise InputError(f"{where}: expected a list of the cameras and the frame rate")
    for camera, arrays in cameras.items():
        if str(camera) not in map(str, range(NUM_CAMERAS)):
            raise InputError(
                f"{where}: camera {shown(str(camera))}; expected one of 0 to {NUM_CAMERAS - 1}"
            )
        yield _view(sequence, str(camera), float(frame_rate), arrays, f"{where}, camera {camera}")


def _view(
    sequence: str,
    camera: str,
    frame_rate: float,
    arrays: Any,
    where: str,
    needs_valid: bool = False,
) -> _View:
    if not isinstance(arrays, dict):
        raise InputError(f"{where}: expected a dictionary of arrays")
    keypoints = _joints(arrays, "data_2d", 2, where)
    poses = _joints(arrays, "data_3d", 3, where)
    marks = {"valid": np.ones(len(poses)), "activity": np.zeros(len(poses))}
    for name in marks:
        if name in arrays or (name == "valid" and needs_valid):
            marks[name] = _numbers(arrays, name, where).ravel()
    if not len(keypoints) == len(poses) == len(marks["valid"]) == len(marks["activity"]):
        lengths = {"data_2d": keypoints, "data_3d": poses} | {n: marks[n] for n in marks}
        raise InputError(
            f"{where}: "
            + ", ".join(f"{name} has {len(array)} frames" for name, array in lengths.items())
            + "; expected as many in all"
        )
    if not np.isin(marks["valid"], (0, 1)).all():
        raise InputError(f"{where}: valid has values other than 0 and 1")
    if not np.isin(marks["activity"], range(8)).all():
        raise InputError(f"{where}: activity has values other than 0 to 7")
    return _View(
        sequence,
        camera,
        frame_rate,
        keypoints,
        poses,
        marks["valid"].astype(bool),
        marks["activity"].astype(np.int8),
    )


def _numbers(arrays: Mapping[str, Any], name: str, where: str) -> np.ndarray:
    value = arrays.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        there = shown(", ".join(map(str, arrays)))
        raise InputError(f"{where}: no numeric array {name!r}; it has {there}")
    return value


def _joints(
    arrays: Mapping[str, Any], name: str, channels: int, where: str
) -> Float32[np.ndarray, "frames 17 {channels}"]:
    value = _numbers(arrays, name, where)
    expected = (MPI_INF_3DHP_17.num_joints, channels)
    if value.ndim != 3 or value.shape[1:] != expected or not len(value):
        raise InputError(
            f"{where}: {name} has shape {value.shape}; expected (frames, {expected[0]}, {channels})"
        )
    with np.errstate(over="ignore"):
        joints = np.ascontiguousarray(value, np.float32)
    check_finite(joints, f"{where}: {name}")
    return joints


def _dataset(
    split: str, views: Iterable[_View], folder: str | os.PathLike[str], label: str
) -> PoseDataset:
    views = list(views)
    deviations = _deviations(split, views)
    if deviations:
        _LOG.warning("%s: not the published %s set: %s", folder, split, deviations)
    seen = split == "test" and label == "annot3"
    return _assembled(split, views, f"{folder}, {split} set", seen)


def _assembled(split: str, views: Sequence[_View], where: str, seen: bool = False) -> PoseDataset:
    videos, start = [], 0
    for view in views:
        width, height = image_size(view.sequence)
        stop = start + len(view.valid)
        camera = camera_of(view.sequence) if seen else None
        videos.append(
            Video(
                name=f"{view.sequence}/camera_{view.camera}" if split == "train" else view.sequence,
                subject=view.sequence.split()[0],
                action=view.sequence,
                camera=view.camera,
                width=width,
                height=height,
                frame_rate=view.frame_rate,
                start=start,
                stop=stop,
                intrinsics=None if camera is None else tuple(camera.intrinsics_screen.tolist()),
            )
        )
        start = stop
    keypoints = np.concatenate([view.keypoints_px for view in views])
    dataset = PoseDataset(
        keypoints_px=keypoints,
        confidence=np.ones(keypoints.shape[:2], np.float32),
        visible=np.ones(keypoints.shape[:2], bool),
        valid=np.concatenate([view.valid for view in views]),
        videos=tuple(videos),
        skeleton=MPI_INF_3DHP_17,
        poses_camera_mm=np.concatenate([view.poses_camera_mm for view in views]),
        activity=np.concatenate([view.activity for view in views]) if split == "test" else None,
        target_space="camera_by_width",
    )
    check_plausible(dataset, where, keypoints="data_2d", poses="data_3d")
    return dataset


def _deviations(split: str, views: Sequence[_View]) -> str:
    """In which sequences, cameras and lengths this is another set than everybody's."""
    cameras: dict[str, dict[str, _View]] = {}
    for view in views:
        cameras.setdefault(view.sequence, {})[view.camera] = view
    absent = [sequence for sequence in SEQUENCES[split] if sequence not in cameras]
    found = [f"{', '.join(absent)} missing"] if absent else []
    for sequence, of_sequence in cameras.items():
        if split == "test":
            valid = int(next(iter(of_sequence.values())).valid.sum())
            if valid != TEST_SEQUENCES[sequence]:
                found.append(f"{sequence} has {valid} valid frames, not {TEST_SEQUENCES[sequence]}")
            continue
        if set(of_sequence) != set(CAMERAS):
            found.append(f"{sequence} has cameras {', '.join(of_sequence)}")
        frames = {len(view.valid) for view in of_sequence.values()}
        if frames != {TRAINING_SEQUENCES[sequence][0]}:
            lengths = " or ".join(map(str, sorted(frames)))
            found.append(f"{sequence} has {lengths} frames, not {TRAINING_SEQUENCES[sequence][0]}")
    return "; ".join(found)
