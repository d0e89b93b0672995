"""Draws the pictures of docs/simulation.md: `python docs/draw_simulation.py`."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.procedural import ACTIONS, generate_motion
from jrepose.skeleton import HUMAN36M_17

FOLDER = pathlib.Path(__file__).parent / "pictures"
COLOURS = {"left": "tab:blue", "right": "tab:red", "middle": "black"}
FRAMES_BETWEEN = {"walking": 4, "phoning": 5}


def side(joint: int) -> str:
    name = HUMAN36M_17.joint_names[joint]
    return next((s for s in ("left", "right") if name.startswith(s)), "middle")


def draw_limbs(axes, points, width, colour=None):
    for parent, child in HUMAN36M_17.limbs:
        axes.plot(
            points[[parent, child], 0],
            points[[parent, child], 1],
            color=colour or COLOURS[side(child)],
            linewidth=width,
            solid_capstyle="round",
        )


def strips():
    """One row of stick figures per action, three quarters from the front."""
    recordings = generate_motion(["S2"], seconds=12.0)
    figure, rows = plt.subplots(len(ACTIONS), figsize=(11, 1.75 * len(ACTIONS)))
    for axes, recording in zip(rows, recordings, strict=True):
        positions = recording.positions_mm
        hips = positions[20, 4] - positions[20, 1]
        view = np.arctan2(hips[1], hips[0]) - np.radians(30)
        across = np.array([-np.sin(view), np.cos(view)])
        for k in range(12):
            pose = positions[20 + k * FRAMES_BETWEEN.get(recording.action, 12)]
            flat = np.stack([(pose[:, :2] - pose[0, :2]) @ across, pose[:, 2]], axis=1)
            draw_limbs(axes, flat + [k * 950, 0], 2.2)
        axes.plot([-500, 12 * 950 - 450], [0, 0], color="0.8", linewidth=1)
        axes.set_title(recording.action, loc="left", fontsize=9)
        axes.set_aspect("equal")
        axes.axis("off")
    figure.tight_layout(pad=0.3)
    figure.savefig(FOLDER / "procedural_motion.png", dpi=64)


def detections():
    """True joints, what hides them, and what the simulated detector reports."""
    recordings = generate_motion(["S1"], seconds=8.0, actions=["walking", "sitting", "picking"])
    dataset = capture(recordings)
    figure, grid = plt.subplots(2, 4, figsize=(12, 6.4))
    chosen = [(0, 100), (3, 100), (2, 210), (4, 100), (7, 100), (5, 130), (10, 100), (11, 100)]
    for axes, (number, frame) in zip(grid.flat, chosen, strict=True):
        video = dataset.videos[number]
        frame += video.start
        true, found = dataset.poses_image_px[frame, :, :2], dataset.keypoints_px[frame]
        visible, missing = dataset.visible[frame], dataset.confidence[frame] == 0
        draw_limbs(axes, true, 7, "0.85")
        draw_limbs(axes, found, 1.6)
        axes.scatter(*true[visible].T, color="tab:green", s=22, zorder=3)
        axes.scatter(*true[~visible].T, color="tab:orange", s=60, marker="X", zorder=4)
        axes.scatter(*found[missing].T, s=130, facecolor="none", edgecolor="magenta", zorder=5)
        for point, confidence in zip(found, dataset.confidence[frame], strict=True):
            axes.annotate(f"{confidence:.2f}", point, (3, 2), textcoords="offset points", size=6)
        low, high = true.min(0), true.max(0)
        half = (high - low).max() / 2 + 25
        middle = (low + high) / 2
        axes.set_xlim(middle[0] - half, middle[0] + half)
        axes.set_ylim(middle[1] + half, middle[1] - half)
        axes.set_title(video.name, fontsize=9)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.tight_layout(pad=0.5)
    figure.savefig(FOLDER / "simulated_detections.png", dpi=80)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    strips()
    detections()
