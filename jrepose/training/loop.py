"""The training loop: steps, metrics, validation, checkpoints, and stopping cleanly."""

from __future__ import annotations

import collections
import contextlib
import copy
import json
import logging
import pathlib
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm.contrib.logging import logging_redirect_tqdm

from jrepose import checkpoints, parallel, tasks
from jrepose.config import AUTO, to_json
from jrepose.data.dataset import Dataset
from jrepose.errors import InputError
from jrepose.evaluation.tables import SCORE_LABELS
from jrepose.interrupts import Interrupts
from jrepose.models import attention
from jrepose.precision import multiply_float32_in_full
from jrepose.progress import Progress
from jrepose.training import metric_log
from jrepose.training.compilation_cache import enable_compilation_cache
from jrepose.training.experiment import Experiment, create_experiment
from jrepose.training.memory import compile_step
from jrepose.training.metric_log import DivergedError, MetricLog
from jrepose.training.resume import check_same_config, check_same_data, sole_run
from jrepose.training.state import TrainState, from_plain, to_plain, variables_of

_LOG = logging.getLogger(__name__)

# Steps in flight before the oldest one's metrics are read: enough to keep a device busy.
_IN_FLIGHT = 2

# Below this share of the true depths' spread a model has learned none.
_FLAT = 0.1

# Validation scores that are said besides the one that decides.
_SHOWN = ("mpjpe", "pa_mpjpe", "ap", "mse")


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """How a run ended.

    Args:
        step: optimiser steps done.
        finished: whether these are all.
        interrupted: the signal that was received, if one was; one in the last step finds the
            run finished.
        variables: to predict with, on the host; the moving average where there is one.
        validation: scores of the last validation of this start, if there was one.
        best: best validation score of the whole run, by the task's score (MPJPE, mm).
    """

    step: int
    finished: bool
    interrupted: signal.Signals | None
    variables: Mapping[str, Any]
    validation: Mapping[str, float] | None
    best: float | None


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    splits: Mapping[str, Dataset],
    *,
    devices: Sequence[jax.Device] | None = None,
    initial: Mapping[str, Any] | None = None,
    partial: bool = False,
    restart: bool = False,
) -> TrainingResult:
    """Trains, or continues what the workdir holds.

    A run that is stopped at any moment, by a signal, `kill -9` or a power cut, and started
    again ends as if it had not been stopped.  SIGTERM and SIGINT save and stop.  All processes
    of a distributed run call it together.

    Writes to `workdir`: `config.json`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`.

    Args:
        config: the whole config, see `jrepose.config.default_config`.
        workdir: folder of the run; created if absent.
        splits: `"train"`, and `"validation"` if the run is to be validated.
        devices: of all processes; None takes all.
        initial: the task's variables to begin with; None draws them from the config's seed.
            A run that is continued does not need them.
        partial: `initial` may lack variables, which are drawn from the config's seed.
        restart: begin anew; what the workdir holds is moved to a folder inside it.

    Raises:
        InputError: values that cannot be, a workdir with another run, one that is in use or
            has damaged checkpoints only, processes that were started differently, or a disk
            that refuses.
        DivergedError: NaN or infinity in the loss; the checkpoints are from before it.
    """
    if "train" not in splits:
        raise InputError("no training data: splits has no 'train'")
    enable_compilation_cache()
    multiply_float32_in_full()
    attention.override(config.attention)
    workdir = pathlib.Path(workdir).absolute()
    resolved = json.loads(to_json(config))
    fingerprints = {name: splits[name].fingerprint() for name in splits if name != "test"}
    with sole_run(workdir, resolved, fingerprints, initial, restart=restart):
        return _train(
            config, workdir, splits, resolved, fingerprints, devices, initial, partial=partial
        )


