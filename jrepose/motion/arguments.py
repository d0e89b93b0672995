"""What the callers of a lifter give: numbers and keypoints in their types, if they can be."""

from __future__ import annotations

import operator
from collections.abc import Sequence

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
from jrepose.motion.readers.layouts import layout_named, tell_layout
from jrepose.skeleton import Skeleton

_RATES = (0.1, 10_000.0)
_ENOUGH = 5  # keypoints of one frame by whose place is told that they are no pixels

Frame = (
    Num[ArrayLike, "keypoints channels"]
    | tuple[Num[ArrayLike, "keypoints 2"], Num[ArrayLike, " keypoints"]]
    | None
)
"""A frame of a stream; None: nobody is seen."""

Keypoints = tuple[
    Float32[np.ndarray, "frames keypoints 2"], Float32[np.ndarray, "frames keypoints"]
]
"""Positions in pixels, (0, 0) where missing, and confidences, 0 where missing."""


def numbers_of(
    size: Sequence[int],
    fps: float | int,
    height_m: float | int,
    focal_px: float | int | None,
    pitch_deg: float | int | None,
    *,
    upright: bool = False,
) -> tuple[tuple[int, int], float, float, float | None, float | None]:
    """Size, frame rate, height, focal length and pitch, see `Lifter`.

    Args:
        upright: the pitch must be known.

    Raises:
        InputError: one cannot be.
    """
    try:
        sides = [int(number_of("a side", side, 1.0, 1e5)) for side in size]
    except (InputError, TypeError):
        sides = []
    if len(sides) != 2:
        raise InputError(f"size is {size!r:.50}; expected width and height in pixels")
    return (
        (sides[0], sides[1]),
        number_of("fps", fps, *_RATES),
        number_of("height", height_m, 0.3, 3.0),
        None if focal_px is None else number_of("focal", focal_px, 1.0, 1e6),
        None if pitch_deg is None and not upright else number_of("pitch", pitch_deg, -89.0, 89.0),
    )


def number_of(name: str, value: object, low: float, high: float) -> float:
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


def whole_number(name: str, value: object, low: int) -> int:
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


def pair_of(given: object, what: str) -> tuple[ArrayLike, ArrayLike | None]:
    """Keypoints and their confidence.

    Raises:
        InputError: `given`, which the message calls `what`, is something else.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{what} is no pair; expected keypoints and their confidence, or None")
    return given[0], given[1]


def floats_of(values: object, what: str) -> np.ndarray:
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


def keypoints_of(
    keypoints: ArrayLike, confidence: ArrayLike | None, empty: bool = False
) -> Keypoints:
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
    pixels = given[..., :2]
    missing = ~np.isfinite(pixels).all(-1) | (pixels == 0).all(-1) | ~(sure > 0)
    sure = np.where(missing, np.float32(0), sure)
    check_detectors_confidence(sure, "confidence")
    if missing.all() and not empty:
        raise InputError("not one keypoint is there: all are missing or of confidence 0")
    return np.where(missing[..., None], np.float32(0), pixels), sure.clip(0, 1)


def check_pixels(people: Sequence[Keypoints], size: tuple[int, int]) -> None:
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


def told_by(pixels: np.ndarray, sure: np.ndarray) -> Skeleton:
    """The joint order of the first frame of a stream in which somebody is.

    Raises:
        InputError: of no known one.
    """
    return layout_named(tell_layout(pixels, sure, "keypoints", "coco_17")[0]).skeleton


def frame_of(frame: Frame, source: Skeleton | None, size: tuple[int, int]) -> Keypoints | None:
    """One frame of a stream, as `keypoints_of` gives it; None where nobody is seen.

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
    if points.ndim != 2 or (source is not None and len(points) != source.num_joints):
        known = f"{source.num_joints} keypoints of {source.name}" if source else "keypoints"
        raise InputError(f"a frame of the shape {points.shape}; expected {known}, 2 or 3")
    given = None if confidence is None else floats_of(confidence, "confidences")[None]
    pixels, sure = keypoints_of(points[None], given, empty=True)
    sure, _ = without_strays(pixels, sure, size)
    if len(there := pixels[sure > 0]) >= _ENOUGH:
        _check_no_shares(there)
    return (pixels, sure) if len(there) else None


def skeleton_of(layout: str | Skeleton) -> Skeleton:
    """A skeleton, or that of the layout of this name.

    Raises:
        InputError: there is none.
    """
    return layout if isinstance(layout, Skeleton) else layout_named(layout).skeleton


def layout_of(
    pixels: np.ndarray, sure: np.ndarray, layout: str | Skeleton | None
) -> tuple[Skeleton, list[str]]:
    """The joint order of keypoints, and a line where it had to be told.

    Raises:
        InputError: it cannot be told, or has another number of joints.
    """
    notes: list[str] = []
    if layout is None:
        layout, note = tell_layout(pixels, sure, "keypoints")
        notes = [note] if note else []
    skeleton = skeleton_of(layout)
    if skeleton.num_joints != pixels.shape[1]:
        raise InputError(f"{pixels.shape[1]} keypoints, {skeleton.name} has {skeleton.num_joints}")
    return skeleton, notes
