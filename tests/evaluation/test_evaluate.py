import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import LinearLifter, MovingAverageLifter, lifting, make_dataset

from jrepose import metrics
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation.evaluate import evaluate_dataset, predict_dataset
from jrepose.evaluation.protocol import Protocol
from jrepose.evaluation.scores import depth_scores, evaluate_predictions
from jrepose.skeleton import MPI_INF_3DHP_17

HAND = 16


def evaluate(dataset, predicted, frames=9, **options):
    _, index, _, scored = evaluation_windows(dataset.videos, frames, frames)
    return evaluate_predictions(dataset, predicted[index], index, scored, Protocol(**options))


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


def two_subjects(lengths=((20, "Walking"), (10, "Sitting"), (12, "Walking"), (15, "Sitting"))):
    dataset = make_dataset(lengths)
    videos = [
        dataclasses.replace(video, subject=("Validate/S1", "Validate/S2")[number // 2])
        for number, video in enumerate(dataset.videos)
    ]
    return dataclasses.replace(dataset, videos=tuple(videos))


def test_mean_over_subjects_and_exclusions():
    dataset = two_subjects()
    predicted = noisy(dataset)
    of_video = [
        evaluate(dataset.select([video]), predicted[video.start : video.stop]).scores["mpjpe"]
        for video in dataset.videos
    ]
    walk_1, sit_1, walk_2, sit_2 = of_video
    plain = evaluate(dataset, predicted)
    assert list(plain.per_subject) == ["Validate/S1", "Validate/S2"]
    np.testing.assert_allclose(plain.per_subject["Validate/S2"]["Walking"]["mpjpe"], walk_2)
    np.testing.assert_allclose(
        plain.per_action["Walking"]["mpjpe"], np.average([walk_1, walk_2], weights=[20, 12])
    )
    assert plain.scores_of_all is None and plain.excluded == ()

    by_subject = evaluate(dataset, predicted, by_subject=True)
    np.testing.assert_allclose(by_subject.scores["mpjpe"], np.mean(of_video))

    result = evaluate(dataset, predicted, by_subject=True, exclude=("S2/Walking", "S7/Walking"))
    assert result.excluded == (("Validate/S2", "Walking"),)
    np.testing.assert_allclose(result.scores["mpjpe"], np.mean([walk_1, sit_1, sit_2]))
    np.testing.assert_allclose(result.scores_of_all["mpjpe"], np.mean(of_video))
    np.testing.assert_allclose(result.per_subject["Validate/S2"]["Walking"]["mpjpe"], walk_2)
    np.testing.assert_allclose(result.per_action["Walking"]["mpjpe"], walk_1)
    assert result.per_action["Walking"]["frames"] == 20

    pooled = evaluate(dataset, predicted, exclude=("S2/Walking",))
    sitting = np.average([sit_1, sit_2], weights=[10, 15])
    np.testing.assert_allclose(pooled.scores["mpjpe"], np.mean([walk_1, sitting]))
    np.testing.assert_allclose(pooled.scores_of_all["mpjpe"], plain.scores["mpjpe"])


@pytest.mark.parametrize("wrong", ["Walking", "S1/", "a/b/c"])
def test_malformed_exclusions_are_named(wrong):
    dataset = two_subjects()
    with pytest.raises(InputError, match=f"exclude has '{wrong}'.*S3/Walking"):
        evaluate(dataset, noisy(dataset), exclude=(wrong,))


def test_excluding_everything_is_an_error():
    dataset = make_dataset(((20, "Walking"),))
    with pytest.raises(InputError, match="leaves nothing"):
        evaluate(dataset, noisy(dataset), exclude=("s/Walking",))


def test_spread_of_errors():
    dataset = two_subjects()
    predicted = dataset.model_targets()
    # 50 mm in Validate/S1's walk, 20 mm in the rest, in every joint but the root.
    error_mm = np.where(np.arange(57) < 20, 50.0, 20.0)
    offset = error_mm / (500.0 * dataset.factor_mm_per_px)
    predicted[:, 1:, 0] += offset[:, None].astype(np.float32)
    result = evaluate(dataset, predicted)
    np.testing.assert_allclose(result.spread["poses_above_40_mm"], 100 * 20 / 57)
    np.testing.assert_allclose(result.spread["poses_below_30_mm"], 100 * 37 / 57)
    np.testing.assert_allclose(
        result.spread["action_variance"],
        np.var([scores["mpjpe"] for scores in result.per_action.values()]),
    )
    assert result.spread["joint_variance"] < 0.01  # the root's zero is not one of the joints
    without = evaluate(dataset, predicted, exclude=("S1/Walking",))
    assert without.spread["poses_above_40_mm"] == 0.0

    predicted[:, [13, 16], 0] += offset[:, None].astype(np.float32)  # wrists: twice the error
    wrists = evaluate(dataset, predicted)
    pairs = {name: scores["mpjpe"] for name, scores in wrists.per_joint_pair.items()}
    assert list(pairs)[:4] == ["pelvis", "hip", "knee", "ankle"] and len(pairs) == 11
    np.testing.assert_allclose(pairs["wrist"], 2 * pairs["elbow"], rtol=1e-4)
    errors = [value for name, value in pairs.items() if name != "pelvis"]
    np.testing.assert_allclose(wrists.spread["joint_variance"], np.var(errors) / 10)


def test_thresholds_count_the_fourteen_joints_where_the_skeleton_names_them():
    dataset = dataclasses.replace(
        make_dataset(((12, "TS1"),)), skeleton=MPI_INF_3DHP_17, target_space="camera_m"
    )
    predicted = dataset.model_targets()
    predicted[:, 14:] += 0.5  # pelvis, spine and head centre
    result = evaluate(dataset, predicted, root="keep")
    assert result.scores["pck"] == 100.0 and result.scores["mpjpe"] > 100.0


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


def test_diverged_predictions_are_not_hidden(caplog):
    dataset = make_dataset()
    predicted = noisy(dataset)
    predicted[3, 4] = np.nan
    result = evaluate(dataset, predicted)
    assert np.isnan(result.scores["mpjpe"])
    assert np.isfinite(result.per_action["Sitting"]["mpjpe"])
    (line,) = caplog.messages
    assert (
        line.startswith("NaN or infinity in prediction or truth")
        and f"{dataset.videos[0].name} frame 3" in line
    )


def test_one_collapsed_pose_is_named_and_does_not_spoil_the_table(caplog):
    dataset = make_dataset()
    predicted = noisy(dataset)
    whole = evaluate(dataset, predicted)
    assert caplog.messages == []
    predicted[3] = predicted[3, :1]  # all joints at the root
    result = evaluate(dataset, predicted)
    (line,) = caplog.messages
    assert line.startswith("a pose that is one point, left out of PA-MPJPE")
    assert line.endswith(f"{dataset.videos[0].name} frame 3")
    for name in ("pa_mpjpe", "n_mpjpe"):
        np.testing.assert_allclose(result.scores[name], whole.scores[name], rtol=0.05)
    assert result.scores["mpjpe"] > 1.05 * whole.scores["mpjpe"]


def test_dataset_through_a_model(config):
    dataset = make_dataset(((30, "Walking"), (20, "Sitting"), (4, "Sitting")))
    model = MovingAverageLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 9, 17, 3)), train=False)
    config.clip.evaluation_stride = 4
    one = evaluate_dataset(lifting(model), variables, dataset, config, devices=jax.devices()[:1])
    several = evaluate_dataset(lifting(model), variables, dataset, config)
    assert one.per_frame.evaluated.all()
    assert one.settings["scored_frames"] == 54 and one.settings["flip"] is True
    for name, value in one.scores.items():
        np.testing.assert_allclose(several.scores[name], value, rtol=1e-4, err_msg=name)
    config.evaluation.overlap = "average"
    averaged = evaluate_dataset(lifting(model), variables, dataset, config)
    assert averaged.scores["mpjpe"] != one.scores["mpjpe"]
    config.evaluation.overlap = "slots"
    slots = evaluate_dataset(lifting(model), variables, dataset, config)
    assert slots.per_action["Sitting"]["frames"] > 24 and slots.settings["overlap"] == "slots"
    config.evaluation.overlap = "sometimes"
    with pytest.raises(InputError, match="overlap"):
        evaluate_dataset(lifting(model), variables, dataset, config)


