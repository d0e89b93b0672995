"""Several stages, one after another: each is a run that begins with the one before."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from jrepose import checkpoints, parallel
from jrepose.config import stage_configs
from jrepose.data.dataset import PoseDataset
from jrepose.training.loop import TrainingResult, train

_LOG = logging.getLogger(__name__)


def train_stages(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    splits: Mapping[str, PoseDataset],
    *,
    devices: Sequence[jax.Device] | None = None,
    initial: Mapping[str, Any] | None = None,
    partial: bool = False,
    restart: bool = False,
) -> TrainingResult:
    """`train` for every stage of a config, in `workdir/STAGE`; one run where it has none.

    A stage begins with the best weights of the stage before, or with those of them that its
    `training.init_only` names; step, schedules and the optimiser's moments begin anew.  Started
    again, it goes on where it was stopped, inside any stage.

    Args:
        config, workdir, splits, devices: as for `train`.
        initial, partial: as for `train`, for the first stage.
        restart: as for `train`, for every stage.

    Returns:
        How the last stage that was started ended.

    Raises:
        InputError, DivergedError: as `train`.
    """
    stages = stage_configs(config)
    if not stages:
        return train(
            config, workdir, splits, devices=devices, initial=initial, partial=partial,
            restart=restart,
        )  # fmt: skip
    workdir = pathlib.Path(workdir)
    for number, (name, stage) in enumerate(stages.items(), start=1):
        if parallel.is_primary():
            _LOG.info("stage %d of %d: %s", number, len(stages), name)
        folder = workdir / name
        begun = bool(checkpoints.steps_in(folder / checkpoints.FOLDER)) and not restart
        result = train(
            stage,
            folder,
            splits,
            devices=devices,
            initial=None if begun else initial,
            partial=partial,
            restart=restart,
        )
        if result.interrupted and number < len(stages):
            # One received in a stage's last step finds that finished, and stops before the next.
            return dataclasses.replace(result, finished=False)
        if not result.finished:
            return result
        initial, partial = checkpoints.load(folder).variables, False
    return result
