"""What was found, and why the frameworks do not agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jrepose.interop.gradients.edge_cases import EdgeResult
from jrepose.interop.gradients.measures import ParameterError, relative_error
from jrepose.interop.gradients.ranking_lens import RankingLens
from jrepose.interop.gradients.terms import LayerPush
from jrepose.interop.gradients.trajectory import TrajectoryStep

DRIFT = 100
"""Losses of a training run may differ by this many times the tolerance: errors accumulate."""


@dataclass(frozen=True, eq=False)
class PrecisionResult:
    """Both frameworks in one precision.

    Args:
        name: of `both_sides.PRECISIONS`.
        tolerance: largest relative error that counts as agreement.
        terms_jax, terms_torch: the loss terms before weighting.
        poses: relative distance between the predictions.
        whole: relative distance between the gradients of all parameters in one vector.
        cosine: of the angle between them.
        jax_error, torch_error: distance of each from the reference; None where it has none.
        parameters: the worst first.
    """

    name: str
    tolerance: float
    terms_jax: Mapping[str, float]
    terms_torch: Mapping[str, float]
    poses: float
    whole: float
    cosine: float
    jax_error: float | None
    torch_error: float | None
    parameters: Sequence[ParameterError]

    @property
    def losses(self) -> float:
        """Largest relative difference of a loss term."""
        return max(
            relative_error(np.array([value]), np.array([self.terms_torch[term]]))
            for term, value in self.terms_jax.items()
        )

    @property
    def differing(self) -> list[ParameterError]:
        return [parameter for parameter in self.parameters if not parameter.agrees]

    @property
    def noise(self) -> list[ParameterError]:
        return [parameter for parameter in self.parameters if parameter.noise]

    @property
    def largest_noise(self) -> float:
        """Largest norm of a gradient that is truly zero."""
        return max(max(error.norm_jax, error.norm_torch) for error in self.noise)


@dataclass(eq=False)
class Findings:
    """Everything that was found.

    Args:
        setup: what was compared, as text by name.
        joint_names: of the poses.
        weights: of the loss terms.
        tolerance: largest relative error in float32 that counts as agreement.
        precisions: by name, those that ran.
        not_run: reasons, by name, for precisions that did not.
        layers: every layer's gradient by loss term.
        lenses: the ranking losses.
        edge_cases: hand-made poses.
        trajectory: steps of training; empty if none was asked for.
        seconds: time of every stage.
        broken_weights: parameters that hold NaN or infinite numbers from the start, and how many.
    """

    setup: dict[str, str]
    joint_names: Sequence[str]
    weights: Mapping[str, float]
    tolerance: float
    precisions: dict[str, PrecisionResult] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    layers: list[LayerPush] = field(default_factory=list)
    lenses: list[RankingLens] = field(default_factory=list)
    edge_cases: list[EdgeResult] = field(default_factory=list)
    trajectory: list[TrajectoryStep] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    broken_weights: dict[str, int] = field(default_factory=dict)

    @property
    def has_reference(self) -> bool:
        """Whether a precision was measured by something more exact."""
        return any(result.jax_error is not None for result in self.precisions.values())

    @property
    def complaints(self) -> list[str]:
        """Why the frameworks do not agree, one line each; empty where they do."""
        return [*self._gradient_complaints(), *self._loss_complaints()]

    def _gradient_complaints(self) -> Iterator[str]:
        for name, count in self.broken_weights.items():
            yield f"the weights of {name} are not finite: {count} elements"
        for result in self.precisions.values():
            if not result.poses <= result.tolerance:
                yield f"{result.name}: predictions differ by {result.poses:.1e}"
            if not result.losses <= result.tolerance:
                yield f"{result.name}: loss terms differ by {result.losses:.1e}"
            for error in result.differing:
                where = f"{result.name}: gradient of {error.name}"
                if error.finite:
                    yield f"{where} differs by {error.relative:.1e}, allowed {error.allowed:.1e}"
                else:
                    yield (
                        f"{where} is not finite: {error.nonfinite_jax} elements in JAX, "
                        f"{error.nonfinite_torch} in PyTorch, of {error.size}"
                    )

    def _loss_complaints(self) -> Iterator[str]:
        for layer in self.layers:
            for objective, error in layer.relative.items():
                if not error <= self.precisions["float32"].tolerance:
                    yield f"gradient of {objective} in {layer.layer} differs by {error:.1e}"
        for lens in self.lenses:
            if not lens.relative <= self.tolerance:
                yield f"{lens.name}: depth gradients at equal poses differ by {lens.relative:.1e}"
        for result in self.edge_cases:
            if not result.agrees:
                yield f"{result.term} differs on the edge case {result.case!r}"
        for step in self.trajectory:
            if not step.loss_error <= DRIFT * self.tolerance:
                yield f"losses of training step {step.step} differ by {step.loss_error:.1e}"
