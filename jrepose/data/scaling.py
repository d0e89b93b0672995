"""Where a person is in the picture and how large, so that a network need not learn it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.ndimage import uniform_filter1d

from jrepose.skeleton import Skeleton

SCALINGS = ("screen", "person")
"""What a dataset's keypoints are scaled by, see `PoseDataset.scaling`."""

_WINDOW_S = 1.0
_METRES_OF_LIMBS = 4.0
"""The sum of the limbs of Human3.6M's skeleton, about."""


class Scale(NamedTuple):
    """x, y of a model: (pixels - centre) / unit, both the same for all frames or one for each."""

    centre: tuple[float, float] | Float[np.ndarray, "frames 2"]
    unit: float | Float[np.ndarray, " frames"]
    clip: bool = False  # to [-1, 1]

    def to_model(
        self, pixels: Float[np.ndarray, "frames joints 2"]
    ) -> Float32[np.ndarray, "frames joints 2"]:
        centre, unit = self._by_frame()
        scaled = ((pixels - centre) / unit).astype(np.float32)
        return scaled.clip(-1, 1) if self.clip else scaled

    def to_pixels(
        self, poses: Float[np.ndarray, "frames joints 3"]
    ) -> Float[np.ndarray, "frames joints 3"]:
        """2.5D poses of a model in pixels."""
        centre, unit = self._by_frame()
        return poses * unit + np.concatenate([centre, np.zeros_like(centre[..., :1])], axis=-1)

    def at(self, frame: int | Int[np.ndarray, "*frames"]) -> Scale:
        """That of one frame, or of several."""
        if np.ndim(self.unit) == 0:
            return self
        return Scale(self.centre[frame], self.unit[frame], self.clip)

    def _by_frame(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.centre)[..., None, :], np.asarray(self.unit)[..., None, None]


def person_scale(
    keypoints_px: Float[np.ndarray, "frames keypoints 2"], skeleton: Skeleton, frame_rate: float
) -> Scale:
    """A centre and a unit of length that go along with the person.

    The centre is the mean of all keypoints, the unit a quarter of the sum of the limbs, both
    averaged over a second: near enough to where and how large the person is, and too slow to take
    part in the motion.

    Args:
        keypoints_px: without gaps.
        skeleton: their joint order.
        frame_rate: frames per second.

    Returns:
        That of each frame; the unit is about a metre where limbs are not
        foreshortened, and at least a pixel.
    """
    points = np.asarray(keypoints_px, np.float64)
    parents, children = np.array(skeleton.limbs).T
    lengths = np.linalg.norm(points[:, children] - points[:, parents], axis=-1).sum(-1)
    width = 2 * int(frame_rate * _WINDOW_S / 2) + 1
    centre = uniform_filter1d(points.mean(1), width, axis=0, mode="nearest")
    unit = uniform_filter1d(lengths, width, mode="nearest") / _METRES_OF_LIMBS
    return Scale(centre, np.maximum(unit, 1.0))
