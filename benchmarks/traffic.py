"""Bytes that a training step of RePOSE moves, read in its program; nothing is compiled or run.

    python benchmarks/traffic.py --devices 8

Between devices: in a ring each sends (n - 1) / n of what is reduced and scattered, and twice that
of what is reduced for all.  From the host: frame numbers of clips that are on the devices
(`ResidentBatches`), or the clips (`StreamedBatches`).
"""

from __future__ import annotations

import argparse
import math
import os
import re

_REDUCTION = re.compile(
    r'"stablehlo\.(reduce_scatter|all_reduce)".*?\}\) : \((.*?)\) ->', flags=re.DOTALL
)
_TENSOR = re.compile(r"tensor<((?:\d+x)*)[a-z]+(\d+)>")


def reduced(program: str) -> dict[str, int]:
    """Operation -> bytes of its operands on one device."""
    found = dict.fromkeys(("reduce_scatter", "all_reduce"), 0)
    for operation, operands in _REDUCTION.findall(program):
        for shape, bits in _TENSOR.findall(operands):
            found[operation] += math.prod(map(int, shape.split("x")[:-1])) * int(bits) // 8
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32, help="clips, over all devices")
    arguments = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={arguments.devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"

    import jax
    import numpy as np

    from jrepose import parallel
    from jrepose.config import default_config
    from jrepose.data.sources import load_splits
    from jrepose.training.experiment import create_experiment

    config = default_config()
    config.data.split.update(train=("ada",), validation=("ben",), test=("cleo",))
    config.training.batch_size = arguments.batch
    devices = parallel.select_devices(arguments.devices)
    experiment = create_experiment(config, load_splits(config.data, ("train",)), devices)
    selection = experiment.batches.selection(0)
    selection["stop"] = parallel.replicate(np.int32(0), devices)
    state = parallel.shapes_of_replicated(experiment.state, devices)
    step = experiment.make_step(1).lower(state, experiment.batches.arrays, selection)
    found = reduced(step.as_text())
    experiment.batches.close()
    numbers = sum(leaf.nbytes for leaf in jax.tree.leaves(selection))
    share = (len(devices) - 1) / len(devices)
    print(f"{len(devices)} devices, {arguments.batch} clips of {config.clip.frames} frames; MB")
    for what, count in (
        ("resident: sent by each device to share the clips out", share * found["reduce_scatter"]),
        ("resident: sent by the host, frame numbers", numbers),
        ("streamed: sent by the host, clips", found["reduce_scatter"]),
        ("both: sent by each device for the mean gradient", 2 * share * found["all_reduce"]),
    ):
        print(f"{count / 1e6:9.3f}  {what}")


if __name__ == "__main__":
    main()
