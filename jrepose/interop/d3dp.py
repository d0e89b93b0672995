"""PyTorch parameter names of D3DP: a denoiser with MixSTE's names, and its noise schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from jrepose.diffusion import schedules
from jrepose.interop import mixste
from jrepose.interop.names import indexed

_NETWORK = "pose_estimator."


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `time_mlp_1/kernel` is `pose_estimator.time_mlp.1.weight`.
    """
    if path[0].startswith("time_mlp_"):
        path = (indexed(path[0]), *path[1:])
    return _NETWORK + mixste.torch_key(path)


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads, the scale of the attention scores and the rates of dropout leave no
    trace in them.

    Raises:
        KeyError, IndexError: the weights are not a D3DP's.
    """
    network = {
        key.removeprefix(_NETWORK): value
        for key, value in state_dict.items()
        if key.startswith(_NETWORK)
    }
    _ = network["time_mlp.1.weight"]
    steps = {"timestep": len(state_dict["betas"])} if "betas" in state_dict else {}
    return {**mixste.sizes(network), **steps}


def constants(model: nn.Module) -> dict[str, np.ndarray]:
    """The noise schedule, and what follows from it for a way back of single steps."""
    betas = schedules.betas("cosine", model.timestep)
    left = schedules.alpha_bars(betas)
    before = schedules.with_clean_level(left)[:-1]
    variance = betas * (1 - before) / (1 - left)
    return {
        "betas": betas,
        "alphas_cumprod": left,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(left),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - left),
        "log_one_minus_alphas_cumprod": np.log(1 - left),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / left),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / left - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1 - left),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - left),
    }
