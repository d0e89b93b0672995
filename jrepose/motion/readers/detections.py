"""What a reader finds: the people of every frame, whatever file they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float32, Int64

from jrepose.errors import InputError
from jrepose.motion.image_points import check_detectors_confidence

_FARTHEST = 1e7  # no picture is so large
_MOST_KEYPOINTS = 1000
_LONGEST_GAP = 100  # frames from the first to the last, for each frame in which somebody is
_ALWAYS_POSSIBLE = 10_000
_LARGEST_NUMBER = 10**15


@dataclass(frozen=True, eq=False)
class Detections:
    """All people of all frames, one row each, ordered by frame.

    Attributes:
        where: the file.
        title: of its format.
        frames: number of the row's frame, from 0; frames without anybody have no row.
        points: in the file's own unit; (0, 0) where missing.
        confidence: in [0, 1]; 0 where missing.
        score: of the person as a whole; 1 where the file has none.
        track: the file's number of the person, -1 where it has none.
        names: of the keypoints, where the file has them.
        layout: joint order that the format fixes; None where it does not.
        normalised: whether points are shares of width and height; None: their values tell.
        size: of the picture in pixels, where the file says it.
        fps: frames per second, where the file says it.
        people: names of the tracks, where the file has them.
        notes: what was found and decided on the way.
    """

    where: str
    title: str
    frames: Int64[np.ndarray, " rows"]
    points: Float32[np.ndarray, "rows keypoints 2"]
    confidence: Float32[np.ndarray, "rows keypoints"]
    score: Float32[np.ndarray, " rows"]
    track: Int64[np.ndarray, " rows"]
    names: tuple[str, ...] | None = None
    layout: str | None = None
    normalised: bool | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    people: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        return int(self.frames[-1]) + 1


class Collector:
    """Gathers the rows of one file, checking each.

    Args:
        where: the file, for messages.
        title: of its format.
    """

    def __init__(self, where: str, title: str):
        self.where, self.title = where, title
        self.names: tuple[str, ...] | None = None
        self.layout: str | None = None
        self.normalised: bool | None = None
        self.size: tuple[int, int] | None = None
        self.fps: float | None = None
        self.people: dict[int, str] = {}
        self.notes: list[str] = []
        self._keys: dict[int | str, int] = {}  # frames as the file calls them, in their order
        self._values = np.empty((0, 0, 3), np.float32)
        self._about = np.empty((0, 3), np.float64)  # place in _keys, score, track
        self._rows = 0

    def frame(self, key: int | str) -> None:
        """Says that there is a frame, whether somebody is in it or not."""
        if not isinstance(key, int | str) or isinstance(key, bool):
            self.fail(f"a frame is called {str(key)[:50]!r}; expected a number or a name")
        if isinstance(key, int) and not -_LARGEST_NUMBER < key < _LARGEST_NUMBER:
            self.fail(f"a frame has the number {str(key)[:30]}")
        self._keys.setdefault(key, len(self._keys))

    def add(
        self,
        frame: int | str,
        points: Any,
        confidence: Any = None,
        *,
        score: Any = 1.0,
        track: Any = None,
    ) -> None:
        """Adds one person.

        Args:
            frame: number or name of the frame.
            points: x, y or x, y, confidence of each keypoint; nested or flat (then with
                confidence).  NaN or (0, 0) is missing.
            confidence: of each keypoint; None: the third channel, or 1.
            score: of the person.
            track: number of the person.

        Raises:
            InputError: no such values, or not as many keypoints as before.
        """
        self.frame(frame)
        values = self._checked(frame, points, confidence)
        if self._rows and len(values) != self._values.shape[1]:
            self.fail(f"{len(values)} keypoints in frame {frame}, {self._values.shape[1]} in those "
                      "before; a file has one layout")  # fmt: skip
        if self._rows == len(self._values):
            capacity = max(64, 2 * self._rows)
            self._values = _grown(self._values, (capacity, len(values), 3))
            self._about = _grown(self._about, (capacity, 3))
        number = _number(score)
        self._values[self._rows] = values
        self._about[self._rows] = (
            self._keys[frame],
            1.0 if number is None else number,
            -1 if (identity := _identity(track)) is None else identity,
        )
        self._rows += 1

    def _checked(self, frame: int | str, points: Any, confidence: Any) -> np.ndarray:
        """[keypoints, (x, y, confidence)], all zero where missing."""
        place = f"frame {frame}"
        given = self._numbers(points, place, "keypoints")
        if given.ndim == 1 and given.size and given.size % 3 == 0:
            given = given.reshape(-1, 3)
        if given.ndim != 2 or given.shape[1] not in (2, 3) or not len(given):
            self.fail(f"{place}: keypoints of the shape {given.shape}; expected x, y (and "
                      "confidence) of each")  # fmt: skip
        if len(given) > _MOST_KEYPOINTS:
            self.fail(f"{place}: {len(given)} keypoints; expected at most {_MOST_KEYPOINTS}")
        values = np.ones((len(given), 3))
        values[:, : given.shape[1]] = given
        if confidence is not None:
            scores = self._numbers(confidence, place, "confidences")
            if scores.shape != (len(given),):
                self.fail(f"{place}: {scores.size} confidences of {len(given)} keypoints")
            values[:, 2] = scores
        missing = np.isnan(values[:, :2]).any(-1) | (values[:, :2] == 0).all(-1)
        missing |= ~(values[:, 2] > 0)
        values[missing] = 0
        if not (np.abs(values) < _FARTHEST).all():
            worst = values[~(np.abs(values) < _FARTHEST)][0]
            self.fail(f"{place}: a keypoint has the value {worst:g}; expected a place in a picture")
        return values

    def _numbers(self, values: Any, place: str, what: str) -> np.ndarray:
        try:
            with np.errstate(over="ignore"):
                return np.asarray(values, np.float64)
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass
        self.fail(f"{place}: {what} that are no numbers, or not as many of each")

    def fail(self, message: str) -> NoReturn:
        raise InputError(f"{self.where}: {message}")

    def finish(self) -> Detections:
        """What was gathered.

        Raises:
            InputError: nobody in the file, frames that make no video, confidences that are none.
        """
        if not self._rows:
            self.fail(f"nobody in it ({self.title}); expected the keypoints of a person in at "
                      "least one frame")  # fmt: skip
        numbers, notes = frame_numbers(list(self._keys), self.where)
        values, about = self._values[: self._rows], self._about[: self._rows]
        frames = numbers[about[:, 0].astype(np.int64)]
        order = np.argsort(frames, kind="stable")
        values = values[order]
        if not (values[..., 2] > 0).any():
            self.fail("not one keypoint is there: all are missing or of confidence 0")
        check_detectors_confidence(values[..., 2], f"{self.where}: confidence")
        return Detections(
            where=self.where,
            title=self.title,
            frames=frames[order],
            points=np.ascontiguousarray(values[..., :2]),
            confidence=values[..., 2].clip(0, 1),
            score=about[order, 1].astype(np.float32),
            track=about[order, 2].astype(np.int64),
            names=self.names,
            layout=self.layout,
            normalised=self.normalised,
            size=self.size,
            fps=self.fps,
            people=self.people,
            notes=(*self.notes, *notes),
        )


def _grown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    larger = np.zeros(shape, array.dtype)
    if array.size:
        larger[: len(array)] = array
    return larger


def _number(value: Any) -> float | None:
    """A finite number, out of lists of one as well."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e9 else None


