import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import MovingAverageLifter, make_dataset

from jrepose import metrics
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.evaluation.scores import evaluate_predictions

HAND = 16


def evaluate(dataset, predicted, frames=9, **options):
    index, _, scored = evaluation_windows(dataset.videos, frames, frames)
    return evaluate_predictions(dataset, predicted[index], index, scored, **options)


def noisy(dataset, seed=0, scale=0.02):
    targets = dataset.model_targets()
    noise = np.random.default_rng(seed).normal(size=targets.shape, scale=scale)
    return (targets + noise).astype(np.float32)


def test_actions_weigh_the_same_whatever_their_length():
    dataset = make_dataset(((40, "Walking"), (10, "Sitting"), (12, "Walking")))
    predicted = dataset.model_targets()
    predicted[40:50, 1:, 0] += 0.05
    result = evaluate(dataset, predicted)
    assert list(result.per_action) == ["Sitting", "Walking"]
    assert result.per_action["Walking"]["mpjpe"] < 0.01
    assert result.per_action["Walking"]["frames"] == 52
    sitting = 0.05 * 500 * dataset.factor_mm_per_px[40:50].mean() * 16 / 17
    np.testing.assert_allclose(result.per_action["Sitting"]["mpjpe"], sitting, rtol=1e-3)
    np.testing.assert_allclose(result.scores["mpjpe"], sitting / 2, rtol=1e-2)


def test_every_score_against_plain_metrics():
    dataset = make_dataset(((18, "Walking"), (27, "Walking")))
    visible = np.random.default_rng(1).random((45, 17)) > 0.3
    dataset = dataclasses.replace(dataset, visible=visible)
    result = evaluate(dataset, noisy(dataset))
    poses, targets = result.per_frame.poses_mm, result.per_frame.targets_mm
    not_root = np.arange(17) != 0
    expected = {
        "mpjpe": metrics.mpjpe(poses, targets),
        "pa_mpjpe": metrics.pa_mpjpe(poses, targets),
        "n_mpjpe": metrics.n_mpjpe(poses, targets),
        # Weighted by frames, not by velocities: VideoPose3D's convention.
        "mpjve": (
            18 * metrics.mpjve(poses[:18], targets[:18])
            + 27 * metrics.mpjve(poses[18:], targets[18:])
        ) / 45,
        "mpjpe_visible": metrics.mpjpe(poses, targets, visible & not_root),
        "mpjpe_occluded": metrics.mpjpe(poses, targets, ~visible & not_root),
        "pck": metrics.pck(poses, targets, not_root),
        "auc": metrics.auc(poses, targets, not_root),
        "spatial_order": metrics.spatial_depth_order_accuracy(poses, targets),
        "spatial_order_occluded": metrics.spatial_depth_order_accuracy(
            poses, targets, involving=~visible
        ),
        "temporal_order": metrics.temporal_depth_order_accuracy(
            poses.reshape(5, 9, 17, 3), targets.reshape(5, 9, 17, 3)
        ),
        "temporal_order_occluded": metrics.temporal_depth_order_accuracy(
            poses.reshape(5, 9, 17, 3), targets.reshape(5, 9, 17, 3),
            involving=~visible.reshape(5, 9, 17),
        ),
    }  # fmt: skip
    assert set(result.scores) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(result.scores[name], value, rtol=1e-5, err_msg=name)
    hand = result.per_joint["right_wrist"]
    np.testing.assert_allclose(
        hand["mpjpe"], metrics.mpjpe(poses, targets, reduction="joint")[HAND], rtol=1e-5
    )
    np.testing.assert_allclose(hand["occluded"], 100 * (~visible[:, HAND]).mean())


def test_occluded_errors_are_told_apart():
    dataset = make_dataset()
    visible = dataset.visible.copy()
    visible[::3, HAND] = False
    dataset = dataclasses.replace(dataset, visible=visible)
    predicted = dataset.model_targets()
    predicted[::3, HAND, 2] -= 0.3
    result = evaluate(dataset, predicted)
    assert result.scores["mpjpe_visible"] < 0.01
    assert result.scores["mpjpe_occluded"] > 100.0
    assert result.scores["spatial_order_occluded"] < result.scores["spatial_order"]
    assert result.per_joint["right_wrist"]["mpjpe_occluded"] > 100.0
    assert np.isnan(result.per_joint["left_wrist"]["mpjpe_occluded"])


def test_actions_without_scored_frames_stay_out_of_the_mean():
    dataset = make_dataset(((20, "Walking"), (15, "Sitting")))
    valid = np.arange(35) < 20
    dataset = dataclasses.replace(dataset, valid=valid)
    result = evaluate(dataset, noisy(dataset))
    assert result.per_action["Sitting"]["frames"] == 0
    assert np.isnan(result.per_action["Sitting"]["mpjpe"])
    assert result.scores["mpjpe"] == result.per_action["Walking"]["mpjpe"]
    # Nothing is occluded anywhere: there is no such score.
    assert np.isnan(result.scores["mpjpe_occluded"])


def test_nothing_to_score_is_an_error():
    dataset = make_dataset()
    dataset = dataclasses.replace(dataset, valid=np.zeros(50, bool))
    with pytest.raises(InputError, match="no frame to score"):
        evaluate(dataset, noisy(dataset))


def test_velocity_skips_cuts_and_invalid_frames():
    dataset = make_dataset(((12, "Walking"), (12, "Walking")))
    valid = np.ones(24, bool)
    valid[5] = False
    dataset = dataclasses.replace(dataset, valid=valid)
    predicted = dataset.model_targets()
    predicted[12:, 1:] += 0.5  # jumps at the cut, constant within each video
    predicted[5, 1:] -= 3.0
    assert evaluate(dataset, predicted).scores["mpjve"] < 2.0


def test_temporal_order_is_counted_within_clip_lengths():
    dataset = make_dataset(((18, "Walking"),))
    predicted = dataset.model_targets()
    one_metre = 1000.0 / (500.0 * dataset.factor_mm_per_px[9:, None])
    predicted[9:, 1:, 2] += one_metre.astype(np.float32)
    assert evaluate(dataset, predicted, frames=9).scores["temporal_order"] > 99.9
    assert evaluate(dataset, predicted, frames=18).scores["temporal_order"] < 90.0


def test_diverged_predictions_are_not_hidden():
    dataset = make_dataset()
    predicted = noisy(dataset)
    predicted[3, 4] = np.nan
    result = evaluate(dataset, predicted)
    assert np.isnan(result.scores["mpjpe"])
    assert np.isfinite(result.per_action["Sitting"]["mpjpe"])


def test_dataset_through_a_model(config):
    dataset = make_dataset(((30, "Walking"), (20, "Sitting"), (4, "Sitting")))
    model = MovingAverageLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 9, 17, 3)), train=False)
    config.clip.evaluation_stride = 4
    one = evaluate_dataset(model, variables, dataset, config, devices=jax.devices()[:1])
    several = evaluate_dataset(model, variables, dataset, config)
    assert one.per_frame.evaluated.all()
    assert one.settings["scored_frames"] == 54 and one.settings["flip"] is True
    for name, value in one.scores.items():
        np.testing.assert_allclose(several.scores[name], value, rtol=1e-4, err_msg=name)
    config.evaluation.overlap = "average"
    averaged = evaluate_dataset(model, variables, dataset, config)
    assert averaged.scores["mpjpe"] != one.scores["mpjpe"]
    config.evaluation.overlap = "sometimes"
    with pytest.raises(InputError, match="overlap"):
        evaluate_dataset(model, variables, dataset, config)
