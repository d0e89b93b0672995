"""What a depth ranking loss does to the predicted depths, beside what MPJPE does.  Plain NumPy.

A ranking loss looks at the pairs of a list of depths: the joints of a frame (spatial) or the
frames of a joint (temporal).  A pair whose true depths differ is ordered; one that is predicted
the other way round is wrong, and only wrong pairs pull: the nearer one towards the camera, the
other away from it, each with the same force whatever their distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jrepose.interop.gradients.measures import cosine, relative_error

AXES: Mapping[str, int] = {"spatial_ranking": -1, "temporal_ranking": -2}
"""Ranking loss -> axis of `[batch, frames, joints]` whose entries it compares."""

BINS = 10
_PAIRS_AT_ONCE = 4_000_000

Poses = Float[np.ndarray, "batch frames joints 3"]
Depths = Float[np.ndarray, "batch frames joints"]
PairsPerDepth = Int[np.ndarray, "batch frames joints"]


class Pairs(NamedTuple):
    """The pairs of a batch.

    Args:
        all: in the loss's divisor: both orders of every pair, and every depth with itself.
        ordered: pairs whose true depths differ.
        wrong: those that are predicted the other way round; the active ones.
        tied: those that are predicted at equal depth; they pass half a gradient.
    """

    all: int
    ordered: int
    wrong: int
    tied: int


@dataclass(frozen=True, eq=False)
class Push:
    """How a loss term's gradient lies over the depths.

    Args:
        per_joint: mean |d term / d depth| of every joint, with the term's weight.
        by_wrong_share: the same for depths by the share of their ordered pairs that is wrong,
            in `BINS` equal bins over [0, 1]; nan for empty bins.
        on_wrong: share of the sum that lies on depths with at least one wrong pair.
        on_worst: share of the sum that lies on the tenth of the depths with most wrong pairs.
        half: smallest share of the depths that together hold half of the sum.
        correlation: Pearson's, between |gradient| and the number of wrong pairs.
    """

    per_joint: Float[np.ndarray, " joints"]
    by_wrong_share: Float[np.ndarray, " bins"]
    on_wrong: float
    on_worst: float
    half: float
    correlation: float


@dataclass(frozen=True, eq=False)
class RankingLens:
    """One ranking loss under the lens, at our predictions.

    Args:
        name: of the loss.
        pairs: the batch's pairs.
        depths_wrong: share of the depths that are in at least one wrong pair.
        depths_per_bin: how many depths are in each bin of `Push.by_wrong_share`.
        wrong_per_joint: share of every joint's ordered pairs that is wrong.
        ranking, mpjpe: what the two losses do to the depths; both with their weights.
        agreement: cosine between the two losses' depth gradients.
        same_way: share of the depths pushed by both that they push the same way.
        decided_differently: pairs that PyTorch's predictions order otherwise than ours.
        relative: relative distance between JAX's and PyTorch's depth gradient of this loss, at
            the same poses.
    """

    name: str
    pairs: Pairs
    depths_wrong: float
    depths_per_bin: Int[np.ndarray, " bins"]
    wrong_per_joint: Float[np.ndarray, " joints"]
    ranking: Push
    mpjpe: Push | None
    agreement: float
    same_way: float
    decided_differently: int
    relative: float


def inspect_ranking(
    name: str,
    poses: Poses,
    targets: Poses,
    gradient: Depths,
    gradient_torch: Depths,
    mpjpe_gradient: Depths | None,
    poses_torch: Poses,
) -> RankingLens:
    """Looks at one ranking loss.

    Args:
        name: a key of `AXES`.
        poses, targets: our predictions and the labels.
        gradient, gradient_torch: of the weighted loss with respect to the depths of `poses`,
            from both frameworks.
        mpjpe_gradient: the same of the weighted MPJPE; None where the objective has none.
        poses_torch: PyTorch's predictions.
    """
    axis = AXES[name]
    pairs, wrong, ordered = count_pairs(poses[..., 2], targets[..., 2], axis)
    share = wrong / np.maximum(ordered, 1)
    bins = np.minimum((share * BINS).astype(int), BINS - 1)
    other = np.zeros_like(gradient) if mpjpe_gradient is None else mpjpe_gradient
    both = (gradient != 0) & (other != 0)
    return RankingLens(
        name=name,
        pairs=pairs,
        depths_wrong=float(np.mean(wrong > 0)),
        depths_per_bin=np.bincount(bins.ravel(), minlength=BINS),
        wrong_per_joint=wrong.sum((0, 1)) / np.maximum(ordered.sum((0, 1)), 1),
        ranking=_push(gradient, wrong, bins),
        mpjpe=None if mpjpe_gradient is None else _push(mpjpe_gradient, wrong, bins),
        agreement=cosine(gradient, other),
        same_way=float(np.mean((gradient > 0)[both] == (other > 0)[both])) if both.any() else 0.0,
        decided_differently=_decided_differently(
            poses[..., 2], poses_torch[..., 2], targets[..., 2], axis
        ),
        relative=relative_error(gradient, gradient_torch),
    )


def count_pairs(
    depths: Depths, true_depths: Depths, axis: int
) -> tuple[Pairs, PairsPerDepth, PairsPerDepth]:
    """Counts the pairs along an axis.

    Args:
        depths, true_depths: predicted and true.
        axis: -1 compares the joints of a frame, -2 the frames of a joint.

    Returns:
        The counts, in how many wrong pairs every depth is, and in how many ordered ones.
    """
    lists, truths = (np.moveaxis(x, axis, -1) for x in (depths, true_depths))
    shape, length = lists.shape, lists.shape[-1]
    lists, truths = lists.reshape(-1, length), truths.reshape(-1, length)
    wrong_per_depth, ordered_per_depth = (np.zeros(lists.shape, np.int64) for _ in range(2))
    ordered = wrong = tied = 0
    rows = max(1, _PAIRS_AT_ONCE // length**2)
    for start in range(0, len(lists), rows):
        chunk = slice(start, start + rows)
        is_ordered, is_wrong, is_tied = _pairs(lists[chunk], truths[chunk])
        ordered += int(is_ordered.sum())
        wrong += int(is_wrong.sum())
        tied += int(is_tied.sum())
        wrong_per_depth[chunk] = is_wrong.sum(-1) + is_wrong.sum(-2)
        ordered_per_depth[chunk] = is_ordered.sum(-1) + is_ordered.sum(-2)
    per_depth = (
        np.moveaxis(counts.reshape(shape), -1, axis)
        for counts in (wrong_per_depth, ordered_per_depth)
    )
    return Pairs(lists.size * length, ordered, wrong, tied), *per_depth


def _pairs(lists: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pairs of every list are ordered, wrong, tied: `[lists, length, length]` each."""
    ordered = truths[:, :, None] < truths[:, None, :]
    difference = lists[:, :, None] - lists[:, None, :]
    return ordered, ordered & (difference > 0), ordered & (difference == 0)


