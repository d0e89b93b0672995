"""Human3.6M from its original 3D positions, in the layout of VideoPose3D.

Below the source folder, up to three levels down, each of S1, S5, S6, S7, S8, S9 and S11 is
read from whichever of these it has most of:

  S1/MyPoseFeatures/D3_Positions/Directions 1.cdf      official archives Poses_D3_Positions_S*.tgz
  S1/MyPoseFeatures/D3_Positions/Directions 1.cdf.mat  the same through MATLAB's cdfread
  S1/MyPoses/3D_positions/Directions 1.h5              archive of Martinez et al. (ICCV 2017)

Written are

  data_3d_h36m.npz     32 joints in the world, metres
  data_2d_h36m_gt.npz  17 joints in the images of the four cameras, pixels
"""

from __future__ import annotations

import logging
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from jrepose.camera import Camera, image_coordinates, project_to_2d
from jrepose.data.formats import human36m
from jrepose.data.formats.videopose3d import camera_metres
from jrepose.data.prepare.object_npz import write_object_npz
from jrepose.data.prepare.position_files import read_positions
from jrepose.errors import InputError
from jrepose.files import atomic_path
from jrepose.skeleton import HUMAN36M_17

POSITIONS_FILE = "data_3d_h36m.npz"
KEYPOINTS_FILE = "data_2d_h36m_gt.npz"

TRIALS = 2
RECORDINGS = TRIALS * len(human36m.ACTIONS)
"""Per subject: each action twice."""

_log = logging.getLogger("jrepose")


def prepare(
    source: pathlib.Path, out: pathlib.Path, *, overwrite: bool = False, allow_missing: bool = False
) -> list[pathlib.Path]:
    """Converts the original positions of Human3.6M.

    Both files hold what VideoPose3D's own conversion gives (Pavllo et al., CVPR 2019): the
    positions as they are, in metres, and their projection with each camera's lens distortion.
    S11's first Directions is left out, as it is corrupt.

    Args:
        source: folder with the extracted archives; the module's docstring shows its layout.
        out: folder for `POSITIONS_FILE` and `KEYPOINTS_FILE`, made if need be.
        overwrite: whether existing ones may be replaced.
        allow_missing: whether missing or unexpected subjects and recordings are only warned
            about.  Unexpected ones are skipped.

    Returns:
        The two files written.

    Raises:
        InputError: nothing to convert, recordings missing or unexpected, a file that cannot
            be read or holds something else, converted files that exist.  Nothing is written.
        MissingExtra: a package that reads the source's format is not installed.
    """
    positions_path, keypoints_path = out / POSITIONS_FILE, out / KEYPOINTS_FILE
    for path in (positions_path, keypoints_path):
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already (--overwrite replaces it)")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: not a folder; expected one for the converted files")
    recordings = _find_recordings(source, allow_missing)

    positions: dict[str, dict[str, np.ndarray]] = {subject: {} for subject in recordings}
    keypoints: dict[str, dict[str, list[np.ndarray]]] = {subject: {} for subject in recordings}
    files = [(s, action, path) for s in recordings for action, path in recordings[s].items()]
    for subject, action, path in tqdm(files, desc="Human3.6M", unit="file", disable=None):
        # Divided in the file's own precision, as VideoPose3D does.
        rows_m = (read_positions(path) / 1000).astype(np.float32, order="C")
        poses_m = rows_m.reshape(-1, human36m.NUM_RECORDED_JOINTS, 3)
        positions[subject][action] = poses_m
        keypoints[subject][action] = [
            _project(poses_m[:, human36m.JOINTS_17], camera) for camera in human36m.cameras(subject)
        ]

    metadata = {
        "num_joints": HUMAN36M_17.num_joints,
        "keypoints_symmetry": [list(HUMAN36M_17.left), list(HUMAN36M_17.right)],
    }
    with atomic_path(positions_path) as first, atomic_path(keypoints_path) as second:
        write_object_npz(first, {"positions_3d": positions})
        write_object_npz(second, {"positions_2d": keypoints, "metadata": metadata})
    return [positions_path, keypoints_path]


def _project(
    poses_m: Float32[np.ndarray, "frames joints 3"], camera: Camera
) -> Float32[np.ndarray, "frames joints 2"]:
    """World metres to pixels, through screen units so as to round as VideoPose3D does."""
    screen = project_to_2d(camera_metres(poses_m, camera), camera.intrinsics_screen)
    return image_coordinates(screen, camera.width, camera.height)


# --- finding the recordings --------------------------------------------------------------------

