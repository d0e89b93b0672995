"""PyTorch parameter names of MixSTE (the class MixSTE2 of the released code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed

# And PoseFormer's.
_NUMBERED = ("STEblocks_", "TTEblocks_", "Spatial_blocks_", "blocks_", "head_")


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `STEblocks_0/attn/qkv/kernel` is `STEblocks.0.attn.qkv.weight`.
    """
    if len(path) == 1:
        return path[0]  # Spatial_pos_embed, Temporal_pos_embed
    first, *inner, leaf = path
    if first.startswith(_NUMBERED):
        first = indexed(first)
    return ".".join([first, *inner, LEAF[leaf]])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads, the scale of the attention scores and the rates of dropout leave no
    trace in them.

    Raises:
        KeyError, IndexError, ValueError: the weights are not a MixSTE's.
    """
    if "time_mlp.1.weight" in state_dict:
        raise ValueError("place for time_mlp.1.weight, a D3DP's")
    return sizes(state_dict)


def sizes(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`hyperparameters` of every network of these layers."""
    width, in_chans = state_dict["Spatial_patch_to_embedding.weight"].shape
    hidden = state_dict["STEblocks.0.mlp.fc1.weight"].shape[0]
    return {
        "num_frame": state_dict["Temporal_pos_embed"].shape[1],
        "num_joints": state_dict["Spatial_pos_embed"].shape[1],
        "in_chans": in_chans,
        "embed_dim_ratio": width,
        "depth": len({name.split(".")[1] for name in state_dict if name.startswith("STEblocks.")}),
        "mlp_ratio": hidden / width,
        "qkv_bias": "STEblocks.0.attn.qkv.bias" in state_dict,
    }
