"""A page with everything in it: keypoints in 2D beside motion in 3D, to turn, play and scrub.

It needs no network and no package.  The viewer is `viewer.js` on three.js, whose part in
`three.min.js` is built as `three.entry.js` says.
"""

from __future__ import annotations

import base64
import html
import json
import pathlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float

from jrepose.motion.motion import Motion
from jrepose.skeleton import Skeleton


def write_all(motions: Sequence[Motion], path: pathlib.Path, name: str) -> None:
    """Writes one or several people."""
    folder = resources.files(__name__)
    parts = {
        # In JSON "<" stands in texts only; escaped, no text ends the script.
        "motion": json.dumps({"people": [_person(m) for m in motions]}).replace("<", "\\u003c"),
        "three": (folder / "three.min.js").read_text("utf-8"),
        "viewer": (folder / "viewer.js").read_text("utf-8"),
        "title": html.escape(name),
    }
    page = (folder / "page.html").read_text("utf-8")
    path.write_text(re.sub("@([a-z]+)@", lambda found: parts[found[1]], page), "utf-8")


def _person(motion: Motion) -> dict[str, Any]:
    keypoints = None
    if motion.keypoints is not None:
        keypoints = _joints(motion.keypoint_skeleton) | {"values": _packed(motion.keypoints)}
    return _joints(motion.skeleton) | {
        "person": motion.person,
        "fps": float(motion.fps),
        "first_frame": motion.first_frame,
        "root": motion.skeleton.root,
        "poses": _packed(motion.poses_m),
        "keypoints": keypoints,
        "size": None if motion.size is None else [int(side) for side in motion.size],
        "notes": list(motion.notes),
    }


def _joints(skeleton: Skeleton) -> dict[str, Any]:
    sides = ["left" if j in skeleton.left else "right" if j in skeleton.right else "centre"
             for j in range(skeleton.num_joints)]  # fmt: skip
    return {"parents": list(skeleton.parents), "sides": sides}


def _packed(values: Float[np.ndarray, "frames joints 3"]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
