"""Two steps of MixSTE's released training, replayed by the training step."""

import jax
import numpy as np

from jrepose import interop, models, parallel
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.fixtures.mixste import OBJECTIVE, model_hyperparameters
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import Lifting
from jrepose.training.optimizer import adamw
from jrepose.training.state import create_state
from jrepose.training.step import make_train_step


def replay(arrays, config, gradient_times_loss):
    """Parameters after two steps in the official layout, and the losses before each."""
    sizes = model_hyperparameters(config)
    model = models.create("mixste", **sizes)
    objective = create_objective(OBJECTIVE, HUMAN36M_17)
    batch = {"keypoints": arrays["input/keypoints_2d"], "poses": arrays["target/pose_3d"]}
    optimizer = adamw(lambda step: 4e-5, 0.1)
    variables = interop.from_torch("mixste", below(arrays, "param/"), **sizes)
    devices = parallel.select_devices(1)
    state = parallel.replicate(create_state(variables, optimizer, average=False), devices)
    step = make_train_step(
        Lifting(model, HUMAN36M_17, HUMAN36M_17, objective, "frame"),
        optimizer,
        lambda arrays, selection: {name: selection[name] for name in batch},
        lambda step: 4e-5,
        seed=0,
        gradient_times_loss=gradient_times_loss,
    )
    step = parallel.data_parallel(step, devices=devices)
    selection = parallel.shard(batch, devices)
    selection["stop"] = parallel.replicate(np.int32(0), devices)
    losses = []
    for _ in range(2):
        state, metrics = step(state, {}, selection)
        losses.append(float(parallel.unreplicate(metrics)["total"]))
    params = jax.device_get(parallel.unreplicate(state).params)
    return interop.to_torch("mixste", {"params": params}), losses


def distance(params, arrays, width):
    """Largest difference from the official parameters after two steps."""
    largest = 0.0
    for key, expected in below(arrays, "param_after_2_steps/").items():
        difference = np.abs(params[key] - expected)
        if key.endswith("qkv.bias"):
            # The keys' biases have no gradient; Adam makes steps of the rounding there.
            difference = np.delete(difference, np.s_[width : 2 * width])
        largest = max(largest, difference.max())
    return largest


def test_two_steps(golden):
    arrays, config = golden("mixste")
    width = config["embed_dim_ratio"]
    params, losses = replay(arrays, config, True)
    np.testing.assert_allclose(losses, arrays["loss/two_steps"], rtol=1e-5)
    # A step moves a parameter by up to 4e-5.
    seeded = distance(params, arrays, width)
    assert seeded < 1e-6
    plain, _ = replay(arrays, config, False)
    assert distance(plain, arrays, width) > 10 * seeded
