"""What it costs to start a step on several devices: `pmap`, and `jit` of `shard_map`.

    python benchmarks/dispatch.py --devices 4 --leaves 600

The step does next to nothing to a state of as many arrays as a network with its optimiser has, so
that its time is that of starting it.  Every round times all ways in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--leaves", type=int, default=600, help="arrays of the state")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=5, help="of a round")
    arguments = parser.parse_args()
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "")
        + f" --xla_force_host_platform_device_count={arguments.devices}"
    )

    import jax
    import numpy as np
    from jax import lax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from jrepose import parallel

    devices = parallel.select_devices(arguments.devices)
    mesh = Mesh(np.array(devices), (parallel.AXIS,))

    def step(state, batch):
        mean = lax.pmean(batch.mean(), parallel.AXIS)
        return [leaf + mean for leaf in state], mean

    state = [np.zeros(8, np.float32)] * arguments.leaves
    batch = np.ones((arguments.devices, 4), np.float32)
    mapped = parallel.data_parallel(step, devices=devices, donate=(0,))
    whole, parts = (PartitionSpec(), PartitionSpec(parallel.AXIS))
    sharded = jax.jit(
        jax.shard_map(step, mesh=mesh, in_specs=(whole, parts), out_specs=whole),
        donate_argnums=0,
    )
    of_pmap = parallel.replicate(state, devices), parallel.shard(batch, devices)
    of_jit = (
        jax.device_put(state, NamedSharding(mesh, whole)),
        jax.device_put(batch, NamedSharding(mesh, parts)),
    )
    ways = {
        "pmap": [mapped, *of_pmap],
        "pmap, compiled ahead (the trainer)": [
            mapped.lower(*of_pmap).compile(),
            parallel.replicate(state, devices),
            of_pmap[1],
        ],
        "jit of shard_map": [sharded, *of_jit],
        "jit of shard_map, compiled ahead": [
            sharded.lower(*of_jit).compile(),
            jax.device_put(state, NamedSharding(mesh, whole)),
            of_jit[1],
        ],
    }
    times = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            for _ in range(arguments.steps):
                way[1], mean = way[0](way[1], way[2])
            jax.block_until_ready(mean)
            if number:
                times[name].append((time.perf_counter() - started) / arguments.steps)
    print(
        f"jax {jax.__version__}, {arguments.devices} {devices[0].device_kind} devices, "
        f"{arguments.leaves} arrays; ms a step, median and least of {arguments.rounds} rounds"
    )
    for name, seconds in times.items():
        print(f"  {1e3 * statistics.median(seconds):8.2f} {1e3 * min(seconds):8.2f}  {name}")


if __name__ == "__main__":
    main()
