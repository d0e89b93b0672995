"""Training batches as a pure function of (seed, step).

There is no iterator state: resuming at step n gives the very batches that would have come.
The clips of all epochs form one endless stream, a fresh permutation per epoch, cut into
batches without regard to where an epoch ends; so every batch has the same shape and no clip
is dropped.

`ResidentBatches` keeps the columns on the devices, each of them holding an equal share of the
frames, and a step sends frame numbers only.  `StreamedBatches` gathers clips on the host in
the background, for columns that do not fit or are not plain arrays.  Both give the same bits in
the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int32

from jrepose import parallel
from jrepose.data.columns import Batch, Column
from jrepose.data.windows import Windows
from jrepose.errors import InputError

# Streams of random bits derived from one seed, kept apart by these numbers.
_ORDER_STREAM, _FLIP_STREAM = 0, 1

_DEFAULT_RESIDENT_BYTES = 4 * 2**30
_RESIDENT_SHARE = 0.5  # of a device's memory; the rest is for the model


@dataclass(frozen=True)
class ClipOrder:
    """Which clips, mirrored or not, make up the batch of each step.

    Args:
        clips: training clips in all.
        batch_size: clips per step, over all devices and processes.
        seed: of the order and the flips.
        flip: mirror every clip with probability one half.
        source: number of the data that the clips are of; each draws for itself.

    Raises:
        InputError: no clips, an empty batch, or a seed outside 0 .. 2^32 - 1.
    """

    clips: int
    batch_size: int
    seed: int
    flip: bool
    source: int = 0

    def __post_init__(self):
        if self.clips < 1:
            raise InputError("no training clip: every video is shorter than clip.frames")
        if self.batch_size < 1:
            raise InputError(f"training.batch_size is {self.batch_size}, expected at least 1")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}, expected 0 .. 2^32 - 1")

    def indices(self, step: int) -> Int32[np.ndarray, " batch"]:
        """Clip numbers of a step's batch (0-based)."""
        positions = np.arange(self.batch_size, dtype=np.int64) + step * self.batch_size
        epochs, places = np.divmod(positions, self.clips)
        chosen = np.empty(self.batch_size, np.int32)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = _permutation(self.seed, self._stream(_ORDER_STREAM), int(epoch), self.clips)
            chosen[here] = order[places[here]]
        return chosen

    def flips(self, step: int) -> Bool[np.ndarray, " batch"]:
        """Which entries of a step's batch are mirrored."""
        if not self.flip:
            return np.zeros(self.batch_size, bool)
        stream = self._stream(_FLIP_STREAM)
        return _random_bits(self.seed, stream, step, self.batch_size) >> 63 == 1

    def _stream(self, kind: int) -> int:
        return 2 * self.source + kind

    def epoch(self, step: int) -> int:
        """Epoch (0-based) that the first clip of a step's batch belongs to."""
        return step * self.batch_size // self.clips

    def steps(self, epochs: int) -> int:
        """Steps that show every clip `epochs` times; the last may run into the next epoch."""
        return -(-epochs * self.clips // self.batch_size)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, stream: int, epoch: int, clips: int) -> Int32[np.ndarray, " clips"]:
    order = np.argsort(_random_bits(seed, stream, epoch, clips), kind="stable")
    order = order.astype(np.int32)
    order.setflags(write=False)
    return order


def _random_bits(seed: int, stream: int, counter: int, count: int) -> np.ndarray:
    # Raw Philox bits: NumPy guarantees them across versions, unlike its distributions.
    entropy = np.random.SeedSequence([seed, stream, counter])
    return np.random.Philox(entropy).random_raw(count)


class ResidentBatches:
    """Batches from columns that live on the devices.

    A batch takes three calls: `selection(step)` on the host, `assemble(arrays, selection)`
    inside the data-parallel step, with `arrays` the attribute of that name.  `assemble` gives
    each device its own clips.

    Args:
        columns: by name; NumPy arrays of 4-byte values.
        windows: frames of every clip.
        order: clips and flips of each step.
        devices: devices of all processes.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        windows: Windows,
        order: ClipOrder,
        devices: Sequence[jax.Device],
    ):
        self._columns, self._windows = columns, windows
        self._order, self._devices = order, tuple(devices)
        self.arrays = {name: self._shared_out(column) for name, column in columns.items()}

    def _shared_out(self, column: Column) -> jax.Array:
        frames = len(column.values)
        # As integers, so that summing a value with zeros keeps its very bits.
        words = np.ascontiguousarray(column.values).reshape(frames, -1).view(np.int32)
        padding = -frames % len(self._devices)
        return parallel.shard(np.pad(words, ((0, padding), (0, 0))), self._devices)

    def selection(self, step: int) -> dict[str, jax.Array]:
        """What a step sends to the devices: frame numbers and flip decisions."""
        chosen = self._order.indices(step)
        frames = {name: index[chosen] for name, index in self._windows._asdict().items()}
        return {
            **parallel.replicate(frames, self._devices),
            "flips": parallel.shard(self._order.flips(step), self._devices),
        }

    def assemble(self, arrays: Mapping[str, Any], selection: Mapping[str, Any]) -> Batch:
        """One device's clips; runs on the device.

        Every device contributes the frames it owns for the whole batch and zeros for the
        others; the sum over the devices, each receiving its part, is the batch.
        """
        batch = {}
        for name, column in self._columns.items():
            owned, wanted = arrays[name], selection[column.window]
            place = wanted - lax.axis_index(parallel.AXIS) * len(owned)
            here = (place >= 0) & (place < len(owned))
            words = jnp.where(here[..., None], owned[jnp.where(here, place, 0)], 0)
            words = lax.psum_scatter(words, parallel.AXIS, scatter_dimension=0, tiled=True)
            values = lax.bitcast_convert_type(words, column.values.dtype)
            batch[name] = values.reshape(*values.shape[:2], *column.values.shape[1:])
        return _mirror_some(batch, self._columns, selection["flips"])

    def close(self) -> None:
        """Releases the device memory."""
        self.arrays = {}


class StreamedBatches:
    """Batches gathered on the host, a few steps ahead of the devices.

    The same calls and arguments as `ResidentBatches`; the columns may be anything.
    """

    _AHEAD = 2

    def __init__(
        self,
        columns: Mapping[str, Column],
        windows: Windows,
        order: ClipOrder,
        devices: Sequence[jax.Device],
    ):
        self._columns, self._windows = columns, windows
        self._order, self._devices = order, tuple(devices)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._pending: dict[int, Future] = {}
        self.arrays: dict[str, Any] = {}

    def selection(self, step: int) -> dict[str, Any]:
        """The step's clips, on the devices; the following steps' are begun."""
        coming = range(step, step + self._AHEAD + 1)
        self._pending = {s: future for s, future in self._pending.items() if s in coming}
        for ahead in coming:
            if ahead not in self._pending:
                self._pending[ahead] = self._pool.submit(self._load, ahead)
        return self._pending.pop(step).result()

    def _load(self, step: int) -> dict[str, Any]:
        # Only this process's clips are gathered.
        chosen = parallel.local_part(self._order.indices(step), self._devices)
        frames = {name: index[chosen] for name, index in self._windows._asdict().items()}
        batch = {
            "columns": {
                name: column.values[frames[column.window]] for name, column in self._columns.items()
            },
            "flips": parallel.local_part(self._order.flips(step), self._devices),
        }
        return parallel.place(batch, self._devices)

    def assemble(self, arrays: Mapping[str, Any], selection: Mapping[str, Any]) -> Batch:
        """One device's clips; runs on the device."""
        del arrays
        return _mirror_some(selection["columns"], self._columns, selection["flips"])

    def close(self) -> None:
        """Ends the background thread."""
        self._pool.shutdown(cancel_futures=True)


class JoinedBatches:
    """Batches of several splits as one, with the calls of each.

    Args:
        parts: by split; the columns of all but `"train"` are named `SPLIT/COLUMN`.
    """

    def __init__(self, parts: Mapping[str, ResidentBatches | StreamedBatches]):
        self._parts = dict(parts)
        self.arrays = {split: part.arrays for split, part in self._parts.items()}

    def selection(self, step: int) -> dict[str, Any]:
        """That of every split."""
        return {split: part.selection(step) for split, part in self._parts.items()}

    def assemble(self, arrays: Mapping[str, Any], selection: Mapping[str, Any]) -> Batch:
        """One device's clips of all splits; runs on the device."""
        return {
            name if split == "train" else f"{split}/{name}": values
            for split, part in self._parts.items()
            for name, values in part.assemble(arrays[split], selection[split]).items()
        }

    def close(self) -> None:
        """Closes all of them."""
        self.arrays = {}
        for part in self._parts.values():
            part.close()


Batches = ResidentBatches | StreamedBatches | JoinedBatches


def _mirror_some(
    batch: Batch, columns: Mapping[str, Column], flips: Bool[Array, " clips"]
) -> Batch:
    def chosen(values, mirror):
        mirrored = flips.reshape(-1, *[1] * (values.ndim - 1))
        return jnp.where(mirrored, mirror(values), values)

    mirrors = {name: column.mirror for name, column in columns.items()}
    return {
        name: values if mirrors[name] is None else chosen(values, mirrors[name])
        for name, values in batch.items()
    }


def create_batches(
    columns: Mapping[str, Column],
    windows: Windows,
    order: ClipOrder,
    devices: Sequence[jax.Device],
    resident_bytes: int | None = None,
    *,
    beside: Sequence[Batches] = (),
) -> ResidentBatches | StreamedBatches:
    """Batches of named columns, on the devices where they fit.

    Args:
        columns: by name.
        windows: frames of every clip.
        order: clips and flips of each step.
        devices: devices of all processes.
        resident_bytes: memory of one device that the columns may take; None takes half of
            what the device has, or 4 GiB where it does not say.  0 always streams.
        beside: others that take their part of that memory.

    Raises:
        InputError: the batch does not divide over the devices.
    """
    parallel.parts_of(order.batch_size, len(devices), "training.batch_size")
    if resident_bytes is None:
        resident_bytes = _offered_bytes(parallel.local_devices(devices)[0])
    resident_bytes -= sum(
        array.nbytes // len(array) for batches in beside for array in batches.arrays.values()
    )
    arrays = [column.values for column in columns.values()]
    # A frame is sent as integers of 4 bytes.
    plain = all(isinstance(array, np.ndarray) and array.dtype.itemsize == 4 for array in arrays)
    fits = plain and sum(array.nbytes for array in arrays) / len(devices) <= resident_bytes
    # The processes run one program, so they must come to one decision.
    kind = ResidentBatches if parallel.gather(fits)[0] else StreamedBatches
    return kind(columns, windows, order, devices)


def _offered_bytes(device: jax.Device) -> int:
    statistics = device.memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return int(limit * _RESIDENT_SHARE) if limit else _DEFAULT_RESIDENT_BYTES
