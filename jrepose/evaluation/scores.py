"""Scores of predictions: per action, subject and joint, visible and occluded, depth order."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from jrepose import metrics
from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError, listed
from jrepose.evaluation import hypotheses
from jrepose.evaluation.hypotheses import Calibration, HypothesisErrors
from jrepose.evaluation.protocol import DEFAULT_PROTOCOL, FrameErrors, Protocol, score_frames
from jrepose.evaluation.published import PublishedRow
from jrepose.hypotheses import nearest_in_the_image
from jrepose.skeleton import Skeleton

_LOG = logging.getLogger(__name__)

Scores = Mapping[str, float | int]


@dataclass(frozen=True, eq=False)
class HypothesisResult:
    """What several hypotheses of every pose are worth, beside their mean's scores.

    Args:
        scores: see `evaluation.hypotheses`; mean over actions as in `EvaluationResult`, which it
            goes with.
        per_action: the same for each action.
        per_frame: hypotheses and their errors, of every frame.
        calibration: of all joints but the root; None where there are too few.
    """

    scores: Scores
    per_action: Mapping[str, Scores]
    per_frame: HypothesisErrors
    calibration: Calibration | None


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an evaluation found.

    Keys of the scores, in mm unless said otherwise:

    - `mpjpe`, `pa_mpjpe`, `n_mpjpe`: position error as it is, after Procrustes alignment, after
      scaling; all joints, the root included, as the papers count.  A pose that is one point can
      not be aligned: its frame is named in a warning and left out of the mean of these two.
    - `mpjve`: velocity error, mm per frame, never across two videos or an invalid frame; videos
      weigh by their number of frames, not of velocities, as published.
    - `mpjpe_visible`, `mpjpe_occluded`: position error of joints that the camera sees and does
      not see, without the root.
    - `pck`, `auc`: percent (150 mm; 0, 5, ..., 150 mm), of MPI-INF-3DHP's 14 scored joints, in
      other skeletons of all but the root.
    - `spatial_order`, `temporal_order`: percent of the pairs of joints within a frame, and of
      the pairs of frames of a joint within a clip's length, whose depth order is right;
      `..._occluded`: of the pairs with an occluded joint.

    Where several entries of clips count for a frame, position errors are means over the entries
    and all else is computed from the mean prediction; but if every slot counts, `mpjve` is that
    of the clips laid end to end.

    Args:
        scores: mean over actions of each action's score, every action weighing the same; or
            over each subject's actions.  One with nothing to count for a score is left out of
            that mean, and so is what the protocol excludes.
        scores_of_all: the same with what is excluded; None if nothing is.
        per_action: the same keys and `frames`, the number of scored frames (or slots), for
            each action over all subjects, without what is excluded.
        per_subject: the same for each action of each subject, including what is excluded.
        excluded: (subject, action) of what the means leave out.
        per_joint: `mpjpe`, `pa_mpjpe`, `mpjpe_visible`, `mpjpe_occluded`, `temporal_order` and
            `occluded` (percent of frames) for each joint, over all frames alike.
        per_joint_pair: the same with left and right joints taken together.
        spread: `poses_above_40_mm`, `poses_below_30_mm`: percent of all frames by their MPJPE;
            `joint_variance`: variance of the `mpjpe` of `per_joint_pair` (without a root whose
            error is zero by construction) divided by 10; `action_variance`: variance of
            `mpjpe` over the actions, mm^2.  All as in MixSTE's analyses (Zhang et al. 2022,
            Figures 3 and 4).
        per_frame: predictions and errors of every frame.
        settings: the choices that the scores depend on; plain values.
        published: a row of a paper to compare with.
        hypotheses: where there are several for every pose; all else is of their mean.
    """

    scores: Scores
    scores_of_all: Scores | None
    per_action: Mapping[str, Scores]
    per_subject: Mapping[str, Mapping[str, Scores]]
    excluded: tuple[tuple[str, str], ...]
    per_joint: Mapping[str, Scores]
    per_joint_pair: Mapping[str, Scores]
    spread: Scores
    per_frame: FrameErrors
    settings: Mapping[str, Any]
    published: PublishedRow | None = None
    hypotheses: HypothesisResult | None = None


