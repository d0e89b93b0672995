"""MPI-INF-3DHP's own evaluation: PCK, AUC and MPJPE by sequence, activity and group of joints.

The numbers are those of the dataset's MATLAB scripts (Mehta et al., 3DV 2017): errors of
root-relative poses in millimetres over the valid frames, without any alignment; PCK at 150 mm and
AUC over 0, 5, ..., 150 mm, both with a strict inequality and over 14 joints (without pelvis,
spine and head centre); MPJPE over all 17, the root's zero included.

Papers differ in how they make one number of the six sequences, so all their ways are given:

- `all_frames`: every valid frame weighs the same (P-STMO's checkpoints, STCFormer,
  MotionAGFormer's MPJPE);
- `sequence_mean`: every sequence weighs the same (D3DP);
- `readme_weighted`: weighed with the frame counts in the dataset's read-me, three of which do
  not fit its files (P-STMO's table);
- `green_screen`, `studio`, `outdoor`: the read-me's scene settings, two sequences each, weighed
  alike.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.io import savemat

from jrepose import metrics
from jrepose.data.dataset import PoseDataset
from jrepose.data.formats.mpi_inf_3dhp import ACTIVITIES, TEST_SEQUENCES
from jrepose.errors import InputError
from jrepose.evaluation.protocol import FrameErrors
from jrepose.evaluation.tables import format_columns, without_nan, write_csv
from jrepose.files import atomic_path
from jrepose.skeleton import MPI_INF_3DHP_17

_LOG = logging.getLogger(__name__)

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "head": "Head",
        "neck": "Neck",
        "shoulders": "Shou",
        "elbows": "Elbow",
        "wrists": "Wrist",
        "hips": "Hip",
        "knees": "Knee",
        "ankles": "Ankle",
    }
)
"""Groups of joints in the order of the official tables, with their heads there."""

JOINT_SETS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "14": MPI_INF_3DHP_17.group("scored_14"),
        "16": tuple(j for j in range(17) if j != MPI_INF_3DHP_17.root),
        "17": tuple(range(17)),
    }
)
"""What a score's suffix means: `_14` are the joints that PCK and AUC officially count, `_17` all
joints, as MPJPE officially counts, `_16` all but the root, whose error is zero."""

README_FRAMES: Mapping[str, int] = MappingProxyType(
    {"TS1": 603, "TS2": 540, "TS3": 505, "TS4": 553, "TS5": 276, "TS6": 452}
)

SCENES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"green_screen": ("TS1", "TS2"), "studio": ("TS3", "TS4"), "outdoor": ("TS5", "TS6")}
)

Scores = Mapping[str, float | int]


@dataclass(frozen=True, eq=False)
class SequencePoses:
    """What is scored of a sequence.

    Args:
        predicted_mm, target_mm: poses in camera axes; where from the target is counted does not
            matter, its root is subtracted.
        valid: frames that are scored; the others may hold anything.
        activity: what is being done, 1 to 7; None: unknown.
    """

    predicted_mm: Float[np.ndarray, "frames 17 3"]
    target_mm: Float[np.ndarray, "frames 17 3"]
    valid: Bool[np.ndarray, " frames"]
    activity: Int[np.ndarray, " frames"] | None = None


@dataclass(frozen=True, eq=False)
class Mpi3dhpScores:
    """What the evaluation found.

    A row of scores has, in millimetres and percent:

    - `frames`: how many were scored;
    - `mpjpe_14`, `mpjpe_16`, `mpjpe_17`, `pck_14`, ..., `auc_17`: see `JOINT_SETS`; `mpjpe_17`,
      `pck_14` and `auc_14` are the official ones;
    - `pck/head`, ..., `auc/ankles`: of the groups of joints;
    - `mpjpe/head_top`, ..., `mpjpe/head`: of each joint.

    Without a frame they are NaN, and so is every mean with them.

    Args:
        sequences: a row per sequence.
        activities: a row per activity, of all sequences' frames; none if no activity is known.
        aggregates: rows of the module's docstring, those for which there are the sequences.
    """

    sequences: Mapping[str, Scores]
    activities: Mapping[str, Scores]
    aggregates: Mapping[str, Scores]


def evaluate_sequences(sequences: Mapping[str, SequencePoses], root: str = "zero") -> Mpi3dhpScores:
    """Scores sequences, whoever predicted them.

    Args:
        sequences: by name, `"TS1"` to `"TS6"` in the test set.
        root: what happens to the predicted root first.  `"zero"`: it is set to zero (P-STMO,
            STCFormer, MotionAGFormer); `"subtract"`: it is subtracted from all joints;
            `"keep"`: nothing.

    Raises:
        InputError: no sequence, or an unknown `root`.
    """
    if not sequences:
        raise InputError("no sequence of MPI-INF-3DHP to score")
    measures = {name: _measure(poses, root) for name, poses in sequences.items()}
    rows = {name: _scores(values) for name, values in measures.items()}
    pooled = np.concatenate(list(measures.values()), axis=1)
    activity = np.concatenate([_activity(poses) for poses in sequences.values()])
    activities = {}
    if activity.any():
        activities = {
            name: _scores(pooled[:, activity == number]) for number, name in ACTIVITIES.items()
        }
    aggregates = {
        "all_frames": _scores(pooled),
        "sequence_mean": _weighted(rows, dict.fromkeys(rows, 1)),
    }
    if set(README_FRAMES) <= set(rows):
        aggregates["readme_weighted"] = _weighted(rows, README_FRAMES)
    for scene, names in SCENES.items():
        if set(names) <= set(rows):
            aggregates[scene] = _weighted(rows, {name: README_FRAMES[name] for name in names})
    return Mpi3dhpScores(sequences=rows, activities=activities, aggregates=aggregates)


def sequence_report(per_frame: FrameErrors, dataset: PoseDataset) -> Mpi3dhpScores:
    """Scores an evaluation of the test set, or of any other videos with these joints.

    What happened to the predicted root is a matter of that evaluation (`evaluation.root`).

    Args:
        per_frame: predictions of every frame; those that were evaluated count.
        dataset: what they were made on; videos of the same action are one sequence.

    Raises:
        InputError: the dataset has other joints.
    """
    return evaluate_sequences(_sequences(per_frame, dataset), root="keep")


def export_predictions(path: str | os.PathLike[str], poses_mm: Mapping[str, np.ndarray]) -> None:
    """Writes predictions as the official MATLAB script (`mpii_test_predictions_py`) reads them.

    Args:
        path: `.mat` file, of MATLAB's version 5.
        poses_mm: sequence -> root-relative predictions [frames, 17, 3] of its valid frames, in
            order.  In the file each is a variable of shape [3, 17, 1, frames].

    Raises:
        InputError: a name or shape that the script has no use for, or the file system refuses.
    """
    variables = {}
    for name, poses in poses_mm.items():
        if name not in TEST_SEQUENCES:
            raise InputError(
                f"{path}: {name} is no test sequence; expected some of {', '.join(TEST_SEQUENCES)}"
            )
        if poses.ndim != 3 or poses.shape[1:] != (17, 3):
            raise InputError(f"{path}: {name} has shape {poses.shape}; expected (frames, 17, 3)")
        variables[name] = poses.transpose(2, 1, 0)[:, :, None]
    with atomic_path(path) as temporary:
        savemat(temporary, variables, appendmat=False, do_compression=True)


def write(
    scores: Mpi3dhpScores,
    per_frame: FrameErrors,
    dataset: PoseDataset,
    folder: str | os.PathLike[str],
) -> list[pathlib.Path]:
    """Writes the tables and the predictions.

    `mpi_inf_3dhp.json` has all rows; `mpi_inf_3dhp_sequences.csv` those of sequences and
    aggregates, `mpi_inf_3dhp_activities.csv` those of activities, where known;
    `inference_data.mat` is what the official MATLAB script reads.  The last is left out if a
    valid frame lacks its prediction, or if this is not the test set.

    Args:
        scores: what was found.
        per_frame, dataset: as given to `sequence_report`.
        folder: made if missing.

    Returns:
        The files, in the order of writing.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = pathlib.Path(folder)
    names = list(scores.aggregates["all_frames"])
    paths = [folder / "mpi_inf_3dhp.json", folder / "mpi_inf_3dhp_sequences.csv"]
    sections = {
        "sequences": scores.sequences,
        "activities": scores.activities,
        "aggregates": scores.aggregates,
    }
    content = {
        section: {row: without_nan(values) for row, values in rows.items()}
        for section, rows in sections.items()
    }
    with atomic_path(paths[0]) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    write_csv(paths[1], "sequence", names, {**scores.sequences, **scores.aggregates})
    if scores.activities:
        paths.append(folder / "mpi_inf_3dhp_activities.csv")
        write_csv(paths[-1], "activity", names, scores.activities)
    sequences = _sequences(per_frame, dataset)
    if set(sequences) <= set(TEST_SEQUENCES):
        if (per_frame.evaluated == dataset.valid).all():
            paths.append(folder / "inference_data.mat")
            export_predictions(
                paths[-1], {name: s.predicted_mm[s.valid] for name, s in sequences.items()}
            )
        else:
            _LOG.warning("no inference_data.mat: valid frames lack their predictions")
    return paths


