"""The same motion by people of other proportions."""

from __future__ import annotations

import dataclasses

import numpy as np

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.seeds import named_generator
from jrepose.skeleton import parents_first

# Bones that have their length in common, by the joint in which they end: the mean of their factor,
# and how much more than others they vary.  Where hips and shoulders are is not only the body's:
# capture systems and detectors differ.  CMU's shoulders are 0.93 of a thigh apart and its forearms
# 0.47 of one, where detectors see 0.8 and 0.6.
_PARTS = {
    "legs": (("knee", "ankle"), 1.0, 1.0),
    "hips": (("hip",), 1.0, 2.0),
    "trunk": (("spine", "thorax"), 1.0, 1.0),
    "head": (("neck", "head"), 1.0, 1.5),
    "shoulders": (("shoulder",), 0.9, 2.0),
    "upper arms": (("elbow",), 1.0, 1.0),
    "forearms": (("wrist",), 1.2, 2.5),
}


def with_other_body(recording: Recording, spread: float, seed: int) -> Recording:
    """A recording with bones of other lengths, all directions as they were.

    The path of the pelvis and its height go with the legs, so that feet stay where they stood.

    Args:
        recording: motion in the world.
        spread: standard deviation of the factor of most parts, cut at two of them; `_PARTS` has
            the others.
        seed: the factors are a pure function of it and of the recording's name.
    """
    rng = named_generator(seed, "proportions", recording.name)
    of_joint = {
        end: mean + spread * more * z
        for (ends, mean, more), z in zip(
            _PARTS.values(), rng.standard_normal(len(_PARTS)).clip(-2, 2), strict=True
        )
        for end in ends
    }
    skeleton = recording.skeleton
    old = np.asarray(recording.positions_mm, np.float64)
    new = old * of_joint["knee"]
    for joint in parents_first(skeleton)[1:]:
        parent, name = skeleton.parents[joint], skeleton.joint_names[joint]
        factor = of_joint.get(name.removeprefix("left_").removeprefix("right_"), 1.0)
        new[:, joint] = new[:, parent] + factor * (old[:, joint] - old[:, parent])
    return dataclasses.replace(recording, positions_mm=new.astype(np.float32))
