"""PyTorch parameter names of GCNdiff, DiffPose's denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.graformer import layout, sizes, torch_key

__all__ = ["hyperparameters", "layout", "torch_key"]


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The skeleton, the number of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError, ValueError: the weights are not a GCNdiff's.
    """
    out_chans = state_dict["gconv_output.weight"].shape[-1]
    _ = state_dict["gconv_layers.0.temb_proj.weight"]
    return {**sizes(state_dict), "out_chans": out_chans}
