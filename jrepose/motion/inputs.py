"""A detector's keypoints as a lifter takes them: gaps filled, at its frame rate and scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jrepose.data.scaling import Scale

_SAME_RATE = 0.02  # relative difference that nobody sees
_LEAST_WEIGHT = 1e-4  # of a place that is a guess


def screen_scale(size: tuple[int, int]) -> Scale:
    """The picture's width becomes [-1, 1], y by the same scale."""
    return Scale((size[0] / 2, size[1] / 2), size[0] / 2)


def box_scale(
    pixels: Float[np.ndarray, "frames joints 2"],
    confidence: Float[np.ndarray, "frames joints"],
    size: tuple[int, int],
) -> Scale:
    """The longer side of the box around all keypoints becomes [-1, 1] (MotionBERT's `crop_scale`).

    Without four keypoints: as `screen_scale`.
    """
    present = pixels[confidence > 0]
    if len(present) < 4:
        return screen_scale(size)
    low, high = present.min(0).astype(np.float64), present.max(0).astype(np.float64)
    side = float((high - low).max())
    if side <= 0:
        return screen_scale(size)
    return Scale(tuple((low + high) / 2), side / 2, clip=True)


def model_rate(fps: float, rates: tuple[float, ...]) -> float:
    """The frame rate at which a model sees a video.

    Args:
        fps: the video's.
        rates: that the model was trained at; what lies between is left as it is.
    """
    low, high = min(rates), max(rates)
    if low * (1 - _SAME_RATE) <= fps <= high * (1 + _SAME_RATE):
        return fps
    return low if fps < low else high


def at_rate(
    keypoints: Float[np.ndarray, "frames joints 3"], fps: float, rate: float
) -> Float[np.ndarray, "new_frames joints 3"]:
    """Keypoints at times 0, 1/rate, ... up to the last frame's or just beyond it.

    Between frames on Catmull-Rom's cubic; where a new frame takes the place of 1.5 or more, means
    over its period, the frames nearer to its middle counting more, so that little aliases.  Of
    places they are also weighted by the confidence's square, as a place with half of it is about
    twice as far off.

    Args:
        keypoints: x, y, confidence.
        fps: their frame rate.
        rate: the new one.
    """
    if rate == fps or len(keypoints) == 1:
        return keypoints
    ratio, last = fps / rate, len(keypoints) - 1
    at = np.arange(int(np.ceil(last / ratio - 1e-9)) + 1) * ratio
    if ratio < 1.5:
        return interpolated(keypoints, at)
    at = np.minimum(at, last)
    half = int(np.ceil(ratio / 2))
    frames = np.rint(at).astype(int)[:, None] + np.arange(-half, half + 1)
    near = np.maximum(1 - np.abs(frames - at[:, None]) / (ratio / 2), 0)
    near *= (frames >= 0) & (frames <= last)
    near = (near / near.sum(1, keepdims=True))[..., None, None]
    given = keypoints[np.clip(frames, 0, last)].astype(np.float64)
    weights = near * (given[..., 2:] ** 2 + _LEAST_WEIGHT)
    places = (weights * given[..., :2]).sum(1) / weights.sum(1)
    return np.concatenate([places, (near * given[..., 2:]).sum(1)], axis=-1)


def interpolated(
    values: Float[np.ndarray, " frames *rest"], at: Float[np.ndarray, " times"]
) -> Float[np.ndarray, " times *rest"]:
    """Values between frames, on Catmull-Rom's cubic; beyond the ends the end value.

    Args:
        values: at frames 0, 1, ...
        at: places, in frames.
    """
    last = len(values) - 1
    at = np.clip(at, 0, last)
    left = np.minimum(at.astype(int), max(last - 1, 0))
    t = (at - left).reshape(-1, *[1] * (values.ndim - 1))
    p0, p1, p2, p3 = (values[np.clip(left + k, 0, last)] for k in (-1, 0, 1, 2))
    cubic = p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    return p1 + 0.5 * t * cubic
