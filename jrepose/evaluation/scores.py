"""Scores of predictions: per action, per joint, visible and occluded, depth order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from jrepose import metrics
from jrepose.data.dataset import PoseDataset, Video
from jrepose.errors import InputError
from jrepose.evaluation.protocol import FrameErrors, score_frames

Scores = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an evaluation found.

    Keys of the scores, in mm unless said otherwise:

    - `mpjpe`, `pa_mpjpe`, `n_mpjpe`: position error as it is, after Procrustes alignment, after
      scaling; all joints, the root (whose error is zero) included, as the papers count.
    - `mpjve`: velocity error, mm per frame, never across two videos or an invalid frame.
    - `mpjpe_visible`, `mpjpe_occluded`: position error of joints that the camera sees and does
      not see, without the root.
    - `pck`, `auc`: percent, without the root (150 mm; 0, 5, ..., 150 mm).
    - `spatial_order`, `temporal_order`: percent of the pairs of joints within a frame, and of
      the pairs of frames of a joint within a clip's length, whose depth order is right;
      `..._occluded`: of the pairs with an occluded joint.

    Where clips overlap and errors are averaged, the three position errors are means over the
    clips and all else is computed from the mean prediction.

    Args:
        scores: mean over actions of each action's score, every action weighing the same;
            an action with nothing to count for a score is left out of that mean.
        per_action: the same keys and `frames`, the number of scored frames, for each action.
        per_joint: `mpjpe`, `pa_mpjpe`, `mpjpe_visible`, `mpjpe_occluded`, `temporal_order` and
            `occluded` (percent of frames) for each joint, over all frames alike.
        per_frame: predictions and errors of every frame.
        settings: the choices that the scores depend on; plain values.
    """

    scores: Scores
    per_action: Mapping[str, Scores]
    per_joint: Mapping[str, Scores]
    per_frame: FrameErrors
    settings: Mapping[str, Any]


