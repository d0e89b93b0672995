"""Swin-T, the detector's backbone, against torchvision's: forward pass, and a training step.

    python benchmarks/swin.py --batch 8

Both sides have the same weights, drawn at random, the same images of 224 pixels, and no stochastic
depth; the tokens and the losses are compared before anything is timed.  A step is the mean squared
distance of the image's token to a target, its gradient, and AdamW.  torchvision runs in a process
of its own, and the sides take turns.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import contest
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import unflatten_dict

from jrepose import models
from jrepose.host_memory import reuse_freed_memory
from jrepose.interop import to_torch
from jrepose.interop.names import name_map
from jrepose.interop.state_dicts import variable_shapes
from jrepose.precision import multiply_float32_in_full

RATE, DECAY = 1e-3, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-malloc", action="store_true")
    arguments = parser.parse_args()
    if not arguments.keep_malloc:
        reuse_freed_memory()
    multiply_float32_in_full()
    rng = np.random.default_rng(0)
    images = rng.normal(size=(arguments.batch, 224, 224, 3)).astype(np.float32)
    target = rng.normal(size=(arguments.batch, 768)).astype(np.float32)
    model = models.create("swin", drop_path_rate=0.0)
    variables = drawn(model, rng)  # compiling the initialisation takes longer than all the rest
    state = to_torch("swin", variables)
    try:
        version = f"torchvision {importlib.metadata.version('torchvision')}"
    except importlib.metadata.PackageNotFoundError:
        version = None
        print("torchvision is not installed: no comparison")
    print(
        f"{datetime.date.today()}, Swin-T, {arguments.batch} images of 224 pixels, float32, jax "
        f"{jax.__version__} on {jax.devices()[0].device_kind}, {version or 'alone'}, "
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
    )
    optimizer = optax.adamw(RATE, weight_decay=DECAY)

    def forward(params, images):
        return model.apply({"params": params}, images).mean((1, 2))

    def loss(params, images):
        return jnp.mean(jnp.square(forward(params, images) - target))

    def step(params, moments, images):
        value, gradient = jax.value_and_grad(loss)(params, images)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, value

    params = variables["params"]
    moments = optimizer.init(params)

    def theirs(build):
        return version and contest.Opponent(build, arguments, state, images, target)

    program, seconds = contest.compiled(forward, params, images)
    print(f"forward compiled in {seconds:.1f} s", flush=True)
    _compete(
        "forward",
        lambda program=program: np.asarray(program(params, images)),
        theirs(forward_of_torchvision),
        arguments,
    )
    # As in the trainer, and in torchvision's step, the new state takes the old one's memory.
    donating = jax.jit(step, donate_argnums=(0, 1))
    program, seconds = contest.compiled(donating, params, moments, images)
    print(f"step compiled in {seconds:.1f} s", flush=True)
    state_now = jax.tree.map(jnp.array, (params, moments))

    def ours():
        nonlocal state_now
        *state_now, value = program(*state_now, images)
        return float(value)

    _compete("step", ours, theirs(step_of_torchvision), arguments)


def drawn(model, rng: np.random.Generator) -> dict[str, Any]:
    """Variables at random, norms near the identity."""
    return unflatten_dict(
        {
            path: (rng.normal(size=shape, scale=0.02) + (path[-1] == "scale")).astype(np.float32)
            for path, shape in variable_shapes(model).items()
        }
    )


def _compete(name: str, ours: Callable, theirs: Callable | None, arguments) -> None:
    """Agreement, then medians of both and of their ratio."""
    found = ours()
    if theirs:
        np.testing.assert_allclose(found, theirs(), rtol=1e-3, atol=1e-3)
    pairs = [
        (contest.seconds(ours), contest.seconds(theirs) if theirs else float("nan"))
        for _ in range(arguments.rounds)
    ]
    own, other = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    line = f"{name:8s} ours {1e3 * own:8.1f} ms, {arguments.batch / own:6.2f} images/s"
    if theirs:
        ratios = sorted(there / here for here, there in pairs)
        line += (
            f"; theirs {1e3 * other:8.1f} ms; ours is {statistics.median(ratios):.2f}x as fast "
            f"(paired, {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    print(line, flush=True)


def forward_of_torchvision(arguments, state: Mapping[str, np.ndarray], images, target) -> Callable:
    """torchvision's tokens of the images."""
    import torch

    del arguments, target
    network, given = _of_torchvision(state).eval(), _as_theirs(images)

    def run():
        with torch.inference_mode():
            return _token(network, given).numpy()

    return run


def step_of_torchvision(arguments, state: Mapping[str, np.ndarray], images, target) -> Callable:
    """torchvision's loss; every step begins with the same weights but for the first one's
    update."""
    import torch

    del arguments
    network, given = _of_torchvision(state).train(), _as_theirs(images)
    target = torch.tensor(target)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.mean(torch.square(_token(network, given) - target))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


def _of_torchvision(state: Mapping[str, np.ndarray]):
    import torch
    from torchvision.models import SwinTransformer

    network = SwinTransformer(
        [4, 4], 96, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7], stochastic_depth_prob=0.0, num_classes=1
    )
    theirs = network.state_dict()
    ours = dict(zip(theirs, name_map("swin").renamed(theirs), strict=True))
    for key, tensor in theirs.items():
        if not key.startswith("head."):
            theirs[key] = torch.tensor(state[ours[key]]).reshape(tensor.shape)
    network.load_state_dict(theirs)
    return network


def _as_theirs(images: np.ndarray):
    import torch

    return torch.tensor(np.moveaxis(images, -1, 1).copy())


def _token(network, images):
    return network.norm(network.features(images)).mean((1, 2))


if __name__ == "__main__":
    main()
