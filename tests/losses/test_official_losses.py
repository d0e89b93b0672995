"""Limbs and objectives as the official code has them; `test_parity.py` has every loss alone."""

import jax
import numpy as np
import pytest

from jrepose import losses
from jrepose.skeleton import HUMAN36M_17, HUMANEVA_15


@pytest.fixture(scope="module")
def official(golden):
    return golden("repose_losses")


def test_limb_lengths_and_angles(official):
    arrays, _ = official
    for case in ("mb_random", "mb_t1", "mb_degenerate", "mb_equal"):
        poses = arrays[f"input/{case}/pred"]
        for name, function in (
            ("limb_lens", losses.limb_lengths),
            ("angles", losses.limb_angles),
        ):
            expected = arrays[f"aux/{case}/{name}"]
            np.testing.assert_allclose(jax.jit(function)(poses), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("clip", ["", "_short"])
def test_objective_on_real_predictions(golden, clip):
    arrays, _ = golden("repose")
    objective = losses.create_objective(
        {"mpjpe": 1, "spatial_ranking": 20, "temporal_ranking": 20, "n_mpjpe": 0}, HUMAN36M_17
    )
    total, terms = jax.jit(objective)(
        {}, arrays[f"output/pred{clip}"], arrays[f"target/y{clip}"], arrays[f"input/x{clip}"]
    )
    expected = {
        "mpjpe": "mpjpe",
        "spatial_ranking": "spatial_rank",
        "temporal_ranking": "temporal_rank",
        "n_mpjpe": "n_mpjpe",
    }
    assert terms.keys() == expected.keys()
    for ours, theirs in expected.items():
        np.testing.assert_allclose(terms[ours], arrays[f"loss{clip}/{theirs}"], rtol=1e-6)
    np.testing.assert_allclose(total, arrays[f"loss{clip}/total"], rtol=1e-6)


def test_mixste_objective(golden):
    arrays, config = golden("mixste")
    predicted, target = arrays["output/pose_3d"], arrays["target/pose_3d"]
    weights = {"weighted_mpjpe": 1, "temporal_consistency": 0.5, "velocity": 2, "mpjpe": 0}
    for skeleton, prefix in ((HUMAN36M_17, ""), (HUMANEVA_15, "humaneva15_")):
        objective = losses.create_objective(weights, skeleton)
        joints = skeleton.num_joints
        poses = predicted[:, :, :joints], target[:, :, :joints]
        total, terms = jax.jit(objective)({}, *poses, arrays["input/keypoints_2d"][:, :, :joints])
        suffix = "_first15" if prefix else ""
        for ours, theirs in (
            ("weighted_mpjpe", "weighted_mpjpe"),
            ("temporal_consistency", "temporal_consistency"),
            ("velocity", "mpjve"),
            ("mpjpe", "mpjpe"),
        ):
            if (key := f"loss/{prefix}{theirs}{suffix}") in arrays:
                np.testing.assert_allclose(terms[ours], arrays[key], rtol=1e-6, err_msg=key)
        np.testing.assert_allclose(total, arrays[f"loss/{prefix}total{suffix}"], rtol=1e-6)
    for skeleton, name in ((HUMAN36M_17, "h36m"), (HUMANEVA_15, "humaneva15")):
        np.testing.assert_array_equal(
            losses.joint_weights(skeleton), config[f"joint_weights_{name}"]
        )
