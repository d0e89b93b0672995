"""Keypoints and poses drawn with Matplotlib, and the look that all pictures share.

Matplotlib is the extra `plots`; it is imported when a picture is drawn.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
from jaxtyping import Bool, Float

from jrepose.errors import InputError, MissingExtra
from jrepose.files import atomic_path
from jrepose.skeleton import Skeleton

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#303030", "#B8B8B8"
SERIES = (BLACK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

STYLE = {
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
"""For `matplotlib.rc_context`."""


def load_matplotlib():
    """The package `matplotlib` with what the functions here use of it.

    Raises:
        MissingExtra: it is missing.
    """
    try:
        import matplotlib.figure
        import matplotlib.lines
        import mpl_toolkits.mplot3d  # noqa: F401  (makes the 3D projection known)
    except ImportError:
        raise MissingExtra("matplotlib", "drawing pictures", "plots") from None
    return matplotlib


def new_figure(width: float, height: float, layout: str = "constrained"):
    """A figure of that size in inches.

    Raises:
        MissingExtra: Matplotlib is missing.
    """
    # Without pyplot there is no global state and no window system.
    return load_matplotlib().figure.Figure(figsize=(width, height), layout=layout)


def save_figure(figure, path: str | os.PathLike[str]) -> None:
    """Writes the figure; the suffix decides the format (png, pdf, svg).

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    suffix, known = pathlib.Path(path).suffix[1:], figure.canvas.get_supported_filetypes()
    if suffix.lower() not in known:
        raise InputError(f"{path}: no picture is called so; expected .png, .pdf or .svg")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def limb_colour(skeleton: Skeleton, joint: int) -> str:
    """Colour of a joint and of the limb that ends in it: left blue, right red, else black."""
    if joint in skeleton.left:
        return BLUE
    return VERMILLION if joint in skeleton.right else BLACK


def draw_keypoints(
    axes,
    points: Float[np.ndarray, "keypoints 2"],
    skeleton: Skeleton,
    found: Bool[np.ndarray, " keypoints"],
    visible: Bool[np.ndarray, " keypoints"] | None = None,
) -> None:
    """Found joints on the image plane; hollow where the camera does not see the joint.

    Args:
        axes: 2D axes; their limits are set to a square around the joints, y downwards.
        points: pixels, or any unit with y downwards.
        skeleton: joint order of the points.
        found: which joints to draw.
        visible: which joints the camera sees; None: all.
    """
    for parent, child in skeleton.limbs:
        if found[parent] and found[child]:
            axes.plot(*points[[parent, child]].T, color=limb_colour(skeleton, child),
                      linewidth=1.3, solid_capstyle="round")  # fmt: skip
    for joint in np.flatnonzero(found).tolist():
        colour = limb_colour(skeleton, joint)
        face = colour if visible is None or visible[joint] else "white"
        axes.plot(*points[joint], "o", markersize=2.6, markerfacecolor=face,
                  markeredgecolor=colour, markeredgewidth=0.7)  # fmt: skip
    centre = (points[found].max(0) + points[found].min(0)) / 2 if found.any() else np.zeros(2)
    half = 0.56 * np.ptp(points[found], axis=0).max() if found.any() else 0.0
    half = half or 1.0  # nothing, or all in one place
    axes.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] + half, centre[1] - half))
    axes.set_aspect("equal")
    axes.set_axis_off()


def draw_pose(
    axes, pose: Float[np.ndarray, "joints 3"], skeleton: Skeleton, truth: bool = False
) -> None:
    """A pose in camera axes (y down), drawn upright: Matplotlib's z is the camera's minus y.

    Args:
        axes: 3D axes made with `computed_zorder=False`.
        pose: joint positions, any unit.
        skeleton: joint order of the pose.
        truth: draw it as ground truth: thick, grey and behind others.
    """
    upright = np.stack([pose[:, 0], pose[:, 2], -pose[:, 1]])
    for parent, child in skeleton.limbs:
        style = (
            {"color": GREY, "linewidth": 3.0, "zorder": 1}
            if truth
            else {"color": limb_colour(skeleton, child), "linewidth": 1.3, "zorder": 2}
        )
        axes.plot(*upright[:, [parent, child]], solid_capstyle="round", clip_on=False, **style)


def draw_floor(axes, pose: Float[np.ndarray, "joints 3"], reach: float) -> None:
    """A patch of floor below the pose's lowest joint; it tells the viewing direction.

    Args:
        axes: 3D axes made with `computed_zorder=False`.
        pose: joint positions in camera axes.
        reach: side of the patch, in the pose's unit.
    """
    x, depth = np.meshgrid(*2 * [0.5 * reach * np.array([-1.0, 1.0])])
    height = np.full_like(x, -pose[:, 1].max())
    axes.plot_surface(x, depth, height, color="#F2F2F2", shade=False, zorder=-1, clip_on=False)


def set_pose_view(axes, reach: float, centre: float, azimuth: float) -> None:
    """Views poses around the origin without perspective, the axes hidden.

    Args:
        axes: 3D axes.
        reach: half the side of the cube that is shown.
        centre: height of the cube's centre (the camera's minus y).
        azimuth: direction from which to look, degrees; -90 is that of the camera.
    """
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(centre - reach, centre + reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.75)
    axes.set_proj_type("ortho")
    axes.view_init(elev=14, azim=azimuth)
    axes.set_axis_off()
    axes.patch.set_alpha(0.0)


def draw_legend(figure) -> None:
    """Says below a figure of poses what its colours and marks mean."""
    line = load_matplotlib().lines.Line2D
    figure.legend(
        [line([], [], color=BLUE), line([], [], color=VERMILLION), line([], [], color=BLACK),
         line([], [], color=GREY, linewidth=3.0),
         line([], [], color=BLACK, linewidth=0, marker="o", markersize=3.5,
              markerfacecolor="white", markeredgewidth=0.8)],
        ["left", "right", "torso and head", "ground truth", "occluded joint"],
        loc="lower center", ncols=5, fontsize=8, borderaxespad=0.2,
    )  # fmt: skip
