"""PyTorch parameter names of P-STMO: the fine-tuned network, its masked auto-encoder and the
refinement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed
from jrepose.models.pstmo import STRIDES

_NORM = {"scale": "a_2", "bias": "b_2"}
_HEADS = ("fcn_", "post_refine_")

# Layer of a transformer or of the encoder, as named here -> there.
_LAYER = (
    (re.compile(r"^layers_(\d+)_(\w+)$"), r"layers.\1.\2"),
    (re.compile(r"^(layers|linears)_(\d+)$"), r"\1.\2"),
    (re.compile(r"^sublayer_(\d+)_norm$"), r"sublayer.\1.norm"),
    (re.compile(r"^feed_forward_(\w+)$"), r"feed_forward.\1"),
)


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `Transformer/layers_0/self_attn/linears_3/kernel` is
    `Transformer.model.layers.0.self_attn.linears.3.weight`, `fcn_1_0/mean` is
    `fcn_1.0.running_mean`.
    """
    if len(path) == 1:
        return path[0]  # tokens and places of the auto-encoder
    first, *inner, leaf = path
    if first.startswith(_HEADS):
        first = indexed(first)
    if leaf.startswith("pos_embedding"):
        model = ["model"] if first == "Transformer_reduce" else []
        return ".".join([first, *model, leaf])
    if first.startswith("Transformer"):
        inner = ["model", *inner]
    for pattern, name in _LAYER:
        inner = [pattern.sub(name, module) for module in inner]
    is_norm = first == "encoder_LN" or inner[-1:] and inner[-1].split(".")[-1] == "norm"
    return ".".join([first, *inner, (_NORM if is_norm else LEAF)[leaf]])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads and the rate of dropout leave no trace in them.  The strides are those that
    the released code has for as many frames and layers; for others they are not told.

    Raises:
        KeyError, IndexError: the weights are not a P-STMO's.
    """
    found = encoder_hyperparameters(state_dict)
    found["num_joints_out"] = state_dict["fcn.1.weight"].shape[0] // 3
    strides = STRIDES.get(found["frames"], ())
    if len(strides) == _layers(state_dict, "Transformer_reduce"):
        found["stride_num"] = strides
    return found


def encoder_hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`hyperparameters` of the part that the auto-encoder has too.

    Raises:
        KeyError, IndexError: the weights are neither one's.
    """
    _, frames, channel = state_dict["Transformer.pos_embedding"].shape
    hidden = state_dict["Transformer.model.layers.0.feed_forward.w_1.weight"].shape[0]
    return {
        "frames": frames,
        "num_joints": state_dict["encoder.fc_1.weight"].shape[1] // 2,
        "depth": _layers(state_dict, "Transformer"),
        "channel": channel,
        "mlp_ratio": hidden / channel,
    }


def _layers(state_dict: Mapping[str, np.ndarray], transformer: str) -> int:
    start = f"{transformer}.model.layers."
    return len({key.split(".")[3] for key in state_dict if key.startswith(start)})
