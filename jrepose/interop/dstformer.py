"""PyTorch parameter names of DSTformer (the public MotionBERT and RePOSE checkpoints)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed

_STREAM_SUFFIX = {"spatial": "s", "temporal": "t"}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `blocks_st_0/spatial/attn/qkv/kernel` is `blocks_st.0.attn_s.qkv.weight`.
    """
    if len(path) == 1:
        return path[0]  # pos_embed, temp_embed
    *modules, leaf = path
    match modules:
        case [stream, attended, layer, *inner] if stream.startswith("blocks_"):
            modules = [indexed(stream), f"{layer}_{_STREAM_SUFFIX[attended]}", *inner]
        case [fusion] if fusion.startswith("ts_attn_"):
            modules = [indexed(fusion)]
        case ["pre_logits"]:
            modules = ["pre_logits", "fc"]
    return ".".join([*modules, LEAF[leaf]])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads, the scale of the attention scores and the rates of dropout leave no
    trace in them.

    Raises:
        KeyError, IndexError: the weights are not a DSTformer's.
    """
    dim_feat, dim_in = state_dict["joints_embed.weight"].shape
    hidden = state_dict["blocks_st.0.mlp_s.fc1.weight"].shape[0]
    return {
        "dim_in": dim_in,
        "dim_out": state_dict["head.weight"].shape[0],
        "dim_feat": dim_feat,
        "dim_rep": state_dict["pre_logits.fc.weight"].shape[0],
        "depth": len({name.split(".")[1] for name in state_dict if name.startswith("blocks_st.")}),
        "mlp_ratio": hidden / dim_feat,
        "num_joints": state_dict["pos_embed"].shape[1],
        "maxlen": state_dict["temp_embed"].shape[1],
        "qkv_bias": "blocks_st.0.attn_s.qkv.bias" in state_dict,
        "att_fuse": "ts_attn.0.weight" in state_dict,
    }
