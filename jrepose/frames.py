"""Frames of a clip: which of them an output of fewer frames stands for."""

from __future__ import annotations

from jaxtyping import ArrayLike, Num


def middle(
    frames: Num[ArrayLike, "clips all ..."], count: int
) -> Num[ArrayLike, "clips middle ..."]:
    """The `count` middle frames, or all where there are no more.

    Of an odd rest, one frame more is left out at the end.
    """
    first = max(0, (frames.shape[1] - count) // 2)
    return frames[:, first : first + count]
