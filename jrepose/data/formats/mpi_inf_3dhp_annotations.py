"""MPI-INF-3DHP's original annotations (Mehta et al., 3DV 2017), file by file.

    S1/Seq1/annot.mat   cells, one a camera: annot2 [frames, 28 * 2], annot3 and univ_annot3
                        [frames, 28 * 3]; and cameras, their numbers
    TS1/annot_data.mat  annot2 [2, 17, 1, frames], annot3 and univ_annot3 [3, 17, 1, frames],
                        valid_frame and activity_annotation [1, frames]

Both come in MATLAB's version 5 or 7.3.  2D is in pixels, 3D in the camera's axes in
millimetres: `annot3` in the subject's true size, `univ_annot3` scaled to the size that all
subjects share.

What the readers return is laid out as in the files that P-STMO (Shan et al., ECCV 2022) made of
the annotations and everybody trains on since: 17 of the 28 joints, 8 of the 14 cameras, and of
each training sequence no more frames than a fixed number.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from jrepose.data.formats.mat_files import read_mat
from jrepose.errors import InputError

LABELS = ("univ_annot3", "annot3")
"""3D annotations: of common size (P-STMO and most others), of true size (D3DP)."""

TRAINING_SEQUENCES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "S1 Seq1": (6416, 25), "S1 Seq2": (12430, 50),
        "S2 Seq1": (6502, 25), "S2 Seq2": (6081, 25),
        "S3 Seq1": (12488, 50), "S3 Seq2": (12283, 50),
        "S4 Seq1": (6171, 25), "S4 Seq2": (6675, 25),
        "S5 Seq1": (12820, 50), "S5 Seq2": (12312, 50),
        "S6 Seq1": (6188, 25), "S6 Seq2": (6145, 25),
        "S7 Seq1": (6239, 25), "S7 Seq2": (6320, 25),
        "S8 Seq1": (6468, 25), "S8 Seq2": (6054, 25),
    }
)  # fmt: skip
"""Sequence -> how many frames are used at most, and frames per second."""

TEST_SEQUENCES: Mapping[str, int] = MappingProxyType(
    {"TS1": 603, "TS2": 540, "TS3": 506, "TS4": 558, "TS5": 276, "TS6": 392}
)
"""Sequence -> how many of its frames are valid in the files that the published numbers are of."""

SEQUENCES = MappingProxyType({"train": TRAINING_SEQUENCES, "test": TEST_SEQUENCES})

NUM_CAMERAS = 14
CAMERAS = ("0", "1", "2", "4", "5", "6", "7", "8")
"""The cameras that are trained on."""

NUM_ANNOTATED_JOINTS = 28
RELEVANT_JOINTS = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
"""Of the 28, the 17 that the test set is annotated with, in its order (`MPI_INF_3DHP_17`)."""

_DEEPEST = 3
"""Folders between the one that is searched and a subject's."""


def find_annotations(folder: pathlib.Path) -> dict[str, dict[str, pathlib.Path]]:
    """The annotation files below a folder.

    Args:
        folder: holds `S1`, `TS1`..., or up to three levels of folders that do, such as
            `mpi_inf_3dhp_test_set`.

    Returns:
        `"train"` and `"test"` -> sequence -> file, known sequences first and in their order.

    Raises:
        InputError: a folder cannot be read, or a sequence is there twice.
    """
    found: dict[str, dict[str, pathlib.Path]] = {"train": {}, "test": {}}
    try:
        for split, sequence, path in _walk(folder, _DEEPEST):
            first = found[split].setdefault(sequence, path)
            if not first.samefile(path):
                raise InputError(f"{sequence} is there twice: {first} and {path}")
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from None

    def rank(split, sequence):
        known = list(SEQUENCES[split])
        return known.index(sequence) if sequence in known else len(known), sequence

    return {
        split: {name: paths[name] for name in sorted(paths, key=lambda n, s=split: rank(s, n))}
        for split, paths in found.items()
    }


def _walk(folder: pathlib.Path, depth: int) -> Iterator[tuple[str, str, pathlib.Path]]:
    """Split, sequence and file of everything annotated; pictures are not looked through."""
    for child in sorted(folder.iterdir()):
        if re.fullmatch(r"TS\d+", child.name):
            if (path := child / "annot_data.mat").is_file():
                yield "test", child.name, path
        elif re.fullmatch(r"S\d+", child.name):
            for path in sorted(child.glob("Seq*/annot.mat")):
                yield "train", f"{child.name} {path.parent.name}", path
        elif depth and child.is_dir() and os.access(child, os.R_OK | os.X_OK):
            yield from _walk(child, depth - 1)


