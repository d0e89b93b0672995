"""Where a person is in the picture and how large, so that a network need not learn it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter1d

from jrepose.skeleton import Skeleton

SCALINGS = ("screen", "person")
"""What a dataset's keypoints are scaled by, see `PoseDataset.scaling`."""

_WINDOW_S = 1.0
_METRES_OF_LIMBS = 4.0
"""The sum of the limbs of Human3.6M's skeleton, about."""


def person_frame(
    keypoints_px: Float[np.ndarray, "frames keypoints 2"], skeleton: Skeleton, frame_rate: float
) -> tuple[Float[np.ndarray, "frames 2"], Float[np.ndarray, " frames"]]:
    """A centre and a unit of length that go along with the person.

    The centre is the mean of all keypoints, the unit a quarter of the sum of the limbs, both
    averaged over a second: near enough to where and how large the person is, and too slow to take
    part in the motion.

    Args:
        keypoints_px: without gaps.
        skeleton: their joint order.
        frame_rate: frames per second.

    Returns:
        centre and unit of each frame, pixels; the unit is about a metre where limbs are not
        foreshortened, and at least a pixel.
    """
    points = np.asarray(keypoints_px, np.float64)
    parents, children = np.array(skeleton.limbs).T
    lengths = np.linalg.norm(points[:, children] - points[:, parents], axis=-1).sum(-1)
    width = 2 * int(frame_rate * _WINDOW_S / 2) + 1
    centre = uniform_filter1d(points.mean(1), width, axis=0, mode="nearest")
    unit = uniform_filter1d(lengths, width, mode="nearest") / _METRES_OF_LIMBS
    return centre, np.maximum(unit, 1.0)
