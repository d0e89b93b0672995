"""Facts about the CMU motion capture database: joints, units and what its clips show.

The clips' actions are CMU's descriptions (mocap.cs.cmu.edu), coarsened for per-action tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MM_PER_UNIT = 25.4 / 0.45
"""CMU's length unit is 1/0.45 inch; the BVH conversions keep it."""

FRAME_RATE = 120.0
"""Of AMC files, which do not state one."""

ASF_JOINTS: Mapping[str, str] = MappingProxyType(
    {
        "right_hip": "rhipjoint",
        "right_knee": "rfemur",
        "right_ankle": "rtibia",
        "left_hip": "lhipjoint",
        "left_knee": "lfemur",
        "left_ankle": "ltibia",
        "spine": "lowerback",
        "thorax": "thorax",
        "neck": "upperneck",
        "head": "head",
        "left_shoulder": "lclavicle",
        "left_elbow": "lhumerus",
        "left_wrist": "lradius",
        "right_shoulder": "rclavicle",
        "right_elbow": "rhumerus",
        "right_wrist": "rradius",
    }
)
"""Human3.6M joint -> ASF bone whose tip it is.  The pelvis is the midpoint of the hips."""

# The two naming families of the BVH conversions.  LeftShoulder is the collar joint in the
# first and the shoulder joint in the second, so a family is told by joints of its own.
_BVH_MOTIONBUILDER = {
    "right_hip": "RightUpLeg",
    "right_knee": "RightLeg",
    "right_ankle": "RightFoot",
    "left_hip": "LeftUpLeg",
    "left_knee": "LeftLeg",
    "left_ankle": "LeftFoot",
    "spine": "Spine",
    "thorax": "Neck",
    "neck": "Head",
    "head": "Head/end",
    "left_shoulder": "LeftArm",
    "left_elbow": "LeftForeArm",
    "left_wrist": "LeftHand",
    "right_shoulder": "RightArm",
    "right_elbow": "RightForeArm",
    "right_wrist": "RightHand",
}
_BVH_DAZ = {
    "right_hip": "RightHip",
    "right_knee": "RightKnee",
    "right_ankle": "RightAnkle",
    "left_hip": "LeftHip",
    "left_knee": "LeftKnee",
    "left_ankle": "LeftAnkle",
    "spine": "Chest",
    "thorax": "lowerneck",
    "neck": "Head",
    "head": "Head/end",
    "left_shoulder": "LeftShoulder",
    "left_elbow": "LeftElbow",
    "left_wrist": "LeftWrist",
    "right_shoulder": "RightShoulder",
    "right_elbow": "RightElbow",
    "right_wrist": "RightWrist",
}
BVH_JOINTS: tuple[Mapping[str, str], ...] = (
    MappingProxyType(_BVH_MOTIONBUILDER),
    MappingProxyType(_BVH_DAZ),
)
"""Human3.6M joint -> BVH joint, for each naming family."""

BVH_THORAX: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Spine1": ("Neck", "LeftShoulder", "RightShoulder"),
        "Chest2": ("lowerneck", "LeftCollar", "RightCollar"),
    }
)
"""Last spine joint -> the children whose offset, the thorax bone, the conversions lost."""

_ACTION_CLIPS = {
    "climb": "01_02-14",
    "jump": "01_01 02_04 131_03-04",
    "walk": "02_01-02 03_01-04 07_01-12 12_01 35_01 131_01-02",
    "run": "02_03 09_06",
    "punch": "02_05",
    "bend": "02_06",
    "swordplay": "02_07-09",
    "wash": "02_10",
    "kick": "11_01",
    "exercise": "13_29-31 14_14 14_20",
    "karate": "135_06",
    "cartwheel": "49_08",
    "balance": "49_18-20",
}


def _clip_actions() -> dict[str, str]:
    actions = {}
    for action, ranges in _ACTION_CLIPS.items():
        for clips in ranges.split():
            subject, trials = clips.split("_")
            first, _, last = trials.partition("-")
            for trial in range(int(first), int(last or first) + 1):
                actions[f"{subject}_{trial:02d}"] = action
    return actions


ACTIONS: Mapping[str, str] = MappingProxyType(_clip_actions())
"""Clip name -> coarse action, for the clips described in the documentation."""

UNKNOWN_ACTION = "motion"
