"""The trainer's step, with the system's objective and optimiser, against the official PyTorch code.

    python benchmarks/train_step.py --model repose --batch 2 --frames 243 \
        --torch-root CHECKOUT_OF_REPOSE

FLOP count a forward pass three times: once forward, twice backward.
"""

from __future__ import annotations

import importlib

import contest
import jax
import jax.numpy as jnp
import numpy as np

from jrepose import models, parallel
from jrepose.interop.fixtures.mixste import OBJECTIVE
from jrepose.losses import create_objective, joint_weights
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import Lifting
from jrepose.training.optimizer import adamw
from jrepose.training.state import create_state
from jrepose.training.step import make_train_step

REPOSE = {"mpjpe": 1.0, "spatial_ranking": 20.0, "temporal_ranking": 20.0}
# Models of other systems train with RePOSE's.
OBJECTIVES = {
    **dict.fromkeys(models.MODELS, REPOSE),
    "mixste": OBJECTIVE,
    "videopose3d": {"mpjpe": 1.0},
    "rie": {"mpjpe": 1.0},
    "poseformer": {"mpjpe": 1.0},
    "poseformerv2": {"mpjpe": 1.0},
    "mhformer": {"mpjpe": 1.0},
    "motionagformer": {"mpjpe": 1.0, "n_mpjpe": 0.5, "velocity": 20.0},
    "pstmo": {"mpjpe": 1.0},
    "pstmo_s": {"mpjpe": 1.0},
    "graformer": {"mean_squared": 1.0},
}
# Of AdamW, both sides' alike; without decay it is Adam.
OPTIMIZERS = {
    **dict.fromkeys(models.MODELS, {"weight_decay": 0.01}),
    "videopose3d": {"weight_decay": 0.0, "amsgrad": True},
    "rie": {"weight_decay": 0.01, "amsgrad": True},
}


def main() -> None:
    arguments = contest.parse_arguments(__doc__)
    model, variables = contest.create_model(arguments)
    keypoints, target = contest.create_clips(arguments, model)
    # As the trainer makes labels relative to the root.
    target[..., 2] -= target[:, :1, :1, 2]
    devices = jax.devices()[:1]
    step, *operands = create_step(arguments.model, model, variables, keypoints, target, devices)
    state, selection = (parallel.replicate(operand, devices) for operand in operands)
    program, compile_seconds = contest.compiled(step, state, {}, selection)

    def ours():
        nonlocal state
        state, metrics = program(state, {}, selection)
        return jax.block_until_ready(metrics["total"])

    theirs = contest.official(_official_step, arguments, variables, keypoints, target)
    if theirs:
        first, other = float(ours()[0]), theirs()
        print(f"loss of the first step: {first:.6f}, PyTorch {other:.6f}")
        if not arguments.dropout:
            np.testing.assert_allclose(first, other, rtol=1e-4 if _exact(arguments) else 5e-2)
    contest.report(
        arguments,
        ours,
        theirs,
        flops=3 * contest.model_flops(model, keypoints),
        compile_seconds=compile_seconds,
        program=program,
    )


def create_step(name: str, model, variables, keypoints, target, devices):
    """The trainer's step, and the state and the selection that it begins with, on the host."""
    objective = create_objective(OBJECTIVES[name], HUMAN36M_17)
    task = Lifting(model, HUMAN36M_17, HUMAN36M_17, objective)

    def rate(step):
        return jnp.full((), 5e-4)

    optimizer = adamw(rate, **OPTIMIZERS[name])
    state = create_state(
        {**jax.device_get(variables), "objective": objective.init()}, optimizer, average=False
    )
    step = make_train_step(task, optimizer, lambda _, chosen: chosen["batch"], rate, seed=0)
    batch = {"keypoints": keypoints, "poses": target}
    return (
        parallel.data_parallel(step, devices=devices, donate=(0,)),
        state,
        {"batch": batch, "stop": np.int32(0)},
    )


def _exact(arguments) -> bool:
    return arguments.precision == "float32"


def _official_step(arguments, state, keypoints, target):
    official = contest.official_model(arguments, state)
    objective, settings = _OFFICIAL[arguments.model], OPTIMIZERS[arguments.model]
    return torch_step(
        official, objective, keypoints, target, reduced=not _exact(arguments), **settings
    )


def torch_step(network, objective, keypoints, target, *, reduced: bool, **settings):
    """A step of PyTorch's AdamW; `reduced`: under autocast to bfloat16."""
    import torch

    network.train()
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, **settings)
    inputs, labels = (torch.tensor(array, device=device) for array in (keypoints, target))

    def run() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            poses = network(inputs)
        poses = poses.float()
        loss = objective(poses, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def _official_repose(poses, labels):
    losses = importlib.import_module("lib.model.loss")
    loss = losses.loss_mpjpe(poses, labels)
    loss = loss + 20 * losses.loss_spatial_rank(poses, labels)
    return loss + 20 * losses.loss_temporal_rank(poses, labels)


def _official_mixste(poses, labels):
    losses = importlib.import_module("common.loss")
    weights = poses.new_tensor(joint_weights(HUMAN36M_17))
    consistency = (weights[:, None] * poses.diff(dim=1) ** 2).mean()
    velocity = losses.mean_velocity_error_train(poses, labels, axis=1)
    return losses.weighted_mpjpe(poses, labels, weights) + 0.5 * consistency + 2 * velocity


def _official_mpjpe(poses, labels):
    return importlib.import_module("common.loss").mpjpe(poses, labels)


_OFFICIAL = {
    **dict.fromkeys(models.MODELS, _official_repose),
    "mixste": _official_mixste,
    "videopose3d": _official_mpjpe,
    "rie": _official_mpjpe,
}


if __name__ == "__main__":
    main()
