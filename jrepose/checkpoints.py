"""Checkpoints: written asynchronously and atomically, verified whenever they are read.

A run keeps them in `WORKDIR/checkpoints/STEP/`, written by Orbax: `state/` holds the arrays
and `meta/` a JSON with the config, the data's fingerprints, the validation scores, and a
checksum of every array and of itself.  A checkpoint that does not agree with its checksums is
damaged and is not used.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import pathlib
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jrepose import metrics, parallel
from jrepose.disk import cannot_write, system_error
from jrepose.errors import InputError

_LOG = logging.getLogger(__name__)

FOLDER = "checkpoints"
"""Folder of a workdir that holds the checkpoints."""

DAMAGED_FOLDER = "damaged_checkpoints"
"""Folder of a workdir to which a resuming run moves damaged checkpoints."""

# How often a checkpoint that cannot be read is tried again while its run goes on writing.
_ATTEMPTS = 5

# Errors of the machine, not of the file.
_UNREADABLE = (
    errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM
)  # fmt: skip

State = Mapping[str, Any]
Path = str | pathlib.Path


class DamagedCheckpoint(InputError):
    """A checkpoint that cannot be read or does not agree with its checksums."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One checkpoint, read and verified.

    Args:
        path: its folder.
        step: optimiser steps done.
        state: nested dict of NumPy arrays, the training state: `params`, `ema` (empty
            without averaging), `collections` (other variables of the task), `optimizer`,
            `objective`, `step`.
        config: the run's config as plain values.
        data: fingerprint of each split.
        validation: validation scores at this step, or None if it was not validated.
        log: partial means of the metric log, to be continued.
        description: what it was trained on, see `jrepose.data.description`; empty if unknown.
    """

    path: pathlib.Path
    step: int
    state: State
    config: Mapping[str, Any]
    data: Mapping[str, str]
    validation: Mapping[str, float] | None
    log: Mapping[str, Any]
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, Any]:
        """The config's `model` section: name and hyperparameters.

        Raises:
            InputError: it has none.
        """
        model = self.config.get("model")
        if not (isinstance(model, Mapping) and isinstance(model.get("name"), str)):
            raise InputError(f"{self.path}: its config has {model!r:.50} as model")
        return dict(model)

    @property
    def variables(self) -> dict[str, Any]:
        """The task's variables to predict with, see `predicting_variables`."""
        return predicting_variables(self.state)


def predicting_variables(state: State) -> dict[str, Any]:
    """The variables to predict with: the moving average of the parameters where there is one.

    Args:
        state: as in a checkpoint.
    """
    return {"params": state["ema"] or state["params"], **state.get("collections", {})}


class CheckpointWriter:
    """Writes the checkpoints of a run; keeps the newest and the best.

    All processes create it and call its methods together; the first one writes.

    Args:
        workdir: folder of the run.
        keep: how many of the newest to keep; the one with the best validation score is
            kept besides.
        score: name of that score; `metrics.higher_is_better` says which way is up.
    """

    def __init__(self, workdir: Path, keep: int, score: str):
        _ignore_late_answers()
        # What fails in the writer's threads is raised again when it is waited for.
        self._quiet = ExitStack()
        self._quiet.enter_context(_quiet_orbax())
        self._folder = pathlib.Path(workdir).absolute() / FOLDER
        self._score = score
        self._scores = known_scores(self._folder, score)
        self._keep = keep
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_KeepNewestAndBest(keep, self._scores, score),
            cleanup_tmp_directories=True,
        )
        with readable_disk_errors(self._folder):
            self._manager = ocp.CheckpointManager(self._folder, options=options)
            # Held open, so that its number is given to no other folder.
            self._opened = os.open(self._folder, os.O_RDONLY)

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint, complete or being written."""
        return self._manager.latest_step()

    @property
    def best_score(self) -> float | None:
        """The best validation score so far."""
        best = best_step(self._scores, self._score)
        return None if best is None else self._scores[best]

    def save(
        self,
        step: int,
        state: State,
        *,
        config: Mapping[str, Any],
        data: Mapping[str, str],
        validation: Mapping[str, float] | None,
        log: Mapping[str, Any],
        description: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Begins to write a checkpoint and returns; the arguments are those of `Checkpoint`.

        The arrays must not change afterwards.  Waits for the one before to be complete.

        Raises:
            InputError: the disk refuses, now or for the one before, or the folder is gone.
        """
        meta = {
            "step": step,
            "config": config,
            "data": dict(data),
            "validation": None if validation is None else dict(validation),
            "score": self._score,
            "log": dict(log),
            "description": dict(description),
            "arrays": {name: _checksum(leaf) for name, leaf in _leaves(state)},
        }
        meta["checksum"] = zlib.crc32(_canonical(meta))
        score = None if validation is None else validation.get(self._score)
        with readable_disk_errors(self._folder):
            self._manager.wait_until_finished()
            # Orbax would make a folder that nobody looks for.
            if not os.path.samestat(os.stat(self._folder), os.fstat(self._opened)):
                raise OSError(errno.ENOENT, "replaced")
            self._scores[step] = score
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)
                ),
            )

    def wait(self) -> None:
        """Returns when everything is on the disk.

        Raises:
            InputError: the disk refuses.
        """
        with readable_disk_errors(self._folder):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits and releases the writer's threads."""
        os.close(self._opened)
        with self._quiet, readable_disk_errors(self._folder):
            self._manager.close()


