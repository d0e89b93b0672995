"""Motion at another frame rate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from jrepose.errors import InputError

_FILTER_ORDER = 8
_CUTOFF = 0.8  # of the new rate's Nyquist frequency
_PADDING = 40  # new frames before and after: the motion mirrored through its end points


def resample(
    positions: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, " frames"],
    source_rate: float,
    target_rate: float,
) -> tuple[Float[np.ndarray, "new_frames joints 3"], Bool[np.ndarray, " new_frames"]]:
    """The motion sampled at times 0, 1/target_rate, ... up to its last frame.

    When the rate falls, an eighth-order Butterworth low-pass at 0.8 of the new Nyquist
    frequency, run forwards and backwards (no delay), first removes what would alias.  A cubic
    spline then gives the positions at the new times.

    Args:
        positions: any unit.
        valid: a new frame is invalid when an invalid frame lies at most half a new period,
            or less than one old period, away; so every invalid frame is felt.
        source_rate, target_rate: frames per second.

    Raises:
        InputError: a rate is not a positive number.
    """
    for rate in (source_rate, target_rate):
        if not (np.isfinite(rate) and rate > 0):
            raise InputError(f"frame rate: expected a positive number, got {rate}")
    frames = len(positions)
    if frames < 2 or source_rate == target_rate:
        return positions, valid
    if target_rate < source_rate:
        low_pass = butter(_FILTER_ORDER, _CUTOFF * target_rate / 2, fs=source_rate, output="sos")
        # Long enough for the filter to come to rest, however short the clip.
        padding = int(np.ceil(_PADDING * source_rate / target_rate))
        padded = np.pad(
            positions,
            ((padding, padding), (0, 0), (0, 0)),
            mode="reflect",
            reflect_type="odd",
        )
        filtered = sosfiltfilt(low_pass, padded, axis=0, padtype=None)
        positions = filtered[padding:-padding]
    ratio = source_rate / target_rate
    new_frames = int(np.floor((frames - 1) / ratio + 1e-9)) + 1
    at = np.minimum(np.arange(new_frames) * ratio, frames - 1)
    resampled = CubicSpline(np.arange(frames), positions)(at)

    reach = max(1.0 - 1e-9, ratio / 2 + 1e-9)
    invalid_before = np.concatenate([[0], np.cumsum(~valid)])
    first = np.clip(np.ceil(at - reach), 0, frames - 1).astype(np.int64)
    last = np.clip(np.floor(at + reach), 0, frames - 1).astype(np.int64)
    return resampled, invalid_before[last + 1] == invalid_before[first]
