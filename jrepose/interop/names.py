"""What the name maps share: how PyTorch calls a layer's arrays and a list's members."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LEAF: Mapping[str, str] = MappingProxyType({"kernel": "weight", "scale": "weight", "bias": "bias"})
"""Our name of a layer's array -> PyTorch's."""


def indexed(name: str) -> str:
    """`blocks_0`, member of a list here, as PyTorch writes it: `blocks.0`."""
    stem, index = name.rsplit("_", 1)
    return f"{stem}.{index}"
