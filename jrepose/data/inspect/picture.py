"""One frame of a recognised file, drawn."""

from __future__ import annotations

import pathlib

import numpy as np
from jaxtyping import Float

from jrepose.data.inspect.content import Content, Track
from jrepose.data.mocap.body import z_up
from jrepose.drawing import (
    BLACK,
    BLUE,
    GREY,
    STYLE,
    VERMILLION,
    draw_floor,
    draw_keypoints,
    draw_pose,
    limb_colour,
    load_matplotlib,
    new_figure,
    save_figure,
    set_pose_view,
)
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton

_PANEL, _HEADER = 3.0, 0.4  # inches
_FARTHEST = 1e12


def choose_frame(content: Content, video: str | None, frame: int | None) -> tuple[Track, int]:
    """The track of that name and the frame in it; by default a complete one near the middle.

    Raises:
        InputError: no such video, or no such frame in it.
    """
    track = content.tracks[0]
    if video is not None:
        found = [track for track in content.tracks if video in track.name]
        found = [track for track in found if track.name == video] or found
        if len(found) != 1:
            some = ", ".join(track.name for track in (found or content.tracks)[:6])
            raise InputError(
                f"--video {video}: {len(found) or 'no'} videos are called so; there are {some}, ..."
            )
        track = found[0]
    if frame is None:
        return track, _complete_frame(track)
    if not 0 <= frame < track.frames:
        raise InputError(f"--frame {frame}: expected 0 to {track.frames - 1}, as in {track.name}")
    return track, frame


def _complete_frame(track: Track) -> int:
    """The frame nearest to the middle that is valid and has most joints."""
    lacking = np.zeros(track.frames, int)
    if track.keypoints_px is not None:
        lacking += track.missing.sum(1)
    if track.poses is not None:
        lacking += np.isnan(track.poses).any(-1).sum(1)
    if track.valid is not None:
        lacking += 1000 * ~track.valid
    best = np.flatnonzero(lacking == lacking.min())
    return int(best[np.abs(best - track.frames // 2).argmin()])


def draw(content: Content, track: Track, frame: int, path: pathlib.Path) -> None:
    """Keypoints in the image, and the pose from the camera's side and from another.

    Raises:
        InputError: the file cannot be written.
        MissingExtra: Matplotlib is missing.
    """
    views = []
    if track.keypoints_px is not None:
        views.append(("2D", None))
    if track.poses is not None:
        views += [("3D", -90.0), ("3D, turned", -35.0)]
    with load_matplotlib().rc_context(STYLE):
        figure = new_figure(_PANEL * len(views), _PANEL + _HEADER, layout="none")
        figure.suptitle(f"{track.name}, frame {frame}", fontsize=9, parse_math=False)
        for number, (title, azimuth) in enumerate(views):
            left, width = number / len(views), 1 / len(views)
            place = (left, 0.01, width, _PANEL / (_PANEL + _HEADER))
            if azimuth is None:
                _draw_2d(figure.add_axes(place), content, track, frame)
            else:
                axes = figure.add_axes(place, projection="3d", computed_zorder=False)
                _draw_3d(axes, content, track.poses[frame], azimuth)
            figure.text(left + width / 2, place[3], title, ha="center", fontsize=8)
        for side, (word, colour) in enumerate((("left", BLUE), ("right", VERMILLION))):
            from_left = (0.1 + 0.3 * side) / (_PANEL * len(views))
            figure.text(from_left, place[3], word, color=colour, fontsize=8)
        save_figure(figure, path)


def _draw_2d(axes, content: Content, track: Track, frame: int) -> None:
    points = _drawable(track.keypoints_px[frame])
    found = ~track.missing[frame] & np.isfinite(points).all(-1)
    skeleton = content.keypoint_skeleton or _dots(len(points))
    if track.image_size is not None:
        width, height = track.image_size
        axes.plot([0, width, width, 0, 0], [0, 0, height, height, 0], color=GREY, linewidth=0.8)
    draw_keypoints(axes, points, skeleton, found)
    for joint in np.flatnonzero(found).tolist():
        axes.annotate(str(joint), points[joint], (3, 2), textcoords="offset points", fontsize=6,
                      color=limb_colour(skeleton, joint), annotation_clip=True)  # fmt: skip


def _draw_3d(axes, content: Content, pose: Float[np.ndarray, "joints 3"], azimuth: float) -> None:
    pose = _camera_axes(pose, content.up)
    finite = np.isfinite(pose).all(-1)
    if finite.any():
        pose = pose - (pose[finite].max(0) + pose[finite].min(0)) / 2
        reach = max(float(np.abs(pose[finite]).max()), 1e-9)
        draw_floor(axes, pose[finite], reach)
        draw_pose(axes, pose, content.skeleton or _dots(len(pose)))
        axes.plot(pose[:, 0], pose[:, 2], -pose[:, 1], ".", color=BLACK, markersize=3,
                  zorder=3, clip_on=False)  # fmt: skip
        set_pose_view(axes, 1.2 * reach, 0.0, azimuth)
    else:
        axes.set_axis_off()


def _camera_axes(pose: Float[np.ndarray, "joints 3"], up: str) -> Float[np.ndarray, "joints 3"]:
    """x right, y down, z away from the viewer."""
    x, y, z = np.moveaxis(z_up(_drawable(pose), up), -1, 0)
    return np.stack([x, -z, y], axis=-1)


def _drawable(points: np.ndarray) -> np.ndarray:
    """In double precision, NaN for what no picture can show."""
    points = np.asarray(points, np.float64)
    return np.where(np.abs(points) < _FARTHEST, points, np.nan)


def _dots(joints: int) -> Skeleton:
    """Stands for an unknown joint order: joints without limbs."""
    return Skeleton("unknown", tuple(map(str, range(joints))), (-1, *[0] * (joints - 1)), (), ())
