"""Pictures of results: error per joint, error distribution, poses, loss curves.

Each function writes one file; its suffix decides the format (png, pdf, svg).  Matplotlib is
needed (the extra `plots`) and imported when a picture is drawn.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Sequence

import numpy as np

from jrepose.data.dataset import PoseDataset
from jrepose.drawing import (
    BLUE,
    GREY,
    SERIES,
    STYLE,
    VERMILLION,
    draw_floor,
    draw_keypoints,
    draw_legend,
    draw_pose,
    limb_colour,
    load_matplotlib,
    new_figure,
    save_figure,
    set_pose_view,
)
from jrepose.errors import InputError
from jrepose.evaluation.scores import (
    POSES_ABOVE_MM,
    POSES_BELOW_MM,
    EvaluationResult,
    Scores,
    pose_errors,
)

Path = str | os.PathLike[str]


def plot_joint_errors(result: EvaluationResult, path: Path) -> None:
    """Mean error of each joint, left and right taken together.

    As in MixSTE's Figure 4; but where the data tells occlusion, errors of joints that the camera
    sees and does not see stand side by side.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    pairs = {name: s for name, s in result.per_joint_pair.items() if s["mpjpe"] > 0}
    rows = np.arange(len(pairs))[::-1]
    everything, visible, occluded, share = (
        np.array([scores[key] for scores in pairs.values()])
        for key in ("mpjpe", "mpjpe_visible", "mpjpe_occluded", "occluded")
    )
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.2, 0.9 + 0.28 * len(pairs))
        axes = figure.add_subplot()
        label = "MPJPE [mm]"
        if np.isnan(occluded).all():
            axes.barh(rows, everything, 0.62, color=BLUE)
            _write_at_ends(axes, rows, everything, [f"{value:.1f}" for value in everything])
        else:
            axes.barh(rows + 0.2, visible, 0.38, color=BLUE, label="visible")
            axes.barh(rows - 0.2, occluded, 0.38, color=VERMILLION, label="occluded")
            often = [f"{percent:.0f} %" if percent >= 1 else "<1 %" for percent in share]
            _write_at_ends(axes, rows - 0.22, occluded, often)
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
            label += " (in percent: how often the joint is occluded)"
        variance = f"variance / 10: {result.spread['joint_variance']:.1f}"
        axes.set_title(variance, loc="right", fontsize=8, color="#606060")
        axes.set_yticks(rows, [name.replace("_", " ") for name in pairs])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        axes.margins(x=0.09, y=0.015)
        save_figure(figure, path)


def _write_at_ends(axes, rows: np.ndarray, lengths: np.ndarray, texts: Sequence[str]) -> None:
    """A small text behind each bar that has a length."""
    for row, length, text in zip(rows, lengths, texts, strict=True):
        if not math.isnan(length):
            axes.text(length, row, f" {text}", va="center", fontsize=6.5, color="#606060")