def test_every_field_of_the_config_reaches_the_scores(config):
    dataset = make_dataset(((18, "Walking"), (18, "Sitting")))
    model = MovingAverageLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 9, 17, 3)), train=False)

    config.training.root = "frame"

    def score(**fields):
        changed = config.copy_and_resolve_references()
        changed.evaluation.update(fields)
        return evaluate_dataset(lifting(model), variables, dataset, changed)

    plain = score()
    assert plain.settings["target"] == "image" and plain.settings["benchmark"] is None
    for name, value in {
        "root": "zero", "keep_keypoints": True, "target": "camera", "flip": False,
    }.items():  # fmt: skip
        result = score(**{name: value})
        assert result.scores["mpjpe"] != plain.scores["mpjpe"]
        assert result.settings[name] == value
    excluding = score(exclude=("s/Walking",), by_subject=True)
    assert excluding.scores["mpjpe"] == plain.per_action["Sitting"]["mpjpe"]
    with pytest.raises(InputError, match="root 'none'"):
        score(root="none")
    config.training.root = "clip_first"  # of which the root is not the origin
    with pytest.raises(InputError, match="root is 'zero'.*root=clip_first.*expected 'subtract'"):
        score(root="zero")


def test_the_published_row_comes_from_the_config(config):
    dataset = make_dataset(((18, "Walking"),))
    model = LinearLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 9, 17, 3)), train=False)
    config.published = "RePOSE"
    with pytest.raises(InputError, match="no published rows are known for this data"):
        evaluate_dataset(lifting(model), variables, dataset, config)
    config.data.source = "human36m_sh"
    result = evaluate_dataset(lifting(model), variables, dataset, config)
    assert result.published.system == "RePOSE" and result.published.scores["mpjpe"] == 36.5
    assert result.settings["benchmark"] == "human36m_sh"
    config.published = "Nobody"
    with pytest.raises(InputError, match="'Nobody'; for human36m_sh the rows of RePOSE"):
        evaluate_dataset(lifting(model), variables, dataset, config)


