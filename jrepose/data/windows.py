"""Clip windows: which frames of the dataset each clip holds.

A window never crosses from one video into the next.  The kinds differ in what becomes of the
frames after the last whole window (the tail), and of videos shorter than a window:

| kind | tail | short video | whose |
|---|---|---|---|
| `cover` | a last window that ends with the video | its last frame repeats | ours, MixSTE's test |
| `drop` | left out | its last frame repeats | – |
| `resample` | left out | drawn to fill one window; left out if last | Human3.6M-SH |
| `replicate` | shared by both ends, edge frames repeat | the same | MixSTE's training |
| `stretch` | windows that start in it are stretched | stretched | MPI-INF-3DHP |
| `centred` | a window around every valid frame | edge frames repeat | MPI-INF-3DHP's test |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32
from ml_collections import ConfigDict

from jrepose.data.dataset import PoseDataset, Video
from jrepose.errors import InputError

TRAINING_KINDS = ("cover", "drop", "resample", "replicate", "stretch")
EVALUATION_KINDS = ("cover", "drop", "resample", "centred")


class EvaluationWindows(NamedTuple):
    """Windows to evaluate on, and which of their entries stand for their frame.

    Args:
        index: frame indices into the dataset, one row per clip.
        distinct: one entry for every frame of a clip; the others repeat it.
        scored: one entry for every covered frame of the dataset, the one whose clip holds it
            closest to its centre.
    """

    index: Int32[np.ndarray, "clips frames"]
    distinct: Bool[np.ndarray, "clips frames"]
    scored: Bool[np.ndarray, "clips frames"]


def clips_for_training(dataset: PoseDataset, clip: ConfigDict) -> Int32[np.ndarray, "clips frames"]:
    """`training_windows` of a dataset as a config's `clip` section wants them."""
    return training_windows(dataset.videos, clip.frames, clip.stride, clip.windows)


def clips_for_evaluation(dataset: PoseDataset, clip: ConfigDict) -> EvaluationWindows:
    """`evaluation_windows` of a dataset as a config's `clip` section wants them."""
    return evaluation_windows(
        dataset.videos, clip.frames, clip.evaluation_stride, clip.evaluation_windows, dataset.valid
    )


def training_windows(
    videos: Sequence[Video], frames: int, stride: int, kind: str = "cover"
) -> Int32[np.ndarray, "clips {frames}"]:
    """Windows to train on.

    Args:
        videos: ranges of the dataset's arrays.
        frames: window length T.
        stride: distance between the starts of neighbouring windows; `"replicate"` windows lie
            end to end, so for them it must be `frames`.
        kind: see the table above; all but `"centred"`.

    Returns:
        Frame indices into the dataset, one row per clip.

    Raises:
        InputError: `frames` or `stride` cannot be, or `kind` is unknown.
    """
    _check(frames, stride, kind, TRAINING_KINDS)
    if kind == "resample":
        return _resampled_windows(videos, frames, stride)
    if kind == "replicate":
        if stride != frames:
            raise InputError(f"clip.stride is {stride}; 'replicate' windows need {frames}")
        return chunked_windows(videos, frames)[1]
    if kind == "stretch":
        return _stretched_windows(videos, frames, stride)
    return _repeated_windows(videos, frames, stride, kind)[0]


