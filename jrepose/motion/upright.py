"""From the camera's axes to an upright world on a floor: x right, y forward, z up, metres."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from jrepose.camera import unit_vectors
from jrepose.motion.camera_space import ANKLE_SHARE
from jrepose.skeleton import Skeleton

_BENT = 0.9  # of the other leg's reach: a leg that carries nothing
_STRAIGHT_DEG = 25.0  # between legs and trunk of who stands
_FARTHEST_DEG = 45.0  # of the vertical from the camera's, and of who stands from it
_ENOUGH = 0.05  # share of frames in which somebody must stand
_TRAVELLED_M = 0.7  # before a slope of the floor can be told
_STEEPEST = 0.35
_ROUNDS = 10
_CAMERA_UP = np.array([0.0, -1.0, 0.0])


def up_of_pitch(pitch_deg: float) -> Float[np.ndarray, " 3"]:
    """The vertical in the axes of a level-headed camera that looks down by an angle."""
    pitch = np.deg2rad(pitch_deg)
    return np.array([0.0, -np.cos(pitch), -np.sin(pitch)])


def up_of_body(
    poses_m: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, " 3"], float]:
    """The vertical in camera axes, from how the person stands and walks.

    The median direction from the ankle that carries, or both, to the shoulders, in the frames in
    which legs and trunk are in line.  Somebody who lies or does push-ups says nothing;
    then the camera is taken to be level.

    Args:
        poses_m: camera axes.
        skeleton: joint order.

    Returns:
        Unit vector, and the share of frames that it is from.
    """
    parts = [_both(poses_m, skeleton, part) for part in ("ankle", "hip", "shoulder")]
    if any(part is None for part in parts):
        return _CAMERA_UP, 0.0
    ankles, hips, shoulders = parts
    # The leg that is stretched carries; of two, both.
    reach = np.linalg.norm(ankles - hips, axis=-1)
    share = np.maximum(reach / reach.max(1, keepdims=True) - _BENT, 1e-3)
    share = share / share.sum(1, keepdims=True)
    ankles, hips, shoulders = (
        (ankles * share[..., None]).sum(1), hips.mean(1), shoulders.mean(1)
    )  # fmt: skip
    legs, trunk, whole = (
        unit_vectors(hips - ankles),
        unit_vectors(shoulders - hips),
        unit_vectors(shoulders - ankles),
    )
    standing = (legs * trunk).sum(-1) > np.cos(np.deg2rad(_STRAIGHT_DEG))
    standing &= whole @ _CAMERA_UP > np.cos(np.deg2rad(_FARTHEST_DEG))
    share = float(standing.mean())
    if share < _ENOUGH:
        return _CAMERA_UP, 0.0
    directions = whole[standing]
    up = unit_vectors(np.median(directions, axis=0))
    for _ in range(_ROUNDS):  # Weiszfeld's iteration for the geometric median
        away = np.linalg.norm(directions - up, axis=-1)
        up = unit_vectors((directions / np.maximum(away, 0.02)[:, None]).sum(0))
    return up, share


def to_world(
    poses_m: Float[np.ndarray, "*batch 3"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "*batch 3"]:
    """Points in camera axes in the world's; the camera is at the origin and looks along +y."""
    return poses_m @ world_axes(up).T


def world_axes(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """The world's axes, a row each, in the camera's."""
    away = np.array([0.0, 0.0, 1.0])
    forward = unit_vectors(away - (away @ up) * up)
    return np.stack([np.cross(forward, up), forward, up])


def ankles_of(skeleton: Skeleton) -> list[int]:
    """The ankles that a skeleton has."""
    names = skeleton.joint_names
    return [names.index(name) for name in ("left_ankle", "right_ankle") if name in names]


def contacts(
    feet: Float[np.ndarray, "frames feet 3"], fps: float, height_m: float
) -> Bool[np.ndarray, "frames feet"]:
    """Which feet stand: the lower ones (within a twentieth of the height), and slower than most.

    Args:
        feet: ankles in world axes.
        fps: frames per second.
        height_m: of the person.
    """
    lowest = feet[..., 2].min(1, keepdims=True)
    low = feet[..., 2] < lowest + 0.05 * height_m
    if len(feet) < 3:
        return low
    speed = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * fps
    slow = speed <= max(float(np.median(speed[low])), 0.15 * height_m)
    return low & slow


def on_floor(
    poses_m: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    *,
    fps: float,
    height_m: float,
) -> Float[np.ndarray, "frames joints 3"]:
    """The motion moved up or down so that feet stand on z = 0.

    An ankle of a standing foot is 0.046 of the height above the floor.  If the person travels, a
    slope of the feet's places, which is an error of depth or pitch, is taken out of the path; poses
    stay as they are.

    Args:
        poses_m: world axes.
        skeleton: joint order; without ankles the lowest joints stand.
        fps: frames per second.
        height_m: of the person.
    """
    ankles = ankles_of(skeleton)
    if not ankles:
        return poses_m - [0.0, 0.0, float(np.quantile(poses_m[..., 2].min(1), 0.05))]
    feet = poses_m[:, ankles]
    standing = contacts(feet, fps, height_m)
    places = feet[standing]
    slope = np.zeros(2)
    middle = np.median(places, axis=0)
    if np.ptp(places[:, :2], axis=0).max() > _TRAVELLED_M:
        slope = _slope(places - middle)
    path = poses_m[:, skeleton.root, :2] - middle[:2]
    poses_m = poses_m.copy()
    poses_m[..., 2] -= (path @ slope)[:, None]
    places = poses_m[:, ankles][standing]
    poses_m[..., 2] += ANKLE_SHARE * height_m - float(np.median(places[:, 2]))
    return poses_m


def _slope(places: Float[np.ndarray, "places 3"]) -> Float[np.ndarray, " 2"]:
    """dz/dx and dz/dy of a robust plane through places; zero where too steep to be a floor's."""
    extent = np.ptp(places[:, :2], axis=0)
    axes = extent > _TRAVELLED_M / 2
    weight = np.ones(len(places))
    design = np.concatenate([places[:, :2] * axes, np.ones((len(places), 1))], axis=-1)
    plane = np.zeros(3)
    for _ in range(_ROUNDS):
        left = design * weight[:, None]
        plane = np.linalg.lstsq(left, places[:, 2] * weight, rcond=None)[0]
        residual = np.abs(places[:, 2] - design @ plane)
        scale = max(float(np.median(residual)), 0.01)
        weight = 1 / np.sqrt(np.maximum(residual / (2 * scale), 1))
    steep = np.linalg.norm(plane[:2]) > _STEEPEST
    return np.zeros(2) if steep else plane[:2]


def _both(poses: np.ndarray, skeleton: Skeleton, part: str) -> np.ndarray | None:
    """[frames, (left, right), 3]; None if the skeleton has no such joints."""
    names = [f"left_{part}", f"right_{part}"]
    if not set(names) <= set(skeleton.joint_names):
        return None
    return poses[:, [skeleton.index(name) for name in names]]