def evaluate_predictions(
    dataset: PoseDataset,
    predictions: Float32[np.ndarray, "*hypotheses clips frames joints 3"],
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    protocol: Protocol = DEFAULT_PROTOCOL,
    *,
    clip_frames: int | None = None,
    settings: Mapping[str, Any] | None = None,
    published: PublishedRow | None = None,
) -> EvaluationResult:
    """Scores predictions of clips, whoever made them.

    Args:
        dataset: what the clips were cut from.
        predictions: poses in the units of `dataset.model_targets()`; of several hypotheses the
            mean is scored, and what the others are worth is said besides.
        index: frames of each clip.
        counted: entries that are scored, see `counted_entries`.
        protocol: how they are scored.
        clip_frames: within how many frames the order of a joint's depths is compared; None: as
            many as a clip has here.
        settings: further choices to note in the result.
        published: a row of a paper to show beside ours.

    Raises:
        InputError: no frame can be scored, or the dataset does not allow the protocol.
    """
    several = predictions if predictions.ndim == 5 else None
    if several is not None:
        predictions = several.mean(0)
    frames = score_frames(dataset, predictions, index, counted, protocol)
    check_scored(dataset, index, counted, protocol)
    exclude = protocol.exclude
    _name_odd_frames(dataset, frames)
    by_group: dict[_Group, list[_Tally]] = {}
    for number, video in enumerate(dataset.videos):
        tally = _tally(dataset, number, frames, clip_frames or index.shape[1])
        by_group.setdefault((video.subject, video.action), []).append(tally)
    groups = {group: _add(tallies) for group, tallies in sorted(by_group.items())}
    excluded = _excluded_groups(groups, exclude)
    kept = {group: tally for group, tally in groups.items() if group not in excluded}

    actions = _by_action(kept)
    per_action = {action: _scores(tally) for action, tally in actions.items()}
    per_subject: dict[str, dict[str, Scores]] = {}
    for (subject, action), tally in groups.items():
        per_subject.setdefault(subject, {})[action] = _scores(tally)
    overall = _add(list(kept.values()))
    per_joint = {
        joint: _means(overall, _JOINT_SCORES, [position])
        for position, joint in enumerate(dataset.skeleton.joint_names)
    }
    per_joint_pair = {
        name: _means(overall, _JOINT_SCORES, joints)
        for name, joints in _joint_pairs(dataset.skeleton).items()
    }
    return EvaluationResult(
        scores=_mean_scores(kept if protocol.by_subject else actions),
        scores_of_all=(
            _mean_scores(groups if protocol.by_subject else _by_action(groups))
            if excluded
            else None
        ),
        per_action=per_action,
        per_subject=per_subject,
        excluded=excluded,
        per_joint=per_joint,
        per_joint_pair=per_joint_pair,
        spread={
            **_pose_shares(dataset, frames, excluded),
            "joint_variance": _variance(s["mpjpe"] for s in per_joint_pair.values()) / 10,
            "action_variance": _variance(s["mpjpe"] for s in per_action.values()),
        },
        per_frame=frames,
        settings={
            **(settings or {}),
            **dataclasses.asdict(protocol),
            "target": protocol.target_on(dataset),
            "exclude": list(exclude),
            "frames": dataset.frames,
            "scored_frames": int(frames.evaluated.sum()),
            "videos": len(dataset.videos),
            "pck_joints": int(_threshold_joints(dataset.skeleton).sum()),
        },
        published=published,
        hypotheses=None
        if several is None
        else _score_hypotheses(
            dataset,
            hypotheses.hypothesis_errors(
                (score_frames(dataset, one, index, counted, protocol) for one in several),
                _nearest(dataset),
            ),
            frames,
            excluded,
            by_subject=protocol.by_subject,
        ),
    )


