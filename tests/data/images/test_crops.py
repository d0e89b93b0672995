"""Boxes, the warp against SciPy's, and crops made by workers in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from jrepose.data.images.crops import Crops, Workers, clean_boxes, place_crops, warp

RNG = np.random.default_rng(0)


def test_boxes_are_cut_to_their_image():
    boxes = np.array([[10, 20, 30, 40], [-5, -6, 20, 200], [90, 40, 50, 5], [99, 3, 1, 9]], float)
    cut = clean_boxes(boxes, np.array([[100, 50]]))
    np.testing.assert_array_equal(
        cut, [[10, 20, 29, 29], [0, 0, 19, 49], [90, 40, 9, 4], [99, 3, 0, 8]]
    )
    placed = place_crops(cut, 1.25, 224)
    assert placed.present.tolist() == [True, True, True, False]
    # The sheet's formula: crop = (image - centre) 224 / S + 112.
    side, centre = 1.25 * 49, np.array([9.5, 24.5])
    point = np.array([3.0, 40.0, 1.0])
    np.testing.assert_allclose(
        placed.to_crop[1] @ point, (point[:2] - centre) * 224 / side + 112, rtol=1e-12
    )
    back = placed.to_image[1] @ [*(placed.to_crop[1] @ point), 1]
    np.testing.assert_allclose(back, point[:2], atol=1e-4)


@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_warps_are_bilinear_with_a_border_of_zero(scale):
    image = RNG.integers(0, 256, (40, 60, 3), np.uint8)
    to_image = np.array([[scale, 0, -7.3], [0, scale, 11.9]])
    crop = warp(image, to_image, 24)
    places = np.arange(24) * scale
    y, x = np.meshgrid(places + 11.9, places - 7.3, indexing="ij")
    for channel in range(3):
        expected = map_coordinates(
            image[..., channel].astype(float), [y, x], order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(crop[..., channel], expected, atol=0.51)
    outside = warp(image, np.array([[1.0, 0, 500], [0, 1.0, 500]]), 24)
    assert not outside.any()


@dataclass(frozen=True, eq=False)
class Numbered(Crops):
    """Crops that say of which sequence, view and moment they are."""

    def make(self, sequence: int, view: int, moments: Sequence[int]) -> list[np.ndarray]:
        return [
            np.full((self.size, self.size, 3), (sequence, view, moment), np.uint8)
            for moment in moments
        ]

    def fingerprint(self) -> bytes:
        return b"numbers"


def numbered(workers: Workers) -> Numbered:
    views_seen = np.ones((9, 2), bool)
    views_seen[3, 1] = False
    return Numbered(
        np.array([0, 6]), np.zeros((9, 2, 2, 3), np.float32), views_seen, size=4, workers=workers
    )


@pytest.mark.parametrize("processes", [False, True])
def test_workers_make_each_crop_once_and_in_its_place(processes):
    crops = numbered(Workers(1 if processes else 3, processes))
    assert crops.shape == (9, 2, 4, 4, 3) and len(crops) == 9
    moments = np.array([[8, 3, 3], [0, 7, 5]])
    made = crops[moments]
    expected = np.zeros((2, 3, 2, 3), np.uint8)
    expected[..., 0] = (moments >= 6)[..., None]
    expected[..., 1] = [0, 1]
    expected[..., 2] = moments[..., None]
    expected[0, 1:, 1] = 0  # the view is absent at moment 3
    np.testing.assert_array_equal(made, np.broadcast_to(expected[..., None, None, :], made.shape))
    jobs = crops._jobs(np.unique(moments))
    assert sum(len(job.moments) for job in jobs) == 2 * 5 - 1
