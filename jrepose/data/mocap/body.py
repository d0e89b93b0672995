"""What a motion must look like to be a person's: unit, up axis, floor, proportions, speed.

Motion files do not say their unit or axes.  A body does: legs have a length, people stand, and
something of them is on the floor.  What cannot be told so is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.camera import unit_vectors
from jrepose.data.mocap.cmu import MM_PER_UNIT
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

UNITS: Mapping[str, float] = MappingProxyType(
    {"mm": 1.0, "cm": 10.0, "inch": 25.4, "cmu": MM_PER_UNIT, "m": 1000.0}
)
"""Millimetres of the units that motion files are written in."""

_UP: Mapping[str, tuple[tuple[int, int], ...]] = {
    "x": ((1, 1), (2, 1), (0, 1)),
    "-x": ((2, 1), (1, 1), (0, -1)),
    "y": ((0, 1), (2, -1), (1, 1)),
    "-y": ((0, 1), (2, 1), (1, -1)),
    "z": ((0, 1), (1, 1), (2, 1)),
    "-z": ((0, 1), (1, -1), (2, -1)),
}
"""Up axis -> which axis, with which sign, becomes x, y and z of a world whose z is up."""

UP_AXES = tuple(_UP)

_LEG_MM = (550.0, 1150.0)  # hip to ankle; CMU's subjects have 756 to 908
_GUESSED_LEG_MM = (600.0, 1100.0)  # narrow enough that no two units fit
_STATED_LEG_MM = (250.0, 1400.0)  # children too
_REACH_MM = 1e6
_SPEED_MM = 15_000.0  # of the pelvis, per second: nobody runs as fast
_FLOOR_MM = (-300.0, 600.0)  # of the lowest joint: beyond, the floor is not at zero
_ANKLE_MM = 80.0  # its usual height
_UPRIGHT = np.cos(np.pi / 4)
_SECONDS_OF_KNEES = 2.0  # both counted; a shorter motion can be anything
_USUAL, _HARDLY_EVER = 0.6, 0.1  # shares of a clip

# Lengths in those of the legs; CMU's subjects have 0.53 to 0.61, 0.47 to 0.6, 0.74 to 1.05.
_PROPORTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[float, float]]] = {
    "right leg": (
        ("right_hip", "right_knee", "right_ankle"),
        ("left_hip", "left_knee", "left_ankle"),
        (0.8, 1.25),
    ),
    "thigh": (("left_hip", "left_knee"), ("left_knee", "left_ankle"), (0.4, 2.5)),
    "left arm": (
        ("left_shoulder", "left_elbow", "left_wrist"),
        ("left_hip", "left_knee", "left_ankle"),
        (0.3, 1.2),
    ),
    "right arm": (
        ("right_shoulder", "right_elbow", "right_wrist"),
        ("left_hip", "left_knee", "left_ankle"),
        (0.3, 1.2),
    ),
    "trunk": (
        ("pelvis", "spine", "thorax"),
        ("left_hip", "left_knee", "left_ankle"),
        (0.25, 1.2),
    ),
}


def unit_of(
    path: str, positions: Float[np.ndarray, "frames 17 3"], own: float | None, stated: float | None
) -> tuple[float, list[str]]:
    """Millimetres of one unit of length, and what was assumed, in words.

    Args:
        path: for messages.
        positions: in the file's unit.
        own: millimetres of the file's own unit, where the file or its origin tells it.
        stated: by the user, which only a body beyond all measure contradicts.

    Raises:
        InputError: no unit makes this a person, or its proportions are nobody's.
    """
    if not np.abs(positions).max() <= _REACH_MM:  # nor where a product overflowed to NaN
        raise InputError(f"{path}: the motion leaves the 1 km around its origin")
    leg = _length(positions, "left_hip", "left_knee", "left_ankle")
    for part, (joints, other, (low, high)) in _PROPORTIONS.items():
        size, measure = _length(positions, *joints), _length(positions, *other)
        if not low * measure <= size <= high * measure:
            raise InputError(
                f"{path}: not a body's proportions: {part} of {size:.3g} units beside "
                f"{measure:.3g} of {' to '.join((other[0], other[-1]))}; expected "
                f"{low:g} to {high:g} times as much"
            )
    notes = []
    if stated is not None:
        unit, (low, high) = stated, _STATED_LEG_MM
    elif own is not None and _LEG_MM[0] <= leg * own <= _LEG_MM[1]:
        unit, (low, high) = own, _LEG_MM
    else:
        fitting = {
            name: size
            for name, size in UNITS.items()
            if _GUESSED_LEG_MM[0] <= leg * size <= _GUESSED_LEG_MM[1]
        }
        if len(fitting) != 1:
            known = "" if own is None else f" ({leg * own:.0f} mm in its own unit)"
            raise InputError(
                f"{path}: legs of {leg:.4g} units{known}: of no unit of "
                f"{', '.join(UNITS)} a grown person's; index.csv can state the unit"
            )
        ((name, unit),) = fitting.items()
        (low, high) = _GUESSED_LEG_MM
        notes.append(f"unit taken to be {name}, which makes legs of {leg * unit:.0f} mm")
    if not low <= leg * unit <= high:
        raise InputError(
            f"{path}: legs of {leg * unit:.0f} mm in units of {unit:.4g} mm: expected "
            f"{low:.0f} to {high:.0f} mm"
        )
    if not np.abs(positions).max() * unit <= _REACH_MM:
        raise InputError(f"{path}: the motion leaves the 1 km around its origin")
    return unit, notes


def up_of(
    path: str,
    positions_mm: Float[np.ndarray, "frames 17 3"],
    rest_mm: Float[np.ndarray, "17 3"],
    stated: str | None,
) -> tuple[str, list[str]]:
    """The axis that points up, and what was assumed, in words.

    Motion files have y up, unless the body stands along another axis for most of the clip and
    hardly ever along y.  That could be someone who lies: so the zero pose must stand along that
    axis too, or only along it something must be always near the floor at zero.

    Raises:
        InputError: it cannot be told.
    """
    if stated is not None:
        return stated, []
    body = _heads_from_feet(positions_mm)
    share = {}
    for axis in UP_AXES:
        sign, number = (-1 if axis[0] == "-" else 1), "xyz".index(axis[-1])
        share[axis] = float((sign * body[:, number] > _UPRIGHT).mean())
    best = max(share, key=lambda axis: share[axis])
    if best == "y" or share[best] < _USUAL or share["y"] > _HARDLY_EVER:
        return "y", []
    note = f"{best} taken to be up, along which the body stands in {share[best]:.0%} of the frames"
    stands_at_rest = _standing_axis(rest_mm)
    if stands_at_rest == best:
        return best, [note]
    floors = {axis: _on_floor(z_up(positions_mm, axis)) for axis in (best, "y")}
    if floors[best] and not floors["y"]:
        return best, [note]
    if (floors["y"] or stands_at_rest == "y") and not floors[best]:
        return "y", [f"y taken to be up, although the body lies along {best}"]
    raise InputError(
        f"{path}: the body is along {best} in {share[best]:.0%} of the frames: lying, or "
        f"standing with {best} up; index.csv can state up, {' or '.join(('y', best))}"
    )


def z_up(positions: Float[np.ndarray, "*any 3"], up: str) -> Float[np.ndarray, "*any 3"]:
    """Turned so that the axis `up` becomes z; right-handed axes stay right-handed."""
    return np.stack([sign * positions[..., axis] for axis, sign in _UP[up]], axis=-1)


def floor_of(
    positions_mm: Float[np.ndarray, "frames 17 3"], rest_offset_mm: Float[np.ndarray, " 3"]
) -> tuple[Float[np.ndarray, " 3"], list[str]]:
    """What to add so that the floor is near zero, and what was assumed, in words.

    Args:
        positions_mm: z up.
        rest_offset_mm: where the root rests by its file; some programs mean the root's
            positions on top of it.
    """
    low = _lowest(positions_mm)
    added = low + rest_offset_mm[2]
    if abs(rest_offset_mm[2]) > 100 and abs(added) < abs(low) - 100 and _is_floor(added):
        return rest_offset_mm, ["the root's positions were added to its OFFSET: so feet are down"]
    if _is_floor(low):
        return np.zeros(3), []
    return np.array([0.0, 0.0, _ANKLE_MM - low]), [
        f"the floor was moved: the lowest joint was at {low / 1000:.2f} m"
    ]


def check_motion(
    path: str, positions_mm: Float[np.ndarray, "frames 17 3"], frame_rate: float
) -> list[str]:
    """What is odd about a motion, in words.

    Args:
        path: for messages.
        positions_mm: z up.
        frame_rate: frames per second.

    Raises:
        InputError: nobody is as fast.
    """
    pelvis = positions_mm[:, HUMAN36M_17.root]
    speed = np.linalg.norm(np.diff(pelvis, axis=0), axis=-1) * frame_rate
    if len(speed) and np.median(speed) > _SPEED_MM:
        raise InputError(
            f"{path}: moves at {np.median(speed) / 1000:.0f} m/s: expected at most "
            f"{_SPEED_MM / 1000:.0f} m/s; {frame_rate:g} frames per second may be wrong"
        )
    across = positions_mm[:, _joint("left_hip")] - positions_mm[:, _joint("right_hip")]
    front = unit_vectors(np.cross(across, positions_mm[:, _joint("thorax")] - pelvis))
    bends = []
    for side in ("left", "right"):
        hip, knee, ankle = (
            positions_mm[:, _joint(f"{side}_{part}")] for part in ("hip", "knee", "ankle")
        )
        bends.append(((knee - (hip + ankle) / 2) * front).sum(-1))
    bends = np.concatenate(bends)
    bends = bends[np.abs(bends) > 30]  # mm; a straight knee tells nothing
    if len(bends) > _SECONDS_OF_KNEES * frame_rate and (bends < 0).mean() > 0.9:
        return ["knees bend backwards: left and right are exchanged, or axes are left-handed"]
    return []


def _joint(name: str) -> int:
    return HUMAN36M_17.index(name)


def _length(positions: Float[np.ndarray, "frames 17 3"], *joints: str) -> float:
    """Median over frames of the length of a chain of joints."""
    chain = positions[:: max(1, len(positions) // 256), [_joint(name) for name in joints]]
    return float(np.median(np.linalg.norm(np.diff(chain, axis=1), axis=-1).sum(-1)))


def _heads_from_feet(positions: Float[np.ndarray, "frames 17 3"]) -> Float[np.ndarray, "frames 3"]:
    """Unit vectors from between the ankles to the head."""
    feet = positions[:, [_joint("left_ankle"), _joint("right_ankle")]].mean(1)
    return unit_vectors(positions[:, _joint("head")] - feet)


def _standing_axis(rest: Float[np.ndarray, "17 3"]) -> str | None:
    """Along which a zero pose stands; None where it is no standing body (legs up, as LAFAN1's)."""
    hips = rest[HUMAN36M_17.root]
    feet = rest[[_joint("left_ankle"), _joint("right_ankle")]].mean(0) - hips
    head = rest[_joint("head")] - hips
    size = np.linalg.norm(feet) * np.linalg.norm(head)
    if not size > 0 or feet @ head > -0.8 * size:
        return None
    body = (head - feet) / np.linalg.norm(head - feet)
    number = int(np.abs(body).argmax())
    if abs(body[number]) < 0.9:
        return None
    return ("-" if body[number] < 0 else "") + "xyz"[number]


def _on_floor(positions: Float[np.ndarray, "frames 17 3"]) -> bool:
    """Whether something is always near z = 0."""
    low, high = np.percentile(positions[..., 2].min(1), [5, 95])
    return _is_floor(float(low)) and bool(high - low < 300)


def _lowest(positions: Float[np.ndarray, "frames 17 3"]) -> float:
    return float(np.percentile(positions[..., 2].min(1), 2))


def _is_floor(height: float) -> bool:
    return bool(_FLOOR_MM[0] <= height <= _FLOOR_MM[1])
