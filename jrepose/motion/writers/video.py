"""MP4 and GIF: keypoints beside the motion, drawn with Matplotlib, through `imageio`."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from jrepose.drawing import limb_colour, load_matplotlib, new_figure, set_pose_view
from jrepose.errors import MissingExtra
from jrepose.motion.motion import Motion

_FASTEST = {".gif": 25.0, ".mp4": 60.0}
"""Frames per second; of faster motion frames are left out.  GIF counts hundredths of seconds."""
_INCHES, _DPI = 4.0, 120  # side of a view; 480 pixels, a multiple of 16 as codecs want it
_AZIMUTH = -75.0  # of the camera's side, a little from the right


def check() -> None:
    """Raises MissingExtra where Matplotlib or `imageio` with its codecs is not installed."""
    _load_imageio()


def write_all(motions: Sequence[Motion], path: pathlib.Path, name: str) -> None:
    """Writes one or several people; keypoints are shown where somebody has any.

    Raises:
        MissingExtra: Matplotlib or `imageio` with its codecs is not installed.
    """
    imageio = _load_imageio()
    path.touch()  # where that cannot be, codecs say so at length
    rate = max(motion.fps for motion in motions)
    seconds = max((motion.first_frame + len(motion.poses_m)) / motion.fps for motion in motions)
    suffix = path.suffix.lower()
    shown = rate / math.ceil(rate / _FASTEST[suffix])
    options = {"duration": 1000 / shown, "loop": 0} if suffix == ".gif" else {"fps": shown}
    picture = _Picture(motions)
    with imageio.get_writer(path, **options) as video:
        for frame in range(max(1, round(seconds * shown))):
            video.append_data(picture.draw((frame + 0.5) / shown))


class _Picture:
    """A figure whose lines are moved from frame to frame."""

    def __init__(self, motions: Sequence[Motion]):
        matplotlib = load_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from mpl_toolkits.mplot3d.art3d import Line3DCollection

        flat = [motion for motion in motions if motion.keypoints is not None]
        figure = new_figure(_INCHES * (2 if flat else 1), _INCHES, layout="none")
        figure.set_dpi(_DPI)
        self.canvas = FigureCanvasAgg(figure)
        columns = 2 if flat else 1
        box = [1 - 1 / columns, 0, 1 / columns, 1]
        axes = figure.add_axes(box, projection="3d", computed_zorder=False)
        low = np.min([motion.poses_m.min((0, 1)) for motion in motions], axis=0)
        high = np.max([motion.poses_m.max((0, 1)) for motion in motions], axis=0)
        centre = (low + high) / 2
        reach = max(0.5, float((high - low).max()) / 2)
        self.shift = np.array([centre[0], centre[1], 0.0])
        # The cube is seen at a slant, which makes it wider.
        set_pose_view(axes, 1.25 * reach, float(centre[2]), _AZIMUTH)
        ground = np.array([[-reach, -reach], [reach, -reach], [reach, reach], [-reach, reach]])
        axes.plot_trisurf(
            *ground.T, np.full(4, min(low[2], 0.0)), triangles=[[0, 1, 2], [0, 2, 3]],
            color="#F2F2F2", shade=False, zorder=-1,
        )  # fmt: skip
        self.bodies = []
        for motion in motions:
            lines = Line3DCollection([], linewidths=2.2, colors=_colours(motion.skeleton))
            self.bodies.append((motion, axes.add_collection3d(lines, autolim=False)))
        self.images = []
        if flat:
            axes = figure.add_axes([0.02, 0.02, 0.46, 0.96])
            width, height = _image_size(flat)
            axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
            for motion in flat:
                lines = matplotlib.collections.LineCollection([], linewidths=1.6)
                self.images.append((motion, axes.add_collection(lines, autolim=False)))

    def draw(self, time: float) -> np.ndarray:
        """The picture `[height, width, 3]` at a time in seconds."""
        for motion, lines in self.bodies:
            frame = _frame_at(motion, time)
            limbs = list(map(list, motion.skeleton.limbs))
            lines.set_visible(frame is not None)
            if frame is not None:
                lines.set_segments((motion.poses_m[frame] - self.shift)[limbs])
        for motion, lines in self.images:
            frame, skeleton = _frame_at(motion, time), motion.keypoint_skeleton
            lines.set_visible(frame is not None)
            if frame is not None:
                points, confidence = np.split(motion.keypoints[frame], [2], axis=-1)
                seen = [(a, b) for a, b in skeleton.limbs if min(confidence[[a, b], 0]) > 0]
                lines.set_segments([points[list(limb)] for limb in seen])
                lines.set_color([limb_colour(skeleton, child) for _, child in seen])
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3]


def _colours(skeleton) -> list[str]:
    return [limb_colour(skeleton, child) for _, child in skeleton.limbs]


def _frame_at(motion: Motion, time: float) -> int | None:
    frame = math.floor(time * motion.fps) - motion.first_frame
    return frame if 0 <= frame < len(motion.poses_m) else None


def _image_size(motions: Sequence[Motion]) -> tuple[float, float]:
    """Of the first who knows it, or as far as keypoints go."""
    for motion in motions:
        if motion.size is not None:
            return float(motion.size[0]), float(motion.size[1])
    seen = np.concatenate([m.keypoints[m.keypoints[..., 2] > 0] for m in motions])
    width, height = seen[:, :2].max(0).tolist() if len(seen) else (1.0, 1.0)
    return width, height


def _load_imageio():
    load_matplotlib()
    try:
        import imageio.v2
        import imageio_ffmpeg  # noqa: F401  (the codecs)
    except ImportError:
        raise MissingExtra("imageio with imageio-ffmpeg", "writing videos", "video") from None
    return imageio.v2
