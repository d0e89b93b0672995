"""Masked pose modelling: keypoints are completed of which joints and whole frames are masked.

P-STMO (Shan et al., ECCV 2022) trains its encoder so before the lifter, on keypoints alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from ml_collections import ConfigDict

from jrepose import losses
from jrepose.data.columns import Batch
from jrepose.data.dataset import PoseDataset
from jrepose.data.flip import flip_poses
from jrepose.errors import InputError
from jrepose.models.pstmo import PSTMO, MaskedPSTMO, masked_frames
from jrepose.skeleton import Skeleton
from jrepose.tasks.lifting import create_model
from jrepose.tasks.task import Clock, Outcome, Variables, of_network

_ERROR = "keypoint_error"


@dataclass(frozen=True, eq=False)
class MaskedPoses:
    """An auto-encoder of keypoints, trained on the distance to what was there.

    It predicts no poses; what it has learned is taken by another stage's `training.init_only`.
    Masks are the same for all clips of a batch, and drawn anew for each; a clip that is scored has
    its own.

    Args:
        model: completes clips; its encoder has the names that it has in the lifter.
        skeleton: joints of the keypoints.
        hidden: frames of a clip that are masked.
        joints: keypoints of every frame that are, drawn from all but the last one.
    """

    model: MaskedPSTMO
    skeleton: Skeleton
    hidden: int
    joints: int

    inputs = columns = ("keypoints",)
    score = _ERROR

    def __post_init__(self):
        if not 0 <= self.joints < self.skeleton.num_joints:
            raise InputError(
                f"config.masking.joints is {self.joints}, expected 0 to "
                f"{self.skeleton.num_joints - 1}: the last of the joints is never masked"
            )

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        return {**self.model.init(key, batch["keypoints"], *self.masks(key)), "objective": {}}

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        del step
        of_masks, of_dropout = jax.random.split(key)
        masks = self.masks(of_masks)
        completed, renewed = self.model.apply(
            of_network(variables),
            batch["keypoints"],
            *masks,
            train=True,
            rngs={"dropout": of_dropout},
            mutable=("batch_stats",),
        )
        error = losses.mpjpe(completed, self._in_order(batch["keypoints"], masks))
        return error, Outcome({_ERROR: error}, renewed)

    def clip_scores(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"], *, flip: bool
    ) -> dict[str, Float[Array, " clips"]]:
        """The mean distance in thousandths of half the image's width, `"keypoint_error"`."""

        def score(keypoints, key):
            masks = self.masks(key)
            completed = self.model.apply(of_network(variables), keypoints[None], *masks)
            if flip:  # under the same masks, as in the released code
                others = flip_poses(keypoints[None], self.skeleton)
                others = self.model.apply(of_network(variables), others, *masks)
                completed = (completed + flip_poses(others, self.skeleton)) / 2
            return 1000 * losses.mpjpe(completed, self._in_order(keypoints[None], masks))

        return {_ERROR: jax.vmap(score)(jnp.asarray(batch["keypoints"]), keys)}

    def masks(
        self, key: Key[Array, ""]
    ) -> tuple[Int[Array, " visible"], Int[Array, " masked"], Bool[Array, "frames joints"]]:
        """Numbers of the visible and of the masked frames in their order, and masked joints."""
        of_frames, of_joints = jax.random.split(key)
        frames, last = self.model.frames, self.skeleton.num_joints - 1
        order = jax.random.permutation(of_frames, frames)
        ranks = jnp.argsort(jax.random.uniform(of_joints, (frames, last)), axis=1)
        return (
            jnp.sort(order[self.hidden :]),
            jnp.sort(order[: self.hidden]),
            jnp.pad(ranks < self.joints, ((0, 0), (0, 1))),
        )

    def _in_order(self, keypoints, masks) -> Float[Array, "clips frames joints 2"]:
        visible, masked, _ = masks
        return jnp.asarray(keypoints)[:, jnp.concatenate([visible, masked]), :, :2]


def from_config(config: ConfigDict, dataset: PoseDataset, clock: Clock | None) -> MaskedPoses:
    """The masked modelling of a config, with the encoder of its model.

    Raises:
        InputError: a model without such an encoder, or values that cannot be.
    """
    del clock
    lifter = create_model(config)
    if not isinstance(lifter, PSTMO):
        raise InputError(
            f"config.task 'masked' trains the encoder of pstmo or pstmo_s, and config.model.name "
            f"is {config.model.name!r}"
        )
    shared = set(MaskedPSTMO.__dataclass_fields__) & set(PSTMO.__dataclass_fields__)
    fields = {name: getattr(lifter, name) for name in shared - {"parent", "name"}}
    return MaskedPoses(
        MaskedPSTMO(**fields),
        dataset.keypoint_skeleton,
        masked_frames(lifter.frames, config.masking.frames),
        config.masking.joints,
    )
