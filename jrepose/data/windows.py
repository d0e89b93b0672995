"""Clip windows: which frames of the dataset each clip holds.

A window never crosses from one video into the next.  A video shorter than the window gives
one clip that repeats its last frame; the repeats are fed to the model and never scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32

from jrepose.data.dataset import Video
from jrepose.errors import InputError

TAILS = ("cover", "drop")


def training_windows(
    videos: Sequence[Video], frames: int, stride: int, tail: str = "cover"
) -> Int32[np.ndarray, "clips {frames}"]:
    """Overlapping windows to train on.

    Args:
        videos: ranges of the dataset's arrays.
        frames: window length T.
        stride: distance between the starts of neighbouring windows.
        tail: `"cover"` adds a last window that ends with the video, so that no frame is
            lost; `"drop"` leaves tails out, as the published Human3.6M slicing does.

    Returns:
        Frame indices into the dataset, one row per clip.

    Raises:
        InputError: `frames` or `stride` is below one, or `tail` is unknown.
    """
    index, _ = _windows(videos, frames, stride, tail)
    return index


def covering_windows(
    videos: Sequence[Video], frames: int, stride: int, tail: str = "cover"
) -> tuple[Int32[np.ndarray, "clips {frames}"], Bool[np.ndarray, "clips {frames}"]]:
    """Windows to evaluate on, and which of their entries stand for their frame.

    Args:
        videos, frames, stride, tail: as in `training_windows`.

    Returns:
        `index`, frame indices into the dataset, and `scored`: True at exactly one entry of
        every covered frame, the one whose window holds it closest to its centre.  Padding is
        never scored.

    Raises:
        InputError: as in `training_windows`.
    """
    index, real = _windows(videos, frames, stride, tail)
    scored = np.zeros_like(real)
    # Visiting entries from the window's border to its centre lets the most central win.
    centrality = -np.abs(np.arange(frames) - (frames - 1) / 2)
    flat_rank = np.broadcast_to(centrality, index.shape).ravel()
    order = np.argsort(flat_rank, kind="stable")
    order = order[real.ravel()[order]]
    winner = np.full(max((video.stop for video in videos), default=0), -1, np.int64)
    winner[index.ravel()[order]] = order
    scored.ravel()[winner[winner >= 0]] = True
    return index, scored


def _windows(
    videos: Sequence[Video], frames: int, stride: int, tail: str
) -> tuple[Int32[np.ndarray, "clips {frames}"], Bool[np.ndarray, "clips {frames}"]]:
    if frames < 1 or stride < 1:
        raise InputError(f"clip.frames and the stride must be at least 1, got {frames}, {stride}")
    if tail not in TAILS:
        raise InputError(f"unknown tail {tail!r}; expected one of {', '.join(TAILS)}")
    starts, lasts = [], []
    for video in videos:
        last_start = video.frames - frames
        offsets = list(range(0, last_start + 1, stride)) or [0]
        if tail == "cover" and 0 <= offsets[-1] < last_start:
            offsets.append(last_start)
        starts += [video.start + offset for offset in offsets]
        lasts += [video.stop - 1] * len(offsets)
    unclipped = np.asarray(starts, np.int32).reshape(-1, 1) + np.arange(frames, dtype=np.int32)
    last = np.asarray(lasts, np.int32).reshape(-1, 1)
    return np.minimum(unclipped, last), unclipped <= last