def _train(
    config: ConfigDict,
    workdir: pathlib.Path,
    splits: Mapping[str, Dataset],
    resolved: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    devices: Sequence[jax.Device] | None,
    initial: Mapping[str, Any] | None,
    *,
    partial: bool,
) -> TrainingResult:
    found, complaints = checkpoints.newest_intact(workdir)
    for complaint in complaints:
        _say(logging.WARNING, "%s; moved to %s", complaint, checkpoints.DAMAGED_FOLDER)
    begun = None
    if found is not None:
        trained = found.config.get("training")
        if not isinstance(trained, Mapping):
            raise InputError(
                f"{found.path} was converted, no run could go on; expected it as --init, and "
                "another folder as workdir"
            )
        begun = trained.get("accumulate", 1)
        if config.training.accumulate == AUTO:  # the run has found how many
            resolved = {**resolved, "training": {**resolved["training"], "accumulate": begun}}
        check_same_config(found.config, resolved, workdir)
        check_same_data(found.data, fingerprints, workdir)
        if initial is not None:
            _say(logging.INFO, "%s holds a run; its weights count, not the given ones", workdir)

    if found is None and config.task in tasks.WITH_CONTEXT and tasks.CONTEXT not in (initial or ()):
        raise InputError(
            f"config.task {config.task!r} begins with a trained context encoder, and there is "
            "none; config.context.path names a run or a PyTorch file"
        )
    experiment = create_experiment(config, splits, devices, initial=initial, partial=partial)
    _say(logging.INFO, "%s", _describe(config, experiment))
    with contextlib.ExitStack() as stack:
        stack.callback(experiment.batches.close)
        interrupts = stack.enter_context(Interrupts())
        if parallel.is_primary():
            stack.enter_context(logging_redirect_tqdm())
        step = compile_step(experiment, config, first=found.step if found else 0, begun=begun)
        if step.room is not None:
            _say(logging.INFO, "a training step needs %s", step.room)
        config = copy.deepcopy(config)
        config.training.accumulate = step.accumulate
        run = _Run(config, workdir, experiment, step.run, fingerprints, found)
        return run.run(interrupts)


