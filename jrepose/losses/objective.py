"""A training objective assembled from configuration: `{loss name: weight}`.

Where a model has several outputs, `OUTPUT/LOSS` names one of them.  Weights can follow the epochs.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, ArrayLike, Float

from jrepose.config_fields import is_number
from jrepose.errors import InputError
from jrepose.frames import middle
from jrepose.losses.anatomy import angle, limb_length, limb_variance
from jrepose.losses.depth_ranking import spatial_ranking, temporal_ranking
from jrepose.losses.joint_weights import joint_weights
from jrepose.losses.motion import angle_velocity, motion, temporal_consistency, velocity
from jrepose.losses.position import (
    joint_l1,
    mean_squared,
    mpjpe,
    n_mpjpe,
    reprojection_2d,
    weighted_mpjpe,
)
from jrepose.skeleton import Skeleton


@dataclass(frozen=True)
class Operands:
    """Everything that a loss in an objective may look at."""

    predicted: Float[ArrayLike, "batch frames joints 3"]
    target: Float[ArrayLike, "batch frames joints 3"]
    keypoints: Float[ArrayLike, "batch input_frames keypoints channels"]
    skeleton: Skeleton
    ranking: tuple[str, float]  # reduction and margin of the ranking losses

    @property
    def poses(self) -> tuple[ArrayLike, ArrayLike]:
        return self.predicted, self.target


def _reprojection_onto_keypoints(operands):
    keypoints = jnp.asarray(operands.keypoints)
    has_confidence = keypoints.shape[-1] > 2
    confidence = keypoints[..., 2:3] if has_confidence else jnp.ones_like(keypoints[..., :1])
    return reprojection_2d(jnp.asarray(operands.predicted)[..., :2], keypoints[..., :2], confidence)


LOSSES: Mapping[str, Callable[[Operands], Float[Array, ""]]] = MappingProxyType(
    {
        "mpjpe": lambda o: mpjpe(*o.poses),
        "n_mpjpe": lambda o: n_mpjpe(*o.poses),
        "weighted_mpjpe": lambda o: weighted_mpjpe(*o.poses, joint_weights(o.skeleton)),
        "joint_l1": lambda o: joint_l1(*o.poses),
        "mean_squared": lambda o: mean_squared(*o.poses),
        "reprojection_2d": _reprojection_onto_keypoints,
        "spatial_ranking": lambda o: spatial_ranking(*o.poses, *o.ranking),
        "temporal_ranking": lambda o: temporal_ranking(*o.poses, *o.ranking),
        "velocity": lambda o: velocity(*o.poses),
        "temporal_consistency": lambda o: temporal_consistency(
            o.predicted, joint_weights(o.skeleton)
        ),
        "motion": lambda o: motion(*o.poses),
        "limb_variance": lambda o: limb_variance(o.predicted, o.skeleton),
        "limb_length": lambda o: limb_length(*o.poses, o.skeleton),
        "angle": lambda o: angle(*o.poses, o.skeleton),
        "angle_velocity": lambda o: angle_velocity(*o.poses, o.skeleton),
    }
)
"""Every loss that an objective can name."""


MAIN_OUTPUT = "poses"
"""The output of a model that is its prediction; a loss without OUTPUT/ is of this one."""

Points = Sequence[Any]
"""A schedule: (epoch, factor) in the order of time, see `piecewise_linear`."""


@dataclass(frozen=True, eq=False)
class Objective:
    """A weighted sum of losses; make it with `create_objective`.

    Pure and meant to be called inside a jitted step.
    """

    weights: Mapping[str, float]
    skeleton: Skeleton
    ranking_reduction: str
    ranking_margin: float
    learn_weights: tuple[str, ...]
    schedules: Mapping[str, Points]

    def init(self) -> dict[str, Float[Array, ""]]:
        """Parameters of the objective: a log variance s for each learned weight, else empty.

        They are ordinary parameters for the optimiser; weight decay would pull the learned
        weights towards 1.
        """
        return {
            name: jnp.asarray(-math.log(self.weights[name]), jnp.float32)
            for name in self.learn_weights
        }

    def __call__(
        self,
        params: Mapping[str, Float[Array, ""]],
        predicted: Float[ArrayLike, "batch frames joints 3"]
        | Mapping[str, Float[ArrayLike, "batch _ joints 3"]],
        target: Float[ArrayLike, "batch target_frames joints 3"],
        keypoints: Float[ArrayLike, "batch input_frames joints_2d channels"],
        epoch: Float[ArrayLike, ""] | float | None = None,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The objective of a batch.

        Args:
            params: what `init` gave, possibly trained since.
            predicted: poses, or several outputs by name, `"poses"` among them.  An output of
                fewer frames is compared with the middle ones of the target.
            target: poses in the same unit, depth in channel 2.
            keypoints: the model's inputs x, y and, if there is a third channel, confidence.
                Only `reprojection_2d` looks at them.
            epoch: where the schedules stand; None: every weight as configured.

        Returns:
            The total, and by name every term before weighting, those of weight 0 included, plus
            the present weight of each learned or scheduled term as `"weight/NAME"`.

        Raises:
            InputError: an output that is not there, or shapes that do not fit together.
        """
        outputs = predicted if isinstance(predicted, Mapping) else {MAIN_OUTPUT: predicted}
        operands = {
            name: self._operands(outputs, name, target, keypoints)
            for name in dict.fromkeys(_output_of(key) for key in self.weights)
        }
        terms = {key: LOSSES[loss_of(key)](operands[_output_of(key)]) for key in self.weights}
        total = jnp.zeros((), jnp.float32)
        for name, weight in self.weights.items():
            if name in self.learn_weights:
                log_variance = params[name]
                terms[f"weight/{name}"] = jnp.exp(-log_variance)
                total += jnp.exp(-log_variance) * terms[name] + log_variance
            elif weight:
                if name in self.schedules and epoch is not None:
                    weight = weight * piecewise_linear(self.schedules[name], epoch)
                    terms[f"weight/{name}"] = weight
                total += weight * terms[name]
        return total, terms

    def _operands(self, outputs, name, target, keypoints) -> Operands:
        if name not in outputs:
            raise InputError(
                f"objective: the model has no output {name!r}; it has {', '.join(outputs)}"
            )
        frames = jnp.shape(outputs[name])[1]
        return Operands(
            outputs[name],
            middle(jnp.asarray(target), frames),
            middle(jnp.asarray(keypoints), frames),
            self.skeleton,
            (self.ranking_reduction, self.ranking_margin),
        )


