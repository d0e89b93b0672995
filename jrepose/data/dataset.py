"""The one in-memory form of a dataset, whatever file or simulator it came from."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8

from jrepose.camera import image_coordinates, normalize_screen_coordinates
from jrepose.data.heatmaps import Heatmaps, open_heatmaps
from jrepose.data.scaling import SCALINGS, Scale, person_scale
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton

TARGET_SPACES = ("image", "camera_m", "camera_mm", "camera_by_width")
KERNEL_CHANNELS = ("weight", "x", "y", "scale_u", "scale_v")


@runtime_checkable
class FrameRange(Protocol):
    """The frames `start:stop` of a dataset, which no clip leaves."""

    name: str
    subject: str
    action: str
    frame_rate: float
    start: int
    stop: int

    @property
    def frames(self) -> int: ...


@runtime_checkable
class Dataset(Protocol):
    """What windows, training and checkpoints ask of a dataset, of poses (`PoseDataset`) or of
    images (`images.dataset.ImageDataset`)."""

    skeleton: Skeleton
    target_space: str
    scaling: str

    @property
    def frames(self) -> int: ...

    @property
    def videos(self) -> Sequence[FrameRange]: ...

    @property
    def valid(self) -> Bool[np.ndarray, " frames"]: ...

    @property
    def keypoint_skeleton(self) -> Skeleton: ...

    @property
    def labelled(self) -> bool: ...

    def select(self, videos: Iterable[FrameRange]) -> Dataset: ...

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Video:
    """One person in front of one camera: the frames `start:stop` of a dataset.

    Args:
        name: unique name, such as `"02_01/camera_0"`.
        subject, action, camera: who, doing what, seen by which camera.
        width, height: image size in pixels.
        frame_rate: frames per second.
        start, stop: range of the video's frames in the dataset's arrays.
        intrinsics: of the camera, in normalised screen units: fx, fy, cx, cy, k1, k2, k3, p1, p2
            (`camera.project_to_2d`); None where unknown.
    """

    name: str
    subject: str
    action: str
    camera: str
    width: int
    height: int
    frame_rate: float
    start: int
    stop: int
    intrinsics: tuple[float, ...] | None = None

    @property
    def frames(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class PoseDataset:
    """Plain arrays over all frames, videos one after another.

    Arrays may be memory-mapped and read-only.  What a source does not tell is None.

    Args:
        keypoints_px: detected 2D joints, pixels.
        confidence: detector confidence in [0, 1]; 0 where the joint is missing.
        visible: whether the camera sees the joint (True where unknown).
        valid: False for frames that are not scored: repaired, or excluded by the benchmark.
        videos: in array order, covering all frames without gaps.
        skeleton: joint order of the poses.
        poses_camera_mm: ground truth in camera axes (x right, y down, z away), mm.
        poses_image_px: the 2.5D label: projected x, y in pixels, depth in the frame's own
            pixel scale.
        factor_mm_per_px: per-frame factor from the 2.5D label's pixels to millimetres.
        poses_image_mm: the 2.5D ground truth in millimetres where a benchmark publishes it;
            otherwise it is the label times its factor.
        activity: number of what is being done where it changes within a video (MPI-INF-3DHP:
            1 to 7); 0 where unknown.
        keypoint_skeleton: joint order of the keypoints; None makes it that of the poses.
        target_space: what a model predicts.  `"image"`: the 2.5D label in normalised screen
            units; `"camera_m"`, `"camera_mm"`: root-relative poses in camera axes, metres or
            millimetres; `"camera_by_width"`: root-relative millimetres times 2 / image width
            (MotionAGFormer's MPI-INF-3DHP).
        heatmaps: the detector's, where there are files of them.
        kernels: places where a keypoint may be, `KERNEL_CHANNELS` of each: weight, pixels, and
            what DiffPose's released code multiplies the noise of u, v with.
        scaling: of what a model sees.  `"screen"`: x is [-1, 1] over the image's width, y by the
            same scale; `"person"`: both relative to the person, `scaling.person_scale`.

    Raises:
        InputError: lengths or joint counts disagree, or the target space is unknown.
    """

    keypoints_px: Float32[np.ndarray, "frames keypoints 2"]
    confidence: Float32[np.ndarray, "frames keypoints"]
    visible: Bool[np.ndarray, "frames joints"]
    valid: Bool[np.ndarray, " frames"]
    videos: tuple[Video, ...]
    skeleton: Skeleton
    poses_camera_mm: Float32[np.ndarray, "frames joints 3"] | None = None
    poses_image_px: Float32[np.ndarray, "frames joints 3"] | None = None
    factor_mm_per_px: Float32[np.ndarray, " frames"] | None = None
    poses_image_mm: Float32[np.ndarray, "frames joints 3"] | None = None
    activity: Int8[np.ndarray, " frames"] | None = None
    keypoint_skeleton: Skeleton | None = None
    target_space: str = "image"
    scaling: str = "screen"
    heatmaps: Heatmaps | None = None
    kernels: Float32[np.ndarray, "frames keypoints kernels 5"] | None = None

    def __post_init__(self):
        if self.keypoint_skeleton in (None, self.skeleton):
            object.__setattr__(self, "keypoint_skeleton", self.skeleton)
        if self.target_space not in TARGET_SPACES:
            raise InputError(
                f"dataset: unknown target space {self.target_space!r}; expected one of "
                + ", ".join(TARGET_SPACES)
            )
        if self.scaling not in SCALINGS:
            raise InputError(
                f"dataset: unknown scaling {self.scaling!r}; expected {' or '.join(SCALINGS)}"
            )
        for name, array in self.arrays().items():
            if len(array) != self.frames:
                raise InputError(
                    f"dataset: {name} has {len(array)} frames, keypoints_px has {self.frames}"
                )
            of_keypoints = name in ("keypoints_px", "confidence", "kernels")
            skeleton = self.keypoint_skeleton if of_keypoints else self.skeleton
            if array.ndim > 1 and array.shape[1] != skeleton.num_joints:
                raise InputError(
                    f"dataset: {name} has {array.shape[1]} joints, skeleton "
                    f"{skeleton.name} has {skeleton.num_joints}"
                )
        if self.heatmaps is not None and len(self.heatmaps) != self.frames:
            raise InputError(
                f"dataset: heatmaps have {len(self.heatmaps)} frames, keypoints_px has "
                f"{self.frames}"
            )
        check_in_a_row(self.videos, self.frames, "dataset", "video", "frame")

    @property
    def frames(self) -> int:
        return len(self.keypoints_px)

    def arrays(self) -> dict[str, np.ndarray]:
        """The per-frame arrays that the dataset has, by field name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    @property
    def labelled(self) -> bool:
        """Whether there are poses at all, to train on or to compare with."""
        return self.poses_camera_mm is not None or self.poses_image_px is not None

    def label(self, name: str) -> np.ndarray:
        """A field that a source may lack.

        Raises:
            InputError: this one lacks it.
        """
        array = getattr(self, name)
        if array is None:
            raise InputError(f"dataset: {name} is needed, and this data has none")
        return array

    @functools.cached_property
    def _person(self) -> Scale:
        """What a model sees of every frame, of `"person"`."""
        parts = [
            person_scale(self.keypoints_px[v.start : v.stop], self.keypoint_skeleton, v.frame_rate)
            for v in self.videos
        ]
        centre, unit = (
            np.concatenate([getattr(part, name) for part in parts]).astype(np.float32)
            for name in ("centre", "unit")
        )
        return Scale(centre, unit)

    def _scaled(self, points_px: Float32[np.ndarray, "frames points 2"]) -> np.ndarray:
        """Points of all frames as a model sees them."""
        if self.scaling == "person":
            return self._person.to_model(points_px)
        out = np.empty(points_px.shape, np.float32)
        for video in self.videos:
            rows = slice(video.start, video.stop)
            out[rows] = normalize_screen_coordinates(points_px[rows], video.width, video.height)
        return out

    def _unit_px(self) -> Float32[np.ndarray, " frames"]:
        """Pixels in one unit of what a model sees, by frame."""
        if self.scaling == "person":
            return self._person.unit
        return (self.per_frame("width") / 2).astype(np.float32)

    def model_inputs(self) -> Float32[np.ndarray, "frames keypoints 3"]:
        """Keypoints as `scaling` says with confidence as third channel."""
        return np.concatenate([self._scaled(self.keypoints_px), self.confidence[..., None]], -1)

    def model_kernels(self) -> Float32[np.ndarray, "frames keypoints kernels 5"]:
        """The detector's kernels, their x and y as `scaling` says.

        Raises:
            InputError: the source has none.
        """
        kernels = self.label("kernels").copy()
        places = kernels[..., 1:3]
        flat = places.reshape(self.frames, -1, 2)
        kernels[..., 1:3] = self._scaled(flat).reshape(places.shape)
        return kernels

    def heatmap_boxes(self) -> Float32[np.ndarray, "frames 4"]:
        """The part of the image that every frame's heatmaps cover, as a model sees it."""
        return self._scaled(self.heatmaps.boxes_px.reshape(-1, 2, 2)).reshape(-1, 4)

    def with_heatmaps(self, folder: str | os.PathLike[str]) -> PoseDataset:
        """The dataset with a detector's heatmaps, see `data.heatmaps`.

        Raises:
            InputError: files that are absent or do not fit.
        """
        sizes = [(video.frames, video.width, video.height) for video in self.videos]
        names, joints = [video.name for video in self.videos], self.keypoint_skeleton.num_joints
        return dataclasses.replace(self, heatmaps=open_heatmaps(folder, names, sizes, joints))

    def model_targets(self) -> Float32[np.ndarray, "frames joints 3"]:
        """What a model is to predict, in the target space.

        Raises:
            InputError: the source lacks this label.
        """
        image = self.target_space == "image"
        label = self.label("poses_image_px" if image else "poses_camera_mm")
        out = np.empty(label.shape, np.float32)
        if image:
            out[..., :2] = self._scaled(label[..., :2])
            out[..., 2] = label[..., 2] / self._unit_px()[:, None]
            return out
        for video in self.videos:
            rows = slice(video.start, video.stop)
            root = label[rows, self.skeleton.root, None]
            out[rows] = (label[rows] - root) / self._unit_mm(video)
        return out

    def trajectory(self) -> Float32[np.ndarray, "frames 1 3"]:
        """The root's position in camera axes, in the unit of the target space.

        Raises:
            InputError: the target space is the image, the source lacks poses, or a root is not in
                front of its camera.
        """
        if self.target_space == "image":
            raise InputError(
                "dataset: the root's trajectory is needed, and the image space has none; "
                "expected config.data.target_space 'camera_m'"
            )
        roots = np.array(self.label("poses_camera_mm")[:, self.skeleton.root, None])
        for video in self.videos:
            part = roots[video.start : video.stop]
            if part[..., 2].min() <= 0:
                raise InputError(
                    f"dataset: video {video.name}, frame {int(part[:, 0, 2].argmin())}: the root "
                    "is not in front of the camera, and its depth is needed"
                )
            part /= self._unit_mm(video)
        return roots

    def intrinsics(self) -> Float32[np.ndarray, "frames 9"]:
        """Every frame's `Video.intrinsics`.

        Raises:
            InputError: a video's are unknown.
        """
        for video in self.videos:
            if video.intrinsics is None:
                raise InputError(
                    f"dataset: the camera's focal length and lens are needed, and those of video "
                    f"{video.name} are unknown"
                )
        values = np.array([video.intrinsics for video in self.videos], np.float32)
        return np.repeat(values, [video.frames for video in self.videos], axis=0)

    def to_mm(
        self,
        poses: Float32[np.ndarray, "*entries joints 3"],
        frames: Int[np.ndarray, " *entries"],
    ) -> Float32[np.ndarray, "*entries joints 3"]:
        """Poses in the target space, in millimetres.

        In image space the origin is the image's corner at the label's depth origin: subtract
        the root before comparing.

        Args:
            poses: predictions.
            frames: the frame of the dataset that each pose belongs to.

        Raises:
            InputError: image space, and the source lacks the factor to millimetres.
        """
        owner = self.video_of(frames)
        if self.target_space != "image":
            unit = np.array([self._unit_mm(video) for video in self.videos], np.float32)
            return poses * unit[owner][..., None, None]
        factor = self.label("factor_mm_per_px")[frames][..., None, None]
        if self.scaling == "person":
            return self._person.at(frames).to_pixels(poses) * factor
        out = np.empty(poses.shape, np.float32)
        sizes = np.array([(video.width, video.height) for video in self.videos])
        for width, height in np.unique(sizes, axis=0).tolist():
            here = (sizes[owner] == (width, height)).all(-1)
            out[here, ..., :2] = image_coordinates(poses[here][..., :2], width, height)
            out[here, ..., 2] = poses[here][..., 2] * width / 2
        return out * factor

    def _unit_mm(self, video: Video) -> np.float32:
        """Millimetres in one unit of a camera-space target."""
        units = {"camera_m": 1000.0, "camera_mm": 1.0, "camera_by_width": video.width / 2}
        return np.float32(units[self.target_space])

    def video_of(self, frames: Int[np.ndarray, "*entries"]) -> Int[np.ndarray, "*entries"]:
        """The position in `videos` of each frame's video."""
        starts = [video.start for video in self.videos]
        return np.searchsorted(starts, frames, side="right") - 1

    def per_frame(self, attribute: str) -> np.ndarray:
        """A video attribute (`"action"`, `"subject"`, `"camera"`, ...) repeated per frame."""
        values = [getattr(video, attribute) for video in self.videos]
        return np.repeat(np.asarray(values), [video.frames for video in self.videos])

    def select(self, videos: Iterable[Video]) -> PoseDataset:
        """The dataset of these videos only, in the given order.

        Neighbours in the arrays, in their order, are taken as a view; anything else is copied.

        Raises:
            InputError: no video.
        """
        videos = tuple(videos)
        if not videos:
            raise InputError("dataset: no video left after selection")
        if all(a.stop == b.start for a, b in zip(videos, videos[1:], strict=False)):
            chosen = slice(videos[0].start, videos[-1].stop)
        else:
            chosen = np.concatenate([np.arange(v.start, v.stop) for v in videos])
        arrays = {name: array[chosen] for name, array in self.arrays().items()}
        chosen = dataclasses.replace(self, videos=in_a_row(videos), heatmaps=None, **arrays)
        return chosen if self.heatmaps is None else chosen.with_heatmaps(self.heatmaps.folder)

    def with_true_keypoints(self) -> PoseDataset:
        """The dataset seen by a perfect detector: the label's x, y with confidence 1.

        Raises:
            InputError: the source has no 2.5D label.
        """
        label = self.label("poses_image_px")
        return dataclasses.replace(
            self,
            keypoints_px=np.ascontiguousarray(label[..., :2]),
            confidence=np.ones(label.shape[:2], np.float32),
            keypoint_skeleton=None,
            kernels=None,
        )

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all arrays and video descriptions."""
        digest = hashlib.sha256()
        names = (self.skeleton.name, self.keypoint_skeleton.name, self.target_space)
        names += () if self.scaling == "screen" else (self.scaling,)
        digest.update(repr((names, self.videos)).encode())
        for name, array in self.arrays().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8))
        if self.heatmaps is not None:
            digest.update(self.heatmaps.fingerprint())
        return digest.hexdigest()


def in_a_row(ranges: Sequence[Any]) -> tuple[Any, ...]:
    """The videos, or other dataclasses that are a `FrameRange`, moved so that each starts where the
    last one ends."""
    moved, end = [], 0
    for one in ranges:
        moved.append(dataclasses.replace(one, start=end, stop=end + one.frames))
        end += one.frames
    return tuple(moved)


def check_in_a_row(
    ranges: Sequence[Any], frames: int, where: str, kind: str = "video", unit: str = "frame"
) -> None:
    """Checks that videos, or other dataclasses that are a `FrameRange`, cover all frames.

    Args:
        ranges: they, whose names are checked too.
        frames: how many there are.
        where, kind, unit: what messages call the dataset, a range, and a frame.

    Raises:
        InputError: a gap or an overlap, or a name that cannot be printed.
    """
    end = 0
    for one in ranges:
        for text in (one.name, one.subject, one.action, getattr(one, "camera", "")):
            if not text.isprintable():
                raise InputError(f"{where}: the name {ascii(text[:50])} is not printable")
        if one.start != end or one.stop <= one.start:
            raise InputError(
                f"{where}: {kind} {one.name} spans {one.start}..{one.stop}, expected to start at "
                f"{end}"
            )
        end = one.stop
    if end != frames:
        raise InputError(f"{where}: {kind}s end at {unit} {end} of {frames}")


def concatenate(datasets: Iterable[PoseDataset]) -> PoseDataset:
    """One dataset after another; they must share skeletons, labels and target space.

    Raises:
        InputError: nothing to join, or they differ.
    """
    datasets = list(datasets)
    if not datasets:
        raise InputError("dataset: nothing to concatenate")
    first = datasets[0]
    for other in datasets[1:]:
        for what in ("skeleton", "keypoint_skeleton", "target_space", "scaling"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                names = [getattr(value, "name", value) for value in (one, two)]
                raise InputError(f"dataset: {what} {names[0]} and {names[1]} differ")
        if other.arrays().keys() != first.arrays().keys():
            differing = sorted(other.arrays().keys() ^ first.arrays().keys())
            raise InputError(f"dataset: only one of two parts has {', '.join(differing)}")
    parts = [dataset.arrays() for dataset in datasets]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    videos = [video for dataset in datasets for video in dataset.videos]
    joined = dataclasses.replace(first, videos=in_a_row(videos), heatmaps=None, **arrays)
    return joined if first.heatmaps is None else joined.with_heatmaps(first.heatmaps.folder)
