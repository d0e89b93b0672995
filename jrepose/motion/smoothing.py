"""Options after lifting, off unless asked for: smoothing, feet that do not slide."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

from jrepose.errors import InputError
from jrepose.motion.camera_space import ANKLE_SHARE
from jrepose.motion.upright import contacts
from jrepose.skeleton import Skeleton

_STEP_S = 0.12  # shorter contacts are no steps
_BLEND_S = 0.08
_FARTHEST_M = 0.25  # that a foot is moved


class OneEuro:
    """The One-Euro filter: a low-pass whose cutoff grows with speed (Casiez et al., CHI 2012).

    Its state is one value and one speed of each coordinate, so that it runs along with a stream.

    Args:
        fps: frames per second.
        min_cutoff: Hz, at rest.
        beta: Hz more for each unit per second.
        speed_cutoff: Hz, of the speed.
    """

    def __init__(
        self, fps: float, min_cutoff: float = 1.5, beta: float = 2.0, speed_cutoff: float = 1.0
    ):
        self._fps, self._min_cutoff, self._beta = fps, min_cutoff, beta
        self._speed_share = self._share(speed_cutoff)
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | float = 0.0

    def _share(self, cutoff: np.ndarray | float) -> np.ndarray | float:
        rate = 2 * np.pi * cutoff / self._fps
        return rate / (rate + 1)

    def __call__(self, value: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The next value, smoothed."""
        if self._value is None:
            self._value = value.astype(np.float64)
            return value
        speed = (value - self._value) * self._fps
        self._speed = self._speed + self._speed_share * (speed - self._speed)
        share = self._share(self._min_cutoff + self._beta * np.abs(self._speed))
        self._value = self._value + share * (value - self._value)
        return self._value.astype(value.dtype)


def one_euro(
    poses: Float[np.ndarray, "frames joints 3"], fps: float, min_cutoff: float = 1.5
) -> Float[np.ndarray, "frames joints 3"]:
    """Every coordinate through `OneEuro`, forwards and backwards, so that nothing lags."""
    there, back = OneEuro(fps, min_cutoff), OneEuro(fps, min_cutoff)
    forwards = np.stack([there(pose) for pose in poses])
    backwards = np.stack([back(pose) for pose in poses[::-1]])[::-1]
    return (forwards + backwards) / 2


def savitzky_golay(
    poses: Float[np.ndarray, "frames joints 3"], fps: float, seconds: float = 0.25
) -> Float[np.ndarray, "frames joints 3"]:
    """A quadratic fitted to a window of that length around every frame."""
    window = min(2 * round(seconds * fps / 2) + 1, len(poses) - (len(poses) + 1) % 2)
    if window < 5:
        return poses
    return savgol_filter(poses, window, 2, axis=0, mode="interp").astype(poses.dtype)


SMOOTHERS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"one_euro": one_euro, "savitzky_golay": savitzky_golay}
)
"""Name -> function of poses, frames per second and, if given, its one parameter."""


def smoother(spec: str) -> Callable[[np.ndarray, float], np.ndarray]:
    """The smoother that `NAME` or `NAME:VALUE` asks for, `"one_euro:1"` or `"savitzky_golay:0.3"`.

    A number alone is the seconds of `savitzky_golay`.

    Raises:
        InputError: no such name, or no positive value.
    """
    spec = str(spec).strip().lower().replace("-", "_")
    if re.fullmatch(r"[0-9.]+", spec):
        spec = f"savitzky_golay:{spec}"
    name, colon, value = spec.partition(":")
    if name not in SMOOTHERS:
        raise InputError(f"unknown smoothing {name!r}; expected {' or '.join(SMOOTHERS)}, and "
                         ":VALUE for its hertz or seconds")  # fmt: skip
    if not colon:
        return SMOOTHERS[name]
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not 0 < number < 1e3:
        raise InputError(f"smoothing {spec!r}: expected a positive number after the colon")
    return lambda poses, fps: SMOOTHERS[name](poses, fps, number)