class _KeepNewestAndBest:
    """Orbax preservation policy: the newest few, and the one with the best score."""

    def __init__(self, keep: int, scores: Mapping[int, float | None], score: str):
        self._keep = max(keep, 1)
        self._scores, self._score = scores, score

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = set(sorted(steps)[-self._keep :])
        best = best_step({step: self._scores.get(step) for step in steps}, self._score)
        return [step in kept or step == best for step in steps]


def best_step(scores: Mapping[int, float | None], score: str) -> int | None:
    """The step with the best score, the earliest where several share it; None if none has.

    Args:
        scores: by step; None: not validated.
        score: its name.
    """
    sign = -1 if metrics.higher_is_better(score) else 1
    scored = [
        (sign * value, step)
        for step, value in scores.items()
        if value is not None and not math.isnan(value)
    ]
    return min(scored)[1] if scored else None


def steps_in(folder: Path) -> list[int]:
    """Steps of the complete checkpoints in a folder, ascending."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return []
    # While Orbax writes, the folder has another name; the rename is the commit.
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from None
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def read(path: Path) -> Checkpoint:
    """Reads one checkpoint and verifies all of it.

    Args:
        path: folder of the checkpoint, `WORKDIR/checkpoints/STEP`.

    Raises:
        DamagedCheckpoint: it cannot be read or its content is not what was written.
    """
    path = pathlib.Path(path).absolute()
    _ignore_late_answers()
    found = _verified(path)
    if isinstance(found, str):
        raise DamagedCheckpoint(f"damaged checkpoint {path}: {found}")
    state, meta = found
    return Checkpoint(
        path=path,
        step=meta["step"],
        state=state,
        config=meta["config"],
        data=meta["data"],
        validation=meta.get("validation"),
        log=meta["log"],
        description=meta.get("description") or {},
    )


def _verified(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]] | str:
    """A checkpoint's state and description, or what is wrong with it."""
    # A process reads when it likes; Orbax would have all of them run a collective together.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}
    )
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        meta=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
    )
    try:
        with (
            _quiet_orbax(),
            ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer,
        ):
            items = checkpointer.restore(
                path,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore()
                ),
            )
        state, meta = items["state"], items["meta"]
        if state is None or meta is None:
            raise ValueError("incomplete")
        meta = dict(meta)
        if meta.pop("checksum", None) != zlib.crc32(_canonical(meta)):
            raise ValueError("its description does not match its checksum")
        _check_description(meta)
        if not {"params", "ema"} <= state.keys():
            raise ValueError("its state has no params and ema")
        found, expected = {name: _checksum(leaf) for name, leaf in _leaves(state)}, meta["arrays"]
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                raise ValueError(f"array {name} does not match its checksum")
    except Exception as error:  # Orbax, TensorStore and JSON each fail in their own ways.
        number = system_error(error)
        if isinstance(error, MemoryError) or number in _UNREADABLE:
            reason = os.strerror(number) if number else "out of memory"
            raise InputError(f"cannot read {path}: {reason}") from error
        return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return state, meta


