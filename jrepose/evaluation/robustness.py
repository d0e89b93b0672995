"""How predictions bear that the person stands elsewhere in the image, or moves more.

Both studies are those of W. Shan et al., "Improving Robustness and Accuracy via Relative
Information Encoding in 3D Human Pose Estimation", ACM Multimedia 2021 (Fig. 6 and 7).  Means are
over frames.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, PyTree
from ml_collections import ConfigDict

from jrepose import metrics
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import evaluation_windows
from jrepose.drawing import BLUE, STYLE, VERMILLION, load_matplotlib, new_figure, save_figure
from jrepose.errors import InputError
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.evaluation.protocol import FrameErrors
from jrepose.evaluation.tables import format_columns
from jrepose.files import atomic_path
from jrepose.tasks import Task

# Clips whose movement is measured at a time.
_BLOCK = 256


@dataclass(frozen=True)
class Shift:
    """What became of the predictions when all keypoints were shifted.

    Args:
        offset: x and y, in the model's normalised units: the image is 2 wide.
        mpjpe: of the shifted prediction, against the ground truth, mm.
        drift: distance per joint of the shifted prediction from the unshifted one, mm.
        outside: share of the keypoints that were moved out of the image, percent.
    """

    offset: tuple[float, float]
    mpjpe: float
    drift: float
    outside: float

    @property
    def magnitude(self) -> float:
        return float(np.hypot(*self.offset))


@dataclass(frozen=True)
class MovementSubset:
    """Frames of similar movement range.

    Args:
        frames: their number.
        low, high: smallest and largest movement range, in the model's normalised units.
        mpjpe: mm.
    """

    frames: int
    low: float
    high: float
    mpjpe: float


@dataclass(frozen=True)
class Robustness:
    """Both studies of a model on a dataset.

    Args:
        mpjpe: mm, unshifted.
        shifts: by magnitude.
        subsets: by movement range.
    """

    mpjpe: float
    shifts: tuple[Shift, ...]
    subsets: tuple[MovementSubset, ...]


def measure_robustness(
    task: Task,
    variables: PyTree,
    dataset: PoseDataset,
    config: ConfigDict,
    *,
    shifts: int = 6,
    limit: float = 0.2,
    subsets: int = 10,
    seed: int = 0,
) -> Robustness:
    """Predicts a dataset as it is and with its keypoints shifted.

    Args:
        task, variables, config: as for `evaluate_dataset`.
        dataset: what to predict.
        shifts: how many offsets; x and y of each are uniform in (-limit, limit), the same for all
            frames and joints.  Keypoints that leave the image stay where they are shifted to.
        limit: see above, in the model's normalised units: the image is 2 wide.
        subsets: into how many, of equal size, the frames are sorted by movement range
            (Eq. 15), that of the `config.clip.frames` frames around each, edge frames repeated.
        seed: of the offsets.

    Raises:
        InputError: numbers that cannot be, or as `evaluate_dataset`.
    """
    if shifts < 0 or subsets < 1 or not 0 < limit < 1:
        raise InputError(
            f"expected no less than 0 shifts, 1 subset, and a limit between 0 and 1; got {shifts}, "
            f"{subsets} and {limit:g}"
        )

    def errors_of(shifted: PoseDataset) -> FrameErrors:
        return evaluate_dataset(task, variables, shifted, config, progress=True).per_frame

    plain = errors_of(dataset)
    offsets = np.random.default_rng(seed).uniform(-limit, limit, size=(shifts, 2))
    found = []
    for offset in offsets[np.argsort(np.hypot(*offsets.T), kind="stable")]:
        shifted, outside = shift_keypoints(dataset, offset)
        errors = errors_of(shifted)
        apart = metrics.mpjpe(errors.poses_mm, plain.poses_mm, reduction="none")
        found.append(
            Shift(
                (float(offset[0]), float(offset[1])), _mean(errors.mpjpe, plain),
                _mean(apart, plain), outside,
            )
        )  # fmt: skip
    return Robustness(
        _mean(plain.mpjpe, plain), tuple(found), _by_movement(dataset, plain, config, subsets)
    )


def shift_keypoints(
    dataset: PoseDataset, offset: Float[np.ndarray, 2]
) -> tuple[PoseDataset, float]:
    """The dataset with all keypoints shifted, and the percentage of them outside of the image.

    Args:
        dataset: is left as it is.
        offset: x and y, in normalised units.
    """
    keypoints, outside = np.array(dataset.keypoints_px), 0
    for video in dataset.videos:
        part = keypoints[video.start : video.stop]
        part += (np.asarray(offset) * video.width / 2).astype(part.dtype)
        beyond = (part < 0) | (part > (video.width, video.height))
        outside += np.count_nonzero(beyond.any(-1))
    share = 100 * outside / (keypoints.shape[0] * keypoints.shape[1])
    return dataclasses.replace(dataset, keypoints_px=keypoints), share


def _mean(errors: Float[np.ndarray, "all_frames joints"], counted: FrameErrors) -> float:
    weight = counted.weight.astype(np.float64)
    rows = weight > 0
    return float(np.average(errors[rows].mean(-1), weights=weight[rows]))


def _by_movement(
    dataset: PoseDataset, errors: FrameErrors, config: ConfigDict, count: int
) -> tuple[MovementSubset, ...]:
    rows = np.flatnonzero(errors.weight)
    if len(rows) < count:
        raise InputError(f"{len(rows)} frames cannot be sorted into {count} subsets")
    ranges = _movement_ranges(dataset, config.clip.frames)[rows]
    mpjpe, subset = errors.mpjpe[rows].mean(-1), metrics.equal_subsets(ranges, count)
    members = [subset == number for number in range(count)]
    return tuple(
        MovementSubset(
            int(here.sum()), float(ranges[here].min()), float(ranges[here].max()),
            float(np.average(mpjpe[here], weights=errors.weight[rows][here])),
        )
        for here in members
    )  # fmt: skip


def _movement_ranges(dataset: PoseDataset, frames: int) -> Float64[np.ndarray, " all_frames"]:
    """Of every frame, that of the clip of so many frames, or one more, in whose centre it is."""
    keypoints = dataset.model_inputs()[..., :2]
    windows = evaluation_windows(dataset.videos, frames + 1 - frames % 2, 1, "centred", targets=1)
    ranges = np.zeros(len(keypoints))
    for start in range(0, len(windows.inputs), _BLOCK):
        here = slice(start, start + _BLOCK)
        clips = keypoints[windows.inputs[here]]
        ranges[windows.targets[here, 0]] = metrics.movement_range(clips)
    return ranges


def summary(result: Robustness, width: int = 100) -> str:
    """Both tables."""
    shifts = [
        ("magnitude", [f"{shift.magnitude:.3f}" for shift in result.shifts]),
        ("MPJPE", [f"{shift.mpjpe:.1f}" for shift in result.shifts]),
        ("drift", [f"{shift.drift:.1f}" for shift in result.shifts]),
        ("outside", [f"{shift.outside:.0f} %" for shift in result.shifts]),
    ]
    subsets = [
        ("range from", [f"{subset.low:.3f}" for subset in result.subsets]),
        ("to", [f"{subset.high:.3f}" for subset in result.subsets]),
        ("frames", [f"{subset.frames:,}" for subset in result.subsets]),
        ("MPJPE", [f"{subset.mpjpe:.1f}" for subset in result.subsets]),
    ]
    of_shifts = [f"{x:+.3f} {y:+.3f}" for x, y in (shift.offset for shift in result.shifts)]
    of_subsets = [f"subset {number}" for number in range(1, len(subsets[0][1]) + 1)]
    parts = [f"global shift, mm; without MPJPE {result.mpjpe:.1f}"]
    if result.shifts:
        parts.append(format_columns(of_shifts, shifts, width))
    parts += ["movement range, mm", format_columns(of_subsets, subsets, width)]
    return "\n\n".join(parts)


def write(
    result: Robustness, settings: Mapping[str, Any], folder: str | os.PathLike[str]
) -> list[pathlib.Path]:
    """Writes `robustness.json` and `robustness.png`.

    Raises:
        InputError: the folder cannot be written to.
        MissingExtra: Matplotlib is missing; the numbers are there.
    """
    paths = [pathlib.Path(folder) / f"robustness.{suffix}" for suffix in ("json", "png")]
    shifts = [
        {**dataclasses.asdict(shift), "magnitude": shift.magnitude} for shift in result.shifts
    ]
    content = {"settings": dict(settings), **dataclasses.asdict(result), "shifts": shifts}
    with atomic_path(paths[0]) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    plot(result, paths[1])
    return paths


def plot(result: Robustness, path: str | os.PathLike[str]) -> None:
    """MPJPE and drift over the shift's magnitude; MPJPE of the movement subsets.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7.0, 2.8)
        left, right = figure.subplots(1, 2)
        magnitudes = [0.0, *(shift.magnitude for shift in result.shifts)]
        for label, colour, values in (
            ("MPJPE", BLUE, [result.mpjpe, *(shift.mpjpe for shift in result.shifts)]),
            ("from the unshifted", VERMILLION, [0.0, *(shift.drift for shift in result.shifts)]),
        ):
            left.plot(magnitudes, values, color=colour, marker=".", linewidth=1.2, label=label)
        left.legend(fontsize=7)
        left.set_xlabel("global shift, image width = 2")
        left.set_ylabel("[mm]")
        numbers = np.arange(1, len(result.subsets) + 1)
        right.bar(numbers, [subset.mpjpe for subset in result.subsets], 0.7, color=BLUE)
        right.set_xticks(numbers)
        right.set_xlabel("subset by movement range, least first")
        right.set_ylabel("MPJPE [mm]")
        save_figure(figure, path)
