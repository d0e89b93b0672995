"""Which loss term pushes which layer how hard.  Plain NumPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jrepose.interop.gradients.measures import by_layer, cosine, relative_error
from jrepose.interop.gradients.side import Gradient


@dataclass(frozen=True)
class LayerPush:
    """One layer's gradient, taken apart by loss term.

    Args:
        layer: its name.
        size: numbers in its parameters.
        norm_jax, norm_torch: norm of every term's gradient times the term's weight.
        share: of each term in the sum of our norms.
        along: what each term contributes along the direction of the whole gradient; they sum
            to 1, and a negative one pulls against the others.
        cosines: between the gradients of two terms, by `"TERM, TERM"`.
        relative: relative distance between the frameworks, per term and for `"total"`.
    """

    layer: str
    size: int
    norm_jax: Mapping[str, float]
    norm_torch: Mapping[str, float]
    share: Mapping[str, float]
    along: Mapping[str, float]
    cosines: Mapping[str, float]
    relative: Mapping[str, float]


def push_per_layer(
    ours: Mapping[str, Gradient], theirs: Mapping[str, Gradient], weights: Mapping[str, float]
) -> list[LayerPush]:
    """Takes every layer's gradient apart.

    Args:
        ours, theirs: gradients of `"total"` and of every unweighted term.
        weights: of the terms in the objective.

    Returns:
        One entry per layer, in the order of the parameters.
    """
    ours_by_layer, theirs_by_layer = (
        {objective: by_layer(gradient) for objective, gradient in side.items()}
        for side in (ours, theirs)
    )
    pushes = []
    for layer, whole in ours_by_layer["total"].items():
        parts = {
            term: weight * ours_by_layer[term][layer].astype(np.float64)
            for term, weight in weights.items()
        }
        norms = {term: float(np.linalg.norm(part)) for term, part in parts.items()}
        together = math.fsum(norms.values()) or math.nan
        total = sum(parts.values())
        energy = float(total @ total) or math.nan
        pushes.append(
            LayerPush(
                layer=layer,
                size=whole.size,
                norm_jax=norms,
                norm_torch={
                    term: weight * float(np.linalg.norm(theirs_by_layer[term][layer]))
                    for term, weight in weights.items()
                },
                share={term: norm / together for term, norm in norms.items()},
                along={term: float(part @ total) / energy for term, part in parts.items()},
                cosines={
                    f"{a}, {b}": cosine(parts[a], parts[b])
                    for a, b in itertools.combinations(parts, 2)
                },
                relative={
                    objective: relative_error(ours_by_layer[objective][layer], vectors[layer])
                    for objective, vectors in theirs_by_layer.items()
                },
            )
        )
    return pushes
