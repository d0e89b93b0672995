"""A lifter's network as it is exported, with what its user must know to feed it."""

from __future__ import annotations

import dataclasses
from typing import Any

from jrepose import __version__
from jrepose.interop.export import Network
from jrepose.motion.pretrained import Pretrained
from jrepose.skeleton import Skeleton


def network_of(pretrained: Pretrained, *, flip: bool = False) -> Network:
    """The network for `jrepose.interop.export.export`.

    Args:
        pretrained: network, weights and what they were trained for.
        flip: average with the mirrored prediction for the mirrored keypoints.
    """
    _, joints, channels = pretrained.task.model.input_shape

    def apply(variables, keypoints):
        return pretrained.task.predict(variables, {"keypoints": keypoints}, None, flip=flip)

    about = {
        field.name: getattr(pretrained, field.name)
        for field in dataclasses.fields(pretrained)
        if field.name not in ("variables", "skeleton", "keypoint_skeleton")
    }
    about |= {
        "writer": f"jrepose {__version__}",
        "model": dict(pretrained.model),
        "keypoints": _joints(pretrained.keypoint_skeleton),
        "channels": ["x", "y", "confidence"][:channels],
        "poses": _joints(pretrained.skeleton),
        "flip": flip,
    }
    return Network(apply, dict(pretrained.variables), (pretrained.frames, joints, channels), about)


def _joints(skeleton: Skeleton) -> dict[str, Any]:
    return {"joints": list(skeleton.joint_names), "parents": list(skeleton.parents)}
