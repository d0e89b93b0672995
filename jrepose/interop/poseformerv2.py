"""PyTorch parameter names of PoseFormerV2 (the class PoseTransformerV2 of the released code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop import poseformer
from jrepose.interop.names import Layout

torch_key = poseformer.torch_key

_MEANS = ("weighted_mean", "weighted_mean_")


def layout(path: tuple[str, ...]) -> Layout:
    """The means of frequencies and of frames are convolutions there."""
    if path[0] in _MEANS:
        path = (_MEANS[0], *path[1:])
    return poseformer.layout(path)


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The length of the clips, the number of heads, the scale of the attention scores and the rates of
    dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not a PoseFormerV2's.
    """
    width, in_chans = state_dict["Joint_embedding.weight"].shape
    hidden = state_dict["Spatial_blocks.0.mlp.fc1.weight"].shape[0]
    return {
        "number_of_kept_frames": state_dict["weighted_mean_.weight"].shape[1],
        "number_of_kept_coeffs": state_dict["weighted_mean.weight"].shape[1],
        "num_joints": state_dict["Spatial_pos_embed"].shape[1],
        "in_chans": in_chans,
        "embed_dim_ratio": width,
        "depth": len({name.split(".")[1] for name in state_dict if name.startswith("blocks.")}),
        "mlp_ratio": hidden / width,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state_dict,
    }