def evaluation_windows(
    videos: Sequence[Video],
    frames: int,
    stride: int,
    kind: str = "cover",
    valid: Bool[np.ndarray, " dataset_frames"] | None = None,
) -> EvaluationWindows:
    """Windows to evaluate on.

    Args:
        videos, frames, stride: as in `training_windows`; `"centred"` ignores the stride.
        kind: `"cover"`, `"drop"`, `"resample"` or `"centred"`.
        valid: frames that are scored; `"centred"` windows are made for these only, and only
            their centres count.

    Raises:
        InputError: as in `training_windows`; `"centred"` windows need an odd length.
    """
    _check(frames, stride, kind, EVALUATION_KINDS)
    if kind == "centred":
        if frames % 2 == 0:
            raise InputError(f"clip.frames is {frames}; 'centred' windows need an odd number")
        index, centre = chunked_windows(videos, 1, pad=frames // 2)
        index = index if valid is None else index[valid[centre[:, 0]]]
        scored = np.zeros(index.shape, bool)
        scored[:, frames // 2] = True
        return EvaluationWindows(index, scored, scored)
    if kind == "resample":
        index = _resampled_windows(videos, frames, stride)
        # The official evaluation writes a clip's errors one after another: the last stays.
        distinct = np.ones(index.shape, bool)
        distinct[:, :-1] = index[:, 1:] != index[:, :-1]
    else:
        index, distinct = _repeated_windows(videos, frames, stride, kind)
    scored = np.zeros_like(distinct)
    # Visiting entries from the window's border to its centre lets the most central win.
    centrality = -np.abs(np.arange(frames) - (frames - 1) / 2)
    flat_rank = np.broadcast_to(centrality, index.shape).ravel()
    order = np.argsort(flat_rank, kind="stable")
    order = order[distinct.ravel()[order]]
    winner = np.full(max((video.stop for video in videos), default=0), -1, np.int64)
    winner[index.ravel()[order]] = order
    scored.ravel()[winner[winner >= 0]] = True
    return EvaluationWindows(index, distinct, scored)


def chunked_windows(
    videos: Sequence[Video], chunk: int, pad: int = 0, causal_shift: int = 0
) -> tuple[Int32[np.ndarray, "clips inputs"], Int32[np.ndarray, "clips {chunk}"]]:
    """VideoPose3D's windows: chunks of target frames, each with context on both sides.

    The chunks lie end to end and overhang the video by as much at its end as at its start, or
    by one frame more; frames outside are the edge frames.  MixSTE's are those without padding.

    Args:
        videos: ranges of the dataset's arrays.
        chunk: target frames per window.
        pad: context frames on either side, (receptive field - 1) / 2.
        causal_shift: by how much the context is moved into the past; `pad` makes it all past.

    Returns:
        Frames of the inputs, `chunk + 2 pad` a row, and of the targets, `chunk` a row.

    Raises:
        InputError: a chunk of no frames, or a negative padding.
    """
    if chunk < 1 or pad < 0:
        raise InputError(f"windows of {chunk} frames with a padding of {pad} cannot be made")
    inputs, targets = [], []
    for video in videos:
        count = -(-video.frames // chunk)
        overhang = (count * chunk - video.frames) // 2
        start = video.start - overhang + chunk * np.arange(count, dtype=np.int32)[:, None]
        wide = start - pad - causal_shift + np.arange(chunk + 2 * pad, dtype=np.int32)
        inputs.append(np.clip(wide, video.start, video.stop - 1))
        narrow = start + np.arange(chunk, dtype=np.int32)
        targets.append(np.clip(narrow, video.start, video.stop - 1))
    return _stack(inputs, chunk + 2 * pad), _stack(targets, chunk)


def unchunked_window(video: Video, pad: int, causal_shift: int = 0) -> Int32[np.ndarray, " inputs"]:
    """VideoPose3D's test window: a whole video with `pad` edge frames before and after it.

    Args:
        video: range of the dataset's arrays.
        pad, causal_shift: as in `chunked_windows`; the shift moves padding to the front.
    """
    frames = np.arange(video.start - pad - causal_shift, video.stop + pad - causal_shift)
    return np.clip(frames, video.start, video.stop - 1).astype(np.int32)


def _check(frames: int, stride: int, kind: str, kinds: Sequence[str]) -> None:
    if frames < 1 or stride < 1:
        raise InputError(f"clip.frames and the stride must be at least 1, got {frames}, {stride}")
    if kind not in kinds:
        raise InputError(f"unknown windows {kind!r}; expected one of {', '.join(kinds)}")


def _stack(windows: Sequence[np.ndarray], frames: int) -> np.ndarray:
    return np.concatenate([np.empty((0, frames), np.int32), *windows])


def _repeated_windows(
    videos: Sequence[Video], frames: int, stride: int, kind: str
) -> tuple[Int32[np.ndarray, "clips {frames}"], Bool[np.ndarray, "clips {frames}"]]:
    """Windows inside the video, and which entries are not a short video's repeated frame."""
    starts, lasts = [], []
    for video in videos:
        last_start = video.frames - frames
        offsets = list(range(0, last_start + 1, stride)) or [0]
        if kind == "cover" and 0 <= offsets[-1] < last_start:
            offsets.append(last_start)
        starts += [video.start + offset for offset in offsets]
        lasts += [video.stop - 1] * len(offsets)
    unclipped = np.asarray(starts, np.int32).reshape(-1, 1) + np.arange(frames, dtype=np.int32)
    last = np.asarray(lasts, np.int32).reshape(-1, 1)
    return np.minimum(unclipped, last), unclipped <= last


def _resampled_windows(
    videos: Sequence[Video], frames: int, stride: int
) -> Int32[np.ndarray, "clips {frames}"]:
    """The published slicing of Human3.6M-SH (MotionBERT).

    Whole windows only.  A video too short for one is drawn from: every place takes the frame
    before or after its share of the video, at random.  It is left out if it is the last video
    or if one of its name has been seen.  The draws are those of NumPy's legacy generator with
    seed 0, as the published evaluation makes them.
    """
    random = np.random.RandomState(0)
    windows, seen = [], set()
    for number, video in enumerate(videos, start=1):
        if video.frames >= frames:
            offsets = np.arange(0, video.frames - frames + 1, stride, dtype=np.int32)[:, None]
            windows.append(video.start + offsets + np.arange(frames, dtype=np.int32))
        elif number < len(videos) and video.name not in seen:
            share = np.linspace(0, video.frames, num=frames, endpoint=False)
            before = random.randint(2, size=frames) == 1
            drawn = np.sort(np.where(before, np.floor(share), np.ceil(share)))
            drawn = np.clip(drawn, 0, video.frames - 1).astype(np.int32)
            windows.append(video.start + drawn[None])
        seen.add(video.name)
    return _stack(windows, frames)


def _stretched_windows(
    videos: Sequence[Video], frames: int, stride: int
) -> Int32[np.ndarray, "clips {frames}"]:
    """A window every `stride` frames to the very end; what is too short repeats frames evenly.

    MotionAGFormer's partition of MPI-INF-3DHP.
    """
    windows = []
    for video in videos:
        for start in range(video.start, video.stop, stride):
            length = min(frames, video.stop - start)
            share = np.linspace(0, length, num=frames, endpoint=False)
            windows.append(start + np.floor(share).astype(np.int32)[None])
    return _stack(windows, frames)
