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
from jrepose.errors import InputError, MissingExtra
from jrepose.evaluation.scores import EvaluationResult
from jrepose.files import atomic_path
from jrepose.skeleton import Skeleton

Path = str | os.PathLike[str]

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#303030", "#B8B8B8"
SERIES = (BLACK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#606060",
    "axes.labelcolor": BLACK,
    "xtick.color": "#606060",
    "ytick.color": "#606060",
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
}


def plot_joint_errors(result: EvaluationResult, path: Path) -> None:
    """Mean error of each joint, where the camera sees it and where it does not.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = _matplotlib()
    joints = [name for name, s in result.per_joint.items() if s["mpjpe"] > 0]
    rows = np.arange(len(joints))[::-1]
    visible, occluded = (
        np.array([result.per_joint[joint][key] for joint in joints])
        for key in ("mpjpe_visible", "mpjpe_occluded")
    )
    share = np.array([result.per_joint[joint]["occluded"] for joint in joints])
    with matplotlib.rc_context(_STYLE):
        figure = _figure(5.2, 0.8 + 0.26 * len(joints))
        axes = figure.add_subplot()
        if np.isnan(occluded).all():
            axes.barh(rows, visible, 0.62, color=BLUE)
        else:
            axes.barh(rows + 0.2, visible, 0.38, color=BLUE, label="visible")
            axes.barh(rows - 0.2, occluded, 0.38, color=VERMILLION, label="occluded")
            for row, value, percent in zip(rows, occluded, share, strict=True):
                if not math.isnan(value):
                    often = f"{percent:.0f} %" if percent >= 1 else "<1 %"
                    axes.text(value, row - 0.22, f" {often}", va="center", fontsize=6.5,
                              color="#606060")  # fmt: skip
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
        axes.set_yticks(rows, [joint.replace("_", " ") for joint in joints])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("MPJPE [mm] (in percent: how often the joint is occluded)")
        axes.margins(x=0.09, y=0.015)
        _save(figure, path)


def plot_error_distribution(result: EvaluationResult, dataset: PoseDataset, path: Path) -> None:
    """Histogram of the joints' errors and the share of joints below each error.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    matplotlib = _matplotlib()
    frames = result.per_frame
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
    everything = frames.mpjpe[counted]
    limit = max(150.0, float(np.percentile(everything, 99))) if len(everything) else 150.0
    with matplotlib.rc_context(_STYLE):
        figure = _figure(6.8, 2.6)
        left, right = figure.subplots(1, 2)
        for label, colour, errors in groups:
            bins, label = np.linspace(0, limit, 61), f"{label} (median {np.median(errors):.0f} mm)"
            left.hist(errors, bins, density=True, color=colour, alpha=0.22)
            left.hist(errors, bins, density=True, color=colour, histtype="step", label=label)
            positions = np.linspace(0, limit, 301)
            below = np.searchsorted(np.sort(errors), positions, side="right") / len(errors)
            right.plot(positions, 100 * below, color=colour)
        left.set(xlabel="joint error [mm]", ylabel="density", yticks=[], xlim=(0, limit))
        left.legend()
        right.axvline(150, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        right.text(149, 3, "PCK threshold", rotation=90, ha="right", fontsize=7, color="#606060")
        right.set(xlabel="joint error [mm]", ylabel="joints below [%]", xlim=(0, limit))
        right.set_ylim(0, 101)
        right.grid(axis="y", color="#E8E8E8", linewidth=0.6)
        _save(figure, path)


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
    matplotlib = _matplotlib()
    chosen = _typical_frames(result, dataset, count) if frames is None else list(frames)
    if not chosen or not result.per_frame.evaluated[chosen].all():
        raise InputError(f"poses to draw: frames {chosen} are not all evaluated")
    truth, predicted = result.per_frame.targets_mm[chosen], result.per_frame.poses_mm[chosen]
    # Half the side of a cube, and the height of its centre, that hold all true poses.
    centre = -(truth[..., 1].max() + truth[..., 1].min()) / 2
    reach = max(np.abs(truth[..., 1] + centre).max(), np.abs(truth[..., ::2]).max())
    with matplotlib.rc_context(_STYLE):
        width = 0.25 + 1.2 * len(chosen)
        figure = _figure(width, 5.0, layout="none")
        grid = figure.add_gridspec(
            3, len(chosen), left=0.25 / width, right=1.0, top=0.95, bottom=0.06, wspace=0.0,
            hspace=0.05, height_ratios=(1.0, 1.15, 1.15),
        )  # fmt: skip
        for column, frame in enumerate(chosen):
            axes = figure.add_subplot(grid[0, column])
            _draw_keypoints(axes, dataset, frame)
            error = result.per_frame.mpjpe[frame].mean()
            axes.set_title(f"{error:.0f} mm", fontsize=8, pad=2)
            for row, azimuth in ((1, -60.0), (2, 0.0)):
                axes = figure.add_subplot(grid[row, column], projection="3d", computed_zorder=False)
                _draw_floor(axes, truth[column], reach)
                _draw_pose(axes, truth[column], dataset.skeleton, truth=True)
                _draw_pose(axes, predicted[column], dataset.skeleton, truth=False)
                _frame_pose(axes, reach, centre, azimuth)
        for y, label in ((0.8, "2D input"), (0.52, "3D"), (0.2, "3D, from the side")):
            figure.text(0.005, y, label, rotation=90, va="center", fontsize=8)
        _legend(figure, matplotlib)
        _save(figure, path)


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
    matplotlib = _matplotlib()
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
    with matplotlib.rc_context(_STYLE):
        figure = _figure(0.4 + 3.0 * len(panels), 2.8)
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
        _save(figure, path)


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


def _limb_colour(skeleton: Skeleton, child: int) -> str:
    if child in skeleton.left:
        return BLUE
    return VERMILLION if child in skeleton.right else BLACK


def _draw_keypoints(axes, dataset: PoseDataset, frame: int) -> None:
    """Detected joints on the image plane; hollow where the camera does not see the joint."""
    skeleton, points = dataset.skeleton, dataset.keypoints_px[frame]
    found = dataset.confidence[frame] > 0
    for parent, child in skeleton.limbs:
        if found[parent] and found[child]:
            axes.plot(*points[[parent, child]].T, color=_limb_colour(skeleton, child),
                      linewidth=1.3, solid_capstyle="round")  # fmt: skip
    for joint in np.flatnonzero(found).tolist():
        colour = _limb_colour(skeleton, joint)
        face = colour if dataset.visible[frame, joint] else "white"
        axes.plot(*points[joint], "o", markersize=2.6, markerfacecolor=face,
                  markeredgecolor=colour, markeredgewidth=0.7)  # fmt: skip
    centre = (points[found].max(0) + points[found].min(0)) / 2 if found.any() else np.zeros(2)
    half = 0.56 * np.ptp(points[found], axis=0).max() if found.any() else 1.0
    axes.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] + half, centre[1] - half))
    axes.set_aspect("equal")
    axes.set_axis_off()