# What `jrepose.data.description.describe` says; older versions said less.
_DESCRIBED: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("skeleton", "keypoint_skeleton", "target_space", "scaling"), str),
        **dict.fromkeys(("joints", "keypoint_joints", "frame_rates"), list),
        "clip": Mapping,
    }
)


def _check_description(meta: Mapping[str, Any]) -> None:
    """Refuses a description, another program's for instance, without what all have."""

    def check(said: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str = "") -> None:
        for name, kind in kinds.items():
            value = said.get(name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"its description has {value!r:.50} as {prefix}{name}")

    check(meta, {"step": int, **dict.fromkeys(("config", "data", "log", "arrays"), Mapping)})
    check(meta, {"validation": Mapping | None, "description": Mapping | None})
    described, scores = meta.get("description") or {}, meta.get("validation") or {}
    check(described, {key: _DESCRIBED[key] for key in _DESCRIBED if key in described})
    check(scores, dict.fromkeys(scores, int | float), "validation.")


def load(path: Path, which: str = "best") -> Checkpoint:
    """The checkpoint to evaluate.

    Args:
        path: workdir of a run, or the folder of one checkpoint.
        which: `"best"` by validation score (the newest where none was validated) or
            `"latest"`; of no effect if `path` is one checkpoint.

    Raises:
        InputError: no checkpoint there, or it is damaged.
    """
    if which not in ("best", "latest"):
        raise InputError(f"unknown checkpoint choice {which!r}; expected best or latest")
    path = pathlib.Path(path)
    one = path if (path / "meta").is_dir() and (path / "state").is_dir() else None
    folder = path if path.name == FOLDER else path / FOLDER
    for attempt in range(_ATTEMPTS):
        chosen = one or _choose(folder, which)
        before = _appearance(chosen)
        try:
            return read(chosen)
        except DamagedCheckpoint:
            # A run that goes on removes old checkpoints, also while they are being read.
            time.sleep(0.1 * 2**attempt)
            if before is not None and _appearance(chosen) == before:
                raise
    raise InputError(f"{path}: its checkpoints are removed faster than they can be read")


def _choose(folder: pathlib.Path, which: str) -> pathlib.Path:
    """Folder of the checkpoint to evaluate."""
    steps = steps_in(folder)
    if not steps:
        stages = sorted(run.parent.name for run in folder.parent.glob(f"*/{FOLDER}"))
        there = f"; there are runs in {', '.join(stages)}" if stages else ""
        raise InputError(f"no checkpoint in {folder}{there}")
    score = score_of(folder / str(steps[-1]))
    step = best_step(known_scores(folder, score), score)
    if which == "latest" or step is None:
        step = steps[-1]
    return folder / str(step)


def _appearance(folder: pathlib.Path) -> set[tuple[str, int, int]] | None:
    """What changes when a checkpoint is removed or replaced: its files, their sizes and times."""
    try:
        if not folder.is_dir():
            return None
        files = [(str(path), path.stat()) for path in folder.rglob("*")]
    except OSError:
        return None
    return {(name, status.st_size, status.st_mtime_ns) for name, status in files}


def score_of(path: Path) -> str:
    """Name of the validation score by which the run of a checkpoint is judged."""
    return _description(path).get("score", "mpjpe")  # older checkpoints do not say


def known_scores(folder: Path, score: str) -> dict[int, float | None]:
    """That validation score of the checkpoints in a folder, by step; None where there is none."""
    folder = pathlib.Path(folder)
    found = {}
    for step in steps_in(folder):
        value = (_description(folder / str(step)).get("validation") or {}).get(score)
        found[step] = float(value) if isinstance(value, int | float) else None
    return found


def _description(path: Path) -> Mapping[str, Any]:
    """A checkpoint's JSON, unverified; empty where it cannot be read."""
    try:
        meta = json.loads((pathlib.Path(path) / "meta" / "metadata").read_text())
    except (OSError, RecursionError, ValueError):
        return {}
    sound = (
        isinstance(meta, dict)
        and isinstance(meta.get("validation"), dict | None)
        and isinstance(meta.get("score", ""), str)
    )
    return meta if sound else {}


