"""Keypoints in, upright 3D motion in metres out: any length, frame rate and joint order.

lifter = Lifter.from_pretrained("runs/mine")
motion = lifter(keypoints, confidence, size=(1920, 1080), fps=30)
motion.save("walk.bvh")
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Float32, Num

from jrepose.data.scaling import Scale, person_scale
from jrepose.errors import InputError, listed
from jrepose.motion import camera_space, smoothing, upright
from jrepose.motion.bones import (
    length_votes,
    likely_lengths,
    with_constant_bones,
    with_likely_bones,
)
from jrepose.motion.image_points import (
    NORMALISED,
    check_detectors_confidence,
    check_in_plane,
    check_inside,
    is_person,
    largest_coordinate,
    without_strays,
)
from jrepose.motion.inputs import (
    at_rate,
    box_scale,
    interpolated,
    model_rate,
    screen_scale,
)
from jrepose.motion.motion import Motion
from jrepose.motion.pretrained import Pretrained, load_pretrained
from jrepose.motion.readers.layouts import layout_named, tell_layout
from jrepose.motion.stream import Stream
from jrepose.skeleton import Skeleton
from jrepose.skeleton_conversion import convert, filled

_LONG_GAP_S = 0.5
_RATES = (0.1, 10_000.0)
_ENOUGH = 5  # keypoints of one frame by whose place is told that they are no pixels
_CHUNK = 96  # poses at a time of a network that gives fewer frames than it sees

Frame = (
    Num[ArrayLike, "keypoints channels"]
    | tuple[Num[ArrayLike, "keypoints 2"], Num[ArrayLike, " keypoints"]]
    | None
)


class _InCamera(NamedTuple):
    """A person's poses in camera axes, what they are from, and what was assumed."""

    poses_m: np.ndarray
    keypoints: np.ndarray
    layout: Skeleton
    notes: list[str]


