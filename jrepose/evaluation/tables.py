"""Results as text: tables for the terminal, JSON, CSV, and the predictions as NPZ."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jrepose.data.dataset import PoseDataset
from jrepose.evaluation.scores import (
    POSES_ABOVE_MM,
    POSES_BELOW_MM,
    EvaluationResult,
    HypothesisResult,
    Scores,
    short_subject,
)
from jrepose.files import atomic_path

Path = str | os.PathLike[str]

SCORE_LABELS: Mapping[str, str] = {
    "mpjpe": "MPJPE [mm]",
    "pa_mpjpe": "PA-MPJPE [mm]",
    "n_mpjpe": "N-MPJPE [mm]",
    "mpjve": "MPJVE [mm/frame]",
    "mpjpe_visible": "MPJPE visible [mm]",
    "mpjpe_occluded": "MPJPE occluded [mm]",
    "pck": "PCK 150 mm [%]",
    "auc": "AUC [%]",
    "ap": "AP [%]",
    "ar": "AR [%]",
    "pck_box": "PCK 0.05 of the box [%]",
    "pck_image": "PCK 0.05 of the crop [%]",
    "mse": "MSE [px²]",
    "error_px": "error [px]",
    "hidden_px": "error hidden [px]",
    "spatial_order": "spatial order [%]",
    "temporal_order": "temporal order [%]",
    "spatial_order_occluded": "  pairs occluded [%]",
    "temporal_order_occluded": "  pairs occluded [%]",
}

_HYPOTHESIS_LABELS: Mapping[str, str] = {
    "average": "MPJPE of one [mm]",
    "p_best": "  of a pose's best",
    "j_best": "  of a joint's best",
    "j_agg": "  of joints nearest to the keypoints",
    "pa_average": "PA-MPJPE of one [mm]",
    "pa_p_best": "  of a pose's best",
    "pa_j_best": "  of a joint's best",
    "pa_j_agg": "  of joints nearest to the keypoints",
    "spread": "spread [mm]",
}

_JOINT_HEADS: Mapping[str, str] = {
    "mpjpe": "MPJPE [mm]",
    "pa_mpjpe": "PA-MPJPE [mm]",
    "mpjpe_visible": "visible [mm]",
    "mpjpe_occluded": "occluded [mm]",
    "temporal_order": "order [%]",
    "occluded": "occluded [%]",
}

# Column heads of the papers' tables, in their order.
HUMAN36M_ACTIONS: Mapping[str, str] = {
    "Directions": "Dir.",
    "Discussion": "Disc.",
    "Eating": "Eat",
    "Greeting": "Greet",
    "Phoning": "Phone",
    "Photo": "Photo",
    "Posing": "Pose",
    "Purchases": "Purch.",
    "Sitting": "Sit",
    "SittingDown": "SitD.",
    "Smoking": "Smoke",
    "Waiting": "Wait",
    "WalkDog": "WalkD.",
    "Walking": "Walk",
    "WalkTogether": "WalkT.",
}

HUMANEVA_ACTIONS: Mapping[str, str] = {
    "Walking": "Walk",
    "Jog": "Jog",
    "ThrowCatch": "Throw",
    "Gestures": "Gest.",
    "Box": "Box",
}

# The order of rows; scores of occluded pairs follow what they are a part of.
_ROWS = (
    "mpjpe", "pa_mpjpe", "n_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded", "pck", "auc",
    "spatial_order", "spatial_order_occluded", "temporal_order", "temporal_order_occluded",
)  # fmt: skip


def order_actions(actions: Iterable[str]) -> list[str]:
    """The papers' order if all are actions of Human3.6M or of HumanEva, else alphabetical."""
    actions = list(actions)
    return [action for action in _known_actions(actions) or sorted(actions) if action in actions]


