"""Several hypotheses of every pose: the best of them, how far apart they are, what that tells.

| score | what |
|---|---|
| `average` | mean over the hypotheses of each one's MPJPE |
| `p_best` | MPJPE of a pose's best hypothesis (P-Best) |
| `j_best` | of every joint's best, each from whatever hypothesis (J-Best) |
| `j_agg` | of the joints that are seen nearest to their keypoints (J-Agg, JPMA) |
| `pa_average`, `pa_p_best`, `pa_j_best`, `pa_j_agg` | the same after Procrustes alignment |
| `spread` | root mean square distance of the hypotheses from their mean |

The best ones are chosen by the truth and are no prediction; the mean of all is one, and scored as
any.  To see the joints takes cameras, of which there may be none, and the truth's root.  Names as
in D3DP (Shan et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from jrepose.evaluation.protocol import FrameErrors

SCORES = (
    "average", "p_best", "j_best", "j_agg", "pa_average", "pa_p_best", "pa_j_best", "pa_j_agg",
    "spread",
)  # fmt: skip

_BINS = 10


@dataclass(frozen=True, eq=False)
class HypothesisErrors:
    """Every frame's hypotheses; NaN where there is none.

    Args:
        poses_mm: as `FrameErrors.poses_mm`.
        joints: score -> value per joint, mm.
    """

    poses_mm: Float32[np.ndarray, "hypotheses all_frames joints 3"]
    joints: dict[str, Float32[np.ndarray, "all_frames joints"]]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether the spread of the hypotheses says how wrong their mean is.

    Joints are sorted by the error that their spread lets expect, and cut into bins of equal number.
    Of samples of what the joint's position really is distributed by, the mean of N is as far from
    the truth as `sqrt(1 + 1/N)` times their spread, whose squares are divided by N - 1.

    Args:
        expected, found: root mean square of that error and of the error of the mean hypothesis, by
            bin, mm.
        error: mean over the bins of the difference of both, mm.
        overconfidence: error over expected error, over all joints; above 1 the hypotheses are too
            close together.
        rank_correlation: Spearman's, between spread and error of single joints.
    """

    expected: Float64[np.ndarray, " bins"]
    found: Float64[np.ndarray, " bins"]
    error: float
    overconfidence: float
    rank_correlation: float


Nearest = Callable[
    [Float32[np.ndarray, "hypotheses all_frames joints 3"]], Int[np.ndarray, "all_frames joints"]
]
"""Of root-relative poses, mm: the hypothesis of each joint that is seen nearest to its keypoint."""


def hypothesis_errors(
    errors: Iterable[FrameErrors], nearest: Nearest | None = None
) -> HypothesisErrors:
    """From the errors of each hypothesis; two at the least.

    Args:
        errors: of every hypothesis as if it were the prediction.  They are gone through once.
        nearest: for `j_agg`, which is left out without.
    """
    kept = [(one.poses_mm, one.mpjpe, one.pa_mpjpe) for one in errors]
    poses, *distances = (np.stack(arrays) for arrays in zip(*kept, strict=True))
    apart = np.square(poses - poses.mean(0, keepdims=True)).sum(-1)
    found = {"spread": np.sqrt(apart.sum(0) / max(len(poses) - 1, 1))}
    seen = None if nearest is None else nearest(poses)[None]
    for prefix, joints in zip(("", "pa_"), distances, strict=True):
        # One hypothesis that is NaN is the least, and makes the best NaN: it is not to be hidden.
        best = joints.mean(-1, keepdims=True).argmin(0, keepdims=True)
        found |= {
            f"{prefix}average": joints.mean(0),
            f"{prefix}p_best": np.take_along_axis(joints, best, axis=0)[0],
            f"{prefix}j_best": joints.min(0),
        }
        if seen is not None:
            found[f"{prefix}j_agg"] = np.take_along_axis(joints, seen, axis=0)[0]
    return HypothesisErrors(poses, {name: found[name] for name in SCORES if name in found})


def calibration(
    hypotheses: HypothesisErrors,
    error_mm: Float[np.ndarray, "all_frames joints"],
    counted: Bool[np.ndarray, "all_frames joints"],
) -> Calibration | None:
    """Spread beside error.

    Args:
        hypotheses: of every frame.
        error_mm: of their mean.
        counted: joints that are looked at.

    Returns:
        None where there are fewer joints than bins.
    """
    from scipy.stats import spearmanr  # slow to import, and most runs score no hypotheses

    factor = np.sqrt(1 + 1 / len(hypotheses.poses_mm))
    expected = factor * hypotheses.joints["spread"].astype(np.float64)
    counted = counted & np.isfinite(expected) & np.isfinite(error_mm)
    expected, found = expected[counted], error_mm[counted].astype(np.float64)
    if len(expected) < _BINS:
        return None
    bins = np.array_split(np.argsort(expected, kind="stable"), _BINS)
    of_bins = [np.array([_rms(values[chosen]) for chosen in bins]) for values in (expected, found)]
    varies = np.ptp(expected) > 0 and np.ptp(found) > 0
    with np.errstate(divide="ignore"):
        return Calibration(
            *of_bins,
            error=float(np.abs(of_bins[1] - of_bins[0]).mean()),
            overconfidence=float(np.float64(_rms(found)) / _rms(expected)),
            rank_correlation=float(spearmanr(expected, found)[0]) if varies else float("nan"),
        )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
