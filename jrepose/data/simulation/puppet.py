"""A jointed figure of human proportions, posed by what its pelvis, trunk, feet and hands do.

Legs and arms are two-bone chains: the knee and the elbow follow from where the ankle and the
wrist should be, so bones keep their length, feet stay where they are put, and joints bend
only their own way.

Body axes: x forward, y left, z up.  Arrays over time have the frames last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jrepose.data.mocap.rotation import identity, rotate, turn
from jrepose.data.simulation.seeds import named_generator
from jrepose.skeleton import HUMAN36M_17

SIDES = ("left", "right")
_SIGN = {"left": 1.0, "right": -1.0}

# Straighter than this no leg or arm gets, as a share of its length.
_REACH = 0.998
# An arm held forward and down bends its elbow backward, down and a little outward ...
_ARM = {side: np.array([0.7, 0.2 * sign, -0.7]) / 1.01 for side, sign in _SIGN.items()}
_ELBOW = {side: np.array([-0.6, 0.5 * sign, -0.45714]) for side, sign in _SIGN.items()}


@dataclass(frozen=True)
class Body:
    """Segment lengths of one person, mm; left and right are alike."""

    half_hips: float
    thigh: float
    shank: float
    ankle_height: float
    lower_trunk: float
    upper_trunk: float
    neck: float
    head: float
    half_shoulders: float
    upper_arm: float
    forearm: float

    @classmethod
    def of(cls, subject: str) -> Body:
        """The body of a subject, drawn from the name.

        Means are those of an adult 1.72 m tall; stature varies by 6 %, the proportions of
        legs, arms, and widths by 3 to 5 % on top of it (one standard deviation, cut at two).
        """
        rng = named_generator(0, "body", subject)

        def spread(share: float) -> float:
            return 1 + share * float(np.clip(rng.standard_normal(), -2, 2))

        size, legs, arms = spread(0.06), spread(0.03), spread(0.03)
        hips, shoulders = spread(0.035), spread(0.05)
        return cls(
            half_hips=128 * size * hips,
            thigh=438 * size * legs,
            shank=428 * size * legs,
            ankle_height=78 * size,
            lower_trunk=228 * size,
            upper_trunk=250 * size,
            neck=118 * size,
            head=114 * size,
            half_shoulders=150 * size * shoulders,
            upper_arm=278 * size * arms,
            forearm=248 * size * arms,
        )

    @property
    def leg(self) -> float:
        """Length of the stretched leg, hip to ankle."""
        return self.thigh + self.shank

    @property
    def arm(self) -> float:
        """Length of the stretched arm, shoulder to wrist."""
        return self.upper_arm + self.forearm

    @property
    def standing_height(self) -> float:
        """Height of the pelvis over the floor when standing at ease."""
        return self.ankle_height + 0.995 * self.leg


class Motion:
    """What one body does over time; an action changes what it needs and then calls `joints`.

    Attributes (angles in radians, lengths in mm, all over `frames`):
        pelvis: wanted position in the world `[3, frames]`; lowered where a leg would not reach.
        yaw: heading of the body; 0 looks along the world's x axis.
        pelvis_yaw, pelvis_pitch, pelvis_roll: pelvis relative to the heading; pitch is forward.
        chest_yaw, chest_pitch, chest_roll: chest relative to the pelvis.
        head_yaw, head_pitch: head relative to the chest.
        ankles: per side, position in the world `[3, frames]`.
        foot_yaw: per side, where the foot and with it the knee points.
        hands: per side, wrist relative to the shoulder in chest axes, in arm lengths.
        elbows: per side, added to the direction in which the elbow bends, chest axes.
        grasp: per side, position in the world that the wrist goes for `[3, frames]`.
        grasping: per side, weight in [0, 1] of `grasp` against `hands`.
    """

    def __init__(self, body: Body, frames: int):
        self.body = body
        self.frames = frames
        still = np.zeros(frames)
        self.pelvis = np.repeat([[0.0], [0.0], [body.standing_height]], frames, axis=1)
        self.yaw = still.copy()
        self.pelvis_yaw, self.pelvis_pitch, self.pelvis_roll = still.copy(), still + 0.03, still
        self.chest_yaw, self.chest_pitch, self.chest_roll = still.copy(), still + 0.02, still
        self.head_yaw, self.head_pitch = still.copy(), still.copy()
        self.ankles = {
            side: np.repeat([[0.0], [85.0 * sign], [body.ankle_height]], frames, axis=1)
            for side, sign in _SIGN.items()
        }
        self.foot_yaw = {side: still + 0.12 * sign for side, sign in _SIGN.items()}
        self.hands = {side: over_time(hanging_hand(side), frames) for side in SIDES}
        self.elbows = {side: np.zeros((3, frames)) for side in SIDES}
        self.grasp = {side: np.zeros((3, frames)) for side in SIDES}
        self.grasping = {side: still.copy() for side in SIDES}

    def joints(self) -> Float[np.ndarray, "frames 17 3"]:
        """Positions of the Human3.6M joints in the world, mm."""
        body = self.body
        at: dict[str, np.ndarray] = {}
        heading = turn(identity(self.frames), 2, self.yaw + self.pelvis_yaw)
        pelvis = turn(turn(heading, 1, self.pelvis_pitch), 0, self.pelvis_roll)
        # The lower back bends about a third of the way from pelvis to chest.
        waist = self._bent(pelvis, 0.35)
        chest = self._bent(pelvis, 1.0)
        head = turn(turn(chest, 2, self.head_yaw), 1, self.head_pitch)

        hips = {s: rotate(pelvis, np.array([0, _SIGN[s] * body.half_hips, 0])) for s in SIDES}
        at["pelvis"] = self._reachable_pelvis(hips)
        at["spine"] = at["pelvis"] + rotate(waist, np.array([0, 0, body.lower_trunk]))
        at["thorax"] = at["spine"] + rotate(chest, np.array([0, 0, body.upper_trunk]))
        # Forward and up: the joint called neck sits at the height of the nose's root.
        neck = (rotate(chest, _NECK) + rotate(head, _NECK)) * (body.neck / 2)
        neck *= body.neck / np.linalg.norm(neck, axis=0)
        at["neck"] = at["thorax"] + neck
        at["head"] = at["neck"] + rotate(head, np.array([0, 0, body.head]))

        for side in SIDES:
            sign = _SIGN[side]
            at[f"{side}_hip"] = at["pelvis"] + hips[side]
            knee_way = np.stack(
                [np.cos(self.foot_yaw[side] + self.yaw), np.sin(self.foot_yaw[side] + self.yaw),
                 np.zeros(self.frames)]
            )  # fmt: skip
            at[f"{side}_knee"], at[f"{side}_ankle"] = _two_bones(
                at[f"{side}_hip"], self.ankles[side], knee_way, body.thigh, body.shank
            )
            shoulder = at["thorax"] + rotate(chest, _SHOULDER * [1, sign, 1] * body.half_shoulders)
            hand = shoulder + body.arm * np.einsum("ijt,jt->it", chest, self.hands[side])
            hand += self.grasping[side] * (self.grasp[side] - hand)
            in_chest = np.einsum("jit,jt->it", chest, hand - shoulder)
            elbow_way = _elbow_direction(side, in_chest) + self.elbows[side]
            elbow_way = np.einsum("ijt,jt->it", chest, elbow_way)
            at[f"{side}_shoulder"] = shoulder
            at[f"{side}_elbow"], at[f"{side}_wrist"] = _two_bones(
                shoulder, hand, elbow_way, body.upper_arm, body.forearm, 0.03 * body.arm
            )
        return np.stack([at[name].T for name in HUMAN36M_17.joint_names], axis=1)

    def _bent(
        self, pelvis: Float[np.ndarray, "3 3 frames"], share: float
    ) -> Float[np.ndarray, "3 3 frames"]:
        """The pelvis turned by a share of the chest's angles."""
        bent = turn(pelvis, 2, share * self.chest_yaw)
        return turn(turn(bent, 1, share * self.chest_pitch), 0, share * self.chest_roll)

    def _reachable_pelvis(self, hips: dict[str, np.ndarray]) -> Float[np.ndarray, "3 frames"]:
        """The wanted pelvis, lowered smoothly where a leg would be too short."""
        limits = [self.pelvis[2]]
        for side in SIDES:
            hip = self.pelvis + hips[side]
            across = np.sum((hip - self.ankles[side])[:2] ** 2, axis=0)
            up = np.sqrt(np.maximum((_REACH * self.body.leg) ** 2 - across, 0))
            limits.append(self.ankles[side][2] + up - hips[side][2])
        # A soft minimum never exceeds the minimum.
        softness = 4.0
        lowest = -softness * np.logaddexp.reduce(-np.stack(limits) / softness, axis=0)
        return np.stack([self.pelvis[0], self.pelvis[1], lowest])


