"""Batched prediction of clips on all devices, with flip augmentation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float32, Int, PyTree

from jrepose import parallel
from jrepose.data.flip import flip_poses
from jrepose.errors import InputError
from jrepose.progress import Progress
from jrepose.skeleton import Skeleton


def predict_clips(
    model: nn.Module,
    variables: PyTree,
    inputs: Float32[np.ndarray, "all_frames keypoints channels"],
    windows: Int[np.ndarray, "clips frames"],
    *,
    batch_size: int,
    flip: bool,
    skeleton: Skeleton,
    keypoint_skeleton: Skeleton | None = None,
    devices: parallel.Devices | None = None,
    progress: bool = False,
) -> Float32[np.ndarray, "clips frames joints 3"]:
    """What the model says about every clip.

    Batches have one fixed size (the last is filled up with repeats), so one program is
    compiled per model and clip length; it is kept between calls.  The next batch is dispatched
    before the result of the last one is fetched.  With several processes, all of them call
    this together and each receives the whole result.

    Args:
        model: called as `model.apply(variables, keypoints, train=False)`.
        variables: its variables, on the host or on one device.
        inputs: keypoints of the whole dataset as the model wants them; x in channel 0,
            0 at the centre of the image.
        windows: frame indices into `inputs`, one row per clip.
        batch_size: clips at a time over all devices together; rounded up to a multiple of
            their number.
        flip: average with the mirrored prediction for the mirrored input (left and right
            joints swapped, channel 0 negated).
        skeleton: tells which joints are left and right.
        keypoint_skeleton: the same for the keypoints; None: they are the same joints.
        devices: devices of all processes; None takes all.
        progress: show how far it is.

    Returns:
        Poses in the units of the model's output.

    Raises:
        InputError: `batch_size` is below one, the windows index frames that do not exist, or
            the model does not return one pose per frame.
    """
    if batch_size < 1:
        raise InputError(f"evaluation.batch_size must be at least 1, got {batch_size}")
    keypoint_skeleton = keypoint_skeleton or skeleton
    if inputs.shape[1] != keypoint_skeleton.num_joints:
        raise InputError(
            f"keypoints have {inputs.shape[1]} joints, skeleton {keypoint_skeleton.name} has "
            f"{keypoint_skeleton.num_joints}"
        )
    clips, frames = windows.shape
    if clips == 0:
        return np.zeros((0, frames, skeleton.num_joints, 3), np.float32)
    if windows.min() < 0 or windows.max() >= len(inputs):
        raise InputError(f"windows index frames outside 0..{len(inputs) - 1}")
    devices = parallel.select_devices() if devices is None else tuple(devices)
    batch_size = -(-min(batch_size, clips) // len(devices)) * len(devices)
    run = _compiled(model, flip, keypoint_skeleton, skeleton, devices)
    placed = parallel.replicate(variables, devices)

    def dispatch(start: int):
        # Rows past the end repeat the last clip; their predictions are cut off below.
        rows = np.minimum(np.arange(start, start + batch_size), clips - 1)
        return run(placed, parallel.shard(inputs[windows[rows]], devices))

    predicted = np.empty((clips, frames, skeleton.num_joints, 3), np.float32)
    starts = range(0, clips, batch_size)
    upcoming = dispatch(0)
    with Progress(clips, "clip", "predict", shown=progress) as bar:
        for start in starts:
            current = upcoming
            if start + batch_size < clips:
                upcoming = dispatch(start + batch_size)
            poses = parallel.unshard(current)[: clips - start]
            if poses.shape[1:] != predicted.shape[1:]:
                raise InputError(
                    f"the model returned poses {poses.shape[1:]} for a clip of "
                    f"{predicted.shape[1:]} (frames, joints, 3)"
                )
            predicted[start : start + len(poses)] = poses
            bar.to(start + len(poses))
    return predicted


@functools.lru_cache(maxsize=8)
def _compiled(
    model: nn.Module,
    flip: bool,
    keypoint_skeleton: Skeleton,
    skeleton: Skeleton,
    devices: tuple[jax.Device, ...],
) -> Callable:
    """The program for one device's share of a batch; kept, so that it is compiled once."""

    def predict(variables, keypoints):
        if not flip:
            return model.apply(variables, keypoints, train=False)
        # Both views in one pass of the model.
        both = jnp.concatenate([keypoints, flip_poses(keypoints, keypoint_skeleton)])
        poses, mirrored = jnp.split(model.apply(variables, both, train=False), 2)
        return 0.5 * (poses + flip_poses(mirrored, skeleton))

    return parallel.data_parallel(predict, devices=devices)
