import dataclasses

import numpy as np
import pytest
from evaluation.conftest import make_dataset

from jrepose import metrics
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation.protocol import counted_entries, score_frames


def clips_of(dataset, poses_normalised, frames, stride, overlap="once", kind="cover"):
    windows = evaluation_windows(dataset.videos, frames, stride, kind)
    return poses_normalised[windows.index], windows.index, counted_entries(windows, overlap)


def noisy_targets(dataset, seed=0):
    targets = dataset.model_targets()
    noise = np.random.default_rng(seed).normal(size=targets.shape, scale=0.02)
    return (targets + noise).astype(np.float32)


def test_perfect_predictions_have_no_error():
    dataset = make_dataset()
    errors = score_frames(dataset, *clips_of(dataset, dataset.model_targets(), 9, 9))
    assert errors.evaluated.all()
    for name in ("mpjpe", "pa_mpjpe", "n_mpjpe"):
        assert getattr(errors, name).max() < 0.01


def test_errors_are_those_of_root_relative_millimetres():
    dataset = make_dataset()
    predicted = noisy_targets(dataset)
    errors = score_frames(dataset, *clips_of(dataset, predicted, 9, 9))
    pixels = (predicted + [1.0, 1002 / 1000, 0.0]) * 500.0
    poses = pixels * dataset.factor_mm_per_px[:, None, None]
    label = dataset.poses_image_px * dataset.factor_mm_per_px[:, None, None]
    poses, label = poses - poses[:, :1], label - label[:, :1]
    np.testing.assert_allclose(
        errors.mpjpe, metrics.mpjpe(poses, label, reduction="none"), atol=2e-3
    )
    np.testing.assert_allclose(errors.poses_mm, poses, atol=2e-3)
    np.testing.assert_allclose(errors.targets_mm, label, atol=2e-3)


def test_predictions_are_invariant_to_a_moved_root():
    dataset = make_dataset()
    predicted = noisy_targets(dataset)
    moved = predicted + np.float32([0.1, -0.2, 0.3])
    still = score_frames(dataset, *clips_of(dataset, predicted, 9, 9))
    shifted = score_frames(dataset, *clips_of(dataset, moved, 9, 9))
    np.testing.assert_allclose(shifted.mpjpe, still.mpjpe, atol=2e-3)


def test_camera_target_differs_from_the_weak_perspective_label():
    dataset = make_dataset()
    clips = clips_of(dataset, dataset.model_targets(), 9, 9)
    errors = score_frames(dataset, *clips, target="camera")
    relative = dataset.poses_camera_mm - dataset.poses_camera_mm[:, :1]
    np.testing.assert_allclose(errors.targets_mm, relative, atol=1e-3)
    assert 1.0 < errors.mpjpe.mean() < 100.0


def test_overlap_averages_errors_not_predictions():
    dataset = make_dataset(((6, "Walking"),))
    index = np.array([[0, 1, 2, 3], [2, 3, 4, 5]])
    targets = dataset.model_targets()[index]
    offset = np.zeros_like(targets)
    offset[0, :, 1:, 0], offset[1, :, 1:, 0] = 0.02, -0.02
    counted = np.ones(index.shape, bool)
    errors = score_frames(dataset, targets + offset, index, counted)
    # Opposite errors of the two clips cancel in the mean pose and not in the mean error.
    factor = dataset.factor_mm_per_px[:, None] * 500.0
    expected = np.broadcast_to(0.02 * factor, (6, 16))
    np.testing.assert_allclose(errors.mpjpe[:, 1:], expected, rtol=1e-3)
    mean_pose_error = metrics.mpjpe(errors.poses_mm, errors.targets_mm, reduction="frame")
    assert mean_pose_error[2:4].max() < 0.01 < mean_pose_error[[0, 1, 4, 5]].min()


def test_once_takes_the_scored_entry_only():
    dataset = make_dataset(((12, "Walking"),))
    windows = evaluation_windows(dataset.videos, 8, 2)
    index, _, scored = windows
    predictions = dataset.model_targets()[index]
    predictions[~scored] += 5.0 * np.random.default_rng(0).normal(
        size=predictions[~scored].shape
    ).astype(np.float32)
    once = score_frames(dataset, predictions, index, counted_entries(windows, "once"))
    assert once.evaluated.all() and once.mpjpe.max() < 0.01
    average = score_frames(dataset, predictions, index, counted_entries(windows, "average"))
    assert average.mpjpe.max() > 10.0


@pytest.mark.parametrize("overlap", ["once", "average"])
def test_padding_of_short_videos_is_never_scored(overlap):
    dataset = make_dataset(((3, "Walking"), (10, "Sitting")))
    windows = evaluation_windows(dataset.videos, 8, 8)
    index = windows.index
    predictions = dataset.model_targets()[index]
    predictions[0, 3:] = 1e3  # the repeats of the first video's last frame
    counted = counted_entries(windows, overlap)
    errors = score_frames(dataset, predictions, index, counted)
    assert errors.evaluated.all()
    assert errors.mpjpe.max() < 0.01


def test_invalid_and_uncovered_frames_have_no_error():
    dataset = make_dataset(((20, "Walking"),))
    valid = np.ones(20, bool)
    valid[4:6] = False
    dataset = dataclasses.replace(dataset, valid=valid)
    errors = score_frames(dataset, *clips_of(dataset, dataset.model_targets(), 9, 9, kind="drop"))
    expected = valid.copy()
    expected[18:] = False
    np.testing.assert_array_equal(errors.evaluated, expected)
    np.testing.assert_array_equal(np.isnan(errors.mpjpe).all(-1), ~expected)
    # A repaired frame is predicted all the same; an uncovered one is not.
    assert np.isfinite(errors.poses_mm[4:6]).all() and np.isnan(errors.poses_mm[18:]).all()


def test_unknown_choices_are_named():
    dataset = make_dataset()
    clips = clips_of(dataset, dataset.model_targets(), 9, 9)
    with pytest.raises(InputError, match="'world'.*image, camera"):
        score_frames(dataset, *clips, target="world")
    with pytest.raises(InputError, match="'twice'.*once, average"):
        counted_entries(evaluation_windows(dataset.videos, 9, 9), "twice")
