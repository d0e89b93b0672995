"""Format-true, full-size archives of invented poses, for measuring how real ones would load.

    python benchmarks/fake_archives.py FOLDER [human36m_sh human36m mpi_inf_3dhp]

writes the three benchmarks with the published numbers of videos and frames and the dtypes that
take the most room.  The poses are one skeleton, swaying: smooth, so that compressed files
compress about as real motion does, and meaningless.
"""

from __future__ import annotations

import argparse
import pathlib
import pickle

import numpy as np

from jrepose.camera import Camera, world_to_camera
from jrepose.data.formats import human36m
from jrepose.data.formats.mpi_inf_3dhp_annotations import (
    CAMERAS,
    TEST_SEQUENCES,
    TRAINING_SEQUENCES,
)
from jrepose.files import atomic_path

# Frames over all cameras, as the official code's comments and printouts give them.
TRAIN_FRAMES, TEST_FRAMES_SH, TEST_FRAMES = 1_559_752, 566_920, 543_344
# Real lengths of TS5 and TS6; those of the others are guesses.
TEST_FRAMES_3DHP = {"TS1": 6151, "TS2": 6080, "TS3": 5838, "TS4": 6007, "TS5": 320, "TS6": 492}
SETS = ("human36m_sh", "human36m", "mpi_inf_3dhp")


