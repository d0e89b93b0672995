import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import LinearLifter, MovingAverageLifter
from flax import linen as nn

from jrepose.errors import InputError
from jrepose.evaluation.predict import predict_clips
from jrepose.skeleton import HUMAN36M_17


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 17, 3)).astype(np.float32)
    windows = rng.integers(0, 40, (7, 5))
    model = MovingAverageLifter()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 5, 17, 3)), train=False)
    return model, variables, inputs, windows


def predict(problem, **changes):
    model, variables, inputs, windows = problem
    options = {"batch_size": 3, "flip": False, "skeleton": HUMAN36M_17} | changes
    return predict_clips(model, variables, inputs, windows, **options)


def mirror(joints):
    out = joints[:, :, HUMAN36M_17.flip_permutation].copy()
    out[..., 0] *= -1
    return out


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_do_not_change_predictions(problem, batch_size):
    model, variables, inputs, windows = problem
    expected = model.apply(variables, inputs[windows], train=False)
    np.testing.assert_allclose(predict(problem, batch_size=batch_size), expected, atol=1e-6)


def test_flip_averages_both_views(problem):
    model, variables, inputs, windows = problem
    plain = model.apply(variables, inputs[windows], train=False)
    flipped = model.apply(variables, mirror(inputs[windows]), train=False)
    expected = 0.5 * (plain + mirror(np.asarray(flipped)))
    np.testing.assert_allclose(predict(problem, flip=True), expected, atol=1e-6)
    assert np.abs(expected - plain).max() > 0.1


def test_several_devices_equal_one(problem):
    assert jax.device_count() > 1
    one = predict(problem, devices=jax.devices()[:1], flip=True)
    several = predict(problem, devices=jax.devices()[:3], flip=True)
    np.testing.assert_allclose(several, one, atol=1e-6)


def test_one_program_for_all_batches_and_calls():
    traces = []

    class Counting(nn.Module):
        def __call__(self, keypoints, train):
            traces.append(keypoints.shape)
            return keypoints

    inputs = np.zeros((30, 17, 3), np.float32)
    windows = np.arange(30).reshape(10, 3)
    for _ in range(2):
        predict_clips(
            Counting(), {}, inputs, windows, batch_size=4, flip=False, skeleton=HUMAN36M_17,
            devices=jax.devices()[:1],
        )  # fmt: skip
    assert traces == [(4, 3, 17, 3)]


def test_no_clips(problem):
    model, variables, inputs, windows = problem
    empty = predict_clips(
        model, variables, inputs, windows[:0], batch_size=2, flip=True, skeleton=HUMAN36M_17
    )
    assert empty.shape == (0, 5, 17, 3)


def test_unusable_input_is_named(problem):
    model, variables, inputs, windows = problem
    with pytest.raises(InputError, match="batch_size"):
        predict(problem, batch_size=0)
    with pytest.raises(InputError, match=r"outside 0\.\.39"):
        predict((model, variables, inputs, windows + 39))
    with pytest.raises(InputError, match="16 joints"):
        predict((model, variables, inputs[:, :16], windows))

    class CentreFrame(nn.Module):
        def __call__(self, keypoints, train):
            return keypoints[:, 2:3]

    with pytest.raises(InputError, match="model returned poses"):
        predict((CentreFrame(), {}, inputs, windows))


def test_per_frame_lifter_is_independent_of_windows():
    inputs = np.random.default_rng(1).normal(size=(12, 17, 3)).astype(np.float32)
    model = LinearLifter()
    variables = model.init(jax.random.key(1), jnp.zeros((1, 1, 17, 3)), train=False)
    options = {"batch_size": 2, "flip": True, "skeleton": HUMAN36M_17}
    split = predict_clips(model, variables, inputs, np.arange(12).reshape(4, 3), **options)
    whole = predict_clips(model, variables, inputs, np.arange(12).reshape(2, 6), **options)
    np.testing.assert_allclose(split.reshape(12, 17, 3), whole.reshape(12, 17, 3), atol=1e-6)


_WORKER = """
import sys
import numpy as np
from jrepose import parallel
parallel.initialise_distributed(sys.argv[1], 2, int(sys.argv[2]))
from flax import linen as nn
from jrepose.evaluation.predict import predict_clips
from jrepose.skeleton import HUMAN36M_17

class Squares(nn.Module):
    def __call__(self, keypoints, train):
        return keypoints ** 2

inputs = np.random.default_rng(0).normal(size=(40, 17, 3)).astype(np.float32)
windows = np.arange(35).reshape(7, 5)
predicted = predict_clips(
    Squares(), {}, inputs, windows, batch_size=3, flip=False, skeleton=HUMAN36M_17
)
np.testing.assert_allclose(predicted, inputs[windows] ** 2, rtol=1e-6)
print("equal")
"""


def test_every_process_receives_the_whole_result():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    root = pathlib.Path(__file__).resolve().parents[2]
    environment = dict(os.environ, PYTHONPATH=str(root))
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, address, str(process)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for process in range(2)
    ]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert "equal" in out, err