def summary(scores: Mpi3dhpScores, width: int = 100) -> str:
    """What the terminal shows: sequences, means and activities by group of joints."""
    labels = {**dict.fromkeys(scores.sequences), **_AGGREGATE_LABELS}
    rows = [
        (labels[name] or name, row)
        for name, row in {**scores.sequences, **scores.aggregates}.items()
    ]
    rows += scores.activities.items()
    heads = [head for head, _ in rows]
    parts = []
    for metric, title in (("pck", "PCK 150 mm [%], MPJPE [mm]"), ("auc", "AUC [%]")):
        columns = [
            (head, [_cell(row[f"{metric}/{group}"]) for _, row in rows])
            for group, head in GROUPS.items()
        ]
        columns.append(("Total", [_cell(row[f"{metric}_14"]) for _, row in rows]))
        if metric == "pck":
            columns.insert(0, ("MPJPE", [_cell(row["mpjpe_17"]) for _, row in rows]))
            columns.insert(0, ("frames", [f"{row['frames']:.0f}" for _, row in rows]))
        parts.append(f"{title}\n{format_columns(heads, columns, width)}")
    pooled = scores.aggregates["all_frames"]
    columns = [
        (head, [_cell(pooled[f"{metric}_{joints}"]) for joints in JOINT_SETS])
        for metric, head in (("mpjpe", "MPJPE [mm]"), ("pck", "PCK [%]"), ("auc", "AUC [%]"))
    ]
    heads = [_JOINT_SET_LABELS[joints] for joints in JOINT_SETS]
    parts.append(f"All frames\n{format_columns(heads, columns, width)}")
    return "\n\n".join(parts)


