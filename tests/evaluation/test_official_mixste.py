"""MixSTE's evaluation, and VideoPose3D's aggregation, against the official code's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import lifting, plain_skeleton
from flax import linen as nn

from jrepose.data.columns import Column
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.windows import evaluation_windows
from jrepose.evaluation.predict import predict_clips
from jrepose.evaluation.protocol import Protocol, counted_entries
from jrepose.evaluation.scores import evaluate_predictions

NAMES = {"p1": "mpjpe", "p2": "pa_mpjpe", "p3": "n_mpjpe", "velocity": "mpjve"}


@pytest.fixture(scope="module")
def fixture(golden):
    return golden("mixste_eval")


def sequences(fixture, chosen=None):
    """Numbers of the fixture's sequences, all or those that `chosen(subject, action)` takes."""
    return [
        number
        for number, sequence in enumerate(fixture[1]["sequences"])
        if chosen is None or chosen(sequence["subject"], sequence["action"])
    ]


def make_dataset(fixture, numbers):
    arrays, config = fixture
    videos, start = [], 0
    for number in numbers:
        described = config["sequences"][number]
        stop = start + described["length"]
        name = "{subject}/{action}/{camera}".format(**described)
        videos.append(
            Video(name, described["subject"], described["action"].split(" ")[0],
                  str(described["camera"]), 1000, 1000, 50.0, start, stop)
        )  # fmt: skip
        start = stop
    inputs = np.concatenate([arrays[f"input/{number}/poses_2d"] for number in numbers])
    poses = np.concatenate([arrays[f"input/{number}/poses_3d"] for number in numbers])
    # The fixture's joint 0 is absolute, the others are relative to it.
    poses[:, 1:] += poses[:, :1]
    return PoseDataset(
        keypoints_px=((inputs + np.float32(1)) * 500).astype(np.float32),
        confidence=np.ones(inputs.shape[:2], np.float32),
        visible=np.ones(inputs.shape[:2], bool),
        valid=np.ones(len(inputs), bool),
        videos=tuple(videos),
        skeleton=plain_skeleton(
            config["num_joints"], config["joints_left"], config["joints_right"]
        ),
        poses_camera_mm=(poses * 1000).astype(np.float32),
        target_space="camera_m",
    )


def evaluate(fixture, numbers, overlap="slots", **options):
    arrays, config = fixture
    dataset = make_dataset(fixture, numbers)
    frames = config["receptive_field"]
    windows = evaluation_windows(dataset.videos, frames, frames, "cover")
    predictions = np.concatenate([arrays[f"output/{n}/prediction_averaged"] for n in numbers])
    return evaluate_predictions(
        dataset, predictions, windows.targets, counted_entries(windows, overlap),
        Protocol(root="keep", overlap=overlap, **options),
    )  # fmt: skip


def check(scores, arrays, prefix):
    for official, name in NAMES.items():
        expected = float(arrays[f"{prefix}/{official}_mm"])
        np.testing.assert_allclose(scores[name], expected, rtol=1e-5, err_msg=f"{prefix} {name}")


def test_windows_are_the_official_ones(fixture):
    arrays, config = fixture
    frames = config["receptive_field"]
    dataset = make_dataset(fixture, sequences(fixture))
    windows = evaluation_windows(dataset.videos, frames, frames, "cover")
    expected = [
        arrays[f"output/{number}/window_frame_index"] + video.start
        for number, video in enumerate(dataset.videos)
    ]
    np.testing.assert_array_equal(windows.targets, np.concatenate(expected))


def test_every_sequence(fixture):
    for number in sequences(fixture):
        result = evaluate(fixture, [number])
        check(result.scores, fixture[0], f"loss/{number}")
        (action,) = result.per_action.values()
        assert action["frames"] == fixture[0][f"output/{number}/window_frame_index"].size


def check_group(fixture, group, chosen, result):
    arrays = fixture[0]
    actions = {
        action.split(" ")[0]
        for subject, action in ((s["subject"], s["action"]) for s in fixture[1]["sequences"])
        if chosen(subject, action)
    }
    assert set(result) == actions
    for action, scores in result.items():
        check(scores, arrays, f"loss/{group}/action/{action}")


def groups(fixture, prefix):
    """Names of the fixture's groups of sequences that begin so."""
    names = {key.split("/")[1] for key in fixture[0] if key.startswith(f"loss/{prefix}")}
    assert names
    return sorted(names)


def test_actions_of_all_subjects(fixture):
    result = evaluate(fixture, sequences(fixture))
    check_group(fixture, "all", lambda *_: True, result.per_action)
    check(result.scores, fixture[0], "loss/all/action_average")


def test_actions_with_a_prefix(fixture):
    for group in groups(fixture, "filter_"):

        def chosen(subject, action, group=group):
            return action.startswith(group.removeprefix("filter_"))

        result = evaluate(fixture, sequences(fixture, chosen))
        check_group(fixture, group, chosen, result.per_action)
        check(result.scores, fixture[0], f"loss/{group}/action_average")


def test_actions_of_each_subject(fixture):
    arrays = fixture[0]
    everything = evaluate(fixture, sequences(fixture), by_subject=True)
    subjects = sorted(f"subject_{subject}" for subject in everything.per_subject)
    assert subjects == groups(fixture, "subject_")
    means = []
    for subject, scores in everything.per_subject.items():

        def chosen(of, action, subject=subject):
            return of == subject

        group = f"subject_{subject}"
        check_group(fixture, group, chosen, scores)
        alone = evaluate(fixture, sequences(fixture, chosen))
        check(alone.scores, arrays, f"loss/{group}/action_average")
        means += [action["mpjpe"] for action in scores.values()]
    np.testing.assert_allclose(everything.scores["mpjpe"], np.mean(means))


def test_each_frame_once_is_another_number(fixture):
    """Covering windows scored once are VideoPose3D's unchunked evaluation of these outputs."""
    numbers = sequences(fixture)
    result = evaluate(fixture, numbers, "once")
    lengths = [fixture[1]["sequences"][number]["length"] for number in numbers]
    assert sum(action["frames"] for action in result.per_action.values()) == sum(lengths)
    assert result.scores["mpjpe"] != pytest.approx(
        evaluate(fixture, numbers).scores["mpjpe"], rel=1e-4
    )


def test_flip_average(fixture):
    arrays, config = fixture
    joints, left, right = (config[key] for key in ("num_joints", "joints_left", "joints_right"))
    plain = arrays["input/0/prediction_window"]
    stored = jnp.asarray(np.concatenate([plain, arrays["input/0/prediction_flipped_window"]]))

    class Stored(nn.Module):
        """Answers with the stored outputs for the windows and for the mirrored windows."""

        def __call__(self, keypoints, train):
            return stored

    windows = np.arange(plain.shape[0] * plain.shape[1]).reshape(plain.shape[:2])
    averaged = predict_clips(
        lifting(Stored(), plain_skeleton(joints, left, right)), {},
        {"keypoints": Column(np.zeros((windows.size, joints, 3), np.float32))}, windows,
        targets=windows.shape[1], batch_size=len(plain), flip=True, devices=jax.devices()[:1],
    )  # fmt: skip
    np.testing.assert_allclose(averaged, arrays["output/0/prediction_averaged"], atol=1e-6)
