"""The keypoints of the people in a detector's file: pixels, joint order and picture size."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from jrepose.errors import InputError
from jrepose.motion.readers import (
    Detections,
    alphapose,
    coco,
    mmpose,
    openpose,
    read_detections,
    ultralytics,
    videopose3d,
)
from jrepose.motion.readers.layouts import Layout, by_names, layout_named, tell_layout
from jrepose.motion.readers.people import choose_people, people_of
from jrepose.skeleton import COCO_17, Skeleton

_NORMALISED = 1.5  # largest coordinate of what is no pixels
_NEGATIVE = 0.2  # share of coordinates that is more than of people who leave the picture
_COCO = (alphapose.TITLE, coco.TITLE, mmpose.TITLE, ultralytics.TITLE, videopose3d.TITLE)
"""Tools whose 17 keypoints are COCO's unless their geometry says otherwise."""
_STRAY = 1.5  # picture sizes from its middle
_OUTSIDE = 0.5  # share of keypoints beyond a picture of the right size


@dataclass(frozen=True, eq=False)
class Keypoints:
    """One person's keypoints in one video.

    Attributes:
        keypoints_px: pixels, x right and y down; (0, 0) where missing.
        confidence: 0 to 1, 0 where missing.
        skeleton: their joint order.
        size: width and height of the picture, pixels.
        fps: frames per second, where the file says it.
        person: the person's number or name.
        title: of the file's format.
        notes: what was found and decided while reading, a line each.
        first_frame: number of their first frame in the file.
    """

    keypoints_px: Float32[np.ndarray, "frames keypoints 2"]
    confidence: Float32[np.ndarray, "frames keypoints"]
    skeleton: Skeleton
    size: tuple[int, int]
    fps: float | None = None
    person: str = "1"
    title: str = ""
    notes: tuple[str, ...] = ()
    first_frame: int = 0

    @property
    def frames(self) -> int:
        return len(self.keypoints_px)


def read_keypoints(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    layout: str | None = None,
    person: str = "largest",
) -> list[Keypoints]:
    """The people in a keypoint file, or in a folder with a file per frame.

    Frames are those from the person's first to their last; one in which nothing was found has
    confidences 0.

    Args:
        path: of a 2D detector; the format is told by its content (docs/formats.md).
        size: width and height of the picture, pixels; None: the file says it.
        layout: joint order, a name of `LAYOUTS`; None: told by names, number or geometry.
        person: `"largest"`, `"all"`, or the number or name of one.

    Returns:
        Them, the largest first.

    Raises:
        InputError: no such file, no known format, nobody there, no image coordinates, or the size
            or the joint order cannot be told; in one line.
        MissingExtra: an optional package is needed.
    """
    found = read_detections(path)
    notes = list(found.notes)
    if size is None:
        size = found.size
    elif found.size not in (None, size):
        notes.append(f"the file says {found.size[0]}x{found.size[1]}; taken is {size[0]}x{size[1]}")
    if size is None:
        _check_image(found.points, found.confidence, found)
        reach = found.points.reshape(-1, 2).max(0)
        raise InputError(f"{path}: the picture's size is not in the file; --size WxH says it (its "
                         f"keypoints reach x = {reach[0]:g}, y = {reach[1]:g})")  # fmt: skip
    if min(size) < 1 or max(size) > 10**5:
        raise InputError(f"size is {size[0]}x{size[1]}; expected pixels, 1920x1080 for instance")
    pixels = _pixels(found, size, notes)
    found = _without_strays(found, pixels, size, notes)
    skeleton, columns, remark = _columns(found, pixels, layout)
    notes += [remark] if remark else []
    people, decided = people_of(_replaced(found, pixels, columns))
    chosen, more = choose_people(people, person, str(path))
    results = []
    for one in chosen:
        there = np.flatnonzero(one.there)
        first, last = int(there[0]), int(there[-1])
        results.append(
            Keypoints(
                one.points[first : last + 1],
                one.confidence[first : last + 1],
                skeleton,
                size,
                found.fps,
                one.name,
                found.title,
                tuple([*notes, *decided, *more]),
                first,
            )
        )
    return results


