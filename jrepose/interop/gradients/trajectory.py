"""Two training runs from the same weights on the same batches, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from jrepose.interop.gradients.measures import by_layer
from jrepose.interop.gradients.side import Gradient, TrainingStep


@dataclass(frozen=True)
class TrajectoryStep:
    """One optimiser step of both runs.

    Args:
        step: 1-based.
        total_jax, total_torch: the objective before the step.
        terms_jax, terms_torch: its terms before weighting.
        drift: ||ours - theirs|| / ||theirs|| over all parameters after the step.
        drift_per_way: the same distance over the way that PyTorch's have gone from the start.
        layers: `drift_per_way` of every layer.
    """

    step: int
    total_jax: float
    total_torch: float
    terms_jax: Mapping[str, float]
    terms_torch: Mapping[str, float]
    drift: float
    drift_per_way: float
    layers: Mapping[str, float]

    @property
    def loss_error(self) -> float:
        """Relative difference of the objectives."""
        difference = abs(self.total_jax - self.total_torch)
        return difference / abs(self.total_torch) if difference else 0.0


def compare_runs(
    ours: Iterable[TrainingStep],
    theirs: Iterable[TrainingStep],
    start: Gradient,
    weights: Mapping[str, float],
) -> list[TrajectoryStep]:
    """Walks through two runs in step.

    Args:
        ours, theirs: the runs; they are taken in turn, so only one step is in memory.
        start: the parameters before the first step.
        weights: of the terms in the objective.
    """
    begun = by_layer(start)
    steps = []
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1):
        totals = [sum(weights[name] * side.terms[name] for name in weights) for side in (a, b)]
        here, there = by_layer(a.parameters), by_layer(b.parameters)
        apart = {layer: _square(here[layer] - there[layer]) for layer in begun}
        way = {layer: _square(there[layer] - begun[layer]) for layer in begun}
        whole = sum(apart.values())
        steps.append(
            TrajectoryStep(
                step=number,
                total_jax=totals[0],
                total_torch=totals[1],
                terms_jax=a.terms,
                terms_torch=b.terms,
                drift=_ratio(whole, sum(map(_square, there.values()))),
                drift_per_way=_ratio(whole, sum(way.values())),
                layers={layer: _ratio(apart[layer], way[layer]) for layer in begun},
            )
        )
    return steps


def _square(vector: np.ndarray) -> float:
    return float(np.sum(vector.astype(np.float64) ** 2))


def _ratio(square: float, square_of_whole: float) -> float:
    """The root of the ratio of two squares; 0 of 0 is 0."""
    if square == 0:
        return 0.0
    return math.sqrt(square / square_of_whole) if square_of_whole else math.inf
