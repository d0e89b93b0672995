"""The keypoints that the callers of a lifter give: in their types, if they can be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Float32, Num

from jrepose.errors import InputError
from jrepose.motion.image_points import (
    NORMALISED,
    check_detectors_confidence,
    check_in_plane,
    check_inside,
    is_person,
    largest_coordinate,
    without_strays,
)
from jrepose.motion.keypoints import Keypoints
from jrepose.motion.numeric import whole_number
from jrepose.motion.readers.layouts import Layout, layout_named, tell_layout
from jrepose.skeleton import Skeleton

_FARTHEST = 1e7  # a stray, as what is farther: infinity has no sum
_ENOUGH = 5  # keypoints of one frame by whose place is told that they are no pixels

Frame = (
    Num[ArrayLike, "keypoints channels"]
    | tuple[Num[ArrayLike, "keypoints 2"], Num[ArrayLike, " keypoints"]]
    | None
)
"""A frame of a stream; None: nobody is seen."""

Pixels = tuple[Float32[np.ndarray, "frames keypoints 2"], Float32[np.ndarray, "frames keypoints"]]
"""Positions in pixels, (0, 0) where missing, and confidences, 0 where missing."""


class Person(NamedTuple):
    """Somebody to be lifted: keypoints, what is known of their joint order, and who it is."""

    pixels: Float32[np.ndarray, "frames keypoints 2"]
    confidence: Float32[np.ndarray, "frames keypoints"]
    layout: str | Skeleton | None
    name: str
    first_frame: int


def people_of(
    people: Sequence[Keypoints | tuple[ArrayLike, ArrayLike | None]],
    size: tuple[int, int],
    layout: str | Skeleton | None,
    names: Sequence[str] | None,
    first_frames: Sequence[int] | None,
) -> list[Person]:
    """Everybody, see `Lifter.lift_people`.

    Raises:
        InputError: something cannot be; of several people it says whose.
    """
    given = _list_of("people", people)
    of_file = [one if isinstance(one, Keypoints) else None for one in given]
    if names is None:
        names = [str(k + 1) if one is None else one.person for k, one in enumerate(of_file)]
    if first_frames is None:
        first_frames = [0 if one is None else one.first_frame for one in of_file]
    names, first_frames = _list_of("names", names), _list_of("first_frames", first_frames)
    for what, values in (("names", names), ("first_frames", first_frames)):
        if len(values) != len(given):
            raise InputError(f"{len(values)} {what} of {len(given)} people")
    found, arrays = [], []
    for one, read, name, first in zip(given, of_file, names, first_frames, strict=True):
        with about(f"person {name}" if len(given) > 1 else None):
            pair = (read.keypoints_px, read.confidence) if read else pair_of(one, "a person")
            pixels = keypoints_of(*pair)
            # A reader has judged all people of its file together.
            if read is None or read.size != size:
                arrays.append(pixels)
            order = read.skeleton if layout is None and read is not None else layout
            number = whole_number("first_frame", first, 0)
            found.append(Person(*pixels, order, str(name), number))
    if arrays:
        _check_pixels(arrays, size)
    for person in found:
        if not is_person(person.pixels, person.confidence > 0):
            x, y = person.pixels[person.confidence > 0][0]
            whose = f" of person {person.name}" if len(found) > 1 else ""
            raise InputError(f"all keypoints{whose} are in one place, x = {x:g}, y = {y:g}")
    return found


@contextlib.contextmanager
def about(what: str | None) -> Iterator[None]:
    """What an `InputError` begins with; None: nothing more."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") if what else error from None


def _list_of(name: str, values: object) -> list:
    try:
        if not isinstance(values, str):
            return list(values)
    except TypeError:
        pass
    raise InputError(f"{name} is {values!r:.50}; expected a list, one of each person")


def pair_of(given: object, what: str) -> tuple[ArrayLike, ArrayLike | None]:
    """Keypoints and their confidence.

    Raises:
        InputError: `given`, which the message calls `what`, is something else.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{what} is no pair; expected keypoints and their confidence, or None")
    return given[0], given[1]


def floats_of(values: object, what: str) -> np.ndarray:
    """A float32 array of what are numbers; None and what is masked are NaN.

    Raises:
        InputError: something else.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "cmMSU":  # "V" is bfloat16
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
            if (masked := np.ma.getmask(values)) is not np.ma.nomask:
                array[masked] = np.nan
            return array
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{what} that are no numbers, or not as many of each")


