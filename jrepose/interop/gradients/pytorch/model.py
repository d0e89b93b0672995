"""RePOSE's network (DSTformer) in PyTorch, to compare with; the library itself is JAX.

Our own rendition.  Its state dict has the names and shapes of the public checkpoints, so one
loads it with `strict=True`.  Features are `[batch, frames, joints, channels]` throughout;
attention over the frames of a joint swaps the two middle axes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F


def create(hyperparameters: Mapping[str, Any]) -> RePOSE:
    """The network with those of `jrepose.models.hyperparameters` that it has; random weights."""
    fields = inspect.signature(RePOSE).parameters
    return RePOSE(**{field: hyperparameters[field] for field in fields})


class RePOSE(nn.Module):
    """The hyperparameters are those of `jrepose.models.dstformer.DSTformer`."""

    def __init__(
        self,
        *,
        dim_in: int,
        dim_out: int,
        dim_feat: int,
        dim_rep: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float | int,
        num_joints: int,
        maxlen: int,
        qkv_bias: bool,
        qk_scale: float | None,
        att_fuse: bool,
        norm_eps: float,
    ):
        super().__init__()
        self.joints_embed = nn.Linear(dim_in, dim_feat)
        self.pos_embed = nn.Parameter(torch.zeros(1, num_joints, dim_feat))
        self.temp_embed = nn.Parameter(torch.zeros(1, maxlen, 1, dim_feat))

        def stream(order: str) -> nn.ModuleList:
            hidden = int(dim_feat * mlp_ratio)
            settings = (num_heads, qkv_bias, qk_scale, norm_eps)
            return nn.ModuleList(Block(order, dim_feat, hidden, *settings) for _ in range(depth))

        self.blocks_st, self.blocks_ts = stream("st"), stream("ts")
        self.ts_attn = nn.ModuleList(nn.Linear(2 * dim_feat, 2) for _ in range(depth * att_fuse))
        self.norm = nn.LayerNorm(dim_feat, eps=norm_eps)
        self.pre_logits = nn.Sequential()
        self.pre_logits.add_module("fc", nn.Linear(dim_feat, dim_rep))
        self.pre_logits.add_module("tanh", nn.Tanh())
        self.head = nn.Linear(dim_rep, dim_out)

    def forward(
        self, keypoints: Float[torch.Tensor, "batch frames joints channels"]
    ) -> Float[torch.Tensor, "batch frames joints out"]:
        x = self.joints_embed(keypoints) + self.pos_embed
        x = x + self.temp_embed[:, : keypoints.shape[1]]
        for level, streams in enumerate(zip(self.blocks_st, self.blocks_ts, strict=True)):
            x_st, x_ts = (block(x) for block in streams)
            if self.ts_attn:
                share = self.ts_attn[level](torch.cat([x_st, x_ts], dim=-1)).softmax(dim=-1)
                x = share[..., :1] * x_st + share[..., 1:] * x_ts
            else:
                x = (x_st + x_ts) / 2
        return self.head(self.pre_logits(self.norm(x)))


class Block(nn.Module):
    """Attention and MLP over the joints ("s") and over the frames ("t"), in the given order."""

    def __init__(self, order: str, channels: int, hidden: int, heads, qkv_bias, qk_scale, eps):
        super().__init__()
        self.order = order
        for axis in order:
            self.add_module(f"norm1_{axis}", nn.LayerNorm(channels, eps=eps))
            self.add_module(f"attn_{axis}", Attention(channels, heads, qkv_bias, qk_scale))
            self.add_module(f"norm2_{axis}", nn.LayerNorm(channels, eps=eps))
            self.add_module(f"mlp_{axis}", Mlp(channels, hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis in self.order:
            norm1, attention, norm2, mlp = (
                self.get_submodule(f"{part}_{axis}") for part in ("norm1", "attn", "norm2", "mlp")
            )
            tokens = norm1(x)
            if axis == "s":
                x = x + attention(tokens)
            else:
                x = x + attention(tokens.transpose(1, 2)).transpose(1, 2)
            x = x + mlp(norm2(x))
        return x


class Attention(nn.Module):
    """Multi-head self-attention over the last axis but one."""

    def __init__(self, channels: int, heads: int, qkv_bias: bool, qk_scale: float | None):
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5 if qk_scale is None else qk_scale
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        # Written out: fused kernels round differently from what the published code runs.
        weights = (q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1)
        return self.proj((weights @ v).transpose(-2, -3).flatten(-2))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))
