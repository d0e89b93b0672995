"""Keypoints in, upright 3D motion in metres out: any length, frame rate and joint order.

lifter = Lifter.from_pretrained("runs/mine")
motion = lifter(keypoints, confidence, size=(1920, 1080), fps=30)
motion.save("walk.bvh")
"""

from __future__ import annotations

import functools
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
from jrepose.motion.arguments import (
    Frame,
    Person,
    about,
    frame_of,
    layout_given,
    layout_of,
    people_of,
    told_by,
)
from jrepose.motion.bones import (
    length_votes,
    likely_lengths,
    with_constant_bones,
    with_likely_bones,
)
from jrepose.motion.image_points import without_strays
from jrepose.motion.inputs import (
    at_rate,
    box_scale,
    interpolated,
    model_rate,
    screen_scale,
)
from jrepose.motion.keypoints import Keypoints
from jrepose.motion.motion import Motion
from jrepose.motion.numeric import numbers_of, switch_of, whole_number
from jrepose.motion.pretrained import Pretrained, load_pretrained
from jrepose.motion.readers.layouts import Layout
from jrepose.motion.stream import Stream
from jrepose.skeleton import Skeleton
from jrepose.skeleton_conversion import convert, filled

_LONG_GAP_S = 0.5
_CHUNK = 96  # poses at a time of a network that gives fewer frames than it sees


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
        if not isinstance(pretrained, Pretrained):
            raise InputError(f"pretrained is {pretrained!r:.50}; expected what load_pretrained "
                             "gives (Lifter.from_pretrained takes a name or a file)")  # fmt: skip
        self.pretrained = pretrained
        self._flip = flip
        self._variables = jax.device_put(dict(pretrained.variables))
        self._inputs, self._outputs = self._clip_lengths()
        alone = jax.default_backend() == "cpu" and self._outputs > 1
        self._batch = (1 if alone else 16) if batch_size is None else batch_size
        self._batch = whole_number("batch_size", self._batch, 1)

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
        people: Sequence[Keypoints | tuple[ArrayLike, ArrayLike | None]],
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
            people: keypoints and confidence of each, as for a call; or what `read_keypoints` gives,
                which was checked with all else in its file.
            layout: as for a call; None: of people who were read, theirs.
            names, first_frames: of the people; None: those that were read; "1", "2", ..., and 0.
            others: as for a call.

        Returns:
            A motion each, none of nobody; see a call.

        Raises:
            InputError: see a call; it says who of several people it is about.
        """
        size, fps, height_m, focal_px, pitch_deg = numbers_of(
            size, fps, height_m, focal_px, pitch_deg
        )
        smoothed = smoothing.smoother(smooth) if smooth else None
        constant_bones = switch_of("constant_bones", constant_bones)
        lock_feet = switch_of("lock_feet", lock_feet)
        given = people_of(people, size, layout, names, first_frames)
        if not given:
            return []
        shared = list(self.pretrained.notes)
        if focal_px is None:
            focal_px = camera_space.default_focal_px(size)
            shared.append(f"focal length {focal_px:g} pixels (assumed), which sets the distance")
        if height_m == camera_space.DEFAULT_HEIGHT_M:
            shared.append(f"height {height_m:g} m (assumed), which sets the size")
        placed = []
        for person in given:
            with about(f"person {person.name}" if len(given) > 1 else None):
                placed.append(
                    self._before_camera(
                        person, size=size, fps=fps, focal_px=focal_px, height_m=height_m
                    )
                )
        up, note = self._vertical([one.poses_m for one in placed], pitch_deg)
        shared += [note] if note else []
        motions = []
        for one, person in zip(placed, given, strict=True):
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
                    person=person.name,
                    notes=(*one.notes, *shared),
                    first_frame=person.first_frame,
                )
            )
        return motions

    def _before_camera(
        self,
        person: Person,
        *,
        size: tuple[int, int],
        fps: float,
        focal_px: float,
        height_m: float,
    ) -> _InCamera:
        """One person's poses in camera axes."""
        pixels = person.pixels
        sure, notes = without_strays(pixels, person.confidence, size)
        source, told = layout_of(pixels, sure, person.layout)
        notes += told
        pixels, sure = pixels[:, : source.num_joints], sure[:, : source.num_joints]
        points, certain = convert(pixels, sure, source, self.pretrained.keypoint_skeleton)
        notes += _missing(certain, self.pretrained.keypoint_skeleton, fps)
        points = filled(points, certain, self.pretrained.keypoint_skeleton)
        scale = self._scale(points, certain, size, fps)
        poses = self._lift(points, certain, scale, fps)
        in_camera = self._in_camera(
            poses, points, certain, scale, size=size, fps=fps, focal_px=focal_px, height_m=height_m
        )
        given = np.concatenate([pixels, sure[..., None]], axis=-1).astype(np.float32)
        given[sure == 0] = 0
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
                None where nobody is seen; pixels, as for a call.  Joints that are all in one place
                are nobody's.
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
        size, fps, height_m, focal_px, pitch_deg = numbers_of(
            size, fps, height_m, focal_px, pitch_deg, upright=True
        )
        delay = whole_number("delay", delay, 0)
        smooth = switch_of("smooth", smooth)
        source = None if layout is None else layout_given(layout)
        try:
            frames = iter(frames)
        except TypeError:
            raise InputError(f"frames is {frames!r:.50}; expected keypoints of each") from None
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
        return self._streamed(frames, state, source, size)

    def _streamed(
        self,
        frames: Iterator[Frame],
        state: Stream,
        source: Layout | None,
        size: tuple[int, int],
    ) -> Iterator[Float32[np.ndarray, "joints 3"]]:
        known = self.pretrained.keypoint_skeleton
        nobody = np.zeros((known.num_joints, 2), np.float32), np.zeros(known.num_joints, np.float32)
        for number, frame in enumerate(frames):
            seen = nobody
            with about(f"frame {number}"):
                found = frame_of(frame, source, size)
                source = source or (found and told_by(*found))
            if found is not None:
                skeleton, joints = source.skeleton, source.skeleton.num_joints
                points, certain = convert(*(part[:, :joints] for part in found), skeleton, known)
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
        """Relative to the root: of 2.5D poses only the depth is.

        Raises:
            InputError: they are not finite, as of weights that are too large.
        """
        if not np.isfinite(poses).all():
            raise InputError(
                f"{self.pretrained.origin}: the network's poses are not finite; expected other "
                "weights"
            )
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
