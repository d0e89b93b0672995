import numpy as np
import pytest
from people import person

from jrepose.motion.bones import bone_directions, bone_lengths, with_constant_bones
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
