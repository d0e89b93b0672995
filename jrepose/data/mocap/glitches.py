"""Capture glitches: frames where the body jumps as no body can, or was not tracked.

Optical motion capture swaps markers for a few frames, switches from one marker assignment to
another, or holds a pose while the view is lost.  Each shows as a jump between two frames:
faster than any limb, or isolated - fast for one frame step and slow before and after.  What is
held shows in the angles, which repeat to the last digit as no measurement does.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator

_SPEED_LIMIT = 20_000.0  # mm/s; kicks and strikes in the CMU database stay below 16 m/s
_ACCELERATION_LIMIT = 700_000.0  # mm/s^2, with which an isolated jump would start and stop
_ISOLATION = 4.0  # times faster than the step before and the step after
_PULSE_SECONDS = 0.1  # a jump there and a jump back within this time enclose wrong frames
_STEP_SECONDS = 0.05  # bridged before and after a jump that does not come back
_HELD_SPEED = 1.0  # mm/s; slower than this the whole body is a held pose
_HELD_STEPS = 3  # fewer repetitions in a row may be a rate conversion


def find_glitches(
    positions_mm: Float[np.ndarray, "frames joints 3"], frame_rate: float
) -> Bool[np.ndarray, " frames"]:
    """True for the frames a jump makes unusable.  Needs the original frame rate.

    Between a jump and a jump back within 0.1 s: the frames in between.  Before a jump out of a
    held pose: the held frames but the first.  Otherwise: 0.05 s on both sides of the jump.
    """
    frames = len(positions_mm)
    glitch = np.zeros(frames, bool)
    if frames < 3:
        return glitch
    speed = np.linalg.norm(np.diff(positions_mm, axis=0), axis=-1) * frame_rate
    jumps = np.flatnonzero(_is_jump(speed, frame_rate))  # jump k leads from frame k to k + 1
    body_speed = speed.max(axis=1)
    pulse = max(1, round(_PULSE_SECONDS * frame_rate))
    step = max(1, round(_STEP_SECONDS * frame_rate))
    position = 0
    while position < len(jumps):
        jump = jumps[position]
        last = position
        while last + 1 < len(jumps) and jumps[last + 1] - jumps[last] <= pulse:
            last += 1
        held = jump
        while held > 0 and body_speed[held - 1] < _HELD_SPEED:
            held -= 1
        if last > position:
            glitch[jump + 1 : jumps[last] + 1] = True
        elif jump - held > 1:
            glitch[held + 1 : jump + 1] = True
        else:
            glitch[max(jump + 1 - step, 0) : jump + 1 + step] = True
        position = last + 1
    return glitch


def find_untracked(
    values: Float[np.ndarray, "frames values"],
) -> Bool[np.ndarray, " frames"]:
    """True for frames with more than half of the joint angles repeated from the frame before.

    Args:
        values: the file's angles and positions; those that never change are not counted.

    Returns:
        Runs of at least three repeated frames; at the start of the clip with the frame that
        they repeat, which elsewhere is the last tracked one.
    """
    untracked = np.zeros(len(values), bool)
    steps = np.diff(values, axis=0)
    moving = (steps != 0).any(axis=0)
    if not moving.any():
        return untracked
    held = (steps[:, moving] == 0).mean(axis=1) > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2):  # held[k]: frame k + 1 repeats frame k
        if stop - first >= _HELD_STEPS:
            untracked[first + (first > 0) : stop + 1] = True
    return untracked


def _is_jump(
    speed: Float[np.ndarray, "steps joints"], frame_rate: float
) -> Bool[np.ndarray, " steps"]:
    steps, joints = speed.shape
    # Nothing is known beyond the ends: as fast as the end itself, so never isolated there.
    before = np.concatenate([speed[:1], speed[:-1]])
    after = np.concatenate([speed[1:], speed[-1:]])
    isolated = _stands_out(speed, np.maximum(before, after), frame_rate)
    # One wrong frame: two fast steps in a row, slow around them.
    there_and_back = np.minimum(speed[1:-2], speed[2:-1])
    spike = _stands_out(there_and_back, np.maximum(speed[:-3], speed[3:]), frame_rate)
    isolated[1:-2] |= spike
    isolated[2:-1] |= spike
    return (isolated | (speed > _SPEED_LIMIT)).any(axis=1)


def _stands_out(
    speed: Float[np.ndarray, "steps joints"],
    around: Float[np.ndarray, "steps joints"],
    frame_rate: float,
) -> Bool[np.ndarray, "steps joints"]:
    return (speed > _ISOLATION * around) & ((speed - around) * frame_rate > _ACCELERATION_LIMIT)


def bridge(
    positions_mm: Float[np.ndarray, "frames joints 3"], glitch: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames joints 3"]:
    """The motion with glitch frames interpolated from the others (monotone cubic).

    Before the first and after the last good frame the nearest good pose is held.  Without any
    good frame nothing is changed.
    """
    good = np.flatnonzero(~glitch)
    if len(good) == len(glitch) or len(good) < 2:
        return positions_mm
    bridged = positions_mm.copy()
    bad = np.flatnonzero(glitch)
    at = np.clip(bad, good[0], good[-1])
    bridged[bad] = PchipInterpolator(good, positions_mm[good])(at)
    return bridged
