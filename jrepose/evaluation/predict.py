"""Batched prediction of clips on all devices, with flip augmentation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Int32, Key, PyTree

from jrepose import parallel
from jrepose.data.columns import Column
from jrepose.errors import InputError
from jrepose.frames import middle
from jrepose.progress import Progress
from jrepose.tasks import DetectingTask, ScoredTask, Task


def predict_clips(
    task: Task,
    variables: PyTree,
    columns: Mapping[str, Column],
    windows: Int[np.ndarray, "clips frames"],
    *,
    targets: int,
    batch_size: int,
    flip: bool,
    seed: int = 0,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> Float32[np.ndarray, "*hypotheses clips targets joints 3"]:
    """What the task says about every clip.

    Batches have one fixed size (the last is filled up with repeats), so one program is
    compiled per task and clip length; it is kept between calls.  The next batch is dispatched
    before the result of the last one is fetched.  Only the frames that are asked for are kept.
    With several processes, all of them call this together and each receives the whole result.

    Args:
        task: called as `task.predict(variables, batch, keys, flip=flip)`.
        variables: what it predicts with, on the host or on one device.
        columns: its inputs by name, of the whole dataset.
        windows: frame indices of the inputs, one row per clip.
        targets: how many frames, the middle ones of what the task gives, are wanted.
        batch_size: clips at a time over all devices together; rounded up to a multiple of
            their number.
        flip: average with the mirrored prediction for the mirrored input (left and right
            joints swapped, channel 0 negated).
        seed: of what is drawn at random; the draws for a clip depend on seed and clip only.
        devices: devices of all processes; None takes all.
        progress: show how far it is.

    Returns:
        Poses in the units of the task's output.

    Raises:
        InputError: `batch_size` is below one, there is no clip, the windows index frames that do
            not exist, or the task gives fewer frames than are wanted.
    """
    clips, frames = windows.shape
    devices = parallel.select_devices() if devices is None else tuple(devices)
    run = _compiled(task, flip, targets, seed, devices)
    predicted = None
    with Progress(clips, "clip", "predict", shown=progress) as bar:
        for start, poses in _in_batches(run, variables, columns, windows, batch_size, devices):
            if predicted is None:
                predicted = np.empty((clips, *poses.shape[1:]), np.float32)
            require_frames(poses.shape[-3], frames, targets)
            predicted[start : start + len(poses)] = poses
            bar.to(start + len(poses))
    return predicted if predicted.ndim == 4 else np.moveaxis(predicted, 1, 0)


def require_frames(given: int, frames: int, targets: int) -> None:
    """Checks how many frames a model gives for a clip.

    Raises:
        InputError: others than the targets.
    """
    if given != targets:
        raise InputError(
            f"the model returned {given} frames for a clip of {frames}, of which {targets} are to "
            "be scored; see clip.targets and the model's clip length"
        )


def score_clips(
    task: ScoredTask,
    variables: PyTree,
    columns: Mapping[str, Column],
    windows: Int[np.ndarray, "clips frames"],
    *,
    batch_size: int,
    flip: bool,
    seed: int = 0,
    devices: parallel.Devices | None = None,
) -> dict[str, float]:
    """The mean over all clips of the scores that the task gives them.

    Args:
        task: called as `task.clip_scores(variables, batch, keys, flip=flip)`.
        variables, columns, windows, batch_size, flip, seed, devices: as for `predict_clips`.

    Raises:
        InputError: as `predict_clips`.
    """
    devices = parallel.select_devices() if devices is None else tuple(devices)
    run = _compiled_method(task, "clip_scores", flip, seed, devices)
    sums: dict[str, float] = {}
    for _, scores in _in_batches(run, variables, columns, windows, batch_size, devices):
        for name, values in scores.items():
            sums[name] = sums.get(name, 0.0) + float(values.sum(dtype=np.float64))
    return {name: total / len(windows) for name, total in sums.items()}


def detect_clips(
    task: DetectingTask,
    variables: PyTree,
    columns: Mapping[str, Column],
    windows: Int[np.ndarray, "clips frames"],
    *,
    batch_size: int,
    flip: bool,
    seed: int = 0,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> Float32[np.ndarray, "clips frames views joints 2"]:
    """The keypoints that the task finds in every clip.

    Args:
        task: called as `task.detect(variables, batch, keys, flip=flip)`.
        variables, columns, windows, batch_size, flip, seed, devices, progress: as for
            `predict_clips`.

    Raises:
        InputError: as `predict_clips`.
    """
    devices = parallel.select_devices() if devices is None else tuple(devices)
    run = _compiled_method(task, "detect", flip, seed, devices)
    found = []
    with Progress(len(windows), "clip", "detect", shown=progress) as bar:
        for start, keypoints in _in_batches(
            run, variables, columns, windows, batch_size, devices
        ):  # fmt: skip
            found.append(np.asarray(keypoints, np.float32))
            bar.to(start + len(keypoints))
    return np.concatenate(found)


def _in_batches(
    run: Callable,
    variables: PyTree,
    columns: Mapping[str, Column],
    windows: Int[np.ndarray, "clips frames"],
    batch_size: int,
    devices: tuple[jax.Device, ...],
) -> Iterator[tuple[int, PyTree]]:
    """The first clip of every batch, and what a program says about its clips."""
    if batch_size < 1:
        raise InputError(f"evaluation.batch_size must be at least 1, got {batch_size}")
    clips = len(windows)
    if clips == 0:
        raise InputError("no clip to predict: no video has a frame to be scored")
    known = min(len(column.values) for column in columns.values())
    if windows.min() < 0 or windows.max() >= known:
        raise InputError(f"windows index frames outside 0..{known - 1}")
    batch_size = -(-min(batch_size, clips) // len(devices)) * len(devices)
    placed = parallel.replicate(variables, devices)

    def dispatch(start: int):
        # Rows past the end repeat the last clip; their predictions are cut off below.
        rows = np.minimum(np.arange(start, start + batch_size), clips - 1)
        batch = {name: column.values[windows[rows]] for name, column in columns.items()}
        return run(placed, parallel.shard((batch, rows.astype(np.int32)), devices))

    upcoming = dispatch(0)
    for start in range(0, clips, batch_size):
        current = upcoming
        if start + batch_size < clips:
            upcoming = dispatch(start + batch_size)
        left = clips - start
        yield start, jax.tree.map(lambda leaf, left=left: leaf[:left], parallel.unshard(current))


@functools.lru_cache(maxsize=8)
def _compiled(
    task: Task, flip: bool, targets: int, seed: int, devices: tuple[jax.Device, ...]
) -> Callable:
    """The program for one device's share of a batch; kept, so that it is compiled once."""

    def predict(variables, clips):
        batch, numbers = clips
        poses = task.predict(variables, batch, _keys(seed, numbers), flip=flip)
        if poses.ndim == 4:
            return middle(poses, targets)
        # Clips lead on the way to the host, whatever stands before them.
        return jax.vmap(lambda clip: middle(clip, targets))(jnp.moveaxis(poses, 0, 1))

    return parallel.data_parallel(predict, devices=devices)


@functools.lru_cache(maxsize=8)
def _compiled_method(
    task: ScoredTask | DetectingTask,
    method: str,
    flip: bool,
    seed: int,
    devices: tuple[jax.Device, ...],
) -> Callable:
    """As `_compiled`, of what a method of the task says as it is."""

    def run(variables, clips):
        batch, numbers = clips
        return getattr(task, method)(variables, batch, _keys(seed, numbers), flip=flip)

    return parallel.data_parallel(run, devices=devices)


def _keys(seed: int, numbers: Int32[Array, " clips"]) -> Key[Array, " clips"]:
    """A key of its own for every clip."""
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(numbers)
