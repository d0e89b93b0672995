"""Metrics of 3D human pose, in NumPy: position, velocity, thresholds, depth order, movement.

Poses are arrays `[..., frames, joints, 3]` (x right, y down, z away from the camera) in any one
unit, millimetres where a threshold is involved.  Everything is computed in float64.  Poses are
compared as given: subtract the root first where the protocol asks for it.

Masks are boolean and broadcast against `[..., frames, joints]`; False entries are left out of
the mean.  The mean of nothing is NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from jrepose.errors import InputError

Poses = Float[np.ndarray, "*frames joints 3"]
Mask = Bool[np.ndarray, "..."]
Values = Float[np.ndarray, "..."]
Reduction = Literal["mean", "frame", "joint", "none"]
"""What to average over: everything, the joints of a frame, the frames of a joint, nothing."""

AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)

_HIGHER_IS_BETTER = (
    "pck",
    "auc",
    "spatial_order",
    "temporal_order",
    "ap",
    "ar",
    "pck_box",
    "pck_image",
)


def higher_is_better(score: str) -> bool:
    """Which way is up for a score: the percentages grow, errors and losses shrink."""
    return score.removesuffix("_occluded") in _HIGHER_IS_BETTER


def mpjpe(
    predicted: Poses, target: Poses, mask: Mask | None = None, reduction: Reduction = "mean"
) -> float | Values:
    """Mean per-joint position error (Ionescu et al. 2014; "Protocol 1").

    Args:
        predicted, target: poses.
        mask: entries that count; all by default.
        reduction: `"mean"` gives a float, `"frame"` `[*frames]`, `"joint"` `[joints]` and
            `"none"` the distances `[*frames, joints]`.
    """
    return _reduce(_distances(predicted, target), mask, reduction)


def pa_mpjpe(
    predicted: Poses, target: Poses, mask: Mask | None = None, reduction: Reduction = "mean"
) -> float | Values:
    """MPJPE after the best similarity transform of each frame ("P-MPJPE", "Protocol 2").

    The alignment always uses all joints; `mask` only selects the errors that count.  A frame
    that `procrustes_align` cannot align has the error NaN.
    """
    return _reduce(_distances(procrustes_align(predicted, target), target), mask, reduction)


def n_mpjpe(
    predicted: Poses, target: Poses, mask: Mask | None = None, reduction: Reduction = "mean"
) -> float | Values:
    """MPJPE after the best scale of each frame (Rhodin et al. 2018).

    The scale minimises the squared error over all joints; a prediction that is exactly zero
    has no scale, its error is NaN.
    """
    predicted, target = _same_shapes(predicted, target)
    overlap = (predicted * target).sum((-2, -1), keepdims=True)
    energy = (predicted * predicted).sum((-2, -1), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = predicted * (overlap / energy)
    return _reduce(_distances(scaled, target), mask, reduction)


def mpjve(
    predicted: Poses, target: Poses, mask: Mask | None = None, reduction: Reduction = "mean"
) -> float | Values:
    """Mean per-joint velocity error: MPJPE of the frame differences (Pavllo et al. 2019).

    The unit is that of the poses per frame.  Call it per video, so that no difference spans a
    cut; a single frame has no velocity (NaN).

    Args:
        predicted, target: poses; differences are along the axis before the joints.
        mask: entries that count; a difference counts if both of its frames do.
        reduction: as for `mpjpe`, over the `frames - 1` differences.
    """
    predicted, target = _same_shapes(predicted, target)
    if mask is not None:
        mask = np.broadcast_to(mask, target.shape[:-1])
        mask = mask[..., 1:, :] & mask[..., :-1, :]
    errors = _distances(np.diff(predicted, axis=-3), np.diff(target, axis=-3))
    return _reduce(errors, mask, reduction)


def pck(
    predicted: Poses,
    target: Poses,
    mask: Mask | None = None,
    threshold_mm: float = 150.0,
    reduction: Reduction = "mean",
) -> float | Values:
    """Percentage of correct keypoints: errors strictly below the threshold.

    Mehta et al. 2017 score 14 joints, without pelvis, spine and head centre: mask the others.
    """
    return _reduce(100.0 * (_distances(predicted, target) < threshold_mm), mask, reduction)


def auc(
    predicted: Poses, target: Poses, mask: Mask | None = None, reduction: Reduction = "mean"
) -> float | Values:
    """Area under the PCK curve in percent: plain mean over the thresholds 0, 5, ..., 150 mm.

    The threshold 0 is one of the 31 and always fails, so the maximum is 96.77 (the official
    MATLAB evaluation of MPI-INF-3DHP).
    """
    below = np.searchsorted(AUC_THRESHOLDS_MM, _distances(predicted, target), side="right")
    passed = len(AUC_THRESHOLDS_MM) - below
    return _reduce(100.0 * passed / len(AUC_THRESHOLDS_MM), mask, reduction)


def procrustes_align(predicted: Poses, target: Poses) -> Poses:
    """Predictions moved, rotated and scaled onto their targets, each frame by itself.

    The similarity transform that minimises the squared error; reflections are excluded
    (Umeyama 1991).  A frame in which either pose has all joints at one point (up to
    rounding), or is not finite, has no such transform: its result is NaN (the official code
    raises).
    """
    predicted, target = _same_shapes(predicted, target)
    target_mean = target.mean(-2, keepdims=True)
    centred_target = target - target_mean
    centred = predicted - predicted.mean(-2, keepdims=True)
    target_norm = np.sqrt((centred_target**2).sum((-2, -1), keepdims=True))
    norm = np.sqrt((centred**2).sum((-2, -1), keepdims=True))
    spread = _has_spread(predicted, norm) & _has_spread(target, target_norm)
    defined = spread & np.isfinite(norm * target_norm)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.swapaxes(centred_target / target_norm, -1, -2) @ (centred / norm)
    # The SVD raises on NaN: undefined frames get a stand-in and are blanked at the end.
    u, singular, vt = np.linalg.svd(np.where(defined, correlation, np.eye(3)))
    proper = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)[..., None]
    vt[..., 2, :] *= proper
    singular[..., 2:] *= proper
    rotation = np.swapaxes(u @ vt, -1, -2)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = singular.sum(-1)[..., None, None] * target_norm / norm
        aligned = scale * (centred @ rotation) + target_mean
    return np.where(defined, aligned, np.nan)


def _has_spread(poses: Poses, norm: Values) -> Mask:
    """Whether a pose is more than one point, whose rounded mean leaves 1e-16 of its distance."""
    return norm > 1e-10 * np.abs(poses).max((-2, -1), keepdims=True, initial=0.0)


def movement_range(
    keypoints: Float[np.ndarray, "*clips frames joints 2"],
) -> Float[np.ndarray, "*clips"]:
    """Mean distance of a clip's joints from where they are in its central frame.

    Shan et al. 2021, Eq. 15; the central frame, with distance 0, counts too.

    Args:
        keypoints: in any unit; frame `frames // 2` is the central one.
    """
    keypoints = np.asarray(keypoints, np.float64)
    centre = keypoints.shape[-3] // 2
    moved = keypoints - keypoints[..., centre : centre + 1, :, :]
    return np.linalg.norm(moved, axis=-1).mean((-2, -1))


def equal_subsets(values: Float[np.ndarray, " items"], count: int) -> Int[np.ndarray, " items"]:
    """Number of the subset of each item, by ascending value, in subsets of equal size.

    Where the items do not divide, the first subsets have one more; ties stay in order.
    """
    subsets = np.empty(len(values), np.int64)
    order = np.argsort(values, kind="stable")
    for number, members in enumerate(np.array_split(order, count)):
        subsets[members] = number
    return subsets


def spatial_depth_order_accuracy(
    predicted: Poses,
    target: Poses,
    mask: Mask | None = None,
    involving: Mask | None = None,
    margin_mm: float = 0.0,
) -> float:
    """Percentage of joint pairs within a frame whose depth order is predicted right.

    This is what RePOSE's spatial ranking loss (Sun et al. 2024, Eq. 2) trains.  Only pairs
    whose target depths differ by more than `margin_mm` are compared, so ties in the target
    never count; a tie in the prediction is wrong.

    Args:
        predicted, target: poses.
        mask: joints that take part; all by default.
        involving: if given, only pairs in which at least one joint is marked here.
        margin_mm: smallest depth difference, exclusive, in the unit of the poses.
    """
    return _accuracy(spatial_depth_order_counts, predicted, target, mask, involving, margin_mm)


def temporal_depth_order_accuracy(
    predicted: Poses,
    target: Poses,
    mask: Mask | None = None,
    involving: Mask | None = None,
    margin_mm: float = 0.0,
) -> float:
    """Percentage of frame pairs of a joint whose depth order is predicted right.

    This is what RePOSE's temporal ranking loss (Sun et al. 2024, Eq. 3) trains.  All pairs of
    frames along the axis before the joints are compared: pass one video, or clips
    `[clips, frames, joints, 3]`.  Arguments as in `spatial_depth_order_accuracy`.
    """
    return _accuracy(temporal_depth_order_counts, predicted, target, mask, involving, margin_mm)


def spatial_depth_order_counts(
    predicted: Poses, target: Poses, mask: Mask | None = None, margin_mm: float = 0.0
) -> tuple[Int[np.ndarray, "*frames"], Int[np.ndarray, "*frames"]]:
    """Joint pairs per frame: (ordered right, compared); see `spatial_depth_order_accuracy`."""
    depth, target_depth, mask = _depths(predicted, target, mask)
    return _count_ordered_pairs(depth, target_depth, mask, margin_mm)


def temporal_depth_order_counts(
    predicted: Float[np.ndarray, "*batch frames joints 3"],
    target: Float[np.ndarray, "*batch frames joints 3"],
    mask: Mask | None = None,
    margin_mm: float = 0.0,
) -> tuple[Int[np.ndarray, "*batch joints"], Int[np.ndarray, "*batch joints"]]:
    """Frame pairs per joint: (ordered right, compared); see `temporal_depth_order_accuracy`."""
    depths = _depths(predicted, target, mask)
    depth, target_depth, mask = (np.swapaxes(array, -1, -2) for array in depths)
    return _count_ordered_pairs(depth, target_depth, mask, margin_mm)


def _same_shapes(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64; NumPy would repeat one pose, or one joint, to the size of the other."""
    predicted, target = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if predicted.shape != target.shape or predicted.shape[-1:] != (3,) or predicted.ndim < 2:
        raise InputError(
            f"predicted poses {list(predicted.shape)} and target poses {list(target.shape)}; "
            "expected the same shape [..., joints, 3]"
        )
    return predicted, target


