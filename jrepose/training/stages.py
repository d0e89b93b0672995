"""Several stages, one after another: each is a run that begins with the one before."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from jrepose import checkpoints, parallel, tasks
from jrepose.config import stage_configs
from jrepose.data.dataset import Dataset
from jrepose.errors import InputError
from jrepose.training.experiment import check_experiment
from jrepose.training.loop import TrainingResult, train
from jrepose.training.resume import OUTPUTS, set_aside

_LOG = logging.getLogger(__name__)


def train_stages(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    splits: Mapping[str, Dataset],
    *,
    devices: Sequence[jax.Device] | None = None,
    initial: Mapping[str, Any] | None = None,
    partial: bool = False,
    restart: bool = False,
    contexts: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """`train` for every stage of a config, in `workdir/STAGE`; one run where it has none.

    A stage begins with the best weights of the stage before, or with those of them that its
    `training.init_only` names; step, schedules and the optimiser's moments begin anew.  Started
    again, it goes on where it was stopped, inside any stage.

    Args:
        config, workdir, splits, devices: as for `train`.
        initial, partial: as for `train`, for the first stage.
        restart: as for `train`, for every stage.
        contexts: stage -> variables of its frozen encoder, `""` without stages; one whose
            `context.path` names a stage before takes that stage's.

    Returns:
        How the last stage that was started ended.

    Raises:
        InputError, DivergedError: as `train`; what cannot be in a stage's config is said before
            the first one.
    """
    stages, contexts = stage_configs(config), contexts or {}
    if not stages:
        initial, partial = _with_context(initial, contexts.get(""), partial=partial)
        return train(
            config, workdir, splits, devices=devices, initial=initial, partial=partial,
            restart=restart,
        )  # fmt: skip
    if taken := [name for name in stages if name in OUTPUTS]:
        raise InputError(f"config.stages has {taken[0]!r}, which a run's folder has; expected "
                         "another name")  # fmt: skip
    workdir = pathlib.Path(workdir)
    folders = {name: workdir / name for name in stages}
    begun = {
        name
        for name, folder in folders.items()
        if checkpoints.steps_in(folder / checkpoints.FOLDER) and not restart
    }
    for name, stage in stages.items():
        if name not in begun:
            try:
                check_experiment(stage, splits, devices)
            except InputError as error:
                raise InputError(f"config.stages.{name}: {error}") from None
    if restart:  # a later one must not go on with what an earlier one had learned
        set_aside(list(folders.values()))
    for number, (name, stage) in enumerate(stages.items(), start=1):
        if parallel.is_primary():
            _LOG.info("stage %d of %d: %s", number, len(stages), name)
        if (
            name not in begun
            and stage.task in tasks.WITH_CONTEXT
            and tasks.CONTEXT not in (initial or ())
        ):
            context = contexts.get(name)
            if stage.context.path in stages:
                context = checkpoints.load(workdir / stage.context.path).variables
                # What the stage before has learned is the encoder.
                initial = None if number > 1 else initial
            initial, partial = _with_context(initial, context, partial=partial)
        result = train(
            stage,
            folders[name],
            splits,
            devices=devices,
            initial=None if name in begun else initial,
            partial=partial,
        )
        if result.interrupted and number < len(stages):
            # One received in a stage's last step finds that finished, and stops before the next.
            return dataclasses.replace(result, finished=False)
        if not result.finished:
            return result
        initial, partial = checkpoints.load(folders[name]).variables, False
    return result


def _with_context(
    initial: Mapping[str, Any] | None, context: Mapping[str, Any] | None, *, partial: bool
) -> tuple[Mapping[str, Any] | None, bool]:
    """Variables to begin with and a frozen encoder's; without the first, all else is drawn."""
    if context is None:
        return initial, partial
    of_network = {name: context[name] for name in ("params", "batch_stats") if name in context}
    return {**(initial or {}), tasks.CONTEXT: of_network}, partial or initial is None
