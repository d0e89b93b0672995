"""Two steps of MixSTE's released training, replayed by the training step."""

import jax
import numpy as np

from jrepose import interop, models, parallel
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.fixtures.mixste import OBJECTIVE, model_hyperparameters
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.schedule import decay_per_epoch
from jrepose.training.state import adamw, create_state, with_parameters
from jrepose.training.step import make_train_step


def replay(arrays, config, backward_seed):
    """Parameters after two steps in the official layout, and the losses before each."""
    sizes = model_hyperparameters(config)
    model = models.create("mixste", **sizes)
    objective = create_objective(OBJECTIVE, HUMAN36M_17)
    batch = {"inputs": arrays["input/keypoints_2d"], "targets": arrays["target/pose_3d"]}
    clips = len(batch["inputs"])
    schedule = decay_per_epoch(4e-5, 1.0, batch_size=clips, clips=clips)
    optimizer = adamw(schedule, 0.1)
    state = create_state(
        model, objective, optimizer, clip_shape=model.input_shape, seed=0, average=False
    )
    variables = interop.from_torch("mixste", below(arrays, "param/"), **sizes)
    devices = parallel.select_devices(1)
    state = parallel.replicate(with_parameters(state, variables["params"]), devices)
    step = make_train_step(
        model,
        objective,
        optimizer,
        lambda arrays, selection: (selection["inputs"], selection["targets"]),
        schedule,
        seed=0,
        root="frame",
        backward_seed=backward_seed,
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
    params, losses = replay(arrays, config, "loss")
    np.testing.assert_allclose(losses, arrays["loss/two_steps"], rtol=1e-5)
    # A step moves a parameter by up to 4e-5.
    seeded = distance(params, arrays, width)
    assert seeded < 1e-6
    plain, _ = replay(arrays, config, "one")
    assert distance(plain, arrays, width) > 10 * seeded
