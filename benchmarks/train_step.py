"""One training step (the system's objective and optimiser), against the official PyTorch code.

    python benchmarks/train_step.py --model repose --batch 2 --frames 243 \
        --torch-root CHECKOUT_OF_REPOSE

FLOP count a forward pass three times: once forward, twice backward.
"""

from __future__ import annotations

import importlib

import contest
import jax
import numpy as np
import optax

from jrepose import models
from jrepose.interop.fixtures.mixste import OBJECTIVE
from jrepose.losses import create_objective, joint_weights
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.optimizer import adamw

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
    objective = create_objective(OBJECTIVES[arguments.model], HUMAN36M_17)
    optimizer = adamw(lambda step: 5e-4, **OPTIMIZERS[arguments.model])
    draws = jax.random.key(0)

    def step(trainable, moments, collections, keypoints, target):
        # The count of steps makes the draws differ, as in training.
        rngs = {"dropout": jax.random.fold_in(draws, moments[0].count)}

        def loss(trainable):
            predicted, updated = model.apply(
                {"params": trainable["params"], **collections},
                keypoints,
                train=True,
                mutable=list(collections),
                rngs=rngs,
            )
            return objective({}, predicted, target, keypoints)[0], updated

        (value, collections), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        updates, moments = optimizer.update(gradients, moments, trainable)
        return optax.apply_updates(trainable, updates), moments, collections, value

    # A copy: the step gives its state's memory away, the comparison still needs the weights.
    collections = jax.tree.map(lambda leaf: leaf.copy(), dict(variables))
    trainable = {"params": collections.pop("params"), "objective": {}}
    state = [trainable, optimizer.init(trainable), collections]
    batch = jax.device_put((keypoints, target))
    program, compile_seconds = contest.compiled(step, *state, *batch, donate=(0, 1, 2))

    def ours():
        *state[:], value = program(*state, *batch)
        return jax.block_until_ready(value)

    theirs = contest.official(_official_step, arguments, variables, keypoints, target)
    if theirs:
        first, other = float(ours()), theirs()
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


def _exact(arguments) -> bool:
    return arguments.precision == "float32"


def _official_step(arguments, state, keypoints, target):
    import torch

    official = contest.official_model(arguments, state).train()
    objective = _OFFICIAL[arguments.model]
    device = next(official.parameters()).device
    optimizer = torch.optim.AdamW(official.parameters(), lr=5e-4, **OPTIMIZERS[arguments.model])
    inputs, labels = (torch.tensor(array, device=device) for array in (keypoints, target))

    def run() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=not _exact(arguments)):
            poses = official(inputs)
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
