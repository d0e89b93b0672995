"""Training losses: pure functions of poses, each a float32 scalar, and objectives made of them."""

from jrepose.losses.anatomy import angle, limb_angles, limb_length, limb_lengths, limb_variance
from jrepose.losses.depth_ranking import spatial_ranking, temporal_ranking
from jrepose.losses.joint_weights import joint_weights
from jrepose.losses.motion import angle_velocity, motion, temporal_consistency, velocity
from jrepose.losses.objective import LOSSES, Objective, create_objective
from jrepose.losses.position import (
    joint_l1,
    mean_squared,
    mpjpe,
    n_mpjpe,
    reprojection_2d,
    weighted_mpjpe,
)
from jrepose.losses.semi_supervised import back_projection, mean_limb_lengths, trajectory

__all__ = [
    "LOSSES",
    "Objective",
    "angle",
    "angle_velocity",
    "back_projection",
    "create_objective",
    "joint_l1",
    "joint_weights",
    "limb_angles",
    "limb_length",
    "limb_lengths",
    "limb_variance",
    "mean_limb_lengths",
    "mean_squared",
    "motion",
    "mpjpe",
    "n_mpjpe",
    "reprojection_2d",
    "spatial_ranking",
    "temporal_consistency",
    "temporal_ranking",
    "trajectory",
    "velocity",
    "weighted_mpjpe",
]
