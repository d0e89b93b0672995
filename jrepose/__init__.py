"""jrepose: 2D keypoints to 3D human pose in JAX/Flax."""

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "Lifter": "jrepose.motion.lifter",
    "Motion": "jrepose.motion.motion",
    "save_motions": "jrepose.motion.motion",
    "read_keypoints": "jrepose.motion.keypoints",
}


def __getattr__(name: str) -> Any:
    """`jrepose.Lifter` and the like, imported when they are asked for: JAX takes its time."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'jrepose' has no attribute {name!r}")
