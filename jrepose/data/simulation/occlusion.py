"""Self-occlusion: which joints the person's own body hides from a camera.

The body is a set of capsules (cylinders with round ends) hung on the joints: three for the
torso, one each for neck, head, upper arms, forearms with hands, thighs and shanks.  A joint
is hidden where the line of sight from the camera passes through a capsule that is closer to
the camera than the joint and does not belong to the joint's own limbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int8

from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, Skeleton

_FRAMES_AT_ONCE = 1024


@dataclass(frozen=True)
class Capsule:
    """A limb's flesh: all points within `radius_mm` of the segment between two points.

    Each end is a weighted sum of joints, `{joint name: weight}` with weights adding up to 1;
    weights outside [0, 1] extend a limb beyond its joints.

    Args:
        name: what it models.
        start, end: the segment's ends.
        radius_mm: thickness, millimetres.
        own: joints that this capsule never hides: those inside or next to it.
    """

    name: str
    start: tuple[tuple[str, float], ...]
    end: tuple[tuple[str, float], ...]
    radius_mm: float
    own: tuple[str, ...]


def _body() -> tuple[Capsule, ...]:
    trunk = ("pelvis", "spine", "thorax", "neck", "left_hip", "right_hip")
    shoulders = ("left_shoulder", "right_shoulder")
    capsules = [
        Capsule("trunk", (("pelvis", 1.0),), (("thorax", 1.0),), 105.0, trunk + shoulders),
        Capsule("neck", (("thorax", 1.0),), (("neck", 1.0),), 55.0,
                ("thorax", "neck", "head", *shoulders)),
        # From the nose joint's height up to a head's radius below the crown.
        Capsule("head", (("neck", 1.0),), (("neck", 0.4), ("head", 0.6)), 90.0,
                ("neck", "head", "thorax")),
    ]  # fmt: skip
    for side in ("left", "right"):
        hip, knee, ankle, shoulder, elbow, wrist = (
            f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
        )
        capsules += [
            Capsule(f"{side} flank", ((hip, 0.7), ("pelvis", 0.3)),
                    ((shoulder, 0.55), ("thorax", 0.45)), 90.0, trunk + shoulders),
            Capsule(f"{side} upper arm", ((shoulder, 1.0),), ((elbow, 1.0),), 45.0,
                    (shoulder, elbow)),
            # Longer than the bone: the hand belongs to it.
            Capsule(f"{side} forearm", ((elbow, 1.0),), ((elbow, -0.5), (wrist, 1.5)), 38.0,
                    (elbow, wrist)),
            Capsule(f"{side} thigh", ((hip, 1.0),), ((knee, 1.0),), 70.0, (hip, knee, "pelvis")),
            Capsule(f"{side} shank", ((knee, 1.0),), ((ankle, 1.0),), 50.0, (knee, ankle)),
        ]  # fmt: skip
    return tuple(capsules)


HUMAN36M_BODY = _body()
"""An adult's capsules on the Human3.6M joints; radii after typical adult limb girths."""


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What the body hides.

    Args:
        hidden: whether the joint is hidden.
        occluder: index of the hiding capsule, the one deepest across the line of sight; -1
            where none hides the joint.
        toward_mm: from the joint to the nearest point of the occluder's axis, camera axes,
            mm; zero where the joint is not hidden.
    """

    hidden: Bool[np.ndarray, "frames joints"]
    occluder: Int8[np.ndarray, "frames joints"]
    toward_mm: Float32[np.ndarray, "frames joints 3"]


def self_occlusion(
    poses_camera_mm: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton = HUMAN36M_17,
    *,
    capsules: tuple[Capsule, ...] = HUMAN36M_BODY,
    radius_scale: float = 1.0,
    clearance_mm: float = 30.0,
) -> Occlusion:
    """Joints hidden by the body, for a camera at the origin.

    Args:
        poses_camera_mm: joints in camera axes, mm.
        skeleton: joint order; needs the joints that the capsules name.
        capsules: the body.
        radius_scale: factor on all radii; 0 gives a body of thin lines that hides nothing.
        clearance_mm: how much closer to the camera than the joint the capsule's axis must be.

    Raises:
        InputError: the skeleton lacks a joint of the capsules.
    """
    starts = _mixing_matrix([c.start for c in capsules], skeleton)
    ends = _mixing_matrix([c.end for c in capsules], skeleton)
    radii = np.array([c.radius_mm for c in capsules], np.float32) * np.float32(radius_scale)
    joints = skeleton.num_joints
    foreign = np.ones((joints, len(capsules)), bool)
    for c, capsule in enumerate(capsules):
        foreign[[skeleton.index(name) for name in capsule.own], c] = False

    frames = len(poses_camera_mm)
    hidden = np.zeros((frames, joints), bool)
    occluder = np.full((frames, joints), -1, np.int8)
    toward = np.zeros((frames, joints, 3), np.float32)
    # Chunks keep the intermediate arrays in the processor's cache.
    for first in range(0, frames, _FRAMES_AT_ONCE):
        chunk = slice(first, first + _FRAMES_AT_ONCE)
        points = np.asarray(poses_camera_mm[chunk], np.float32)
        a, b = starts @ points, ends @ points
        best_depth = np.zeros(points.shape[:2], np.float32)
        for c in range(len(capsules)):
            own = np.flatnonzero(foreign[:, c])
            depth, nearest = _depth_in_capsule(
                points[:, own], a[:, c, None], b[:, c, None], radii[c], clearance_mm
            )
            better = depth > best_depth[:, own]
            frame, k = np.nonzero(better)
            joint = own[k]
            best_depth[frame, joint] = depth[frame, k]
            hidden[first + frame, joint] = True
            occluder[first + frame, joint] = c
            toward[first + frame, joint] = nearest[frame, k] - points[frame, joint]
    return Occlusion(hidden, occluder, toward)


def _depth_in_capsule(
    points: Float32[np.ndarray, "frames joints 3"],
    start: Float32[np.ndarray, "frames 1 3"],
    end: Float32[np.ndarray, "frames 1 3"],
    radius: np.float32,
    clearance: float,
) -> tuple[Float32[np.ndarray, "frames joints"], Float32[np.ndarray, "frames joints 3"]]:
    """How deep the lines of sight pass in a capsule, mm (<= 0: not), and where on its axis.

    The line of sight is s p with s in [0, 1], the axis a + t (b - a) with t in [0, 1]; the
    closest points of two segments follow Ericson, Real-Time Collision Detection, 5.1.9.
    """
    axis = end - start
    pp = _dot(points, points)
    dd = np.maximum(_dot(axis, axis), np.float32(1e-6))
    pd = _dot(points, axis)
    pa = _dot(points, start)
    da = _dot(axis, start)
    # Zero only where the sight line runs along the axis; any s serves there.
    denominator = np.maximum(pp * dd - pd * pd, np.float32(1e-6) * pp * dd)
    s = np.clip((pa * dd - pd * da) / denominator, 0, 1)
    t = np.clip((s * pd - da) / dd, 0, 1)
    s = np.clip((pa + t * pd) / pp, 0, 1)
    nearest = start + t[..., None] * axis
    gap = s[..., None] * points - nearest
    depth = radius - np.sqrt(_dot(gap, gap))
    in_front = nearest[..., 2] < points[..., 2] - np.float32(clearance)
    return np.where(in_front, depth, np.float32(-1)), nearest


def _dot(
    a: Float32[np.ndarray, "*#points 3"], b: Float32[np.ndarray, "*#points 3"]
) -> Float32[np.ndarray, "*#points"]:
    return np.einsum("fjk,fjk->fj", a, b)


def _mixing_matrix(
    ends: list[tuple[tuple[str, float], ...]], skeleton: Skeleton
) -> Float32[np.ndarray, "capsules joints"]:
    """Rows of joint weights, one per capsule end."""
    matrix = np.zeros((len(ends), skeleton.num_joints), np.float32)
    for row, weights in enumerate(ends):
        for name, weight in weights:
            matrix[row, skeleton.index(name)] += weight
        if abs(matrix[row].sum() - 1) > 1e-5:
            raise InputError(f"capsule end {weights}: weights add up to {matrix[row].sum():.4g}")
    return matrix