def action_table(result: EvaluationResult, width: int = 100) -> str:
    """Scores by action and their mean, in blocks of at most `width` characters.

    If the mean is over each subject's actions, so are the columns, those that it leaves out in
    parentheses.  A published row follows ours, and then ours minus it.
    """
    columns = _subject_columns(result) if result.settings["by_subject"] else _columns(result)
    names = [name for name in _ROWS if _tells_something(result, name)]
    heads: list[str] = []
    rows: list[list[str]] = []
    for name in names:
        ours = [column.scores[name] for column in columns]
        heads.append(SCORE_LABELS[name])
        rows.append([_cell(name, value) for value in ours])
        theirs = [column.published.get(name, math.nan) for column in columns]
        if result.published is not None and not all(map(math.isnan, theirs)):
            heads += [f"  {result.published.system}", "  difference"]
            rows.append([_cell(name, value, "") for value in theirs])
            differences = (mine - other for mine, other in zip(ours, theirs, strict=True))
            rows.append([_cell(name, value, "", sign="+") for value in differences])
    cells = zip(*rows, strict=True)
    return format_columns(
        heads, [(column.head, c) for column, c in zip(columns, cells, strict=True)], width
    )


def joint_table(result: EvaluationResult, width: int = 100) -> str:
    """Position errors, temporal depth order and share of occluded frames by joint."""
    joints = list(result.per_joint)
    columns = [
        (head, [_cell(name, result.per_joint[joint][name]) for joint in joints])
        for name, head in _JOINT_HEADS.items()
        if _tells_something(result, name)
    ]
    return format_columns([joint.replace("_", " ") for joint in joints], columns, width)


def hypothesis_table(result: EvaluationResult, width: int = 100) -> str:
    """Scores of several hypotheses by action, and whether their spread tells their error."""
    found, number = result.hypotheses, len(result.hypotheses.per_frame.poses_mm)
    short = _known_actions(found.per_action) or {}
    columns = {short.get(a, a): found.per_action[a] for a in order_actions(found.per_action)}
    columns["mean"] = found.scores
    names = [name for name in _HYPOTHESIS_LABELS if name in found.scores]
    cells = [
        (head, [_cell(name, scores[name]) for name in names]) for head, scores in columns.items()
    ]
    lines = [f"{number} hypotheses of every pose; what is scored above is their mean"]
    lines.append(format_columns([_HYPOTHESIS_LABELS[name] for name in names], cells, width))
    known = found.calibration
    if known is not None:
        lines.append(
            f"calibration: joints are {known.overconfidence:.2f} times as far from the truth as "
            f"the spread lets expect, by bins of spread {known.error:.1f} mm off; rank correlation "
            f"of spread and error {known.rank_correlation:.2f}"
        )
    return "\n".join(lines)


def headline(result: EvaluationResult) -> str:
    """One line: the scores that papers report."""
    s = result.scores
    return (
        f"MPJPE {s['mpjpe']:.1f} mm, PA-MPJPE {s['pa_mpjpe']:.1f} mm, N-MPJPE "
        f"{s['n_mpjpe']:.1f} mm, MPJVE {s['mpjve']:.2f} mm/frame, depth order "
        f"{s['spatial_order']:.1f} % spatial, {s['temporal_order']:.1f} % temporal"
    )


def summary(result: EvaluationResult, width: int = 100) -> str:
    """What the terminal shows: scores by action and by joint, what they are, the headline."""
    parts = [action_table(result, width), joint_table(result, width), _notes(result)]
    if result.hypotheses is not None:
        parts.insert(1, hypothesis_table(result, width))
    return "\n\n".join([*parts, headline(result)])


@dataclass(frozen=True)
class _Column:
    """A column of the table of scores: ours, and the published scores known for it."""

    head: str
    scores: Scores
    published: Scores


def _columns(result: EvaluationResult) -> list[_Column]:
    short = _known_actions(result.per_action) or {}
    return [
        _Column(short.get(action, action), result.per_action[action], _printed(result, action))
        for action in order_actions(result.per_action)
    ] + _mean_columns(result)


