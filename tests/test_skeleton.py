"""Skeletons: the Human3.6M joint order and the checks of the type."""

import dataclasses
import pickle

import numpy as np
import pytest

from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, Skeleton


def test_human36m_order_and_pairs():
    names = HUMAN36M_17.joint_names
    assert (names[0], names[1], names[6], names[10], names[16]) == (
        "pelvis",
        "right_hip",
        "left_ankle",
        "head",
        "right_wrist",
    )
    # The swap pairs of the Human3.6M-SH data: 1-4, 2-5, 3-6, 11-14, 12-15, 13-16.
    pairs = set(zip(HUMAN36M_17.left, HUMAN36M_17.right, strict=True))
    assert pairs == {(4, 1), (5, 2), (6, 3), (11, 14), (12, 15), (13, 16)}
    for left, right in pairs:
        assert names[left].replace("left", "right") == names[right]


def test_parents_form_a_tree_that_mirrors():
    skeleton = HUMAN36M_17
    assert skeleton.root == 0
    assert len(skeleton.limbs) == skeleton.num_joints - 1
    flip = skeleton.flip_permutation
    limbs = set(skeleton.limbs)
    assert {(int(flip[p]), int(flip[c])) for p, c in limbs} == limbs
    for joint in range(skeleton.num_joints):
        steps = 0
        while skeleton.parents[joint] >= 0:
            joint, steps = skeleton.parents[joint], steps + 1
            assert steps < skeleton.num_joints


def test_flip_permutation_is_its_own_inverse_and_read_only():
    flip = HUMAN36M_17.flip_permutation
    np.testing.assert_array_equal(flip[flip], np.arange(17))
    np.testing.assert_array_equal(np.flatnonzero(flip == np.arange(17)), [0, 7, 8, 9, 10])
    with pytest.raises(ValueError):
        flip[0] = 1


def test_groups_partition_the_joints():
    parts = ("torso", "head", "left_leg", "right_leg", "left_arm", "right_arm")
    members = [joint for part in parts for joint in HUMAN36M_17.group(part)]
    # Hips and shoulders belong to the torso and to their limb.
    assert sorted(set(members)) == list(range(17))
    assert sorted(joint for joint in members if members.count(joint) > 1) == sorted(
        2 * [1, 4, 11, 14]
    )
    assert not set(HUMAN36M_17.group("middle_limbs")) & set(HUMAN36M_17.group("terminal_limbs"))


def test_limb_angles_pair_limbs_that_meet_or_face():
    assert len(HUMAN36M_17.limb_angles) == len(set(HUMAN36M_17.limb_angles)) == 18
    limbs = len(HUMAN36M_17.limbs)
    assert all(0 <= a < b < limbs for a, b in HUMAN36M_17.limb_angles)
    # Knees and elbows are among them.
    names = HUMAN36M_17.joint_names
    bends = set()
    for a, b in HUMAN36M_17.limb_angles:
        (_, child), (parent, _) = HUMAN36M_17.limbs[a], HUMAN36M_17.limbs[b]
        if child == parent:
            bends.add(names[child])
    assert {"left_knee", "right_knee", "left_elbow", "right_elbow"} <= bends


def test_lookups_name_what_is_missing():
    assert HUMAN36M_17.index("left_wrist") == 13
    with pytest.raises(InputError, match="no joint 'toe'.*pelvis"):
        HUMAN36M_17.index("toe")
    with pytest.raises(InputError, match="no group 'tail'"):
        HUMAN36M_17.group("tail")


def test_pickling_keeps_everything():
    copy = pickle.loads(pickle.dumps(HUMAN36M_17))
    for field in dataclasses.fields(Skeleton):
        assert getattr(copy, field.name) == getattr(HUMAN36M_17, field.name)
    with pytest.raises(TypeError):
        copy.groups["torso"] = ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint_names": ("a", "a", "c")}, "repeat"),
        ({"parents": (-1, 0)}, "2 parents for 3 joints"),
        ({"parents": (-1, -1, 0)}, "exactly one"),
        ({"parents": (-1, 2, 1)}, "joint 1 has no way to the root"),
        ({"left": (1,), "right": ()}, "pair up"),
        ({"left": (1,), "right": (1,)}, "pair up"),
        ({"groups": {"all": (0, 3)}}, "group all"),
    ],
)
def test_contradictions_are_refused(change, message):
    good = {
        "name": "stick",
        "joint_names": ("a", "b", "c"),
        "parents": (-1, 0, 0),
        "left": (1,),
        "right": (2,),
        "groups": {"all": (0, 1, 2)},
    }
    Skeleton(**good)
    with pytest.raises(InputError, match=message):
        Skeleton(**good | change)
