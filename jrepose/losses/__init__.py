"""Training losses: pure functions of poses, each a float32 scalar, and objectives made of them."""

from jrepose.losses.anatomy import angle, limb_angles, limb_length, limb_lengths, limb_variance
from jrepose.losses.depth_ranking import spatial_ranking, temporal_ranking
from jrepose.losses.motion import angle_velocity, velocity
from jrepose.losses.position import joint_l1, mpjpe, n_mpjpe, reprojection_2d, weighted_mpjpe

__all__ = [
    "angle",
    "angle_velocity",
    "joint_l1",
    "limb_angles",
    "limb_length",
    "limb_lengths",
    "limb_variance",
    "mpjpe",
    "n_mpjpe",
    "reprojection_2d",
    "spatial_ranking",
    "temporal_ranking",
    "velocity",
    "weighted_mpjpe",
]
