"""Human3.6M with stacked-hourglass detections and 2.5D labels: one pickle, "Human3.6M-SH".

The preprocessed file of MotionBERT (Zhu et al., ICCV 2023), which MotionAGFormer, TCPFormer and
RePOSE share; its content goes back to LCN (Ci et al., ICCV 2019).  A dictionary of `train` and
`test`, each a dictionary of columns with one row per video frame, the frames of a video in a row:

| column | shape | what it holds |
|---|---|---|
| `joint_2d` | [N, 17, 2] | detected joints, pixels |
| `confidence` | [N, 17] or [N, 17, 1] | of the detector; may be missing |
| `joint3d_image` | [N, 17, 3] | label: x, y in pixels, depth in the same scale |
| `camera_name` | [N] | the camera's number |
| `source` | [N] | the video, such as `s_09_act_05_subact_02_ca_01` |
| `joints_2.5d_image` | [N, 17, 3] | `test` only: ground truth, millimetres |
| `2.5d_factor` | [N] | `test` only: millimetres per pixel |
| `action` | [N] | `test` only: name of the action |

Columns are arrays of any number type, or lists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Real, Shaped

from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.formats.human36m import FRAME_RATE, cameras, canonical_action
from jrepose.data.plausibility import check_plausible
from jrepose.errors import InputError
from jrepose.restricted_pickle import read_pickle
from jrepose.skeleton import HUMAN36M_17

FILE_NAME = "h36m_sh_conf_cam_source_final.pkl"
"""The name under which the file is published."""

BLOCKED_SEQUENCES = (
    "s_09_act_05_subact_02",
    "s_09_act_10_subact_02",
    "s_09_act_13_subact_01",
)
"""Recordings with a wrong ground truth, which the official evaluation leaves out: all cameras."""

_COLUMNS = ("joint_2d", "joint3d_image", "camera_name", "source")
_TEST_COLUMNS = ("joints_2.5d_image", "2.5d_factor", "action")
_VIDEO_NAME = re.compile(r"s_(\d{1,3})_act_(\d{1,3})_subact_\d{1,3}_ca_\d\d")

_Text = Sequence[str] | Shaped[np.ndarray, " frames"]

# Lenses and images are the same for all subjects.
_IMAGE_SIZES = {camera.name: (camera.width, camera.height) for camera in cameras("S1")}


def human36m_sh_file(path: str | os.PathLike[str]) -> Path:
    """The pickle itself, given it or the folder that it is in."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def read_human36m_sh(path: str | os.PathLike[str]) -> dict[str, PoseDataset]:
    """Reads the file as the official code does, without its slicing into clips.

    Videos are runs of rows with the same `source`, and are named so.  The subject stands in that
    name.  So does the action, by number; the number's name is taken from the test split's
    `action` column, and `act_NN` stands where that does not tell.

    All joints count as visible.  Frames of `BLOCKED_SEQUENCES` are not valid.  Only the test
    split has `factor_mm_per_px` and `poses_image_mm`, and the latter is stored relative to each
    frame's root, subtracted in double precision: evaluation subtracts it anyway, and single
    precision would round metres otherwise.

    Further channels and columns are ignored, as officially, and confidences are 1 where the
    training split has none.  One thing differs from the official evaluation: that one leaves out
    frames without any error at all, which a model's output never is.

    Args:
        path: the pickle, or the folder with `FILE_NAME` in it.

    Returns:
        `"train"` and `"test"`: keypoints in pixels, 2.5D labels, target space `"image"`, 50 Hz.
        Peak memory is about that of the file's content.

    Raises:
        InputError: no such file, or not such a file; names the split, the column, what is wrong
            with it and, for values, the video and its frame.
    """
    path = human36m_sh_file(path)
    content = read_pickle(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), dict) for name in ("train", "test")
    ):
        raise InputError(
            f"{path}: expected a dictionary of two, 'train' and 'test', as {FILE_NAME}"
        )
    columns = _COLUMNS + ("confidence",) * ("confidence" in content["train"])
    # Popped, so that the tables alone hold the raw columns.
    train = _Table(f"{path}: train", content.pop("train"), columns)
    test = _Table(f"{path}: test", content.pop("test"), columns + _TEST_COLUMNS)

    actions = [canonical_action(name) for name in test.per_video("action")]
    names = {_act(video): action for video, action in zip(test.videos, actions, strict=True)}
    return {
        "train": _dataset(train, [names.get(_act(video), _act(video)) for video in train.videos]),
        "test": _dataset(test, actions),
    }


