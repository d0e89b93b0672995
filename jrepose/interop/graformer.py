"""PyTorch parameter names of GraFormer, and of the same network as DiffPose's GCNpose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jrepose.interop.names import LEAF, Layout, usual_layout

_NORM_LEAF = {"scale": "a_2", "bias": "b_2"}

# A graph convolution's kernel is [terms, 1, inputs, outputs] there, its bias [1, 1, outputs].
_CHEBYSHEV_KERNEL = Layout(lambda weight: weight[:, 0], lambda kernel: kernel[:, None])
_CHEBYSHEV_BIAS = Layout(lambda bias: bias[0, 0], lambda bias: bias[None, None])


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `network/gconv_layers_0/gconv1/kernel` is `gconv_layers.0.gconv1.gconv.weight`,
    `network/atten_layers_0/norm_1/scale` is `atten_layers.0.sublayer.1.norm.a_2`.
    """
    *inner, leaf = path
    if inner[0] == "network":
        inner = inner[1:]
    layer = inner[-1]
    if layer.startswith("norm_"):
        inner = [*inner[:-1], f"sublayer_{layer[-1]}", "norm"]
    elif layer in ("gconv1", "gconv2"):
        inner = [*inner, "fc" if inner[-2] == "feed_forward" else "gconv"]
    name = ".".join(re.sub(r"_(\d+)$", r".\1", part) for part in inner)
    leaf = _NORM_LEAF[leaf] if layer.startswith("norm_") else LEAF.get(leaf, leaf)
    return f"{name}.{leaf}"


def layout(path: tuple[str, ...]) -> Layout:
    """Graph convolutions have axes of length one there."""
    if "gconv" not in path[-2] or "feed_forward" in path:
        return usual_layout(path)
    return _CHEBYSHEV_KERNEL if path[-1] == "kernel" else _CHEBYSHEV_BIAS


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The skeleton, the number of heads and the rates of dropout leave no trace in them.

    Raises:
        KeyError, IndexError, ValueError: the weights are not a GraFormer's.
    """
    if "gconv_layers.0.temb_proj.weight" in state_dict:
        raise ValueError("place for gconv_layers.0.temb_proj.weight, a denoiser's")
    return {**sizes(state_dict), "step_embedding": "temb.dense.0.weight" in state_dict}


def sizes(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`hyperparameters` of every network of these layers."""
    _, _, in_chans, hid_dim = state_dict["gconv_input.weight"].shape
    levels = {name.split(".")[1] for name in state_dict if name.startswith("atten_layers.")}
    return {"in_chans": in_chans, "hid_dim": hid_dim, "depth": len(levels)}
