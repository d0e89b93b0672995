"""Data parallelism over devices and processes: the one place that calls `jax.pmap`.

A function written for one device's share of a batch, with collectives over `AXIS`, is wrapped
by `data_parallel`.  Its arguments carry a leading axis of this process's devices, made by
`replicate` (the same value everywhere) or `shard` (one part each); its results carry the same
axis and are brought back by `unreplicate` or `unshard`.  Callers always hold the whole batch
on the host, on every process; `shard` takes this process's part of it, so the same code runs
on one device, on several and on several processes.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

# The store has no public name; Orbax takes it from here too.
from jax._src import distributed
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jrepose import peers
from jrepose.errors import InputError, listed

# A process may read a large archive while the others wait; `jrepose.peers` notices a dead one.
_PATIENCE_MS = 24 * 3600 * 1000
_GATHERINGS = itertools.count()

AXIS = "devices"
"""Name of the mapped axis, for `lax.pmean` and its relatives."""

Devices = Sequence[jax.Device]


def initialise_distributed(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of one run; call it before anything else touches a device.

    All of them meet before JAX's own service starts, and end together with one line when one
    is missing or dies (`jrepose.peers` says after how long).

    Without arguments the cluster's environment decides: the variables
    `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES`, `JAX_PROCESS_ID`, or Slurm's or Open MPI's
    own when more than one task runs.  In none of these cases the run has one process and
    nothing happens.

    Args:
        coordinator: `"host:port"` of process 0.
        num_processes: processes in the run.
        process_id: this process, 0 .. num_processes - 1.

    Raises:
        InputError: some but not all arguments are given, they contradict each other, or a
            process does not come.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    num_processes = _from_environment(num_processes, "JAX_NUM_PROCESSES")
    process_id = _from_environment(process_id, "JAX_PROCESS_ID")
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if not any(given):
        if _launched_by_cluster():
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize()
        return
    if not all(given):
        raise InputError(
            "a distributed run needs coordinator, num_processes and process_id together, got "
            f"coordinator={coordinator}, num_processes={num_processes}, process_id={process_id}"
        )
    if not 0 <= process_id < num_processes:
        raise InputError(
            f"process_id {process_id} is not in 0..{num_processes - 1} (num_processes)"
        )
    peers.meet(coordinator, num_processes, process_id)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, num_processes, process_id)


def _from_environment(value: int | None, variable: str) -> int | None:
    if value is not None or not os.environ.get(variable):
        return value
    try:
        return int(os.environ[variable])
    except ValueError:
        raise InputError(
            f"environment variable {variable}={os.environ[variable]!r}: expected an integer"
        ) from None


def _launched_by_cluster() -> bool:
    """Whether Slurm's or Open MPI's launcher started several tasks."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("OMPI_COMM_WORLD_SIZE")
    return bool(tasks) and tasks.isdigit() and int(tasks) > 1


def is_primary() -> bool:
    """Whether this process writes the logs and talks to the user."""
    return jax.process_index() == 0


def select_devices(count: int | None = None) -> tuple[jax.Device, ...]:
    """Devices of the run, those of one process next to each other.

    Args:
        count: how many of each process; None takes every device.

    Raises:
        InputError: a process has fewer.
    """
    by_process = [jax.local_devices(process_index=p) for p in range(jax.process_count())]
    if count is None:
        return tuple(device for devices in by_process for device in devices)
    for process, devices in enumerate(by_process):
        if not 1 <= count <= len(devices):
            where = f", process {process}" if len(by_process) > 1 else ""
            raise InputError(
                f"{count} devices wanted, {len(devices)} found ({jax.default_backend()}{where})"
            )
    return tuple(device for devices in by_process for device in devices[:count])