def with_feet_locked(
    poses_m: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    *,
    fps: float,
    height_m: float,
) -> Float[np.ndarray, "frames joints 3"]:
    """Standing feet stay where they stand: ankles at one place for each contact, knees follow.

    Contacts are those of `upright.contacts` of at least 0.12 s; ankles go to the median place of
    the contact and to their height above the floor, blended in and out; the knee moves so that
    thigh and shank keep their lengths.

    Args:
        poses_m: world axes, the floor at z = 0.
        skeleton: joint order with hips, knees and ankles; others are returned as they are.
        fps: frames per second.
        height_m: of the person.
    """
    legs = [[f"{side}_{part}" for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
    if not all(name in skeleton.joint_names for leg in legs for name in leg) or len(poses_m) < 3:
        return poses_m
    joints = [[skeleton.index(name) for name in leg] for leg in legs]
    poses = poses_m.astype(np.float64)
    standing = contacts(poses[:, [leg[2] for leg in joints]], fps, height_m)
    for (hip, knee, ankle), here in zip(joints, standing.T, strict=True):
        offset, share = np.zeros((len(poses), 3)), np.zeros(len(poses))
        for start, stop in _runs(here, max(2, round(_STEP_S * fps))):
            place = np.median(poses[start:stop, ankle], axis=0)
            place[2] = ANKLE_SHARE * height_m
            offset[start:stop] = place - poses[start:stop, ankle]
            share[start:stop] = 1
        if not share.any():
            continue
        width = _BLEND_S * fps
        weight = gaussian_filter1d(share, width, mode="nearest")
        smooth = gaussian_filter1d(offset, width, axis=0, mode="nearest")
        moved = np.where(
            share[:, None] > 0, offset, smooth / np.maximum(weight, 1e-3)[:, None] * weight[:, None]
        )
        length = np.linalg.norm(moved, axis=-1, keepdims=True)
        moved *= np.minimum(1, _FARTHEST_M / np.maximum(length, 1e-9))
        target = poses[:, ankle] + moved
        poses[:, knee], poses[:, ankle] = _leg(poses[:, [hip, knee, ankle]], target)
    return poses.astype(poses_m.dtype)


def _runs(here: Bool[np.ndarray, " frames"], least: int) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], here.astype(np.int8), [0]])))
    pairs = edges.reshape(-1, 2).tolist()
    return [(start, stop) for start, stop in pairs if stop - start >= least]


def _leg(
    leg: Float[np.ndarray, "frames 3 3"], target: Float[np.ndarray, "frames 3"]
) -> tuple[Float[np.ndarray, "frames 3"], Float[np.ndarray, "frames 3"]]:
    """Knee and ankle of a leg that reaches for a place; both bones keep their lengths."""
    hip, knee = leg[:, 0], leg[:, 1]
    thigh = np.linalg.norm(knee - hip, axis=-1)
    shank = np.linalg.norm(leg[:, 2] - knee, axis=-1)
    reach = target - hip
    distance = np.linalg.norm(reach, axis=-1)
    low, high = np.abs(thigh - shank) + 1e-6, thigh + shank - 1e-6
    possible = np.clip(distance, np.minimum(low, high), high)
    along = reach / np.maximum(distance, 1e-9)[:, None]
    aside = knee - hip
    aside = aside - (aside * along).sum(-1, keepdims=True) * along
    width = np.linalg.norm(aside, axis=-1, keepdims=True)
    aside = np.where(width > 1e-6, aside / np.maximum(width, 1e-9), 0)
    foot = (thigh**2 - shank**2 + possible**2) / (2 * np.maximum(possible, 1e-9))
    out = np.sqrt(np.maximum(thigh**2 - foot**2, 0))
    return hip + foot[:, None] * along + out[:, None] * aside, hip + possible[:, None] * along
