"""One's own keypoints and poses: a plain `.npz` of a few arrays, read and written.

All frames of all videos stand one after another.  F frames, V videos, K keypoints, J joints:

| key | shape | meaning | if absent |
|---|---|---|---|
| `keypoints_px` | [F, K, 2] | detected 2D joints, pixels, y down; NaN where missing | required |
| | [F, K, 3] | the same with the confidence as third channel | |
| `width`, `height` | number or [V] | image size, pixels | required |
| `confidence` | [F, K] | of the detector, 0 (missing) to 1 | 1 |
| `poses_camera_mm` | [F, J, 3] | 3D joints, mm, x right, y down, z away from camera | no labels |
| `intrinsics_px` | [4] or [V, 4] | fx, fy, cx, cy of the camera, pixels | see below |
| `visible` | [F, J] | whether the camera sees the joint | yes |
| `valid` | [F] | False: the frame is not scored | yes |
| `video_lengths` | [V] | frames of each video, in order | one video |
| `video_names` | [V] | unique | video_0, video_1, ... |
| `subjects` | text or [V] | who; splits are made by subject | subject |
| `actions` | text or [V] | class of what is done; scores are averaged by it | motion |
| `cameras` | text or [V] | which camera | camera |
| `frame_rate` | number or [V] | frames per second | 50 |
| `skeleton` | text | joint order of the poses, a name in `jrepose.skeleton` | human36m_17 |
| `keypoint_skeleton` | text | joint order of the keypoints | that of the poses |
| `joint_names`, `joint_parents`, `joint_pairs` | | a joint order of one's own, see below | |
| `keypoint_names`, `keypoint_parents`, `keypoint_pairs` | | the same for the keypoints | |
| `target_space` | text | what a model predicts, see `PoseDataset` | see below |

With `poses_camera_mm` and `intrinsics_px` the 2.5D label is computed, and models predict that
(target space `image`).  Poses without intrinsics may be relative to anything; models then
predict them relative to their root, in metres (`camera_m`).  Without poses there is nothing to
train on or to score against, but everything to predict from.  Poses are finite: where one is not
known, interpolate it and set `valid` to False.

Who has 2.5D labels already gives them as `poses_image_px` [F, J, 3] with `factor_mm_per_px` [F]
in place of the intrinsics, and where published `poses_image_mm` [F, J, 3]; `activity` [F] holds
small numbers of what is done frame by frame.  These are the fields of `PoseDataset`.

Units and axes are checked as far as they can be told: limbs as long as a human's in millimetres,
keypoints in pixels of the image, poses that have the axes of their own keypoints
(`jrepose.data.plausibility`).  Confidences of some detectors go a little above 1; they count as 1.

A skeleton of one's own is told by `joint_names` [J], `joint_parents` [J], the number of each
joint's parent with -1 for the root, and `joint_pairs` [P, 2], the left and the right joint of
each pair by name or number; `skeleton` is then its name (`own` if absent).  Joints that keypoints
and poses share have the same names.  The six keys may stand in a JSON file beside instead,
`own.skeleton.json` of `own.npz`: `{"joint_names": [...], "joint_parents": [...], ...}`.

Nothing is pickled: text is an array of strings, not of objects.
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float32

from jrepose.camera import Camera
from jrepose.data.dataset import TARGET_SPACES, PoseDataset, Video
from jrepose.data.labels import check_depth_reference, image_labels
from jrepose.data.plausibility import check_confidence, check_plausible
from jrepose.errors import InputError
from jrepose.files import Budget, atomic_path, check_regular, open_regular
from jrepose.restricted_pickle import read_npz, reading
from jrepose.skeleton import HUMAN36M_17, SKELETONS, Skeleton

_LOG = logging.getLogger(__name__)


class Field(NamedTuple):
    """What stands under a key: the kind of its values, and its axes."""

    kind: str
    axes: tuple[str | int, ...] = ()
    shared: bool = False  # whether one value may stand for all videos


FIELDS: Mapping[str, Field] = {
    "keypoints_px": Field("numbers", ("frames", "keypoints", "channels")),
    "width": Field("whole numbers", ("videos",), shared=True),
    "height": Field("whole numbers", ("videos",), shared=True),
    "confidence": Field("numbers", ("frames", "keypoints")),
    "poses_camera_mm": Field("numbers", ("frames", "joints", 3)),
    "intrinsics_px": Field("numbers", ("videos", 4), shared=True),
    "visible": Field("booleans", ("frames", "joints")),
    "valid": Field("booleans", ("frames",)),
    "video_lengths": Field("whole numbers", ("videos",)),
    "video_names": Field("text", ("videos",)),
    "subjects": Field("text", ("videos",), shared=True),
    "actions": Field("text", ("videos",), shared=True),
    "cameras": Field("text", ("videos",), shared=True),
    "frame_rate": Field("numbers", ("videos",), shared=True),
    "skeleton": Field("text"),
    "keypoint_skeleton": Field("text"),
    "joint_names": Field("text", ("joints",)),
    "joint_parents": Field("whole numbers", ("joints",)),
    "joint_pairs": Field("names or numbers", ("pairs", 2)),
    "keypoint_names": Field("text", ("keypoints",)),
    "keypoint_parents": Field("whole numbers", ("keypoints",)),
    "keypoint_pairs": Field("names or numbers", ("pairs", 2)),
    "target_space": Field("text"),
    "poses_image_px": Field("numbers", ("frames", "joints", 3)),
    "factor_mm_per_px": Field("numbers", ("frames",)),
    "poses_image_mm": Field("numbers", ("frames", "joints", 3)),
    "activity": Field("whole numbers", ("frames",)),
}
"""Every key that a file may have."""

REQUIRED = ("keypoints_px", "width", "height")
_LABELS = ("poses_camera_mm", "poses_image_px", "factor_mm_per_px", "poses_image_mm")

_KINDS = {"numbers": "fiu", "whole numbers": "fiu", "booleans": "bfiu", "text": "U",
          "names or numbers": "fiuU"}  # fmt: skip
_LARGEST = 2**31
_LARGEST_JSON = 2**20
_LONGEST = 200  # characters of a name
_VIDEO = 1000  # bytes of memory that a video takes besides its frames
_SKELETON_KEYS = ("names", "parents", "pairs")


def custom_files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The `.npz`, and the JSON file of its skeleton if it is there."""
    path = pathlib.Path(path)
    beside = path.with_suffix(".skeleton.json")
    return [path, beside] if beside.exists() else [path]


