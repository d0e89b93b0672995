"""Lifting: keypoints in, poses out, compared with labels by an objective."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Key
from ml_collections import ConfigDict

from jrepose import models
from jrepose.data import corruption
from jrepose.data.columns import Batch
from jrepose.data.corruption import Corruption
from jrepose.data.dataset import PoseDataset
from jrepose.data.flip import flip_poses
from jrepose.errors import InputError
from jrepose.losses.objective import Objective, create_objective, loss_of
from jrepose.skeleton import Skeleton
from jrepose.tasks.task import Clock, Outcome, Variables, of_network

ROOTS = ("clip_first", "frame")

# What a model may renew while it is trained.
_STATE = ("batch_stats",)


@dataclass(frozen=True, eq=False)
class Lifting:
    """A network from keypoints to poses, trained on labels.

    Args:
        model: called as `model.apply(variables, keypoints, train=..., rngs={"dropout": key})`;
            returns poses, or several outputs by name, `"poses"` among them.
        skeleton: joints of the poses.
        keypoint_skeleton: joints of the keypoints.
        objective: what is minimised; None where nothing is trained.
        root: what labels are relative to, see `relative_labels`.
        clock: the epoch of a step, for the objective's schedules; None: they stand still.
        batch_norm_momentum: by epoch, given to the model as an argument of that name; None: it
            keeps its own.
        corruption: of the model's inputs in training; None leaves them.
    """

    model: nn.Module
    skeleton: Skeleton
    keypoint_skeleton: Skeleton
    objective: Objective | None = None
    root: str = "clip_first"
    clock: Clock | None = None
    batch_norm_momentum: Clock | None = None
    corruption: Corruption | None = None

    inputs = ("keypoints",)
    columns = ("keypoints", "poses")
    score = "mpjpe"

    def __post_init__(self):
        if self.root not in ROOTS:
            raise InputError(
                f"unknown training.root {self.root!r}; expected one of {', '.join(ROOTS)}"
            )
        takes = inspect.signature(type(self.model).__call__).parameters
        if self.batch_norm_momentum is not None and "batch_norm_momentum" not in takes:
            raise InputError(
                "training.batch_norm_momentum is set, and this model has no batch normalisation "
                "whose momentum can be chosen"
            )

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        variables = self.model.init(key, batch["keypoints"], train=False)
        return {**variables, "objective": self.objective.init()}

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        epoch = None if self.clock is None else self.clock(step)
        seen = batch["keypoints"]
        if self.corruption is not None:
            of_corruption, key = jax.random.split(key)
            seen = self.corruption(jnp.asarray(seen), jnp.asarray(batch["poses"]), of_corruption)
        outputs, renewed = self.apply_in_training(
            self.model, of_network(variables), seen, key, epoch
        )
        labels = relative_labels(batch["poses"], self.root, self.skeleton.root)
        total, terms = self.objective(
            variables["objective"], outputs, labels, batch["keypoints"], epoch
        )
        return total, Outcome(terms, renewed)

    def apply_in_training(
        self,
        model: nn.Module,
        variables: Variables,
        keypoints: Float[ArrayLike, "clips frames keypoints channels"],
        key: Key[Array, ""],
        epoch: Float[Array, ""] | None,
    ) -> tuple[Any, Variables]:
        """The outputs of a model that is trained, and the statistics that it renews."""
        options = {}
        if self.batch_norm_momentum is not None:
            options["batch_norm_momentum"] = self.batch_norm_momentum(epoch)
        return model.apply(
            variables, keypoints, train=True, rngs={"dropout": key}, mutable=_STATE, **options
        )

    def predict(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "clips frames_out joints 3"]:
        del keys
        keypoints = batch["keypoints"]
        if not flip:
            return self._poses(variables, keypoints)
        # Both views in one pass of the model.
        both = jnp.concatenate([keypoints, flip_poses(keypoints, self.keypoint_skeleton)])
        poses, mirrored = jnp.split(self._poses(variables, both), 2)
        return 0.5 * (poses + flip_poses(mirrored, self.skeleton))

    def _poses(self, variables: Variables, keypoints):
        return models.main_output(self.model.apply(of_network(variables), keypoints, train=False))


def relative_labels(
    targets: Float[Array, "clips frames joints 3"], root: str, root_joint: int
) -> Float[Array, "clips frames joints 3"]:
    """Labels relative to the root joint.

    Args:
        targets: normalised 2.5D labels.
        root: `"clip_first"` subtracts from every depth in the clip the depth of the root in
            the clip's first frame and leaves x and y (MotionBERT with rootrel False, which
            RePOSE's release evaluates); `"frame"` subtracts each frame's root from all three
            coordinates (rootrel True).
        root_joint: index of the root.
    """
    if root == "frame":
        return targets - targets[:, :, root_joint : root_joint + 1]
    return targets.at[..., 2].add(-targets[:, :1, root_joint, None, 2])


def from_config(config: ConfigDict, dataset: PoseDataset, clock: Clock | None) -> Lifting:
    """The lifting task of a config; without a clock it can only predict.

    Raises:
        InputError: values that cannot be.
    """
    training = config.training
    momentum = None
    if training.batch_norm_momentum is not None:
        last = training.batch_norm_momentum_end
        momentum = momentum_decay(
            training.batch_norm_momentum,
            training.batch_norm_momentum if last is None else last,
            training.epochs,
        )
    model = create_model(config)
    _check_skeletons(model, dataset)
    check_reprojection(config, dataset)
    return Lifting(
        model,
        dataset.skeleton,
        dataset.keypoint_skeleton,
        None if clock is None else batch_objective(config, dataset.skeleton),
        training.root,
        clock,
        momentum,
        corruption.from_config(config.corruption, dataset, config.clip.targets),
    )


def _check_skeletons(model: nn.Module, dataset: PoseDataset) -> None:
    """Refuses data of other joints, where a model knows its joints by name."""
    for field, what, skeleton in (
        ("skeleton_in", "keypoints", dataset.keypoint_skeleton),
        ("skeleton_out", "poses", dataset.skeleton),
    ):
        expected = getattr(model, field, skeleton.name)
        if expected != skeleton.name:
            raise InputError(
                f"config.model.{field} is {expected!r}, and the data's {what} have the joints of "
                f"{skeleton.name!r}"
            )


def check_reprojection(config: ConfigDict, dataset: PoseDataset) -> None:
    """Refuses a loss of poses and keypoints where these do not lie at the same place.

    Raises:
        InputError: the config has it, and another space or root of the labels, or moved inputs.
    """
    weights = config.objective.weights.to_dict()
    wanted = any(
        loss_of(name) == "reprojection_2d" for name in weights if weights[name] is not None
    )
    space, root, shift = dataset.target_space, config.training.root, config.clip.causal_shift
    if wanted and (space != "image" or root != "clip_first" or shift):
        raise InputError(
            "objective.weights.reprojection_2d compares poses with keypoints of the same frames, "
            "which takes image space, training.root=clip_first and no clip.causal_shift; here are "
            f"{space}, {root} and {shift}"
        )


def momentum_decay(first: float, last: float, epochs: int) -> Clock:
    """Batch normalisation's momentum by epoch: first * (last / first) ** (epoch / epochs).

    Constant within an epoch; `momentum` is PyTorch's, the share of the new batch.  VideoPose3D
    (Pavllo et al., CVPR 2019): 0.1 to 0.001.

    Raises:
        InputError: a momentum outside ]0, 1].
    """
    for value in (first, last):
        if not 0 < value <= 1:
            raise InputError(
                f"training.batch_norm_momentum goes from {first} to {last}; both must be above 0 "
                "and at most 1"
            )
    return lambda epoch: first * (last / first) ** (jnp.floor(epoch) / epochs)


def create_model(config: ConfigDict) -> nn.Module:
    """The config's model, computing in the config's precision.

    Raises:
        InputError: unknown model, one that is no lifter, or an unknown hyperparameter or precision.
    """
    if models.kind(config.model.name) != "a lifter":
        raise InputError(
            f"config.model.name is {config.model.name!r}, {models.kind(config.model.name)}; "
            f"expected a lifter, one of {', '.join(models.MODELS)}"
        )
    return create_network(config.model, config.precision)


def create_network(model: ConfigDict, precision: str) -> nn.Module:
    """The network that a part of a config describes, computing in a precision.

    Raises:
        InputError: unknown model, hyperparameter or precision.
    """
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"config.precision is {precision!r}, expected 'float32' or 'bfloat16'")
    return models.create(**{"dtype": precision, **model.to_dict()})


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
        frames, joints = config.clip.targets or config.clip.frames, skeleton.num_joints
        poses = config.training.batch_size * frames * joints
        pairs = {"spatial_ranking": joints, "temporal_ranking": frames}
        for name in weights:
            weights[name] *= poses * pairs[loss] if (loss := loss_of(name)) in pairs else 1
        reduction = "mean"
    return create_objective(
        weights,
        skeleton,
        ranking_reduction=reduction,
        ranking_margin=config.objective.ranking_margin,
        learn_weights=config.objective.learn_weights,
        schedules=config.objective.schedule.to_dict(),
    )