def keypoints_of(keypoints: ArrayLike, confidence: ArrayLike | None, empty: bool = False) -> Pixels:
    """A person's keypoints.

    Args:
        keypoints: `[frames, keypoints, 2 or 3]`, the third channel a confidence.
        confidence: `[frames, keypoints]`; None: the third channel, or 1.
        empty: all may be missing.

    Raises:
        InputError: of another shape or type, or nothing is there.
    """
    given = floats_of(keypoints, "keypoints")
    if given.ndim != 3 or given.shape[2] not in (2, 3) or not given.size:
        raise InputError(
            f"keypoints of the shape {given.shape}; expected frames, keypoints, 2 or 3"
        )
    if confidence is None:
        sure = given[..., 2] if given.shape[2] == 3 else np.ones(given.shape[:2], np.float32)
    else:
        sure = floats_of(confidence, "confidences")
    if sure.shape != given.shape[:2]:
        raise InputError(f"confidences of the shape {sure.shape}; expected {given.shape[:2]}")
    pixels = given[..., :2].clip(-_FARTHEST, _FARTHEST)
    missing = np.isnan(pixels).any(-1) | (pixels == 0).all(-1) | ~(sure > 0)
    sure = np.where(missing, np.float32(0), sure)
    check_detectors_confidence(sure, "confidence")
    if missing.all() and not empty:
        raise InputError("not one keypoint is there: all are missing or of confidence 0")
    return np.where(missing[..., None], np.float32(0), pixels), sure.clip(0, 1)


def _check_pixels(people: Sequence[Pixels], size: tuple[int, int]) -> None:
    """Refuses what cannot be a picture's pixels, as of a file.

    Raises:
        InputError: shares of it, places in space, or mostly beyond it.
    """
    points = np.concatenate([pixels[sure > 0] for pixels, sure in people]).astype(np.float64)
    check_in_plane(points, "keypoints", "pixels")
    _check_no_shares(points, size)
    check_inside(points, size, "keypoints")


def _check_no_shares(points: Float[np.ndarray, "points 2"], size: tuple[int, int]) -> None:
    if (largest := largest_coordinate(points)) <= NORMALISED < max(size):
        raise InputError(f"keypoints: coordinates up to {largest:.3g}, shares of the picture?; "
                         "expected pixels, x times its width and y times its height")  # fmt: skip


def told_by(pixels: np.ndarray, sure: np.ndarray) -> Layout:
    """The joint order of the first frame of a stream in which somebody is.

    Raises:
        InputError: of no known one.
    """
    return layout_named(tell_layout(pixels, sure, "keypoints", "coco_17")[0])


def frame_of(frame: Frame, source: Layout | None, size: tuple[int, int]) -> Pixels | None:
    """One frame of a stream, as `keypoints_of` gives it; None where nobody is seen.

    Joints that are all in one place are nobody's: a detector's slip, which ends no stream.

    Args:
        frame: as the caller gives it.
        source: joint order, where it is known.
        size: of the picture.

    Raises:
        InputError: of another shape or type, or no pixels.
    """
    if frame is None:
        return None
    points, confidence = pair_of(frame, "a frame") if isinstance(frame, tuple) else (frame, None)
    points = floats_of(points, "keypoints")
    if points.ndim != 2 or (source is not None and len(points) != source.count):
        known = f"{source.count} keypoints of {source.skeleton.name}" if source else "keypoints"
        raise InputError(f"a frame of the shape {points.shape}; expected {known}, 2 or 3")
    given = None if confidence is None else floats_of(confidence, "confidences")[None]
    pixels, sure = keypoints_of(points[None], given, empty=True)
    sure, _ = without_strays(pixels, sure, size)
    if len(there := pixels[sure > 0]) >= _ENOUGH:
        if np.abs(there).max() <= NORMALISED:  # quicker than the quantile, in every frame
            _check_no_shares(there, size)
        if (there == there[0]).all():
            return None
    return (pixels, sure) if len(there) else None


def layout_given(layout: str | Skeleton) -> Layout:
    """The layout of this name, or all joints of a skeleton.

    Raises:
        InputError: there is none.
    """
    if isinstance(layout, Skeleton):
        return Layout(layout, layout.num_joints)
    return layout_named(layout)


def layout_of(
    pixels: np.ndarray, sure: np.ndarray, layout: str | Skeleton | None
) -> tuple[Skeleton, list[str]]:
    """The joint order of keypoints, the first of which are its, and a line where it was told.

    Raises:
        InputError: it cannot be told, or has another number of joints.
    """
    notes: list[str] = []
    if layout is None:
        layout, note = tell_layout(pixels, sure, "keypoints")
        notes = [note] if note else []
    skeleton, count = layout_given(layout)
    if count != pixels.shape[1]:
        raise InputError(f"{pixels.shape[1]} keypoints, {skeleton.name} has {count}")
    return skeleton, notes
