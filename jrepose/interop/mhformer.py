"""PyTorch parameter names of MHFormer (the class Model of the released code)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed

# Members of lists; embedding_1 is one module for long clips and a list for short ones.
_NUMBERED = re.compile(r"(blocks|SHR_blocks|regression|embedding_\d)_\d+")
_LAYERS = {
    f"linears_{k}": name for k, name in enumerate(("linear_q", "linear_k", "linear_v", "proj"))
}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `Transformer_hypothesis/CHI_blocks_2/attn_1/linears_0/kernel` is
    `Transformer_hypothesis.CHI_blocks.0.attn_1.linear_q.weight`.
    """
    *modules, leaf = path
    names = []
    for module in modules:
        if module.startswith("CHI_blocks_"):
            module = "CHI_blocks.0"
        module = _LAYERS.get(module, module)
        names.append(indexed(module) if _NUMBERED.fullmatch(module) else module)
    return ".".join([*names, LEAF.get(leaf, leaf)])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The numbers of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not an MHFormer's.
    """
    _, coordinates, frames = state_dict["Transformer_encoder_1.pos_embed"].shape
    channel = state_dict["Transformer_hypothesis.pos_embed_1"].shape[2]
    refined = "Transformer_hypothesis.SHR_blocks."
    hidden = state_dict["Transformer_hypothesis.CHI_blocks.0.mlp.fc1.weight"].shape[0]
    generated = "Transformer_encoder_1.blocks."
    return {
        "frames": frames,
        "num_joints": coordinates // 2,
        "num_joints_out": state_dict["regression.1.weight"].shape[0] // 3,
        "channel": channel,
        "depth": 1 + len({key.split(".")[2] for key in state_dict if key.startswith(refined)}),
        "mlp_ratio": hidden / channel,
        "mhg_depth": len({key.split(".")[2] for key in state_dict if key.startswith(generated)}),
    }
