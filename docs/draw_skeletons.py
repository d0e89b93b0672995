"""Draws the joint orders of docs/datasets.md: `python docs/draw_skeletons.py`."""

import pathlib

import numpy as np

from jrepose.drawing import (
    BLACK,
    BLUE,
    STYLE,
    VERMILLION,
    limb_colour,
    load_matplotlib,
    new_figure,
    save_figure,
)
from jrepose.skeleton import (
    COCO_17,
    HUMAN36M_17,
    HUMANEVA_15,
    MPI_INF_3DHP_17,
    MPII_16,
    Skeleton,
)

DRAWN = (HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17, COCO_17, MPII_16)
FILE = pathlib.Path(__file__).parent / "pictures" / "skeletons.png"

# Somebody who stands and faces us, centimetres; x to our right, which is their left.
MIDDLE = {
    "pelvis": 96, "spine": 118, "thorax": 141, "neck": 154, "upper_neck": 154, "nose": 159,
    "head": 168, "head_top": 182,
}  # fmt: skip
SIDE = {
    "hip": (12, 93), "knee": (15, 50), "ankle": (17, 8), "shoulder": (20, 139), "elbow": (30, 112),
    "wrist": (35, 86), "eye": (7, 168), "ear": (15, 163),
}  # fmt: skip
LABELS = 52  # their distance from the middle
APART = 9.0  # from label to label


def place(name: str, skeleton: Skeleton) -> tuple[float, float]:
    side, _, part = name.partition("_")
    if side in ("left", "right"):
        x, y = SIDE[part]
        return (x if side == "left" else -x), y
    # Where the top of the head has its own joint, the neck is a neck and no nose.
    lower = 5 if name == "neck" and "head_top" in skeleton.joint_names else 0
    return 0, MIDDLE[name] - lower


def spread(heights: np.ndarray) -> np.ndarray:
    """The heights, from high to low, moved until they are `APART`."""
    heights = heights.astype(float)
    for _ in range(500):
        for k in range(len(heights) - 1):
            lacking = APART - (heights[k] - heights[k + 1])
            if lacking > 0:
                heights[k] += lacking / 2
                heights[k + 1] -= lacking / 2
    return heights


def draw(axes, skeleton: Skeleton) -> None:
    places = np.array([place(name, skeleton) for name in skeleton.joint_names], float)
    for parent, child in skeleton.limbs:
        axes.plot(*places[[parent, child]].T, color=limb_colour(skeleton, child), linewidth=2)
    middle = sorted(np.flatnonzero(places[:, 0] == 0).tolist(), key=lambda joint: -places[joint, 1])
    for sign, side, of_middle in (
        (1, skeleton.left, middle[::2]),
        (-1, skeleton.right, middle[1::2]),
    ):
        joints = sorted([*side, *of_middle], key=lambda joint: -places[joint, 1])
        for joint, height in zip(joints, spread(places[joints, 1]), strict=True):
            colour = limb_colour(skeleton, joint)
            axes.plot(
                [places[joint, 0], sign * (LABELS - 8), sign * (LABELS - 2)],
                [places[joint, 1], height, height],
                color="#C8C8C8", linewidth=0.7, zorder=0,
            )  # fmt: skip
            axes.text(
                sign * LABELS, height, f"{joint} {skeleton.joint_names[joint]}", color=colour,
                fontsize=8, ha="left" if sign > 0 else "right", va="center",
            )  # fmt: skip
    for joint, (x, y) in enumerate(places):
        colour = limb_colour(skeleton, joint)
        axes.plot(x, y, "o", markersize=10, color=colour, markeredgecolor="white", zorder=3)
        axes.text(x, y - 0.3, str(joint), color="white", fontsize=6, ha="center", va="center",
                  zorder=4)  # fmt: skip
    axes.set_title(f"{skeleton.name}, root {skeleton.root}", fontsize=10, fontweight="bold")
    axes.set(xlim=(-110, 110), ylim=(-2, 192))
    axes.set_aspect("equal")
    axes.set_axis_off()


if __name__ == "__main__":
    with load_matplotlib().rc_context(STYLE | {"savefig.dpi": 110}):
        figure = new_figure(11.0, 7.4)
        grid = figure.subplots(2, 3).ravel()
        for axes, skeleton in zip(grid, DRAWN, strict=False):
            draw(axes, skeleton)
        for axes in grid[len(DRAWN) :]:
            axes.set_axis_off()
        for line, (words, colour) in enumerate(
            {"left": BLUE, "right": VERMILLION, "middle": BLACK}.items()
        ):
            grid[-1].text(0.2, 0.7 - 0.08 * line, words, color=colour, fontsize=10)
        grid[-1].text(0.2, 0.36, "The person faces us.", color=BLACK, fontsize=9)
        save_figure(figure, FILE)
