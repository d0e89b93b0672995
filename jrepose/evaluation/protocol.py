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
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32

from jrepose import metrics
from jrepose.data.dataset import Dataset, PoseDataset
from jrepose.data.windows import EvaluationWindows
from jrepose.errors import InputError

OVERLAPS = ("once", "average", "slots")
TARGETS = ("image", "camera")
ROOTS = ("subtract", "zero", "keep")

# Entries of clips at a time: bounds the memory for float64 copies, whatever the dataset's size.
_BLOCK = 16384


def _check_choice(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"unknown evaluation.{field} {value!r}; expected one of {', '.join(known)}"
        )


@dataclass(frozen=True)
class Protocol:
    """How a benchmark scores predictions.

    Args:
        target: ground truth to compare with: `"image"`, the 2.5D label scaled to millimetres
            (a scaled weak-perspective pose), or `"camera"`, the pose in camera axes; None: the
            one in the space that the dataset's models predict.
        root: what happens to the predicted root.  `"subtract"`: it is subtracted from all
            joints, in mm; `"zero"`: set to 0 in the model's units, then subtracted; `"keep"`:
            nothing, so that its own position counts as error.
        keep_keypoints: predicted x, y give way to those of the model's input, so that only
            depth is scored (the `gt_2d` evaluation of MotionBERT and RePOSE).
        overlap: how often a frame of several clips counts.  `"once"`: one entry per frame.
            `"average"`: every clip's entry of the frame; their errors are averaged.  `"slots"`:
            all, repeated frames too; a frame weighs as often as it is counted, and velocities are
            those of a video's clips laid end to end, jumps between clips included (MixSTE).
        by_subject: the mean is over each subject's actions (HumanEva) instead of over actions
            of all subjects together.
        exclude: `"SUBJECT/ACTION"` left out of all means, the subject without its folder:
            `"S3/Walking"`.

    Raises:
        InputError: an unknown choice.
    """

    target: str | None = None
    root: str = "subtract"
    keep_keypoints: bool = False
    overlap: str = "once"
    by_subject: bool = False
    exclude: tuple[str, ...] = ()

    def __post_init__(self):
        if self.target is not None:
            _check_choice("target", self.target, TARGETS)
        _check_choice("root", self.root, ROOTS)
        _check_choice("overlap", self.overlap, OVERLAPS)
        for name in self.exclude:
            if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
                raise InputError(
                    f"evaluation.exclude has {name!r}; expected SUBJECT/ACTION such as S3/Walking"
                )

    def target_on(self, dataset: Dataset) -> str:
        """The ground truth to compare with, `"image"` or `"camera"`."""
        return self.target or ("image" if dataset.target_space == "image" else "camera")

    def check(self, dataset: Dataset) -> None:
        """Refuses what a dataset does not allow.

        Raises:
            InputError: its predictions have no common origin, its keypoints cannot be kept, or it
                lacks the ground truth.
        """
        if self.root == "keep" and dataset.target_space == "image":
            raise InputError(
                "evaluation.root is 'keep', and predictions in image space have no common origin "
                "with the ground truth; expected 'subtract'"
            )
        _targets(dataset, self.target_on(dataset), np.arange(0))  # that are there
        same_joints = dataset.keypoint_skeleton is dataset.skeleton
        if self.keep_keypoints and (dataset.target_space != "image" or not same_joints):
            raise InputError(
                "evaluation.keep_keypoints needs predictions in image space and keypoints of the "
                f"same joints; this data has target space {dataset.target_space} and keypoints "
                f"{dataset.keypoint_skeleton.name} for {dataset.skeleton.name}"
            )


DEFAULT_PROTOCOL = Protocol()


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
    """Which entries of the clips are scored; `overlap` is that of a `Protocol`."""
    if overlap == "slots":
        return np.ones(windows.targets.shape, bool)
    return windows.scored if overlap == "once" else windows.distinct


