"""The same motion by people of other proportions, who hold their limbs otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.seeds import named_generator
from jrepose.skeleton import Skeleton, parents_first

# Bones that have their length in common, by the joint in which they end: the mean of their factor,
# and how much more than others they vary.  Where hips and shoulders are is not only the body's:
# capture systems and detectors differ.  CMU's shoulders are 0.93 of a thigh apart and its forearms
# 0.47 of one, where detectors see 0.8 and 0.6.
_PARTS = {
    "legs": (("knee", "ankle"), 1.0, 1.0),
    "hips": (("hip",), 1.0, 2.0),
    "trunk": (("spine", "thorax"), 1.0, 1.0),
    "head": (("neck", "head"), 1.0, 1.5),
    "shoulders": (("shoulder",), 0.9, 2.0),
    "upper arms": (("elbow",), 1.0, 1.0),
    "forearms": (("wrist",), 1.2, 2.5),
}

# What turns as a whole, by the joint it turns about, and how far in relation to others.
_TURNS = {
    "pelvis": 0.6,
    "spine": 0.7,
    "thorax": 0.3,
    "left_shoulder": 1.0,
    "right_shoulder": 1.0,
    "left_hip": 1.0,
    "right_hip": 1.0,
}
# Hinges, with the joints before and after them.
_HINGES = {"knee": ("hip", "ankle"), "elbow": ("shoulder", "wrist")}
_TURN_PERIOD_S = 0.6  # of the smoothing
_LARGEST_BEND = np.deg2rad(150)
# A hinge that is bent by less than the first does not tell its axis, by more than the second does.
_AXIS_UNKNOWN, _AXIS_KNOWN = np.deg2rad((4, 15))


def performances(
    recordings: Sequence[Recording],
    copies: int,
    body_spread: float,
    limb_spread_deg: float,
    seed: int,
) -> list[Recording]:
    """Each recording several times, by other bodies (`with_other_body`) and otherwise
    (`with_other_limbs`); the first copy keeps the recording's name."""
    out = []
    for recording in recordings:
        for copy in range(copies):
            name = f"{recording.name}_{copy + 1}" if copy else recording.name
            performed = dataclasses.replace(recording, name=name)
            if body_spread:
                performed = with_other_body(performed, body_spread, seed)
            if limb_spread_deg:
                performed = with_other_limbs(performed, limb_spread_deg, seed)
            out.append(performed)
    return out


def with_other_limbs(recording: Recording, spread_deg: float, seed: int) -> Recording:
    """A recording whose trunk, arms and legs are turned, and knees and elbows bent, by angles
    that change slowly: poses between and beyond those that were recorded.

    Bones keep their lengths, and hinges bend about the axes that they bend about.  How much
    differs between recordings, from nothing to twice the usual.  Feet slide and leave the floor.

    Args:
        recording: motion in the world, of Human3.6M's joints.
        spread_deg: standard deviation of the turns of arms and legs about each axis; the trunk
            turns less.
        seed: the turns are a pure function of it and of the recording's name.
    """
    rng = named_generator(seed, "limbs", recording.name)
    spread = np.deg2rad(spread_deg) * rng.uniform(0, 2)
    skeleton = recording.skeleton
    poses = np.array(recording.positions_mm, np.float64)
    for name, share in _TURNS.items():
        joint = skeleton.index(name)
        turns = share * spread * _slow(rng, recording, 3)
        if name == "pelvis":
            turns[:, 2] = 0  # cameras stand all round
        _turn_below(poses, skeleton, joint, turns)
    for side in ("left", "right"):
        for name, ends in _HINGES.items():
            joint, before, after = (skeleton.index(f"{side}_{n}") for n in (name, *ends))
            upper, lower = poses[:, joint] - poses[:, before], poses[:, after] - poses[:, joint]
            axis = np.cross(upper, lower)
            area = np.linalg.norm(axis, axis=-1)
            bend = np.arctan2(area, (upper * lower).sum(-1))
            known = np.clip((bend - _AXIS_UNKNOWN) / (_AXIS_KNOWN - _AXIS_UNKNOWN), 0, 1)
            wanted = bend + known * spread * _slow(rng, recording, 1)[:, 0]
            change = np.clip(wanted, np.minimum(bend, _AXIS_UNKNOWN), _LARGEST_BEND) - bend
            _turn_below(poses, skeleton, joint, axis * (change / np.maximum(area, 1e-9))[:, None])
    return dataclasses.replace(recording, positions_mm=poses.astype(np.float32))


def _slow(
    rng: np.random.Generator, recording: Recording, count: int
) -> Float[np.ndarray, "frames {count}"]:
    """Curves of mean 0 and standard deviation 1: half of it stays, half changes slowly."""
    sigma = _TURN_PERIOD_S * recording.frame_rate
    noise = gaussian_filter1d(
        rng.standard_normal((recording.frames, count)), sigma, axis=0, mode="nearest"
    )
    # White noise that is smoothed has a deviation of (2 sigma sqrt(pi)) ** -1/2.
    noise *= np.sqrt(2 * sigma * np.sqrt(np.pi))
    return (rng.standard_normal(count) + noise) / np.sqrt(2)


def _turn_below(
    poses: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    joint: int,
    turns: Float[np.ndarray, "frames 3"],
) -> None:
    """Turns what hangs on a joint about it, by rotation vectors in radians."""
    below = {joint}
    for child in parents_first(skeleton):
        if skeleton.parents[child] in below:
            below.add(child)
    below = sorted(below - {joint})
    turn = Rotation.from_rotvec(turns).as_matrix()
    centre = poses[:, joint, None]
    poses[:, below] = centre + (poses[:, below] - centre) @ turn.swapaxes(1, 2)


def with_other_body(recording: Recording, spread: float, seed: int) -> Recording:
    """A recording with bones of other lengths, all directions as they were.

    The path of the pelvis and its height go with the legs, so that feet stay where they stood.

    Args:
        recording: motion in the world.
        spread: standard deviation of the factor of most parts, cut at two of them; `_PARTS` has
            the others.
        seed: the factors are a pure function of it and of the recording's name.
    """
    rng = named_generator(seed, "proportions", recording.name)
    of_joint = {
        end: mean + spread * more * z
        for (ends, mean, more), z in zip(
            _PARTS.values(), rng.standard_normal(len(_PARTS)).clip(-2, 2), strict=True
        )
        for end in ends
    }
    skeleton = recording.skeleton
    old = np.asarray(recording.positions_mm, np.float64)
    new = old * of_joint["knee"]
    for joint in parents_first(skeleton)[1:]:
        parent, name = skeleton.parents[joint], skeleton.joint_names[joint]
        factor = of_joint.get(name.removeprefix("left_").removeprefix("right_"), 1.0)
        new[:, joint] = new[:, parent] + factor * (old[:, joint] - old[:, parent])
    return dataclasses.replace(recording, positions_mm=new.astype(np.float32))