def test_depth_that_is_there_and_depth_that_is_not():
    dataset = make_dataset()
    flat = dataset.model_targets()
    flat[..., 2] = 0
    frames = evaluate(dataset, flat).per_frame
    found = depth_scores(frames)
    assert found["depth_spread"] < 0.1 < 50 < found["true_depth_spread"]
    # The x and y of these predictions are right, so they score what a flat pose does.
    np.testing.assert_allclose(found["flat_mpjpe"], frames.mpjpe.mean(), rtol=1e-3)
    right = depth_scores(evaluate(dataset, dataset.model_targets()).per_frame)
    np.testing.assert_allclose(right["depth_spread"], right["true_depth_spread"], rtol=1e-3)
    np.testing.assert_allclose(right["flat_mpjpe"], found["flat_mpjpe"], rtol=1e-6)


def test_predictions_without_labels(config):
    dataset = make_dataset(((30, "Walking"), (4, "Sitting")))
    model = MovingAverageLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 9, 17, 3)), train=False)
    scored = evaluate_dataset(lifting(model), variables, dataset, config)
    unlabelled = dataclasses.replace(
        dataset, poses_camera_mm=None, poses_image_px=None, factor_mm_per_px=None
    )
    assert dataset.labelled and not unlabelled.labelled
    poses = predict_dataset(lifting(model), variables, unlabelled, config)
    in_mm = dataset.to_mm(poses, np.arange(34))
    np.testing.assert_allclose(
        in_mm - in_mm[:, :1], scored.per_frame.poses_mm, rtol=1e-4, atol=1e-2
    )
