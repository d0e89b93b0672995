"""PyTorch parameter names of VideoPose3D (TemporalModel and TemporalModelOptimized1f alike)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed

_NUMBERED = ("layers_conv_", "layers_bn_")


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `network/layers_conv_0/kernel` is `layers_conv.0.weight`.
    """
    _, layer, leaf = path
    return f"{numbered(layer)}.{LEAF[leaf]}"


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    Which numbers of keypoints and of channels per keypoint make up the input's channels they do
    not say: x and y are taken for granted, or, if their number is odd, a confidence too.  Neither
    do they say whether the network is causal.

    Raises:
        KeyError, IndexError: the weights are not a VideoPose3D's.
    """
    inputs = state_dict["expand_conv.weight"].shape[1]
    in_features = 3 if inputs % 2 else 2
    return {
        "num_joints_in": inputs // in_features,
        "num_joints_out": state_dict["shrink.weight"].shape[0] // 3,
        "in_features": in_features,
        **temporal_hyperparameters(state_dict),
    }


def temporal_hyperparameters(
    state_dict: Mapping[str, np.ndarray], prefix: str = ""
) -> dict[str, Any]:
    """Filter widths and channels of the temporal convolutions whose keys begin with the prefix.

    Raises:
        KeyError, IndexError: there are none.
    """
    first = state_dict[f"{prefix}expand_conv.weight"]
    widths = [first.shape[2]]
    while (key := f"{prefix}layers_conv.{2 * (len(widths) - 1)}.weight") in state_dict:
        widths.append(state_dict[key].shape[2])
    return {"filter_widths": tuple(widths), "channels": first.shape[0]}


def numbered(layer: str) -> str:
    """A layer's name there: `layers_bn_3` is `layers_bn.3`."""
    return indexed(layer) if layer.startswith(_NUMBERED) else layer