class Lifter:
    """A lifting network with everything around it.

    One program is compiled, at the first use, for clips of one length; files of any length and
    frame rate run through it.

    Args:
        pretrained: network, weights and what they were trained for.
        flip: average with the mirrored prediction for the mirrored keypoints.
        batch_size: clips at a time; None: 1 on a CPU, 16 on an accelerator or where a clip gives
            one pose.
    """

    def __init__(self, pretrained: Pretrained, *, flip: bool = True, batch_size: int | None = None):
        self.pretrained = pretrained
        self._flip = flip
        self._variables = jax.device_put(dict(pretrained.variables))
        self._inputs, self._outputs = self._clip_lengths()
        alone = jax.default_backend() == "cpu" and self._outputs > 1
        self._batch = (1 if alone else 16) if batch_size is None else batch_size
        self._batch = _whole("batch_size", self._batch, 1)

    @classmethod
    def from_pretrained(
        cls, spec: str | os.PathLike[str] = "small", *, flip: bool = True
    ) -> Lifter:
        """A lifter by the name of its weights, or from a file or a run.

        Args:
            spec: see `jrepose.motion.pretrained.load_pretrained`.
            flip: see the class.

        Raises:
            InputError: nothing there, damaged, or no lifting network.
        """
        return cls(load_pretrained(spec), flip=flip)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights as an archive that `from_pretrained` takes."""
        self.pretrained.save(path)

    @property
    def skeleton(self) -> Skeleton:
        """Joints of the poses."""
        return self.pretrained.skeleton

    def _clip_lengths(self) -> tuple[int, int]:
        """Frames that go into the network at a time, and poses that come out."""
        frames, frames_out = self.pretrained.frames, self.pretrained.frames_out
        outputs = frames_out(frames)
        if outputs >= frames:
            return frames, frames
        # A network that slides over longer clips is given such ones.
        longer = frames + _CHUNK - 1
        try:
            slides = frames_out(longer) == outputs + _CHUNK - 1
        except InputError:
            slides = False
        return (longer, outputs + _CHUNK - 1) if slides else (frames, outputs)

    def _shortest_clip(self) -> tuple[int, int]:
        """Frames and poses of a stream's clip: of a network that slides, one pose."""
        if self._inputs == self._outputs:
            return self._inputs, self._outputs
        frames, frames_out = self.pretrained.frames, self.pretrained.frames_out
        field = self._inputs - self._outputs + 1
        if self._inputs > frames and frames_out(field) == 1:
            return field, 1
        return frames, frames_out(frames)

    @functools.cached_property
    def _run(self) -> Any:
        def predict(variables, keypoints):
            task = self.pretrained.task
            return task.predict(variables, {"keypoints": keypoints}, None, flip=self._flip)

        return jax.jit(predict)

    def __call__(
        self,
        keypoints: Num[ArrayLike, "frames keypoints channels"],
        confidence: Num[ArrayLike, "frames keypoints"] | None = None,
        *,
        size: Sequence[int],
        fps: float | int,
        layout: str | Skeleton | None = None,
        height_m: float | int = camera_space.DEFAULT_HEIGHT_M,
        focal_px: float | int | None = None,
        pitch_deg: float | int | None = None,
        smooth: str | None = None,
        constant_bones: bool = False,
        lock_feet: bool = False,
        person: str = "1",
        first_frame: int = 0,
    ) -> Motion:
        """Lifts one person's keypoints of one video.

        Args:
            keypoints: pixels, x right and y down, and the confidence as a third channel if
                `confidence` is None.  (0, 0), NaN and what is nowhere near the picture are missing.
            confidence: 0 (missing) to 1, a little more counts as 1; None: 1 where there is a
                keypoint.
            size: width and height of the picture, pixels.
            fps: frames per second.
            layout: joint order of the keypoints, a name (docs/formats.md) or a skeleton; None: told
                by their number and geometry.
            height_m: of the person, metres; sets the size of everything.
            focal_px: focal length of the camera, which tells how far away the person is; None: the
                longer side of the picture.
            pitch_deg: how far a level-headed camera looks down; None: the vertical is told by how
                the person stands.
            smooth: `"one_euro"` or `"savitzky_golay"`, see `smoothing.smoother`; None: not at all.
            constant_bones: every bone has its median length in all frames.
            lock_feet: standing feet do not slide.
            person, first_frame: of the motion, see `Motion`.

        Returns:
            A pose of every joint in every frame, upright, the camera above the world's origin and
            the floor at z = 0; its notes say what was assumed.

        Raises:
            InputError: keypoints of no known joint order, none at all, no pixels of such a picture,
                or numbers that cannot be.
        """
        (motion,) = self.lift_people(
            [(keypoints, confidence)],
            size=size, fps=fps, layout=layout, height_m=height_m, focal_px=focal_px,
            pitch_deg=pitch_deg, smooth=smooth, constant_bones=constant_bones,
            lock_feet=lock_feet, names=[person], first_frames=[first_frame],
        )  # fmt: skip
        return motion

    def lift_people(
        self,
        people: Sequence[tuple[ArrayLike, ArrayLike | None]],
        *,
        size: Sequence[int],
        fps: float | int,
        layout: str | Skeleton | None = None,
        height_m: float | int = camera_space.DEFAULT_HEIGHT_M,
        focal_px: float | int | None = None,
        pitch_deg: float | int | None = None,
        smooth: str | None = None,
        constant_bones: bool = False,
        lock_feet: bool = False,
        names: Sequence[str] | None = None,
        first_frames: Sequence[int] | None = None,
    ) -> list[Motion]:
        """Lifts several people of one video, who share the camera: its place and the vertical.

        Args:
            people: keypoints and confidence of each, as for a call.
            names, first_frames: of the people; None: "1", "2", ..., and 0.
            others: as for a call.

        Returns:
            A motion each, none of nobody; see a call.

        Raises:
            InputError: see a call.
        """
        size, fps, height_m, focal_px, pitch_deg = _numbers(
            size, fps, height_m, focal_px, pitch_deg
        )
        smoothed = smoothing.smoother(smooth) if smooth else None
        names = [str(number + 1) for number in range(len(people))] if names is None else names
        first_frames = [0] * len(people) if first_frames is None else first_frames
        for name, values in (("names", names), ("first_frames", first_frames)):
            if len(values) != len(people):
                raise InputError(f"{len(values)} {name} of {len(people)} people")
        given = [_keypoints(*_pair(person, "a person")) for person in people]
        if not given:
            return []
        _check_pixels(given, size)
        shared = list(self.pretrained.notes)
        if focal_px is None:
            focal_px = camera_space.default_focal_px(size)
            shared.append(f"focal length {focal_px:g} pixels (assumed), which sets the distance")
        if height_m == camera_space.DEFAULT_HEIGHT_M:
            shared.append(f"height {height_m:g} m (assumed), which sets the size")
        placed = [
            self._before_camera(
                *person, layout, size=size, fps=fps, focal_px=focal_px, height_m=height_m
            )
            for person in given
        ]
        up, note = self._vertical([one.poses_m for one in placed], pitch_deg)
        shared += [note] if note else []
        motions = []
        for one, name, first_frame in zip(placed, names, first_frames, strict=True):
            world = upright.to_world(one.poses_m, up)
            if smoothed is not None:
                world = smoothed(world, fps)
            if constant_bones:
                world = with_constant_bones(world, self.skeleton)
            world = upright.on_floor(world, self.skeleton, fps=fps, height_m=height_m)
            if lock_feet:
                world = smoothing.with_feet_locked(world, self.skeleton, fps=fps, height_m=height_m)
            motions.append(
                Motion(
                    poses_m=world.astype(np.float32),
                    skeleton=self.skeleton,
                    fps=fps,
                    keypoints=one.keypoints,
                    keypoint_skeleton=one.layout,
                    size=size,
                    person=str(name),
                    notes=(*one.notes, *shared),
                    first_frame=_whole("first_frame", first_frame, 0),
                )
            )
        return motions

    def _before_camera(
        self,
        pixels: Float32[np.ndarray, "frames keypoints 2"],
        sure: Float32[np.ndarray, "frames keypoints"],
        layout: str | Skeleton | None,
        *,
        size: tuple[int, int],
        fps: float,
        focal_px: float,
        height_m: float,
    ) -> _InCamera:
        """One person's poses in camera axes."""
        sure, notes = without_strays(pixels, sure, size)
        source, told = _layout(pixels, sure, layout)
        notes += told
        points, certain = convert(pixels, sure, source, self.pretrained.keypoint_skeleton)
        notes += _missing(certain, self.pretrained.keypoint_skeleton, fps)
        points = filled(points, certain, self.pretrained.keypoint_skeleton)
        scale = self._scale(points, certain, size, fps)
        poses = self._lift(points, certain, scale, fps)
        in_camera = self._in_camera(
            poses, points, certain, scale, size=size, fps=fps, focal_px=focal_px, height_m=height_m
        )
        given = np.concatenate([pixels, sure[..., None]], axis=-1).astype(np.float32)
        return _InCamera(in_camera, given, source, notes)

    def _vertical(
        self, people: list[np.ndarray], pitch_deg: float | None
    ) -> tuple[np.ndarray, str | None]:
        """The world's vertical in camera axes: that of who stands longest."""
        if pitch_deg is not None:
            return upright.up_of_pitch(pitch_deg), None
        told = [upright.up_of_body(poses, self.skeleton) for poses in people]
        standing = [share * len(poses) for (_, share), poses in zip(told, people, strict=True)]
        up, share = told[int(np.argmax(standing))]
        if not share:
            return up, "the vertical is that of the camera, as nobody stands (--pitch says it)"
        return up, f"the vertical is told by how somebody stands in {share:.0%} of the frames"

    def stream(
        self,
        frames: Iterable[Frame],
        *,
        size: Sequence[int],
        fps: float | int = 30.0,
        delay: int = 13,
        layout: str | Skeleton | None = None,
        height_m: float | int = camera_space.DEFAULT_HEIGHT_M,
        focal_px: float | int | None = None,
        pitch_deg: float | int = 0.0,
        smooth: bool = False,
    ) -> Iterator[Float32[np.ndarray, "joints 3"]]:
        """Lifts one person's keypoints frame by frame, for a loop over a camera.

        The state has a fixed size: the keypoints of a clip, and running means.

        Args:
            frames: keypoints `[keypoints, 2 or 3]` of each frame, or (keypoints, confidence), or
                None where nobody is seen; pixels, as for a call.
            size, fps, height_m, focal_px: as for a call.
            delay: how many frames later than its keypoints a pose comes; what is seen until then
                makes it better.  The last ones come after the end.
            layout: joint order of the keypoints, a name or a skeleton; None: told by the first
                frame with somebody in it, 17 keypoints being COCO's if that does not tell.
            pitch_deg: how far the level-headed camera looks down.
            smooth: whether a One-Euro filter runs along.

        Yields:
            A pose of every frame, NaN while nobody is known: metres, upright, x right, y forward
            from the camera, the floor at z = 0 as far as the feet of the last seconds tell.

        Raises:
            InputError: numbers that cannot be, at once; keypoints that cannot be or of another
                joint order, when they come.
        """
        size, fps, height_m, focal_px, pitch_deg = _numbers(
            size, fps, height_m, focal_px, pitch_deg, upright=True
        )
        delay = _whole("delay", delay, 0)
        if not isinstance(smooth, bool | np.bool_):
            raise InputError(f"smooth is {smooth!r}; expected True or False")
        source = None if layout is None else _skeleton(layout)
        clip, outputs = self._shortest_clip()
        longest = clip - 1 if outputs == clip else clip
        state = Stream(
            self.pretrained,
            self._poses_of_clip,
            clip,
            outputs,
            self._seen_before(clip, outputs),
            self._scale,
            size=size,
            fps=fps,
            delay=min(delay, int(longest * fps / model_rate(fps, self.pretrained.frame_rates))),
            height_m=height_m,
            focal_px=camera_space.default_focal_px(size) if focal_px is None else focal_px,
            pitch_deg=pitch_deg,
            smooth=smooth,
        )
        return self._streamed(frames, state, source)

    def _streamed(
        self, frames: Iterable[Frame], state: Stream, source: Skeleton | None
    ) -> Iterator[Float32[np.ndarray, "joints 3"]]:
        known = self.pretrained.keypoint_skeleton
        nobody = np.zeros((known.num_joints, 2), np.float32), np.zeros(known.num_joints, np.float32)
        for frame in frames:
            seen, found = nobody, _frame(frame, source)
            if found is not None:
                source = source or _told_by(*found)
                points, certain = convert(*found, source, known)
                seen = points[0], certain[0]
            pose = state.push(*seen)
            if pose is not None:
                yield pose
        yield from state.flush()

    def _scale(
        self, points: np.ndarray, certain: np.ndarray, size: tuple[int, int], fps: float
    ) -> Scale:
        if self.pretrained.scaling == "person":
            return person_scale(points, self.pretrained.keypoint_skeleton, fps)
        if self.pretrained.scaling == "box":
            return box_scale(points, certain, size)
        return screen_scale(size)

    def _lift(
        self, points: np.ndarray, certain: np.ndarray, scale: Scale, fps: float
    ) -> Float[np.ndarray, "frames joints 3"]:
        """The network's poses of all frames, at the video's frame rate."""
        inputs = np.concatenate([scale.to_model(points), certain[..., None]], -1).astype(np.float32)
        rate = model_rate(fps, self.pretrained.frame_rates)
        if rate == fps:
            return self._poses(inputs)
        inputs = at_rate(inputs, fps, rate).astype(np.float32)
        inputs[..., 2] = inputs[..., 2].clip(0, 1)
        return interpolated(self._poses(inputs), np.arange(len(points)) * (rate / fps))

    def _poses(
        self, inputs: Float32[np.ndarray, "frames joints 3"]
    ) -> Float32[np.ndarray, "frames joints 3"]:
        """The network's poses: overlapping clips, blended, with edges padded."""
        frames, seen, given = len(inputs), self._inputs, self._outputs
        before = self._seen_before(seen, given)
        whole = seen == given
        hop = max(1, given // 2) if whole else given
        starts = list(range(0, max(frames - given, 0) + hop, hop)) if frames > given else [0]
        if whole:
            starts = sorted({min(start, max(frames - given, 0)) for start in starts})
        else:
            starts = [start for start in starts if start < frames]
        weight = _blend(given) if whole else np.ones(given, np.float32)
        total = np.zeros((frames, self.skeleton.num_joints, 3), np.float32)
        share = np.zeros(frames, np.float32)
        for first in range(0, len(starts), self._batch):
            batch = starts[first : first + self._batch]
            rows = np.array([batch[min(k, len(batch) - 1)] for k in range(self._batch)])
            index = rows[:, None] + np.arange(-before, seen - before)
            index = _mirrored(index, frames) if whole else index.clip(0, frames - 1)
            poses = np.asarray(self._run(self._variables, jnp.asarray(inputs[index])))
            for start, clip in zip(batch, poses, strict=False):
                stop = min(start + given, frames)
                total[start:stop] += weight[: stop - start, None, None] * clip[: stop - start]
                share[start:stop] += weight[: stop - start]
        return self._relative(total / share[:, None, None])

    def _seen_before(self, inputs: int, outputs: int) -> int:
        """Frames that a clip sees before its first pose."""
        margin = inputs - outputs
        return min(margin // 2 + self.pretrained.causal_shift, margin)

    def _poses_of_clip(
        self, inputs: Float32[np.ndarray, "frames joints 3"]
    ) -> Float[np.ndarray, "frames_out joints 3"]:
        """What the network says of one clip."""
        poses = np.asarray(self._run(self._variables, jnp.asarray(inputs[None])))[0]
        return self._relative(poses.astype(np.float64))

    def _relative(self, poses: np.ndarray) -> np.ndarray:
        """Relative to the root: of 2.5D poses only the depth is."""
        root = poses[:, self.skeleton.root, None].copy()
        if self.pretrained.target_space == "image":
            root[..., :2] = 0
        return poses - root

    def _in_camera(
        self,
        poses: np.ndarray,
        points: np.ndarray,
        certain: np.ndarray,
        scale: Scale,
        *,
        size: tuple[int, int],
        fps: float,
        focal_px: float,
        height_m: float,
    ) -> np.ndarray:
        """Metres in camera axes."""
        options = {"size": size, "fps": fps, "focal_px": focal_px, "height_m": height_m}
        if self.pretrained.target_space == "image":
            in_pixels = scale.to_pixels(poses)
            placed = camera_space.from_image_space(in_pixels, self.skeleton, **options)
        else:
            placed = camera_space.from_camera_space(
                poses, self.skeleton, points, certain, self.pretrained.keypoint_skeleton, **options
            )
        sight = placed[:, self.skeleton.root]
        lengths = likely_lengths(length_votes(placed, self.skeleton, sight, certain.mean(1)))
        return with_likely_bones(placed, self.skeleton, lengths, sight=sight, height=height_m)


def _blend(frames: int) -> Float32[np.ndarray, " frames"]:
    """Weights of a clip's poses, largest in its middle, which sees most of both sides."""
    ramp = np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1))
    return (ramp / ramp.max()).astype(np.float32)


