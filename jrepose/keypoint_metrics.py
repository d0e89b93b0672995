"""Metrics of 2D keypoints in images, in NumPy: AP and AR by OKS, PCK, squared error.

AP and AR are COCO's keypoint protocol; its ten numbers and their order are `SUMMARY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from jrepose.errors import InputError

COCO_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
    0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
"""How far annotators are apart, for COCO's 17 keypoints in its order."""

HUMAN36M_SIGMAS = (
    0.107, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.107, 0.079, 0.026, 0.035, 0.079, 0.072,
    0.062, 0.079, 0.072, 0.062,
)  # fmt: skip
"""COCO's by anatomy for Human3.6M's joints, our choice.  The multi-view relational detector's
published AP and AR take `COCO_SIGMAS` by number instead, so that the pelvis has the nose's."""

SIGMAS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"anatomy": HUMAN36M_SIGMAS, "coco": COCO_SIGMAS}
)
"""What `config.detection.sigmas` takes."""

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)

AREAS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
"""Name -> smallest and largest area of an object, px²; both count."""

SUMMARY = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")

_DETECTIONS = 20  # of an image that count, those with the highest scores


class Annotated(NamedTuple):
    """The people in a set of images.

    Args:
        keypoints: x, y, px.
        visible: which of them count.  Who has none is ignored, and so is a detection of them.
        area: px².
        box: x, y of the corner, width, height, px.
        image: number of each one's image.
    """

    keypoints: Float[np.ndarray, "people joints 2"]
    visible: Bool[np.ndarray, "people joints"]
    area: Float[np.ndarray, " people"]
    box: Float[np.ndarray, "people 4"]
    image: Int[np.ndarray, " people"]


class Detected(NamedTuple):
    """What was found in them.

    Args:
        keypoints: x, y, px.
        score: how sure it is; of equal ones the earlier counts first.
        image: number of each one's image.
    """

    keypoints: Float[np.ndarray, "detections joints 2"]
    score: Float[np.ndarray, " detections"]
    image: Int[np.ndarray, " detections"]


@dataclass(frozen=True, eq=False)
class Precision:
    """Average precision and recall.

    Args:
        summary: `SUMMARY` -> value; NaN where no one has such an area.
        precision: for people of all areas, at `OKS_THRESHOLDS` and `RECALLS`.
        recall: of all detections, at `OKS_THRESHOLDS`.
    """

    summary: Mapping[str, float]
    precision: Float[np.ndarray, "thresholds recalls"]
    recall: Float[np.ndarray, " thresholds"]


def oks(
    detected: Float[np.ndarray, "detections joints 2"],
    annotated: Annotated,
    sigmas: Float[np.ndarray, " joints"],
) -> Float[np.ndarray, "detections people"]:
    """Object keypoint similarity of every detection with everyone, whatever their images.

    The mean of exp(-d² / (2 (2 sigma)² area)) over the visible keypoints.  Of someone without any,
    d is how far a keypoint is outside of the box enlarged by its own size on each side.
    """
    offset = detected[:, None] - annotated.keypoints[None]
    squared = (offset * offset).sum(-1)
    corner, size = annotated.box[:, None, :2], annotated.box[:, None, 2:]
    places = detected[:, None]
    outside = np.maximum(0, corner - size - places) + np.maximum(0, places - corner - 2 * size)
    unseen = ~annotated.visible.any(-1)
    squared = np.where(unseen[None, :, None], (outside * outside).sum(-1), squared)
    scale = 2 * (2 * np.asarray(sigmas)) ** 2 * (annotated.area[:, None] + np.spacing(1))
    similar = np.exp(-squared / scale[None])
    counts = annotated.visible | unseen[:, None]
    return (similar * counts).sum(-1) / counts.sum(-1)


def average_precision(
    detected: Detected,
    annotated: Annotated,
    sigmas: Float[np.ndarray, " joints"] | tuple[float, ...],
) -> Precision:
    """COCO's AP and AR of keypoints.

    In every image the detections choose, the surest first, the one who is not chosen yet and most
    like them; whoever comes later of equals.  Those without a partner count as wrong, unless the
    box around their keypoints is not of the area that is looked at.

    Args:
        detected: of all images; 20 of each count.
        annotated: of all images.
        sigmas: one for each joint, `COCO_SIGMAS` for instance.

    Raises:
        InputError: other numbers of joints.
    """
    sigmas = np.asarray(sigmas, float)
    joints = {len(sigmas), detected.keypoints.shape[1], annotated.keypoints.shape[1]}
    if len(joints) > 1:
        raise InputError(
            f"{len(sigmas)} sigmas, detections of {detected.keypoints.shape[1]} joints and people "
            f"of {annotated.keypoints.shape[1]}; expected as many of each"
        )
    of_detected, of_annotated = _rows(detected.image), _rows(annotated.image)
    nothing = np.zeros(0, int)
    images = [
        _image(
            Detected(*(array[of_detected.get(number, nothing)] for array in detected)),
            Annotated(*(array[of_annotated.get(number, nothing)] for array in annotated)),
            sigmas,
        )
        for number in sorted({*of_detected, *of_annotated})
    ]
    of_areas = {name: _curves(images, bounds) for name, bounds in AREAS.items()}
    precision, recall = of_areas["all"]
    summary = {"AP": precision.mean(), "AP50": precision[0].mean(), "AP75": precision[5].mean()}
    summary |= {"AP_M": of_areas["medium"][0].mean(), "AP_L": of_areas["large"][0].mean()}
    summary |= {"AR": recall.mean(), "AR50": recall[0], "AR75": recall[5]}
    summary |= {"AR_M": of_areas["medium"][1].mean(), "AR_L": of_areas["large"][1].mean()}
    return Precision({name: float(value) for name, value in summary.items()}, precision, recall)


