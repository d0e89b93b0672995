"""Results as text: tables for the terminal, JSON, CSV, and the predictions as NPZ."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jrepose.data.dataset import PoseDataset
from jrepose.evaluation.scores import EvaluationResult
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
    "spatial_order": "spatial order [%]",
    "temporal_order": "temporal order [%]",
    "spatial_order_occluded": "  pairs occluded [%]",
    "temporal_order_occluded": "  pairs occluded [%]",
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

# The order of rows; scores of occluded pairs follow what they are a part of.
_ROWS = (
    "mpjpe", "pa_mpjpe", "n_mpjpe", "mpjve", "mpjpe_visible", "mpjpe_occluded", "pck", "auc",
    "spatial_order", "spatial_order_occluded", "temporal_order", "temporal_order_occluded",
)  # fmt: skip


def order_actions(actions: Iterable[str]) -> list[str]:
    """The papers' order if all are Human3.6M actions, else alphabetical."""
    actions = list(actions)
    if set(actions) <= set(HUMAN36M_ACTIONS):
        return [action for action in HUMAN36M_ACTIONS if action in actions]
    return sorted(actions)


def action_table(result: EvaluationResult, width: int = 100) -> str:
    """Scores by action and their mean, in blocks of at most `width` characters."""
    actions = order_actions(result.per_action)
    short = HUMAN36M_ACTIONS if set(actions) <= set(HUMAN36M_ACTIONS) else {}
    columns = [
        (
            short.get(action, action),
            [_cell(name, result.per_action[action][name]) for name in _ROWS],
        )
        for action in actions
    ]
    columns.append(("mean", [_cell(name, result.scores[name]) for name in _ROWS]))
    return format_columns([SCORE_LABELS[name] for name in _ROWS], columns, width)


def joint_table(result: EvaluationResult, width: int = 100) -> str:
    """Position errors, temporal depth order and share of occluded frames by joint."""
    joints = list(result.per_joint)
    columns = [
        (head, [_cell(name, result.per_joint[joint][name]) for joint in joints])
        for name, head in _JOINT_HEADS.items()
    ]
    return format_columns([joint.replace("_", " ") for joint in joints], columns, width)


def headline(result: EvaluationResult) -> str:
    """One line: the scores that papers report."""
    s = result.scores
    return (
        f"MPJPE {s['mpjpe']:.1f} mm, PA-MPJPE {s['pa_mpjpe']:.1f} mm, N-MPJPE "
        f"{s['n_mpjpe']:.1f} mm, MPJVE {s['mpjve']:.2f} mm/frame, depth order "
        f"{s['spatial_order']:.1f} % spatial, {s['temporal_order']:.1f} % temporal"
    )


def summary(result: EvaluationResult, width: int = 100) -> str:
    """What the terminal shows: scores by action and by joint, and the headline."""
    settings = result.settings
    scored = (
        f"{settings['scored_frames']} of {settings['frames']} frames in {settings['videos']} "
        "videos; the mean is over actions; visible, occluded, PCK and AUC leave out the root"
    )
    tables = [action_table(result, width), joint_table(result, width), scored, headline(result)]
    return "\n\n".join(tables)


def write_json(result: EvaluationResult, path: Path) -> None:
    """Settings and all scores; null where nothing was counted."""
    content = {
        "settings": dict(result.settings),
        "scores": without_nan(result.scores),
        "per_action": {a: without_nan(s) for a, s in result.per_action.items()},
        "per_joint": {j: without_nan(s) for j, s in result.per_joint.items()},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_action_csv(result: EvaluationResult, path: Path) -> None:
    """One row per action and a last row `mean`; empty cells where nothing was counted."""
    names = ["frames", *_ROWS]
    rows = {action: result.per_action[action] for action in order_actions(result.per_action)}
    mean = {**result.scores, "frames": result.settings["scored_frames"]}
    write_csv(path, "action", names, {**rows, "mean": mean})


def write_joint_csv(result: EvaluationResult, path: Path) -> None:
    """One row per joint; empty cells where nothing was counted."""
    write_csv(path, "joint", list(next(iter(result.per_joint.values()))), result.per_joint)


def write_predictions(result: EvaluationResult, dataset: PoseDataset, path: Path) -> None:
    """Predictions of all frames as NPZ, without object arrays.

    Keys: `poses_mm`, `targets_mm` [frames, joints, 3], root-relative; `evaluated` [frames];
    `video` [frames], positions in `video_names`; `frame` [frames], counted within the video;
    `frame_rate` [videos]; `joint_names` [joints]; `error_mm` [frames, joints].
    """
    lengths = [video.frames for video in dataset.videos]
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            poses_mm=result.per_frame.poses_mm,
            targets_mm=result.per_frame.targets_mm.astype(np.float32),
            error_mm=result.per_frame.mpjpe.astype(np.float32),
            evaluated=result.per_frame.evaluated,
            video=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            frame=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            video_names=np.array([video.name for video in dataset.videos]),
            frame_rate=np.array([video.frame_rate for video in dataset.videos]),
            joint_names=np.array(dataset.skeleton.joint_names),
        )


def format_columns(
    heads: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]], width: int
) -> str:
    """A table: row heads, then columns with their heads, in blocks of at most `width`."""
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


def _cell(name: str, value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.{2 if name == 'mpjve' else 1}f}"


def without_nan(scores: Mapping[str, float]) -> dict[str, float | None]:
    """The same for JSON, which has no NaN: None where nothing was counted."""
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def write_csv(
    path: Path, head: str, names: Sequence[str], rows: Mapping[str, Mapping[str, float]]
) -> None:
    """One line per row, with the row's name under `head`; empty cells for NaN."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([head, *names])
        for row, scores in rows.items():
            values = (scores[name] for name in names)
            writer.writerow([row, *("" if math.isnan(v) else v for v in values)])