class _Table:
    """The columns of one split.  Reading a column removes it, so that its memory can be freed.

    Args:
        where: file and split, for messages.
        columns: by name.
        needed: names of the columns to keep.
    """

    def __init__(self, where: str, columns: Mapping[Any, Any], needed: Sequence[str]):
        self.where = where
        for name in needed:
            if name not in columns:
                present = ", ".join(repr(key)[:40] for key in list(columns)[:20]) or "none"
                raise InputError(f"{where} has no column {name!r}; it has {present}")
        self._columns = {name: columns[name] for name in needed}
        source = self._text("source")
        self.rows = len(source)
        if not self.rows:
            raise self.error("source", "is empty; expected one text per frame")
        self.starts = [0, *_changes(source)]
        self.videos = [str(source[start]) for start in self.starts]
        for name, start in zip(self.videos, self.starts, strict=True):
            if not _VIDEO_NAME.fullmatch(name):
                raise self.error(
                    "source", f"is {name[:80]!r} in row {start}; expected a video's name such as "
                    "s_09_act_05_subact_02_ca_01"
                )  # fmt: skip

    def error(self, column: str, problem: str) -> InputError:
        return InputError(f"{self.where}/{column} {problem}")

    def has(self, column: str) -> bool:
        return column in self._columns

    def per_video(self, column: str) -> list[str]:
        """Text that is the same in all frames of a video."""
        values = self._text(column)
        self._check_rows(column, len(values))
        for row in sorted(set(_changes(values)).difference(self.starts))[:1]:
            raise self.error(column, f"changes within a video, {self._place(row)}")
        return [str(values[start]) for start in self.starts]

    def numbers(self, column: str, *shape: int) -> Float32[np.ndarray, "frames ..."]:
        """A column of finite numbers with rows of that shape."""
        return self.single(column, self.as_saved(column, *shape))

    def as_saved(self, column: str, *shape: int) -> Real[np.ndarray, "frames ..."]:
        """A column with rows of that shape, of which further channels are cut off.

        Where there is one channel, there may be no axis for it.
        """
        values = self._columns.pop(column)
        if not isinstance(values, np.ndarray) or values.dtype.kind == "O":
            try:
                values = np.array(list(values), np.float64)
            except (TypeError, ValueError):
                raise self.error(
                    column, "holds other things than numbers, or rows of different shapes"
                ) from None
        if values.dtype.kind not in "fiu" or not values.ndim:
            raise self.error(column, "is not a list or array of numbers; expected rows of them")
        self._check_rows(column, len(values))
        rows = values[..., None] if shape[-1] == 1 and values.ndim == len(shape) else values
        *joints, channels = rows.shape[1:] or (0,)
        too_many = channels > shape[-1] == 1
        if joints != list(shape[:-1]) or channels < shape[-1] or too_many:
            raise self.error(
                column, f"has the shape {values.shape}; expected {(self.rows, *shape)}"
            )
        return rows[..., : shape[-1]]

    def single(self, column: str, values: np.ndarray) -> Float32[np.ndarray, "frames ..."]:
        """The values in single precision.

        Raises:
            InputError: one is not finite.
        """
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, np.float32)
        self.check(column, np.isfinite(values), "is not finite")
        return values

    def check(self, column: str, good: Bool[np.ndarray, "frames ..."], problem: str) -> None:
        """Raises InputError with the first frame whose values are not all good."""
        if not good.all():
            row = int(np.argmin(good.reshape(self.rows, -1).all(1)))
            raise self.error(column, f"{problem}, {self._place(row)}")

    def _text(self, column: str) -> _Text:
        values = self._columns.pop(column)
        if isinstance(values, np.ndarray) and values.dtype.kind == "O":
            values = values.tolist()
        # Lists stay lists: as an array every text would be as large as the longest.
        if isinstance(values, np.ndarray):
            is_text = values.ndim == 1 and values.dtype.kind == "U"
        else:
            is_text = isinstance(values, list | tuple) and {str, np.str_}.issuperset(
                map(type, values)
            )
        if not is_text:
            raise self.error(column, "is not a list or array of text; expected one text per frame")
        return values

    def _check_rows(self, column: str, rows: int) -> None:
        if rows != self.rows:
            raise self.error(column, f"has {rows} rows; expected {self.rows}, as source has")

    def _place(self, row: int) -> str:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"first in video {self.videos[number]}, frame {row - self.starts[number]}"