def score_frames(
    dataset: PoseDataset,
    predictions: Float32[np.ndarray, "clips frames joints 3"],
    index: Int[np.ndarray, "clips frames"],
    counted: Bool[np.ndarray, "clips frames"],
    protocol: Protocol = DEFAULT_PROTOCOL,
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
        protocol: read are `target`, `root`, `keep_keypoints` and `overlap`.

    Raises:
        InputError: the dataset does not allow the protocol.
    """
    protocol.check(dataset)
    in_mm = _InMillimetres(
        dataset, predictions, index, protocol.target_on(dataset), protocol.root,
        dataset.model_inputs() if protocol.keep_keypoints else None,
    )  # fmt: skip
    sums, counts = _sums_by_frame(in_mm, counted)
    evaluated = (counts > 0) & dataset.valid
    divisor = np.where(counts > 0, counts, np.nan).astype(np.float32)
    poses_mm = sums.pop("poses")
    poses_mm /= divisor[:, None, None]
    for total in sums.values():
        total /= np.where(evaluated, divisor, np.nan)[:, None]
    targets_mm = np.empty_like(poses_mm)
    for video in dataset.videos:
        rows = np.arange(video.start, video.stop)
        targets_mm[rows] = _targets(dataset, in_mm.target, rows)

    every_slot = protocol.overlap == "slots"
    if every_slot:
        velocity = _velocity_of_slots(in_mm, counted, evaluated)
    else:
        rows = [slice(video.start, video.stop) for video in dataset.videos]
        velocity = np.stack(
            [_velocity(poses_mm[r], targets_mm[r], evaluated[r]) for r in rows], axis=1
        )
    return FrameErrors(
        poses_mm=poses_mm,
        targets_mm=targets_mm,
        evaluated=evaluated,
        weight=np.where(evaluated, counts if every_slot else 1, 0).astype(np.int32),
        velocity=velocity,
        **sums,
    )


@dataclass(frozen=True, eq=False)
class _InMillimetres:
    """Predictions and ground truth of chosen entries of clips, ready to be compared.

    Args:
        dataset, predictions, index, target, root: see `score_frames`.
        inputs: model inputs whose x, y replace the predicted ones.
    """

    dataset: PoseDataset
    predictions: Float32[np.ndarray, "clips frames joints 3"]
    index: Int[np.ndarray, "clips frames"]
    target: str
    root: str
    inputs: Float32[np.ndarray, "all_frames joints 3"] | None

    def __call__(
        self, clips: slice | np.ndarray, entries: Int[np.ndarray, " entries"]
    ) -> tuple[
        Float32[np.ndarray, "entries joints 3"],
        Float64[np.ndarray, "entries joints 3"],
        Int[np.ndarray, " entries"],
    ]:
        """Predictions, ground truth and frames of some entries, numbered within these clips."""
        frames = self.index[clips].reshape(-1)[entries]
        poses = self.predictions[clips].reshape(-1, *self.predictions.shape[2:])[entries]
        if self.root == "zero":
            poses[:, self.dataset.skeleton.root] = 0.0
        if self.inputs is not None:
            poses[..., :2] = self.inputs[frames, :, :2]
        poses = self.dataset.to_mm(poses, frames)
        if self.root != "keep":
            poses = _root_relative(poses, self.dataset.skeleton.root)
        return poses, _targets(self.dataset, self.target, frames), frames


def _targets(
    dataset: PoseDataset, target: str, frames: Int[np.ndarray, " entries"]
) -> Float64[np.ndarray, "entries joints 3"]:
    """Root-relative ground truth of some frames.

    Raises:
        InputError: the dataset has none.
    """
    if target == "camera":
        poses = dataset.label("poses_camera_mm")[frames].astype(np.float64)
    elif dataset.poses_image_mm is not None:
        poses = dataset.poses_image_mm[frames].astype(np.float64)
    else:
        factor = dataset.label("factor_mm_per_px")[frames].astype(np.float64)
        poses = dataset.label("poses_image_px")[frames] * factor[:, None, None]
    return _root_relative(poses, dataset.skeleton.root)


def _sums_by_frame(
    in_mm: _InMillimetres, counted: Bool[np.ndarray, "clips frames"]
) -> tuple[dict[str, np.ndarray], Int32[np.ndarray, " all_frames"]]:
    """Sums over the counted entries of each frame: of errors and of poses; and their number."""
    frames, joints = in_mm.dataset.frames, in_mm.dataset.skeleton.num_joints
    names = ("mpjpe", "pa_mpjpe", "n_mpjpe")
    sums = {name: np.zeros((frames, joints), np.float32) for name in names}
    sums["poses"] = np.zeros((frames, joints, 3), np.float32)
    counts = np.zeros(frames, np.int32)
    clips_at_a_time = max(1, _BLOCK // counted.shape[1])
    for start in range(0, len(counted), clips_at_a_time):
        clips = slice(start, start + clips_at_a_time)
        entries = np.flatnonzero(counted[clips])
        if not len(entries):
            continue
        poses, targets, of_frame = in_mm(clips, entries)
        # Entries of the same frame become neighbours, and are added up before they are stored.
        order = np.argsort(of_frame, kind="stable")
        here, first, times = np.unique(of_frame[order], return_index=True, return_counts=True)
        for name in names:
            error = getattr(metrics, name)(poses, targets, reduction="none")
            sums[name][here] += np.add.reduceat(error[order], first, axis=0)
        sums["poses"][here] += np.add.reduceat(poses[order], first, axis=0)
        counts[here] += times.astype(np.int32)
    return sums, counts


def _velocity_of_slots(
    in_mm: _InMillimetres,
    counted: Bool[np.ndarray, "clips frames"],
    evaluated: Bool[np.ndarray, " all_frames"],
) -> Float64[np.ndarray, "2 videos joints"]:
    """Velocity errors of each video's clips laid end to end: see `FrameErrors.velocity`."""
    owner = in_mm.dataset.video_of(in_mm.index[:, 0])
    velocity = []
    for number in range(len(in_mm.dataset.videos)):
        clips = np.flatnonzero(owner == number)
        poses, targets, frames = in_mm(clips, np.flatnonzero(counted[clips]))
        velocity.append(_velocity(poses, targets, evaluated[frames]))
    return np.stack(velocity, axis=1)


def _velocity(
    poses: Float32[np.ndarray, "frames joints 3"],
    targets: Float[np.ndarray, "frames joints 3"],
    scored: Bool[np.ndarray, " frames"],
) -> Float64[np.ndarray, "2 joints"]:
    """Mean velocity error times its weight, and the weight: see `FrameErrors.velocity`."""
    moving = scored[1:] & scored[:-1]
    if not moving.any():
        return np.zeros((2, poses.shape[1]))
    mean = metrics.mpjve(poses, targets, reduction="none")[moving].mean(0)
    weight = float(scored.sum())
    return np.stack([weight * mean, np.full_like(mean, weight)])


def _root_relative(poses: np.ndarray, root: int) -> np.ndarray:
    return poses - poses[:, root : root + 1]
