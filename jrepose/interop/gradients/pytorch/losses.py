"""The losses of RePOSE (ECCV 2024) in PyTorch: our own rendition, to compare with.

They are written with broadcasting, as the paper's Algorithms 1 and 2 are: simple, and with
several arrays of all pairs in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float

Poses = Float[torch.Tensor, "batch frames joints 3"]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def mpjpe(predicted: Poses, target: Poses) -> Float[torch.Tensor, ""]:
    """Equation 1, with a mean for the sum."""
    return torch.linalg.vector_norm(predicted - target, dim=-1).mean()


def spatial_ranking(predicted: Poses, target: Poses) -> Float[torch.Tensor, ""]:
    """Algorithm 1: the depth order of the joints of every frame."""
    return _ranking(predicted[..., 2], target[..., 2])


def temporal_ranking(predicted: Poses, target: Poses) -> Float[torch.Tensor, ""]:
    """Algorithm 2: the depth order of the frames of every joint."""
    return _ranking(predicted[..., 2].transpose(1, 2), target[..., 2].transpose(1, 2))


def _ranking(depths: torch.Tensor, true_depths: torch.Tensor) -> torch.Tensor:
    """Mean over all ordered pairs of the last axis of 1[g_i < g_j] max(0, z_i - z_j)."""
    too_far = depths[..., :, None] - depths[..., None, :]
    ordered = true_depths[..., :, None] < true_depths[..., None, :]
    # `maximum` of two tensors has the derivative 1/2 at a tie; `relu` would have 0.
    return (torch.maximum(too_far, torch.zeros_like(too_far)) * ordered).mean()


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {"mpjpe": mpjpe, "spatial_ranking": spatial_ranking, "temporal_ranking": temporal_ranking}
)
"""By the name that an objective calls them."""
