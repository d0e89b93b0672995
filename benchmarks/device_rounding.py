"""How far parameters on several devices drift from those on one, and whether that is rounding.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 JAX_PLATFORMS=cpu \
        python benchmarks/device_rounding.py [--steps 60]

Trains the same tiny RePOSE on one device, on four, and on one again from parameters whose last bit
was changed at random.  All sums over a batch are the same numbers added in another order on four
devices, so what they differ by after the first step should be rounding; if it is, the third run
drifts away just as fast.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys

import jax
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "training"))

import tiny  # noqa: E402

from jrepose import parallel  # noqa: E402
from jrepose.training.experiment import create_experiment  # noqa: E402


def _last_bit(leaf: np.ndarray) -> np.ndarray:
    up = np.random.default_rng(0).random(leaf.shape) < 0.5
    return np.where(up, np.nextafter(leaf, np.float32(np.inf)), leaf).astype(leaf.dtype)


def _run(devices: int, steps: int, shown: set[int], changed: bool = False) -> dict:
    """Parameters after the shown steps."""
    config = tiny.config(training__epochs=10**6, training__max_steps=steps)
    experiment = create_experiment(
        config, {"train": tiny.dataset()}, parallel.select_devices(devices)
    )
    state, found = experiment.state, {}
    if changed:
        state = dataclasses.replace(state, params=jax.tree.map(_last_bit, state.params))
    state, train_step = parallel.replicate(state, experiment.devices), experiment.make_step(1)
    for step in range(steps):
        selection = experiment.batches.selection(step)
        selection["stop"] = parallel.replicate(np.int32(0), experiment.devices)
        state, _ = train_step(state, experiment.batches.arrays, selection)
        if step + 1 in shown:
            found[step + 1] = jax.tree.leaves(parallel.unreplicate(state.params))
    experiment.batches.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    shown = {step for step in (1, 2, 5, 10, 20, 40, 60, 100, 200, 500) if step <= steps}
    one = _run(1, steps, shown)
    others = {"4 devices": _run(4, steps, shown), "last bits": _run(1, steps, shown, changed=True)}
    print(f"largest difference of a parameter from one device's\n{'step':>6}", *others, sep="  ")
    for step in sorted(shown):
        largest = [
            max(np.abs(a - b).max() for a, b in zip(one[step], other[step], strict=True))
            for other in others.values()
        ]
        print(f"{step:6}", *(f"{value:9.1e}" for value in largest), sep="  ")


if __name__ == "__main__":
    main()
