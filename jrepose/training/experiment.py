"""From a config and a dataset to everything that training needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from jrepose import models, parallel
from jrepose.data.batches import ClipOrder, ResidentBatches, StreamedBatches, create_batches
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import clips_for_training
from jrepose.errors import InputError
from jrepose.losses.objective import Objective, create_objective
from jrepose.skeleton import Skeleton
from jrepose.training.schedule import decay_per_epoch
from jrepose.training.state import TrainState, adamw, create_state
from jrepose.training.step import make_train_step


@dataclass(frozen=True, eq=False)
class Experiment:
    """A training set-up, ready to run.

    Args:
        model: the lifter.
        state: before the first step, on the host.
        order: clips of each step.
        batches: the clips themselves; must be closed.
        step: the data-parallel step, `(state, batches.arrays, selection) -> (state, metrics)`;
            `selection` is `batches.selection(step)` and `stop`, an int32 on every device.
            The state is donated.
        total_steps: steps of the whole run.
        devices: of all processes.
    """

    model: nn.Module
    state: TrainState
    order: ClipOrder
    batches: ResidentBatches | StreamedBatches
    step: Callable[..., Any]
    total_steps: int
    devices: tuple[jax.Device, ...]


def create_model(config: ConfigDict) -> nn.Module:
    """The config's model, computing in the config's precision.

    Raises:
        InputError: unknown model, hyperparameter or precision.
    """
    if config.precision not in ("float32", "bfloat16"):
        raise InputError(
            f"config.precision is {config.precision!r}, expected 'float32' or 'bfloat16'"
        )
    return models.create(**{"dtype": config.precision, **config.model.to_dict()})


def batch_objective(config: ConfigDict, skeleton: Skeleton) -> Objective:
    """The config's objective, so that its mean over parts of a batch is that of the batch.

    Steps average over devices and micro-batches, which is right for means.  A ranking loss
    summed over the batch (`objective.ranking_reduction="sum"`) is therefore written as the
    mean times the number of ordered pairs, the number becoming part of its weight; the log
    shows the mean.

    Raises:
        InputError: unknown loss or reduction, or weights that cannot be.
    """
    given, reduction = config.objective.weights.to_dict(), config.objective.ranking_reduction
    weights = {name: weight for name, weight in given.items() if weight is not None}
    if reduction == "sum":
        frames, joints = config.clip.frames, skeleton.num_joints
        poses = config.training.batch_size * frames * joints
        for name, pairs in (("spatial_ranking", joints), ("temporal_ranking", frames)):
            if name in weights:
                weights[name] *= poses * pairs
        reduction = "mean"
    return create_objective(
        weights,
        skeleton,
        ranking_reduction=reduction,
        learn_weights=config.objective.learn_weights,
    )


def create_experiment(
    config: ConfigDict, dataset: PoseDataset, devices: Sequence[jax.Device] | None = None
) -> Experiment:
    """Builds model, state, batches and step.

    Args:
        config: the whole config.
        dataset: what to train on.
        devices: of all processes; None takes all.

    Raises:
        InputError: values that cannot be, or a batch that does not divide over the devices.
    """
    devices = parallel.select_devices() if devices is None else tuple(devices)
    clip, training = config.clip, config.training
    parts = len(devices) * training.accumulate
    if training.accumulate < 1 or training.batch_size % parts:
        raise InputError(
            f"training.batch_size {training.batch_size} does not divide over {len(devices)} "
            f"devices x training.accumulate {training.accumulate}"
        )
    model = create_model(config)
    objective = batch_objective(config, dataset.skeleton)
    windows = clips_for_training(dataset, clip)
    order = ClipOrder(len(windows), training.batch_size, config.seed, training.flip)
    schedule = decay_per_epoch(
        training.learning_rate,
        training.learning_rate_decay,
        batch_size=training.batch_size,
        clips=order.clips,
    )
    optimizer = adamw(schedule, training.weight_decay)
    state = create_state(
        model,
        objective,
        optimizer,
        clip_shape=(clip.frames, dataset.keypoint_skeleton.num_joints, 3),
        seed=config.seed,
        average=training.ema_decay is not None,
    )
    batches = create_batches(dataset, windows, order, devices, config.data.resident_bytes)
    step = make_train_step(
        model,
        objective,
        optimizer,
        batches.assemble,
        schedule,
        seed=config.seed,
        root=training.root,
        root_joint=dataset.skeleton.root,
        accumulate=training.accumulate,
        gradient_clip=training.gradient_clip,
        ema_decay=training.ema_decay,
        backward_seed=training.backward_seed,
    )
    total_steps = order.steps(training.epochs)
    if training.max_steps is not None:
        total_steps = min(total_steps, training.max_steps)
    return Experiment(
        model=model,
        state=state,
        order=order,
        batches=batches,
        step=parallel.data_parallel(step, devices=devices, donate=(0,)),
        total_steps=total_steps,
        devices=devices,
    )