def _subject_columns(result: EvaluationResult) -> list[_Column]:
    """Walk S1, Walk S2, ..., Jog S1, ...: HumanEva's tables."""
    actions = {action for scores in result.per_subject.values() for action in scores}
    short = _known_actions(actions) or {}
    columns = []
    for action in order_actions(actions):
        for subject in sorted(result.per_subject):
            if action in result.per_subject[subject]:
                name = short_subject(subject)
                head = f"{short.get(action, action)} {name}"
                if (subject, action) in result.excluded:
                    head = f"({head})"
                printed = _printed(result, f"{name}/{action}")
                columns.append(_Column(head, result.per_subject[subject][action], printed))
    return columns + _mean_columns(result)


def _mean_columns(result: EvaluationResult) -> list[_Column]:
    """The mean, and the mean of everything where some is left out.

    A published mean stands below the one that is over the same columns.
    """

    def published(excluded: Sequence[str]) -> Scores:
        row = result.published
        same = row is not None and _same_columns(result) and set(row.excludes) == set(excluded)
        return row.scores if same else {}

    columns = [_Column("mean", result.scores, published(excluded_names(result)))]
    if result.scores_of_all is not None:
        columns.append(_Column("mean of all", result.scores_of_all, published(())))
    return columns


def _same_columns(result: EvaluationResult) -> bool:
    """Whether the published row is of just the actions, or subjects' actions, that ours is of."""
    row, ours = result.published, {action for s in result.per_subject.values() for action in s}
    if result.settings["by_subject"]:
        ours = {
            f"{short_subject(s)}/{a}" for s, actions in result.per_subject.items() for a in actions
        }
    if row is not None and row.columns:
        return all(set(columns) == ours for columns in row.columns.values())
    of_human36m = str(result.settings.get("benchmark")).startswith("human36m")
    return ours == set(HUMAN36M_ACTIONS) if of_human36m else True


def _printed(result: EvaluationResult, column: str) -> dict[str, float]:
    """What the published row has in a column."""
    known = result.published.columns if result.published else {}
    return {name: values[column] for name, values in known.items() if column in values}


def excluded_names(result: EvaluationResult) -> list[str]:
    """`"SUBJECT/ACTION"` of what the mean leaves out."""
    return [f"{short_subject(subject)}/{action}" for subject, action in result.excluded]


def _known_actions(actions: Iterable[str]) -> Mapping[str, str] | None:
    actions = set(actions)
    tables = (HUMAN36M_ACTIONS, HUMANEVA_ACTIONS)
    return next((known for known in tables if actions <= set(known)), None)


def _tells_something(result: EvaluationResult, name: str) -> bool:
    """Without occlusion, all is visible: nothing to tell apart."""
    about_occlusion = "visible" in name or "occluded" in name
    return not about_occlusion or any(s["occluded"] > 0 for s in result.per_joint.values())


def _notes(result: EvaluationResult) -> str:
    """What was scored, how, and how the errors spread."""
    settings, spread = result.settings, result.spread
    over = "each subject's actions" if settings["by_subject"] else "actions"
    occlusion = (
        "visible and occluded leave out the root, " if _tells_something(result, "occluded") else ""
    )
    lines = [
        f"{settings['scored_frames']} of {settings['frames']} frames in {settings['videos']} "
        f"videos; the mean is over {over}; {occlusion}PCK and AUC are of "
        f"{settings['pck_joints']} joints",
        f"poses above {POSES_ABOVE_MM} mm: {spread[f'poses_above_{POSES_ABOVE_MM}_mm']:.1f} %, "
        f"below {POSES_BELOW_MM} mm: {spread[f'poses_below_{POSES_BELOW_MM}_mm']:.1f} %; "
        f"variance of MPJPE between actions {spread['action_variance']:.1f} mm^2, between joints "
        f"(VAR, / 10) {spread['joint_variance']:.1f} mm^2",
    ]
    left_out = excluded_names(result)
    if left_out:
        lines.append(f"left out of the mean, not of 'mean of all': {', '.join(left_out)}")
    absent = [name for name in settings["exclude"] if name not in left_out]
    if absent:
        lines.append(f"evaluation.exclude names what this data lacks: {', '.join(absent)}")
    row = result.published
    if row is not None:
        line = f"{row.system}: {row.source} ({row.protocol})"
        if row.excludes:
            line += f"; its mean leaves out {', '.join(row.excludes)}"
        if not _same_columns(result):
            line += "; its mean is over other columns than ours and not shown"
        lines.append(line)
    return "\n".join(lines)


