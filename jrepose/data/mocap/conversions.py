"""What the BVH conversions of the CMU database have got wrong, and its repair."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from jrepose.data.mocap import cmu
from jrepose.data.mocap.asf_amc import AsfSkeleton
from jrepose.data.mocap.bvh import BvhMotion
from jrepose.data.mocap.joint_names import is_cmu, plain_names

_log = logging.getLogger(__name__)

_SAME_DIRECTION = 0.98  # cosine


def without_added_pose(motion: BvhMotion) -> BvhMotion:
    """Drops a frame 0 that is the zero pose, put before the captured motion by a converter.

    Told by its rotations: at most one in ten is not exactly zero, where the next frame, being
    captured, has more than half.
    """
    channels = [channel for joint in motion.joints for channel in joint.channels]
    rotations = np.array([channel.endswith("rotation") for channel in channels])
    nonzero = motion.values[:2, rotations] != 0
    if (
        len(nonzero) < 2
        or not rotations.any()
        or nonzero[0].mean() > 0.1
        or nonzero[1].mean() <= 0.5
    ):
        return motion
    _log.info("%s: frame 0, an added zero pose, dropped", motion.path)
    return dataclasses.replace(motion, values=motion.values[1:])


def with_thorax(motion: BvhMotion, skeleton: AsfSkeleton | None, mm_per_unit: float) -> BvhMotion:
    """Restores the thorax segment, whose offset the CMU conversions wrote as zero.

    Its vector is the subject's ASF thorax bone, or without one a second copy of the spine
    segment before it.  In a file with other axes than the ASF's, the bone gives the length only.
    """
    if not is_cmu(motion):
        return motion
    by_word = {word: motion.index[name] for name, word in plain_names(motion).items()}
    for spine, children in cmu.BVH_THORAX.items():
        if spine not in by_word or not set(children) <= by_word.keys():
            continue
        above = [by_word[child] for child in children]
        if any(motion.joints[joint].offset.any() for joint in above):
            return motion
        thorax = motion.joints[by_word[spine]].offset
        if skeleton is not None and {"thorax", "upperback"} <= skeleton.index.keys():
            bone, before = (
                skeleton.bones[skeleton.index[name]].offset_mm / mm_per_unit
                for name in ("thorax", "upperback")
            )
            sizes = np.linalg.norm(thorax) * np.linalg.norm(before)
            if thorax @ before > _SAME_DIRECTION * sizes:
                thorax = bone
            elif sizes > 0:
                thorax = thorax * (np.linalg.norm(bone) / np.linalg.norm(thorax))
        joints = list(motion.joints)
        for joint in above:
            joints[joint] = dataclasses.replace(joints[joint], offset=thorax)
        return dataclasses.replace(motion, joints=tuple(joints))
    return motion