def _columns(
    found: Detections, pixels: np.ndarray, layout: str | None
) -> tuple[Skeleton, list[int | None], str | None]:
    """The joint order, and where each of its joints stands among the file's keypoints."""
    count = pixels.shape[1]
    given = layout or (found.layout if found.names is None else None)
    if given is None and found.names is not None and len(found.names) == count:
        return by_names(found.names, found.where)
    remark = None
    if given is None:
        usual = COCO_17.name if found.title in _COCO else None
        given, remark = tell_layout(pixels, found.confidence, found.where, usual)
    chosen: Layout = layout_named(given)
    if chosen.count != count:
        raise InputError(f"{found.where}: {count} keypoints, {given} has {chosen.count}")
    joints = chosen.skeleton.num_joints
    if joints < count:
        remark = f"of {given} the body's {joints} keypoints are taken"
    return chosen.skeleton, list(range(joints)), remark


def _replaced(found: Detections, pixels: np.ndarray, columns: list[int | None]) -> Detections:
    """The detections with these columns, which have one joint each; absent ones are missing."""
    taken = np.array([-1 if column is None else column for column in columns])
    absent = taken < 0
    points, confidence = pixels[:, taken], found.confidence[:, taken]
    points[:, absent], confidence[:, absent] = 0, 0
    points[confidence == 0] = 0
    if not (confidence > 0).any():
        raise InputError(f"{found.where}: not one of the keypoints is there")
    return dataclasses.replace(found, points=points, confidence=confidence, names=None)


def _check_image(points: np.ndarray, confidence: np.ndarray, found: Detections) -> float:
    """The largest coordinate; refuses what is no picture's."""
    values = points[confidence > 0].astype(np.float64)
    largest = float(np.quantile(np.abs(values), 0.99))
    low, high = values.min(0), values.max(0)
    negative = float((values < 0).mean())
    of_openpose = found.title == openpose.TITLE and max(-low.min(), high.max()) <= 1
    if negative > _NEGATIVE and not of_openpose:
        extent = f"x from {low[0]:.3g} to {high[0]:.3g}, y from {low[1]:.3g} to {high[1]:.3g}"
        kind = "world landmarks in metres, or a lifter's units" if largest < 4 else "3D positions"
        raise InputError(f"{found.where}: {extent} are no image coordinates ({kind}?); expected "
                         "pixels, or shares of width and height")  # fmt: skip
    return largest


def _pixels(found: Detections, size: tuple[int, int], notes: list[str]) -> np.ndarray:
    """The points in pixels; refuses what is no picture's, or another picture's."""
    present = found.confidence > 0
    largest = _check_image(found.points, found.confidence, found)
    scale = np.array(size, np.float32)
    points = found.points
    if found.normalised or (found.normalised is None and largest <= _NORMALISED):
        if found.normalised and largest > 2 * _NORMALISED:
            raise InputError(f"{found.where}: coordinates up to {largest:g}; expected shares of "
                             "width and height, from 0 to 1")  # fmt: skip
        centred = found.title == openpose.TITLE and (points[present] < -0.05).mean() > _NEGATIVE / 2
        points = (points + 1) / 2 * scale if centred else points * scale
        points = np.where(present[..., None], points, 0).astype(np.float32)
        if not found.normalised:
            notes.append("coordinates are shares of width and height")
    outside = _share_outside(points[present], size)
    if outside > _OUTSIDE:
        reach = points[present].max(0)
        turned = _share_outside(points[present], size[::-1]) < 0.1
        hint = f"; {size[1]}x{size[0]}?" if turned else ""
        raise InputError(f"{found.where}: {outside:.0%} of the keypoints lie outside a picture of "
                         f"{size[0]}x{size[1]}, they reach x = {reach[0]:g}, y = {reach[1]:g}"
                         f"{hint}")  # fmt: skip
    if outside > 0.1:
        notes.append(f"{outside:.0%} of the keypoints lie outside a picture of {size[0]}x{size[1]}")
    return points.copy() if points is found.points else points


def _without_strays(
    found: Detections, pixels: np.ndarray, size: tuple[int, int], notes: list[str]
) -> Detections:
    """The detections without keypoints that are nowhere near the picture."""
    middle = np.array(size) / 2
    stray = (np.abs(pixels - middle) > _STRAY * max(size)).any(-1) & (found.confidence > 0)
    if not stray.any():
        return found
    notes.append(f"{int(stray.sum())} keypoints far outside the picture count as missing")
    return dataclasses.replace(found, confidence=np.where(stray, np.float32(0), found.confidence))


def _share_outside(points: np.ndarray, size: tuple[int, int]) -> float:
    beyond = (points < -0.02 * max(size)) | (points > np.array(size) * 1.02)
    return float(beyond.any(-1).mean())
