"""From predicted clips to errors per frame, in millimetres.

The benchmarks differ in what happens to the root, in what a prediction is compared with, and in
how often a frame counts:

| | target | root | overlap |
|---|---|---|---|
| Human3.6M-SH (MotionBERT, RePOSE) | the 2.5D label in mm | subtract | average |
| VideoPose3D, PoseFormer, RIE | camera axes | keep | once |
| MixSTE | camera axes | keep | slots |
| MHFormer, P-STMO, STCFormer, MPI-INF-3DHP | camera axes | zero | once |

Everywhere the root of the ground truth is subtracted, and every joint, the root included, enters
a frame's error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32

from jrepose import metrics
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import EvaluationWindows
from jrepose.errors import InputError

OVERLAPS = ("once", "average", "slots")
TARGETS = ("image", "camera")
ROOTS = ("subtract", "zero", "keep")

# Entries of clips at a time: bounds the memory for float64 copies, whatever the dataset's size.
_BLOCK = 16384


@dataclass(frozen=True, eq=False)
class FrameErrors:
    """Predictions and errors of every frame of a dataset; NaN where there is none.

    Args:
        poses_mm: predictions, root-relative or with the root they came with; the mean where
            several entries of clips count for a frame.
        targets_mm: root-relative ground truth.
        mpjpe, pa_mpjpe, n_mpjpe: distance per joint, mm: as it is, after Procrustes alignment
            of the frame, after scaling of the frame.  Where several entries count for a frame,
            the mean of their errors.
        evaluated: frames that are predicted and valid; only these have errors.
        weight: how often the frame counts in a mean over frames: once, or as often as it was
            predicted if every slot counts; 0 where it is not evaluated.
        velocity: velocity errors of the videos: the weight of the video times its mean velocity
            error per joint (mm per frame), and that weight, its number of evaluated frames or
            slots, as VideoPose3D weighs; both 0 if no two neighbouring frames are evaluated.
    """

    poses_mm: Float32[np.ndarray, "all_frames joints 3"]
    targets_mm: Float32[np.ndarray, "all_frames joints 3"]
    mpjpe: Float32[np.ndarray, "all_frames joints"]
    pa_mpjpe: Float32[np.ndarray, "all_frames joints"]
    n_mpjpe: Float32[np.ndarray, "all_frames joints"]
    evaluated: Bool[np.ndarray, " all_frames"]
    weight: Int32[np.ndarray, " all_frames"]
    velocity: Float64[np.ndarray, "2 videos joints"]


def counted_entries(windows: EvaluationWindows, overlap: str) -> Bool[np.ndarray, "clips frames"]:
    """Which entries of the clips are scored.

    Args:
        windows: the clips.
        overlap: `"once"`: one entry per frame.  `"average"`: every clip's entry of the frame;
            their errors are averaged.  `"slots"`: all, repeated frames too.

    Raises:
        InputError: unknown `overlap`.
    """
    _check_choice("overlap", overlap, OVERLAPS)
    if overlap == "slots":
        return np.ones(windows.index.shape, bool)
    return windows.scored if overlap == "once" else windows.distinct


def score_frames(
    dataset: PoseDataset,
    predictions: Float32[np.ndarray, "clips frames joints 3"],
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    target: str | None = None,
    *,
    root: str = "subtract",
    keep_keypoints: bool = False,
    every_slot: bool = False,
) -> FrameErrors:
    """Errors of every frame from the counted entries of the clips.

    A frame's error is the mean of the *errors* of the entries that count for it, as in the
    official evaluations; it is not the error of the mean prediction.  Clips are worked through
    in blocks, so that a benchmark's whole test set fits.

    Args:
        dataset: what the clips were cut from.
        predictions: model output in the dataset's target space.
        index: frames of each clip; the clips of a video follow one another.
        counted: entries that are scored.
        target: ground truth to compare with: `"image"`, the 2.5D label scaled to millimetres
            (a scaled weak-perspective pose), or `"camera"`, the pose in camera axes; None: the
            one in the space that the dataset's models predict.
        root: what happens to the predicted root.  `"subtract"`: it is subtracted from all
            joints, in mm; `"zero"`: set to 0 in the model's units, then subtracted; `"keep"`:
            nothing, so that its own position counts as error.
        keep_keypoints: predicted x, y give way to those of the model's input, so that only
            depth is scored (the `gt_2d` evaluation of MotionBERT and RePOSE).
        every_slot: a frame weighs as often as it is counted, and velocities are those of a
            video's clips laid end to end, jumps between clips included (MixSTE).

    Raises:
        InputError: an unknown choice, or one that this dataset does not allow.
    """
    target = target or ("image" if dataset.target_space == "image" else "camera")
    _check_choice("target", target, TARGETS)
    _check_choice("root", root, ROOTS)
    if root == "keep" and dataset.target_space == "image":
        raise InputError(
            "evaluation.root is 'keep', and predictions in image space have no common origin "
            "with the ground truth; expected 'subtract' or 'zero'"
        )
    inputs = _inputs_to_keep(dataset) if keep_keypoints else None

    def in_mm(clips: slice | np.ndarray, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and ground truth of some entries of some clips."""
        frames = index[clips].reshape(-1)[entries]
        poses = predictions[clips].reshape(-1, *predictions.shape[2:])[entries]
        if root == "zero":
            poses[:, dataset.skeleton.root] = 0.0
        if inputs is not None:
            poses[..., :2] = inputs[frames, :, :2]
        poses = dataset.to_mm(poses, frames)
        if root != "keep":
            poses = _root_relative(poses, dataset.skeleton.root)
        return poses, _targets_mm(dataset, target, frames)

    frames, joints = dataset.frames, dataset.skeleton.num_joints
    errors = {
        name: np.zeros((frames, joints), np.float32) for name in ("mpjpe", "pa_mpjpe", "n_mpjpe")
    }
    poses_mm = np.zeros((frames, joints, 3), np.float32)
    counts = np.zeros(frames, np.int32)
    clips_at_a_time = max(1, _BLOCK // index.shape[1])
    for start in range(0, len(index), clips_at_a_time):
        clips = slice(start, start + clips_at_a_time)
        entries = np.flatnonzero(counted[clips])
        poses, targets = in_mm(clips, entries)
        # Entries of the same frame become neighbours, and are added up before they are stored.
        of_entry = index[clips].reshape(-1)[entries]
        order = np.argsort(of_entry, kind="stable")
        here, first, times = np.unique(of_entry[order], return_index=True, return_counts=True)
        if not len(here):
            continue
        for name, total in errors.items():
            error = getattr(metrics, name)(poses, targets, reduction="none")
            total[here] += np.add.reduceat(error[order], first, axis=0)
        poses_mm[here] += np.add.reduceat(poses[order], first, axis=0)
        counts[here] += times.astype(np.int32)

    evaluated = (counts > 0) & dataset.valid
    divisor = np.where(counts > 0, counts, np.nan).astype(np.float32)
    poses_mm /= divisor[:, None, None]
    for total in errors.values():
        total /= np.where(evaluated, divisor, np.nan)[:, None]
    targets_mm = np.empty_like(poses_mm)
    for video in dataset.videos:
        rows = np.arange(video.start, video.stop)
        targets_mm[rows] = _targets_mm(dataset, target, rows)

    velocity = np.zeros((2, len(dataset.videos), joints))
    owner = np.searchsorted([video.start for video in dataset.videos], index[:, 0], "right") - 1
    for number, video in enumerate(dataset.videos):
        if every_slot:
            clips = np.flatnonzero(owner == number)
            laid_out = np.flatnonzero(counted[clips])
            scored = evaluated[index[clips].reshape(-1)[laid_out]]
            velocity[:, number] = _velocity(*in_mm(clips, laid_out), scored)
        else:
            rows = slice(video.start, video.stop)
            velocity[:, number] = _velocity(poses_mm[rows], targets_mm[rows], evaluated[rows])
    return FrameErrors(
        poses_mm=poses_mm,
        targets_mm=targets_mm,
        evaluated=evaluated,
        weight=np.where(evaluated, counts if every_slot else 1, 0).astype(np.int32),
        velocity=velocity,
        **errors,
    )


def _check_choice(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"unknown evaluation.{field} {value!r}; expected one of {', '.join(known)}"
        )


def _inputs_to_keep(dataset: PoseDataset) -> Float32[np.ndarray, "all_frames joints 3"]:
    """Model inputs that can stand in for predicted x, y."""
    if dataset.target_space != "image" or dataset.layout_2d is not dataset.skeleton:
        raise InputError(
            "evaluation.keep_keypoints needs predictions in image space and keypoints of the same "
            f"joints; this data has target space {dataset.target_space} and keypoints "
            f"{dataset.layout_2d.name} for {dataset.skeleton.name}"
        )
    return dataset.model_inputs()


def _velocity(
    poses: Float32[np.ndarray, "frames joints 3"],
    targets: np.ndarray,
    scored: Bool[np.ndarray, " frames"],
) -> Float64[np.ndarray, "2 joints"]:
    """Mean velocity error times its weight, and the weight: see `FrameErrors.velocity`."""
    moving = scored[1:] & scored[:-1]
    if not moving.any():
        return np.zeros((2, poses.shape[1]))
    mean = metrics.mpjve(poses, targets, reduction="none")[moving].mean(0)
    weight = float(scored.sum())
    return np.stack([weight * mean, np.full_like(mean, weight)])


def _targets_mm(
    dataset: PoseDataset, target: str, frames: Int[np.ndarray, " entries"]
) -> Float64[np.ndarray, "entries joints 3"]:
    """Root-relative ground truth of some frames."""
    if target == "camera":
        poses = dataset.label("poses_camera_mm")[frames].astype(np.float64)
    elif dataset.poses_image_mm is not None:
        poses = dataset.poses_image_mm[frames].astype(np.float64)
    else:
        factor = dataset.label("factor_mm_per_px")[frames].astype(np.float64)
        poses = dataset.label("poses_image_px")[frames] * factor[:, None, None]
    return _root_relative(poses, dataset.skeleton.root)


def _root_relative(poses: np.ndarray, root: int) -> np.ndarray:
    return poses - poses[:, root : root + 1]
