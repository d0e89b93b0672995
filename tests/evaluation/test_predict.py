import os
import pathlib
import socket
import subprocess
import sys

import compilation
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import LinearLifter, MovingAverageLifter, lifting
from flax import linen as nn

from jrepose.data.columns import Column
from jrepose.errors import InputError
from jrepose.evaluation.predict import predict_clips
from jrepose.skeleton import HUMAN36M_17, MPII_16
from jrepose.tasks import Task
from jrepose.tasks.lifting import Lifting


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
    options = {"batch_size": 3, "flip": False, "targets": windows.shape[1]} | changes
    task = model if hasattr(model, "predict") else lifting(model)
    return predict_clips(task, variables, {"keypoints": Column(inputs)}, windows, **options)


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
    task = lifting(Counting())
    for _ in range(2):
        predict((task, {}, inputs, windows), batch_size=4, devices=jax.devices()[:1])
    assert traces == [(4, 3, 17, 3)]


def test_no_clips(problem):
    model, variables, inputs, windows = problem
    with pytest.raises(InputError, match="no clip to predict"):
        predict((model, variables, inputs, windows[:0]))


def test_unusable_input_is_named(problem):
    model, variables, inputs, windows = problem
    with pytest.raises(InputError, match="batch_size"):
        predict(problem, batch_size=0)
    with pytest.raises(InputError, match=r"outside 0\.\.39"):
        predict((model, variables, inputs, windows + 39))

    class CentreFrame(nn.Module):
        def __call__(self, keypoints, train):
            return keypoints[:, 2:3]

    with pytest.raises(InputError, match="returned 1 frames for a clip of 5, of which 5"):
        predict((CentreFrame(), {}, inputs, windows))
    centre = predict((CentreFrame(), {}, inputs, windows), targets=1)
    np.testing.assert_array_equal(centre, inputs[windows[:, 2:3]])


def test_per_frame_lifter_is_independent_of_windows():
    inputs = np.random.default_rng(1).normal(size=(12, 17, 3)).astype(np.float32)
    model = LinearLifter()
    variables = model.init(jax.random.key(1), jnp.zeros((1, 1, 17, 3)), train=False)
    options = {"batch_size": 2, "flip": True}
    split = predict((model, variables, inputs, np.arange(12).reshape(4, 3)), **options)
    whole = predict((model, variables, inputs, np.arange(12).reshape(2, 6)), **options)
    np.testing.assert_allclose(split.reshape(12, 17, 3), whole.reshape(12, 17, 3), atol=1e-6)


class Guess(Task):
    """Three hypotheses per clip, drawn around its keypoints."""

    inputs = columns = ("keypoints",)
    score = "mpjpe"

    def predict(self, variables, batch, keys, *, flip):
        del variables, flip

        def draw(key, clip):
            return clip[None] + jax.random.normal(key, (3, *clip.shape))

        return jnp.moveaxis(jax.vmap(draw)(keys, batch["keypoints"]), 1, 0)


def test_hypotheses_depend_on_seed_and_clip_only(problem):
    _, variables, inputs, windows = problem
    guessing = (Guess(), variables, inputs, windows)
    one = predict(guessing, devices=jax.devices()[:1], targets=1)
    assert one.shape == (3, 7, 1, 17, 3)
    several = predict(guessing, devices=jax.devices()[:2], batch_size=6, targets=1)
    np.testing.assert_array_equal(one, several)
    whole = predict(guessing, targets=5)
    np.testing.assert_array_equal(whole[:, :, 2:3], one)
    draws = (one - inputs[windows][None, :, 2:3]).reshape(21, -1)
    assert len(np.unique(draws[:, 0])) == 21, "every clip and hypothesis has draws of its own"
    assert not np.array_equal(predict(guessing, targets=1, seed=1), one)


def test_each_skeleton_has_its_own_joint_pairs():
    """Keypoints of 16 joints and poses of 17, whose left and right are not the same columns."""

    class Spread(nn.Module):
        @nn.compact
        def __call__(self, keypoints, train):
            del train
            flat = keypoints.reshape(*keypoints.shape[:2], -1)
            return nn.Dense(17 * 3)(flat).reshape(*keypoints.shape[:2], 17, 3)

    random = np.random.default_rng(2)
    inputs = random.normal(size=(10, 16, 3)).astype(np.float32)
    windows, model = np.arange(10).reshape(2, 5), Spread()
    variables = model.init(jax.random.key(0), inputs[windows], train=False)
    task = Lifting(model, HUMAN36M_17, MPII_16)
    found = predict((task, variables, inputs, windows), flip=True)

    def mirrored(joints, skeleton):
        out = np.asarray(joints)[:, :, skeleton.flip_permutation].copy()
        out[..., 0] *= -1
        return out

    plain = model.apply(variables, inputs[windows], train=False)
    other = model.apply(variables, mirrored(inputs[windows], MPII_16), train=False)
    expected = 0.5 * (np.asarray(plain) + mirrored(other, HUMAN36M_17))
    np.testing.assert_allclose(found, expected, atol=1e-6)


_WORKER = """
import sys
import numpy as np
from jrepose import parallel
parallel.initialise_distributed(sys.argv[1], 2, int(sys.argv[2]))
from flax import linen as nn
from jrepose.data.columns import Column
from jrepose.evaluation.predict import predict_clips
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks import Task
from jrepose.tasks.lifting import Lifting

class Squares(nn.Module):
    def __call__(self, keypoints, train):
        return keypoints ** 2

inputs = np.random.default_rng(0).normal(size=(40, 17, 3)).astype(np.float32)
windows = np.arange(35).reshape(7, 5)
predicted = predict_clips(
    Lifting(Squares(), HUMAN36M_17, HUMAN36M_17), {}, {"keypoints": Column(inputs)}, windows,
    targets=5, batch_size=3, flip=False,
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
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=2 {compilation.FLAGS}"
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