def newest_intact(workdir: Path) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to resume from; moves damaged newer ones out of the way.

    All processes call it together; the first one chooses, all of them read what it chose.

    Returns:
        The checkpoint (None if there is none), and one line for every damaged one that is
        newer than it.

    Raises:
        InputError: all are damaged, or a process cannot read what the first one chose.
    """
    workdir = pathlib.Path(workdir).absolute()
    found: list[Checkpoint | None] = []

    def choose() -> tuple[int | None, list[str]]:
        checkpoint, complaints = _choose_intact(workdir)
        found.append(checkpoint)
        return None if checkpoint is None else checkpoint.step, complaints

    step, complaints = parallel.from_first(choose)
    with parallel.together():
        if not found:
            found.append(None if step is None else read(workdir / FOLDER / str(step)))
    return found[0], complaints


def _choose_intact(workdir: pathlib.Path) -> tuple[Checkpoint | None, list[str]]:
    damaged: dict[pathlib.Path, str] = {}
    for step in reversed(steps_in(workdir / FOLDER)):
        folder = workdir / FOLDER / str(step)
        try:
            checkpoint = read(folder)
        except DamagedCheckpoint as error:
            damaged[folder] = str(error)
            continue
        with readable_disk_errors(workdir / DAMAGED_FOLDER):
            for folder in damaged:
                _move_aside(folder, workdir / DAMAGED_FOLDER)
        return checkpoint, list(damaged.values())
    aside = steps_in(workdir / DAMAGED_FOLDER)
    if damaged or aside:
        first = f" ({next(iter(damaged.values()))})" if damaged else f" ({DAMAGED_FOLDER})"
        raise DamagedCheckpoint(
            f"all checkpoints of {workdir} are damaged{first}; put an intact copy into {FOLDER}/, "
            "or begin anew with --restart, which keeps what is there in another folder"
        )
    return None, []


def _move_aside(folder: pathlib.Path, destination: pathlib.Path) -> None:
    destination.mkdir(exist_ok=True)
    name, number = folder.name, 1
    while (destination / name).exists():
        number += 1
        name = f"{folder.name}_{number}"
    folder.rename(destination / name)


def _leaves(state: State) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a nested dict, with their names joined by slashes."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        yield "/".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path), leaf


def _checksum(leaf: np.ndarray) -> list[Any]:
    """What identifies an array: data type, shape and CRC-32 of its bytes."""
    array = np.asarray(leaf)
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return [array.dtype.name, list(array.shape), zlib.crc32(content)]


def fingerprint(tree: Any) -> int:
    """CRC-32 of the names and values of all arrays in a nested dict."""
    return zlib.crc32(_canonical({name: _checksum(leaf) for name, leaf in _leaves(tree or {})}))


def _canonical(meta: Mapping[str, Any]) -> bytes:
    return json.dumps(meta, sort_keys=True).encode()


@contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Mutes Orbax's account of a failure that is reported in one line instead."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _ignore_late_answers() -> None:
    """Mutes what TensorStore's reads say that fail beside or after the first one."""
    logging.getLogger("asyncio").addFilter(_is_none_of_tensorstore)
    before = sys.unraisablehook

    def filtered(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    if getattr(before, "__name__", None) != filtered.__name__:
        sys.unraisablehook = filtered


def _is_none_of_tensorstore(record: logging.LogRecord) -> bool:
    return "tensorstore" not in record.getMessage()


@contextmanager
def readable_disk_errors(where: Path) -> Iterator[None]:
    """Turns the many forms in which a disk refuses into one line.

    Raises:
        InputError: the disk is full or read-only, the folder was removed, and the like.
    """
    try:
        with _quiet_orbax():
            yield
    except InputError:
        raise
    except Exception as error:
        # TensorStore reports it as a ValueError with the system's message inside.
        if system_error(error) is None:
            raise
        raise InputError(cannot_write(where, error)) from error
