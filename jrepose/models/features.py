"""What a lifter knows of every joint before it says where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Float32

from jrepose.errors import InputError
from jrepose.models.graformer import GraFormer
from jrepose.models.mixste import MixSTE

_LAST: Mapping[type[nn.Module], Callable[[Any], tuple[str, ...]]] = MappingProxyType(
    {
        GraFormer: lambda model: ("network", f"gconv_layers_{model.depth - 1}"),
        MixSTE: lambda model: ("head_0",),
    }
)
"""Network -> path of the layer before the last one."""


def poses_and_features(
    model: nn.Module, variables: Mapping[str, Any], keypoints: Float[Array, "clips frames _ _"]
) -> tuple[Float32[Array, "clips frames joints 3"], Float[Array, "clips frames joints features"]]:
    """A lifter's poses, and the features that they are made of.

    Args:
        model: a lifter with features of every joint.
        variables: its.
        keypoints: of the clips.

    Raises:
        InputError: the lifter has no features of single joints, or is not known here.
    """
    if type(model) not in _LAST:
        known = ", ".join(network.__name__ for network in _LAST)
        raise InputError(
            f"{type(model).__name__} has no features of single joints to tell a denoiser; expected "
            f"one of {known}, or config.diffusion.condition 'poses'"
        )
    path = _LAST[type(model)](model)

    def is_last(module: nn.Module, method: str) -> bool:
        return module.path == path and method == "__call__"

    poses, kept = model.apply(
        variables, keypoints, train=False, capture_intermediates=is_last, mutable=["intermediates"]
    )
    features = kept["intermediates"]
    for part in path:
        features = features[part]
    (features,) = features["__call__"]
    return poses, features
