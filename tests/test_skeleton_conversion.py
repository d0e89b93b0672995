"""Detectors' joint orders in the lifters', with confidences."""

import numpy as np
import pytest

from jrepose.skeleton import (
    BLAZEPOSE_33,
    BODY_25,
    BODY_25B,
    COCO_17,
    COCO_18,
    HALPE_26,
    HUMAN36M_17,
    MPI_INF_3DHP_17,
    MPII_16,
    SKELETONS,
)
from jrepose.skeleton_conversion import convert

# Human3.6M's joints 1 to 6 and 11 to 16 in each layout, from its documentation.
LIMBS = {
    COCO_17: (12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10),
    HALPE_26: (12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10),
    BODY_25B: (12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10),
    BODY_25: (9, 10, 11, 12, 13, 14, 5, 6, 7, 2, 3, 4),
    COCO_18: (8, 9, 10, 11, 12, 13, 5, 6, 7, 2, 3, 4),
    BLAZEPOSE_33: (24, 26, 28, 23, 25, 27, 11, 13, 15, 12, 14, 16),
    MPII_16: (2, 1, 0, 3, 4, 5, 13, 14, 15, 12, 11, 10),
}
# Pelvis, thorax, neck and head: what each is the mean of.
TRUNK = {
    COCO_17: ((11, 12), (5, 6), (0,), (1, 2)),
    HALPE_26: ((19,), (18,), (0,), (17,)),
    BODY_25B: ((11, 12), (5, 6), (0,), (18,)),
    BODY_25: ((8,), (1,), (0,), (15, 16)),
    COCO_18: ((8, 11), (1,), (0,), (14, 15)),
    BLAZEPOSE_33: ((23, 24), (11, 12), (0,), (2, 5)),
    MPII_16: ((6,), (7,), (8,), (9,)),
}


@pytest.mark.parametrize("source", LIMBS, ids=lambda skeleton: skeleton.name)
def test_to_human36m(source):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, source.num_joints, 2)).astype(np.float32)
    confidence = rng.uniform(0.1, 1, (3, source.num_joints)).astype(np.float32)
    found, sure = convert(points, confidence, source, HUMAN36M_17)
    limbs = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    np.testing.assert_array_equal(found[:, limbs], points[:, LIMBS[source]])
    np.testing.assert_array_equal(sure[:, limbs], confidence[:, LIMBS[source]])
    for joint, of in zip((0, 8, 9, 10), TRUNK[source], strict=True):
        np.testing.assert_allclose(found[:, joint], points[:, of].mean(1), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(sure[:, joint], confidence[:, of].min(1))
    np.testing.assert_allclose(found[:, 7], found[:, [0, 8]].mean(1), rtol=1e-5, atol=1e-6)


def test_missing_joints_are_not_averaged():
    points = np.ones((1, 17, 2), np.float32)
    confidence = np.ones((1, 17), np.float32)
    for missing, joint, value in ((11, 0, 0), (5, 8, 0), (2, 10, 1), (0, 9, 1), (16, 3, 0)):
        sure = confidence.copy()
        sure[0, missing] = 0
        found, certain = convert(points * sure[..., None], sure, COCO_17, HUMAN36M_17)
        # Ears stand for the nose and for eyes; nothing stands for the others.
        assert certain[0, joint] == value and (found[0, joint] == value).all()


@pytest.mark.parametrize("target", [MPI_INF_3DHP_17, MPII_16, COCO_17, COCO_18])
def test_other_targets_have_what_the_source_has(target):
    points = np.ones((1, 26, 2), np.float32)
    _, sure = convert(points, np.ones((1, 26), np.float32), HALPE_26, target)
    absent = {"mpii_16": {"upper_neck"}}.get(target.name, set())
    assert {n for n, c in zip(target.joint_names, sure[0], strict=True) if not c} == absent


def test_layouts_are_trees_with_matching_sides():
    for skeleton in SKELETONS.values():
        for left, right in zip(skeleton.left, skeleton.right, strict=True):
            names = skeleton.joint_names[left], skeleton.joint_names[right]
            assert names[0].replace("left", "right") == names[1]
            parents = skeleton.parents[left], skeleton.parents[right]
            mirrored = skeleton.flip_permutation
            assert mirrored[parents[0]] == parents[1] or skeleton.root in parents