_NECK = np.array([0.35, 0, 0.94])
_SHOULDER = np.array([-0.08, 0.98, -0.18])


def over_time(vector: np.ndarray, frames: int) -> Float[np.ndarray, "3 frames"]:
    """A vector repeated over the frames."""
    return np.repeat(np.asarray(vector, float)[:, None], frames, axis=1)


def hanging_hand(side: str) -> Float[np.ndarray, " 3"]:
    """Wrist of an arm that hangs at ease, as in `Motion.hands`."""
    return np.array([0.10, 0.14 * _SIGN[side], -0.95])


def arm_swing(
    side: str,
    body: Body,
    flexion: Float[np.ndarray, " frames"],
    elbow: Float[np.ndarray, " frames"],
) -> Float[np.ndarray, "3 frames"]:
    """Wrist (as in `Motion.hands`) of an arm swung forward by `flexion` and bent by `elbow`."""
    total = flexion + elbow
    forward = body.upper_arm * np.sin(flexion) + body.forearm * np.sin(total)
    down = body.upper_arm * np.cos(flexion) + body.forearm * np.cos(total)
    outward = np.full_like(forward, 0.12 * _SIGN[side] * body.arm)
    return np.stack([forward, outward, -down]) / body.arm


def _elbow_direction(
    side: str, arm: Float[np.ndarray, "3 frames"]
) -> Float[np.ndarray, "3 frames"]:
    """Where the elbow bends to when the wrist lies in direction `arm` of the shoulder.

    ... and every other arm is that one turned the short way, which is smooth everywhere but
    for arms that point up and backward.
    """
    base, bend = _ARM[side][:, None], _ELBOW[side][:, None]
    arm = arm / np.maximum(np.linalg.norm(arm, axis=0), 1e-9)
    cosine = np.maximum(1 + np.sum(base * arm, axis=0), 1e-3)
    return bend - np.sum(bend * arm, axis=0) / cosine * (base + arm)


def _two_bones(
    start: Float[np.ndarray, "3 frames"],
    target: Float[np.ndarray, "3 frames"],
    way: Float[np.ndarray, "3 frames"],
    first: float,
    second: float,
    softness: float = 0.0,
) -> tuple[Float[np.ndarray, "3 frames"], Float[np.ndarray, "3 frames"]]:
    """Middle joint and end of two bones from `start` to `target`, bent toward `way`.

    Toward the end of its reach the limb slows down before `target`; `softness` (mm) says how
    early, and 0 that it goes all the way.
    """
    line = target - start
    distance = np.linalg.norm(line, axis=0)
    line = line / np.maximum(distance, 1e-9)
    # Closer than this the bones would have to fold more than a joint can.
    nearest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.radians(145)))
    furthest = _REACH * (first + second)
    if softness:
        distance = furthest - softness * np.logaddexp(0, (furthest - distance) / softness)
    distance = np.clip(distance, nearest, furthest)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    out = np.sqrt(np.maximum(first**2 - along**2, 0))
    bend = way - np.sum(way * line, axis=0) * line
    bend /= np.maximum(np.linalg.norm(bend, axis=0), 1e-9)
    return start + along * line + out * bend, start + distance * line
