"""PyTorch parameter names of RIE (the Feature Fusion Network of the released code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed
from jrepose.interop.videopose3d import temporal_hyperparameters
from jrepose.models.rie import BODY_PARTS

_NUMBERED = ("layers_", "FuseBlocks_")


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `FuseBlocks_0/layers_0/w1/kernel` is `FuseBlocks.0.layers.0.w1.weight`.
    """
    *modules, leaf = path
    names = (indexed(name) if name.startswith(_NUMBERED) else name for name in modules)
    return ".".join([*names, LEAF[leaf]])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    Joint orders with as many joints leave the same shapes, the first is taken; encodings are told
    apart by their number of channels only, and taken for the released ones.

    Raises:
        KeyError, IndexError: the weights are not an RIE's.
    """
    torso = state_dict["Integration_Torso.fc_2.weight"].shape[0] // 3
    skeletons = [name for name, (parts, _) in BODY_PARTS.items() if len(parts["Torso"]) == torso]
    return {
        "skeleton_out": skeletons[0],
        **temporal_hyperparameters(state_dict, "LocalLayer_Torso."),
        "latent_features": state_dict["LocalLayer_Torso.shrink.weight"].shape[0],
        "fc_width": state_dict["GlobalInfo.fc_1.weight"].shape[0],
        "fusion": "FuseBlocks.0.fc_1.weight" in state_dict,
    }
