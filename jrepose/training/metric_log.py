"""Where a run's numbers go: `metrics.jsonl`, TensorBoard and the progress bar's line."""

from __future__ import annotations

import json
import logging
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

from jrepose import parallel
from jrepose.checkpoints import readable_disk_errors
from jrepose.errors import InputError
from jrepose.training.step import Metrics

_LOG = logging.getLogger(__name__)

FILE = "metrics.jsonl"
BOARD = "tensorboard"


class DivergedError(InputError):
    """The loss became NaN or infinite; the message names the step and the term."""


def start_fetching(metrics: Metrics) -> Metrics:
    """Begins to copy a step's metrics to the host; does not wait for the step."""
    first = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, metrics)
    for leaf in jax.tree.leaves(first):
        leaf.copy_to_host_async()
    return first


def fetch(metrics: Metrics) -> Metrics:
    """Metrics as numbers, from what `start_fetching` gave; waits for the step."""
    return jax.tree.map(lambda leaf: leaf.item(), metrics)


def check_finite(step: int, metrics: Metrics) -> None:
    """Checks the numbers of a step (1-based).

    Raises:
        DivergedError: naming the step and the terms that are not finite.
    """
    named = {**metrics["terms"], "total": metrics["total"]}
    named["gradient norm"] = metrics["gradient_norm"]
    bad = [f"{name} is {value}" for name, value in named.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"training diverged at step {step}: {', '.join(bad)}; lower training.learning_rate "
            "or set training.gradient_clip"
        )


class MetricLog:
    """Means of the steps' metrics, one record every few steps.

    A record is a line of `metrics.jsonl` and a set of TensorBoard scalars.  Only the first
    process writes; the others keep the same books.

    Args:
        workdir: folder of the run.
        every: steps per record.
        step: steps done so far; later records of an interrupted run are removed.
        pending: `self.pending` at that step, from the checkpoint.
    """

    def __init__(self, workdir: pathlib.Path, every: int, *, step: int, pending: Mapping[str, Any]):
        self._every = max(every, 1)
        self._count = pending.get("count", 0)
        self._sums: dict[str, float] = dict(pending.get("sums", {}))
        self._file = self._board = None
        self._mark: tuple[float, int] | None = None
        if parallel.is_primary():
            self._path = workdir / FILE
            with readable_disk_errors(self._path):
                _keep_until(self._path, step)
                self._file = self._path.open("a", encoding="utf-8")
            with readable_disk_errors(workdir / BOARD):
                self._board = _open_board(workdir, step)

    @property
    def pending(self) -> dict[str, Any]:
        """Sums that no record holds yet; part of a checkpoint."""
        return {"count": self._count, "sums": dict(self._sums)}

    def start_clock(self, step: int) -> None:
        """Measures the speed from here on; to be called after every pause."""
        self._mark = (time.perf_counter(), step)

    def add(
        self, step: int, epoch: float, metrics: Metrics, *, batch_size: int, last: bool
    ) -> None:
        """Adds a step's metrics; writes a record when one is due.

        Args:
            step: steps done, this one included.
            epoch: how often the data has been seen.
            metrics: numbers from `fetch`.
            batch_size: clips per step.
            last: whether training ends here.
        """
        values = {"loss/total": metrics["total"], "gradient_norm": metrics["gradient_norm"]}
        for name, value in metrics["terms"].items():
            values[name if "/" in name else f"loss/{name}"] = value
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if step % self._every and not last:
            return
        record = {name: total / self._count for name, total in self._sums.items()}
        record["learning_rate"] = metrics["learning_rate"]
        speed = self._speed(step, batch_size)
        if speed is not None:
            record["clips_per_s"] = speed
        self._count, self._sums = 0, {}
        self._write(step, epoch, record)

    def validation(self, step: int, epoch: float, scores: Mapping[str, float]) -> None:
        """Writes a record of validation scores."""
        self._write(step, epoch, {f"validation/{name}": v for name, v in scores.items()})

    def flush(self) -> None:
        """Puts everything on the disk."""
        if self._file is not None:
            with readable_disk_errors(self._path):
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None:
            with readable_disk_errors(self._path):
                self._file.close()
        if self._board is not None:
            with readable_disk_errors(self._path.with_name(BOARD)):
                self._board.close()

    def _speed(self, step: int, batch_size: int) -> float | None:
        now = time.perf_counter()
        before, self._mark = self._mark, (now, step)
        if before is None or step == before[1]:
            return None
        return (step - before[1]) * batch_size / (now - before[0])

    def _write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        if self._file is None:
            return
        # JSON has no NaN: what is unknown, an error of occluded joints for instance, is absent.
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        with readable_disk_errors(self._path):
            if not os.fstat(self._file.fileno()).st_nlink:
                self._file.close()
                self._file = self._path.open("a", encoding="utf-8")
                _LOG.warning("%s was removed or replaced; begun anew", self._path)
            json.dump({"step": step, "epoch": round(epoch, 4), **values}, self._file)
            self._file.write("\n")
            self._file.flush()
        if self._board is not None:
            with readable_disk_errors(self._path.with_name(BOARD)):
                self._board.add(values, step)


def _keep_until(path: pathlib.Path, step: int) -> None:
    """Removes the records after a step, and lines that are no records.

    A killed run leaves its last line unfinished; a disk may damage any.
    """
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    kept, bad = [], 0
    for line in lines:
        try:
            reached = json.loads(line)["step"]
            if not isinstance(reached, int):
                raise ValueError("no step")
        except (ValueError, KeyError, TypeError, RecursionError):
            bad += 1
            continue
        if reached <= step:
            kept.append(line + b"\n")
    if bad:
        _LOG.warning("%s: %d damaged lines dropped", path, bad)
    if bad or rest or len(kept) < len(lines):
        replace_bytes(path, b"".join(kept))


def replace_text(path: pathlib.Path, text: str) -> None:
    """Writes a file so that it is never seen half written."""
    replace_bytes(path, text.encode())


def replace_bytes(path: pathlib.Path, content: bytes) -> None:
    """`replace_text`, of bytes."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class _Board:
    """TensorBoard scalars, written at once.

    tensorboardX's own writer has a thread that dies when a disk is full, after which the run
    would wait for it for ever.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._summary, self._event = summary, event_pb2.Event
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        if step:
            # Later scalars of an interrupted run are not shown.
            log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(session_log=log, step=step + 1)

    def add(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._write(summary=self._summary.scalar(name, value), step=step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), **content))


def _open_board(workdir: pathlib.Path, step: int) -> _Board | None:
    try:
        return _Board(workdir / BOARD, step)
    except ImportError:
        _LOG.info("no TensorBoard scalars: pip install '.[tensorboard]'")
        return None
