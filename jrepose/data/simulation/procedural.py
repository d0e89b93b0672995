"""Made-up human motion: people who walk, turn, sit, reach, pick up, wave, phone and talk.

The embedded default data of the demo: no download, any number of subjects.  Every motion is
built from a few parameters (speed, path, targets, timing) drawn from the seed and the
subject's and action's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.puppet import SIDES, Body, Motion, arm_swing, hanging_hand, over_time
from jrepose.data.simulation.seeds import named_generator
from jrepose.errors import InputError

_SIGN = {"left": 1.0, "right": -1.0}


def generate_motion(
    subjects: Sequence[str],
    seconds: float | int = 20.0,
    frame_rate: float | int = 50.0,
    seed: int = 0,
    actions: Sequence[str] | None = None,
) -> list[Recording]:
    """One recording per subject and action.

    Args:
        subjects: names; a subject's proportions depend on the name alone.
        seconds: length of each recording.
        frame_rate: frames per second.
        seed: of everything but the proportions.
        actions: which of `ACTIONS`; None for all.

    Returns:
        Recordings named `"<subject>_<action>"`, subjects outermost.  A recording is a pure
        function of the seed, its subject and its action.

    Raises:
        InputError: no subjects, a name twice, an unknown action, or nothing to generate.
    """
    subjects = tuple(subjects)
    actions = tuple(ACTIONS) if actions is None else tuple(actions)
    if not subjects or not actions:
        raise InputError("generate_motion: no subjects or no actions")
    for names in (subjects, actions):
        if len(set(names)) != len(names):
            raise InputError(f"generate_motion: a name repeats in {', '.join(names)}")
    for action in actions:
        if action not in ACTIONS:
            raise InputError(f"unknown action {action!r}; known: {', '.join(ACTIONS)}")
    if not frame_rate > 0:
        raise InputError(f"generate_motion: frame_rate {frame_rate}, expected a positive number")
    frames = round(seconds * frame_rate)
    if frames < 1:
        raise InputError(f"generate_motion: {seconds} s at {frame_rate} Hz give no frame")

    time = np.arange(frames) / frame_rate
    recordings = []
    for subject in subjects:
        body = Body.of(subject)
        for action in actions:
            name = f"{subject}_{action}"
            motion = Motion(body, frames)
            rng = named_generator(seed, "motion", subject, action)
            ACTIONS[action](motion, time, rng)
            recordings.append(
                Recording(
                    name=name,
                    subject=subject,
                    action=action,
                    frame_rate=float(frame_rate),
                    positions_mm=motion.joints().astype(np.float32),
                    valid=np.ones(frames, bool),
                )
            )
    return recordings


# --- actions: each fills in a motion -------------------------------------------------------


def _walking(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Steady gait on a closed, curved path."""
    body = motion.body
    # Adults at ease indoors: about 1.2 m/s and 1.85 steps/s with legs of 0.87 m.
    speed = 1200 * math.sqrt(body.leg / 866) * rng.uniform(0.8, 1.12)
    cadence = 1.85 * math.sqrt(speed / 1200) * math.sqrt(866 / body.leg)
    cycle_s = 2 / cadence
    path = _closed_path(rng)

    def where(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return path(speed * t)

    # On this clock the left heel strikes at whole cycles.
    clock = time + rng.uniform() * cycle_s
    phase = clock / cycle_s
    xy, heading = where(clock)
    motion.yaw = heading
    width = rng.uniform(55, 85)
    for side, lead in (("left", 0.0), ("right", 0.5)):
        motion.ankles[side], motion.foot_yaw[side] = _gait_ankle(
            phase + lead,
            # Body position when the leg is at this phase of its own cycle.
            where=lambda own, lead=lead: where((own - lead) * cycle_s),
            lateral=_SIGN[side] * width,
            ankle_height=body.ankle_height,
        )
        # Feet give their direction in the world; the motion wants it relative to the heading.
        motion.foot_yaw[side] = motion.foot_yaw[side] - heading + 0.1 * _SIGN[side]

    swing = 2 * np.pi * phase
    sway = 18 * np.cos(swing - 2 * np.pi * 0.28)
    motion.pelvis[0] = xy[0] - np.sin(heading) * sway
    motion.pelvis[1] = xy[1] + np.cos(heading) * sway
    bob = -14 * np.cos(2 * swing - 0.4)
    motion.pelvis[2] = body.ankle_height + 0.953 * body.leg + bob
    motion.pelvis_yaw = -0.09 * np.cos(swing)
    motion.chest_yaw = 0.16 * np.cos(swing)
    motion.pelvis_roll = 0.05 * np.cos(swing - 2 * np.pi * 0.22)
    motion.chest_roll = -motion.pelvis_roll
    motion.chest_pitch = 0.05 + 0.02 * np.cos(2 * swing) + rng.normal(0, 0.02)
    motion.head_yaw = -0.5 * motion.chest_yaw + _drift(rng, time, 0.15, 1.2)
    motion.head_pitch = _drift(rng, time, 0.06, 1.0)
    _swing_arms(motion, phase, rng)


def _turning(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Turns on the spot with small steps, looking ahead first."""
    motion.yaw[:] = rng.uniform(-np.pi, np.pi)
    lifted = {side: np.zeros(len(time)) for side in SIDES}
    feet = {side: motion.foot_yaw[side] + motion.yaw for side in SIDES}
    for side in SIDES:
        motion.ankles[side][:2] = _beside(motion.yaw[0], _SIGN[side] * 90.0)[:, None]
    now = rng.uniform(0.3, 1.0)
    side = rng.choice(SIDES)
    while now < time[-1]:
        angle = rng.uniform(0.8, 2.8) * rng.choice([-1, 1])
        steps = max(2, math.ceil(abs(angle) / 0.55))
        step_s = rng.uniform(0.42, 0.55)
        begin, end = float(motion.yaw[-1]), float(motion.yaw[-1] + angle)
        motion.yaw += angle * _ease((time - now) / (steps * step_s))
        # The foot on the inner side of the turn goes first.
        side = "left" if angle > 0 else "right"
        for step in range(steps):
            final = begin + (end - begin) * min(1.0, (step + 2) / steps)
            lift = now + step * step_s
            progress = _ease((time - lift) / (0.85 * step_s))
            goal = _beside(final, _SIGN[side] * 90.0)
            motion.ankles[side][:2] += progress * (goal[:, None] - motion.ankles[side][:2, -1:])
            air = np.clip((time - lift) / (0.85 * step_s), 0, 1)
            motion.ankles[side][2] += 55 * np.sin(np.pi * air) ** 2
            feet[side] = feet[side] + progress * (final + 0.12 * _SIGN[side] - feet[side][-1])
            lifted[side] += np.sin(np.pi * air)
            side = "right" if side == "left" else "left"
        now += steps * step_s + rng.uniform(0.4, 2.0)
    for side in SIDES:
        motion.foot_yaw[side] = feet[side] - motion.yaw
    # The weight goes over the standing foot.
    standing = _smooth(lifted["right"] - lifted["left"], time, 0.12) * 30
    motion.pelvis[:2] += np.stack([-np.sin(motion.yaw), np.cos(motion.yaw)]) * standing
    ahead = np.interp(time + 0.25, time, motion.yaw) - motion.yaw
    motion.head_yaw = np.clip(0.8 * ahead, -0.7, 0.7)
    motion.chest_yaw = np.clip(0.3 * ahead, -0.3, 0.3)
    motion.pelvis[2] -= 20
    _idle(motion, time, rng)


def _sitting(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Sits down on a chair and stands up again, hands on the thighs while seated."""
    body = motion.body
    down = np.zeros(len(time))
    moving = np.zeros(len(time))
    now = rng.uniform(0.3, 1.2)
    while now < time[-1]:
        for direction in (1, -1):
            length = rng.uniform(1.3, 1.9)
            share = (time - now) / length
            down += direction * _ease(share)
            moving += np.sin(np.pi * np.clip(share, 0, 1)) ** 2
            now += length + (rng.uniform(2.0, 5.0) if direction == 1 else rng.uniform(0.6, 1.5))
    seat = body.ankle_height + 0.97 * body.shank + 45
    motion.pelvis[0] = 20 - (0.88 * body.thigh) * down
    motion.pelvis[2] = body.standing_height + (seat - body.standing_height) * _ease(down)
    lean = rng.uniform(0.55, 0.8) * moving + rng.uniform(-0.1, 0.15) * down
    motion.pelvis_pitch = 0.03 + 0.6 * lean
    motion.chest_pitch = 0.02 + 0.5 * lean
    motion.head_pitch = -0.6 * lean
    apart = rng.uniform(90, 150)
    rest = rng.uniform(-0.03, 0.05)
    for side in SIDES:
        sign = _SIGN[side]
        motion.ankles[side][1] = sign * apart
        seated = np.array([0.46 + rest, -0.02 * sign, -0.72])
        motion.hands[side] = (
            over_time(hanging_hand(side), len(time)) * (1 - down) + seated[:, None] * down
        )
        # Arms go forward for balance on the way.
        motion.hands[side][0] += 0.22 * moving
        motion.hands[side][2] += 0.12 * moving
    _idle(motion, time, rng)
    _place(motion, rng)


def _reaching(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Stands and takes things from shelves at all heights, with either hand."""
    body = motion.body
    tall = body.standing_height / 930
    now = rng.uniform(0.3, 0.8)
    while now < time[-1]:
        side = rng.choice(SIDES)
        target = np.array(
            [rng.uniform(330, 620), _SIGN[side] * rng.uniform(-150, 520), rng.uniform(650, 1900)]
        ) * tall  # fmt: skip
        move, hold = rng.uniform(0.7, 1.1), rng.uniform(0.2, 1.0)
        effort = _ease((time - now) / move) - _ease((time - now - move - hold) / move)
        # One target after the other: the weight is zero when the target changes.
        during = (time >= now) & (time < now + 2 * move + hold)
        motion.grasp[side][:, during] = target[:, None]
        motion.grasping[side] += effort
        toward = math.atan2(target[1], target[0])
        low = max(0.0, (1150 * tall - target[2]) / (500 * tall))
        far = max(0.0, math.hypot(target[0], target[1]) / (480 * tall) - 0.9)
        motion.chest_yaw += effort * 0.45 * toward
        motion.pelvis_yaw += effort * 0.2 * toward
        motion.head_yaw += effort * 0.35 * toward
        motion.pelvis_pitch += effort * (0.35 * low + 0.15 * far)
        motion.chest_pitch += effort * (0.35 * low + 0.25 * far)
        motion.head_pitch += effort * np.clip((1500 * tall - target[2]) / 1500, -0.4, 0.5)
        motion.pelvis[0] -= effort * 90 * low
        motion.pelvis[2] -= effort * 70 * low
        now += 2 * move + hold + rng.uniform(0.1, 0.8)
    _idle(motion, time, rng)
    _place(motion, rng)


def _picking(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Squats, takes something from the floor with both hands and puts it on a table."""
    body = motion.body
    for side in SIDES:
        motion.ankles[side][1] = _SIGN[side] * 130
    now = rng.uniform(0.4, 1.0)
    while now < time[-1]:
        move, hold = rng.uniform(1.1, 1.6), rng.uniform(0.1, 0.5)
        turn_to = rng.uniform(-0.4, 0.4)
        bend = _ease((time - now) / move) - _ease((time - now - move - hold) / move)
        lift = _ease((time - now - move - hold) / move) - _ease(
            (time - now - 2 * move - 2 * hold) / (0.7 * move)
        )
        deep = rng.uniform(0.3, 0.48)
        motion.pelvis[2] -= bend * deep * body.leg
        motion.pelvis[0] -= bend * rng.uniform(0.2, 0.28) * body.leg
        motion.pelvis_pitch += bend * rng.uniform(0.55, 0.75)
        motion.chest_pitch += bend * rng.uniform(0.4, 0.6)
        motion.head_pitch -= bend * 0.35
        motion.chest_yaw += (bend + lift) * turn_to * 0.7
        during = (time >= now) & (time < now + 3 * move + 2 * hold)
        for side in SIDES:
            across = _SIGN[side] * 0.17 * body.leg
            floor = np.array([0.36 * body.leg, across, 0.27 * body.leg])
            table = np.array([0.40 * body.leg, across, 1.16 * body.leg])
            table[:2] = _rotated(table[:2], turn_to)
            # The share of the way from floor to table, where both weights are partly on.
            share = np.where(during, lift / np.maximum(bend + lift, 1e-9), 0)
            way = floor[:, None] + share * (table - floor)[:, None]
            motion.grasp[side][:, during] = way[:, during]
            motion.grasping[side] += bend + lift
        now += 3 * move + 2 * hold + rng.uniform(0.3, 1.2)
    _idle(motion, time, rng)
    _place(motion, rng)


def _waving(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Raises a hand and waves, now left, now right."""
    body = motion.body
    now = rng.uniform(0.3, 0.8)
    while now < time[-1]:
        side = rng.choice(SIDES)
        sign = _SIGN[side]
        length = rng.uniform(2.5, 4.5)
        up = _ease((time - now) / 0.8) - _ease((time - now - length) / 0.8)
        beat = 2 * np.pi * rng.uniform(1.3, 2.1) * (time - now)
        angle = rng.uniform(0.3, 0.5) * np.sin(beat) + rng.uniform(-0.1, 0.3)
        raised = rng.uniform(-0.35, 0.25)
        upper = np.array([0.35, sign * math.cos(raised), math.sin(raised)])
        upper *= body.upper_arm / (np.linalg.norm(upper) * body.arm)
        fore = np.stack([np.full_like(angle, 0.25), sign * np.sin(angle), np.cos(angle)])
        fore *= body.forearm / (np.linalg.norm(fore, axis=0) * body.arm)
        motion.hands[side] += up * (upper[:, None] + fore - motion.hands[side])
        motion.elbows[side] += 3 * up * np.array([[0.1], [sign], [-0.8]])
        motion.chest_roll = motion.chest_roll - up * sign * 0.05
        now += length + 0.8 + rng.uniform(0.1, 1.0)
    motion.head_yaw += _drift(rng, time, 0.2, 1.0)
    _idle(motion, time, rng)
    _place(motion, rng)


def _phoning(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Walks with a phone at the ear; the other arm swings."""
    _walking(motion, time, rng)
    side = rng.choice(SIDES)
    sign = _SIGN[side]
    ear = np.array([0.26, -0.10 * sign, 0.30])
    shake = np.stack([_drift(rng, time, 0.02, 0.5) for _ in range(3)])
    motion.hands[side] = ear[:, None] + shake
    motion.elbows[side] = over_time(3 * np.array([0.5, 0.7 * sign, -1.0]), len(time))
    motion.head_yaw += _drift(rng, time, 0.2, 1.5)
    motion.head_pitch += 0.12


def _discussing(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """Stands and talks with both hands."""
    for side in SIDES:
        sign = _SIGN[side]
        # The hands sink between sentences.
        talk = 0.5 + 0.5 * np.tanh(1.2 + _drift(rng, time, 1.2, 1.4))
        middle = np.array([0.52, 0.06 * sign, -0.32])
        gesture = middle[:, None] + np.stack(
            [_drift(rng, time, spread, 0.35) for spread in (0.10, 0.14, 0.14)]
        )
        motion.hands[side] += talk * (gesture - motion.hands[side])
    motion.chest_yaw += _drift(rng, time, 0.18, 1.0)
    motion.head_yaw += _drift(rng, time, 0.3, 0.8)
    motion.head_pitch += _drift(rng, time, 0.1, 0.4)
    # The weight goes from one leg to the other.
    shift = 55 * np.tanh(2 * _drift(rng, time, 0.8, 1.0))
    motion.pelvis[1] += shift
    motion.pelvis_roll = motion.pelvis_roll + 0.0009 * shift
    motion.chest_roll = motion.chest_roll - 0.0012 * shift
    _idle(motion, time, rng)
    _place(motion, rng)


ACTIONS: dict[str, Callable[[Motion, np.ndarray, np.random.Generator], None]] = {
    "walking": _walking,
    "turning": _turning,
    "sitting": _sitting,
    "reaching": _reaching,
    "picking": _picking,
    "waving": _waving,
    "phoning": _phoning,
    "discussing": _discussing,
}
"""What `generate_motion` can do, in the order of its recordings."""


# --- parts that actions share --------------------------------------------------------------


def _gait_ankle(
    phase: np.ndarray,
    *,
    where: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    lateral: float,
    ankle_height: float,
) -> tuple[Float[np.ndarray, "3 frames"], Float[np.ndarray, " frames"]]:
    """Ankle positions and foot directions of one leg in steady gait.

    A cycle runs from heel strike to heel strike: the foot stands still, then the heel rises
    about the ball of the foot, then the foot swings to the next print.

    Args:
        phase: the leg's own gait cycles.
        where: the body's position and heading at a phase of this leg.
        lateral: of the footprint from the path, to the left.
    """
    heel_off, toe_off, top_angle = 0.34, 0.62, math.radians(50)
    ball = 1.65 * ankle_height
    number = np.floor(phase)
    part = phase - number

    def print_of(cycle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The body passes over the foot a good quarter of the cycle after heel strike.
        xy, heading = where(cycle + 0.26)
        side = np.stack([-np.sin(heading), np.cos(heading)]) * lateral
        return xy + side, heading

    here, heading = print_of(number)
    there, next_heading = print_of(number + 1)
    rising = np.clip((part - heel_off) / (toe_off - heel_off), 0, 1)
    angle = top_angle * rising**2
    forward = ball * (1 - np.cos(angle)) + ankle_height * np.sin(angle)
    up = ball * np.sin(angle) + ankle_height * np.cos(angle)
    direction = np.stack([np.cos(heading), np.sin(heading)])
    xy = here + direction * forward

    # Swing: a cubic that takes over the speed of toe-off and lands at rest.
    swing = np.clip((part - toe_off) / (1 - toe_off), 0, 1)
    turning = 2 * top_angle / (toe_off - heel_off) * (1 - toe_off)
    forward_speed = turning * (ball * math.sin(top_angle) + ankle_height * math.cos(top_angle))
    up_speed = turning * (ball * math.cos(top_angle) - ankle_height * math.sin(top_angle))
    xy = _hermite(swing, xy, direction * forward_speed, there, np.zeros_like(there))
    # The foot lands on its heel, toes up, which holds the ankle a little higher for a moment.
    heel = 0.3 * ankle_height
    z = _hermite(swing, up, up_speed, ankle_height + heel, 0.0)
    z += heel * _ease(1 - part / 0.12) * (part < 0.12)
    # Knee and ankle bend to clear the floor: highest at 40 % of the swing.
    z += 1.35 * ankle_height * swing**2 * (1 - swing) ** 3 / 0.03456
    turned = heading + _ease(swing) * (next_heading - heading)
    return np.concatenate([xy, z[None]]), turned


def _swing_arms(motion: Motion, phase: np.ndarray, rng: np.random.Generator) -> None:
    """Arms that swing against the legs, elbows bending on the way forward."""
    wide, bent = rng.uniform(0.28, 0.48), rng.uniform(0.2, 0.4)
    for side in SIDES:
        back = np.cos(2 * np.pi * (phase + (0.0 if side == "left" else 0.5)))
        flexion = 0.03 - wide * back
        elbow = bent + 0.18 * (1 - back)
        motion.hands[side] = arm_swing(side, motion.body, flexion, elbow)


def _closed_path(
    rng: np.random.Generator,
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A figure of eight or an oval about the origin: arc length (mm) -> position, heading."""
    long, wide = rng.uniform(1500, 2100), rng.uniform(900, 1400)
    u = np.linspace(0, 2 * np.pi, 721)
    eight = rng.uniform() < 0.5
    x = long * np.cos(u)
    y = wide * (np.sin(2 * u) * 0.75 if eight else np.sin(u))
    y *= rng.choice([-1, 1])
    points = _rotated(np.stack([x, y]), rng.uniform(-np.pi, np.pi))
    step = np.diff(points, axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(step, axis=0))])
    # Heading at the middle of each step, made continuous over the lap.
    headings = np.unwrap(np.arctan2(step[1], step[0]))
    lap = 2 * np.pi * round((headings[-1] - headings[0]) / (2 * np.pi))
    middles = (length[1:] + length[:-1]) / 2
    start = rng.uniform(0, length[-1])

    def where(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        laps, rest = np.divmod(distance + start, length[-1])
        xy = np.stack([np.interp(rest, length, axis) for axis in points])
        knots = np.concatenate([[middles[-1] - length[-1]], middles, [middles[0] + length[-1]]])
        values = np.concatenate([[headings[-1] - lap], headings, [headings[0] + lap]])
        return xy, np.interp(rest, knots, values) + laps * lap

    return where


def _idle(motion: Motion, time: np.ndarray, rng: np.random.Generator) -> None:
    """The small movements of someone who stands or sits still."""
    motion.pelvis[0] += _drift(rng, time, 8.0, 1.0)
    motion.pelvis[1] += _drift(rng, time, 10.0, 1.0)
    motion.chest_pitch = motion.chest_pitch + _drift(rng, time, 0.015, 0.8)
    motion.chest_yaw = motion.chest_yaw + _drift(rng, time, 0.03, 1.0)
    motion.head_yaw = motion.head_yaw + _drift(rng, time, 0.1, 1.2)
    motion.head_pitch = motion.head_pitch + _drift(rng, time, 0.05, 0.8)
    for side in SIDES:
        motion.hands[side] = motion.hands[side] + np.stack(
            [_drift(rng, time, 0.015, 0.7) for _ in range(3)]
        )


def _place(motion: Motion, rng: np.random.Generator) -> None:
    """Puts a motion that was written at the origin somewhere in the room, facing anywhere."""
    angle = rng.uniform(-np.pi, np.pi)
    shift = rng.uniform(-800, 800, 2)
    for points in (motion.pelvis, *motion.ankles.values(), *motion.grasp.values()):
        points[:2] = _rotated(points[:2], angle) + shift[:, None]
    motion.yaw = motion.yaw + angle


def _rotated(xy: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]]) @ xy


def _beside(heading: float, lateral: float) -> Float[np.ndarray, " 2"]:
    """A point `lateral` mm to the left of the origin for someone with this heading."""
    return lateral * np.array([-math.sin(heading), math.cos(heading)])


def _ease(share: np.ndarray) -> np.ndarray:
    """Minimum-jerk progress from 0 to 1 (Flash and Hogan, 1985)."""
    s = np.clip(share, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)


def _hermite(s: np.ndarray, p0, v0, p1, v1) -> np.ndarray:
    """Cubic from p0 to p1 with the given end speeds."""
    return (
        (2 * s**3 - 3 * s**2 + 1) * p0
        + (s**3 - 2 * s**2 + s) * v0
        + (3 * s**2 - 2 * s**3) * p1
        + (s**3 - s**2) * v1
    )


def _drift(
    rng: np.random.Generator, time: np.ndarray, amplitude: float, seconds: float
) -> Float[np.ndarray, " frames"]:
    """Smooth random movement with this standard deviation and time constant."""
    keys = max(4, math.ceil(time[-1] / (0.5 * seconds)) + 4)
    values = gaussian_filter1d(rng.standard_normal(keys), 1.0, mode="wrap")
    # The filter leaves this much of the standard deviation.
    values *= amplitude / 0.531
    at = time / (0.5 * seconds)
    before = at.astype(int)
    share = at - before
    take = values[np.minimum(before[None] + np.arange(4)[:, None], keys - 1)]
    # Cubic B-spline: smooth to the second derivative.
    weights = np.stack(
        [(1 - share) ** 3, 3 * share**3 - 6 * share**2 + 4,
         -3 * share**3 + 3 * share**2 + 3 * share + 1, share**3]
    ) / 6  # fmt: skip
    return np.sum(weights * take, axis=0)


def _smooth(values: np.ndarray, time: np.ndarray, seconds: float) -> np.ndarray:
    frames_per_second = 1 / (time[1] - time[0]) if len(time) > 1 else 1.0
    return gaussian_filter1d(values, seconds * frames_per_second, mode="nearest")