def _identity(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 or number != int(number) else int(number)


def frame_numbers(
    keys: Sequence[int | str], where: str
) -> tuple[Int64[np.ndarray, " keys"], list[str]]:
    """The number of each frame, the first being 0, and what was assumed.

    A name's number is the last one in it, or the last that differs from name to name.  Numbers
    in steps, as of every fifth frame, are counted in these steps.

    Raises:
        InputError: two names for one frame, or frames too far apart to be a video's.
    """
    notes = []
    if any(isinstance(key, str) for key in keys):
        numbers = _of_names([str(key) for key in keys], where)
        if numbers is None:
            numbers = np.arange(len(keys))
            if len(keys) > 1:
                notes.append("the frames have names without numbers; taken in their order")
    else:
        numbers = np.array(keys, np.int64)
    numbers = numbers - numbers.min()
    step = int(np.gcd.reduce(numbers))
    if step > 1 and len(numbers) > 2:
        numbers = numbers // step
        notes.append(f"frame numbers go in steps of {step} and are counted in these; the frame "
                     "rate is that of the frames in the file")  # fmt: skip
    span = int(numbers.max()) + 1
    if span > max(_ALWAYS_POSSIBLE, _LONGEST_GAP * len(numbers)):
        raise InputError(
            f"{where}: {len(numbers)} frames with numbers that are {span} apart; expected the "
            "frames of one video"
        )
    return numbers, notes


def _of_names(names: list[str], where: str) -> np.ndarray | None:
    """The numbers in names; None if there are none."""
    groups = [re.findall(r"[0-9]{1,15}", name.rpartition("/")[2]) for name in names]
    least = min(len(group) for group in groups)
    if not least:
        return None
    for back in range(1, least + 1):
        column = [int(group[-back]) for group in groups]
        if len(set(column)) == len(names):
            return np.array(column, np.int64)
    last = [int(group[-1]) for group in groups]
    seen: dict[int, str] = {}
    for number, name in zip(last, names, strict=True):
        if number in seen:
            raise InputError(
                f"{where}: {seen[number]} and {name} are the same frame by their numbers; expected "
                "the frames of one video"
            )
        seen[number] = name
    return None
