"""Several predicted poses for each true one: their errors, and which of them to take.

W. Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation" (D3DP),
ICCV 2023.  In NumPy; hypotheses are the first axis, units as in `metrics`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from jrepose import metrics
from jrepose.camera import project_to_2d

Hypotheses = Float[np.ndarray, "hypotheses *frames joints 3"]
Poses = Float[np.ndarray, "*frames joints 3"]


def nearest_in_the_image(
    hypotheses: Hypotheses,
    keypoints: Float[np.ndarray, "*frames joints 2"],
    trajectory: Float[np.ndarray, "*frames 1 3"],
    intrinsics: Float[np.ndarray, "*cameras 9"],
) -> Int[np.ndarray, "*frames joints"]:
    """The hypothesis of each joint whose projection is nearest to its keypoint (JPMA).

    Args:
        hypotheses: root-relative poses.
        keypoints: where the joints were seen, in the unit of the camera's focal length.
        trajectory: the true place of the root in camera axes, in the unit of the poses.
        intrinsics: as for `camera.project_to_2d`.
    """
    return np.stack(
        [
            np.linalg.norm(project_to_2d(poses + trajectory, intrinsics) - keypoints, axis=-1)
            for poses in hypotheses
        ]
    ).argmin(axis=0)


def taken(hypotheses: Hypotheses, index: Int[np.ndarray, "*frames joints"]) -> Poses:
    """Poses of which each joint is that of the hypothesis that the index names."""
    return np.take_along_axis(hypotheses, index[None, ..., None], axis=0)[0]


def errors(
    hypotheses: Hypotheses,
    target: Poses,
    nearest: Int[np.ndarray, "*frames joints"] | None = None,
    mask: Bool[np.ndarray, ...] | None = None,
    *,
    aligned: bool = False,
) -> dict[str, float]:
    """MPJPE of what is made of the hypotheses.

    Args:
        hypotheses, target: poses with a common origin.
        nearest: from `nearest_in_the_image`.
        mask: joints that count, as in `metrics`.
        aligned: every hypothesis, and the mean of them, is aligned to its target first.

    Returns:
        `j_best`: each joint of the hypothesis that has it best; `p_best`: of the hypothesis that is
        best over all poses here, so that it depends on how many they are; `p_agg`: of the mean
        pose; with `nearest`, `j_agg`: of the joints that it names.
    """
    align = metrics.procrustes_align if aligned else lambda poses, target: poses
    poses = np.stack([align(hypothesis, target) for hypothesis in hypotheses])
    distances = np.stack([metrics.mpjpe(pose, target, reduction="none") for pose in poses])
    best = taken(poses, distances.argmin(axis=0))
    found = {
        "j_best": metrics.mpjpe(best, target, mask),
        "p_best": min(metrics.mpjpe(pose, target, mask) for pose in poses),
        "p_agg": metrics.mpjpe(align(hypotheses.mean(axis=0), target), target, mask),
    }
    if nearest is not None:
        found["j_agg"] = metrics.mpjpe(taken(poses, nearest), target, mask)
    return found