def read_custom(
    path: str | os.PathLike[str], *, depth_reference: str = "frame_root"
) -> PoseDataset:
    """The dataset in a file of the schema above.

    Keypoints with a coordinate that is NaN are missing: confidence 0, position (0, 0).

    Args:
        path: `.npz`.
        depth_reference: of 2.5D labels that are computed, see `jrepose.data.labels`.

    Raises:
        InputError: not such a file, or one that cannot be in the units and axes of the schema;
            the message names the key and what was expected.
    """
    check_depth_reference(depth_reference)
    content = read_npz(path)
    videos = np.size(content.get("video_lengths", 1))
    Budget(check_regular(path), path).take(videos * _VIDEO, f"{videos} videos")
    for beside in custom_files(path)[1:]:
        content = _skeleton_file(beside) | content
    dataset = _dataset(content, path, depth_reference)
    check_plausible(dataset, str(path))
    return dataset


def _skeleton_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The keys of the skeletons in a JSON file."""
    known = [f"{of}_{key}" for of in ("joint", "keypoint") for key in _SKELETON_KEYS]
    with reading(str(path), "JSON file"), open_regular(path) as file:
        content = json.loads(file.read(_LARGEST_JSON))
        if not isinstance(content, dict) or not content.keys() <= set(known):
            raise InputError(f"{path}: expected a dictionary of {', '.join(known)}")
        return {key: np.array(value) for key, value in content.items()}


def write_custom(dataset: PoseDataset, path: str | os.PathLike[str]) -> None:
    """Writes a dataset so that `read_custom` gives the same one again.

    Args:
        dataset: with skeletons of `jrepose.skeleton`, or others without groups of joints.
        path: `.npz`.

    Raises:
        InputError: the file cannot be written, or would be one that `read_custom` refuses.
    """
    videos = dataset.videos
    skeletons: dict[str, np.ndarray] = {}
    for of, skeleton in (("joint", dataset.skeleton), ("keypoint", dataset.keypoint_skeleton)):
        if SKELETONS.get(skeleton.name) is skeleton:
            continue
        if skeleton.groups or skeleton.limb_angles:
            raise InputError(
                f"cannot write {path}: {skeleton.name} has groups of joints, and is none of "
                + ", ".join(SKELETONS)
            )
        skeletons |= {
            f"{of}_names": np.array(skeleton.joint_names),
            f"{of}_parents": np.array(skeleton.parents),
            f"{of}_pairs": np.array([skeleton.left, skeleton.right], int).T.reshape(-1, 2),
        }
    content = (
        dataset.arrays()
        | {
            "video_lengths": np.array([video.frames for video in videos]),
            "video_names": np.array([video.name for video in videos]),
            "subjects": np.array([video.subject for video in videos]),
            "actions": np.array([video.action for video in videos]),
            "cameras": np.array([video.camera for video in videos]),
            "width": np.array([video.width for video in videos]),
            "height": np.array([video.height for video in videos]),
            "frame_rate": np.array([video.frame_rate for video in videos], np.float64),
            "skeleton": np.array(dataset.skeleton.name),
            "keypoint_skeleton": np.array(dataset.keypoint_skeleton.name),
            "target_space": np.array(dataset.target_space),
        }
        | skeletons
    )
    _dataset(content, path, "frame_root")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)


class _File:
    """A file's content, checked key by key."""

    def __init__(self, content: Mapping[str, Any], path: str | os.PathLike[str]):
        self.content, self.path = content, path
        self.sizes: dict[str, int] = {}  # lengths of the axes
        self.words: dict[str, str] = {}  # for axes that their name does not explain
        unknown = sorted(content.keys() - FIELDS.keys())
        if unknown:
            raise InputError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(FIELDS)}")
        for key in REQUIRED:
            if key not in content:
                raise InputError(
                    f"{path}: no key {key!r}; it has {', '.join(content) or 'none at all'}"
                )

    def fail(self, key: str, message: str) -> NoReturn:
        raise InputError(f"{self.path}: {key} {message}")

    def get(self, key: str, default: Any = None, missing: bool = False) -> np.ndarray:
        """The values of a key, of the shape that they must have.

        Args:
            key: its name.
            default: what every value is where the file has no such key.
            missing: whether numbers may be NaN.
        """
        kind, axes, shared = FIELDS[key]
        shape = tuple(self.sizes[axis] if isinstance(axis, str) else axis for axis in axes)
        if key not in self.content:
            return np.full(shape, default)
        values = self._converted(key, kind, missing)
        if shared and values.shape == shape[1:]:
            return np.broadcast_to(values, shape)
        if values.shape != shape:
            expected = [
                f"{size} {self.words.get(axis, axis)}" if isinstance(axis, str) else str(size)
                for size, axis in zip(shape, axes, strict=True)
            ]
            self.fail(key, f"has the shape {values.shape}; expected ({', '.join(expected)})"
                      + f" or {shape[1:]} for all" * shared)  # fmt: skip
        return values

    def _converted(self, key: str, kind: str, missing: bool) -> np.ndarray:
        values = self.content[key]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in _KINDS[kind]:
            held = getattr(values, "dtype", type(values).__name__)
            self.fail(key, f"holds {held}; expected an array of {kind}")
        if values.dtype.kind == "U":
            self._check_text(key, values)
            return values
        if kind == "names or numbers":
            kind = "whole numbers"
        if kind == "numbers":
            # What stands once a video is computed with in double precision.
            per_frame = "frames" in FIELDS[key].axes
            with np.errstate(over="ignore"):
                values = values.astype(np.float32 if per_frame else np.float64, copy=False)
            bad = np.isinf(values) if missing else ~np.isfinite(values)
            if bad.any():
                self.fail(key, f"is not finite{self.place(bad)}")
            return values
        if kind == "booleans":
            bad = (values != 0) & (values != 1)
        else:
            bad = ~(np.abs(values) <= _LARGEST) | (values != np.floor(values))
        if bad.any():
            self.fail(key, f"is {values[bad][0]:g}{self.place(bad)}; expected {kind}")
        return values.astype(bool if kind == "booleans" else np.int64, copy=False)

    def _check_text(self, key: str, values: np.ndarray) -> None:
        for value in np.unique(values).tolist():
            if not value.isprintable() or len(value) > _LONGEST:
                self.fail(key, f"has the text {ascii(value[:50])}; expected up to {_LONGEST} "
                          "printable characters")  # fmt: skip

    def check_range(self, key: str, values: np.ndarray, least: float, most: float = np.inf) -> None:
        bad = ~((values >= least) & (values <= most))
        if bad.any():
            upper = f" to {most:g}" if np.isfinite(most) else " or more"
            self.fail(key, f"is {values[bad][0]:g}{self.place(bad)}; expected {least:g}{upper}")

    def place(self, bad: np.ndarray | np.bool_) -> str:
        """Where the first bad value is."""
        place = ", ".join(str(index) for index in np.argwhere(bad)[0])
        return f" at [{place}]" if bad.ndim else ""

    def choice(self, key: str, options: Collection[str], default: str) -> str:
        value = str(self.get(key, default))
        if value not in options:
            self.fail(key, f"is {value!r}; expected one of {', '.join(options)}")
        return value


