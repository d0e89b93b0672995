"""From variables to scores."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float32, PyTree
from ml_collections import ConfigDict

from jrepose import parallel
from jrepose.data.columns import columns_of
from jrepose.data.dataset import Dataset, PoseDataset
from jrepose.data.windows import EvaluationWindows, clips_for_evaluation
from jrepose.errors import InputError
from jrepose.evaluation.detections import DETECTION_SCORES
from jrepose.evaluation.predict import predict_clips, require_frames, score_clips
from jrepose.evaluation.protocol import Protocol, counted_entries
from jrepose.evaluation.published import PublishedRow, benchmark_of, published_row
from jrepose.evaluation.scores import (
    SCORES,
    EvaluationResult,
    check_scored,
    evaluate_predictions,
)
from jrepose.tasks import DetectingTask, ScoredTask, Task, Trainable


def evaluate_dataset(
    task: Task,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    *,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Predicts a dataset and scores the predictions.

    Args:
        task, variables: what predicts, and with what.
        dataset: what to evaluate on; invalid frames are fed to the model and not scored.
        config: read are `clip`, `seed`; all of `evaluation` but `every_epochs` and `best_by`;
            `published`, and `data` to know the benchmark that the published row is of.
        devices: devices of all processes; None takes all.
        progress: show a progress bar.

    Raises:
        InputError: an unknown choice in the config, nothing published under that name, or no
            frame can be scored.
    """
    clip = config.clip
    protocol, published, windows = _read_settings(config, dataset)
    predictions = _predict(task, variables, dataset, config, windows, devices, progress)
    return evaluate_predictions(
        dataset,
        predictions,
        windows.targets,
        counted_entries(windows, protocol.overlap),
        protocol,
        clip_frames=clip.frames,
        settings={
            "benchmark": benchmark_of(config.data),
            "clip_frames": clip.frames,
            "clip_stride": clip.evaluation_stride,
            "windows": clip.evaluation_windows,
            "flip": config.evaluation.flip,
        },
        published=published,
    )


def predict_dataset(
    task: Task,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    *,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> Float32[np.ndarray, "*hypotheses frames joints 3"]:
    """Poses of every frame of a dataset, which needs no labels.

    Of several clips that hold a frame, the one that has it closest to its centre counts.  The
    arguments are those of `evaluate_dataset`.

    Returns:
        Poses in the dataset's target space; NaN where no clip holds the frame.
    """
    windows = clips_for_evaluation(dataset, config.clip)
    predictions = _predict(task, variables, dataset, config, windows, devices, progress)
    *several, _, _, joints, _ = predictions.shape
    poses = np.full((*several, dataset.frames, joints, 3), np.nan, np.float32)
    poses[..., windows.targets[windows.scored], :, :] = predictions[..., windows.scored, :, :]
    return poses


def _predict(
    task: Task,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    windows: EvaluationWindows,
    devices: parallel.Devices | None,
    progress: bool,
) -> Float32[np.ndarray, "*hypotheses clips targets joints 3"]:
    return predict_clips(
        task,
        variables,
        columns_of(dataset, task.inputs),
        windows.inputs,
        targets=windows.targets.shape[1],
        batch_size=config.evaluation.batch_size,
        flip=config.evaluation.flip,
        seed=config.seed,
        devices=devices,
        progress=progress,
    )


def score_dataset(
    task: ScoredTask,
    variables: PyTree,
    dataset: Dataset,
    config: ConfigDict,
    *,
    devices: parallel.Devices | None = None,
) -> dict[str, float]:
    """The mean over a dataset's clips of the scores that a task without poses gives them.

    The arguments are those of `evaluate_dataset`.
    """
    return score_clips(
        task,
        variables,
        columns_of(dataset, task.inputs),
        clips_for_evaluation(dataset, config.clip).inputs,
        batch_size=config.evaluation.batch_size,
        flip=config.evaluation.flip,
        seed=config.seed,
        devices=devices,
    )


def check_frames(task: Task, variables: PyTree, dataset: PoseDataset, config: ConfigDict) -> None:
    """Refuses a model that does not give the frames that are scored; nothing is computed.

    Args:
        task, dataset, config: as for `evaluate_dataset`.
        variables: of the task, or their shapes.

    Raises:
        InputError: it gives others.
    """
    windows = clips_for_evaluation(dataset, config.clip)
    frames, targets = windows.inputs.shape[1], windows.targets.shape[1]
    clip = {
        name: column.zeros(1, frames) for name, column in columns_of(dataset, task.inputs).items()
    }
    keys = jax.random.split(jax.random.key(0), 1)
    poses = jax.eval_shape(
        lambda *operands: task.predict(*operands, flip=False), variables, clip, keys
    )
    require_frames(min(poses.shape[-3], targets), frames, targets)  # the middle ones are taken


def check_settings(config: ConfigDict, dataset: Dataset, task: Trainable) -> None:
    """Refuses before a training what its first validation would refuse.

    Raises:
        InputError: as `evaluate_dataset`, or `evaluation.best_by` is no score.
    """
    best_by, detects = config.evaluation.best_by, isinstance(task, DetectingTask)
    known = DETECTION_SCORES if detects else SCORES
    if best_by not in (None, *known) and not isinstance(task, ScoredTask):
        raise InputError(
            f"unknown evaluation.best_by {best_by!r}; expected one of {', '.join(known)}"
        )
    if config.evaluation.batch_size < 1:
        raise InputError(
            f"evaluation.batch_size must be at least 1, got {config.evaluation.batch_size}"
        )
    if isinstance(task, DetectingTask | ScoredTask):
        clips_for_evaluation(dataset, config.clip)
        return
    protocol, _, windows = _read_settings(config, dataset)
    protocol.check(dataset)
    check_scored(dataset, windows.targets, counted_entries(windows, protocol.overlap), protocol)


def _read_settings(
    config: ConfigDict, dataset: Dataset
) -> tuple[Protocol, PublishedRow | None, EvaluationWindows]:
    evaluation = config.evaluation
    protocol = Protocol(
        target=evaluation.target,
        root=evaluation.root,
        keep_keypoints=evaluation.keep_keypoints,
        overlap=evaluation.overlap,
        by_subject=evaluation.by_subject,
        exclude=tuple(evaluation.exclude),
    )
    of_image = getattr(dataset, "target_space", None) == "image"
    if protocol.root == "zero" and of_image and config.training.root != "frame":
        raise InputError(
            f"evaluation.root is 'zero', and with training.root={config.training.root} in image "
            "space a root is predicted where it lies in the image; expected 'subtract'"
        )
    benchmark = benchmark_of(config.data)
    published = published_row(benchmark, config.published) if config.published else None
    return protocol, published, clips_for_evaluation(dataset, config.clip)