def write_json(result: EvaluationResult, path: Path) -> None:
    """Settings, all scores and the published row; null where nothing was counted."""
    content = {
        "settings": dict(result.settings),
        "scores": without_nan(result.scores),
        "scores_of_all": without_nan(result.scores_of_all or result.scores),
        "excluded": excluded_names(result),
        "spread": without_nan(result.spread),
        "per_action": {a: without_nan(s) for a, s in result.per_action.items()},
        "per_subject": {
            subject: {a: without_nan(s) for a, s in actions.items()}
            for subject, actions in result.per_subject.items()
        },
        "per_joint": {j: without_nan(s) for j, s in result.per_joint.items()},
        "per_joint_pair": {j: without_nan(s) for j, s in result.per_joint_pair.items()},
        "published": dataclasses.asdict(result.published) if result.published else None,
    }
    if result.hypotheses is not None:
        content["hypotheses"] = _plain_hypotheses(result.hypotheses)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def _plain_hypotheses(found: HypothesisResult) -> dict[str, Any]:
    calibration = found.calibration
    return {
        "number": len(found.per_frame.poses_mm),
        "scores": without_nan(found.scores),
        "per_action": {action: without_nan(s) for action, s in found.per_action.items()},
        "calibration": None
        if calibration is None
        else {
            "expected_mm": [float(value) for value in calibration.expected],
            "found_mm": [float(value) for value in calibration.found],
            **without_nan(
                {
                    "error": calibration.error,
                    "overconfidence": calibration.overconfidence,
                    "rank_correlation": calibration.rank_correlation,
                }
            ),
        },
    }


def write_action_csv(result: EvaluationResult, path: Path) -> None:
    """One row per action and a last row `mean`; empty cells where nothing was counted."""
    rows = {action: result.per_action[action] for action in order_actions(result.per_action)}
    frames = sum(scores["frames"] for scores in rows.values())
    mean = {**result.scores, "frames": frames}
    write_csv(path, "action", ["frames", *_ROWS], {**rows, "mean": mean})


def write_subject_csv(result: EvaluationResult, path: Path) -> None:
    """One row per action of each subject; `excluded` is 1 where the means leave it out."""
    rows = {
        f"{subject}/{action}": {
            "excluded": int((subject, action) in result.excluded),
            **result.per_subject[subject][action],
        }
        for subject in sorted(result.per_subject)
        for action in order_actions(result.per_subject[subject])
    }
    write_csv(path, "subject/action", ["excluded", "frames", *_ROWS], rows)


def write_joint_csv(result: EvaluationResult, path: Path) -> None:
    """One row per joint; empty cells where nothing was counted."""
    write_csv(path, "joint", list(next(iter(result.per_joint.values()))), result.per_joint)