def read_annotations(
    path: pathlib.Path, split: str, sequence: str, label: str = "univ_annot3"
) -> list[Any] | dict[str, Any]:
    """One sequence, as P-STMO's files have it.

    Args:
        path: `annot.mat` or `annot_data.mat`.
        split: `"train"` or `"test"`.
        sequence: such as `"S1 Seq1"` or `"TS1"`.
        label: `"univ_annot3"` or `"annot3"`.

    Returns:
        Of a training sequence `[{camera: view}, frame rate]`, of a test sequence its view with
        `valid` [frames] and `activity` int8 [frames], 1 to 7 and 0 where there is none.  A view
        has `data_2d` [frames, 17, 2] in pixels and `data_3d` [frames, 17, 3] in millimetres, in
        the file's precision.

    Raises:
        InputError: the file cannot be read or holds something else, or the sequence is not one
            of the benchmark's.
        MissingExtra: a file of version 7.3, and h5py is missing.
    """
    if sequence not in SEQUENCES[split]:
        raise InputError(
            f"{path}: {sequence} is no sequence of MPI-INF-3DHP; expected one of "
            + ", ".join(SEQUENCES[split])
        )
    return _read_training(path, sequence, label) if split == "train" else _read_test(path, label)


def _read_training(path: pathlib.Path, sequence: str, label: str) -> list[Any]:
    content = read_mat(path, ("cameras",), cells=("annot2", label))
    cameras = content["cameras"].ravel().tolist()
    if cameras != list(range(NUM_CAMERAS)):
        shown = str(cameras[: NUM_CAMERAS + 1])
        raise InputError(f"{path}: cameras is {shown}; expected 0 to {NUM_CAMERAS - 1}")
    frames, frame_rate = TRAINING_SEQUENCES[sequence]
    views = {}
    for camera in CAMERAS:
        view = {
            "data_2d": _of_camera(path, "annot2", content["annot2"], camera, 2)[:frames],
            "data_3d": _of_camera(path, label, content[label], camera, 3)[:frames],
        }
        if len(view["data_2d"]) != len(view["data_3d"]):
            raise InputError(
                f"{path}: camera {camera} has {len(view['data_2d'])} frames in annot2 and "
                f"{len(view['data_3d'])} in {label}; expected as many"
            )
        for key, joints in zip(("annot2", label), view.values(), strict=True):
            check_finite(joints, f"{path}: {key}, camera {camera}")
        views[camera] = view
    return [views, frame_rate]


def _of_camera(
    path: pathlib.Path, key: str, cells: np.ndarray, camera: str, channels: int
) -> Float[np.ndarray, "frames 17 {channels}"]:
    if cells.size != NUM_CAMERAS:
        raise InputError(f"{path}: {key} has {cells.size} cells; expected {NUM_CAMERAS} cameras")
    cell = cells.ravel()[int(camera)]
    columns = NUM_ANNOTATED_JOINTS * channels
    if cell.ndim != 2 or cell.shape[1] != columns or not len(cell):
        raise InputError(
            f"{path}: {key}, camera {camera}, has shape {cell.shape}; expected (frames, {columns})"
        )
    return _floating(cell.reshape(-1, NUM_ANNOTATED_JOINTS, channels)[:, RELEVANT_JOINTS])


def _read_test(path: pathlib.Path, label: str) -> dict[str, Any]:
    content = read_mat(path, ("annot2", label, "valid_frame"), optional=("activity_annotation",))
    valid = content["valid_frame"].ravel()
    view = {
        "data_2d": _of_frames(path, "annot2", content["annot2"], 2, len(valid)),
        "data_3d": _of_frames(path, label, content[label], 3, len(valid)),
    }
    if not np.isin(valid, (0, 1)).all():
        raise InputError(f"{path}: valid_frame has values other than 0 and 1")
    activity = content.get("activity_annotation", np.zeros(len(valid))).ravel()
    if len(activity) != len(valid):
        raise InputError(
            f"{path}: activity_annotation has {len(activity)} frames, valid_frame has {len(valid)}"
        )
    known = np.isin(activity, range(1, 8))
    return {**view, "valid": valid, "activity": np.where(known, activity, 0).astype(np.int8)}


def _of_frames(
    path: pathlib.Path, key: str, array: np.ndarray, channels: int, frames: int
) -> Float[np.ndarray, "{frames} 17 {channels}"]:
    head = (channels, len(RELEVANT_JOINTS))
    # MATLAB drops trailing axes of length 1.
    if frames < 1 or (*array.shape, 1, 1)[: max(4, array.ndim)] != (*head, 1, frames):
        raise InputError(
            f"{path}: {key} has shape {array.shape}, valid_frame {frames} entries; expected "
            f"{(*head, 1, 'frames')} and as many entries"
        )
    joints = np.ascontiguousarray(array.reshape(*head, frames, order="F").T)
    check_finite(joints, f"{path}: {key}")
    return _floating(joints)


def _floating(array: np.ndarray) -> np.ndarray:
    """Whole numbers, too, as floating-point ones."""
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def check_finite(joints: np.ndarray, where: str) -> None:
    """Checks `[frames, joints, channels]`.

    Raises:
        InputError: a value is not finite; the message starts with `where`.
    """
    bad = ~np.isfinite(joints).all(-1)
    if bad.any():
        frame, joint = np.argwhere(bad)[0].tolist()
        raise InputError(
            f"{where}: joint {joint} of frame {frame} is not finite; expected coordinates"
        )
