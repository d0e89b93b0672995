"""From predicted clips to errors per frame, in millimetres.

The protocol of Human3.6M with 2.5D labels, which MotionBERT and RePOSE report: predictions are
scaled to millimetres frame by frame, the root joint is subtracted from prediction and ground
truth, and every joint, the root included, enters a frame's error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from jrepose import metrics
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import EvaluationWindows
from jrepose.errors import InputError

OVERLAPS = ("once", "average")
TARGETS = ("image", "camera")


@dataclass(frozen=True, eq=False)
class FrameErrors:
    """Predictions and errors of every frame of a dataset; NaN where there is none.

    Args:
        poses_mm: root-relative predictions; the mean where clips overlap.
        targets_mm: root-relative ground truth.
        mpjpe, pa_mpjpe, n_mpjpe: distance per joint, mm: as it is, after Procrustes alignment
            of the frame, after scaling of the frame.  Where clips overlap, the mean of the
            clips' errors.
        evaluated: frames that are predicted and valid; only these have errors.
    """

    poses_mm: Float32[np.ndarray, "all_frames joints 3"]
    targets_mm: Float64[np.ndarray, "all_frames joints 3"]
    mpjpe: Float64[np.ndarray, "all_frames joints"]
    pa_mpjpe: Float64[np.ndarray, "all_frames joints"]
    n_mpjpe: Float64[np.ndarray, "all_frames joints"]
    evaluated: Bool[np.ndarray, " all_frames"]


def counted_entries(windows: EvaluationWindows, overlap: str) -> Bool[np.ndarray, "clips frames"]:
    """Which entries of the clips are scored.

    Args:
        windows: the clips.
        overlap: `"once"`: one entry per frame.  `"average"`: every clip's entry of the frame;
            their errors are averaged.

    Raises:
        InputError: unknown `overlap`.
    """
    if overlap not in OVERLAPS:
        raise InputError(
            f"unknown evaluation.overlap {overlap!r}; expected one of {', '.join(OVERLAPS)}"
        )
    return windows.scored if overlap == "once" else windows.distinct


def score_frames(
    dataset: PoseDataset,
    predictions: Float32[np.ndarray, "clips frames joints 3"],
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    target: str | None = None,
) -> FrameErrors:
    """Errors of every frame from the counted entries of the clips.

    A frame's error is the mean of the *errors* of the entries that count for it, as in the
    official evaluation; it is not the error of the mean prediction.

    Args:
        dataset: what the clips were cut from.
        predictions: model output in normalised screen units.
        index: frames of each clip.
        counted: entries that are scored.
        target: ground truth to compare with: `"image"`, the 2.5D label scaled to millimetres
            (a scaled weak-perspective pose), or `"camera"`, the pose in camera axes; None: the
            one in the space that the dataset's models predict.

    Raises:
        InputError: unknown `target`.
    """
    targets = _targets_mm(dataset, target)
    shape = targets.shape[:2]
    names = ("mpjpe", "pa_mpjpe", "n_mpjpe")
    sums = {name: np.zeros(shape) for name in names}
    poses_sum = np.zeros(targets.shape)
    counts = np.zeros(dataset.frames, np.int64)
    flat = predictions.reshape(-1, *predictions.shape[2:])
    for entries, frames in _layers(index, counted):
        poses = _root_relative(dataset.to_mm(flat[entries], frames), dataset.skeleton.root)
        for name in names:
            error = getattr(metrics, name)(poses, targets[frames], reduction="none")
            sums[name][frames] += error
        poses_sum[frames] += poses
        counts[frames] += 1

    evaluated = (counts > 0) & dataset.valid
    divisor = np.where(counts > 0, counts, np.nan)
    errors = {
        name: np.where(evaluated[:, None], total / divisor[:, None], np.nan)
        for name, total in sums.items()
    }
    return FrameErrors(
        poses_mm=(poses_sum / divisor[:, None, None]).astype(np.float32),
        targets_mm=targets,
        evaluated=evaluated,
        **errors,
    )


def _layers(
    index: Int[np.ndarray, "clips frames"], counted: Bool[np.ndarray, "clips frames"]
) -> Iterator[tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]]:
    """Splits the counted entries so that no frame occurs twice in one layer.

    Yields:
        Positions in the flattened clips, and the frames they stand for.
    """
    entries = np.flatnonzero(counted)
    frames = index.ravel()[entries]
    order = np.argsort(frames, kind="stable")
    entries, frames = entries[order], frames[order]
    first = np.searchsorted(frames, frames, side="left")
    layer = np.arange(len(frames)) - first
    for number in range(layer.max(initial=-1) + 1):
        yield entries[layer == number], frames[layer == number]


def _targets_mm(
    dataset: PoseDataset, target: str | None
) -> Float64[np.ndarray, "all_frames joints 3"]:
    target = target or ("image" if dataset.target_space == "image" else "camera")
    if target == "image":
        poses = dataset.poses_image_mm
        if poses is None:
            factor = dataset.label("factor_mm_per_px").astype(np.float64)[:, None, None]
            poses = dataset.label("poses_image_px") * factor
        return _root_relative(poses.astype(np.float64), dataset.skeleton.root)
    if target == "camera":
        poses = dataset.label("poses_camera_mm").astype(np.float64)
        return _root_relative(poses, dataset.skeleton.root)
    raise InputError(f"unknown evaluation.target {target!r}; expected one of {', '.join(TARGETS)}")


def _root_relative(poses: np.ndarray, root: int) -> np.ndarray:
    return poses - poses[:, root : root + 1]