def parts_of(count: int, devices: int, what: str, accumulate: int = 1) -> int:
    """How many of `count` things each micro-batch of each device gets.

    Raises:
        InputError: they do not divide; `what` names them.
    """
    parts = devices * accumulate
    if accumulate < 1 or count % parts:
        over = f"{devices} devices" + (
            f" x training.accumulate {accumulate}" if accumulate != 1 else ""
        )
        raise InputError(f"{what} {count} does not divide over {over}")
    return count // parts


def local_devices(devices: Devices | None = None) -> tuple[jax.Device, ...]:
    """Those of `devices` (None: all) that belong to this process."""
    if devices is None:
        devices = select_devices()
    return tuple(d for d in devices if d.process_index == jax.process_index())


def data_parallel(
    function: Callable, *, devices: Devices | None = None, donate: Sequence[int] = ()
) -> Callable:
    """`function` run on every device at once, compiled.

    Args:
        function: pure function of positional arguments, one device's share each; may use
            collectives over `AXIS`.
        devices: devices of all processes; None takes all.
        donate: positions of arguments whose memory the results may reuse; such an argument
            must not be used after the call.

    Returns:
        A function whose every argument and result has a leading axis of this process's
        devices; `compiled` gives its program without running it.
    """
    return jax.pmap(
        function,
        axis_name=AXIS,
        devices=None if devices is None else tuple(devices),
        donate_argnums=tuple(donate),
    )


def compiled(
    function: Callable, *arguments: PyTree, devices: Devices | None = None
) -> tuple[Callable, Any]:
    """Compiles a `data_parallel` function ahead of its first call.

    Args:
        function: from `data_parallel`, of the same devices.
        arguments: as it is called with, or their shapes from `shapes_of_replicated`.
        devices: of all processes; None takes all.

    Returns:
        What to call in its place, which never compiles; its results are for it and `unreplicate`.
        And the program's `memory_analysis()`.
    """
    program = function.lower(*arguments).compile()
    analysis = program.memory_analysis()
    if jax.process_count() == 1:
        return program, analysis
    devices = select_devices() if devices is None else tuple(devices)
    sharding = _sharding(devices)

    def of_all(leaf):
        """The array of all processes that this process has a part of; nothing is copied."""
        if not leaf.is_fully_addressable:
            return leaf
        parts = [part.data for part in leaf.addressable_shards]
        shape = (len(devices), *leaf.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, parts)

    return lambda *arguments: program(*jax.tree.map(of_all, arguments)), analysis


def replicate(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """A copy of every leaf on each of this process's devices, along a new leading axis."""
    count = len(local_devices(devices))

    def repeat(leaf):
        host = np.asarray(leaf)
        return np.broadcast_to(host, (count, *host.shape))

    return place(jax.tree.map(repeat, tree), devices)


def shapes_of_replicated(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """What `compiled` may be given in place of `replicate`'s arrays: their shapes and dtypes.

    Of several processes it is the arrays, as JAX compiles for nothing else there; they may be
    gone afterwards.
    """
    if jax.process_count() > 1:
        return replicate(tree, devices)
    count = len(local_devices(devices))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype),
        jax.tree.map(np.asarray, tree),
    )


def unreplicate(tree: PyTree) -> PyTree:
    """Host copies (NumPy, owned) of replicated leaves, from this process's first device."""
    # All transfers are started before the first is waited for.
    firsts = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, tree)
    for leaf in jax.tree.leaves(firsts):
        leaf.copy_to_host_async()
    return jax.tree.map(lambda leaf: np.array(leaf).reshape(leaf.shape[1:]), firsts)


