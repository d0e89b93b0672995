"""Glitches: planted jumps are found and bridged, fast human motion is not touched."""

import numpy as np
import pytest

from jrepose.data.mocap.glitches import bridge, find_glitches, find_untracked

RATE = 120.0


@pytest.fixture
def motion():
    """Three joints swinging, up to 2.5 m/s, with a millimetre of noise."""
    time = np.arange(400)[:, None] / RATE
    phase = np.array([0.0, 1.0, 2.0])
    swing = 400 * np.sin(2 * np.pi * time + phase)
    positions = np.stack([swing, 0.3 * swing, 900 + 0.1 * swing], axis=-1)
    return positions + np.random.default_rng(0).normal(scale=0.3, size=positions.shape)


def flagged(positions, rate=RATE):
    return np.flatnonzero(find_glitches(positions, rate)).tolist()


def test_ordinary_motion_has_none(motion):
    assert flagged(motion) == []
    assert bridge(motion, np.zeros(400, bool)) is motion


def test_a_fast_kick_is_no_glitch():
    # 15 m/s at the peak: half a circle of 1 m radius within a tenth of a second.
    time = np.arange(120) / RATE
    angle = np.pi / (1 + np.exp(-(time - 0.5) * 19))
    foot = 1000 * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=-1)[:, None]
    speed = np.linalg.norm(np.diff(foot, axis=0), axis=-1) * RATE
    assert 14_000 < speed.max() < 16_000
    assert flagged(foot) == []


@pytest.mark.parametrize("offset", [120.0, 200.0, 600.0])
def test_one_wrong_frame(motion, offset):
    wrong = motion.copy()
    wrong[200, 1, 2] += offset
    assert flagged(wrong) == [200]
    np.testing.assert_allclose(bridge(wrong, find_glitches(wrong, RATE)), motion, atol=3.0)


@pytest.mark.parametrize("frames", [2, 5, 12])
def test_a_few_wrong_frames(motion, frames):
    wrong = motion.copy()
    wrong[100 : 100 + frames, 0] += [0, 300, 0]
    assert flagged(wrong) == list(range(100, 100 + frames))
    fixed = bridge(wrong, find_glitches(wrong, RATE))
    np.testing.assert_allclose(fixed, motion, atol=15.0)
    others = np.delete(np.arange(400), np.s_[100 : 100 + frames])
    np.testing.assert_array_equal(fixed[others], motion[others])


def test_a_step_is_bridged_on_both_sides(motion):
    wrong = motion.copy()
    wrong[150:, 2] += [250, 0, 0]
    assert flagged(wrong) == list(range(144, 156))
    fixed = bridge(wrong, find_glitches(wrong, RATE))
    speed = np.linalg.norm(np.diff(fixed, axis=0), axis=-1).max() * RATE
    assert speed < 6_000


def test_a_held_pose_is_bridged_from_its_first_frame(motion):
    wrong = motion.copy()
    wrong[101:130] = wrong[100]
    assert flagged(wrong) == list(range(101, 130))
    fixed = bridge(wrong, find_glitches(wrong, RATE))
    speed = np.linalg.norm(np.diff(fixed[99:132], axis=0), axis=-1).max() * RATE
    assert speed < 4_000


def test_wrong_frames_at_the_ends_take_the_nearest_good_pose(motion):
    wrong = motion.copy()
    wrong[:2] += 5000
    wrong[398:] += 5000
    glitch = find_glitches(wrong, RATE)
    assert glitch[:2].all() and glitch[398:].all() and glitch.sum() <= 16
    fixed = bridge(wrong, glitch)
    good = np.flatnonzero(~glitch)
    np.testing.assert_allclose(fixed[0], wrong[good[0]])
    np.testing.assert_allclose(fixed[-1], wrong[good[-1]])


def test_limits_are_speeds_and_accelerations_not_frames(motion):
    # At 30 Hz the same swing moves four times as far per frame, and is still no glitch.
    assert flagged(motion[::4], 30.0) == []
    wrong = motion[::4].copy()
    wrong[50, 0] += [0, 900, 0]
    assert flagged(wrong, 30.0) == [50]


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_tiny_clips(frames):
    positions = np.zeros((frames, 2, 3))
    assert not find_glitches(positions, RATE).any()
    positions[frames // 2] = 9999.0
    glitch = find_glitches(positions, RATE)
    assert bridge(positions, glitch).shape == positions.shape
    assert bridge(positions, np.ones(frames, bool)) is positions


def held(values, *spans):
    for first, stop in spans:
        values[first:stop] = values[first]
    return np.flatnonzero(find_untracked(values)).tolist()


def test_repeated_angles_are_untracked():
    def angles():
        return np.random.default_rng(0).normal(size=(60, 40))

    assert held(angles()) == []
    assert held(angles(), (20, 23)) == []  # two repetitions
    assert held(angles(), (20, 24)) == [21, 22, 23]
    assert held(angles(), (0, 5), (50, 60)) == [0, 1, 2, 3, 4, *range(51, 60)]
    # Some angles at their limit, or fingers that were never captured, are no loss of tracking.
    some = angles()
    some[20:40, :19] = 0.0
    assert held(some) == []
    some[20:40, :21] = 0.0
    assert held(some) == list(range(21, 40))
    still = angles()
    still[:, :35] = 1.0
    assert held(still) == []
    assert held(np.ones((9, 4))) == [] and held(np.ones((1, 4))) == []
