"""Human3.6M's videos, a file per camera, with the joints of VideoPose3D's files beside them.

`SUBJECT/Videos/ACTION.CAMERA.mp4` as the archives have them, `data_3d_h36m.npz` and
`data_2d_h36m_gt.npz` in the same folder.  Boxes are those of the joints, wider by a share.
"""

from __future__ import annotations

import pathlib

import numpy as np

from jrepose.data.formats.human36m import FRAME_RATE
from jrepose.data.formats.videopose3d import human36m_files, read_human36m
from jrepose.data.images.decode import video_frames
from jrepose.data.images.footage import Footage, Frame
from jrepose.errors import InputError

# What VideoPose3D's files call otherwise than the archives.
_RENAMED = {"Photo": "TakingPhoto", "WalkDog": "WalkingDog"}
_MARGIN = 0.12  # of the joints' extent, on each side: heads, hands and feet


def is_human36m(folder: pathlib.Path) -> bool:
    """Whether a folder is laid out so."""
    return (folder / "data_3d_h36m.npz").exists()


def read_footage(folder: pathlib.Path) -> list[Footage]:
    """All recordings with videos, by all cameras; subjects without videos are left out.

    Raises:
        InputError: a file is missing or damaged.
    """
    human36m_files(folder, "gt")
    dataset = read_human36m(folder, "gt")
    found: dict[str, Footage] = {}
    for video in dataset.videos:
        if not (folder / video.subject / "Videos").is_dir():
            continue
        recording = video.name.removesuffix(f"/{video.camera}")
        file = _file(folder, recording, video.camera)
        frames = video.frames
        if (folder / file).exists():
            frames = min(frames, video_frames(folder / file, (video.width, video.height), np.inf))
        rows = slice(video.start, video.start + frames)
        footage = found.setdefault(
            recording, Footage(recording, video.subject, video.action, float(FRAME_RATE), {}, {})
        )
        size = np.array([video.width, video.height])
        keypoints = dataset.keypoints_px[rows]
        inside = ((keypoints >= 0) & (keypoints <= size - 1)).all(-1)
        marked = np.concatenate([keypoints, np.where(inside, 2, 0)[..., None]], -1)
        low, high = keypoints.min(1), keypoints.max(1)
        margin = _MARGIN * (high - low)
        boxes = np.concatenate([low - margin, high - low + 2 * margin], -1)
        footage.views[video.camera] = {
            k: Frame(
                file, k, video.width, video.height, boxes[k], marked[k],
                dataset.poses_camera_mm[video.start + k], None,
            )
            for k in range(frames)
        }  # fmt: skip
    if not found:
        raise InputError(f"{folder}: no videos; expected such as S1/Videos/Walking 1.54138969.mp4")
    return list(found.values())


def _file(folder: pathlib.Path, recording: str, camera: str) -> str:
    subject, action = recording.split("/", 1)
    names = [action]
    names += [action.replace(ours, theirs) for ours, theirs in _RENAMED.items() if ours in action]
    places = [f"{subject}/Videos/{name}.{camera}.mp4" for name in names]
    return next((place for place in places if (folder / place).exists()), places[0])
