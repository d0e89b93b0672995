"""What MixSTE's evaluation has beyond tests/interop/test_parity.py, on the same fixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import lifting
from flax import linen as nn

from jrepose.data.columns import Column
from jrepose.evaluation.predict import predict_clips
from jrepose.interop.fixtures.arrays import numbered_skeleton
from jrepose.interop.fixtures.mixste_evaluation import evaluated


@pytest.fixture(scope="module")
def fixture(golden):
    return golden("mixste_eval")


def evaluate(fixture, **changes):
    """All sequences."""
    arrays, config = fixture
    numbers = range(len(config["sequences"]))
    predictions = [arrays[f"output/{number}/prediction_averaged"] for number in numbers]
    return evaluated(arrays, config, numbers, np.concatenate(predictions), **changes)


def test_actions_of_each_subject(fixture):
    result = evaluate(fixture, by_subject=True)
    means = [
        action["mpjpe"] for scores in result.per_subject.values() for action in scores.values()
    ]
    for subject, scores in result.per_subject.items():
        for action, found in scores.items():
            official = fixture[0][f"loss/subject_{subject}/action/{action}/p1_mm"]
            np.testing.assert_allclose(found["mpjpe"], official, rtol=1e-5)
    np.testing.assert_allclose(result.scores["mpjpe"], np.mean(means))


def test_each_frame_once_is_another_number(fixture):
    """Covering windows scored once are VideoPose3D's unchunked evaluation of these outputs."""
    once, slots = (evaluate(fixture, overlap=overlap) for overlap in ("once", "slots"))
    lengths = [sequence["length"] for sequence in fixture[1]["sequences"]]
    assert sum(action["frames"] for action in once.per_action.values()) == sum(lengths)
    slot_count = sum(a.size for key, a in fixture[0].items() if key.endswith("window_frame_index"))
    assert sum(action["frames"] for action in slots.per_action.values()) == slot_count
    assert once.scores["mpjpe"] != pytest.approx(slots.scores["mpjpe"], rel=1e-4)


def test_flip_average(fixture):
    arrays, config = fixture
    joints = config["num_joints"]
    skeleton = numbered_skeleton(joints, config["joints_left"], config["joints_right"])
    plain = arrays["input/0/prediction_window"]
    stored = jnp.asarray(np.concatenate([plain, arrays["input/0/prediction_flipped_window"]]))

    class Stored(nn.Module):
        """Answers with the stored outputs for the windows and for the mirrored windows."""

        def __call__(self, keypoints, train):
            return stored

    windows = np.arange(plain.shape[0] * plain.shape[1]).reshape(plain.shape[:2])
    averaged = predict_clips(
        lifting(Stored(), skeleton), {},
        {"keypoints": Column(np.zeros((windows.size, joints, 3), np.float32))}, windows,
        targets=windows.shape[1], batch_size=len(plain), flip=True, devices=jax.devices()[:1],
    )  # fmt: skip
    np.testing.assert_allclose(averaged, arrays["output/0/prediction_averaged"], atol=1e-6)
