"""The weights that come with jrepose: small enough, and better than no network at all."""

import numpy as np
import pytest

from jrepose import metrics
from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.layouts import in_layout
from jrepose.data.simulation.procedural import generate_motion
from jrepose.interop.archives import FOLDER
from jrepose.motion.lifter import Lifter
from jrepose.skeleton import BODY_25, COCO_17


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return Lifter.from_pretrained("small")


@pytest.fixture(scope="module")
def walk():
    """Somebody made up who was not trained on, as four cameras see it."""
    return capture(generate_motion(["zoe"], seconds=4.0, frame_rate=30.0, actions=["walking"]))


def test_they_are_small_and_described():
    assert (FOLDER / "small.npz").stat().st_size <= 8 * 2**20
    card = (FOLDER / "README.md").read_text()
    for fact in ("mocap.cs.cmu.edu", "NSF EIA-0196217", "jrepose train --config lift_small"):
        assert fact in card


@pytest.mark.parametrize("layout", [COCO_17, BODY_25], ids=lambda layout: layout.name)
def test_a_walk_is_lifted_better_than_flat(lifter, walk, layout):
    lifted, flat = [], []
    for video in walk.videos:
        rows = slice(video.start, video.stop)
        points, confidence = in_layout(walk.keypoints_px[rows], walk.confidence[rows], layout)
        motion = lifter(points, confidence, size=(video.width, video.height), fps=30, layout=layout)
        truth = walk.poses_camera_mm[rows].astype(np.float64)
        lifted.append(metrics.pa_mpjpe(motion.poses_m.astype(np.float64) * 1000, truth))
        plane = np.concatenate([walk.poses_image_px[rows, :, :2], 0 * truth[..., :1]], axis=-1)
        flat.append(metrics.pa_mpjpe(plane.astype(np.float64), truth))
    assert np.mean(lifted) < 0.75 * np.mean(flat), (lifted, flat)
