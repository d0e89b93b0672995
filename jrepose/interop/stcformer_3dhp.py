"""PyTorch parameter names of STCFormer's released code for MPI-INF-3DHP.

The layers are those of the code for Human3.6M, under other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop import stcformer

layout = stcformer.layout

_BLOCKS = "mlpmixer.mixerblocks"

# Name in the code for Human3.6M -> name here.
_IN_BLOCK = {"stc_att": "cross_att", "layer_norm": "layer_norm1", "mlp": "mlp1"}
_IN_ATTENTION = {"sep2_s": "gate_s", "sep2_t": "gate_t"}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `stc_block_0/stc_att/spatial/sep2/kernel` is `mlpmixer.mixerblocks.0.cross_att.gate_s.weight`,
    `stc_block_0/layer_norm/scale` is `mlpmixer.mixerblocks.0.layer_norm1.weight`.
    """
    first, *rest = stcformer.torch_key(path).split(".")
    if first != "stcformer":
        return ".".join(["pose_lift" if first == "regress_head" else first, *rest])
    _, index, part, *rest = rest
    rest = [_IN_ATTENTION.get(name, name) for name in rest]
    return ".".join([_BLOCKS, index, _IN_BLOCK.get(part, part), *rest])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The length of the clips, the number of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError: the weights are not such a network's.
    """
    return stcformer.sizes(state_dict, _BLOCKS, "mlp1")
