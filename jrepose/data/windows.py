"""Clip windows: which frames of the dataset each clip holds, and which of them it answers for.

A clip's inputs are the frames that a model sees, its targets those that it predicts: all of them
(seq2seq), or fewer in the middle (one: seq2frame).  A window never crosses from one video into the
next.  The kinds differ in what becomes of the frames after the last whole window (the tail), and
of videos shorter than a window:

| kind | tail | short video | whose |
|---|---|---|---|
| `cover` | a last window that ends with the video | its last frame repeats | ours, MixSTE's test |
| `drop` | left out | its last frame repeats | – |
| `resample` | left out | drawn to fill one window; left out if last | Human3.6M-SH |
| `replicate` | shared by both ends, edge frames repeat | the same | VideoPose3D, MixSTE |
| `stretch` | windows that start in it are stretched | stretched | MPI-INF-3DHP |
| `centred` | windows around frames, edge frames repeat | the same | P-STMO, MPI-INF-3DHP's test |
| `trailing` | windows end with their chunk, edge frames repeat | the same | STCFormer |
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32
from ml_collections import ConfigDict

from jrepose.data.dataset import Dataset, FrameRange
from jrepose.errors import InputError
from jrepose.frames import middle

_LOG = logging.getLogger(__name__)

TRAINING_KINDS = ("cover", "drop", "resample", "replicate", "stretch", "centred", "trailing")
EVALUATION_KINDS = ("cover", "drop", "resample", "replicate", "centred")

# What becomes of videos shorter than a window.
_SHORT = {
    "cover": "their last frame repeats",
    "drop": "their last frame repeats",
    "resample": "frames for one window are drawn from each, or it is left out",
    "replicate": "their edge frames repeat",
    "stretch": "they are stretched",
    "centred": "their edge frames repeat",
    "trailing": "their edge frames repeat",
}

# Only these can skip frames, and only these can be moved against their targets.
_EVERY_KINDS = ("cover", "drop", "centred", "trailing")
_CAUSAL_KINDS = ("replicate", "centred")


class Windows(NamedTuple):
    """Windows to train on.

    Args:
        inputs: frame indices into the dataset, one row per clip.
        targets: the frames that the clip answers for.
    """

    inputs: Int32[np.ndarray, "clips inputs"]
    targets: Int32[np.ndarray, "clips targets"]


class EvaluationWindows(NamedTuple):
    """Windows to evaluate on, and which of their targets stand for their frame.

    Args:
        inputs, targets: as in `Windows`.
        distinct: one target for every frame of a clip; the others repeat it.
        scored: one target for every covered frame of the dataset, the one whose clip holds it
            closest to its centre.
    """

    inputs: Int32[np.ndarray, "clips inputs"]
    targets: Int32[np.ndarray, "clips targets"]
    distinct: Bool[np.ndarray, "clips targets"]
    scored: Bool[np.ndarray, "clips targets"]


def clips_for_training(dataset: Dataset, clip: ConfigDict) -> Windows:
    """`training_windows` of a dataset as a config's `clip` section wants them."""
    _say_what_is_short(dataset.videos, clip, clip.windows)
    return training_windows(
        dataset.videos, clip.frames, clip.stride, clip.windows,
        targets=clip.targets, every=clip.every, causal_shift=clip.causal_shift,
    )  # fmt: skip


def clips_for_evaluation(dataset: Dataset, clip: ConfigDict) -> EvaluationWindows:
    """`evaluation_windows` of a dataset as a config's `clip` section wants them."""
    kind = clip.evaluation_windows
    _say_what_is_short(dataset.videos, clip, kind)
    windows = evaluation_windows(
        dataset.videos, clip.frames, clip.evaluation_stride, kind,
        dataset.valid, targets=clip.targets, every=clip.every, causal_shift=clip.causal_shift,
    )  # fmt: skip
    frames, scored = sum(video.frames for video in dataset.videos), int(windows.scored.sum())
    if kind == "cover" and scored < frames:
        _say_once(
            f"{frames - scored} of {frames} frames are in no clip and are not scored: "
            f"clip.evaluation_stride={clip.evaluation_stride} with clip.frames={clip.frames} and "
            f"clip.every={clip.every}",
            logging.WARNING,
        )
    return windows


def _say_what_is_short(videos: Sequence[FrameRange], clip: ConfigDict, kind: str) -> None:
    span = (clip.frames - 1) * clip.every + 1
    short = sum(video.frames < span for video in videos)
    if short and kind in _SHORT:
        _say_once(
            f"{short} of {len(videos)} videos are shorter than the {span} frames that a clip "
            f"spans; {_SHORT[kind]}"
        )


@functools.cache
def _say_once(message: str, level: int = logging.INFO) -> None:
    """Evaluations come again and again, and this is no news then."""
    _LOG.log(level, "%s", message)


