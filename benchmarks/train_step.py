"""One training step (RePOSE's objective, gradients, AdamW), against the official PyTorch code.

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

from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.state import adamw

WEIGHTS = {"mpjpe": 1.0, "spatial_ranking": 20.0, "temporal_ranking": 20.0}


def main() -> None:
    arguments = contest.parse_arguments(__doc__)
    keypoints, target = contest.create_clips(arguments)
    model, variables = contest.create_model(arguments)
    objective = create_objective(WEIGHTS, HUMAN36M_17)
    optimizer = adamw(lambda step: 5e-4, weight_decay=0.01)

    def step(trainable, moments, keypoints, target):
        def loss(trainable):
            predicted = model.apply({"params": trainable["params"]}, keypoints, train=True)
            return objective({}, predicted, target, keypoints)[0]

        value, gradients = jax.value_and_grad(loss)(trainable)
        updates, moments = optimizer.update(gradients, moments, trainable)
        return optax.apply_updates(trainable, updates), moments, value

    # A copy: the step gives its state's memory away, the comparison still needs the weights.
    params = jax.tree.map(lambda leaf: leaf.copy(), variables["params"])
    trainable = {"params": params, "objective": {}}
    state = [trainable, optimizer.init(trainable)]
    batch = jax.device_put((keypoints, target))
    program, compile_seconds = contest.compiled(step, *state, *batch, donate=(0, 1))

    def ours():
        state[0], state[1], value = program(*state, *batch)
        return jax.block_until_ready(value)

    theirs = contest.official(_official_step, arguments, variables, keypoints, target)
    if theirs:
        first, other = float(ours()), theirs()
        print(f"loss of the first step: {first:.6f}, PyTorch {other:.6f}")
        np.testing.assert_allclose(first, other, rtol=1e-4 if _exact(arguments) else 5e-2)
    contest.report(
        arguments,
        ours,
        theirs,
        flops=3 * contest.model_flops(arguments),
        compile_seconds=compile_seconds,
        program=program,
    )


def _exact(arguments) -> bool:
    return arguments.precision == "float32"


def _official_step(arguments, state, keypoints, target):
    import torch

    official = contest.official_model(arguments, state).train()
    losses = importlib.import_module("lib.model.loss")
    device = next(official.parameters()).device
    optimizer = torch.optim.AdamW(official.parameters(), lr=5e-4, weight_decay=0.01)
    inputs, labels = (torch.tensor(array, device=device) for array in (keypoints, target))

    def run() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=not _exact(arguments)):
            poses = official(inputs)
        poses = poses.float()
        loss = losses.loss_mpjpe(poses, labels)
        loss = loss + 20 * losses.loss_spatial_rank(poses, labels)
        loss = loss + 20 * losses.loss_temporal_rank(poses, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


if __name__ == "__main__":
    main()
