"""The one in-memory form of a dataset, whatever file or simulator it came from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from jrepose.errors import InputError
from jrepose.skeleton import Skeleton


@dataclass(frozen=True)
class Video:
    """One person in front of one camera: the frames `start:stop` of a dataset.

    Args:
        name: unique name, such as `"02_01/camera_0"`.
        subject, action, camera: who, doing what, seen by which camera.
        width, height: image size in pixels.
        frame_rate: frames per second.
        start, stop: range of the video's frames in the dataset's arrays.
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

    @property
    def frames(self) -> int:
        return self.stop - self.start


_FRAME_FIELDS = (
    "keypoints_px",
    "confidence",
    "poses_camera_mm",
    "poses_image_px",
    "factor_mm_per_px",
    "visible",
    "valid",
)


@dataclass(frozen=True, eq=False)
class PoseDataset:
    """Plain arrays over all frames, videos one after another.

    Args:
        keypoints_px: detected 2D joints, pixels.
        confidence: detector confidence in [0, 1]; 0 where the joint is missing.
        poses_camera_mm: ground truth in camera axes (x right, y down, z away), mm.
        poses_image_px: the 2.5D label: projected x, y in pixels, depth in the frame's own
            pixel scale.
        factor_mm_per_px: per-frame factor from the label's pixels to millimetres.
        visible: whether the camera sees the joint (True where unknown).
        valid: False for repaired frames, which are not scored.
        videos: in array order, covering all frames without gaps.
        skeleton: joint order of all arrays.

    Raises:
        InputError: lengths or joint counts disagree.
    """

    keypoints_px: Float32[np.ndarray, "frames joints 2"]
    confidence: Float32[np.ndarray, "frames joints"]
    poses_camera_mm: Float32[np.ndarray, "frames joints 3"]
    poses_image_px: Float32[np.ndarray, "frames joints 3"]
    factor_mm_per_px: Float32[np.ndarray, " frames"]
    visible: Bool[np.ndarray, "frames joints"]
    valid: Bool[np.ndarray, " frames"]
    videos: tuple[Video, ...]
    skeleton: Skeleton

    def __post_init__(self):
        for name in _FRAME_FIELDS:
            array = getattr(self, name)
            if len(array) != self.frames:
                raise InputError(
                    f"dataset: {name} has {len(array)} frames, keypoints_px has {self.frames}"
                )
            if array.ndim > 1 and array.shape[1] != self.skeleton.num_joints:
                raise InputError(
                    f"dataset: {name} has {array.shape[1]} joints, skeleton "
                    f"{self.skeleton.name} has {self.skeleton.num_joints}"
                )
        end = 0
        for video in self.videos:
            if video.start != end or video.stop <= video.start:
                raise InputError(
                    f"dataset: video {video.name} spans {video.start}..{video.stop}, "
                    f"expected to start at {end}"
                )
            end = video.stop
        if end != self.frames:
            raise InputError(f"dataset: videos end at frame {end} of {self.frames}")

    @property
    def frames(self) -> int:
        return len(self.keypoints_px)

    def model_inputs(self) -> Float32[np.ndarray, "frames joints 3"]:
        """Keypoints in normalised screen units with confidence as third channel.

        x is mapped to [-1, 1] over the image width, y by the same scale (Human3.6M-SH
        convention: xy / w * 2 - (1, h / w)).
        """
        out = np.empty((*self.confidence.shape, 3), np.float32)
        for video in self.videos:
            frames = slice(video.start, video.stop)
            scale, offset = _screen_map(video)
            out[frames, :, :2] = self.keypoints_px[frames] * scale - offset
        out[..., 2] = self.confidence
        return out

    def model_targets(self) -> Float32[np.ndarray, "frames joints 3"]:
        """The 2.5D labels in the same normalised screen units; depth is z / w * 2."""
        out = np.empty_like(self.poses_image_px)
        for video in self.videos:
            frames = slice(video.start, video.stop)
            scale, offset = _screen_map(video)
            out[frames] = self.poses_image_px[frames] * scale
            out[frames, :, :2] -= offset
        return out

    def to_mm(
        self, poses: Float32[np.ndarray, "frames joints 3"]
    ) -> Float32[np.ndarray, "frames joints 3"]:
        """Normalised poses of all frames in millimetres, each scaled by its frame's factor.

        The origin is the image's corner at the label's depth origin: subtract the root
        before comparing.
        """
        out = np.empty_like(poses)
        for video in self.videos:
            frames = slice(video.start, video.stop)
            scale, offset = _screen_map(video)
            out[frames] = poses[frames]
            out[frames, :, :2] += offset
            out[frames] /= scale
        return out * self.factor_mm_per_px[:, None, None]

    def per_frame(self, attribute: str) -> np.ndarray:
        """A video attribute (`"action"`, `"subject"`, `"camera"`, ...) repeated per frame."""
        values = [getattr(video, attribute) for video in self.videos]
        return np.repeat(np.asarray(values), [video.frames for video in self.videos])

    def select(self, videos: Iterable[Video]) -> PoseDataset:
        """The dataset of these videos only, in the given order."""
        videos = tuple(videos)
        if not videos:
            raise InputError("dataset: no video left after selection")
        index = np.concatenate([np.arange(v.start, v.stop) for v in videos])
        moved, end = [], 0
        for video in videos:
            moved.append(dataclasses.replace(video, start=end, stop=end + video.frames))
            end += video.frames
        arrays = {name: getattr(self, name)[index] for name in _FRAME_FIELDS}
        return dataclasses.replace(self, videos=tuple(moved), **arrays)

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all arrays and video descriptions."""
        digest = hashlib.sha256()
        digest.update(repr((self.skeleton.name, self.videos)).encode())
        for name in _FRAME_FIELDS:
            digest.update(np.ascontiguousarray(getattr(self, name)).view(np.uint8))
        return digest.hexdigest()


def _screen_map(video: Video) -> tuple[np.float32, np.ndarray]:
    """Scale and offset of `normalised = pixels * scale - offset` for one video."""
    scale = np.float32(2.0 / video.width)
    offset = np.array([1.0, video.height / video.width], np.float32)
    return scale, offset


def concatenate(datasets: Iterable[PoseDataset]) -> PoseDataset:
    """One dataset after another; they must share a skeleton.

    Raises:
        InputError: nothing to join, or skeletons differ.
    """
    datasets = list(datasets)
    if not datasets:
        raise InputError("dataset: nothing to concatenate")
    skeleton = datasets[0].skeleton
    videos, end = [], 0
    for dataset in datasets:
        if dataset.skeleton is not skeleton:
            raise InputError(
                f"dataset: skeletons {skeleton.name} and {dataset.skeleton.name} differ"
            )
        for video in dataset.videos:
            videos.append(dataclasses.replace(video, start=end, stop=end + video.frames))
            end += video.frames
    arrays = {name: np.concatenate([getattr(d, name) for d in datasets]) for name in _FRAME_FIELDS}
    return PoseDataset(**arrays, videos=tuple(videos), skeleton=skeleton)
