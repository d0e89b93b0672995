"""The same motion by people of other proportions."""

from __future__ import annotations

import dataclasses

import numpy as np

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.seeds import named_generator
from jrepose.skeleton import parents_first

# Bones that have their length in common, by the joint in which they end, and how much more they
# vary.  Where hips and shoulders are is not only the body's: capture systems and detectors differ.
_PARTS = {
    "legs": (("knee", "ankle"), 1.0),
    "hips": (("hip",), 2.0),
    "trunk": (("spine", "thorax"), 1.0),
    "head": (("neck", "head"), 1.5),
    "shoulders": (("shoulder",), 2.5),
    "upper arms": (("elbow",), 1.0),
    "forearms": (("wrist",), 1.0),
}


def with_other_body(recording: Recording, spread: float, seed: int) -> Recording:
    """A recording with bones of other lengths, all directions as they were.

    The path of the pelvis and its height go with the legs, so that feet stay where they stood.

    Args:
        recording: motion in the world.
        spread: standard deviation of the factor of most parts, cut at two of them; hips, head and
            shoulders vary 2, 1.5 and 2.5 times as much.
        seed: the factors are a pure function of it and of the recording's name.
    """
    rng = named_generator(seed, "proportions", recording.name)
    of_joint = {
        end: 1 + spread * more * z
        for (ends, more), z in zip(
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
