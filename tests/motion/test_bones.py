import numpy as np
import pytest
from people import person
from scipy.optimize import minimize

from jrepose.motion import bones
from jrepose.motion.bones import (
    bone_directions,
    bone_lengths,
    length_votes,
    likely_lengths,
    with_constant_bones,
    with_likely_bones,
)
from jrepose.skeleton import HUMAN36M_17

LIMBS = np.array(HUMAN36M_17.limbs)


def test_lengths_are_medians_and_alike_on_both_sides():
    poses = person().poses_m.copy()
    left, right = HUMAN36M_17.index("left_ankle"), HUMAN36M_17.index("right_ankle")
    poses[:, left, 0] += np.random.default_rng(0).normal(scale=0.1, size=len(poses))
    lengths = bone_lengths(poses, HUMAN36M_17)
    assert lengths[left] == lengths[right]
    varying = np.linalg.norm(poses[:, left] - poses[:, left - 1], axis=-1)
    fixed = np.linalg.norm(poses[0, right] - poses[0, right - 1])
    assert lengths[left] == pytest.approx((np.median(varying) + fixed) / 2)
    assert lengths[HUMAN36M_17.root] == 0


def test_sides_that_are_known_to_differ_stay():
    poses = person().poses_m.copy()
    ankle = HUMAN36M_17.index("left_ankle")
    poses[:, ankle] += 0.1 * (poses[:, ankle] - poses[:, ankle - 1])
    assert with_constant_bones(poses, HUMAN36M_17) == pytest.approx(poses, abs=1e-6)


def test_bones_become_constant_and_keep_their_directions():
    poses = person().poses_m + np.random.default_rng(0).normal(scale=0.02, size=(60, 17, 3))
    constant = with_constant_bones(poses, HUMAN36M_17)
    lengths = np.linalg.norm(constant[:, LIMBS[:, 1]] - constant[:, LIMBS[:, 0]], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-6
    assert bone_directions(constant, HUMAN36M_17) == pytest.approx(
        bone_directions(poses, HUMAN36M_17), abs=1e-6
    )
    assert np.array_equal(constant[:, 0], poses[:, 0])


def test_a_bone_without_length_keeps_its_direction():
    poses = person().poses_m.copy()
    poses[[0, 20], 3] = poses[[0, 20], 2]
    directions = bone_directions(poses, HUMAN36M_17)[:, 3]
    assert np.array_equal(directions[0], directions[1])
    assert np.array_equal(directions[20], directions[19])
    assert np.isfinite(with_constant_bones(poses * 0, HUMAN36M_17)).all()


def likely(poses, known, sight):
    sight = np.broadcast_to(np.asarray(sight, float), (len(poses), 3))
    return with_likely_bones(poses, HUMAN36M_17, known, sight=sight, height=1.7)


def test_bones_that_have_their_lengths_stay():
    poses = person().poses_m
    known = bone_lengths(poses, HUMAN36M_17)
    assert likely(poses, known, (0, 1, 0)) == pytest.approx(poses, abs=1e-5)


def test_the_likely_bone_is_the_most_likely_one():
    random = np.random.default_rng(0)
    poses = np.tile(random.normal(scale=0.3, size=(17, 3)), (3, 1, 1))
    known = bone_lengths(poses, HUMAN36M_17) * random.uniform(0.7, 0.95, 17)
    poses += random.normal(scale=0.005, size=poses.shape)
    sight = random.normal(size=3)
    found = likely(poses, known, sight)
    ray = sight / np.linalg.norm(sight)
    for parent, child in LIMBS:
        for frame in range(len(poses)):
            bone = poses[frame, child] - poses[frame, parent]

            def unlikely(v, bone=bone, child=child):
                off, length = v - bone, np.linalg.norm(v)
                deep = off @ ray
                return (
                    (off @ off - deep**2) / bones._ACROSS**2
                    + deep**2 / bones._ALONG**2
                    + (length - known[child]) ** 2 / bones._LENGTH**2
                ) / 1.7**2

            v = found[frame, child] - found[frame, parent]
            best = minimize(unlikely, v, method="BFGS", options={"gtol": 1e-9}).fun
            assert unlikely(v) == pytest.approx(best, rel=1e-6)


def test_a_depth_that_is_wrong_is_set_right_and_the_picture_stays():
    poses = person().poses_m.astype(np.float64)
    known, sight = bone_lengths(poses, HUMAN36M_17), np.array([0.0, 1.0, 0.0])
    spoilt = poses + np.random.default_rng(0).normal(scale=0.06, size=(60, 17, 1)) * sight
    spoilt[:, 0] = poses[:, 0]
    better = likely(spoilt, known, sight)
    assert np.array_equal(better[:, 0], poses[:, 0])
    error = np.abs(better - poses).mean((0, 1))
    assert error[1] < 0.85 * np.abs(spoilt - poses).mean((0, 1))[1]
    assert max(error[0], error[2]) < 0.01


def test_a_bone_that_is_far_too_short_is_not_turned_to_the_camera():
    poses = person().poses_m.astype(np.float64)
    known, knee, ankle = bone_lengths(poses, HUMAN36M_17), 2, 3
    poses[:, ankle] = poses[:, knee] + [0.0, -0.02, -0.1]
    found = likely(poses, known, (0, 1, 0))
    assert (np.abs(found[:, ankle, 1] - found[:, knee, 1]) < 0.04 + 1e-6).all()


def test_who_is_seen_from_the_side_tells_the_lengths():
    poses = person().poses_m.astype(np.float64)
    known = bone_lengths(poses, HUMAN36M_17)
    turned = poses[::2].copy()  # half of the frames: everything along the line of sight, too short
    parents = list(HUMAN36M_17.parents)
    for joint in range(1, 17):
        turned[:, joint] = turned[:, parents[joint]] + [0.0, 0.7 * known[joint], 0.0]
    both = np.concatenate([poses, turned])
    sight = np.tile([0.0, 1.0, 0.0], (len(both), 1))
    found = likely_lengths(length_votes(both, HUMAN36M_17, sight, np.ones(len(both))))
    blind = np.concatenate([np.ones(len(poses)), np.zeros(len(turned))])
    seen = likely_lengths(length_votes(both, HUMAN36M_17, sight, blind))
    assert seen == pytest.approx(known, rel=1e-3)
    assert found[0] == 0 and np.array_equal(found[HUMAN36M_17.flip_permutation], found)
    short = (found / known)[1:]
    unweighted = (2 + 0.7) / 3
    assert (short > unweighted).all() and short.mean() > 0.93 and (short < 1.001).all()


def test_a_bone_without_length_does_not_disturb():
    poses = person().poses_m * 0
    known = bone_lengths(person().poses_m, HUMAN36M_17)
    assert np.isfinite(likely(poses, known, (0, 1, 0))).all()
