"""The learning rate follows the epoch of a batch's first clip."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jrepose.data.batches import ClipOrder
from jrepose.errors import InputError
from jrepose.tasks.lifting import momentum_decay
from jrepose.training.schedule import Epochs, create_schedule


def make_schedule(clips=10, batch=1, **changes):
    training = tiny.config().training
    with training.unlocked():
        training.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return create_schedule(training, Epochs(batch, clips))


def rates(schedule, steps):
    return np.asarray(jax.vmap(schedule)(jnp.arange(steps)))


@pytest.mark.parametrize("clips, batch", [(35, 8), (5, 12), (1, 1), (1000, 32)])
def test_rate_of_every_step(clips, batch):
    order = ClipOrder(clips, batch, seed=0, flip=False)
    schedule = make_schedule(clips, batch, learning_rate=5e-4)
    expected = [5e-4 * 0.99 ** order.epoch(step) for step in range(200)]
    np.testing.assert_allclose(rates(schedule, 200), expected, rtol=1e-6)
    epochs = jax.vmap(Epochs(batch, clips))(jnp.arange(200))
    np.testing.assert_allclose(epochs, np.arange(200) * batch / clips, rtol=1e-6)


def test_of_the_released_training(golden):
    """VideoPose3D's learning rate and BatchNorm's momentum of every epoch."""
    arrays, _ = golden("videopose3d")
    expected, momenta = arrays["schedule/lr"], arrays["schedule/bn_momentum"]
    decay = float(expected[1] / expected[0])
    schedule = make_schedule(learning_rate=float(expected[0]), learning_rate_decay=decay)
    found = rates(schedule, 10 * len(expected))[::10]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    momentum = momentum_decay(0.1, 0.001, len(momenta))
    found = jax.vmap(momentum)(jnp.arange(len(momenta), dtype=jnp.float32))
    np.testing.assert_allclose(found, momenta, rtol=2e-5)


@pytest.mark.parametrize("step", [2**31 - 5, 999_998, 524_289])
def test_long_runs_do_not_overflow(step):
    epochs = Epochs(batch_size=4096, clips=999_999)  # step * 4096 would need up to 43 bits
    assert int(epochs.whole(jnp.int32(step))) == step * 4096 // 999_999


def test_steps_and_cosine_by_hand():
    stepped = make_schedule(
        learning_rate=1.0, learning_rate_decay=0.5, schedule__name="steps",
        schedule__milestones=(2, 3),
    )  # fmt: skip
    expected = np.repeat([1.0, 1.0, 0.5, 0.25, 0.25], 10)
    np.testing.assert_allclose(rates(stepped, 50), expected, rtol=1e-6)
    cosine = make_schedule(
        learning_rate=1.0, schedule__name="cosine", schedule__warmup_epochs=1.0,
        schedule__floor=0.1, epochs=5,
    )  # fmt: skip
    found = rates(cosine, 60)
    np.testing.assert_allclose(found[:10], np.arange(10) / 10, rtol=1e-6)
    share = (np.arange(10, 50) / 10 - 1) / 4
    by_hand = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * part)) for part in share]
    np.testing.assert_allclose(found[10:50], by_hand, rtol=1e-5)
    np.testing.assert_allclose(found[50:], 0.1, rtol=1e-5)
    warm = make_schedule(learning_rate=1.0, learning_rate_decay=1.0, schedule__warmup_epochs=0.5)
    np.testing.assert_allclose(rates(warm, 7), [0, 0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-6)


def test_values_that_cannot_be():
    for changes, message in (
        ({"learning_rate_decay": 0.0}, "learning_rate_decay is 0.0"),
        ({"schedule__name": "sine"}, "schedule.name 'sine'; expected one of epoch_decay"),
        ({"schedule__name": "steps", "schedule__milestones": (3, 2)}, "must ascend"),
        ({"schedule__name": "cosine", "schedule__warmup_epochs": 3.0}, "warmup_epochs is 3.0"),
        ({"schedule__name": "cosine", "schedule__floor": 0.5}, "floor is 0.5, expected at most"),
    ):
        with pytest.raises(InputError, match=message):
            make_schedule(**changes)
