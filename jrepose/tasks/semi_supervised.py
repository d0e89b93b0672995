"""Semi-supervised lifting: clips with and without ground truth in every batch.

VideoPose3D (Pavllo et al., CVPR 2019, section 4).  A second network predicts where the root is,
so that the poses of unlabelled clips can be projected onto their keypoints; their limbs are to be
as long as the labelled ones on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Key
from ml_collections import ConfigDict

from jrepose.data.columns import Batch
from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError
from jrepose.losses import semi_supervised as losses
from jrepose.tasks import lifting
from jrepose.tasks.lifting import Lifting, relative_labels
from jrepose.tasks.task import Clock, Outcome, Variables

# What the trajectory network renews.  Its parameters are the objective's: trained, and of no use
# to predict poses with.
STATISTICS = "trajectory_batch_stats"
NETWORK = "trajectory"

# Terms of unlabelled clips.
_UNLABELLED = ("back_projection", "limb_lengths")


@dataclass(frozen=True, eq=False, kw_only=True)
class SemiSupervised(Lifting):
    """A network from keypoints to poses, trained on labels and on keypoints without.

    Both networks see labelled and unlabelled clips as one batch, whose statistics normalise them.
    It predicts as `Lifting` does, by the pose network alone.

    Args:
        trajectory_model: from the same keypoints to the root's position in camera axes.
        weights: of the terms `trajectory`, `back_projection` and `limb_lengths`, beside the
            objective of the labelled poses; 0 leaves out.
        warmup_epochs: before which only labelled clips are seen.
        distortion: whether the poses are projected with the lens's distortion.
    """

    trajectory_model: nn.Module
    weights: Mapping[str, float]
    warmup_epochs: float
    distortion: bool = True

    columns = (
        "keypoints",
        "poses",
        "trajectory",
        "unlabelled/keypoints",
        "unlabelled/target_keypoints",
        "unlabelled/intrinsics",
    )

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        variables = super().init(key, batch)
        key = jax.random.fold_in(key, 1)
        trajectory = self.trajectory_model.init(key, batch["keypoints"], train=False)
        objective = {**variables["objective"], NETWORK: trajectory["params"]}
        return {**variables, "objective": objective, STATISTICS: trajectory["batch_stats"]}

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        epoch = self.clock(step)

        def of(keypoints):
            return lambda: self._loss(variables, batch, keypoints, key, epoch)

        labelled = jnp.asarray(batch["keypoints"])
        everything = of(jnp.concatenate([labelled, batch["unlabelled/keypoints"]]))
        if not self.warmup_epochs:
            return everything()
        return lax.cond(epoch < self.warmup_epochs, of(labelled), everything)

    def _loss(
        self,
        variables: Variables,
        batch: Batch,
        keypoints: Float[Array, "seen frames joints channels"],
        key: Key[Array, ""],
        epoch: Float[ArrayLike, ""],
    ) -> tuple[Float[Array, ""], Outcome]:
        """Of the labelled clips, or of them and the unlabelled ones behind them."""
        pose_key, trajectory_key = jax.random.split(key)
        of_poses = {name: variables[name] for name in ("params", "batch_stats")}
        of_objective = dict(variables["objective"])
        of_roots = {"params": of_objective.pop(NETWORK), "batch_stats": variables[STATISTICS]}
        poses, renewed = self.apply_in_training(self.model, of_poses, keypoints, pose_key, epoch)
        roots, of_roots = self.apply_in_training(
            self.trajectory_model, of_roots, keypoints, trajectory_key, epoch
        )
        labelled = len(batch["keypoints"])
        labels = relative_labels(batch["poses"], self.root, self.skeleton.root)
        total, terms = self.objective(
            of_objective, poses[:labelled], labels, batch["keypoints"], epoch
        )
        found = {"trajectory": losses.trajectory(roots[:labelled], batch["trajectory"])}
        if len(keypoints) > labelled:
            found["back_projection"] = losses.back_projection(
                poses[labelled:],
                roots[labelled:],
                batch["unlabelled/target_keypoints"][..., :2],
                batch["unlabelled/intrinsics"][:, 0],
                distortion=self.distortion,
            )
            found["limb_lengths"] = losses.mean_limb_lengths(
                poses[:labelled],
                poses[labelled:],
                self.skeleton,
                self.model.batch_norm_axis or None,
            )
        else:
            found |= dict.fromkeys(_UNLABELLED, jnp.zeros((), jnp.float32))
        total += sum(self.weights[name] * value for name, value in found.items())
        collections = {**renewed, STATISTICS: of_roots["batch_stats"]}
        return total, Outcome({**terms, **found}, collections)


def from_config(config: ConfigDict, dataset: PoseDataset, clock: Clock | None) -> SemiSupervised:
    """The semi-supervised task of a config; without a clock it can only predict.

    Raises:
        InputError: values that cannot be, a model that cannot predict a trajectory, or data
            whose poses cannot be projected onto its keypoints.
    """
    if dataset.target_space != "camera_m" or config.training.root != "frame":
        raise InputError(
            "config.task 'semi_supervised' projects poses relative to their root, in metres; "
            "expected config.data.target_space 'camera_m' and config.training.root 'frame', got "
            f"{dataset.target_space!r} and {config.training.root!r}"
        )
    if dataset.scaling != "screen":
        raise InputError(
            "config.task 'semi_supervised' projects poses onto keypoints in screen units; "
            f"config.data.scaling is {dataset.scaling!r}, expected 'screen'"
        )
    supervised = lifting.from_config(config, dataset, clock)
    model = supervised.model
    if not hasattr(model, "num_joints_out"):
        raise InputError(
            f"config.task 'semi_supervised' needs a model that can predict one joint, the root: "
            f"videopose3d; config.model.name is {config.model.name!r}"
        )
    settings = config.semi_supervised
    return SemiSupervised(
        **vars(supervised),
        trajectory_model=model.clone(num_joints_out=1),
        weights={name: settings[name] for name in ("trajectory", *_UNLABELLED)},
        warmup_epochs=settings.warmup_epochs,
        distortion=settings.distortion,
    )