def _changes(values: _Text) -> list[int]:
    """Where the value differs from the one before."""
    if isinstance(values, np.ndarray):
        return (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    return [row for row in range(1, len(values)) if values[row] != values[row - 1]]


def _act(video: str) -> str:
    """`act_05` of `s_09_act_05_subact_02_ca_01`."""
    return f"act_{_VIDEO_NAME.fullmatch(video)[2]}"


def _dataset(table: _Table, actions: Sequence[str]) -> PoseDataset:
    dataset = _columns(table, actions)
    check_plausible(dataset, table.where, keypoints="joint_2d", poses="joint3d_image")
    return dataset


def _columns(table: _Table, actions: Sequence[str]) -> PoseDataset:
    videos = _videos(table, actions)
    joints = HUMAN36M_17.num_joints
    lengths = [video.frames for video in videos]
    labels: dict[str, np.ndarray] = {}
    if table.has("2.5d_factor"):
        factor = table.numbers("2.5d_factor", 1)[:, 0]
        table.check("2.5d_factor", factor > 0, "is not above 0")
        labels["factor_mm_per_px"] = factor
        labels["poses_image_mm"] = _relative_to_root(table, "joints_2.5d_image")
    if table.has("confidence"):
        confidence = table.numbers("confidence", joints, 1)[..., 0]
    else:
        confidence = np.ones((table.rows, joints), np.float32)
    return PoseDataset(
        keypoints_px=table.numbers("joint_2d", joints, 2),
        confidence=confidence,
        poses_image_px=table.numbers("joint3d_image", joints, 3),
        visible=np.ones((table.rows, joints), bool),
        valid=np.repeat([video.name[:-6] not in BLOCKED_SEQUENCES for video in videos], lengths),
        videos=videos,
        skeleton=HUMAN36M_17,
        **labels,
    )


def _relative_to_root(table: _Table, column: str) -> Float32[np.ndarray, "frames 17 3"]:
    poses = table.as_saved(column, HUMAN36M_17.num_joints, 3).astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):  # infinite less infinite; found below
        return table.single(column, poses - poses[:, HUMAN36M_17.root, None])


def _videos(table: _Table, actions: Sequence[str]) -> tuple[Video, ...]:
    videos = []
    for name, camera, action, start, stop in zip(
        table.videos,
        table.per_video("camera_name"),
        actions,
        table.starts,
        [*table.starts[1:], table.rows],
        strict=True,
    ):
        if camera not in _IMAGE_SIZES:
            raise table.error(
                "camera_name",
                f"is {camera[:80]!r} in video {name}; expected {', '.join(_IMAGE_SIZES)}",
            )
        subject = f"S{int(_VIDEO_NAME.fullmatch(name)[1])}"
        width, height = _IMAGE_SIZES[camera]
        videos.append(Video(name, subject, action, camera, width, height, FRAME_RATE, start, stop))
    return tuple(videos)
