"""Motion in the world, before any camera has seen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jrepose.skeleton import HUMAN36M_17, Skeleton


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous motion of one person.

    Args:
        name: unique name of the recording, such as `"02_01"`.
        subject: who moves; splits are made by subject.
        action: what is done, the label of per-action tables.
        frame_rate: frames per second.
        positions_mm: joint positions in world axes, millimetres; right-handed, z up, floor
            near z = 0.
        valid: False where a frame was repaired (a capture glitch, interpolated); such
            frames are fed to the model and left out of the scores.
        skeleton: joint order of `positions_mm`.
    """

    name: str
    subject: str
    action: str
    frame_rate: float
    positions_mm: Float[np.ndarray, "frames joints 3"]
    valid: Bool[np.ndarray, " frames"]
    skeleton: Skeleton = HUMAN36M_17

    @property
    def frames(self) -> int:
        return len(self.positions_mm)