def training_windows(
    videos: Sequence[FrameRange],
    frames: int,
    stride: int,
    kind: str = "cover",
    *,
    targets: int | None = None,
    every: int = 1,
    causal_shift: int = 0,
) -> Windows:
    """Windows to train on.

    Args:
        videos: ranges of the dataset's arrays.
        frames: frames of a clip T, the inputs.
        stride: distance between neighbouring windows; the targets of `"replicate"` windows lie
            end to end, so for them it must be their number.
        kind: see the table above.
        targets: how many frames, the middle ones, a clip answers for; None: all.
        every: a clip holds every k-th frame and so spans (T - 1) k + 1 of the video; not for
            `"resample"`, `"replicate"` and `"stretch"`.
        causal_shift: frames by which the inputs are moved into the past, away from the targets;
            `every` (T - targets) / 2 leaves the future out.  For `"replicate"` and `"centred"`.

    Raises:
        InputError: numbers that cannot be or do not go together, or `kind` is unknown.
    """
    targets = frames if targets is None else targets
    _check(frames, stride, kind, TRAINING_KINDS, targets, every, causal_shift)
    if kind == "replicate":
        if stride != targets:
            raise InputError(f"clip.stride is {stride}; 'replicate' windows need {targets}")
        return Windows(*chunked_windows(videos, targets, (frames - targets) // 2, causal_shift))
    if kind == "resample":
        index = _resampled_windows(videos, frames, stride)
    elif kind == "stretch":
        index = _stretched_windows(videos, frames, stride)
    elif kind in ("centred", "trailing"):
        centres = _centres(videos, frames, stride, kind)
        index = _around(centres, frames, every, 0)
        if causal_shift:
            return Windows(_around(centres, frames, every, causal_shift), middle(index, targets))
    else:
        index = _repeated_windows(videos, frames, stride, kind, every)[0]
    return Windows(index, middle(index, targets))


def evaluation_windows(
    videos: Sequence[FrameRange],
    frames: int,
    stride: int,
    kind: str = "cover",
    valid: Bool[np.ndarray, " dataset_frames"] | None = None,
    *,
    targets: int | None = None,
    every: int = 1,
    causal_shift: int = 0,
) -> EvaluationWindows:
    """Windows to evaluate on.

    Args:
        videos, frames, every, causal_shift: as in `training_windows`.
        stride: as in `training_windows`, and the number of targets of `"replicate"` windows, whose
            inputs have as many more frames as in training; `"centred"` ignores it.
        kind: see the table above.
        valid: frames that are scored; `"centred"` windows are made for these only, and only
            their centres are targets.
        targets: as in `training_windows`; fewer than the inputs need `"centred"` or
            `"replicate"` windows, which leave no frame out.

    Raises:
        InputError: as in `training_windows`; `"centred"` windows need an odd length.
    """
    targets = frames if targets is None else targets
    _check(frames, stride, kind, EVALUATION_KINDS, targets, every, causal_shift)
    if kind == "centred":
        centres = _centres(videos, frames, 1, kind)
        if valid is not None:
            centres = centres[valid[centres[:, 0]]]
        once = np.ones((len(centres), 1), bool)
        inputs = _around(centres, frames, every, causal_shift)
        return EvaluationWindows(inputs, np.ascontiguousarray(centres[:, :1]), once, once)
    if kind == "replicate":
        inputs, index = chunked_windows(videos, stride, (frames - targets) // 2, causal_shift)
        distinct = np.ones(index.shape, bool)
        distinct[:, 1:] = index[:, 1:] != index[:, :-1]
        return EvaluationWindows(inputs, index, distinct, _most_central(videos, index, distinct))
    if targets != frames:
        raise InputError(
            f"clip.targets is {targets} of {frames} frames; clip.evaluation_windows {kind!r} would "
            "leave the first and last frames out, expected 'centred' or 'replicate'"
        )
    if kind == "resample":
        index = _resampled_windows(videos, frames, stride)
        # The official evaluation writes a clip's errors one after another: the last stays.
        distinct = np.ones(index.shape, bool)
        distinct[:, :-1] = index[:, 1:] != index[:, :-1]
    else:
        index, distinct = _repeated_windows(videos, frames, stride, kind, every)
    return EvaluationWindows(index, index, distinct, _most_central(videos, index, distinct))


def _most_central(
    videos: Sequence[FrameRange],
    index: Int32[np.ndarray, "clips frames"],
    distinct: Bool[np.ndarray, "clips frames"],
) -> Bool[np.ndarray, "clips frames"]:
    """For every frame the entry whose clip holds it closest to its centre."""
    frames = index.shape[1]
    scored = np.zeros_like(distinct)
    # Visiting entries from the window's border to its centre lets the most central win.
    centrality = -np.abs(np.arange(frames) - (frames - 1) / 2)
    flat_rank = np.broadcast_to(centrality, index.shape).ravel()
    order = np.argsort(flat_rank, kind="stable")
    order = order[distinct.ravel()[order]]
    winner = np.full(max((video.stop for video in videos), default=0), -1, np.int64)
    winner[index.ravel()[order]] = order
    scored.ravel()[winner[winner >= 0]] = True
    return scored


def chunked_windows(
    videos: Sequence[FrameRange], chunk: int, pad: int = 0, causal_shift: int = 0
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


def unchunked_window(
    video: FrameRange, pad: int, causal_shift: int = 0
) -> Int32[np.ndarray, " inputs"]:
    """VideoPose3D's test window: a whole video with `pad` edge frames before and after it.

    Args:
        video: range of the dataset's arrays.
        pad, causal_shift: as in `chunked_windows`; the shift moves padding to the front.
    """
    frames = np.arange(video.start - pad - causal_shift, video.stop + pad - causal_shift)
    return np.clip(frames, video.start, video.stop - 1).astype(np.int32)


def _check(
    frames: int,
    stride: int,
    kind: str,
    kinds: Sequence[str],
    targets: int,
    every: int,
    causal_shift: int,
) -> None:
    if frames < 1 or stride < 1 or every < 1:
        raise InputError(
            f"clip frames, stride and every must be at least 1, got {frames}, {stride} and {every}"
        )
    if kind not in kinds:
        raise InputError(f"unknown kind of clips {kind!r}; expected one of {', '.join(kinds)}")
    if not 1 <= targets <= frames or (frames - targets) % 2:
        raise InputError(
            f"clip.targets is {targets}; expected 1 to {frames}, the middle ones of as many "
            "clip.frames, so that the difference is even"
        )
    if every > 1 and kind not in _EVERY_KINDS:
        raise InputError(
            f"clip.every is {every}; {kind!r} windows take neighbouring frames, expected 1 or "
            f"windows of one of {', '.join(_EVERY_KINDS)}"
        )
    if causal_shift and kind not in _CAUSAL_KINDS:
        raise InputError(
            f"clip.causal_shift is {causal_shift}; {kind!r} windows cannot be moved, expected 0 or "
            f"windows of one of {', '.join(_CAUSAL_KINDS)}"
        )
    if causal_shift < 0:
        raise InputError(f"clip.causal_shift is {causal_shift}, expected at least 0")


def _stack(windows: Sequence[np.ndarray], frames: int) -> np.ndarray:
    return np.concatenate([np.empty((0, frames), np.int32), *windows])


def _centres(
    videos: Sequence[FrameRange], frames: int, stride: int, kind: str
) -> Int32[np.ndarray, "clips 3"]:
    """Middle frames of windows that may overhang their video, its first frame and its last."""
    if frames % 2 == 0:
        raise InputError(f"clip.frames is {frames}; {kind!r} windows need an odd number")
    rows = [np.empty((0, 3), np.int32)]
    for video in videos:
        if kind == "centred":
            centres = np.arange(video.start, video.stop, stride, dtype=np.int32)
        else:
            # The released generator: a window of neighbouring frames would end with its chunk.
            chunks = -(-video.frames // stride)
            overhang = (chunks * stride - video.frames) // 2
            ends = video.start - overhang + stride * np.arange(1, chunks + 1, dtype=np.int32)
            centres = ends - frames // 2 - 1
        bounds = np.full((len(centres), 2), (video.start, video.stop - 1), np.int32)
        rows.append(np.column_stack([centres, bounds]))
    return np.concatenate(rows)


def _around(
    centres: Int32[np.ndarray, "clips 3"], frames: int, every: int, causal_shift: int
) -> Int32[np.ndarray, "clips {frames}"]:
    """Windows around what `_centres` gave; frames outside the video are its edge frames."""
    middles, firsts, lasts = (column[:, None] for column in centres.T)
    index = middles + (every * (np.arange(frames) - frames // 2) - causal_shift).astype(np.int32)
    return np.clip(index, firsts, lasts, out=index)


def _repeated_windows(
    videos: Sequence[FrameRange], frames: int, stride: int, kind: str, every: int
) -> tuple[Int32[np.ndarray, "clips {frames}"], Bool[np.ndarray, "clips {frames}"]]:
    """Windows inside the video, and which entries are not a short video's repeated frame."""
    starts, lasts = [], []
    for video in videos:
        last_start = video.frames - (frames - 1) * every - 1
        offsets = list(range(0, last_start + 1, stride)) or [0]
        if kind == "cover" and 0 <= offsets[-1] < last_start:
            offsets.append(last_start)
        starts += [video.start + offset for offset in offsets]
        lasts += [video.stop - 1] * len(offsets)
    offsets = every * np.arange(frames, dtype=np.int32)
    unclipped = np.asarray(starts, np.int32).reshape(-1, 1) + offsets
    last = np.asarray(lasts, np.int32).reshape(-1, 1)
    return np.minimum(unclipped, last), unclipped <= last


def _resampled_windows(
    videos: Sequence[FrameRange], frames: int, stride: int
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
    videos: Sequence[FrameRange], frames: int, stride: int
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
