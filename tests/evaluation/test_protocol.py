import dataclasses

import numpy as np
import pytest
from evaluation.conftest import make_dataset

from jrepose import metrics
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation import protocol
from jrepose.evaluation.protocol import Protocol, counted_entries, score_frames


def clips_of(dataset, poses_normalised, frames, stride, overlap="once", kind="cover"):
    windows = evaluation_windows(dataset.videos, frames, stride, kind)
    return poses_normalised[windows.targets], windows.targets, counted_entries(windows, overlap)


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
    errors = score_frames(dataset, *clips, Protocol(target="camera"))
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
    _, index, _, scored = windows
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
    index = windows.targets
    predictions = dataset.model_targets()[index]
    predictions[0, 3:] = 1e3  # the repeats of the first video's last frame
    counted = counted_entries(windows, overlap)
    errors = score_frames(dataset, predictions, index, counted)
    assert errors.evaluated.all()
    assert errors.mpjpe.max() < 0.01


def test_every_slot_counts_and_velocities_jump_between_clips():
    dataset = make_dataset(((3, "Walking"), (10, "Sitting")))
    windows = evaluation_windows(dataset.videos, 8, 8)  # 3 frames + 5 repeats; 2 overlapping clips
    predictions = noisy_targets(dataset)[windows.targets]
    predictions += np.random.default_rng(1).normal(size=predictions.shape, scale=0.01)
    predictions = predictions.astype(np.float32)
    counted = counted_entries(windows, "slots")
    assert counted.all()
    errors = score_frames(dataset, predictions, windows.targets, counted, Protocol(overlap="slots"))
    np.testing.assert_array_equal(errors.weight, [1, 1, 6, 1, 1, 2, 2, 2, 2, 2, 2, 1, 1])

    poses = dataset.to_mm(predictions, windows.targets)
    poses = poses - poses[..., :1, :]
    targets = errors.targets_mm[windows.targets]
    distances = metrics.mpjpe(poses, targets, reduction="none")
    for slots, rows in ((distances[:1], slice(0, 3)), (distances[1:], slice(3, 13))):
        weight = errors.weight[rows, None]
        mean = (weight * errors.mpjpe[rows]).sum(0) / weight.sum()
        np.testing.assert_allclose(mean, slots.mean((0, 1)), rtol=1e-5)
    laid_out = poses[1:].reshape(-1, 17, 3), targets[1:].reshape(-1, 17, 3)
    expected = metrics.mpjve(*laid_out, reduction="joint")
    np.testing.assert_allclose(errors.velocity[1, 1], 16)
    np.testing.assert_allclose(errors.velocity[0, 1] / 16, expected, rtol=1e-5)


def test_blocks_do_not_change_anything(monkeypatch):
    dataset = make_dataset()
    windows = evaluation_windows(dataset.videos, 9, 4)
    predictions = noisy_targets(dataset)[windows.targets]
    clips = predictions, windows.targets, counted_entries(windows, "average")
    whole = score_frames(dataset, *clips)
    monkeypatch.setattr(protocol, "_BLOCK", 20)
    parts = score_frames(dataset, *clips)
    for field in dataclasses.fields(whole):
        np.testing.assert_allclose(
            getattr(parts, field.name), getattr(whole, field.name), rtol=1e-5, atol=1e-4
        )


def metric_dataset(frames=12):
    """Models of this one predict camera-space metres."""
    return dataclasses.replace(make_dataset(((frames, "Walking"),)), target_space="camera_m")


@pytest.mark.parametrize(
    ("root", "expected"), [("keep", [3.0, 1.0]), ("zero", [0.0, 1.0]), ("subtract", [0.0, 3.16])]
)
def test_what_becomes_of_the_predicted_root(root, expected):
    dataset = metric_dataset()
    predicted = dataset.model_targets()
    predicted[:, 0] += np.float32([0.003, 0, 0])  # the root 3 mm to the side, the others 1 mm up
    predicted[:, 1:] += np.float32([0, 0.001, 0])
    before = predicted.copy()
    errors = score_frames(dataset, *clips_of(dataset, predicted, 6, 6), Protocol(root=root))
    np.testing.assert_allclose(errors.mpjpe[:, :2], np.tile(expected, (12, 1)), atol=0.01)
    np.testing.assert_array_equal(predicted, before)


def test_kept_keypoints_leave_depth_errors_only():
    dataset = make_dataset(((12, "Walking"),))
    predicted = noisy_targets(dataset)
    errors = score_frames(
        dataset, *clips_of(dataset, predicted, 6, 6), Protocol(keep_keypoints=True)
    )
    difference = np.abs(errors.poses_mm - errors.targets_mm)
    assert difference[..., :2].max() < 0.01 < 1.0 < difference[:, 1:, 2].mean()


def test_choices_that_do_not_fit_the_data_are_refused():
    dataset = make_dataset()
    clips = clips_of(dataset, dataset.model_targets(), 9, 9)
    with pytest.raises(InputError, match="root is 'keep'.*expected 'subtract'"):
        score_frames(dataset, *clips, Protocol(root="keep"))
    metric = metric_dataset()
    with pytest.raises(InputError, match="keep_keypoints needs .* target space camera_m"):
        score_frames(
            metric, *clips_of(metric, metric.model_targets(), 9, 9), Protocol(keep_keypoints=True)
        )


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
        score_frames(dataset, *clips, Protocol(target="world"))
    with pytest.raises(InputError, match="root 'drop'.*subtract, zero, keep"):
        score_frames(dataset, *clips, Protocol(root="drop"))
    with pytest.raises(InputError, match="'twice'.*once, average, slots"):
        Protocol(overlap="twice")