def _mirrored(index: np.ndarray, frames: int) -> np.ndarray:
    """Frame numbers beyond the ends counted back from them: motion that goes on."""
    if frames == 1:
        return np.zeros_like(index)
    period = 2 * (frames - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)


def _numbers(
    size: Sequence[int],
    fps: float | int,
    height_m: float | int,
    focal_px: float | int | None,
    pitch_deg: float | int | None,
    *,
    upright: bool = False,
) -> tuple[tuple[int, int], float, float, float | None, float | None]:
    """The numbers in their types, if they can be; `upright`: the pitch is one, too."""
    try:
        sides = [int(_number("a side", side, 1.0, 1e5)) for side in size]
    except (InputError, TypeError):
        sides = []
    if len(sides) != 2:
        raise InputError(f"size is {size!r:.50}; expected width and height in pixels")
    return (
        (sides[0], sides[1]),
        _number("fps", fps, *_RATES),
        _number("height", height_m, 0.3, 3.0),
        None if focal_px is None else _number("focal", focal_px, 1.0, 1e6),
        None if pitch_deg is None and not upright else _number("pitch", pitch_deg, -89.0, 89.0),
    )


def _number(name: str, value: object, low: float, high: float) -> float:
    """A value as a float.

    Raises:
        InputError: no number, or none between the bounds.
    """
    try:
        wrong = isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value) > 0
        number = np.nan if wrong else float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not low <= number <= high:
        shown = f"{value!r:.50}" if np.isnan(number) else f"{number:g}"
        raise InputError(f"{name} is {shown}; expected {low:g} to {high:g}")
    return number


