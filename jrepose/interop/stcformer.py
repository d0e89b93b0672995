"""PyTorch parameter names of STCFormer (the class Model of the released code for Human3.6M)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, indexed

_CONVOLUTION = {"spatial": "sep2_s", "temporal": "sep2_t"}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the parameter at `path` in `variables["params"]`.

    `stc_block_0/stc_att/spatial/sep2/kernel` is `stcformer.stc_block.0.stc_att.sep2_s.weight`,
    `stc_block_0/stc_att/emb` is `stcformer.stc_block.0.stc_att.emb.weight`.
    """
    first, *inner, leaf = path
    if first.startswith("stc_block_"):
        first = f"stcformer.{indexed(first)}"
    if leaf == "emb":
        inner, leaf = [*inner, "emb"], "kernel"
    if inner[1:] and inner[1] in _CONVOLUTION:
        inner = [inner[0], _CONVOLUTION[inner[1]]]
    return ".".join([first, *inner, LEAF[leaf]])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The length of the clips, the number of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not an STCFormer's.
    """
    width = state_dict["pose_emb.weight"].shape[0]
    blocks = {name.split(".")[2] for name in state_dict if name.startswith("stcformer.stc_block.")}
    hidden = state_dict["stcformer.stc_block.0.mlp.fc1.weight"].shape[0]
    return {"d_hid": width, "depth": len(blocks), "mlp_ratio": hidden / width}
