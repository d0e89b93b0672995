"""Recognises the benchmarks' original files: MATLAB, HDF5 and CDF."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from jrepose.data.formats import human36m
from jrepose.data.formats.hdf5_files import open_hdf5
from jrepose.data.formats.mat_version_5 import read_version_5
from jrepose.data.formats.mpi_inf_3dhp import image_size
from jrepose.data.formats.mpi_inf_3dhp_annotations import LABELS, read_annotations
from jrepose.data.inspect.content import Content, Track
from jrepose.data.inspect.outline import names, outline
from jrepose.data.prepare.position_files import read_positions
from jrepose.errors import InputError
from jrepose.restricted_pickle import reading
from jrepose.skeleton import HUMAN36M_17, MPI_INF_3DHP_17

_PREPARE_3DHP = [
    "--config.data.source=mpi_inf_3dhp --config.data.path=FOLDER reads a folder of them;",
    "python -m jrepose.data.prepare mpi_inf_3dhp makes one file of each set",
]


def matlab(path: pathlib.Path) -> Content | None:
    """A MATLAB file of version 5: annotations of MPI-INF-3DHP, or positions of Human3.6M."""
    with reading(str(path), "MATLAB file"):
        present, _ = read_version_5(path, ())
    return _of_variables(path, present, ".cdf.mat")


def hdf5(path: pathlib.Path) -> Content | None:
    """HDF5, which MATLAB files of version 7.3 are too."""
    with reading(str(path), "HDF5 file"), open_hdf5(path) as file:
        present = [name for name in file.names if not name.startswith("#")]
    if "3D_positions" in present:
        return positions(path, ".h5")
    return _of_variables(path, present, ".cdf.mat")


def _of_variables(path: pathlib.Path, present: Sequence[str], suffix: str) -> Content | None:
    if {"annot2", "valid_frame"} <= set(present):
        return _test_annotations(path, present)
    if {"annot2", "cameras"} <= set(present):
        return _training_annotations(path, present)
    if "data" in present:
        return positions(path, suffix)
    raise InputError(
        f"{path}: MATLAB or HDF5 with {names(map(ascii, present)) or 'nothing'} in it; known are "
        "MPI-INF-3DHP's annot2 with cameras or valid_frame, and Human3.6M's data or 3D_positions"
    )


def positions(path: pathlib.Path, suffix: str = ".cdf") -> Content:
    """One recording of Human3.6M's 3D positions, told by its name's suffix to its reader."""
    if not path.name.endswith(suffix):
        raise InputError(f"{path}: like Human3.6M's positions; expected its name to end {suffix}")
    columns = read_positions(path)
    poses = columns.reshape(len(columns), human36m.NUM_RECORDED_JOINTS, 3)
    action = path.name.removesuffix(suffix)
    folders = [folder.name for folder in path.absolute().parents]
    subject = next((name for name in folders if name in human36m.SUBJECTS), "")
    return Content(
        "3D positions of one recording of Human3.6M, original",
        outline({"positions": columns}),
        [Track(action, subject, action, poses=poses[:, list(human36m.JOINTS_17)])],
        skeleton=HUMAN36M_17,
        up="z",
        use=["python -m jrepose.data.prepare human36m makes one file of all recordings"],
    )


def _training_annotations(path: pathlib.Path, present: Sequence[str]) -> Content:
    # Any of the sequences: they are read alike, and told apart by their folders only.
    views, _ = read_annotations(path, "train", "S1 Seq2", _label(path, present))
    sequence = " ".join(path.absolute().parts[-3:-1])
    tracks = [_track(f"camera {camera}", sequence, view, camera) for camera, view in views.items()]
    return _annotations("training", views, present, tracks)


def _test_annotations(path: pathlib.Path, present: Sequence[str]) -> Content:
    sequence = path.absolute().parent.name
    view = read_annotations(path, "test", "TS1", _label(path, present))
    return _annotations("test", view, present, [_track(sequence, sequence, view)])


def _track(name: str, sequence: str, view: Mapping[str, np.ndarray], camera: str = "") -> Track:
    return Track(
        name,
        sequence.partition(" ")[0],
        sequence,
        camera,
        keypoints_px=view["data_2d"],
        poses=view["data_3d"],
        valid=view["valid"].astype(bool) if "valid" in view else None,
        image_size=image_size(sequence),
    )


def _annotations(split: str, read: dict, present: Sequence[str], tracks: list[Track]) -> Content:
    return Content(
        f"annotations of a {split} sequence of MPI-INF-3DHP, original",
        [f"variables: {names(present, most=20)}", *outline(read)],
        tracks,
        keypoint_skeleton=MPI_INF_3DHP_17,
        skeleton=MPI_INF_3DHP_17,
        use=_PREPARE_3DHP,
    )


def _label(path: pathlib.Path, present: Sequence[str]) -> str:
    for label in LABELS:
        if label in present:
            return label
    raise InputError(f"{path}: neither univ_annot3 nor annot3; it has {names(present, most=20)}")
