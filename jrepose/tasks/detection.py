"""Detection: joints of a person in the images of synchronised cameras, clip by clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from ml_collections import ConfigDict

from jrepose.data.columns import Batch
from jrepose.data.images.dataset import ImageDataset, mirrored_images, mirrored_joints
from jrepose.errors import InputError
from jrepose.models.multiview import normalised
from jrepose.skeleton import Skeleton
from jrepose.tasks.lifting import create_network
from jrepose.tasks.task import Clock, Outcome, Variables, of_network


@dataclass(frozen=True, eq=False)
class Detection:
    """A detector, trained on the squared error of its keypoints in pixels of the crops.

    Args:
        model: see `models.DETECTORS`.
        skeleton: joints.
        visible_only: joints that are not seen do not count; otherwise all do of every image that
            there is, as in the released code.
        keep: step -> share of the patches that the model keeps; None: always its own.
    """

    model: nn.Module
    skeleton: Skeleton
    visible_only: bool = True
    keep: Callable[[Int[Array, ""]], Float[Array, ""]] | None = None

    inputs = ("images", "views_seen")
    columns = (*inputs, "joints_px", "joints_seen")
    score = "pck_box"

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        return {**self.model.init(key, normalised(batch["images"])), "objective": {}}

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        """The mean squared error of a clip's coordinates, px², and of these the mean.

        So it is the same however a batch is shared out.
        """
        keep = None if self.keep is None else self.keep(step)
        found = self.model.apply(
            of_network(variables),
            normalised(batch["images"]),
            batch["views_seen"],
            True,
            keep=keep,
            rngs={"dropout": key},
        )
        counts = self._counted(batch)
        # Where nothing is known a label may be anything, not a number even.
        labels = jnp.where(counts[..., None], jnp.asarray(batch["joints_px"]), 0)
        error = jnp.where(counts, jnp.square(found - labels).mean(-1), 0)
        of_clips = (1, 2, 3)
        error = error.sum(of_clips) / jnp.maximum(counts.sum(of_clips), 1)
        terms = {"mse": error.mean()}
        if keep is not None:
            terms["weight/kept_patches"] = keep
        return terms["mse"], Outcome(terms, {})

    def _counted(self, batch: Batch) -> Bool[Array, "clips frames views joints"]:
        views = jnp.asarray(batch["views_seen"])[..., None]
        seen = jnp.asarray(batch["joints_seen"])
        return views & seen if self.visible_only else jnp.broadcast_to(views, seen.shape)

    def detect(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "clips frames views joints 2"]:
        """Keypoints in pixels of the crops.

        Args:
            variables, batch, keys: as for `Task.predict`.
            flip: average with what is found in the mirrored images.
        """
        del keys
        images, seen = normalised(batch["images"]), batch["views_seen"]
        found = self.model.apply(of_network(variables), images, seen)
        if flip:
            mirrored = self.model.apply(of_network(variables), mirrored_images(images), seen)
            others = mirrored_joints(mirrored, self.skeleton, images.shape[-2])
            found = (found + others) / 2
        return found


def from_config(config: ConfigDict, dataset: ImageDataset, clock: Clock | None) -> Detection:
    """The detection of a config.

    Patches are all kept while the rate warms up; after that their share falls to the model's, half
    a cosine to the end of the training (EViT's schedule, which the released code has and does not
    use).

    Raises:
        InputError: a model that is no detector, or that is for other images.
    """
    model = create_network(config.model, config.precision)
    joints, views, sizes = dataset.joints_px.shape[2], dataset.images.shape[1], dataset.images.shape
    for field, wanted, found in (
        ("num_joints", model.num_joints, joints),
        ("img_size", model.img_size, sizes[2]),
    ):
        if wanted != found:
            raise InputError(f"config.model.{field} is {wanted}, the images' is {found}")
    if views > model.views:
        raise InputError(
            f"config.model.views is {model.views}, and the images are of {views} cameras; "
            "config.data.images.cameras or config.data.rig.cameras says fewer"
        )
    if model.placed and config.clip.frames > model.frames:
        raise InputError(
            f"config.clip.frames is {config.clip.frames}, config.model.frames only {model.frames}"
        )
    return Detection(
        model,
        dataset.skeleton,
        config.detection.visible_only,
        None if clock is None or model.keep == 1 else _falling(config, model.keep, clock),
    )


def _falling(config: ConfigDict, share: float, clock: Clock) -> Callable:
    warm = config.training.schedule.warmup_epochs
    left = max(config.training.epochs - warm, 1e-6)

    def keep(step):
        done = jnp.clip((clock(step) - warm) / left, 0, 1)
        return share + (1 - share) * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return keep
