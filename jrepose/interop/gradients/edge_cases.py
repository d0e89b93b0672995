"""Small hand-made poses on which the two frameworks' losses could disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.interop.gradients.measures import relative_error
from jrepose.interop.gradients.side import HasLosses

_TOLERANCE = 1e-6

Depths = Sequence | np.ndarray


@dataclass(frozen=True, eq=False)
class EdgeCase:
    """Depths `[frames, joints]`; x and y are zero.

    Args:
        meaning: what is special, and what a loss should make of it.
        predicted, true: depths.
    """

    meaning: str
    predicted: Float[np.ndarray, "frames joints"]
    true: Float[np.ndarray, "frames joints"]


@dataclass(frozen=True)
class EdgeResult:
    """One loss on one case.

    Args:
        case, meaning: of the edge case.
        term: name of the loss.
        value_jax, value_torch: the loss.
        gradient_jax, gradient_torch: with respect to the depths, flattened.
        agrees: whether values and gradients do, to 1e-6.
    """

    case: str
    meaning: str
    term: str
    value_jax: float
    value_torch: float
    gradient_jax: Sequence[float]
    gradient_torch: Sequence[float]
    agrees: bool


def _case(meaning: str, predicted: Depths, true: Depths) -> EdgeCase:
    return EdgeCase(meaning, *(np.array(depths, np.float32) for depths in (predicted, true)))


_STRIDE = [[0.3, -0.1, 0.2], [0.1, 0.4, -0.2]]
_TRUTH = [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]

CASES: Mapping[str, EdgeCase] = MappingProxyType(
    {
        "right order": _case("nothing to correct: 0 and no gradient", [[0, 1]], [[0, 1]]),
        "wrong order": _case("one active pair pulls both apart", [[1, 0]], [[0, 1]]),
        "predicted tie": _case(
            "equal depths that should be ordered: loss 0, half the gradient", [[0, 0]], [[0, 1]]
        ),
        "signed zeros": _case("0 and -0 are a tie, too", [[0.0, -0.0]], [[0, 1]]),
        "true tie": _case("equal true depths order nothing", [[1, 0]], [[1, 1]]),
        "both tied": _case("nothing is ordered: no gradient", [[1, 1]], [[1, 1]]),
        "tie over time": _case(
            "one joint that stands still and should move", [[0], [0]], [[0], [1]]
        ),
        "zero head": _case(
            "all depths 0, as from a head of zeros: half gradients are all there is",
            np.zeros((2, 3)),
            _TRUTH,
        ),
        "one frame": _case("no pair of frames: temporal loss 0, no gradient", [[2, 1]], [[1, 2]]),
        "perfect": _case("equal to the label: no term has a gradient, none is NaN", _TRUTH, _TRUTH),
        "units": _case("an ordinary clip in normalised units", _STRIDE, _TRUTH),
        "millimetres": _case(
            "the same times 1000: the losses grow by 1000, the gradients stay",
            1000 * np.array(_STRIDE),
            1000 * np.array(_TRUTH),
        ),
    }
)
"""By name."""


def run_edge_cases(jax_side: HasLosses, torch_side: HasLosses) -> list[EdgeResult]:
    """Every loss of the objective on every case, in both frameworks."""
    results = []
    for name, case in CASES.items():
        predicted, target = (
            np.stack([0 * depths, 0 * depths, depths], axis=-1)[None]
            for depths in (case.predicted, case.true)
        )
        ours, theirs = (side.loss_gradients(predicted, target) for side in (jax_side, torch_side))
        for term, (value, gradient) in ours.items():
            value_torch, gradient_torch = theirs[term]
            error = max(
                relative_error(np.array([value]), np.array([value_torch])),
                relative_error(gradient, gradient_torch),
            )
            results.append(
                EdgeResult(
                    case=name,
                    meaning=case.meaning,
                    term=term,
                    value_jax=value,
                    value_torch=value_torch,
                    gradient_jax=gradient[..., 2].ravel().tolist(),
                    gradient_torch=gradient_torch[..., 2].ravel().tolist(),
                    agrees=error <= _TOLERANCE,
                )
            )
    return results