def _dataset(
    content: Mapping[str, Any], path: str | os.PathLike[str], depth_reference: str
) -> PoseDataset:
    file = _File(content, path)
    skeleton = _skeleton(file, "skeleton", "joint", HUMAN36M_17)
    keypoint_skeleton = _skeleton(file, "keypoint_skeleton", "keypoint", skeleton)
    shape = np.shape(content["keypoints_px"])
    file.sizes |= {
        "frames": shape[0] if shape else 0,
        "keypoints": keypoint_skeleton.num_joints,
        "joints": skeleton.num_joints,
        "channels": 3 if shape[2:] == (3,) else 2,
    }
    file.words = {
        "joints": f"joints of {skeleton.name}",
        "keypoints": f"keypoints of {keypoint_skeleton.name}",
    }
    keypoints, confidence = _keypoints(file)
    videos = _videos(file)
    labels = {key: file.get(key) for key in _LABELS if key in content}
    if "factor_mm_per_px" in labels:
        file.check_range("factor_mm_per_px", labels["factor_mm_per_px"], 1e-6)
    if "intrinsics_px" in content:
        labels |= _image_labels(file, labels, videos, skeleton, depth_reference)
    if "activity" in content:
        activity = file.get("activity")
        file.check_range("activity", activity, 0.0, 127.0)
        labels["activity"] = activity.astype(np.int8)
    only_camera = "poses_camera_mm" in labels and "poses_image_px" not in labels
    space = "camera_m" if only_camera else "image"
    return PoseDataset(
        keypoints_px=keypoints,
        confidence=confidence,
        visible=file.get("visible", True),
        valid=file.get("valid", True),
        videos=videos,
        skeleton=skeleton,
        keypoint_skeleton=keypoint_skeleton,
        target_space=file.choice("target_space", TARGET_SPACES, space),
        **labels,
    )


