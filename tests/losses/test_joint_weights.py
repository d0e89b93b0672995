"""MixSTE's joint weights."""

import pytest

from jrepose.errors import InputError
from jrepose.losses import joint_weights
from jrepose.skeleton import HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17, Skeleton


def test_human36m():
    weights = joint_weights(HUMAN36M_17)
    assert weights.sum() == 36.5
    for name, weight in {"pelvis": 1, "left_knee": 2.5, "head": 1.5, "right_wrist": 4}.items():
        assert weights[HUMAN36M_17.index(name)] == weight


def test_humaneva_goes_by_position_as_released():
    weights = joint_weights(HUMANEVA_15)
    assert weights.sum() == 34.5
    for name, weight in {"left_wrist": 1, "right_hip": 4, "right_knee": 1.5}.items():
        assert weights[HUMANEVA_15.index(name)] == weight


def test_mpi_inf_3dhp_goes_by_anatomy():
    weights = joint_weights(MPI_INF_3DHP_17)
    # The same numbers as in Human3.6M, on the same parts of the body.
    assert weights.sum() == 36.5
    for group, weight in {"shoulders": 1.5, "elbows": 4, "wrists": 4, "hips": 1, "knees": 2.5,
                          "ankles": 2.5, "head": 1.5, "neck": 1}.items():  # fmt: skip
        assert all(weights[joint] == weight for joint in MPI_INF_3DHP_17.group(group))


def test_other_skeletons_have_none():
    strange = Skeleton("strange", ("pelvis", "tail"), (-1, 0), (), ())
    with pytest.raises(InputError, match="no joint weights for skeleton strange; known: human36m"):
        joint_weights(strange)
