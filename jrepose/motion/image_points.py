"""Whether keypoints are places in a picture of some size: pixels, and confidences of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

from jrepose.data.plausibility import check_confidence
from jrepose.errors import InputError

NORMALISED = 1.5
"""The largest coordinate of what is no pixels but shares of the picture."""

_NEGATIVE = 0.2  # share of coordinates that is more than of people who leave the picture
_STRAY = 1.5  # picture sizes from its middle
_OUTSIDE = 0.5  # share of keypoints beyond a picture of the right size
_MOST_CONFIDENCE = 6.5  # AlphaPose's documentation allows 6 for its COCO models


def largest_coordinate(points: Float[np.ndarray, "points 2"]) -> float:
    """But for one per cent, which may be strays."""
    return float(np.quantile(np.abs(points), 0.99))


def check_in_plane(points: Float[np.ndarray, "points 2"], where: str, expected: str) -> None:
    """Refuses coordinates in space.

    Args:
        points: of any unit.
        where: what the message begins with.
        expected: what it ends with.

    Raises:
        InputError: many are negative.
    """
    if (points < 0).mean() <= _NEGATIVE:
        return
    low, high = points.min(0), points.max(0)
    extent = f"x from {low[0]:.3g} to {high[0]:.3g}, y from {low[1]:.3g} to {high[1]:.3g}"
    in_metres = largest_coordinate(points) < 4
    kind = "world landmarks in metres, or a lifter's units" if in_metres else "3D positions"
    raise InputError(f"{where}: {extent} are no image coordinates ({kind}?); expected {expected}")


def check_inside(points: Float[np.ndarray, "points 2"], size: tuple[int, int], where: str) -> float:
    """The share of points that lie outside of the picture.

    Raises:
        InputError: it is most of them.
    """
    outside = _share_outside(points, size)
    if outside > _OUTSIDE:
        reach = points.max(0)
        turned = _share_outside(points, size[::-1]) < 0.1
        hint = f"; {size[1]}x{size[0]}?" if turned else ""
        raise InputError(f"{where}: {outside:.0%} of the keypoints lie outside a picture of "
                         f"{size[0]}x{size[1]}, they reach x = {reach[0]:g}, y = {reach[1]:g}"
                         f"{hint}")  # fmt: skip
    return outside


def _share_outside(points: np.ndarray, size: tuple[int, int]) -> float:
    beyond = (points < -0.02 * max(size)) | (points > np.array(size) * 1.02)
    return float(beyond.any(-1).mean())


def without_strays(
    points: Float32[np.ndarray, "frames keypoints 2"],
    confidence: Float32[np.ndarray, "frames keypoints"],
    size: tuple[int, int],
) -> tuple[Float32[np.ndarray, "frames keypoints"], list[str]]:
    """The confidences, 0 of what is nowhere near the picture, and a line where something is."""
    middle = np.array(size) / 2
    stray = (np.abs(points - middle) > _STRAY * max(size)).any(-1) & (confidence > 0)
    if not stray.any():
        return confidence, []
    note = f"{int(stray.sum())} keypoints far outside the picture count as missing"
    return np.where(stray, np.float32(0), confidence), [note]


def is_person(
    points: Float[np.ndarray, "frames keypoints 2"],
    present: Bool[np.ndarray, "frames keypoints"],
) -> bool:
    """Whether joints are not all in one place in all frames that have several."""
    several = present.sum(1) > 1
    first = np.take_along_axis(points, present.argmax(1)[:, None, None], axis=1)
    apart = (points != first).any(-1) & present
    return not several.any() or bool(apart[several].any())


def check_detectors_confidence(
    confidence: Float[np.ndarray, "frames keypoints"], where: str
) -> None:
    """Refuses confidences that go far above 1, as those of no detector do.

    Raises:
        InputError: with the remedy.
    """
    if confidence.max(initial=0) > _MOST_CONFIDENCE:
        check_confidence(confidence, where)