def _skeleton(file: _File, key: str, of: str, default: Skeleton) -> Skeleton:
    """A known skeleton, or the one that the file describes."""
    given = [f"{of}_{part}" for part in _SKELETON_KEYS if f"{of}_{part}" in file.content]
    if not given:
        named = key in file.content
        return SKELETONS[file.choice(key, SKELETONS, "")] if named else default
    names_key, parents_key, pairs_key = (f"{of}_{part}" for part in _SKELETON_KEYS)
    if len(given) < len(_SKELETON_KEYS):
        missing = next(k for k in (names_key, parents_key, pairs_key) if k not in given)
        file.fail(given[0], f"is given without {missing}; a skeleton has both")
    name = str(file.get(key, "own"))
    if name in SKELETONS:
        file.fail(
            key, f"is {name!r}, and {names_key} is given; expected another name, or one of them"
        )
    file.sizes |= {FIELDS[names_key].axes[0]: np.size(file.content[names_key]),
                   "pairs": len(np.atleast_1d(file.content[pairs_key]))}  # fmt: skip
    names = tuple(file.get(names_key).tolist())
    pairs = file.get(pairs_key) if file.sizes["pairs"] else np.zeros((0, 2), int)
    if pairs.dtype.kind == "U":
        if unknown := [joint for joint in pairs.ravel().tolist() if joint not in names]:
            file.fail(pairs_key, f"has {unknown[0]!r}, which is not among {names_key}")
        pairs = np.array([[names.index(joint) for joint in pair] for pair in pairs.tolist()])
    try:
        return Skeleton(
            name=name,
            joint_names=names,
            parents=tuple(file.get(parents_key).tolist()),
            left=tuple(pairs[:, 0].tolist()),
            right=tuple(pairs[:, 1].tolist()),
        )
    except InputError as error:
        raise InputError(
            f"{file.path}: {names_key}, {parents_key} and {pairs_key}: {error}"
        ) from None