def _distances(predicted: Poses, target: Poses) -> Float[np.ndarray, "*frames joints"]:
    predicted, target = _same_shapes(predicted, target)
    difference = predicted - target
    return np.sqrt((difference**2).sum(-1))


def _reduce(
    errors: Float[np.ndarray, "*frames joints"], mask: Mask | None, reduction: Reduction
) -> float | Values:
    counts = np.ones(errors.shape, bool) if mask is None else np.broadcast_to(mask, errors.shape)
    if reduction == "none":
        return np.where(counts, errors, np.nan)
    axis = {"mean": None, "frame": -1, "joint": tuple(range(errors.ndim - 1))}[reduction]
    total = np.where(counts, errors, 0.0).sum(axis)
    with np.errstate(invalid="ignore"):
        mean = total / counts.sum(axis)
    return float(mean) if reduction == "mean" else mean


def _accuracy(counts, predicted, target, mask, involving, margin_mm) -> float:
    right, compared = (array.sum() for array in counts(predicted, target, mask, margin_mm))
    if involving is not None:
        # Pairs with a marked joint are all pairs less the pairs among unmarked ones.
        unmarked = ~involving if mask is None else mask & ~involving
        rest_right, rest = (a.sum() for a in counts(predicted, target, unmarked, margin_mm))
        right, compared = right - rest_right, compared - rest
    return float(100.0 * right / compared) if compared else float("nan")


