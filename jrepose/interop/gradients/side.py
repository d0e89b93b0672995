"""What a side of the comparison returns, whichever framework it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Gradient = Mapping[str, np.ndarray]
"""PyTorch's name of a parameter -> gradient in PyTorch's layout."""


class Clips(NamedTuple):
    """A batch: model inputs and labels.

    Args:
        keypoints: x, y and confidence.
        targets: poses in the model's units.
    """

    keypoints: Float[np.ndarray, "batch frames keypoints channels"]
    targets: Float[np.ndarray, "batch frames joints 3"]


@dataclass(frozen=True, eq=False)
class BackwardPass:
    """Predictions, loss terms and gradients of one batch.

    Args:
        poses: predictions.
        terms: value of every loss term, before its weight.
        gradients: of the objective under `"total"` and, if asked for, of every loss term
            before its weight under its name.
    """

    poses: Float[np.ndarray, "batch frames joints 3"]
    terms: Mapping[str, float]
    gradients: Mapping[str, Gradient]


class LossGradient(NamedTuple):
    """A loss term at given poses: its value and its derivative."""

    value: float
    gradient: Float[np.ndarray, "batch frames joints 3"]


class TrainingStep(NamedTuple):
    """A step of a training run: terms before the update, parameters after it."""

    terms: Mapping[str, float]
    parameters: Gradient


@runtime_checkable
class HasLosses(Protocol):
    """The losses of one framework."""

    def loss_gradients(self, poses: np.ndarray, targets: np.ndarray) -> Mapping[str, LossGradient]:
        """Every loss term and its derivative with respect to given poses."""


@runtime_checkable
class Side(HasLosses, Protocol):
    """One framework in one precision, holding weights that it never changes."""

    def backward(self, clips: Clips, *, per_term: bool) -> BackwardPass:
        """Predictions, terms and gradients of a batch."""

    def train(
        self, batches: Iterable[Clips], *, learning_rate: float, weight_decay: float
    ) -> Iterator[TrainingStep]:
        """AdamW on the objective from the held weights, one step a batch."""