def _keypoints(
    file: _File,
) -> tuple[Float32[np.ndarray, "frames keypoints 2"], Float32[np.ndarray, "frames keypoints"]]:
    given = file.get("keypoints_px", missing=True)
    if not len(given):
        file.fail("keypoints_px", "has no frame")
    if file.sizes["channels"] == 2:
        confidence = file.get("confidence", np.float32(1), missing=True)
    elif "confidence" in file.content:
        file.fail("confidence", "is given, and a third channel of keypoints_px; expected one")
    else:
        confidence = given[..., 2]
    missing = np.isnan(given[..., :2]).any(-1)
    confidence = np.where(missing, np.float32(0), confidence)
    if np.isnan(confidence).any():
        file.fail("confidence", f"is nan{file.place(np.isnan(confidence))}; expected 0 to 1")
    check_confidence(confidence, f"{file.path}: confidence")
    beyond = int(((confidence < 0) | (confidence > 1)).sum())
    if beyond:
        _LOG.warning("%s: %d confidences are up to %.3f or below 0, and count as 1 or 0",
                     file.path, beyond, confidence.max())  # fmt: skip
        confidence = confidence.clip(0, 1)
    return np.where(missing[..., None], np.float32(0), given[..., :2]), confidence


def _videos(file: _File) -> tuple[Video, ...]:
    frames, lengths = file.sizes["frames"], np.array([file.sizes["frames"]])
    if "video_lengths" in file.content:
        file.sizes["videos"] = np.size(file.content["video_lengths"])
        lengths = file.get("video_lengths")
        file.check_range("video_lengths", lengths, 1.0)
        if lengths.sum() != frames:
            file.fail("video_lengths", f"sum to {lengths.sum()}; expected {frames}, the frames of "
                      "keypoints_px")  # fmt: skip
    file.sizes["videos"] = len(lengths)
    names = [f"video_{number}" for number in range(len(lengths))]
    if "video_names" in file.content:
        names = file.get("video_names").tolist()
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        file.fail("video_names", f"has {name!r} {times} times; expected unique names")
    for key, least in (("width", 1.0), ("height", 1.0), ("frame_rate", 1e-3)):
        file.check_range(key, file.get(key, 50.0), least)
    starts = (lengths.cumsum() - lengths).tolist()
    columns = {
        "name": names,
        "subject": file.get("subjects", "subject").tolist(),
        "action": file.get("actions", "motion").tolist(),
        "camera": file.get("cameras", "camera").tolist(),
        "width": file.get("width").tolist(),
        "height": file.get("height").tolist(),
        "frame_rate": file.get("frame_rate", 50.0).tolist(),
        "start": starts,
        "stop": lengths.cumsum().tolist(),
    }
    return tuple(
        Video(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    )


def _image_labels(
    file: _File,
    labels: Mapping[str, np.ndarray],
    videos: tuple[Video, ...],
    skeleton: Skeleton,
    depth_reference: str,
) -> dict[str, np.ndarray]:
    """The 2.5D labels that the intrinsics give."""
    for key in ("poses_image_px", "factor_mm_per_px"):
        if key in labels:
            file.fail("intrinsics_px", f"is given, and {key}; expected one of them")
    if "poses_camera_mm" not in labels:
        file.fail("intrinsics_px", "is given without poses_camera_mm")
    intrinsics, poses = file.get("intrinsics_px"), labels["poses_camera_mm"]
    file.check_range("intrinsics_px", intrinsics[:, :2], 1.0)
    behind = poses[..., 2] < 1
    if behind.any():
        file.fail("poses_camera_mm", f"has the depth {poses[behind][0, 2]:g}{file.place(behind)}; "
                  "intrinsics_px needs joints in front of the camera, z away from it")  # fmt: skip
    parts = [
        image_labels(
            poses[video.start : video.stop],
            Camera(
                name=video.camera,
                width=video.width,
                height=video.height,
                focal_px=(fx, fy),
                centre_px=(cx, cy),
                orientation_wxyz=(1.0, 0.0, 0.0, 0.0),
                translation_mm=(0.0, 0.0, 0.0),
            ),
            root=skeleton.root,
            depth_reference=depth_reference,
        )
        for video, (fx, fy, cx, cy) in zip(videos, intrinsics.tolist(), strict=True)
    ]
    images, factors = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {"poses_image_px": images, "factor_mm_per_px": factors}