def _depths(predicted, target, mask):
    predicted, target = _same_shapes(predicted, target)
    depth, target_depth = predicted[..., 2], target[..., 2]
    mask = np.ones(depth.shape, bool) if mask is None else np.broadcast_to(mask, depth.shape)
    return depth, target_depth, mask


def _count_ordered_pairs(
    predicted: Float[np.ndarray, "*batch items"],
    target: Float[np.ndarray, "*batch items"],
    mask: Bool[np.ndarray, "*batch items"],
    margin: float,
) -> tuple[Int[np.ndarray, "*batch"], Int[np.ndarray, "*batch"]]:
    """Pairs of items with `target_m < target_n - margin`: (with `predicted_m < predicted_n`, all).

    Counting dominated points with a wavelet matrix: O(items log items) time, O(items) memory.
    """
    shape, items = predicted.shape[:-1], predicted.shape[-1]
    predicted, target, mask = (a.reshape(-1, items) for a in (predicted, target, mask))
    mask = mask & np.isfinite(target)
    # Items that are left out lie infinitely far away, behind the end of every prefix below.
    target = np.where(mask, target, np.inf)

    # The partners m of item n are the first `end` items in order of target depth; of those,
    # the ones whose rank by predicted depth is below `limit` are ordered right.
    end = np.where(mask, _count_below(target, target - margin), 0)
    limit = np.where(np.isnan(predicted), 0, _count_below(predicted, predicted))
    rank = np.empty(predicted.shape, np.int32)
    by_prediction = np.argsort(predicted, axis=-1, kind="stable")
    np.put_along_axis(rank, by_prediction, np.arange(items, dtype=np.int32)[None], axis=-1)
    ranks = np.take_along_axis(rank, np.argsort(target, axis=-1, kind="stable"), axis=-1)

    compared = end.sum(-1, dtype=np.int64)
    right = np.zeros(len(ranks), np.int64)
    start = np.zeros_like(end)
    for bit in reversed(range(items.bit_length())):
        # Within the range start:end of items that share the higher bits of the limit, a
        # cleared bit under a set bit of the limit means a smaller rank.
        is_set = (ranks >> bit) & 1
        set_before = np.zeros((len(ranks), items + 1), np.int32)
        np.cumsum(is_set, axis=-1, out=set_before[:, 1:])
        cleared = items - set_before[:, -1:]
        set_start = np.take_along_axis(set_before, start, axis=-1)
        set_end = np.take_along_axis(set_before, end, axis=-1)
        descend_set = (limit >> bit) & 1 == 1
        smaller = (end - set_end) - (start - set_start)
        right += np.where(descend_set, smaller, 0).sum(-1, dtype=np.int64)
        start = np.where(descend_set, cleared + set_start, start - set_start)
        end = np.where(descend_set, cleared + set_end, end - set_end)
        # Stable partition for the next bit: cleared first, then set.
        position = np.where(
            is_set, cleared + set_before[:, :-1], np.arange(items) - set_before[:, :-1]
        )
        partitioned = np.empty_like(ranks)
        np.put_along_axis(partitioned, position, ranks, axis=-1)
        ranks = partitioned
    return right.reshape(shape), compared.reshape(shape)


def _count_below(
    values: Float[np.ndarray, "rows items"], limits: Float[np.ndarray, "rows items"]
) -> Int[np.ndarray, "rows items"]:
    """How many values of the row are strictly below each limit."""
    # Limits come first, so that a stable sort puts them before the values they equal.
    order = np.argsort(np.concatenate([limits, values], axis=-1), axis=-1, kind="stable")
    seen = np.cumsum(order >= limits.shape[-1], axis=-1, dtype=np.int32)
    counts = np.empty_like(seen)
    np.put_along_axis(counts, order, seen, axis=-1)
    return counts[:, : limits.shape[-1]]