def _score_hypotheses(
    dataset: PoseDataset,
    found: HypothesisErrors,
    frames: FrameErrors,
    excluded: Collection[_Group],
    *,
    by_subject: bool,
) -> HypothesisResult:
    """Means of what was found by frame and joint, over the same groups as the other scores."""
    by_group: dict[_Group, list[_Tally]] = {}
    for video in dataset.videos:
        if (video.subject, video.action) in excluded:
            continue
        rows = slice(video.start, video.stop)
        weight = np.broadcast_to(
            frames.weight[rows, None].astype(np.float64), frames.mpjpe[rows].shape
        )
        tally = {}
        for name, values in found.joints.items():
            # A pose that cannot be aligned counts in no aligned score.
            counts = (weight > 0) & ~(
                name.startswith("pa_") & _not_aligned(values[rows], frames.mpjpe[rows])
            )
            weighed = np.where(counts, weight * values[rows], 0.0)
            tally[name] = np.stack([weighed.sum(0), (weight * counts).sum(0)])
        by_group.setdefault((video.subject, video.action), []).append(tally)
    groups = {group: _add(tallies) for group, tallies in sorted(by_group.items())}
    actions, names = _by_action(groups), tuple(found.joints)
    counted = np.repeat(frames.evaluated[:, None], dataset.skeleton.num_joints, axis=1)
    counted[:, dataset.skeleton.root] = False
    return HypothesisResult(
        scores=_mean_scores(groups if by_subject else actions, names),
        per_action={action: _means(tally, names) for action, tally in actions.items()},
        per_frame=found,
        calibration=hypotheses.calibration(found, frames.mpjpe, counted),
    )


def _nearest(dataset: PoseDataset) -> hypotheses.Nearest | None:
    """Takes every joint where it is seen; None where nothing says how it is seen."""
    if (
        dataset.target_space == "image"
        or dataset.scaling != "screen"
        or dataset.keypoint_skeleton != dataset.skeleton
        or any(video.intrinsics is None for video in dataset.videos)
    ):
        return None
    return partial(
        nearest_in_the_image,
        keypoints=dataset.model_inputs()[..., :2],
        trajectory=dataset.label("poses_camera_mm")[:, dataset.skeleton.root, None],
        intrinsics=dataset.intrinsics()[:, None],
    )


def depth_scores(frames: FrameErrors) -> dict[str, float]:
    """How much depth there is in the evaluated predictions, and what none would score.

    Returns:
        `flat_mpjpe`: MPJPE of the true poses pressed into the plane of their root, mm;
        `depth_spread`, `true_depth_spread`: root mean square distance of the joints' depths from
        their pose's mean depth, mm, of predictions and truth.
    """
    chosen = frames.evaluated
    truth = frames.targets_mm[chosen][..., 2].astype(np.float64)
    depths = frames.poses_mm[chosen][..., 2].astype(np.float64)
    depths -= depths.mean(-1, keepdims=True)
    return {
        "flat_mpjpe": float(np.abs(truth).mean()),
        "depth_spread": float(np.sqrt((depths**2).mean())),
        "true_depth_spread": float(np.sqrt(((truth - truth.mean(-1, keepdims=True)) ** 2).mean())),
    }


POSES_ABOVE_MM, POSES_BELOW_MM = 40, 30
"""MixSTE's marks in the distribution of errors over poses."""

SCORES = (
    "mpjpe", "pa_mpjpe", "n_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded", "pck", "auc",
    "spatial_order", "temporal_order", "spatial_order_occluded", "temporal_order_occluded",
)  # fmt: skip
"""Keys of the scores of an evaluation, see `EvaluationResult`."""
_JOINT_SCORES = (
    "mpjpe", "pa_mpjpe", "mpjpe_visible", "mpjpe_occluded", "temporal_order", "occluded",
)  # fmt: skip

_Group = tuple[str, str]
"""Subject and action."""

_Tally = dict[str, Float64[np.ndarray, "2 _"]]
"""Name of a score -> its sum and count, per joint where it has joints."""


def short_subject(subject: str) -> str:
    """A subject without the folder that some benchmarks keep it in: `"Validate/S1"` is S1."""
    return subject.rsplit("/", 1)[-1]


