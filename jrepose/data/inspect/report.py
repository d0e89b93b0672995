"""What a recognised file holds, as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from jrepose.data.inspect.content import Content, Track
from jrepose.data.inspect.outline import names, numbers
from jrepose.skeleton import Skeleton

_SAMPLE = 200
"""Frames of a track whose limbs are measured."""


def report(content: Content) -> str:
    """Format, layout, counts, ranges, and what is missing, a table of the joints last."""
    lines = [content.format, *_block("layout", content.outline)]
    if content.tracks:
        lines += _block("holds", _counts(content.tracks))
        if content.tracks[0].keypoints_px is not None:
            lines += _block("2D", _keypoints(content))
        if content.tracks[0].poses is not None:
            lines += _block("3D", _poses(content))
        lines += _joints(content)
    lines += _block("use", content.use)
    return "\n".join(lines)


def _block(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return (
        ["", *(f"{title if not n else '':8}{line}" for n, line in enumerate(lines))]
        if lines
        else []
    )


def _counts(tracks: Sequence[Track]) -> Iterator[str]:
    lengths = [track.frames for track in tracks]
    each = numbers(min(lengths), max(lengths))
    yield f"{_plural(len(tracks), 'video')}, {sum(lengths)} frames, {each} a video"
    for word in ("subject", "action", "camera"):
        found = list(dict.fromkeys(getattr(track, word) for track in tracks))
        if any(found):
            yield f"{_plural(len(found), word)}: {names(found)}"
    invalid = sum(int((~track.valid).sum()) for track in tracks if track.valid is not None)
    if invalid:
        yield f"{invalid} frames are not valid: fed to models, not scored"


def _keypoints(content: Content) -> Iterator[str]:
    tracks = content.tracks
    skeleton = content.keypoint_skeleton
    joints = tracks[0].keypoints_px.shape[1]
    yield f"{joints} keypoints, {skeleton.name if skeleton else 'of no known joint order'}"
    axes = _ranges((track.keypoints_px[~track.missing] for track in tracks), 2)
    yield ", ".join(f"{axis} {r}" for axis, r in zip("xy", axes, strict=True)) + " px"
    sizes = sorted({track.image_size for track in tracks if track.image_size})
    if sizes:
        yield "images " + ", ".join(f"{width} x {height}" for width, height in sizes[:6])
        outside = sum(int(_outside(track).sum()) for track in tracks)
        if outside:
            yield f"{_share(outside, tracks, joints)} of the keypoints lie outside the image"
    if tracks[0].confidence is not None:
        (confidence,) = _ranges((track.confidence.reshape(-1, 1) for track in tracks), 1)
        yield f"confidence {confidence}"
    missing = sum(int(track.missing.sum()) for track in tracks)
    yield (
        f"{_share(missing, tracks, joints)} of the keypoints are missing"
        if missing
        else "none missing"
    )


def _poses(content: Content) -> Iterator[str]:
    tracks, skeleton = content.tracks, content.skeleton
    joints = tracks[0].poses.shape[1]
    name = skeleton.name if skeleton else "of no known order"
    yield f"{joints} joints, {name}, {content.unit}, up is {content.up}"
    axes = _ranges((track.poses.reshape(-1, 3) for track in tracks), 3)
    yield ", ".join(f"{axis} {r}" for axis, r in zip("xyz", axes, strict=True))
    if skeleton:
        mean = _mean_limb(tracks, skeleton)
        yield f"limbs are {mean:.4g} long on average"
    if missing := sum(int(np.isnan(track.poses).any(-1).sum()) for track in tracks):
        yield f"{_share(missing, tracks, joints)} of the joints are NaN"


def _joints(content: Content) -> Iterator[str]:
    """A table: what is missing of each joint."""
    tracks = content.tracks
    frames = sum(track.frames for track in tracks)
    columns: dict[str, np.ndarray] = {}
    skeleton = content.skeleton
    if tracks[0].keypoints_px is not None:
        skeleton = content.keypoint_skeleton
        missing = sum(track.missing.sum(0) for track in tracks)
        columns["missing"] = 100 * missing / frames
        if any(track.image_size for track in tracks):
            columns["outside"] = 100 * sum(_outside(track).sum(0) for track in tracks) / frames
        if tracks[0].confidence is not None:
            sums = sum(np.nansum(track.confidence, 0, dtype=np.float64) for track in tracks)
            columns["confidence"] = sums / frames
    if tracks[0].poses is not None:
        missing = sum(np.isnan(track.poses).any(-1).sum(0) for track in tracks)
        if missing.any() and (not columns or content.skeleton is skeleton):
            columns["3D NaN"] = 100 * missing / frames
    if not columns:
        return
    yield ""
    count = len(next(iter(columns.values())))
    labels = skeleton.joint_names if skeleton else [""] * count
    width = max(map(len, labels), default=0) + 5
    yield f"{'joint':{width}}" + "".join(f"{title:>12}" for title in columns)
    for joint, label in enumerate(labels):
        values = (
            f"{column[joint]:12.3f}" if title == "confidence" else f"{column[joint]:10.2f} %"
            for title, column in columns.items()
        )
        yield f"{joint:3d}  {label:{width - 5}}" + "".join(values)


def _ranges(arrays: Iterable[np.ndarray], columns: int) -> list[str]:
    """Smallest to largest finite value of each column of arrays `[n, columns]`."""
    low, high = np.full(columns, math.inf), np.full(columns, -math.inf)
    for array in arrays:
        finite = np.isfinite(array)
        low = np.minimum(low, array.min(0, initial=math.inf, where=finite))
        high = np.maximum(high, array.max(0, initial=-math.inf, where=finite))
    return [
        numbers(a, b) if a <= b else "none"
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]


def _outside(track: Track) -> Bool[np.ndarray, "frames keypoints"]:
    """Which keypoints are not missing and not in the image."""
    if track.image_size is None:
        return np.zeros(track.keypoints_px.shape[:2], bool)
    beyond = (track.keypoints_px < 0) | (track.keypoints_px > np.array(track.image_size))
    return beyond.any(-1) & ~track.missing


def _mean_limb(tracks: Sequence[Track], skeleton: Skeleton) -> float:
    parents, children = np.array(skeleton.limbs).T
    sample = np.concatenate(
        [track.poses[:: max(1, track.frames // _SAMPLE)] for track in tracks[:_SAMPLE]]
    ).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # in a damaged file
        lengths = np.linalg.norm(sample[:, children] - sample[:, parents], axis=-1)
    lengths = lengths[np.isfinite(lengths)]
    return float(lengths.mean()) if lengths.size else math.nan


def _share(count: int, tracks: Sequence[Track], joints: int) -> str:
    share = 100 * count / (joints * sum(track.frames for track in tracks))
    return f"{share:.2f} %" if share >= 0.01 else f"{count}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)
