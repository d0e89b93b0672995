"""The learning rate follows the epoch of a batch's first clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose.data.batches import ClipOrder
from jrepose.errors import InputError
from jrepose.training.schedule import decay_per_epoch


@pytest.mark.parametrize("clips, batch", [(35, 8), (5, 12), (1, 1), (1000, 32)])
def test_rate_of_every_step(clips, batch):
    order = ClipOrder(clips, batch, seed=0, flip=False)
    schedule = decay_per_epoch(5e-4, 0.99, batch_size=batch, clips=clips)
    steps = np.arange(200)
    rates = jax.vmap(schedule)(jnp.asarray(steps, jnp.int32))
    expected = [5e-4 * 0.99 ** order.epoch(int(step)) for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_long_runs_do_not_overflow():
    schedule = decay_per_epoch(1.0, 0.999999, batch_size=4096, clips=1_000_000 - 1)
    step = 2**31 - 5  # step * batch_size would need 43 bits
    expected = 0.999999 ** (step * 4096 // (1_000_000 - 1))
    np.testing.assert_allclose(schedule(jnp.int32(step)), expected, rtol=1e-5)


def test_rate_must_stay_positive():
    with pytest.raises(InputError, match="learning_rate_decay is 0.0"):
        decay_per_epoch(1.0, 0.0, batch_size=1, clips=1)