def write(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Writes one of `SETS` to `folder / name`, a config's `data.path`, unless it is there."""
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    {"human36m_sh": _write_sh, "human36m": _write_videopose3d, "mpi_inf_3dhp": _write_3dhp}[name](
        path
    )
    return path


def _sway(frames: int, joints: int, dimensions: int, scale: float, random) -> np.ndarray:
    """Smooth random motion `[frames, joints, dimensions]`, float32."""
    base = random.uniform(-scale, scale, (joints, dimensions))
    speed = random.uniform(0.01, 0.05, (joints, dimensions))
    time = np.arange(frames, dtype=np.float32)[:, None, None]
    out = base + 0.1 * scale * np.sin(time * speed)
    return (out + random.normal(scale=0.002 * scale, size=out.shape)).astype(np.float32)


def _seen(joints_m: np.ndarray, camera: Camera, random) -> np.ndarray:
    """Pixels of joints in a camera, as a detector with a little noise finds them."""
    position_m = np.array(camera.translation_mm) / 1000
    rays = world_to_camera(joints_m, np.array(camera.orientation_wxyz), position_m)
    pixels = rays[..., :2] / rays[..., 2:] * camera.focal_px + camera.centre_px
    return (pixels + random.normal(scale=2.0, size=pixels.shape)).astype(np.float32)


def _lengths(total: int, videos: int, random) -> list[int]:
    """Lengths of videos, none short, that add up."""
    share = random.uniform(0.5, 2.0, videos)
    lengths = np.floor(share / share.sum() * total).astype(int)
    lengths[-1] += total - lengths.sum()
    return lengths.tolist()


def _write_sh(folder: pathlib.Path) -> None:
    target = folder / "h36m_sh_conf_cam_source_final.pkl"
    if target.exists():
        return
    random, content = np.random.default_rng(0), {}
    for split, subjects, total in (
        ("train", (1, 5, 6, 7, 8), TRAIN_FRAMES),
        ("test", (9, 11), TEST_FRAMES_SH),
    ):
        names = [
            (f"s_{s:02d}_act_{a:02d}_subact_{t:02d}_ca_{c + 1:02d}", human36m.CAMERA_IDS[c], a)
            for s in subjects for a in range(2, 17) for t in (1, 2) for c in range(4)
        ]  # fmt: skip
        lengths = _lengths(total, len(names), random)
        columns = {
            "joint_2d": np.empty((total, 17, 2), np.float32),
            "confidence": np.empty((total, 17, 1), np.float32),
            "joint3d_image": np.empty((total, 17, 3)),
            "camera_name": [],
            "source": [],
        }
        actions, start = [], 0
        for (source, camera, action), length in zip(names, lengths, strict=True):
            rows = slice(start, start + length)
            poses = _sway(length, 17, 3, 300.0, random) + np.float32([500, 500, 0])
            poses[:, 0, 2] = 0.0
            columns["joint3d_image"][rows] = poses
            columns["joint_2d"][rows] = poses[..., :2] + random.normal(size=(17, 2))
            columns["confidence"][rows] = random.uniform(0.5, 1.0, (length, 17, 1))
            columns["camera_name"] += [camera] * length
            columns["source"] += [source] * length
            actions += [human36m.ACTIONS[action - 2]] * length
            start += length
        if split == "test":
            factor = random.uniform(3.0, 5.0, total)
            columns["2.5d_factor"] = factor
            columns["joints_2.5d_image"] = columns["joint3d_image"] * factor[:, None, None]
            columns["action"] = actions
        content[split] = columns
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        pickle.dump(content, file, protocol=4)


def _write_videopose3d(folder: pathlib.Path) -> None:
    motion, detections = folder / "data_3d_h36m.npz", folder / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    if motion.exists() and detections.exists():
        return
    random = np.random.default_rng(1)
    positions_3d, positions_2d = {}, {}
    for subjects, total in (
        (human36m.TRAIN_SUBJECTS, TRAIN_FRAMES // 4),
        (human36m.TEST_SUBJECTS, TEST_FRAMES // 4),
    ):
        keys = [
            (subject, f"{action}{trial}")
            for subject in subjects for action in human36m.ACTIONS for trial in ("", " 1")
            if (subject, f"{action}{trial}") not in human36m.CORRUPT_RECORDINGS
        ]  # fmt: skip
        for (subject, action), length in zip(keys, _lengths(total, len(keys), random), strict=True):
            motion_m = _sway(length, 32, 3, 0.5, random) + np.float32([0, 0, 0.9])
            positions_3d.setdefault(subject, {})[action] = motion_m
            joints_m = motion_m[:, human36m.JOINTS_17]
            positions_2d.setdefault(subject, {})[action] = [
                _seen(joints_m, camera, random) for camera in human36m.cameras(subject)
            ]
    metadata = {
        "layout_name": "h36m",
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    with atomic_path(motion) as temporary:
        np.savez_compressed(temporary, positions_3d=positions_3d)
    with atomic_path(detections) as temporary:
        np.savez_compressed(temporary, positions_2d=positions_2d, metadata=metadata)


def _write_3dhp(folder: pathlib.Path) -> None:
    random = np.random.default_rng(2)

    def annotations(frames: int) -> dict[str, np.ndarray]:
        poses = _sway(frames, 17, 3, 800.0, random) + np.float32([0, 0, 4000])
        keypoints = 1500 * poses[..., :2] / poses[..., 2:] + 1024
        return {"data_2d": keypoints.astype(np.float32), "data_3d": poses}

    train, test = folder / "data_train_3dhp.npz", folder / "data_test_3dhp.npz"
    if not train.exists():
        data = {
            sequence: [
                {camera: annotations(frames) for camera in CAMERAS}, rate
            ]
            for sequence, (frames, rate) in TRAINING_SEQUENCES.items()
        }  # fmt: skip
        with atomic_path(train) as temporary:
            np.savez_compressed(temporary, data=data)
    if not test.exists():
        data = {
            name: annotations(frames) | {"valid": _some_valid(frames, TEST_SEQUENCES[name])}
            for name, frames in TEST_FRAMES_3DHP.items()
        }
        with atomic_path(test) as temporary:
            np.savez_compressed(temporary, data=data)


def _some_valid(frames: int, valid: int) -> np.ndarray:
    return (np.arange(frames) * valid // frames != (np.arange(frames) - 1) * valid // frames) * 1.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("sets", nargs="*", default=SETS, choices=SETS)
    arguments = parser.parse_args()
    for name in arguments.sets:
        print(f"wrote {write(name, arguments.folder)}")