_LAYOUTS = (
    ("MyPoseFeatures/D3_Positions", ".cdf"),
    ("MyPoseFeatures/D3_Positions", ".cdf.mat"),
    ("MyPoses/3D_positions", ".h5"),
)
"""Folder of a subject and suffix of its recordings.  Of equally many, the first are taken."""

_DEEPEST_SUBJECT = 3
"""Folders between the source and a subject."""

Recordings = dict[str, pathlib.Path]
"""Canonical action, with its trial, and file: one subject's."""


def _find_recordings(source: pathlib.Path, allow_missing: bool) -> dict[str, Recordings]:
    """The expected recordings of the expected subjects.

    Raises:
        InputError: none at all; or not exactly the expected ones and not `allow_missing`.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; expected one with the extracted archives")
    found: dict[str, Recordings] = {}
    for folder, suffix in _LAYOUTS:
        for subject, path in _subject_folders(source, folder).items():
            recordings = _recordings(path, suffix)
            if len(recordings) > len(found.get(subject, ())):
                found[subject] = recordings

    present = [subject for subject in human36m.SUBJECTS if subject in found]
    hint = _hint_at_archives(source, present)
    if not present:
        expected = " or ".join(f"S1/{folder}/*{suffix}" for folder, suffix in _LAYOUTS)
        raise InputError(f"{source}: no positions of Human3.6M below it; expected {expected}{hint}")
    if deviations := _deviations(found):
        message = (
            f"{source}: {'; '.join(deviations)}; expected {', '.join(human36m.SUBJECTS)} with "
            f"{RECORDINGS} recordings each{hint}"
        )
        if not allow_missing:
            raise InputError(f"{message} (--allow-missing converts what is there)")
        _log.warning("%s", message)
    return {subject: _usable(subject, found[subject]) for subject in present}


def _usable(subject: str, recordings: Recordings) -> Recordings:
    """The recordings of known actions that are not corrupt."""
    usable = {}
    for action, path in recordings.items():
        if (subject, action) in human36m.CORRUPT_RECORDINGS:
            _log.info("%s %s is left out: the recording is corrupt", subject, action)
        elif human36m.action_class(action) in human36m.ACTIONS:
            usable[action] = path
    return usable


def _subject_folders(source: pathlib.Path, folder: str) -> dict[str, pathlib.Path]:
    """Subject -> its `folder`, wherever below the source that is.

    Raises:
        InputError: a subject is there twice.
    """
    paths: dict[str, pathlib.Path] = {}
    for depth in range(_DEEPEST_SUBJECT + 1):
        for home in sorted(source.glob("*/" * depth + "S*")):
            path = home / folder
            if not re.fullmatch(r"S\d+", home.name) or not path.is_dir():
                continue
            first = paths.setdefault(home.name, path)
            if not first.samefile(path):
                raise InputError(f"{home.name} is there twice: {first} and {path}")
    return paths


def _recordings(folder: pathlib.Path, suffix: str) -> Recordings:
    """The recordings in a folder, sorted by file name.

    Raises:
        InputError: one is there under its old and its canonical name.
    """
    recordings: Recordings = {}
    for path in sorted(folder.iterdir()):
        # Hidden files are what some systems add to archives.
        if path.name.startswith(".") or not path.name.endswith(suffix):
            continue
        action = human36m.canonical_action(path.name.removesuffix(suffix))
        if action in recordings:
            raise InputError(f"{path}: the same recording as {recordings[action].name}")
        recordings[action] = path
    return recordings


def _deviations(found: Mapping[str, Recordings]) -> list[str]:
    """What is missing or unexpected, a few words for each subject."""
    deviations = []
    for subject in human36m.SUBJECTS:
        if subject not in found:
            deviations.append(f"{subject} is missing")
            continue
        counts = Counter(human36m.action_class(action) for action in found[subject])
        expected = dict.fromkeys(human36m.ACTIONS, TRIALS)
        wrong = [
            f"{counts[action]}/{expected.get(action, 0)} {action}"
            for action in {**expected, **counts}
            if counts[action] != expected.get(action, 0)
        ]
        if wrong:
            deviations.append(f"{subject} has {len(found[subject])} ({', '.join(wrong)})")
    unexpected = sorted(set(found) - set(human36m.SUBJECTS))
    return deviations + [f"{subject} has no published poses" for subject in unexpected]


def _hint_at_archives(source: pathlib.Path, present: Sequence[str]) -> str:
    """Names an archive in the source folder whose subject is not there yet."""
    for subject in human36m.SUBJECTS:
        for archive in source.glob(f"Poses_D3_Positions_{subject}.*"):
            if subject not in present:
                return f"; {archive.name} is still packed, extract it first"
    return ""