def evaluate_predictions(
    dataset: PoseDataset,
    predictions: Float32[np.ndarray, "clips frames joints 3"],
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    *,
    target: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """Scores predictions of clips, whoever made them.

    Args:
        dataset: what the clips were cut from.
        predictions: poses in the normalised screen units of `dataset.model_targets()`.
        index: frames of each clip.
        counted: entries that are scored, see `counted_entries`.
        target: ground truth, `"image"` or `"camera"`, see `score_frames`.
        settings: further choices to note in the result.

    Raises:
        InputError: no frame can be scored.
    """
    frames = score_frames(dataset, predictions, index, counted, target)
    if not frames.evaluated.any():
        raise InputError(
            f"no frame to score: of {dataset.frames} frames {int(dataset.valid.sum())} are valid "
            f"and {len(np.unique(index[counted]))} are covered by clips"
        )
    tallies = [_tally(dataset, video, frames, index.shape[1]) for video in dataset.videos]
    by_action: dict[str, list[_Tally]] = {}
    for video, tally in zip(dataset.videos, tallies, strict=True):
        by_action.setdefault(video.action, []).append(tally)
    sums = {action: _add(by_action[action]) for action in sorted(by_action)}
    per_action = {action: _means(tally, _SCORES) for action, tally in sums.items()}
    scores = {}
    for name in _SCORES:
        counted_actions = [action for action in sums if sums[action][name][1].sum()]
        values = [per_action[action][name] for action in counted_actions]
        scores[name] = float(np.mean(values)) if values else float("nan")
    for action, tally in sums.items():
        per_action[action]["frames"] = int(tally["mpjpe"][1, 0])
    overall = _add(tallies)
    per_joint = {
        joint: _means(overall, _JOINT_SCORES, position)
        for position, joint in enumerate(dataset.skeleton.joint_names)
    }
    return EvaluationResult(
        scores=scores,
        per_action=per_action,
        per_joint=per_joint,
        per_frame=frames,
        settings={
            **(settings or {}),
            "target": target,
            "frames": dataset.frames,
            "scored_frames": int(frames.evaluated.sum()),
            "videos": len(dataset.videos),
        },
    )


_SCORES = (
    "mpjpe", "pa_mpjpe", "n_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded", "pck", "auc",
    "spatial_order", "temporal_order", "spatial_order_occluded", "temporal_order_occluded",
)  # fmt: skip
_JOINT_SCORES = (
    "mpjpe", "pa_mpjpe", "mpjpe_visible", "mpjpe_occluded", "temporal_order", "occluded",
)  # fmt: skip

_Tally = dict[str, Float64[np.ndarray, "2 _"]]
"""Name of a score -> its sum and count, per joint where it has joints."""


def _tally(dataset: PoseDataset, video: Video, errors: FrameErrors, clip_frames: int) -> _Tally:
    """Adds up everything that is scored in one video."""
    rows = slice(video.start, video.stop)
    poses, targets = errors.poses_mm[rows], errors.targets_mm[rows]
    visible = dataset.visible[rows]
    scored = np.broadcast_to(errors.evaluated[rows, None], visible.shape)
    moving = scored[1:] & scored[:-1]
    # The root's error is zero by construction; as the papers do, it is left in MPJPE only.
    not_root = scored & (np.arange(dataset.skeleton.num_joints) != dataset.skeleton.root)
    position = errors.mpjpe[rows]

    def add(values, mask):
        return np.stack([np.where(mask, values, 0.0).sum(0), mask.sum(0)])

    def percent_of_pairs(counts):
        right, compared = counts
        return np.stack([100.0 * right, compared]).reshape(2, -1)

    def spatial(mask):
        counts = metrics.spatial_depth_order_counts(poses, targets, mask)
        return percent_of_pairs([count.sum() for count in counts])

    def temporal(mask):
        clips = (_in_clips(array, clip_frames) for array in (poses, targets, mask))
        counts = metrics.temporal_depth_order_counts(*clips)
        return percent_of_pairs([count.sum(0) for count in counts])

    spatial_all, temporal_all = spatial(scored), temporal(scored)
    return {
        "mpjpe": add(position, scored),
        "pa_mpjpe": add(errors.pa_mpjpe[rows], scored),
        "n_mpjpe": add(errors.n_mpjpe[rows], scored),
        "mpjve": add(metrics.mpjve(poses, targets, reduction="none"), moving),
        "mpjpe_visible": add(position, not_root & visible),
        "mpjpe_occluded": add(position, not_root & ~visible),
        "occluded": add(100.0 * ~visible, scored),
        "pck": add(metrics.pck(poses, targets, reduction="none"), not_root),
        "auc": add(metrics.auc(poses, targets, reduction="none"), not_root),
        "spatial_order": spatial_all,
        "temporal_order": temporal_all,
        # Pairs with an occluded joint: all pairs but those of two visible joints.
        "spatial_order_occluded": spatial_all - spatial(scored & visible),
        "temporal_order_occluded": temporal_all - temporal(scored & visible),
    }


def _in_clips(array: np.ndarray, clip_frames: int) -> np.ndarray:
    """A video's frames as consecutive clips, the last one filled up with zeros (False)."""
    padding = [(0, -len(array) % clip_frames)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, padding).reshape(-1, clip_frames, *array.shape[1:])


def _add(tallies: Sequence[_Tally]) -> _Tally:
    return {name: np.sum([tally[name] for tally in tallies], axis=0) for name in tallies[0]}


def _means(tally: _Tally, names: Sequence[str], joint: int | None = None) -> dict[str, float]:
    """Sums over counts, of all joints together or of one; NaN where nothing was counted."""
    means = {}
    for name in names:
        total, count = tally[name].sum(-1) if joint is None else tally[name][:, joint]
        means[name] = float(total / count) if count else float("nan")
    return means
