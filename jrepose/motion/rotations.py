"""Rotations of a skeleton's joints from the positions alone.

Positions do not say how a bone is turned about itself.  A joint with several children gets a
frame: the bone up the body and the line from right to left.  A bone before a hinge (knee,
elbow) is turned so that the hinge bends in its own plane.  All other joints turn by the smallest
rotation that points their bone.

Children of one joint move against each other (shoulders, hips), which rigid offsets cannot
say: each gets a joint of its own, without length, at the place of the parent.  So positions
are exact wherever bones are of constant length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from jrepose.camera import unit_vectors
from jrepose.motion import rest_pose
from jrepose.motion.bones import bone_directions, bone_lengths
from jrepose.skeleton import Skeleton, parents_first

_PLANE_FROM, _PLANE_FULL = math.sin(math.radians(4)), math.sin(math.radians(12))
"""A hinge bent by less tells nothing about its plane, by more tells all."""
_MEMORY_SECONDS = ((0.08, 1.0), (0.5, 0.05))
"""For how long, with which weight, a straight limb keeps the plane that it bent in."""
_DOUBT = 1e-3  # weight of the plane that the smallest rotation gives


@dataclass(frozen=True, eq=False)
class Turned:
    """One joint of a hierarchy of rigid parts.

    Args:
        name: unique.
        parent: position in the list, -1 for the root.
        joint: index in the skeleton; None for one that only turns.
        offset: from the parent at rest.
        rotation: relative to the parent.
        tip: from a limb's last joint to its end; None elsewhere.
    """

    name: str
    parent: int
    joint: int | None
    offset: Float[np.ndarray, " 3"]
    rotation: Float[np.ndarray, "frames 3 3"]
    tip: Float[np.ndarray, " 3"] | None = None


def fit_rotations(
    poses: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton, fps: float | int
) -> list[Turned]:
    """A hierarchy in a T-pose whose joints, turned, have the poses' directions.

    Args:
        poses: y up, any unit; a person who faces z has the left side towards x.
        skeleton: joint order.
        fps: frames per second.

    Returns:
        Each after its parent, a whole limb before the next one; the root first, with offset zero.
        Bones have `bone_lengths` of the poses.
    """
    fit = _Fit(poses, skeleton, fps)
    for joint in parents_first(skeleton):
        fit.add(joint)
    return fit.parts


class _Fit:
    def __init__(self, poses: np.ndarray, skeleton: Skeleton, fps: float | int):
        self.skeleton, self.fps = skeleton, fps
        self.lengths = bone_lengths(poses, skeleton)
        self.directions = bone_directions(poses, skeleton)
        self.children = [
            [child for parent, child in skeleton.limbs if parent == joint]
            for joint in range(skeleton.num_joints)
        ]
        self.rest = [rest_pose.direction(skeleton, j) for j in range(skeleton.num_joints)]
        self.parts: list[Turned] = []
        # For each joint that waits: the part above it, that part's rotation in the world, and
        # whether the joint needs a part without length.
        upright = np.broadcast_to(np.eye(3), (len(poses), 3, 3))
        self.above: dict[int, tuple[int, np.ndarray, bool]] = {skeleton.root: (-1, upright, False)}
        self.names = set(skeleton.joint_names)

    def add(self, joint: int) -> None:
        """Appends a joint, and before it a part without length where it needs one."""
        parent, around, needs_base = self.above.pop(joint)
        if needs_base:
            world = _swing(around, self.rest[joint], self.directions[:, joint])
            world = self._in_plane(world, joint)
            parent, around = (
                self._append(self._base_name(joint), parent, None, around, world),
                world,
            )
        children = self.children[joint]
        for child in children:
            if self.rest[child] is None:
                self.rest[child] = self._as_in_first_frame(child, around)
        exact = None
        if not children:
            world = around
        elif len(children) == 1:
            (exact,) = children
            world = _swing(around, self.rest[exact], self.directions[:, exact])
            world = self._in_plane(world, exact)
        else:
            world, exact = self._frame(joint, around)
        own = self._append(self.skeleton.joint_names[joint], parent, joint, around, world)
        for child in children:
            self.above[child] = own, world, child != exact

    def _base_name(self, joint: int) -> str:
        name = f"{self.skeleton.joint_names[joint]}_base"
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def _append(
        self, name: str, parent: int, joint: int | None, around: np.ndarray, world: np.ndarray
    ) -> int:
        offset, tip = np.zeros(3), None
        if joint is not None and self.skeleton.parents[joint] >= 0:
            offset = self.rest[joint] * self.lengths[joint]
            if not self.children[joint]:
                tip = rest_pose.tip(self.skeleton, joint, self.rest[joint], self.lengths[joint])
        local = np.swapaxes(around, 1, 2) @ world
        self.parts.append(Turned(name, parent, joint, offset, local, tip))
        return len(self.parts) - 1

    def _as_in_first_frame(self, child: int, around: np.ndarray) -> np.ndarray:
        """The rest direction of a bone that the T-pose does not know."""
        direction = around[0].T @ self.directions[0, child]
        return direction if direction.any() else np.array([0.0, 1.0, 0.0])

    def _frame(self, joint: int, around: np.ndarray) -> tuple[np.ndarray, int | None]:
        """Rotation of a joint with several children, and the child that it points exactly."""
        children, pairs = self.children[joint], self._pairs(joint)
        single = [child for child in children if child not in sum(pairs, ())]
        exact = max(single, key=lambda child: self.lengths[child]) if single else None
        if exact is None:
            main_rest = np.mean([self.rest[child] for child in children], axis=0)
            main = self.directions[:, children].mean(1)
        else:
            main_rest, main = self.rest[exact], self.directions[:, exact]
        if pairs:
            side_rest = sum(self.rest[left] - self.rest[right] for left, right in pairs)
            side = sum(self.directions[:, a] - self.directions[:, b] for a, b in pairs)
        else:
            other = max((c for c in single if c != exact), key=lambda child: self.lengths[child])
            side_rest, side = self.rest[other], self.directions[:, other]
        swung = _swing(around, main_rest, main)
        return _turn_to(swung, main_rest, side_rest, main, side), exact

    def _pairs(self, joint: int) -> list[tuple[int, int]]:
        members = self.children[joint]
        sides = zip(self.skeleton.left, self.skeleton.right, strict=True)
        return [(left, right) for left, right in sides if left in members and right in members]

    def _in_plane(self, world: np.ndarray, child: int) -> np.ndarray:
        """Turns a bone about itself so that the hinge at its end bends in its plane."""
        bends = rest_pose.bend(self.skeleton, child)
        if bends is None or len(self.children[child]) != 1:
            return world
        axis_rest = np.cross(self.rest[child], bends)
        if not np.linalg.norm(axis_rest) > 0.5:
            return world
        upper, lower = self.directions[:, child], self.directions[:, self.children[child][0]]
        usual = world @ axis_rest
        across = np.cross(upper, usual)
        normal = np.cross(upper, lower)
        sine = np.linalg.norm(normal, axis=-1)
        angle = np.arctan2((normal * across).sum(-1), (normal * usual).sum(-1))
        trust = np.clip((sine - _PLANE_FROM) / (_PLANE_FULL - _PLANE_FROM), 0, 1)
        if bends[2] < 0:  # a knee does not bend forwards: what looks so is an error of the lifter
            trust = trust * (np.abs(angle) < math.pi / 2)
        seen = trust * np.exp(1j * angle)
        kept = _DOUBT + sum(
            weight * gaussian_filter1d(seen, seconds * self.fps)
            for seconds, weight in _MEMORY_SECONDS
        )
        kept /= np.maximum(np.abs(kept), 1e-12)
        angle = np.angle(seen + (1 - trust) * kept)
        return _about(upper, angle) @ world


def _cross_matrix(vectors: Float[np.ndarray, "frames 3"]) -> Float[np.ndarray, "frames 3 3"]:
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)


def _about(
    axis: Float[np.ndarray, "frames 3"], angle: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames 3 3"]:
    """Rotation about a unit axis (Rodrigues); none where the axis is zero."""
    cross = _cross_matrix(axis)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross


def _swing(
    rotation: Float[np.ndarray, "frames 3 3"],
    rest: Float[np.ndarray, " 3"],
    wanted: Float[np.ndarray, "frames 3"],
) -> Float[np.ndarray, "frames 3 3"]:
    """The rotation, followed by the smallest one that points `rest` to `wanted`."""
    have, wanted = unit_vectors(rotation @ rest), unit_vectors(wanted)
    axis = np.cross(have, wanted)
    sine, cosine = np.linalg.norm(axis, axis=-1), (have * wanted).sum(-1)
    # Opposite directions: any perpendicular axis does.
    spare = unit_vectors(np.cross(have, np.eye(3)[np.abs(have).argmin(-1)]))
    axis = np.where((sine > 1e-9)[:, None], unit_vectors(axis), spare)
    known = np.abs(wanted).any(-1) & np.abs(have).any(-1)
    return _about(axis, np.where(known, np.arctan2(sine, cosine), 0.0)) @ rotation


def _turn_to(
    rotation: Float[np.ndarray, "frames 3 3"],
    main_rest: Float[np.ndarray, " 3"],
    side_rest: Float[np.ndarray, " 3"],
    main: Float[np.ndarray, "frames 3"],
    side: Float[np.ndarray, "frames 3"],
) -> Float[np.ndarray, "frames 3 3"]:
    """The rotation, which points `main_rest` to `main`, turned about it towards `side`."""
    axis = unit_vectors(main)
    have, wanted = (
        vector - (vector * axis).sum(-1, keepdims=True) * axis
        for vector in (rotation @ side_rest, side)
    )
    angle = np.arctan2((np.cross(have, wanted) * axis).sum(-1), (have * wanted).sum(-1))
    return _about(axis, angle) @ rotation


def euler_angles(
    rotation: Float[np.ndarray, "frames 3 3"], order: str
) -> Float[np.ndarray, "frames 3"]:
    """Angles about moving axes in that order, degrees, without jumps from frame to frame.

    Args:
        rotation: product of the three elementary rotations, the first leftmost.
        order: the axes, `"ZXY"`.
    """
    first, second, third = ("XYZ".index(axis) for axis in order)
    sign = 1.0 if (second - first) % 3 == 1 else -1.0
    sine = np.clip(sign * rotation[:, first, third], -1, 1)
    middle = np.arcsin(sine)
    before = np.arctan2(-sign * rotation[:, second, third], rotation[:, third, third])
    after = np.arctan2(-sign * rotation[:, first, second], rotation[:, first, first])
    locked = np.abs(sine) > 1 - 1e-12
    before = np.where(
        locked, np.arctan2(sign * rotation[:, third, second], rotation[:, second, second]), before
    )
    after = np.where(locked, 0.0, after)
    angles = np.stack([before, middle, after], axis=-1)
    # (a, b, c) and (a + 180, 180 - b, c + 180) are the same rotation; going from one to the
    # other leaves distances alone, so who is nearer depends on two neighbours only.
    other = np.stack([before + np.pi, np.pi - middle, after + np.pi], axis=-1)
    stay, change = (
        np.abs((there[1:] - angles[:-1] + np.pi) % (2 * np.pi) - np.pi).sum(-1)
        for there in (angles, other)
    )
    changed = np.concatenate([[False], np.cumsum(change < stay) % 2 == 1])
    angles = np.where(changed[:, None], other, angles)
    return np.rad2deg(np.unwrap(angles, axis=0))