def plot_error_distribution(result: EvaluationResult, dataset: PoseDataset, path: Path) -> None:
    """How errors are distributed over poses, and over visible and occluded joints.

    On the left the poses by their MPJPE, with the shares below 30 and above 40 mm (MixSTE's
    Figure 3); on the right a histogram of the joints' errors and the share of joints below each
    error, without the root.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    frames = result.per_frame
    poses, weight = pose_errors(dataset, frames, result.excluded)
    counted = np.repeat(frames.evaluated[:, None], dataset.skeleton.num_joints, axis=1)
    counted[:, dataset.skeleton.root] = False
    counted &= np.isfinite(frames.mpjpe)
    groups = [
        (label, colour, frames.mpjpe[counted & mask])
        for label, colour, mask in (
            ("visible", BLUE, dataset.visible),
            ("occluded", VERMILLION, ~dataset.visible),
        )
    ]
    groups = [group for group in groups if len(group[2])]
    if len(groups) == 1:
        groups = [("all joints", *groups[0][1:])]
    everything = frames.mpjpe[counted]
    limit = max(150.0, float(np.percentile(everything, 99))) if len(everything) else 150.0
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.8, 2.6)
        left, middle, right = figure.subplots(1, 3)
        _draw_poses_by_error(left, poses, weight, result.spread)
        for label, colour, errors in groups:
            bins, label = np.linspace(0, limit, 61), f"{label} (median {np.median(errors):.0f} mm)"
            middle.hist(errors, bins, density=True, color=colour, histtype="stepfilled", alpha=0.22)
            middle.hist(errors, bins, density=True, color=colour, histtype="step", label=label)
            positions = np.linspace(0, limit, 301)
            below = np.searchsorted(np.sort(errors), positions, side="right") / len(errors)
            right.plot(positions, 100 * below, color=colour)
        middle.set(xlabel="joint error [mm]", ylabel="density", yticks=[], xlim=(0, limit))
        middle.legend(fontsize=8)
        right.axvline(150, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        right.text(149, 3, "PCK threshold", rotation=90, ha="right", fontsize=7, color="#606060")
        right.set(xlabel="joint error [mm]", ylabel="joints below [%]", xlim=(0, limit))
        right.set_ylim(0, 101)
        right.grid(axis="y", color="#E8E8E8", linewidth=0.6)
        save_figure(figure, path)


def _draw_poses_by_error(axes, poses: np.ndarray, weight: np.ndarray, spread: Scores) -> None:
    """Share of poses in bins of 5 mm, and MixSTE's two marks."""
    finite = np.isfinite(poses)
    poses, weight = poses[finite], weight[finite]
    longest = float(np.percentile(poses, 99.5)) if len(poses) else 0.0
    bins = np.arange(0.0, max(60.0, longest) + 5.0, 5.0)
    share = 100.0 * weight / max(weight.sum(), 1)
    axes.hist(poses, bins, weights=share, color=BLUE, histtype="stepfilled", alpha=0.22)
    axes.hist(poses, bins, weights=share, color=BLUE, histtype="step")
    for mark, side, name in (
        (POSES_BELOW_MM, "right", f"poses_below_{POSES_BELOW_MM}_mm"),
        (POSES_ABOVE_MM, "left", f"poses_above_{POSES_ABOVE_MM}_mm"),
    ):
        axes.axvline(mark, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        which = "below" if side == "right" else "above"
        axes.annotate(
            f"{spread[name]:.0f} %\n{which} {mark}", (mark, 1.0),
            xycoords=("data", "axes fraction"), xytext=(-3 if side == "right" else 3, -2),
            textcoords="offset points", ha=side, va="top", fontsize=7, color="#606060",
        )  # fmt: skip
    axes.set(xlabel="MPJPE of the pose [mm]", ylabel="poses [%]", xlim=(0, bins[-1]))


def plot_poses(
    result: EvaluationResult,
    dataset: PoseDataset,
    path: Path,
    *,
    frames: Sequence[int] | None = None,
    count: int = 6,
) -> None:
    """A strip of frames: 2D input, and predicted over true 3D pose from two sides.

    Args:
        result, dataset: the evaluation and what it was made on.
        path: file to write.
        frames: dataset frames to draw; by default `count` frames, evenly spaced over the
            video whose error is the median of all videos.
        count: how many frames to choose.

    Raises:
        InputError: a frame was not evaluated.
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    chosen = _typical_frames(result, dataset, count) if frames is None else list(frames)
    if not chosen or not result.per_frame.evaluated[chosen].all():
        raise InputError(f"poses to draw: frames {chosen} are not all evaluated")
    truth, predicted = result.per_frame.targets_mm[chosen], result.per_frame.poses_mm[chosen]
    # Half the side of a cube, and the height of its centre, that hold all true poses.
    centre = float(-(truth[..., 1].max() + truth[..., 1].min()) / 2)
    reach = float(max(np.abs(truth[..., 1] + centre).max(), np.abs(truth[..., ::2]).max()))
    with matplotlib.rc_context(STYLE):
        width = 0.25 + 1.2 * len(chosen)
        figure = new_figure(width, 5.0, layout="none")
        grid = figure.add_gridspec(
            3, len(chosen), left=0.25 / width, right=1.0, top=0.95, bottom=0.06, wspace=0.0,
            hspace=0.05, height_ratios=(1.0, 1.15, 1.15),
        )  # fmt: skip
        for column, frame in enumerate(chosen):
            axes = figure.add_subplot(grid[0, column])
            _draw_input(axes, dataset, frame)
            error = result.per_frame.mpjpe[frame].mean()
            axes.set_title(f"{error:.0f} mm", fontsize=8, pad=2)
            for row, azimuth in ((1, -60.0), (2, 0.0)):
                axes = figure.add_subplot(grid[row, column], projection="3d", computed_zorder=False)
                draw_floor(axes, truth[column], reach)
                draw_pose(axes, truth[column], dataset.skeleton, truth=True)
                draw_pose(axes, predicted[column], dataset.skeleton, truth=False)
                set_pose_view(axes, reach, centre, azimuth)
        for y, label in ((0.8, "2D input"), (0.52, "3D"), (0.2, "3D, from the side")):
            figure.text(0.005, y, label, rotation=90, va="center", fontsize=8)
        draw_legend(figure)
        save_figure(figure, path)


def plot_reliability(result: EvaluationResult, path: Path) -> None:
    """The error that hypotheses' spread lets expect, and the error that was found.

    Raises:
        InputError: the result has no calibration.
        MissingExtra: Matplotlib is missing.
    """
    known = result.hypotheses and result.hypotheses.calibration
    if known is None:
        raise InputError("reliability: there is no calibration without several hypotheses")
    matplotlib = load_matplotlib()
    largest = 1.05 * max(known.expected.max(), known.found.max())
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3.6, 3.4)
        axes = figure.add_subplot()
        axes.plot([0, largest], [0, largest], color=GREY, linewidth=0.8, linestyle="--")
        axes.text(largest, largest, "calibrated ", ha="right", va="top", fontsize=7,
                  color="#606060", rotation=45, rotation_mode="anchor")  # fmt: skip
        axes.plot(known.expected, known.found, color=BLUE, marker="o", markersize=4)
        axes.set(xlabel="error expected from the spread [mm]", ylabel="error found [mm]",
                 xlim=(0, largest), ylim=(0, largest))  # fmt: skip
        axes.set_title(
            f"rank correlation {known.rank_correlation:.2f}; {known.overconfidence:.2f} times the "
            "expected error", fontsize=8, color="#606060",
        )  # fmt: skip
        axes.set_aspect("equal")
        save_figure(figure, path)


def plot_hypotheses(
    result: EvaluationResult, dataset: PoseDataset, path: Path, *, count: int = 4
) -> None:
    """Clouds of the hypotheses' joints around their mean pose, over the true one, from two sides.

    Args:
        result, dataset: the evaluation and what it was made on.
        path: file to write.
        count: how many frames of a typical video.

    Raises:
        InputError: the result has one hypothesis only.
        MissingExtra: Matplotlib is missing.
    """
    if result.hypotheses is None:
        raise InputError("hypotheses to draw: there is one of every pose")
    matplotlib = load_matplotlib()
    chosen = _typical_frames(result, dataset, count)
    frames, several = result.per_frame, result.hypotheses.per_frame.poses_mm
    truth, predicted, clouds = (
        frames.targets_mm[chosen],
        frames.poses_mm[chosen],
        several[:, chosen],
    )
    skeleton = dataset.skeleton
    colours = [limb_colour(skeleton, joint) for joint in range(skeleton.num_joints)]
    centre = float(-(truth[..., 1].max() + truth[..., 1].min()) / 2)
    reach = float(max(np.abs(truth[..., 1] + centre).max(), np.abs(truth[..., ::2]).max()))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(0.25 + 1.7 * len(chosen), 4.4, layout="none")
        grid = figure.add_gridspec(
            2, len(chosen), left=0.02, right=1.0, top=0.95, bottom=0.07, wspace=0.0, hspace=0.0
        )
        for column, frame in enumerate(chosen):
            for row, azimuth in enumerate((-60.0, 0.0)):
                axes = figure.add_subplot(grid[row, column], projection="3d", computed_zorder=False)
                draw_floor(axes, truth[column], reach)
                draw_pose(axes, truth[column], skeleton, truth=True)
                draw_pose(axes, predicted[column], skeleton, truth=False)
                x, y, z = clouds[:, column].reshape(-1, 3).T
                axes.scatter(x, z, -y, c=colours * len(several), s=2, alpha=0.35, linewidths=0,
                             zorder=3)  # fmt: skip
                set_pose_view(axes, reach, centre, azimuth)
                if row == 0:
                    spread = result.hypotheses.per_frame.joints["spread"][frame].mean()
                    error = frames.mpjpe[frame].mean()
                    axes.set_title(f"{error:.0f} mm, spread {spread:.0f} mm", fontsize=8, pad=0)
        draw_legend(figure)
        save_figure(figure, path)


def plot_loss_curves(metrics_path: Path, path: Path) -> None:
    """Loss terms, validation errors and depth order over the steps of a training run.

    Args:
        metrics_path: the run's `metrics.jsonl`: one JSON object per line with `step` and
            numbers by name, of which `loss/...` and `validation/...` are drawn.
        path: file to write.

    Raises:
        InputError: the file cannot be read, or holds no such numbers.
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = load_matplotlib()
    curves = _read_curves(metrics_path)
    terms = sorted((name for name in curves if name.startswith("loss/")), key=_total_first)
    panels = [
        ("training loss", [(name, name.removeprefix("loss/")) for name in terms]),
        ("validation error [mm]", _VALIDATION_ERRORS),
        ("validation depth order [%]", _VALIDATION_ORDERS),
    ]
    panels = [(t, [(n, label) for n, label in drawn if n in curves]) for t, drawn in panels]
    panels = [(title, drawn) for title, drawn in panels if drawn]
    if not panels:
        raise InputError(f"{metrics_path}: neither loss nor validation scores in this file")
    with matplotlib.rc_context(STYLE):
        figure = new_figure(0.4 + 3.0 * len(panels), 2.8)
        for axes, (title, drawn) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            for (name, label), colour in zip(drawn, itertools.cycle(SERIES), strict=False):
                marker = "." if len(curves[name][0]) < 30 else None
                axes.plot(*curves[name], color=colour, linewidth=1.2, marker=marker,
                          label=label.replace("_", " "))  # fmt: skip
            if title == "training loss":
                axes.set_yscale("log", nonpositive="mask")
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("step")
            axes.grid(color="#E8E8E8", linewidth=0.6)
            axes.legend(fontsize=7)
        save_figure(figure, path)


_VALIDATION_ERRORS = (
    ("validation/mpjpe", "MPJPE"),
    ("validation/pa_mpjpe", "PA-MPJPE"),
    ("validation/mpjpe_occluded", "MPJPE occluded"),
)
_VALIDATION_ORDERS = (
    ("validation/spatial_order", "spatial"),
    ("validation/temporal_order", "temporal"),
)


def _total_first(name: str) -> tuple[bool, str]:
    return name != "loss/total", name


def _read_curves(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Name -> (steps, values) of every number in the file."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    try:
        with open(path, encoding="utf-8") as file:
            # A run that is being written to, or was killed, may end in half a line.
            for line in (line for line in file if line.endswith("\n")):
                record = json.loads(line)
                for name, value in record.items():
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(record["step"])
                    values.append(float(value))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a log of training metrics ({error})") from error
    return curves


def _typical_frames(result: EvaluationResult, dataset: PoseDataset, count: int) -> list[int]:
    frames = result.per_frame
    scored = [
        (frames.mpjpe[rows].mean(), rows)
        for video in dataset.videos
        if len(rows := video.start + np.flatnonzero(frames.evaluated[video.start : video.stop]))
    ]
    scored.sort(key=lambda item: item[0])
    rows = scored[(len(scored) - 1) // 2][1]
    # The middles of `count` equal parts of the video.
    count = min(count, len(rows))
    return [int(rows[(2 * k + 1) * len(rows) // (2 * count)]) for k in range(count)]


def _draw_input(axes, dataset: PoseDataset, frame: int) -> None:
    # Visibility is told of the joints of the pose.
    visible = dataset.visible[frame] if dataset.keypoint_skeleton == dataset.skeleton else None
    found = dataset.confidence[frame] > 0
    draw_keypoints(axes, dataset.keypoints_px[frame], dataset.keypoint_skeleton, found, visible)
