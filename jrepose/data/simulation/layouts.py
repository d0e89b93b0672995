"""What becomes of Human3.6M's joints on the way through a detector's joint order.

A lifter of Human3.6M's joints is given keypoints of COCO, Halpe or MPII: the pelvis is then the
middle of the hips, the thorax that of the shoulders, and the head stands where eyes or ears are.
Here the keypoints of such a layout are made from those of Human3.6M, and brought back by the same
`jrepose.skeleton_conversion` as real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from jrepose.data.simulation.detector import Detections, DetectorConfig
from jrepose.data.simulation.seeds import named_generator
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, SKELETONS, Skeleton
from jrepose.skeleton_conversion import convert, filled

_HEAD: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "nose": {"neck": 1.0},
        "left_eye": {"neck": 0.7, "head": 0.3},
        "right_eye": {"neck": 0.7, "head": 0.3},
        "left_ear": {"thorax": 0.45, "head": 0.55},
        "right_ear": {"thorax": 0.45, "head": 0.55},
        "upper_neck": {"thorax": 0.7, "head": 0.3},
        "head_top": {"head": 1.0},
    }
)
"""Points of the head between Human3.6M's joints.  Only the middle of eyes and of ears is used."""

_FACE = ("nose", "left_eye", "right_eye")
_FACING_AWAY = 0.3  # distance of the shoulders to that of hips and shoulders


def through_layout(
    detections: Detections, config: DetectorConfig, *, seed: int, names: tuple[str, ...]
) -> Detections:
    """Keypoints as if another joint order had been detected.

    Args:
        detections: of Human3.6M's joints.
        config: read are `layouts`, `face_missing_share`,
            `confidence_exponents` and `no_confidence_share`.
        seed, names: of the video; the randomness is a pure function of them.

    Returns:
        Human3.6M's joints again, gaps filled as `jrepose.Lifter` fills them.

    Raises:
        InputError: an unknown layout.
    """
    rng = named_generator(seed, "layout", *names)
    layouts = config.layouts.split()
    layout = _layout(layouts[rng.integers(len(layouts))])
    points, sure = detections.keypoints_px.astype(np.float64), detections.confidence
    exponent = rng.uniform(*config.confidence_exponents)
    sure = sure**exponent
    if rng.uniform() < config.no_confidence_share:
        sure = (sure > 0).astype(sure.dtype)
    if layout != HUMAN36M_17:
        hide_face = rng.uniform() < config.face_missing_share
        points, sure = in_layout(points, sure, layout, hide_face)
        points, sure = convert(points, sure, layout, HUMAN36M_17)
    points = filled(points, sure, HUMAN36M_17)
    return Detections(points.astype(np.float32), sure.astype(np.float32))


def _layout(name: str) -> Skeleton:
    if name not in SKELETONS:
        raise InputError(
            f"detector: layouts has {name!r}; expected names of {', '.join(SKELETONS)}"
        )
    return SKELETONS[name]


def in_layout(
    points: Float[np.ndarray, "frames joints 2"],
    sure: Float[np.ndarray, "frames joints"],
    layout: Skeleton,
    hide_face: bool = False,
) -> tuple[Float[np.ndarray, "frames keypoints 2"], Float[np.ndarray, "frames keypoints"]]:
    """Human3.6M's keypoints in a detector's joint order.

    Args:
        points, sure: positions and confidences of Human3.6M's joints, without gaps.
        layout: the joint order.
        hide_face: nose and eyes are missing where the person faces away.

    Returns:
        Positions and confidences; (0, 0) and 0 where Human3.6M's joints do not tell, of toes for
        instance.
    """
    placed = np.zeros((len(points), layout.num_joints, 2))
    certain = np.zeros(placed.shape[:2])
    away = _facing_away(points) if hide_face else None
    for keypoint, name in enumerate(layout.joint_names):
        if name in _HEAD:
            parts = _HEAD[name]
        elif name == "neck":  # of detectors: between the shoulders
            parts = {"left_shoulder": 0.5, "right_shoulder": 0.5}
        elif name in HUMAN36M_17.joint_names:
            parts = {name: 1.0}
        else:
            continue
        joints = [HUMAN36M_17.index(joint) for joint in parts]
        weights = np.array(list(parts.values()))[:, None]
        placed[:, keypoint] = (points[:, joints] * weights).sum(1)
        certain[:, keypoint] = sure[:, joints].min(1)
        if away is not None and name in _FACE:
            certain[away, keypoint] = 0
    return placed, certain


def _facing_away(points: Float[np.ndarray, "frames joints 2"]) -> Bool[np.ndarray, " frames"]:
    """Where the left shoulder is clearly left of the right one in the picture."""
    left, right, hips = (
        points[:, HUMAN36M_17.index(n)] for n in ("left_shoulder", "right_shoulder", "pelvis")
    )
    trunk = np.linalg.norm((left + right) / 2 - hips, axis=-1)
    return right[:, 0] - left[:, 0] > _FACING_AWAY * trunk
