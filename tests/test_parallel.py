"""The data-parallel wrapper: placement, collectives, donation, and two processes."""

import os
import socket
import subprocess
import sys

import compilation
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jrepose import parallel
from jrepose.errors import InputError


def _devices(count):
    return parallel.select_devices(count)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shard_computes_on_parts_and_unshard_restores_order(count):
    devices = _devices(count)
    batch = np.arange(24, dtype=np.float32).reshape(8, 3)
    sharded = parallel.shard(batch, devices)
    assert sharded.shape == (count, 8 // count, 3)
    for k, piece in enumerate(sharded.addressable_shards):
        assert piece.device == devices[k]
    double = parallel.data_parallel(lambda x: 2 * x, devices=devices)
    np.testing.assert_array_equal(parallel.unshard(double(sharded)), 2 * batch)


@pytest.mark.parametrize("count", [1, 3])
def test_collective_sees_every_device(count):
    devices = _devices(count)
    mean = parallel.data_parallel(
        lambda scale, x: scale * lax.pmean(x.mean(), parallel.AXIS), devices=devices
    )
    batch = np.arange(6, dtype=np.float32)
    scale = parallel.replicate(np.float32(10), devices)
    assert parallel.unreplicate(mean(scale, parallel.shard(batch, devices))) == 25.0


def test_replicate_keeps_structure_and_dtype():
    tree = {"a": np.int32(3), "b": (np.ones((2, 2), np.float16),), "none": {}}
    back = parallel.unreplicate(parallel.replicate(tree, _devices(2)))
    assert back["a"].dtype == np.int32 and back["a"] == 3
    assert back["b"][0].dtype == np.float16 and back["b"][0].shape == (2, 2)
    assert back["none"] == {}


def test_donation_spares_the_host_arrays_it_came_from():
    devices = _devices(2)
    host = np.ones(4096, np.float32)
    step = parallel.data_parallel(lambda state: state + 1, devices=devices, donate=(0,))
    state = parallel.replicate(host, devices)
    held = state
    copies = []
    for _ in range(3):
        state = step(state)
        copies.append(parallel.unreplicate(state))
    # A later, donating step must not reach back into copies already taken.
    assert [float(copy[0]) for copy in copies] == [2.0, 3.0, 4.0]
    assert host.max() == host.min() == 1.0
    assert held.is_deleted()


def test_messages():
    with pytest.raises(InputError, match="a batch of 7 does not divide over 2 devices"):
        parallel.shard(np.zeros(7), _devices(2))
    with pytest.raises(InputError, match="99 devices wanted, 4 found"):
        parallel.select_devices(99)
    with pytest.raises(InputError, match="together"):
        parallel.initialise_distributed(coordinator="localhost:1")
    with pytest.raises(InputError, match="process_id 2 is not in 0..1"):
        parallel.initialise_distributed("localhost:1", 2, 2)


def test_cluster_environment_is_read(monkeypatch):
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: calls.append(args))
    monkeypatch.setattr(parallel.peers, "meet", lambda *args: None)
    parallel.initialise_distributed()
    assert calls == []
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    parallel.initialise_distributed()
    parallel.initialise_distributed(process_id=0)
    assert calls == [("host:1", 2, 1), ("host:1", 2, 0)]
    monkeypatch.setenv("JAX_PROCESS_ID", "x")
    with pytest.raises(InputError, match="JAX_PROCESS_ID='x'"):
        parallel.initialise_distributed()
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    parallel.initialise_distributed()
    assert calls[2:] == [()]


def test_evaluation_needs_no_retracing():
    traces = []

    def count(x):
        traces.append(1)
        return jnp.sum(x)

    run = parallel.data_parallel(count, devices=_devices(2))
    for value in range(3):
        run(parallel.shard(np.full(4, value, np.float32), _devices(2)))
    assert len(traces) == 1


_WORKER = """
import sys, numpy as np
from jax import lax
from jrepose import parallel
from jrepose.errors import InputError
parallel.initialise_distributed(sys.argv[1], 2, int(sys.argv[2]))
devices = parallel.select_devices()
assert len(devices) == 4 and len(parallel.local_devices(devices)) == 2
step = parallel.data_parallel(
    lambda w, x: (w + lax.psum(x.sum(), parallel.AXIS), x * lax.axis_index(parallel.AXIS)),
    donate=(0,),
)
w = parallel.replicate(np.float32(1))
for _ in range(2):
    w, scaled = step(w, parallel.shard(np.arange(8, dtype=np.float32)))
assert parallel.unreplicate(w) == 57, w
np.testing.assert_array_equal(parallel.unshard(scaled), np.arange(8) * np.repeat(range(4), 2))
assert parallel.gather(7 + int(sys.argv[2])) == [7, 8]
me = int(sys.argv[2])
assert parallel.gather({"a" * me: me}) == [{"": 0}, {"a": 1}]
assert parallel.from_first(lambda: ["first", me]) == ["first", 0]
parallel.require_same({"seed": 1, "path": None})
def refused(function):
    try:
        function()
    except InputError as error:
        return str(error)
def fail_on(process):
    with parallel.together():
        if me == process:
            raise InputError("full")
assert refused(lambda: fail_on(0)) == ("full" if me == 0 else "process 0: full")
assert refused(lambda: fail_on(1)) == ("full" if me == 1 else "process 1: full")
assert refused(lambda: fail_on(2)) is None
line = refused(lambda: parallel.require_same({"seed": me, "name": "x"}))
assert line.startswith("process 1 was started differently: seed is 1 (process 0: 0);"), line
print("agreed", parallel.is_primary())
"""


def test_two_processes():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = dict(os.environ)
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=2 {compilation.FLAGS}"
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error::UserWarning", "-c", _WORKER, address, str(process)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for process in range(2)
    ]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    for process, (out, err) in enumerate(outputs):
        assert f"agreed {process == 0}" in out, err
