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

BVH_THORAX: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "spine1": ("neck", "leftshoulder", "rightshoulder"),
        "chest2": ("lowerneck", "leftcollar", "rightcollar"),
    }
)
"""Last spine joint -> the children whose offset, the thorax bone, the conversions lost; names in
lower case."""

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
