"""From a config and datasets to everything that training needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jrepose import parallel, tasks
from jrepose.config import AUTO
from jrepose.data.batches import Batches, ClipOrder, JoinedBatches, create_batches
from jrepose.data.columns import Column, by_split, columns_of
from jrepose.data.dataset import Dataset
from jrepose.data.description import describe
from jrepose.data.sources import UNLABELLED
from jrepose.data.windows import Windows, clips_for_training
from jrepose.errors import InputError, listed
from jrepose.evaluation.detections import detect_dataset, detection_scores
from jrepose.evaluation.evaluate import (
    check_frames,
    check_settings,
    evaluate_dataset,
    score_dataset,
)
from jrepose.evaluation.scores import depth_scores
from jrepose.training.optimizer import Paths, create_optimizer, matching_paths
from jrepose.training.schedule import Epochs, create_schedule
from jrepose.training.state import TrainState, create_state, create_variables, with_variables
from jrepose.training.step import make_train_step

Scores = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Experiment:
    """A training set-up, ready to run.

    Args:
        task: what is learned.
        state: before the first step, on the host.
        order: clips of each step.
        batches: the clips themselves; must be closed.
        make_step: micro-batches -> the data-parallel step, `(state, batches.arrays, selection)
            -> (state, metrics)`; `selection` is `batches.selection(step)` and `stop`, an int32
            on every device.  The state is donated.
        total_steps: steps of the whole run.
        devices: of all processes.
        description: what its checkpoints say of themselves.
        score: the validation score by which a checkpoint is best.
        validate: scores of variables to predict with; None where nothing is held out.
    """

    task: tasks.Trainable
    state: TrainState
    order: ClipOrder
    batches: Batches
    make_step: Callable[[int], Callable[..., Any]]
    total_steps: int
    devices: tuple[jax.Device, ...]
    description: Mapping[str, Any]
    score: str
    validate: Callable[[Mapping[str, Any]], Scores] | None


def create_experiment(
    config: ConfigDict,
    splits: Mapping[str, Dataset],
    devices: Sequence[jax.Device] | None = None,
    *,
    initial: Mapping[str, Any] | None = None,
    partial: bool = False,
) -> Experiment:
    """Builds task, state, batches and step.

    Args:
        config: the whole config.
        splits: `"train"`, and `"validation"` if the run is to be validated.
        devices: of all processes; None takes all.
        initial: variables to begin with; None draws all from the config's seed.
        partial: `initial` may lack some, which are drawn.

    Raises:
        InputError: values that cannot be, or a batch that does not divide over the devices.
    """
    devices = parallel.select_devices() if devices is None else tuple(devices)
    dataset, training = splits["train"], config.training
    plan = _plan(config, splits, devices)
    task, windows, columns, order = plan.task, plan.windows, plan.columns, plan.order
    variables = create_variables(task, plan.clip_of_zeros, seed=config.seed)
    frozen, begun = _named(variables, training)
    _check_validation(task, variables, splits, config)
    if initial is not None:
        if training.init_only:
            initial, partial = _chosen(initial, begun), True
        variables = with_variables(variables, initial, partial=partial)
    schedule = create_schedule(training, plan.epochs)
    optimizer = create_optimizer(training, schedule)
    state = create_state(
        variables, optimizer, average=training.ema_decay is not None, frozen=frozen
    )
    batches = create_batches(columns, windows, order, devices, config.data.resident_bytes)
    batches = _with_other_splits(batches, task, splits, config, devices)

    def make_step(accumulate):
        step = make_train_step(
            task,
            optimizer,
            batches.assemble,
            schedule,
            seed=config.seed,
            accumulate=accumulate,
            gradient_clip=training.gradient_clip,
            ema_decay=training.ema_decay,
            gradient_times_loss=training.gradient_times_loss,
            frozen=frozen,
        )
        return parallel.data_parallel(step, devices=devices, donate=(0,))

    total_steps = order.steps(training.epochs)
    if training.max_steps is not None:
        total_steps = min(total_steps, training.max_steps)

    def validate(variables):
        if isinstance(task, tasks.DetectingTask):
            found = detect_dataset(task, variables, splits["validation"], config, devices=devices)
            return detection_scores(splits["validation"], found, config)
        if isinstance(task, tasks.ScoredTask):
            return score_dataset(task, variables, splits["validation"], config, devices=devices)
        result = evaluate_dataset(task, variables, splits["validation"], config, devices=devices)
        scores = {**result.scores, **depth_scores(result.per_frame)}
        return {name: float(value) for name, value in scores.items()}

    return Experiment(
        task=task,
        state=state,
        order=order,
        batches=batches,
        make_step=make_step,
        total_steps=total_steps,
        devices=devices,
        description=describe(dataset, config),
        # Only poses and keypoints have scores to choose from.
        score=task.score
        if isinstance(task, tasks.ScoredTask)
        else config.evaluation.best_by or task.score,
        validate=validate if "validation" in splits else None,
    )


def check_experiment(
    config: ConfigDict,
    splits: Mapping[str, Dataset],
    devices: Sequence[jax.Device] | None = None,
) -> None:
    """Refuses what `create_experiment` and the first validation would; nothing is computed.

    The arguments and errors are those of `create_experiment`.
    """
    plan = _plan(config, splits, parallel.select_devices() if devices is None else devices)
    create_optimizer(config.training, create_schedule(config.training, plan.epochs))
    variables = jax.eval_shape(plan.task.init, jax.random.key(0), plan.clip_of_zeros)
    _named(variables, config.training)
    _check_validation(plan.task, variables, splits, config)


class _Plan(NamedTuple):
    """What is known of an experiment before anything is drawn."""

    task: tasks.Trainable
    windows: Windows
    columns: Mapping[str, Column]
    order: ClipOrder
    epochs: Epochs
    clip_of_zeros: Mapping[str, np.ndarray]


def _plan(
    config: ConfigDict, splits: Mapping[str, Dataset], devices: Sequence[jax.Device]
) -> _Plan:
    dataset, training = splits["train"], config.training
    accumulate = 1 if training.accumulate == AUTO else training.accumulate
    parallel.parts_of(training.batch_size, len(devices), "training.batch_size", accumulate)
    windows = clips_for_training(dataset, config.clip)
    order = ClipOrder(len(windows.inputs), training.batch_size, config.seed, training.flip)
    epochs = Epochs(training.batch_size, order.clips)
    task = tasks.create(config, dataset, epochs)
    _check_splits(task, splits, config)
    check_settings(config, splits.get("validation", dataset), task)
    columns = columns_of(dataset, by_split(task.columns)["train"])
    clip_of_zeros = {
        name: column.zeros(1, getattr(windows, column.window).shape[1])
        for name, column in columns.items()
    }
    return _Plan(task, windows, columns, order, epochs, clip_of_zeros)


def _named(variables: Mapping[str, Any], training: ConfigDict) -> tuple[Paths, Paths]:
    """The variables that stand still, and those that are taken from weights to begin with.

    Raises:
        InputError: a pattern of the config names nothing.
    """
    of_networks = {name: tree for name, tree in variables.items() if name != "objective"}
    frozen = matching_paths(of_networks, training.freeze, "training.freeze")
    matching_paths({"params": variables["params"]}, training.no_decay, "training.no_decay")
    return frozen, matching_paths(variables, training.init_only, "training.init_only")


def _check_validation(
    task: tasks.Trainable,
    variables: Mapping[str, Any],
    splits: Mapping[str, Dataset],
    config: ConfigDict,
) -> None:
    if "validation" in splits and not isinstance(task, tasks.DetectingTask | tasks.ScoredTask):
        check_frames(task, variables, splits["validation"], config)


def _check_splits(task: tasks.Trainable, splits: Mapping[str, Dataset], config: ConfigDict) -> None:
    """Refuses a split that the task needs and that is not there, or the other way round."""
    wanted = by_split(task.columns)
    for split in wanted:
        if split not in splits:
            raise InputError(
                f"config.data.split.{split} names no subject, and config.task {config.task!r} "
                "learns from their clips"
            )
    if UNLABELLED in splits and UNLABELLED not in wanted:
        raise InputError(
            f"config.data.split.unlabelled names subjects, and config.task {config.task!r} does "
            "not learn from unlabelled clips"
        )


def _with_other_splits(
    batches: Batches,
    task: tasks.Trainable,
    splits: Mapping[str, Dataset],
    config: ConfigDict,
    devices: Sequence[jax.Device],
) -> Batches:
    """The training clips, and as many of every other split that the task learns from."""
    parts = {"train": batches}
    for number, (split, names) in enumerate(by_split(task.columns).items()):
        if split == "train":
            continue
        windows = clips_for_training(splits[split], config.clip)
        order = ClipOrder(
            len(windows.inputs), config.training.batch_size, config.seed, config.training.flip,
            source=number,
        )  # fmt: skip
        parts[split] = create_batches(
            columns_of(splits[split], names), windows, order, devices, config.data.resident_bytes,
            beside=tuple(parts.values()),
        )  # fmt: skip
    return JoinedBatches(parts) if len(parts) > 1 else batches


def _chosen(given: Mapping[str, Any], wanted: Paths) -> dict[str, Any]:
    """Those of the given variables that are wanted.

    Raises:
        InputError: one is not given.
    """
    flat = flatten_dict(dict(given))
    if missing := sorted("/".join(path) for path in wanted if path not in flat):
        raise InputError(
            "training.init_only names what the weights to begin with do not have: "
            + listed(missing)
        )
    return unflatten_dict({path: flat[path] for path in wanted})