def _decided_differently(ours: Depths, theirs: Depths, true_depths: Depths, axis: int) -> int:
    """Ordered pairs that are wrong in one prediction and not in the other."""
    ours, theirs, truths = (np.moveaxis(x, axis, -1) for x in (ours, theirs, true_depths))
    length = ours.shape[-1]
    ours, theirs, truths = (x.reshape(-1, length) for x in (ours, theirs, truths))
    count, rows = 0, max(1, _PAIRS_AT_ONCE // length**2)
    for start in range(0, len(ours), rows):
        chunk = slice(start, start + rows)
        wrong, wrong_too = (_pairs(x[chunk], truths[chunk])[1] for x in (ours, theirs))
        count += int(np.sum(wrong != wrong_too))
    return count


def _push(gradient: Depths, wrong: PairsPerDepth, bins: PairsPerDepth) -> Push:
    force = np.abs(gradient.astype(np.float64))
    total = float(force.sum()) or math.nan
    by_wrong = np.argsort(-wrong.ravel(), kind="stable")
    descending = np.sort(force.ravel())[::-1]
    counts = np.bincount(bins.ravel(), minlength=BINS)
    sums = np.bincount(bins.ravel(), force.ravel(), minlength=BINS)
    varies = force.std() > 0 and wrong.std() > 0
    return Push(
        per_joint=force.mean((0, 1)),
        by_wrong_share=np.where(counts > 0, sums / np.maximum(counts, 1), np.nan),
        on_wrong=float(force[wrong > 0].sum()) / total,
        on_worst=float(force.ravel()[by_wrong[: max(1, force.size // 10)]].sum()) / total,
        half=float(np.searchsorted(np.cumsum(descending), total / 2) + 1) / force.size,
        correlation=float(np.corrcoef(force.ravel(), wrong.ravel())[0, 1]) if varies else math.nan,
    )
