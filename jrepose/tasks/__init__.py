"""What is learned, found by name: a task owns its networks and its loss.

One file per way of learning.  Step, state, loop, checkpoints and evaluation know tasks, and no
method by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ml_collections import ConfigDict

from jrepose.data.dataset import Dataset
from jrepose.data.images.dataset import ImageDataset
from jrepose.errors import InputError
from jrepose.tasks import d3dp, detection, diffpose, lifting, masked, semi_supervised
from jrepose.tasks.task import (
    CONTEXT,
    Clock,
    DetectingTask,
    Outcome,
    ScoredTask,
    Task,
    Trainable,
)

__all__ = [
    "CONTEXT",
    "ON_IMAGES",
    "TASKS",
    "WITH_CONTEXT",
    "WITH_CORRUPTION",
    "WITH_SAME_JOINTS",
    "WITHOUT_POSES",
    "Clock",
    "DetectingTask",
    "Outcome",
    "ScoredTask",
    "Task",
    "Trainable",
    "create",
]

TASKS: Mapping[str, Callable[[ConfigDict, Dataset, Clock | None], Task]] = MappingProxyType(
    {
        "lifting": lifting.from_config,
        "masked": masked.from_config,
        "semi_supervised": semi_supervised.from_config,
        "diffpose": diffpose.from_config,
        "d3dp": d3dp.from_config,
        "detection": detection.from_config,
    }
)
"""Name -> what makes the task of a config, for a dataset."""

WITHOUT_POSES = ("masked",)
"""Those that are a `ScoredTask`."""

ON_IMAGES = ("detection",)
"""Those that learn from an `ImageDataset` and are a `DetectingTask`; all others learn from a
`PoseDataset`."""

WITH_CONTEXT = ("diffpose",)
"""Those that build on a frozen encoder, the collection `CONTEXT`, by `config.context`."""

WITH_CORRUPTION = ("lifting",)
"""Those whose inputs in training are corrupted, by `config.corruption`; all others refuse it."""

WITH_SAME_JOINTS = ("semi_supervised", "diffpose", "d3dp")
"""Those that see keypoints beside poses, or project poses onto keypoints."""


def create(config: ConfigDict, dataset: Dataset, clock: Clock | None = None) -> Trainable:
    """The config's task.

    Args:
        config: the whole config; `config.task` is the name.
        dataset: tells joints and spaces; its frames are not kept.
        clock: the epoch of a step; None where nothing is to be trained.

    Raises:
        InputError: unknown task, data of another kind, or values in the config that cannot be.
    """
    if config.task not in TASKS:
        raise InputError(f"unknown config.task {config.task!r}; known: {', '.join(TASKS)}")
    of_images = isinstance(dataset, ImageDataset)
    if of_images != (config.task in ON_IMAGES):
        kinds = ("poses", "images")
        raise InputError(
            f"config.task {config.task!r} learns from {kinds[not of_images]}, and "
            f"config.data.source {config.data.source!r} has {kinds[of_images]}"
        )
    if config.task not in WITH_CORRUPTION and any(config.corruption.to_dict().values()):
        raise InputError(
            f"config.corruption is set, and config.task {config.task!r} does not read it; these "
            f"do: {', '.join(WITH_CORRUPTION)}"
        )
    if config.task in WITH_SAME_JOINTS and dataset.keypoint_skeleton != dataset.skeleton:
        raise InputError(
            f"config.task {config.task!r} needs keypoints of the poses' joints; the poses have "
            f"those of {dataset.skeleton.name!r}, the keypoints those of "
            f"{dataset.keypoint_skeleton.name!r}"
        )
    return TASKS[config.task](config, dataset, clock)