def _whole(name: str, value: object, low: int) -> int:
    """A value as an integer.

    Raises:
        InputError: no whole number, or less than the bound.
    """
    try:
        number = low - 1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = low - 1
    if number < low:
        raise InputError(f"{name} is {value!r:.50}; expected a whole number, at least {low}")
    return number


def _pair(given: object, what: str) -> tuple[ArrayLike, ArrayLike | None]:
    """Keypoints and their confidence."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{what} is no pair; expected keypoints and their confidence, or None")
    return given[0], given[1]


def _floats(values: object, what: str) -> np.ndarray:
    """A float32 array of what are numbers; None is NaN.

    Raises:
        InputError: something else.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "fiubO":
            with np.errstate(over="ignore"):
                return array.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{what} that are no numbers, or not as many of each")


def _keypoints(
    keypoints: ArrayLike, confidence: ArrayLike | None, empty: bool = False
) -> tuple[Float32[np.ndarray, "frames keypoints 2"], Float32[np.ndarray, "frames keypoints"]]:
    """Positions, (0, 0) where missing, and confidences, 0 where missing."""
    given = _floats(keypoints, "keypoints")
    if given.ndim != 3 or given.shape[2] not in (2, 3) or not given.size:
        raise InputError(
            f"keypoints of the shape {given.shape}; expected frames, keypoints, 2 or 3"
        )
    if confidence is None:
        sure = given[..., 2] if given.shape[2] == 3 else np.ones(given.shape[:2], np.float32)
    else:
        sure = _floats(confidence, "confidences")
    if sure.shape != given.shape[:2]:
        raise InputError(f"confidences of the shape {sure.shape}; expected {given.shape[:2]}")
    pixels = given[..., :2]
    missing = ~np.isfinite(pixels).all(-1) | (pixels == 0).all(-1) | ~(sure > 0)
    sure = np.where(missing, np.float32(0), sure)
    check_detectors_confidence(sure, "confidence")
    if missing.all() and not empty:
        raise InputError("not one keypoint is there: all are missing or of confidence 0")
    return np.where(missing[..., None], np.float32(0), pixels), sure.clip(0, 1)