_AGGREGATE_LABELS = {
    "all_frames": "all frames",
    "sequence_mean": "mean of sequences",
    "readme_weighted": "read-me's frame counts",
    "green_screen": "green screen",
    "studio": "studio",
    "outdoor": "outdoor",
}

_JOINT_SET_LABELS = {
    "14": "14 joints (official for PCK and AUC)",
    "16": "16 joints, without the root",
    "17": "17 joints (official for MPJPE)",
}

_Measures = Float64[np.ndarray, "3 frames 17"]
"""Of each joint its error, whether it is below 150 mm, its share of the AUC's thresholds."""


def _measure(poses: SequencePoses, root: str) -> _Measures:
    predicted = np.asarray(poses.predicted_mm[poses.valid], np.float64)
    target = np.asarray(poses.target_mm[poses.valid], np.float64)
    joint = MPI_INF_3DHP_17.root
    target = target - target[:, joint, None]
    if root == "zero":
        predicted = predicted.copy()
        predicted[:, joint] = 0.0
    elif root == "subtract":
        predicted = predicted - predicted[:, joint, None]
    elif root != "keep":
        raise InputError(f"unknown root {root!r}; expected zero, subtract or keep")
    return np.stack(
        [
            getattr(metrics, name)(predicted, target, reduction="none")
            for name in ("mpjpe", "pck", "auc")
        ]
    )


def _activity(poses: SequencePoses) -> Int[np.ndarray, " frames"]:
    if poses.activity is None:
        return np.zeros(int(poses.valid.sum()), np.int8)
    return poses.activity[poses.valid]


def _scores(measures: _Measures) -> dict[str, float | int]:
    """A row of scores over the given frames."""
    frames = measures.shape[1]
    with np.errstate(invalid="ignore"):
        per_joint = dict(zip(("mpjpe", "pck", "auc"), measures.sum(1) / frames, strict=True))
    row = {"frames": frames}
    for metric, values in per_joint.items():
        for suffix, joints in JOINT_SETS.items():
            row[f"{metric}_{suffix}"] = float(values[list(joints)].mean())
    for metric in ("pck", "auc"):
        for group in GROUPS:
            joints = list(MPI_INF_3DHP_17.group(group))
            row[f"{metric}/{group}"] = float(per_joint[metric][joints].mean())
    for joint, value in zip(MPI_INF_3DHP_17.joint_names, per_joint["mpjpe"], strict=True):
        row[f"mpjpe/{joint}"] = float(value)
    return row


def _weighted(rows: Mapping[str, Scores], weights: Mapping[str, int]) -> dict[str, float | int]:
    """Mean of some rows; its `frames` are theirs together."""
    total = sum(weights.values())
    mean = {
        score: sum(weight * rows[name][score] for name, weight in weights.items()) / total
        for score in next(iter(rows.values()))
    }
    return {**mean, "frames": sum(rows[name]["frames"] for name in weights)}


def _sequences(per_frame: FrameErrors, dataset: PoseDataset) -> dict[str, SequencePoses]:
    if dataset.skeleton is not MPI_INF_3DHP_17:
        raise InputError(
            f"the evaluation of MPI-INF-3DHP needs poses of {MPI_INF_3DHP_17.name}, this data has "
            f"{dataset.skeleton.name}"
        )
    frames: dict[str, list[np.ndarray]] = {}
    for video in dataset.videos:
        frames.setdefault(video.action, []).append(np.arange(video.start, video.stop))
    sequences = {}
    for name, parts in frames.items():
        rows = np.concatenate(parts)
        sequences[name] = SequencePoses(
            predicted_mm=per_frame.poses_mm[rows],
            target_mm=per_frame.targets_mm[rows],
            valid=per_frame.evaluated[rows],
            activity=None if dataset.activity is None else np.asarray(dataset.activity[rows]),
        )
    return sequences


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