def pose_errors(
    dataset: PoseDataset, errors: FrameErrors, excluded: Collection[tuple[str, str]]
) -> tuple[Float32[np.ndarray, " poses"], Int[np.ndarray, " poses"]]:
    """MPJPE of every pose that enters the means, and how often it counts."""
    weight = errors.weight.copy()
    for video in dataset.videos:
        if (video.subject, video.action) in excluded:
            weight[video.start : video.stop] = 0
    return errors.mpjpe[weight > 0].mean(-1), weight[weight > 0]


def _pose_shares(dataset: PoseDataset, errors: FrameErrors, excluded: Collection[_Group]) -> Scores:
    poses, weight = pose_errors(dataset, errors, excluded)

    def percent(chosen: np.ndarray) -> float:
        # A diverged prediction is neither above nor below.
        return float(100.0 * weight[chosen].sum() / weight.sum()) if len(weight) else float("nan")

    return {
        f"poses_above_{POSES_ABOVE_MM}_mm": percent(poses > POSES_ABOVE_MM),
        f"poses_below_{POSES_BELOW_MM}_mm": percent(poses < POSES_BELOW_MM),
    }


def _variance(errors: Iterable[float]) -> float:
    """Of those that are not zero by construction or without frames; NaN if there is none."""
    known = [error for error in errors if error != 0 and not np.isnan(error)]
    return float(np.var(known)) if known else float("nan")


def _joint_pairs(skeleton: Skeleton) -> dict[str, list[int]]:
    """Name without its side -> the joints."""
    pairs: dict[str, list[int]] = {}
    for joint, name in enumerate(skeleton.joint_names):
        pairs.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(joint)
    return pairs


def check_scored(
    dataset: PoseDataset,
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    protocol: Protocol,
) -> None:
    """Checks that there is something to score; the arguments are of `evaluate_predictions`.

    Raises:
        InputError: no valid frame is in a clip, or all are excluded.
    """
    covered = index[counted]
    if not dataset.valid[covered].any():
        raise InputError(
            f"no frame to score: of {dataset.frames} frames {int(dataset.valid.sum())} are valid "
            f"and {len(np.unique(covered))} are covered by clips"
        )
    groups = {(video.subject, video.action) for video in dataset.videos}
    if len(_excluded_groups(groups, protocol.exclude)) == len(groups):
        raise InputError(
            f"evaluation.exclude {', '.join(protocol.exclude)} leaves nothing to score"
        )


def _excluded_groups(groups: Iterable[_Group], exclude: Sequence[str]) -> tuple[_Group, ...]:
    """The groups that `exclude` names; a name that this data lacks is no error."""
    return tuple(
        (subject, action)
        for subject, action in groups
        if f"{short_subject(subject)}/{action}" in exclude
    )


def _tally(dataset: PoseDataset, number: int, errors: FrameErrors, clip_frames: int) -> _Tally:
    """Adds up everything that is scored in one video."""
    video = dataset.videos[number]
    rows = slice(video.start, video.stop)
    poses, targets = errors.poses_mm[rows], errors.targets_mm[rows]
    visible = dataset.visible[rows]
    scored = np.broadcast_to(errors.evaluated[rows, None], visible.shape)
    weight = errors.weight[rows, None].astype(np.float64)
    # The root's error is mostly zero by construction; as the papers do, it is left in MPJPE only.
    not_root = scored & (np.arange(dataset.skeleton.num_joints) != dataset.skeleton.root)
    threshold_joints = scored & _threshold_joints(dataset.skeleton)
    position = errors.mpjpe[rows]

    def add(values, mask, weight=1.0):
        return np.stack([np.where(mask, weight * values, 0.0).sum(0), (weight * mask).sum(0)])

    def add_aligned(values):
        return add(values, scored & ~_not_aligned(values, position), weight)

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
    # Pairs with an occluded joint: all pairs but those of two visible joints.
    seen = scored & visible
    some_occluded = bool((scored & ~visible).any())
    spatial_seen = spatial(seen) if some_occluded else spatial_all
    temporal_seen = temporal(seen) if some_occluded else temporal_all
    return {
        "mpjpe": add(position, scored, weight),
        "pa_mpjpe": add_aligned(errors.pa_mpjpe[rows]),
        "n_mpjpe": add_aligned(errors.n_mpjpe[rows]),
        "mpjve": errors.velocity[:, number],
        "mpjpe_visible": add(position, not_root & visible, weight),
        "mpjpe_occluded": add(position, not_root & ~visible, weight),
        "occluded": add(100.0 * ~visible, scored, weight),
        "pck": add(metrics.pck(poses, targets, reduction="none"), threshold_joints),
        "auc": add(metrics.auc(poses, targets, reduction="none"), threshold_joints),
        "spatial_order": spatial_all,
        "temporal_order": temporal_all,
        "spatial_order_occluded": spatial_all - spatial_seen,
        "temporal_order_occluded": temporal_all - temporal_seen,
    }