class _Image(NamedTuple):
    """Detections of an image, the surest first, and the people in it."""

    similarity: np.ndarray
    score: np.ndarray
    found_area: np.ndarray
    area: np.ndarray
    seen: np.ndarray


def _rows(image: Int[np.ndarray, " entries"]) -> dict[int, Int[np.ndarray, " _"]]:
    """The entries of every image, in their order."""
    order = np.argsort(image, kind="stable")
    numbers, starts = np.unique(image[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, starts)[1:], strict=True))


def _image(detected: Detected, people: Annotated, sigmas: np.ndarray) -> _Image:
    found = np.argsort(-detected.score, kind="stable")[:_DETECTIONS]
    keypoints = detected.keypoints[found]
    return _Image(
        oks(keypoints, people, sigmas),
        detected.score[found],
        np.ptp(keypoints, axis=1).prod(-1),
        people.area,
        people.visible.any(-1),
    )


def _curves(images: list[_Image], bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Precision at the thresholds and recalls, and recall at the thresholds."""
    low, high = bounds
    scores, right, wrong, people = [], [], [], 0
    for image in images:
        ignored = ~image.seen | (image.area < low) | (image.area > high)
        partner = _partners(image.similarity, ignored)
        alone = partner < 0
        outside = (image.found_area < low) | (image.found_area > high)
        ignored_one = ~alone & np.append(ignored, False)[partner]
        scores.append(image.score)
        right.append(~alone & ~ignored_one)
        wrong.append(alone & ~outside)
        people += int((~ignored).sum())
    shape = (len(OKS_THRESHOLDS), len(RECALLS))
    if not people:
        return np.full(shape, np.nan), np.full(shape[0], np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate(right, axis=1)[:, order].cumsum(1).astype(float)
    wrong = np.concatenate(wrong, axis=1)[:, order].cumsum(1)
    recall, precision = right / people, right / (right + wrong + np.spacing(1))
    # No lower precision is taken where a higher one comes at a higher recall.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    curves = np.zeros(shape)
    for curve, reached, best in zip(curves, recall, precision, strict=True):
        places = np.searchsorted(reached, RECALLS, side="left")
        curve[places < len(best)] = best[places[places < len(best)]]
    return curves, recall[:, -1] if recall.shape[1] else np.zeros(shape[0])


def _partners(
    similarity: Float[np.ndarray, "detections people"], ignored: Bool[np.ndarray, " people"]
) -> Int[np.ndarray, "thresholds detections"]:
    """Who every detection chooses, -1 for nobody; those who are not ignored first."""
    partner = np.full((len(OKS_THRESHOLDS), len(similarity)), -1)
    for chosen, threshold in zip(partner, OKS_THRESHOLDS, strict=True):
        free = np.ones(len(ignored), bool)
        for detection, row in enumerate(similarity):
            for group in (~ignored, ignored):
                open_ones = np.flatnonzero(free & group & (row >= threshold))
                if len(open_ones):
                    best = open_ones[row[open_ones] == row[open_ones].max()][-1]
                    chosen[detection], free[best] = best, False
                    break
    return partner


class CorrectKeypoints(NamedTuple):
    """Shares of keypoints that are right.

    Args:
        per_joint: of each joint where it is visible; NaN where it never is.
        mean: over the joints that are visible anywhere.
        pooled: of all visible keypoints.
    """

    per_joint: Float[np.ndarray, " joints"]
    mean: float
    pooled: float


def pck(
    predicted: Float[np.ndarray, "people joints 2"],
    target: Float[np.ndarray, "people joints 2"],
    visible: Bool[np.ndarray, "people joints"],
    *,
    threshold: float,
    size: Num[np.ndarray, " people"] | float,
) -> CorrectKeypoints:
    """Keypoints that are less than a share of the size off.

    Args:
        predicted, target: in one unit.
        visible: which count.
        threshold: the share, 0.05 for instance.
        size: of each person or of all, in that unit: the longer side of the box, or the image's.
    """
    distance = np.linalg.norm(predicted - target, axis=-1)
    correct = distance / np.broadcast_to(size, len(distance))[:, None] < threshold
    counts = visible.sum(0)
    hits = (correct & visible).sum(0)
    with np.errstate(invalid="ignore"):
        per_joint = hits / counts
    mean = per_joint[counts > 0].mean() if counts.any() else np.nan
    return CorrectKeypoints(per_joint, float(mean), hits.sum() / max(counts.sum(), 1))


def mean_squared_error(
    predicted: Float[np.ndarray, "people joints 2"],
    target: Float[np.ndarray, "people joints 2"],
    visible: Bool[np.ndarray, "people joints"] | None = None,
) -> float:
    """The mean over all coordinates, or those of the visible keypoints."""
    squared = np.square(predicted - target)
    return float((squared if visible is None else squared[visible]).mean())
