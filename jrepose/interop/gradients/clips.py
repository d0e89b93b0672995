"""The batches that both sides see: those that training on the config would see."""

from __future__ import annotations

import jax
import numpy as np
from ml_collections import ConfigDict

from jrepose.data.batches import ClipOrder, StreamedBatches
from jrepose.data.columns import columns_of
from jrepose.data.dataset import PoseDataset
from jrepose.data.windows import clips_for_training
from jrepose.errors import InputError
from jrepose.interop.gradients.side import Clips
from jrepose.tasks.lifting import ROOTS, relative_labels


def training_clips(config: ConfigDict, dataset: PoseDataset, steps: int) -> list[Clips]:
    """The first batches of a training run.

    Args:
        config: the whole config; read are `clip`, `seed` and of `training` the batch size, the
            flip and the root.
        dataset: the training split.
        steps: how many batches.

    Raises:
        InputError: values that cannot be, or no clip of that length.
    """
    clip, training = config.clip, config.training
    if training.root not in ROOTS:
        raise InputError(f"training.root is {training.root!r}, expected {' or '.join(ROOTS)}")
    windows = clips_for_training(dataset, clip)
    batches = StreamedBatches(
        columns_of(dataset, ("keypoints", "poses")),
        windows,
        ClipOrder(len(windows.inputs), training.batch_size, config.seed, training.flip),
        jax.devices()[:1],
    )
    try:
        # The selection's leading axis is that of the devices, of which there is one.
        found = [
            batches.assemble({}, jax.tree.map(lambda part: part[0], batches.selection(step)))
            for step in range(steps)
        ]
    finally:
        batches.close()
    return [
        Clips(
            np.asarray(batch["keypoints"]),
            np.asarray(relative_labels(batch["poses"], training.root, dataset.skeleton.root)),
        )
        for batch in found
    ]
