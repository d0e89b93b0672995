"""Lifting while the video goes on: a pose for every frame, a fixed number of frames later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from jrepose.data.scaling import Scale
from jrepose.motion import camera_space, upright
from jrepose.motion.bones import length_votes, likely_lengths, with_likely_bones
from jrepose.motion.inputs import interpolated, model_rate
from jrepose.motion.pretrained import Pretrained
from jrepose.motion.smoothing import OneEuro
from jrepose.skeleton_conversion import filled

_DEPTH_S = 0.25  # time constants of running means
_BODY_S = 10.0
_FLOOR_S = 2.0


@dataclass
class RunningMean:
    """A mean that forgets: of all values so far, at most of about `window` of them."""

    window: float
    value: float | np.ndarray = 0.0
    count: int = 0

    def __call__(self, value: float | np.ndarray) -> float | np.ndarray:
        self.count = min(self.count + 1, max(1, round(self.window)))
        self.value = self.value + (value - self.value) / self.count
        return self.value


class Stream:
    """The state of one person's stream, of fixed size.

    Args:
        pretrained: what the network was trained for.
        run: from inputs of that many frames to poses relative to the root.
        frames: that `run` takes.
        outputs: poses that it gives.
        before: frames that it sees before the first of them.
        scale: of the keypoints that are known, for the network.
        size, fps, height_m, focal_px, pitch_deg: as for `Lifter`.
        delay: frames by which a pose comes later than its keypoints.
        smooth: whether a One-Euro filter runs along.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        run: Callable[[Float32[np.ndarray, "frames joints 3"]], np.ndarray],
        frames: int,
        outputs: int,
        before: int,
        scale: Callable[[np.ndarray, np.ndarray, tuple[int, int], float], Scale],
        *,
        size: tuple[int, int],
        fps: float,
        delay: int,
        height_m: float,
        focal_px: float,
        pitch_deg: float,
        smooth: bool = False,
    ):
        self._pretrained, self._run, self._scale_of = pretrained, run, scale
        self._frames, self._outputs, self._before = frames, outputs, before
        self._size, self._height, self._focal = size, height_m, focal_px
        self._delay, self._fps = delay, fps
        # Frames of the video in one of the network's.
        self._ratio = fps / model_rate(fps, pretrained.frame_rates)
        length = int(np.ceil(frames * self._ratio)) + delay + 1
        self._points: deque[np.ndarray] = deque(maxlen=length)
        self._certain: deque[np.ndarray] = deque(maxlen=length)
        self._axes = upright.world_axes(upright.up_of_pitch(pitch_deg))
        self._metres = RunningMean(_DEPTH_S * fps)  # logarithm, by pixel; or of the depth
        self._votes = RunningMean(_BODY_S * fps)  # on the lengths of bones
        self._floor = RunningMean(_FLOOR_S * fps)
        self._filter = OneEuro(fps) if smooth else None
        self._waiting = 0  # frames without a pose yet

    def push(
        self, points: Float[np.ndarray, "joints 2"], certain: Float[np.ndarray, " joints"]
    ) -> Float32[np.ndarray, "joints 3"] | None:
        """Takes the next frame; gives the pose of `delay` frames before, if there was one."""
        self._points.append(points)
        self._certain.append(certain)
        self._waiting += 1
        if self._waiting <= self._delay:
            return None
        self._waiting -= 1
        return self._pose(self._delay)

    def flush(self) -> list[Float32[np.ndarray, "joints 3"]]:
        """The poses of the last frames, after the end."""
        left = [self._pose(back) for back in range(self._waiting - 1, -1, -1)]
        self._waiting = 0
        return left

    def _pose(self, back: int) -> Float32[np.ndarray, "joints 3"]:
        """The pose of the frame that is so many before the newest; NaN if nobody is known."""
        certain = np.stack(self._certain)
        if not certain.any():
            joints = self._pretrained.skeleton.num_joints
            return np.full((joints, 3), np.nan, np.float32)
        pixels = np.stack(self._points)
        skeleton = self._pretrained.keypoint_skeleton
        pixels = filled(pixels, certain, skeleton)
        scale = self._scale_of(pixels, certain, self._size, self._fps)
        newest = len(pixels) - 1
        inputs = np.concatenate([scale.to_model(pixels), certain[..., None]], axis=-1)
        if self._outputs == self._frames:
            at = newest - (self._frames - 1 - np.arange(self._frames)) * self._ratio
            wanted = self._frames - 1 - back / self._ratio
        else:
            at = newest - back + (np.arange(self._frames) - self._before) * self._ratio
            wanted = 0.0
        # Before the beginning the motion runs backwards, as in a file; nothing is known later.
        at = np.minimum(np.abs(at), newest)
        clip = interpolated(inputs, at).astype(np.float32)
        clip[..., 2] = clip[..., 2].clip(0, 1)
        pose = interpolated(self._run(clip), np.array([max(wanted, 0.0)]))
        return self._in_world(
            pose, pixels[newest - back], certain[newest - back], scale.at(newest - back)
        )

    def _in_world(
        self, pose: np.ndarray, pixels: np.ndarray, certain: np.ndarray, scale: Scale
    ) -> Float32[np.ndarray, "joints 3"]:
        skeleton = self._pretrained.skeleton
        if self._pretrained.target_space == "image":
            in_pixels = scale.to_pixels(pose)
            shape = camera_space.shape_in_camera(in_pixels, self._size, self._focal)
            total = camera_space.total_length(shape, skeleton)
            unit, lengths = self._metres_and_bones(shape / total, shape[:, skeleton.root], certain)
            metres = unit / total[0]
            root = shape[0, skeleton.root]
            placed = (shape[0] - root) * metres + root * np.exp(self._metres(float(np.log(metres))))
        else:
            unit, lengths = self._metres_and_bones(pose, np.array([[0.0, 0.0, 1.0]]), certain)
            pose = pose * unit
            place = camera_space.projecting_place(
                pose, skeleton, pixels[None], certain[None], self._pretrained.keypoint_skeleton,
                size=self._size, focal_px=self._focal,
            )[0]  # fmt: skip
            depth = np.exp(self._metres(float(np.log(place[2]))))
            placed = pose[0] + place / place[2] * depth
        (placed,) = with_likely_bones(
            placed[None], skeleton, lengths, sight=placed[None, skeleton.root], height=self._height
        )
        world = placed @ self._axes.T
        if self._filter is not None:
            world = self._filter(world)
        ankles = upright.ankles_of(skeleton)
        lowest = world[ankles, 2].min() if ankles else world[:, 2].min()
        floor = self._floor(float(lowest)) - camera_space.ANKLE_SHARE * self._height
        return (world - [0.0, 0.0, floor]).astype(np.float32)

    def _metres_and_bones(
        self,
        pose: Float[np.ndarray, "1 joints 3"],
        sight: Float[np.ndarray, "1 3"],
        certain: Float[np.ndarray, " joints_in"],
    ) -> tuple[float, Float[np.ndarray, " joints"]]:
        """Metres in the pose's unit, and the lengths of the body's bones in metres."""
        skeleton = self._pretrained.skeleton
        lengths = likely_lengths(
            self._votes(length_votes(pose, skeleton, sight, certain.mean(keepdims=True)))
        )
        unit = self._height / max(camera_space.stature(lengths, skeleton), 1e-9)
        return unit, lengths * unit
