"""PyTorch parameter names of PoseFormer (the class PoseTransformer of the released code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.mixste import torch_key
from jrepose.interop.names import Layout, usual_layout

__all__ = ["hyperparameters", "layout", "torch_key"]

# A convolution over one channel, whose inputs are the frames.
_MEAN = Layout(lambda conv: conv[..., 0].T, lambda kernel: kernel.T[..., None])


def layout(path: tuple[str, ...]) -> Layout:
    """The mean of the frames is a convolution there."""
    return _MEAN if path == ("weighted_mean", "kernel") else usual_layout(path)


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads, the scale of the attention scores and the rates of dropout leave no
    trace in them.

    Raises:
        KeyError, IndexError: the weights are not a PoseFormer's.
    """
    width, in_chans = state_dict["Spatial_patch_to_embedding.weight"].shape
    hidden = state_dict["Spatial_blocks.0.mlp.fc1.weight"].shape[0]
    return {
        "num_frame": state_dict["weighted_mean.weight"].shape[1],
        "num_joints": state_dict["Spatial_pos_embed"].shape[1],
        "in_chans": in_chans,
        "embed_dim_ratio": width,
        "depth": len({name.split(".")[1] for name in state_dict if name.startswith("blocks.")}),
        "mlp_ratio": hidden / width,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state_dict,
    }