def _describe(config: ConfigDict, experiment: Experiment) -> str:
    """The line with which a start begins."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(experiment.state.params))
    kinds = collections.Counter(device.device_kind for device in experiment.devices)
    devices = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    order = experiment.order
    return (
        f"{config.model.name}, {parameters:,} parameters, on {devices}; {order.clips} clips of "
        f"{config.clip.frames} frames an epoch, {experiment.total_steps} steps of "
        f"{order.batch_size} clips"
    )


class _Run:
    """One start of a run: the loop and what it carries along."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: pathlib.Path,
        experiment: Experiment,
        train_step: Callable[..., Any],
        fingerprints: Mapping[str, str],
        found: checkpoints.Checkpoint | None,
    ):
        self._config, self._workdir = config, workdir
        self._experiment, self._train_step = experiment, train_step
        self._fingerprints = fingerprints
        self._validation: Mapping[str, float] | None = None
        self._compiled = False

        state, self._step = experiment.state, 0
        if found is not None:
            state, self._step = from_plain(state, dict(found.state)), found.step
            _say(logging.INFO, "continuing %s at step %d", workdir, found.step)
        self._state = parallel.replicate(state, experiment.devices)

        if parallel.is_primary():
            with checkpoints.readable_disk_errors(workdir):
                metric_log.replace_text(workdir / "config.json", to_json(config) + "\n")
        self._log = MetricLog(
            workdir,
            config.training.log_every,
            step=self._step,
            pending=found.log if found else {},
        )
        self._writer = checkpoints.CheckpointWriter(
            workdir, config.checkpoint.keep, experiment.score
        )

    def run(self, interrupts: Interrupts) -> TrainingResult:
        try:
            with self._progress() as progress:
                stopped = self._loop(interrupts, progress)
        finally:
            # Also after an error: what was being written is good and is to be kept.
            try:
                self._writer.close()
            finally:
                self._log.close()
        state = self._host_state()
        return self._report(state, interrupts, stopped)

    def _loop(self, interrupts: Interrupts, progress: Progress) -> bool:
        """Runs to the end; returns whether it was stopped before."""
        experiment = self._experiment
        in_flight: collections.deque = collections.deque()
        alone = jax.process_count() == 1
        stop = False
        while self._step < experiment.total_steps:
            # Several processes stop together, after the step in which one asked for it.
            if stop or (alone and interrupts.received):
                break
            asked = np.int32(interrupts.received is not None)
            selection = experiment.batches.selection(self._step)
            selection["stop"] = parallel.replicate(asked, experiment.devices)
            self._state, metrics = self._train_step(
                self._state, experiment.batches.arrays, selection
            )
            self._step += 1
            in_flight.append((self._step, metric_log.start_fetching(metrics)))
            validate, save = self._due()
            # Nothing is saved or validated before its steps are known to be sound.
            allowed = 0 if save else _IN_FLIGHT
            while len(in_flight) > allowed:
                stop |= self._settle(*in_flight.popleft(), progress)
            if save:
                state = self._host_state()
                if validate:
                    self._validate(state)
                self._save(state, validated=validate)
                self._log.start_clock(self._step)
        while in_flight:
            self._settle(*in_flight.popleft(), progress)
        if self._writer.newest != self._step:
            self._save(self._host_state(), validated=False)
        return self._step < experiment.total_steps

    def _settle(self, step: int, metrics: metric_log.Metrics, progress: Progress) -> bool:
        """Reads and records a step's metrics; returns whether a process wants to stop."""
        numbers = metric_log.fetch(metrics)
        metric_log.check_finite(step, numbers)
        self._log.add(
            step,
            self._epoch(step),
            numbers,
            batch_size=self._experiment.order.batch_size,
            last=step == self._experiment.total_steps,
        )
        if not self._compiled:
            self._compiled = True
            self._log.start_clock(step)
        terms = {
            name: f"{value:.4g}"
            for name, value in numbers["terms"].items()
            if not name.startswith("weight/")
        }
        progress.to(step, {"loss": f"{numbers['total']:.4g}", **terms})
        return bool(numbers["stop"])

    def _due(self) -> tuple[bool, bool]:
        """Whether to validate and whether to save after the present step; the first implies the
        second."""
        last = self._step == self._experiment.total_steps
        validate = False
        if self._experiment.validate is not None:
            every = max(self._config.evaluation.every_epochs, 1)
            order = self._experiment.order
            done, before = (order.epoch(step) // every for step in (self._step, self._step - 1))
            validate = last or done > before
        every = max(self._config.checkpoint.every_steps, 1)
        return validate, validate or last or self._step % every == 0

    def _validate(self, state: TrainState) -> None:
        self._validation = scores = self._experiment.validate(variables_of(state))
        self._log.validation(self._step, self._epoch(self._step), scores)
        shown = {name: scores[name] for name in (self._experiment.score, *_SHOWN) if name in scores}
        if not np.isfinite(scores.get(self._experiment.score, np.nan)):
            _say(
                logging.WARNING,
                "validation gives no %s, by which the best checkpoint is chosen: the newest counts",
                self._experiment.score,
            )
        said = ", ".join(f"{_label(name)} {value:.2f}" for name, value in shown.items())
        if "flat_mpjpe" in scores:
            said += f" (a pose without depth: MPJPE {scores['flat_mpjpe']:.2f})"
        epoch = self._epoch(self._step)
        _say(logging.INFO, "step %d, epoch %.1f: validation %s", self._step, epoch, said)
        if scores.get("depth_spread", 1) < _FLAT * scores.get("true_depth_spread", 0):
            _say(
                logging.WARNING,
                "the predicted poses are flat: depths spread by %.1f mm, true ones by %.1f mm; "
                "early in a training that passes, later lower the weights of the ranking losses "
                "or raise the learning rate",
                scores["depth_spread"],
                scores["true_depth_spread"],
            )

    def _save(self, state: TrainState, *, validated: bool) -> None:
        self._log.flush()
        self._writer.save(
            self._step,
            to_plain(state),
            config=json.loads(to_json(self._config)),
            data=self._fingerprints,
            validation=self._validation if validated else None,
            log=self._log.pending,
            description=self._experiment.description,
        )

    def _host_state(self) -> TrainState:
        """The present state, known to be sound: finite losses can still end in an overflow."""
        state = parallel.unreplicate(self._state)
        for path, leaf in jax.tree_util.tree_leaves_with_path(to_plain(state)):
            if not np.isfinite(leaf).all():
                name = "/".join(str(key.key) for key in path)
                raise DivergedError(f"training diverged at step {self._step}: {name} is not finite")
        return state

    def _epoch(self, step: int) -> float:
        order = self._experiment.order
        return step * order.batch_size / order.clips

    def _progress(self) -> Progress:
        return Progress(
            self._experiment.total_steps,
            "step",
            self._config.name,
            done=self._step,
            shown=parallel.is_primary(),
        )

    def _report(self, state: TrainState, interrupts: Interrupts, stopped: bool) -> TrainingResult:
        best = self._writer.best_score
        _say(
            logging.INFO,
            "%s at step %d of %d%s; checkpoints in %s",
            "stopped" if stopped else "finished",
            self._step,
            self._experiment.total_steps,
            ""
            if best is None
            else f", best validation {_label(self._experiment.score)} {best:.2f}",
            self._workdir / checkpoints.FOLDER,
        )
        return TrainingResult(
            step=self._step,
            finished=not stopped,
            interrupted=interrupts.received or (signal.SIGTERM if stopped else None),
            variables=variables_of(state),
            validation=self._validation,
            best=best,
        )


def _label(score: str) -> str:
    return SCORE_LABELS.get(score, score).strip()


def _say(level: int, message: str, *values: object) -> None:
    """Logs once, not once per process."""
    if parallel.is_primary():
        _LOG.log(level, message, *values)
