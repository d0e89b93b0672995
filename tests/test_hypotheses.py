import numpy as np
import pytest

from jrepose import hypotheses

INTRINSICS = np.array([2.0, 2, 0, 0, 0, 0, 0, 0, 0])


def test_joints_are_taken_where_they_are_seen_nearest():
    # Two hypotheses of two joints, one frame: each has one joint that projects onto its keypoint.
    poses = np.array([[[[0.5, 0, 0], [0, 0, 0]]], [[[0, 0, 0], [0, 0.5, 0]]]])
    keypoints = np.array([[[0.0, 0], [0, 0.2]]])
    trajectory = np.array([[[0.0, 0, 5]]])
    index = hypotheses.nearest_in_the_image(poses, keypoints, trajectory, INTRINSICS)
    assert index.tolist() == [[1, 1]]
    taken = hypotheses.taken(poses, np.array([[1, 0]]))
    np.testing.assert_array_equal(taken, np.zeros((1, 2, 3)))


def test_errors():
    """Two hypotheses of two frames and two joints, off by these along x."""
    off = np.array([[[1.0, 4], [1, 0]], [[3, -2], [-3, 0]]])
    target = np.random.default_rng(0).normal(size=(2, 2, 3))
    poses = np.stack([target, target])
    poses[..., 0] += off
    index = np.array([[0, 1], [1, 1]])
    found = hypotheses.errors(poses, target, index)
    expected = {"j_best": (1 + 2 + 1 + 0) / 4, "p_best": 1.5, "p_agg": (2 + 1 + 1 + 0) / 4,
                "j_agg": (1 + 2 + 3 + 0) / 4}  # fmt: skip
    assert found == pytest.approx(expected)
    first = hypotheses.errors(poses, target, mask=np.array([[True], [False]]))
    assert first == pytest.approx({"j_best": 1.5, "p_best": 2.5, "p_agg": 1.5})


def test_aligned_hypotheses():
    target = np.random.default_rng(1).normal(size=(3, 6, 3))
    found = hypotheses.errors(np.stack([target * 2, target + 7]), target, aligned=True)
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-9)
