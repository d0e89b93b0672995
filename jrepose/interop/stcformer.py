"""PyTorch parameter names of STCFormer (the class Model of the released code for Human3.6M)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, Layout, indexed, usual_layout

_CONVOLUTION = {"spatial": "sep2_s", "temporal": "sep2_t"}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

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


def layout(path: tuple[str, ...]) -> Layout:
    """The outputs of the first layer of attention are query, key and value of channel 0, of
    channel 1 and so on there; all queries, all keys, all values here."""
    usual = usual_layout(path)
    if path[-2:-1] != ("qkv",):
        return usual
    return Layout(
        lambda rows: usual.to_flax(_regrouped(rows, (-1, 3))),
        lambda array: _regrouped(usual.to_torch(array), (3, -1)),
    )


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The length of the clips, the number of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not an STCFormer's.
    """
    return sizes(state_dict, "stcformer.stc_block", "mlp")


def sizes(state_dict: Mapping[str, np.ndarray], blocks: str, mlp: str) -> dict[str, Any]:
    """`hyperparameters` of a network whose blocks and their MLPs go by these names."""
    width = state_dict["pose_emb.weight"].shape[0]
    depth = len({name.split(".")[2] for name in state_dict if name.startswith(f"{blocks}.")})
    hidden = state_dict[f"{blocks}.0.{mlp}.fc1.weight"].shape[0]
    return {"d_hid": width, "depth": depth, "mlp_ratio": hidden / width}


def _regrouped(rows: np.ndarray, groups: tuple[int, int]) -> np.ndarray:
    """The first row of every group, then the second of each, and so on; `(groups, their size)`."""
    return rows.reshape(*groups, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)