def write_predictions(result: EvaluationResult, dataset: PoseDataset, path: Path) -> None:
    """Predictions of all frames as NPZ, without object arrays.

    Keys: `poses_mm`, `targets_mm` [frames, joints, 3], root-relative; `evaluated` [frames];
    `video` [frames], positions in `video_names`; `frame` [frames], counted within the video;
    `frame_rate` [videos]; `joint_names` [joints]; `error_mm` [frames, joints]; where there are
    several hypotheses `hypotheses_mm` [hypotheses, frames, joints, 3], whose mean is `poses_mm`.
    """
    several = {}
    if result.hypotheses is not None:
        several["hypotheses_mm"] = result.hypotheses.per_frame.poses_mm
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            poses_mm=result.per_frame.poses_mm,
            targets_mm=result.per_frame.targets_mm.astype(np.float32),
            error_mm=result.per_frame.mpjpe.astype(np.float32),
            evaluated=result.per_frame.evaluated,
            **several,
            **_frames_of(dataset),
        )


def write_unscored(
    poses: Float32[np.ndarray, "*hypotheses frames joints 3"], dataset: PoseDataset, path: Path
) -> None:
    """Predictions of a dataset without labels as NPZ, without object arrays.

    Keys: `poses` [frames, joints, 3] in the space and the unit that `space` names, NaN where no
    clip holds the frame; several hypotheses are `hypotheses` [hypotheses, frames, joints, 3], and
    their mean `poses`; the rest as in `write_predictions`.
    """
    several = {"hypotheses": poses} if poses.ndim == 4 else {}
    if several:
        poses = poses.mean(0)
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            poses=poses,
            space=np.array(dataset.target_space),
            **several,
            **_frames_of(dataset),
        )


def _frames_of(dataset: PoseDataset) -> dict[str, np.ndarray]:
    """Which frame of which video each row is."""
    lengths = [video.frames for video in dataset.videos]
    return {
        "video": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        "frame": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "video_names": np.array([video.name for video in dataset.videos]),
        "frame_rate": np.array([video.frame_rate for video in dataset.videos]),
        "joint_names": np.array(dataset.skeleton.joint_names),
    }


def format_columns(
    heads: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]], width: int
) -> str:
    """A table: row heads, then columns with their heads, in blocks of at most `width`.

    A block leaves out rows that are blank in all of its columns.
    """
    margin = max(map(len, heads))
    widths = [2 + max(len(head), *(len(value) for value in values)) for head, values in columns]
    # As few blocks as fit, with about the same number of columns each.
    number = len(_split(widths, width - margin, len(columns)))
    blocks = []
    for part in _split(widths, width - margin, -(-len(columns) // number)):
        chosen = list(zip(columns[part], widths[part], strict=True))
        lines = [" " * margin + "".join(f"{head:>{w}}" for (head, _), w in chosen)]
        lines.append("-" * len(lines[0]))
        lines += [
            f"{head:<{margin}}" + "".join(f"{values[row]:>{w}}" for (_, values), w in chosen)
            for row, head in enumerate(heads)
            if any(values[row] for (_, values), _ in chosen)
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _split(widths: Sequence[int], room: int, most: int) -> list[slice]:
    """Cuts columns into runs of at most `most` that fit into `room` characters."""
    parts, start = [], 0
    for stop in range(1, len(widths) + 1):
        full = stop == len(widths) or stop - start == most
        if full or sum(widths[start : stop + 1]) > room:
            parts.append(slice(start, stop))
            start = stop
    return parts


def _cell(name: str, value: float, missing: str = "-", sign: str = "") -> str:
    return missing if math.isnan(value) else f"{value:{sign}.{2 if name == 'mpjve' else 1}f}"


def without_nan(scores: Mapping[str, float | int]) -> dict[str, float | int | None]:
    """The same for JSON, which has no NaN: None where nothing was counted."""
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def write_csv(
    path: Path, head: str, names: Sequence[str], rows: Mapping[str, Mapping[str, float | int]]
) -> None:
    """One line per row, with the row's name under `head`; empty cells for NaN."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([head, *names])
        for row, scores in rows.items():
            values = (scores[name] for name in names)
            writer.writerow([row, *("" if math.isnan(v) else v for v in values)])
