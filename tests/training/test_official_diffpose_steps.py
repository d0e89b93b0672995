"""Two steps of DiffPose's released training, replayed by the training step: Adam, gradients clipped
at a norm of 1, and the moving average."""

import jax
import jax.numpy as jnp
import numpy as np
from tasks.test_diffpose_task import FlatLifter, sizes_of

from jrepose import interop, models, parallel
from jrepose.diffusion.presets import PRESETS
from jrepose.interop.fixtures.arrays import below
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.diffpose import DiffPose
from jrepose.tasks.task import Outcome
from jrepose.training.optimizer import adam
from jrepose.training.state import create_state
from jrepose.training.step import make_train_step

RATE = 1e-3
# What the released code gives from the fixture's weights, batch, noise and steps, without dropout:
# losses before each step and after the last, and with the moving average's weights, ...
LOSSES = (186.40463, 150.31210, 121.33907)
AVERAGED = 186.28491
# ... how far all weights are from the first ones, but the keys' biases, which have no gradient.
MOVED, AVERAGE_MOVED = 0.24021458, 3.6329648e-4


class GivenNoise(DiffPose):
    """The task, where noise and steps are the batch's."""

    def loss(self, variables, batch, key, step):
        del key, step
        clean, noise = batch["clean"][:, None], batch["noise"][:, None]
        steps = batch["t"][:, None]
        total = self.denoising_loss(variables, clean, noise, 0.0, steps, None, None)
        return total, Outcome({}, {})


def moved(tree, weights, sizes):
    found = interop.to_torch("gcndiff", {"params": jax.device_get(tree)}, **sizes)
    return np.sqrt(
        sum(
            np.sum(np.square(np.float64(found[key]) - weights[key]))
            for key in weights
            if not key.endswith("self_attn.linears.1.bias")
        )
    )


def test_two_steps(golden):
    arrays, fixture = golden("diffpose_gcndiff")
    weights, sizes = below(arrays, "param/"), sizes_of(fixture)
    model = models.create("gcndiff", **sizes)
    variables = interop.from_torch("gcndiff", weights, **sizes)
    batch = {
        "clean": arrays["input/x0"],
        "noise": arrays["input/raw_noise"] * arrays["input/noise_scale"],
        "t": arrays["input/t"].astype(np.int32),
    }
    optimizer, devices = adam(lambda step: RATE, 0.0), parallel.select_devices(1)
    step = make_train_step(
        GivenNoise(model, FlatLifter(), PRESETS["released"], HUMAN36M_17, targets=1),
        optimizer,
        lambda arrays, selection: {name: jnp.asarray(selection[name]) for name in batch},
        lambda step: RATE, seed=0, gradient_clip=1.0, ema_decay=0.999,
    )  # fmt: skip
    step = parallel.data_parallel(step, devices=devices)
    first = create_state(variables, optimizer, average=True)
    state = parallel.replicate(first, devices)
    selection = parallel.shard(batch, devices)
    selection["stop"] = parallel.replicate(np.int32(0), devices)
    losses = []

    def once(state):
        state, metrics = step(state, {}, selection)
        losses.append(float(parallel.unreplicate(metrics)["total"]))
        return state

    state = once(once(state))
    after = jax.device_get(parallel.unreplicate(state))
    np.testing.assert_allclose(moved(after.params, weights, sizes), MOVED, rtol=1e-3)
    np.testing.assert_allclose(moved(after.ema, weights, sizes), AVERAGE_MOVED, rtol=1e-2)
    once(state)
    once(parallel.replicate(first.replace(params=after.ema), devices))
    np.testing.assert_allclose(losses, [*LOSSES, AVERAGED], rtol=1e-5)
