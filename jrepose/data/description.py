"""What a checkpoint was trained on, in a few plain values, and whether other data fits it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jrepose.data.dataset import Dataset
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton

_LOG = logging.getLogger(__name__)


def describe(dataset: Dataset, config: ConfigDict) -> dict[str, Any]:
    """What a checkpoint says of itself, besides its config and step.

    Args:
        dataset: what is trained on.
        config: read are `model.name`, `data.source` and `clip`.

    Returns:
        Plain values: `model`, `source`, `clip`, `skeleton` and `keypoint_skeleton` (names),
        `joints` and `keypoint_joints` (names in order), `joint_parents`, `joint_pairs` (left and
        right) and the same of the keypoints, `target_space`, `frame_rates` (Hz), `scaling` (see
        `PoseDataset`).
    """
    return {
        "model": config.model.name,
        "source": config.data.source,
        "clip": config.clip.to_dict(),
        "skeleton": dataset.skeleton.name,
        "joints": list(dataset.skeleton.joint_names),
        "keypoint_skeleton": dataset.keypoint_skeleton.name,
        "keypoint_joints": list(dataset.keypoint_skeleton.joint_names),
        **_structure(dataset.skeleton, "joint"),
        **_structure(dataset.keypoint_skeleton, "keypoint"),
        "scaling": dataset.scaling,
        "target_space": dataset.target_space,
        "frame_rates": _frame_rates(dataset),
    }


def _structure(skeleton: Skeleton, of: str) -> dict[str, Any]:
    pairs = zip(skeleton.left, skeleton.right, strict=True)
    return {
        f"{of}_parents": list(skeleton.parents),
        f"{of}_pairs": [list(pair) for pair in pairs],
    }


def check_fits(description: Mapping[str, Any], dataset: Dataset, origin: object) -> None:
    """Checks that a checkpoint can be evaluated on a dataset.

    Another frame rate is possible and is warned of.

    Args:
        description: of the checkpoint; empty, from an older version or a converted file,
            everything fits.
        dataset: what to evaluate on.
        origin: the checkpoint, for the message.

    Raises:
        InputError: other keypoints, other joints, another target space or scaling.
    """
    for what, skeleton, name, joints in (
        ("keypoints", dataset.keypoint_skeleton, "keypoint_skeleton", "keypoint_joints"),
        ("poses", dataset.skeleton, "skeleton", "joints"),
    ):
        if list(skeleton.joint_names) != list(description.get(joints, skeleton.joint_names)):
            trained = description[joints]
            differing = [
                f"{ours} for {theirs}"
                for ours, theirs in zip(skeleton.joint_names, trained, strict=False)
                if ours != theirs
            ]
            example = f" ({differing[0]}, for instance)" if differing else ""
            raise InputError(
                f"{origin} was trained on {what} of {description[name]} ({len(trained)} joints), "
                f"the data has {skeleton.name} ({skeleton.num_joints} joints){example}; a model "
                "knows one order of joints"
            )
    trained = description.get("target_space", dataset.target_space)
    if trained != dataset.target_space:
        raise InputError(
            f"{origin} was trained to predict {trained} poses, the data's target space is "
            f"{dataset.target_space}; see config.data.target_space"
        )
    scaling = description.get("scaling", "screen" if description else dataset.scaling)
    if scaling != dataset.scaling:
        raise InputError(
            f"{origin} was trained on keypoints scaled by the {scaling}, the data's are scaled by "
            f"the {dataset.scaling}; see config.data.scaling"
        )
    rates = description.get("frame_rates")
    if rates and not set(_frame_rates(dataset)) <= set(rates):
        _LOG.warning(
            "%s was trained on videos of %s Hz, these have %s Hz",
            origin,
            ", ".join(f"{rate:g}" for rate in rates),
            ", ".join(f"{rate:g}" for rate in _frame_rates(dataset)),
        )


def _frame_rates(dataset: Dataset) -> list[float]:
    return sorted({float(video.frame_rate) for video in dataset.videos})