def _draw_pose(axes, pose, skeleton: Skeleton, truth: bool) -> None:
    """One pose in camera axes, drawn upright: Matplotlib's z is the camera's minus y."""
    upright = np.stack([pose[:, 0], pose[:, 2], -pose[:, 1]])
    for parent, child in skeleton.limbs:
        style = (
            {"color": GREY, "linewidth": 3.0, "zorder": 1}
            if truth
            else {"color": _limb_colour(skeleton, child), "linewidth": 1.3, "zorder": 2}
        )
        axes.plot(*upright[:, [parent, child]], solid_capstyle="round", clip_on=False, **style)


def _draw_floor(axes, pose, reach: float) -> None:
    """A patch of floor below the lowest joint tells the viewing direction."""
    x, depth = np.meshgrid(*2 * [0.5 * reach * np.array([-1.0, 1.0])])
    height = np.full_like(x, -pose[:, 1].max())
    axes.plot_surface(x, depth, height, color="#F2F2F2", shade=False, zorder=-1, clip_on=False)


def _frame_pose(axes, reach: float, centre: float, azimuth: float) -> None:
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(centre - reach, centre + reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.75)
    axes.set_proj_type("ortho")
    axes.view_init(elev=14, azim=azimuth)
    axes.set_axis_off()
    axes.patch.set_alpha(0.0)


def _legend(figure, matplotlib) -> None:
    line = matplotlib.lines.Line2D
    figure.legend(
        [line([], [], color=BLUE), line([], [], color=VERMILLION), line([], [], color=BLACK),
         line([], [], color=GREY, linewidth=3.0),
         line([], [], color=BLACK, linewidth=0, marker="o", markersize=3.5,
              markerfacecolor="white", markeredgewidth=0.8)],
        ["left", "right", "torso and head", "ground truth", "occluded joint"],
        loc="lower center", ncols=5, fontsize=8, borderaxespad=0.2,
    )  # fmt: skip


def _matplotlib():
    try:
        import matplotlib.figure
        import matplotlib.lines
        import mpl_toolkits.mplot3d  # noqa: F401  (makes the 3D projection known)
    except ImportError:
        raise MissingExtra("matplotlib", "drawing pictures", "plots") from None
    return matplotlib


def _figure(width: float, height: float, layout: str = "constrained"):
    # Without pyplot there is no global state and no window system.
    return _matplotlib().figure.Figure(figsize=(width, height), layout=layout)


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