def piecewise_linear(points: Points, epoch: Float[ArrayLike, ""] | float) -> Float[Array, ""]:
    """A factor that follows the epochs: straight lines between points, constant outside them.

    A ramp from epoch 5 to 10 is `((5, 0), (10, 1))`; two points at the same epoch are a step,
    taken at that epoch: `((5, 0), (5, 1))`.

    Args:
        points: (epoch, factor), epochs ascending; at least one.
        epoch: the present one, fractions included.
    """
    factor = jnp.asarray(points[0][1], jnp.float32)
    for (start, before), (end, after) in itertools.pairwise(points):
        share = (epoch - start) / (end - start) if end > start else 1.0
        line = before + (after - before) * jnp.clip(share, 0.0, 1.0)
        factor = jnp.where(epoch >= start, line, factor)
    return factor


def _output_of(key: str) -> str:
    return key.rpartition("/")[0] or MAIN_OUTPUT


def loss_of(key: str) -> str:
    """The loss that a key of an objective names, `LOSS` or `OUTPUT/LOSS`."""
    return key.rpartition("/")[2]


def create_objective(
    weights: Mapping[str, float | int] | ml_collections.ConfigDict,
    skeleton: Skeleton,
    *,
    ranking_reduction: str = "mean",
    ranking_margin: float = 0.0,
    learn_weights: Sequence[str] = (),
    schedules: Mapping[str, Points] | None = None,
) -> Objective:
    """The objective sum over names of weight * loss.

    RePOSE (ECCV 2024, equation 4) trains with
    `{"mpjpe": 1, "spatial_ranking": 20, "temporal_ranking": 20}`, MotionBERT (ICCV 2023) with
    `{"mpjpe": 1, "n_mpjpe": 0.5, "velocity": 20}`, MixSTE (CVPR 2022) with
    `{"weighted_mpjpe": 1, "temporal_consistency": 0.5, "velocity": 2}`.

    Args:
        weights: loss names (see `LOSSES`), or `OUTPUT/LOSS`, and their weights.  A loss of
            weight 0 is evaluated and reported but does not enter the total: a metric to watch.
        skeleton: joint order of the poses.
        ranking_reduction: `"mean"` (the released RePOSE code, for which 20 is meant) or `"sum"`
            (the paper's equations) over the pairs of the ranking losses.
        ranking_margin: of the ranking losses, in the poses' unit; 0 as published.
        learn_weights: names whose weight is learned by homoscedastic uncertainty (Kendall et
            al., CVPR 2018): the term enters as exp(-s) * loss + s with a trained scalar s, the
            log variance of that loss.  exp(-s) starts at the configured weight and settles where
            it is one over the loss, so losses come to count equally whatever their units.
        schedules: factors of weights by epoch, see `piecewise_linear`; no points: constant.

    Raises:
        InputError: an unknown loss, a weight that is not a finite number of at least 0, nothing
            to minimise, a learned weight that is not configured, starts at 0 or has a schedule, a
            schedule of no weight or whose epochs do not ascend, an unknown reduction, a negative
            margin, or a loss that the skeleton has no numbers for.
    """
    weights = dict(weights.items())
    for name, weight in weights.items():
        if loss_of(name) not in LOSSES:
            raise InputError(f"objective: unknown loss {name!r}; known: {', '.join(LOSSES)}")
        if not (is_number(weight) and 0 <= weight < math.inf):
            raise InputError(
                f"objective: weight of {name} is {weight!r}; expected a finite number >= 0"
            )
    if not any(weights.values()):
        raise InputError("objective: no loss has a weight above 0, nothing to minimise")
    for name in learn_weights:
        if not weights.get(name):
            raise InputError(
                f"objective: learn_weights names {name!r}, which has no weight above 0 to start at"
            )
    schedules = {name: points for name, points in (schedules or {}).items() if len(points)}
    for name, points in schedules.items():
        if not weights.get(name) or name in learn_weights:
            raise InputError(
                f"objective: schedule of {name!r}, which has no weight above 0 or a learned one"
            )
        _check_points(name, points)
    if ranking_reduction not in ("mean", "sum"):
        raise InputError(
            f"objective: unknown ranking_reduction {ranking_reduction!r}; expected mean or sum"
        )
    if not 0 <= ranking_margin < math.inf:
        raise InputError(
            f"objective: ranking_margin is {ranking_margin!r}; expected a finite number >= 0"
        )
    if {"weighted_mpjpe", "temporal_consistency"} & {loss_of(name) for name in weights}:
        joint_weights(skeleton)  # refuses a skeleton without
    return Objective(
        MappingProxyType({name: float(weight) for name, weight in weights.items()}),
        skeleton,
        ranking_reduction,
        float(ranking_margin),
        tuple(dict.fromkeys(learn_weights)),
        MappingProxyType(schedules),
    )


_LARGEST = 1e30  # in schedules; float32 holds it


def _check_points(name: str, points: Points) -> None:
    numbers_only = all(
        isinstance(point, Sequence)
        and len(point) == 2
        and all(isinstance(value, numbers.Real) and abs(value) < _LARGEST for value in point)
        for point in points
    )
    if not numbers_only or any(factor < 0 for _, factor in points):
        raise InputError(
            f"objective: schedule of {name} is {tuple(points)!r}; expected pairs (epoch, factor), "
            "finite numbers with factors of at least 0"
        )
    epochs = [epoch for epoch, _ in points]
    if epochs != sorted(epochs):
        raise InputError(f"objective: schedule of {name}: the epochs {epochs} do not ascend")
