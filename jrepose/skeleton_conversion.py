"""Keypoints of one joint order in another: a 2D detector's as a lifter wants them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jrepose.skeleton import Skeleton, parents_first

Places = tuple[tuple[str, ...], ...]

_PELVIS: Places = (("pelvis",), ("left_hip", "right_hip"))
_BETWEEN_SHOULDERS: Places = (("thorax",), ("neck",), ("left_shoulder", "right_shoulder"))
_TRUNK: Places = (("spine",), ("pelvis", "thorax"))
_HEAD_TOP: Places = (
    ("head_top",), ("left_eye", "right_eye"), ("left_ear", "right_ear"), ("left_eye",),
    ("right_eye",),
)  # fmt: skip

_DERIVED: Mapping[str, Mapping[str, Places]] = MappingProxyType(
    {
        "human36m_17": {
            "pelvis": _PELVIS,
            "thorax": _BETWEEN_SHOULDERS,
            "spine": _TRUNK,
            # At the height of nose and chin.
            "neck": (("nose",), ("upper_neck",), ("head",), ("left_ear", "right_ear")),
            "head": _HEAD_TOP,
        },
        "humaneva_15": {
            "pelvis": _PELVIS,
            "thorax": _BETWEEN_SHOULDERS,
            "head": (("head",), *_HEAD_TOP, ("nose",)),
        },
        "mpi_inf_3dhp_17": {
            "pelvis": _PELVIS,
            "neck": _BETWEEN_SHOULDERS,
            "spine": (("spine",), ("pelvis", "neck")),
            "head_top": _HEAD_TOP,
            "head": (("head",), ("nose",)),
        },
        "mpii_16": {
            "pelvis": _PELVIS,
            "thorax": _BETWEEN_SHOULDERS,
            "head_top": _HEAD_TOP,
        },
        "coco_18": {"neck": (("neck",), ("left_shoulder", "right_shoulder"))},
        "body_25": {"neck": (("neck",), ("left_shoulder", "right_shoulder")), "pelvis": _PELVIS},
        "halpe_26": {"neck": (("neck",), ("left_shoulder", "right_shoulder")), "pelvis": _PELVIS},
    }
)
"""Joint order -> its joint -> what may stand for it, the best first: the mean of these joints of
the source, or of those that were derived before it.  Joints that are not here go by their name."""


def convert(
    points: Float[np.ndarray, "frames source_joints channels"],
    confidence: Float[np.ndarray, "frames source_joints"],
    source: Skeleton,
    target: Skeleton,
) -> tuple[
    Float[np.ndarray, "frames target_joints channels"], Float[np.ndarray, "frames target_joints"]
]:
    """Keypoints of one joint order in another.

    Joints that both have are copied; others are the mean of those around them: the pelvis of the
    hips, the thorax of the shoulders, the spine of both, Human3.6M's `neck` is the nose and its
    `head` the head's top or, ten centimetres too low, the middle of the eyes (MotionBERT, Zhu et
    al., ICCV 2023, does it so).  Where a joint is missing the next best takes its place.

    Args:
        points: positions, any unit.
        confidence: 0 where a joint is missing.
        source: joint order of `points`.
        target: the wanted one.

    Returns:
        Positions, and confidences: the least of the joints that a mean is of; 0 at position 0
        where there is none.
    """
    if source == target:
        return points, confidence
    known = {
        name: (points[:, joint], confidence[:, joint])
        for joint, name in enumerate(source.joint_names)
    }
    found = {}
    # What is derived from others stands behind them in the table.
    derived = _DERIVED.get(target.name, {})
    for name in [*derived, *(name for name in target.joint_names if name not in derived)]:
        found[name] = _best(known, derived.get(name, ((name,),)), points)
        if derived.get(name):
            known[name] = found[name]
    positions, confidences = zip(*(found[name] for name in target.joint_names), strict=True)
    return np.stack(positions, axis=1), np.stack(confidences, axis=1)


def _best(
    known: Mapping[str, tuple[np.ndarray, np.ndarray]], places: Places, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Position and confidence of the first place whose joints are all present, by frame."""
    position = np.zeros_like(like[:, 0])
    certainty = np.zeros(len(like), position.dtype)
    for names in reversed(places):
        if all(name in known for name in names):
            mean = sum(known[name][0] for name in names) / position.dtype.type(len(names))
            least = np.minimum.reduce([known[name][1] for name in names])
            position = np.where((least > 0)[:, None], mean, position)
            certainty = np.where(least > 0, least, certainty)
    return position.astype(like.dtype), certainty.astype(like.dtype)


def filled(
    pixels: Float[np.ndarray, "frames joints 2"],
    confidence: Float[np.ndarray, "frames joints"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "frames joints 2"]:
    """Positions for missing joints (confidence 0), which the model is told that they are.

    Within a gap on a straight line in time, before the first and after the last sight where it was
    seen; a joint that is never seen is where its parent is.
    """
    pixels = pixels.astype(np.float64)
    frames = np.arange(len(pixels))
    never = []
    for joint in range(skeleton.num_joints):
        seen = np.flatnonzero(confidence[:, joint] > 0)
        if not len(seen):
            never.append(joint)
        elif len(seen) < len(frames):
            for axis in range(2):
                pixels[:, joint, axis] = np.interp(frames, seen, pixels[seen, joint, axis])
    known = [joint for joint in range(skeleton.num_joints) if joint not in never]
    for joint in parents_first(skeleton):
        if joint in never:
            parent = skeleton.parents[joint]
            pixels[:, joint] = pixels[:, known].mean(1) if parent < 0 else pixels[:, parent]
    return pixels
