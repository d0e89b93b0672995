"""What training and evaluation ask of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int, Key, PyTree

from jrepose.data.columns import Batch

Variables = Mapping[str, PyTree]
"""Collection -> nested dict of arrays.  `params` and `objective` are trained; all others are state
that a loss may renew (`batch_stats`) or that stands still (a frozen encoder)."""

CONTEXT = "context"
"""Collection of a frozen encoder, which never is drawn: the weights to begin with have it."""

Clock = Callable[[Int[Array, ""]], Float[Array, ""]]
"""The epoch of a step, with its fraction."""


class Outcome(NamedTuple):
    """What a loss leaves besides its total.

    Args:
        terms: scalars to log.
        collections: renewed state; a collection that is not named stays as it is.
    """

    terms: Mapping[str, Float[Array, ""]]
    collections: Mapping[str, PyTree]


def of_network(variables: Variables) -> Variables:
    """A task's variables without those of its objective: what its network is applied to."""
    return {name: value for name, value in variables.items() if name != "objective"}


@runtime_checkable
class Trainable(Protocol):
    """What is learned: a frozen dataclass of pure functions.

    Attributes:
        inputs: names of the columns that `predict`, `clip_scores` or `detect` needs.
        columns: names of the columns that `loss` needs.
        score: the validation score by which a checkpoint is best; `metrics.higher_is_better`
            says which way is up.
    """

    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    score: str

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
        """Variables before the first step; of the batch only shapes and data types count."""

    def loss(
        self, variables: Variables, batch: Batch, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outcome]:
        """The objective of one device's clips, a mean over them.

        Args:
            variables: `init`'s, trained since.
            batch: the `columns`.
            key: of everything random; another one for each step, device and micro-batch.
            step: optimiser steps done, for schedules.
        """


@runtime_checkable
class Task(Trainable, Protocol):
    """A task that predicts poses, whose scores are those of the poses."""

    def predict(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "*hypotheses clips frames_out joints 3"]:
        """Poses of every clip; several hypotheses are a leading axis.

        Args:
            variables: what there is to predict with; `objective` may be absent.
            batch: the `inputs`.
            keys: one for each clip, so that a prediction depends on its clip only.
            flip: average with the mirrored prediction for the mirrored input.
        """


@runtime_checkable
class ScoredTask(Trainable, Protocol):
    """A task that predicts no poses and scores clips itself: a stage before another one."""

    def clip_scores(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"], *, flip: bool
    ) -> dict[str, Float[Array, " clips"]]:
        """Scores of every clip by name, the task's own among them; validation takes their means.

        Args:
            variables, batch, keys: as for `Task.predict`.
            flip: score the average of the clip's prediction and its mirror image's.
        """


@runtime_checkable
class DetectingTask(Trainable, Protocol):
    """A task that finds keypoints in images, whose scores are those of the keypoints."""

    def detect(
        self, variables: Variables, batch: Batch, keys: Key[Array, " clips"] | None, *, flip: bool
    ) -> Float[Array, "clips frames views joints 2"]:
        """Keypoints of every clip, pixels of the crops; the arguments are those of
        `Task.predict`."""