def _not_aligned(aligned: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Where an error is undefined after alignment only: the pose, or the true one, is one point."""
    return np.isnan(aligned) & np.isfinite(position).all(-1, keepdims=True)


def _name_odd_frames(dataset: PoseDataset, errors: FrameErrors) -> None:
    """A line for the frames that have no error, and one for those that cannot be aligned."""
    unknown = errors.evaluated & ~np.isfinite(errors.mpjpe).all(-1)
    points = errors.evaluated & (
        _not_aligned(errors.pa_mpjpe, errors.mpjpe) | _not_aligned(errors.n_mpjpe, errors.mpjpe)
    ).any(-1)
    for frames, what in (
        (unknown, "NaN or infinity in prediction or truth, and so in the scores"),
        (points, "a pose that is one point, left out of PA-MPJPE and N-MPJPE"),
    ):
        if frames.any():
            named = [
                f"{video.name} frame {frame}"
                for video in dataset.videos
                for frame in np.flatnonzero(frames[video.start : video.stop]).tolist()
            ]
            _LOG.warning("%s, in %d frame(s): %s", what, len(named), listed(named))


def _threshold_joints(skeleton: Skeleton) -> Bool[np.ndarray, " joints"]:
    """Joints that PCK and AUC count."""
    joints = np.arange(skeleton.num_joints)
    if "scored_14" in skeleton.groups:
        return np.isin(joints, skeleton.group("scored_14"))
    return joints != skeleton.root


def _in_clips(array: np.ndarray, clip_frames: int) -> np.ndarray:
    """A video's frames as consecutive clips, the last one filled up with zeros (False)."""
    padding = [(0, -len(array) % clip_frames)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, padding).reshape(-1, clip_frames, *array.shape[1:])


def _by_action(groups: Mapping[_Group, _Tally]) -> dict[str, _Tally]:
    """Subjects taken together; actions in alphabetical order."""
    actions = sorted({action for _, action in groups})
    return {a: _add([t for (_, action), t in groups.items() if action == a]) for a in actions}


def _add(tallies: Sequence[_Tally]) -> _Tally:
    return {name: np.sum([tally[name] for tally in tallies], axis=0) for name in tallies[0]}


def _scores(tally: _Tally) -> dict[str, float | int]:
    return {**_means(tally, SCORES), "frames": int(tally["mpjpe"][1, 0])}


def _mean_scores(tallies: Mapping[Any, _Tally], names: Sequence[str] = SCORES) -> dict[str, float]:
    """The unweighted mean, for each score over the tallies that count something for it."""
    scores = {}
    for name in names:
        values = [_means(t, [name])[name] for t in tallies.values() if t[name][1].sum()]
        scores[name] = float(np.mean(values)) if values else float("nan")
    return scores


def _means(
    tally: _Tally, names: Sequence[str], joints: Sequence[int] | None = None
) -> dict[str, float]:
    """Sums over counts, of all joints or of some; NaN where nothing was counted."""
    means = {}
    for name in names:
        total, count = (tally[name] if joints is None else tally[name][:, joints]).sum(-1)
        means[name] = float(total / count) if count else float("nan")
    return means
