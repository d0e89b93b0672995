"""The same motion by people of other proportions."""

from __future__ import annotations

import dataclasses

import numpy as np

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.seeds import named_generator
from jrepose.skeleton import parents_first

# Bones that have their length in common, by the joint in which they end.
_PARTS = {
    "legs": ("knee", "ankle"),
    "hips": ("hip",),
    "trunk": ("spine", "thorax"),
    "head": ("neck", "head"),
    "shoulders": ("shoulder",),
    "upper arms": ("elbow",),
    "forearms": ("wrist",),
}


def with_other_body(recording: Recording, spread: float, seed: int) -> Recording:
    """A recording with bones of other lengths, all directions as they were.

    The path of the pelvis and its height go with the legs, so that feet stay where they stood.

    Args:
        recording: motion in the world.
        spread: standard deviation of each part's factor, cut at two of them.
        seed: the factors are a pure function of it and of the recording's name.
    """
    rng = named_generator(seed, "proportions", recording.name)
    factors = 1 + spread * rng.standard_normal(len(_PARTS)).clip(-2, 2)
    of_joint = {end: f for ends, f in zip(_PARTS.values(), factors, strict=True) for end in ends}
    skeleton = recording.skeleton
    old = np.asarray(recording.positions_mm, np.float64)
    new = old * factors[0]
    for joint in parents_first(skeleton)[1:]:
        parent, name = skeleton.parents[joint], skeleton.joint_names[joint]
        factor = of_joint.get(name.removeprefix("left_").removeprefix("right_"), 1.0)
        new[:, joint] = new[:, parent] + factor * (old[:, joint] - old[:, parent])
    return dataclasses.replace(recording, positions_mm=new.astype(np.float32))
