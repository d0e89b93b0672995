"""Whether a training step fits into memory: its compiled program tells before it is run."""

from __future__ import annotations

import logging
import pathlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jrepose import parallel
from jrepose.config import AUTO
from jrepose.errors import InputError
from jrepose.host_memory import available_bytes, return_freed_memory
from jrepose.training.experiment import Experiment

_LOG = logging.getLogger(__name__)

# Tells the machines of a run apart, whatever they are called.
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Room:
    """Memory in one place: of an accelerator, or of a machine whose CPU devices share it.

    Args:
        needed: bytes of a step's arguments, results and temporary arrays that are not there yet,
            as the resident data is.
        temporary: those of them that more micro-batches make fewer.
        free: bytes; None where nobody says.
    """

    needed: int
    temporary: int
    free: int | None

    @property
    def fits(self) -> bool:
        return self.free is None or self.needed <= self.free

    def may_fit(self, times: float) -> bool:
        """Whether it may, computed in so many times as many parts; False is certain."""
        least = self.needed - self.temporary + self.temporary / times
        return self.free is None or least <= self.free

    def __str__(self) -> str:
        free = "" if self.free is None else f", {readable(self.free)} is free"
        return f"{readable(self.needed)} of memory{free}"


def readable(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def free_bytes(device: jax.Device) -> int | None:
    """Memory that computations can still take, an accelerator's or, of a CPU, its machine's."""
    statistics = device.memory_stats() or {}
    if limit := statistics.get("bytes_limit"):
        return limit - statistics.get("bytes_in_use", 0)
    return available_bytes() if device.platform == "cpu" else None


@dataclass(frozen=True, eq=False)
class CompiledStep:
    """A training step that was compiled and fits.

    Args:
        run: `(state, arrays, selection) -> (state, metrics)`, as the experiment's step.
        accumulate: micro-batches in it.
        room: where it is narrowest; None where the compiler does not say.
    """

    run: Callable[..., Any]
    accumulate: int
    room: Room | None


def compile_step(
    experiment: Experiment, config: ConfigDict, *, first: int = 0, begun: int | None = None
) -> CompiledStep:
    """Compiles the step of a run and refuses it if its memory is not there.

    All processes call it together and come to one decision.

    Args:
        experiment: of this config; its data is on the devices, its state is not.
        config: `training.accumulate` says how many micro-batches, or `AUTO`, the fewest that fit.
        first: number of the first step.
        begun: micro-batches of the run that is continued.  `AUTO` keeps them, so that the run
            ends as if it had not been stopped; only if they do not fit any more (fewer devices,
            less memory) it takes more, and a line says so.

    Raises:
        InputError: it does not fit; the line says what would.
    """
    devices, batch = experiment.devices, config.training.batch_size
    clips = parallel.parts_of(batch, len(devices), "training.batch_size")
    selection = experiment.batches.selection(first)
    selection["stop"] = parallel.replicate(np.int32(0), devices)

    def compiled(accumulate: int) -> CompiledStep:
        program, analysis = parallel.compiled(
            experiment.make_step(accumulate),
            parallel.shapes_of_replicated(experiment.state, devices),
            experiment.batches.arrays,
            selection,
            devices=devices,
        )
        return CompiledStep(program, accumulate, _room(analysis, experiment))

    def fewest(tried: CompiledStep) -> CompiledStep | None:
        """The first step of more micro-batches that fits; None: not even clip by clip."""
        for parts in range(tried.accumulate + 1, clips + 1):
            if clips % parts == 0 and tried.room.may_fit(parts / tried.accumulate):
                _say(
                    logging.INFO,
                    "with training.accumulate=%d a step needs %s",
                    tried.accumulate,
                    tried.room,
                )
                tried = compiled(parts)
                if tried.room.fits:
                    return tried
        return None

    auto = config.training.accumulate == AUTO
    wanted = (begun or 1) if auto else config.training.accumulate
    if auto:  # on more devices than the run began with
        wanted = next(parts for parts in range(min(wanted, clips), 0, -1) if clips % parts == 0)
    step = compiled(wanted)
    if step.room is None or step.room.fits:
        return _noted(step, begun)
    better = fewest(step) if auto or begun is None else None
    if auto and better is not None:
        return _noted(better, begun)
    raise InputError(_complaint(step, better, config, clips, begun))


def _noted(step: CompiledStep, begun: int | None) -> CompiledStep:
    if begun not in (None, step.accumulate):
        _say(
            logging.WARNING,
            "the run was begun with training.accumulate=%d and goes on with %d: what "
            "is drawn at random, and batch statistics, are others from here on",
            begun,
            step.accumulate,
        )
    return step


def _complaint(
    step: CompiledStep, better: CompiledStep | None, config: ConfigDict, clips: int,
    begun: int | None,
) -> str:  # fmt: skip
    remat = "model.remat=True, " if config.model.get("remat", True) is False else ""
    said = f"a training step needs {step.room}; "
    if begun is not None and config.training.accumulate != AUTO:
        return said + (
            "a run keeps the settings that it was begun with: continue it on more devices, or "
            "--restart with training.accumulate=auto"
        )
    if better is not None:
        enough = f"training.accumulate={better.accumulate} ({readable(better.room.needed)})"
        return said + f"set {enough} or auto, {remat}or a smaller training.batch_size"
    return said + (
        f"too much even with training.accumulate={clips}, clip by clip: set {remat}fewer "
        "clip.frames or a smaller model"
    )


def _room(analysis: Any, experiment: Experiment) -> Room | None:
    """The narrowest place of all processes; None where a compiler does not say."""
    here = parallel.local_devices(experiment.devices)
    place = None
    if analysis is not None:
        resident = jax.tree.leaves(experiment.batches.arrays)
        temporary = analysis.temp_size_in_bytes
        needed = (
            temporary
            + analysis.argument_size_in_bytes
            + analysis.output_size_in_bytes
            - analysis.alias_size_in_bytes
            + analysis.generated_code_size_in_bytes
            - sum(leaf.addressable_shards[0].data.nbytes for leaf in resident)
        )
        return_freed_memory()
        known = [free for free in map(free_bytes, here) if free is not None]
        free = min(known) if len(known) == len(here) else None
        if here[0].platform == "cpu":  # one memory for all of them
            place = [_machine(), needed * len(here), temporary * len(here), free]
        else:
            place = [f"process {jax.process_index()}", needed, temporary, free]
    places = parallel.gather(place)
    if None in places:
        return None
    shared: dict[str, Room] = {}
    for name, needed, temporary, free in places:
        before = shared.get(name, Room(0, 0, free))
        least = None if None in (free, before.free) else min(free, before.free)
        shared[name] = Room(before.needed + needed, before.temporary + temporary, least)
    return max(
        shared.values(), key=lambda room: (room.free is not None, room.needed - (room.free or 0))
    )


def _machine() -> str:
    return _BOOT.read_text() if _BOOT.exists() else platform.node()


def _say(level: int, message: str, *values: object) -> None:
    if parallel.is_primary():
        _LOG.log(level, message, *values)
