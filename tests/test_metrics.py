"""Metrics against slow, obvious oracles; the official numbers are in interop/test_parity.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrepose import metrics
from jrepose.errors import InputError


def random_poses(seed, *shape, scale=300.0):
    return np.random.default_rng(seed).normal(size=(*shape, 3), scale=scale)


def rotation(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_mpjpe_of_a_known_shift():
    target = random_poses(0, 4, 5)
    predicted = target + np.array([3.0, 4.0, 12.0])
    np.testing.assert_allclose(metrics.mpjpe(predicted, target), 13.0)
    assert metrics.mpjpe(predicted, target, reduction="none").shape == (4, 5)
    assert metrics.mpjpe(predicted, target, reduction="joint").shape == (5,)
    np.testing.assert_allclose(metrics.mpjve(predicted, target), 0.0, atol=1e-12)


def test_mask_selects_and_empty_selection_is_nan():
    target = random_poses(1, 6, 4)
    predicted = target.copy()
    predicted[2, 1] += [0.0, 0.0, 7.0]
    predicted[3, 0] = np.nan
    mask = np.ones((6, 4), bool)
    mask[3, 0] = False
    np.testing.assert_allclose(metrics.mpjpe(predicted, target, mask), 7.0 / 23)
    np.testing.assert_allclose(
        metrics.mpjpe(predicted, target, mask, "joint"), [0.0, 7.0 / 6, 0.0, 0.0]
    )
    assert np.isnan(metrics.mpjpe(predicted, target))
    assert np.isnan(metrics.mpjpe(predicted, target, np.zeros((6, 1), bool)))
    per_frame = metrics.mpjpe(predicted, target, np.arange(6)[:, None] == 2, "frame")
    np.testing.assert_array_equal(np.isnan(per_frame), np.arange(6) != 2)


def test_velocity_needs_both_frames():
    target = np.zeros((5, 2, 3))
    predicted = np.zeros((5, 2, 3))
    predicted[2] = 100.0
    mask = (np.arange(5) != 2)[:, None]
    assert metrics.mpjve(predicted, target, mask) == 0.0
    assert metrics.mpjve(predicted, target) > 0.0
    batched = metrics.mpjve(predicted[None], target[None], reduction="frame")
    assert batched.shape == (1, 4)
    assert np.isnan(metrics.mpjve(predicted[:1], target[:1]))


def test_alignment_removes_similarity_but_not_reflection():
    target = random_poses(2, 7, 17)
    moved = 1.7 * target @ rotation(3) + np.array([10.0, -20.0, 3000.0])
    np.testing.assert_allclose(metrics.procrustes_align(moved, target), target, atol=1e-8)
    mirrored = target * np.array([-1.0, 1.0, 1.0])
    assert metrics.pa_mpjpe(mirrored, target) > 50.0


def test_alignment_is_the_least_squares_optimum():
    # Unrelated poses: for about half of them the unrestricted optimum is a reflection.
    target, predicted = random_poses(4, 12, 9), random_poses(5, 12, 9)
    aligned = metrics.procrustes_align(predicted, target)
    best = ((aligned - target) ** 2).sum((1, 2))
    rng = np.random.default_rng(6)
    for size in np.geomspace(1e-3, 0.3, 100):
        turn = np.linalg.qr(np.eye(3) + size * rng.normal(size=(3, 3)))[0]
        turn = turn * np.sign(np.diagonal(turn))
        centre = aligned.mean(1, keepdims=True)
        scale = 1 + size * rng.normal()
        other = scale * (aligned - centre) @ turn + centre + size * rng.normal(size=3)
        assert (((other - target) ** 2).sum((1, 2)) >= best - 1e-6).all()


def test_alignment_of_undefined_frames_is_nan_and_only_there():
    target, predicted = random_poses(7, 5, 17), random_poses(8, 5, 17)
    expected = metrics.pa_mpjpe(predicted, target, reduction="frame")
    predicted[1] = 0.5
    predicted[2, 3, 0] = np.nan
    target[4] = 2.0
    computed = metrics.pa_mpjpe(predicted, target, reduction="frame")
    np.testing.assert_array_equal(np.isnan(computed), [False, True, True, False, True])
    np.testing.assert_array_equal(computed[[0, 3]], expected[[0, 3]])


def test_scale_is_optimal_per_frame():
    target = random_poses(9, 3, 17)
    scales = np.array([0.5, 2.0, -1.0])[:, None, None]
    np.testing.assert_allclose(metrics.n_mpjpe(target * scales, target), 0.0, atol=1e-9)


def test_thresholds_are_strict():
    target = np.zeros((1, 4, 3))
    predicted = np.zeros((1, 4, 3))
    predicted[0, :, 0] = [0.0, 5.0, 149.999, 150.0]
    assert metrics.pck(predicted, target) == 75.0
    # Thresholds above the error: 5..150 (30), 10..150 (29), 150 (1), none.
    np.testing.assert_allclose(metrics.auc(predicted, target), 100 * (30 + 29 + 1) / (4 * 31))


def brute_force_order(depth, target, mask, involving, margin):
    """Percentage over pairs along the last axis, one pair at a time."""
    right = compared = 0
    for row in np.ndindex(depth.shape[:-1]):
        for m in range(depth.shape[-1]):
            for n in range(depth.shape[-1]):
                if not (mask[row][m] and mask[row][n]):
                    continue
                if involving is not None and not (involving[row][m] or involving[row][n]):
                    continue
                if target[row][m] < target[row][n] - margin:
                    compared += 1
                    right += depth[row][m] < depth[row][n]
    return 100.0 * right / compared if compared else np.nan


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 9),
    joints=st.integers(1, 9),
    levels=st.integers(1, 12),
    margin=st.sampled_from([0.0, 1.0, 2.5]),
    seed=st.integers(0, 2**32 - 1),
    masked=st.booleans(),
    occlusion=st.booleans(),
)
def test_depth_order_equals_brute_force(frames, joints, levels, margin, seed, masked, occlusion):
    rng = np.random.default_rng(seed)
    # Few levels make ties common in both.
    predicted = rng.integers(0, levels, (frames, joints, 3)).astype(np.float64)
    target = rng.integers(0, levels, (frames, joints, 3)).astype(np.float64)
    predicted[rng.random((frames, joints)) < 0.05] = np.nan
    mask = rng.random((frames, joints)) < 0.8 if masked else np.ones((frames, joints), bool)
    involving = rng.random((frames, joints)) < 0.4 if occlusion else None
    z, g = predicted[..., 2], target[..., 2]
    np.testing.assert_allclose(
        metrics.spatial_depth_order_accuracy(predicted, target, mask, involving, margin),
        brute_force_order(z, g, mask, involving, margin),
    )
    marked = None if involving is None else involving.T
    np.testing.assert_allclose(
        metrics.temporal_depth_order_accuracy(predicted, target, mask, involving, margin),
        brute_force_order(z.T, g.T, mask.T, marked, margin),
    )


def test_depth_order_of_a_long_video():
    rng = np.random.default_rng(10)
    target = rng.normal(size=(6000, 17, 3))
    predicted = target + 0.5 * rng.normal(size=target.shape)
    right, compared = metrics.temporal_depth_order_counts(predicted, target)
    assert (compared == 6000 * 5999 // 2).all()
    z, g = predicted[:, 4, 2], target[:, 4, 2]
    expected = sum(((g[m] < g) & (z[m] < z)).sum() for m in range(len(g)))
    assert right[4] == expected


def test_depth_order_of_perfect_inverted_and_constant_predictions():
    target = random_poses(11, 30, 17)
    inverted = target * np.array([1.0, 1.0, -1.0])
    flat = target * np.array([1.0, 1.0, 0.0])
    for accuracy in (metrics.spatial_depth_order_accuracy, metrics.temporal_depth_order_accuracy):
        assert accuracy(target, target) == 100.0
        assert accuracy(inverted, target) == 0.0
        assert accuracy(flat, target) == 0.0
        assert np.isnan(accuracy(target, flat))


def test_temporal_order_never_compares_across_clips():
    target = random_poses(12, 2, 8, 5)
    predicted = target.copy()
    predicted[1, ..., 2] += 1e6
    assert metrics.temporal_depth_order_accuracy(predicted, target) == 100.0


@pytest.mark.parametrize("point", [[0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.3], [1e5, 1, 2]])
def test_a_collapsed_pose_has_no_alignment(point):
    target = random_poses(10, 5, 17)
    collapsed = np.zeros_like(target) + point
    assert np.isnan(metrics.pa_mpjpe(collapsed, target))
    assert np.isnan(metrics.pa_mpjpe(target, collapsed))


def test_shapes_that_would_be_repeated_are_refused(unchecked):
    target = random_poses(11, 4, 17)
    measures = (metrics.mpjpe, metrics.pa_mpjpe, metrics.n_mpjpe, metrics.mpjve, metrics.pck,
                metrics.auc, metrics.spatial_depth_order_accuracy,
                metrics.temporal_depth_order_accuracy)  # fmt: skip
    for measure in measures:
        for other in (target[:1], target[:, :1], target[0], target[..., :1], target[None]):
            with pytest.raises(InputError, match="expected the same shape"):
                measure(other, target)


def test_movement_range():
    """One joint of two moves one to the left and right of the central frame."""
    keypoints = np.zeros((2, 3, 2, 2))
    keypoints[0, [0, 2], 1] = [[-3, 4], [0, 1]]
    np.testing.assert_allclose(metrics.movement_range(keypoints), [(5 + 1) / 6, 0])
    np.testing.assert_allclose(metrics.movement_range(keypoints + 7), [1, 0])


def test_equal_subsets():
    values = np.array([3.0, 1.0, 2.0, 1.0, 5.0])
    assert metrics.equal_subsets(values, 2).tolist() == [1, 0, 0, 0, 1]
    assert metrics.equal_subsets(values, 5).tolist() == [3, 0, 2, 1, 4]
