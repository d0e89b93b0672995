"""PyTorch parameter names of MotionAGFormer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `graph_spatial_0/mixer/U/kernel` is `layers.0.graph_spatial.mixer.U.weight`.
    """
    first, *rest, leaf = path if len(path) > 1 else ("", *path)
    branch, _, level = first.rpartition("_")
    if first == "rep_logit":
        first = "rep_logit.fc"
    elif level.isdecimal():
        first = f"layers.{level}.{branch}"
    return ".".join([*filter(None, (first, *rest)), LEAF.get(leaf, leaf)])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads, the neighbours in time and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not a MotionAGFormer's.
    """
    dim_feat, dim_in = state_dict["joints_embed.weight"].shape
    first = "layers.0."
    return {
        "n_frames": state_dict[f"{first}graph_temporal.mixer.batch_norm.weight"].shape[0],
        "dim_in": dim_in,
        "dim_out": state_dict["head.weight"].shape[0],
        "dim_feat": dim_feat,
        "dim_rep": state_dict["rep_logit.fc.weight"].shape[0],
        "depth": len({key.split(".")[1] for key in state_dict if key.startswith("layers.")}),
        "mlp_ratio": state_dict[f"{first}att_spatial.mlp.fc1.weight"].shape[0] / dim_feat,
        "qkv_bias": f"{first}att_spatial.mixer.qkv.bias" in state_dict,
        "use_adaptive_fusion": f"{first}fusion.weight" in state_dict,
        "use_layer_scale": f"{first}att_spatial.layer_scale_1" in state_dict,
    }