def _check_pixels(
    people: Sequence[
        tuple[Float32[np.ndarray, "frames keypoints 2"], Float32[np.ndarray, "frames keypoints"]]
    ],
    size: tuple[int, int],
) -> None:
    """Refuses what cannot be a picture's pixels, as of a file.

    Raises:
        InputError: shares of it, places in space, beyond it; joints that are all in one place.
    """
    for pixels, sure in people:
        if not is_person(pixels, sure > 0):
            x, y = pixels[sure > 0][0]
            raise InputError(f"all keypoints are in one place, x = {x:g}, y = {y:g}")
    points = np.concatenate([pixels[sure > 0] for pixels, sure in people]).astype(np.float64)
    check_in_plane(points, "keypoints", "pixels")
    _check_no_shares(points)
    check_inside(points, size, "keypoints")


def _check_no_shares(points: Float[np.ndarray, "points 2"]) -> None:
    if (largest := largest_coordinate(points)) <= NORMALISED:
        raise InputError(f"keypoints: coordinates up to {largest:.3g}, shares of the picture?; "
                         "expected pixels, x times its width and y times its height")  # fmt: skip


def _told_by(
    pixels: Float32[np.ndarray, "1 keypoints 2"], sure: Float32[np.ndarray, "1 keypoints"]
) -> Skeleton:
    """The joint order of the first frame of a stream in which somebody is."""
    return layout_named(tell_layout(pixels, sure, "keypoints", "coco_17")[0]).skeleton