def shard(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """Splits host arrays evenly over the devices.

    Args:
        tree: arrays whose leading axis is that of the whole batch, the same on every process.
        devices: devices of all processes; None takes all.

    Returns:
        Arrays `[local devices, batch / devices, ...]`; device k of the run holds the k-th
        part.

    Raises:
        InputError: a leading axis does not divide over the devices.
    """
    return place(local_part(tree, devices), devices)


def local_part(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """What `shard` puts on this process's devices, still on the host."""
    devices = select_devices() if devices is None else tuple(devices)
    mine = [k for k, d in enumerate(devices) if d.process_index == jax.process_index()]

    def part(leaf):
        host = np.asarray(leaf)
        size = parts_of(len(host), len(devices), "a batch of")
        return host.reshape(len(devices), size, *host.shape[1:])[mine[0] : mine[-1] + 1]

    return jax.tree.map(part, tree)


def place(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """Puts host arrays `[local devices, ...]` on this process's devices, one entry each."""
    sharding = _sharding(local_devices(devices))
    return jax.tree.map(lambda leaf: jax.device_put(leaf, sharding), tree)


def unshard(tree: PyTree) -> PyTree:
    """Host arrays (NumPy) of the whole batch from sharded results, on every process.

    The inverse of `shard`: `[local devices, items, ...]` of every process become
    `[devices * items, ...]`.  All processes must call it together.
    """

    def fetch(leaf):
        host = np.asarray(leaf)
        if jax.process_count() > 1:
            host = np.asarray(multihost_utils.process_allgather(host))
            host = host.reshape(-1, *host.shape[2:])
        return host.reshape(-1, *host.shape[2:])

    return jax.tree.map(fetch, tree)


def gather(value: Any) -> list[Any]:
    """Every process's value, by process; all processes call it together.

    Over the key-value store of JAX's distributed service: small values need no program on the
    devices, and do not wait for what runs there.

    Args:
        value: what JSON can say.
    """
    if jax.process_count() == 1:
        return [value]
    store = distributed.global_state.client
    number = next(_GATHERINGS)
    store.key_value_set(_key(number, jax.process_index()), json.dumps(value))
    values = [
        json.loads(store.blocking_key_value_get(_key(number, process), _PATIENCE_MS))
        for process in range(jax.process_count())
    ]
    # Whoever is here has read all of the gathering before.
    if number:
        store.key_value_delete(_key(number - 1, jax.process_index()))
    return values


def _key(gathering: int, process: int) -> str:
    return f"jrepose/gather/{gathering}/{process}"


@contextmanager
def together() -> Iterator[None]:
    """What one process refuses inside is refused by all, which call it together.

    Raises:
        InputError: inside, on any process; everywhere with the line of the first that did.
    """
    refusal = None
    try:
        yield
    except InputError as error:
        if jax.process_count() == 1:
            raise
        refusal = error
    lines = gather(None if refusal is None else str(refusal))
    for process, line in enumerate(lines):
        if line is not None:
            if process == jax.process_index():
                raise refusal
            raise InputError(f"process {process}: {line}")


def from_first(function: Callable[[], Any]) -> Any:
    """What `function` returns on process 0, on every process; all call it together.

    Args:
        function: called on process 0 only; its result is what JSON can say.

    Raises:
        InputError: raised by `function`; on every process.
    """
    with together():
        value = function() if is_primary() else None
    return gather(value)[0]


def require_same(values: Mapping[str, Any]) -> None:
    """Checks that all processes, which call it together, were started alike.

    Args:
        values: what must be the same, by name; values that JSON can say.

    Raises:
        InputError: on every process, naming what differs.
    """
    everywhere = gather(dict(values))
    absent = "(absent)"
    for process, theirs in enumerate(everywhere):
        first = everywhere[0]
        different = [
            f"{name} is {str(theirs.get(name, absent))[:60]} "
            f"(process 0: {str(first.get(name, absent))[:60]})"
            for name in sorted(first.keys() | theirs.keys())
            if first.get(name, absent) != theirs.get(name, absent)
        ]
        if different:
            raise InputError(
                f"process {process} was started differently: {listed(different)}; "
                "start the same command on the same data everywhere"
            )


def _sharding(local: Sequence[jax.Device]) -> NamedSharding:
    """One entry of the leading axis on each device, as `jax.pmap` expects its arguments."""
    return NamedSharding(Mesh(np.array(local), (AXIS,)), PartitionSpec(AXIS))
