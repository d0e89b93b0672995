"""From a model to scores."""

from __future__ import annotations

from flax import linen as nn
from jaxtyping import PyTree
from ml_collections import ConfigDict

from jrepose import parallel
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import clips_for_evaluation
from jrepose.evaluation.predict import predict_clips
from jrepose.evaluation.protocol import counted_entries
from jrepose.evaluation.published import benchmark_of, published_row
from jrepose.evaluation.scores import EvaluationResult, evaluate_predictions


def evaluate_dataset(
    model: nn.Module,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    *,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Predicts a dataset and scores the predictions.

    Args:
        model, variables: the lifter.
        dataset: what to evaluate on; invalid frames are fed to the model and not scored.
        config: read are `clip.frames`, `.evaluation_stride`, `.evaluation_windows`; all of
            `evaluation` but `every_epochs`; `published`, and `data` to know the benchmark that
            the published row is of.
        devices: devices of all processes; None takes all.
        progress: show a progress bar.

    Raises:
        InputError: an unknown choice in the config, nothing published under that name, or no
            frame can be scored.
    """
    clip, evaluation = config.clip, config.evaluation
    benchmark = benchmark_of(config.data)
    published = published_row(benchmark, config.published) if config.published else None
    windows = clips_for_evaluation(dataset, clip)
    counted = counted_entries(windows, evaluation.overlap)
    predictions = predict_clips(
        model,
        variables,
        dataset.model_inputs(),
        windows.index,
        batch_size=evaluation.batch_size,
        flip=evaluation.flip,
        skeleton=dataset.skeleton,
        keypoint_skeleton=dataset.keypoint_skeleton,
        devices=devices,
        progress=progress,
    )
    return evaluate_predictions(
        dataset,
        predictions,
        windows.index,
        counted,
        target=evaluation.target,
        root=evaluation.root,
        keep_keypoints=evaluation.keep_keypoints,
        every_slot=evaluation.overlap == "slots",
        by_subject=evaluation.by_subject,
        exclude=evaluation.exclude,
        settings={
            "benchmark": benchmark,
            "clip_frames": clip.frames,
            "clip_stride": clip.evaluation_stride,
            "windows": clip.evaluation_windows,
            "overlap": evaluation.overlap,
            "flip": evaluation.flip,
        },
        published=published,
    )