def _frame(
    frame: Frame, source: Skeleton | None
) -> tuple[Float32[np.ndarray, "1 keypoints 2"], Float32[np.ndarray, "1 keypoints"]] | None:
    """One frame as `_keypoints` gives it; None where nobody is seen."""
    if frame is None:
        return None
    points, confidence = _pair(frame, "a frame") if isinstance(frame, tuple) else (frame, None)
    points = _floats(points, "keypoints")
    if points.ndim != 2 or (source is not None and len(points) != source.num_joints):
        expected = (
            "keypoints" if source is None else f"{source.num_joints} keypoints of {source.name}"
        )
        raise InputError(f"a frame of the shape {points.shape}; expected {expected}, 2 or 3")
    sure = None if confidence is None else _floats(confidence, "confidences")[None]
    pixels, certain = _keypoints(points[None], sure, empty=True)
    there = pixels[certain > 0]
    if len(there) >= _ENOUGH:
        _check_no_shares(there)
    return (pixels, certain) if len(there) else None


def _skeleton(layout: str | Skeleton) -> Skeleton:
    return layout if isinstance(layout, Skeleton) else layout_named(layout).skeleton


def _layout(
    pixels: np.ndarray, sure: np.ndarray, layout: str | Skeleton | None
) -> tuple[Skeleton, list[str]]:
    notes: list[str] = []
    if layout is None:
        layout, note = tell_layout(pixels, sure, "keypoints")
        notes = [note] if note else []
    skeleton = _skeleton(layout)
    if skeleton.num_joints != pixels.shape[1]:
        raise InputError(f"{pixels.shape[1]} keypoints, {skeleton.name} has {skeleton.num_joints}")
    return skeleton, notes


def _missing(certain: np.ndarray, skeleton: Skeleton, fps: float) -> list[str]:
    """What to say about keypoints that are not there."""
    notes = []
    never = [n for n, c in zip(skeleton.joint_names, certain.any(0), strict=True) if not c]
    if len(never) > skeleton.num_joints / 2:
        raise InputError(f"of the {skeleton.num_joints} joints of {skeleton.name} that are lifted "
                         f"{len(never)} are never there: {listed(never)}")  # fmt: skip
    if never:
        notes.append(f"never seen, and guessed: {listed(never)}")
    nobody = np.concatenate([[0], (~certain.any(1)).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(nobody)).reshape(-1, 2)
    if len(edges) and (longest := int(np.diff(edges).max())) > _LONG_GAP_S * fps:
        notes.append(f"nothing is seen for up to {longest} frames, which are guessed")
    return notes
