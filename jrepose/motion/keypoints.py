"""The keypoints of the people in a detector's file: pixels, joint order and picture size."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from jrepose.errors import InputError
from jrepose.motion.image_points import (
    NORMALISED,
    check_in_plane,
    check_inside,
    largest_coordinate,
    without_strays,
)
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

_CENTRED = 0.1  # share of coordinates below 0, of OpenPose's from -1 to 1
_COCO = (alphapose.TITLE, coco.TITLE, mmpose.TITLE, ultralytics.TITLE, videopose3d.TITLE)
"""Tools whose 17 keypoints are COCO's unless their geometry says otherwise."""


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
    confidence, strays = without_strays(pixels, found.confidence, size)
    notes += strays
    found = dataclasses.replace(found, confidence=confidence)
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
    if found.title != openpose.TITLE or np.abs(values).max() > 1:  # which may be from -1 to 1
        check_in_plane(values, found.where, "pixels, or shares of width and height")
    return largest_coordinate(values)


def _pixels(found: Detections, size: tuple[int, int], notes: list[str]) -> np.ndarray:
    """The points in pixels; refuses what is no picture's, or another picture's."""
    present = found.confidence > 0
    largest = _check_image(found.points, found.confidence, found)
    scale = np.array(size, np.float32)
    points = found.points
    if found.normalised or (found.normalised is None and largest <= NORMALISED):
        if found.normalised and largest > 2 * NORMALISED:
            raise InputError(f"{found.where}: coordinates up to {largest:g}; expected shares of "
                             "width and height, from 0 to 1")  # fmt: skip
        centred = found.title == openpose.TITLE and (points[present] < -0.05).mean() > _CENTRED
        points = (points + 1) / 2 * scale if centred else points * scale
        points = np.where(present[..., None], points, 0).astype(np.float32)
        if not found.normalised:
            notes.append("coordinates are shares of width and height")
    outside = check_inside(points[present], size, found.where)
    if outside > 0.1:
        notes.append(f"{outside:.0%} of the keypoints lie outside a picture of {size[0]}x{size[1]}")
    return points.copy() if points is found.points else points
