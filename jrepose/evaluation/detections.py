"""Keypoints in the images of a dataset, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, PyTree
from ml_collections import ConfigDict

from jrepose import keypoint_metrics, parallel
from jrepose.data.columns import columns_of
from jrepose.data.images.dataset import ImageDataset
from jrepose.data.windows import clips_for_evaluation
from jrepose.errors import InputError
from jrepose.evaluation.predict import detect_clips
from jrepose.keypoint_metrics import SIGMAS, Annotated, Detected
from jrepose.tasks import DetectingTask

PCK_THRESHOLD = 0.05
"""Of the longer side of a person's box, or of the crop's side."""

DETECTION_SCORES = ("ap", "ar", "pck_box", "pck_image", "mse", "error_px")

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "multiview-8": {"ap": 90.3, "ar": 94.1, "pck_box": 97.7, "mse": 40.2},
        "multiview-32": {"ap": 91.4, "ar": 94.8, "pck_box": 98.6, "mse": 33.6},
        "multiview-128": {"ap": 92.1, "ar": 95.3, "pck_box": 98.9, "mse": 28.7},
        "multiview-baseline": {"ap": 79.5, "ar": 86.6, "pck_box": 95.4, "mse": 74.7},
    }
)
"""What the detector's paper prints for Human3.6M, by frames of a clip and without its transformers;
it does not say which PCK that is, nor the unit of the squared error."""

Found = Float32[np.ndarray, "moments views joints 2"]
Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class DetectionResult:
    """What was found, and its scores.

    Args:
        found_px: keypoints in crop pixels; NaN where no clip holds the moment.
        image_px: the same in pixels of the images.
        scores: of all images: AP, AR and PCK in percent, squared error in px² and mean distance
            in px of the crops, `images`; `hidden_px` where it is known where hidden joints are.
        per_view, per_action, per_joint: the same of parts; joints have no AP and AR.
        per_stretch: of the images in which something stands in front of the person, and of all
            others.
        settings: how it was done.
        published: the paper's row beside it, if one was asked for.
    """

    found_px: Found
    image_px: Found
    scores: Scores
    per_view: Mapping[str, Scores]
    per_action: Mapping[str, Scores]
    per_joint: Mapping[str, Scores]
    per_stretch: Mapping[str, Scores]
    settings: Mapping[str, Any]
    published: Mapping[str, float] | None = None


def detect_dataset(
    task: DetectingTask,
    variables: PyTree,
    dataset: ImageDataset,
    config: ConfigDict,
    *,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> Found:
    """Keypoints in all images, crop pixels; NaN where no clip holds the moment.

    Of several clips that hold a moment, the one that has it closest to its centre counts.

    Args:
        task, variables: what detects, and with what.
        dataset: needs no labels.
        config: read are `clip`, `seed`, `evaluation.batch_size` and `.flip`.
        devices: of all processes; None takes all.
        progress: show a progress bar.
    """
    windows = clips_for_evaluation(dataset, config.clip)
    found = detect_clips(
        task,
        variables,
        columns_of(dataset, task.inputs),
        windows.inputs,
        batch_size=config.evaluation.batch_size,
        flip=config.evaluation.flip,
        seed=config.seed,
        devices=devices,
        progress=progress,
    )
    everywhere = np.full((dataset.frames, *found.shape[2:]), np.nan, np.float32)
    everywhere[windows.targets[windows.scored]] = found[windows.scored]
    everywhere[~dataset.views_seen] = np.nan
    return everywhere


def evaluate_detections(dataset: ImageDataset, found: Found, config: ConfigDict) -> DetectionResult:
    """Scores of what was found, as a whole and in parts.

    Args:
        dataset: the labels.
        found: see `detect_dataset`.
        config: read are `clip`, `detection.sigmas`, `evaluation.flip` and `published`.

    Raises:
        InputError: nothing was found, or nothing is published under that name.
    """
    published = None
    if config.published is not None:
        if config.published not in PUBLISHED:
            raise InputError(
                f"config.published is {config.published!r}, expected one of {', '.join(PUBLISHED)}"
            )
        published = PUBLISHED[config.published]
    labels = _Labels(dataset, found, SIGMAS[config.detection.sigmas])
    cameras: dict[str, np.ndarray] = {}
    actions: dict[str, np.ndarray] = {}
    for sequence in dataset.sequences:
        rows = slice(sequence.start, sequence.stop)
        actions.setdefault(sequence.action, np.zeros(found.shape[:2], bool))[rows] = True
        for number, view in enumerate(sequence.views):
            cameras.setdefault(view.name, np.zeros(found.shape[:2], bool))[rows, number] = True
    occluded = dataset.occluded
    if occluded is None:
        occluded = ~dataset.joints_seen.all(-1)
    stretches = {"occluded": occluded, "clear": ~occluded}
    return DetectionResult(
        found_px=found,
        image_px=labels.image_px,
        scores=labels.scores(dataset.views_seen),
        per_view={name: labels.scores(chosen) for name, chosen in cameras.items()},
        per_action={name: labels.scores(chosen) for name, chosen in sorted(actions.items())},
        per_joint=labels.per_joint(),
        per_stretch={name: labels.scores(chosen) for name, chosen in stretches.items()},
        settings={
            "clip_frames": config.clip.frames,
            "clip_stride": config.clip.evaluation_stride,
            "windows": config.clip.evaluation_windows,
            "flip": config.evaluation.flip,
            "sigmas": config.detection.sigmas,
            "pck_threshold": PCK_THRESHOLD,
            "occluded_means": "something stands in front of the person"
            if dataset.occluded is not None
            else "a joint is not seen",
        },
        published=published,
    )


def detection_scores(dataset: ImageDataset, found: Found, config: ConfigDict) -> Scores:
    """`DetectionResult.scores` alone."""
    return _Labels(dataset, found, SIGMAS[config.detection.sigmas]).scores(dataset.views_seen)


class _Labels:
    """Found keypoints beside the labels."""

    def __init__(self, dataset: ImageDataset, found: Found, sigmas: tuple[float, ...]):
        moments = np.arange(dataset.frames)
        self._dataset, self._found, self._sigmas = dataset, found, sigmas
        self.image_px = dataset.to_image_px(found, moments).astype(np.float32)
        self._there = np.isfinite(found).all((-1, -2))
        if not (self._there[..., None] & dataset.joints_seen).any():
            raise InputError("no image has a visible joint to compare with")
        self._seen = dataset.joints_seen
        # Where a joint is not seen its label may be anything.
        known = self._seen if dataset.poses_camera_mm is None else np.ones_like(self._seen)
        self._truth = np.where(known[..., None], dataset.joints_px, 0).astype(np.float32)
        self._image_truth = dataset.to_image_px(self._truth, moments)
        self._hidden = known & ~self._seen
        with np.errstate(invalid="ignore"):
            self._squared = np.square(found - self._truth)

    def scores(self, chosen: Bool[np.ndarray, "moments views"]) -> Scores:
        """Of some of the images; NaN where they have nothing to compare."""
        dataset, here = self._dataset, chosen & self._there
        seen, boxes = self._seen[here], dataset.boxes[here]
        number = np.arange(len(seen))
        precision = keypoint_metrics.average_precision(
            Detected(self.image_px[here], np.ones(len(seen)), number),
            Annotated(
                self._image_truth[here].astype(np.float32),
                seen,
                boxes[:, 2] * boxes[:, 3],
                boxes,
                number,
            ),
            self._sigmas,
        ).summary
        found = {"images": len(seen), "ap": 100 * precision["AP"], "ar": 100 * precision["AR"]}
        found["pck_box"] = 100 * self._correct(here, self._box_sizes(here)).mean
        found["pck_image"] = 100 * self._correct(here, float(dataset.images.shape[3])).mean
        squared = self._squared[here]
        found |= self._errors(squared, seen)
        if dataset.poses_camera_mm is not None:
            found["hidden_px"] = self._errors(squared, self._hidden[here])["error_px"]
        return {name: float(value) for name, value in found.items()}

    def per_joint(self) -> dict[str, Scores]:
        """Of all images, without AP and AR."""
        here = self._there
        seen, squared, hidden = self._seen[here], self._squared[here], self._hidden[here]
        correct = self._correct(here, self._box_sizes(here)).per_joint
        scores = {}
        for joint, name in enumerate(self._dataset.skeleton.joint_names):
            found = {"images": float(seen[:, joint].sum()), "pck_box": 100 * float(correct[joint])}
            found |= self._errors(squared[:, joint], seen[:, joint])
            if self._dataset.poses_camera_mm is not None:
                of_hidden = self._errors(squared[:, joint], hidden[:, joint])
                found["hidden_px"] = of_hidden["error_px"]
            scores[name] = found
        return scores

    def _box_sizes(self, here: Bool[np.ndarray, "moments views"]) -> Float[np.ndarray, " images"]:
        """The longer sides of the boxes, in pixels of the crops."""
        scale = np.linalg.norm(self._dataset.crops[here][..., 0], axis=-1)
        return self._dataset.boxes[here][:, 2:].max(-1, initial=0) / scale

    def _correct(
        self, here: Bool[np.ndarray, "moments views"], size: Float[np.ndarray, " images"] | float
    ) -> keypoint_metrics.CorrectKeypoints:
        return keypoint_metrics.pck(
            self._found[here], self._truth[here], self._seen[here],
            threshold=PCK_THRESHOLD, size=size,
        )  # fmt: skip

    @staticmethod
    def _errors(
        squared: Float[np.ndarray, "*entries 2"], counts: Bool[np.ndarray, "*entries"]
    ) -> Scores:
        chosen = squared[counts]
        if not len(chosen):
            return {"mse": np.nan, "error_px": np.nan}
        return {
            "mse": float(chosen.mean(dtype=np.float64)),
            "error_px": float(np.sqrt(chosen.sum(-1)).mean(dtype=np.float64)),
        }
