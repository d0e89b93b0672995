"""PyTorch parameter names of Swin (Microsoft's code) and of the relational transformers."""

from __future__ import annotations

import re

from jrepose.interop.names import LEAF, indexed

_STAGE = re.compile(r"layers_(\d+)_(?:blocks_(\d+)|(downsample))")


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `layers_0_blocks_1/attn/qkv/kernel` is `layers.0.blocks.1.attn.qkv.weight`, `head_1/bias` is
    `head.1.bias`.
    """
    *modules, leaf = path
    names = []
    for module in modules:
        if found := _STAGE.fullmatch(module):
            stage, block, _ = found.groups()
            module = f"layers.{stage}." + (f"blocks.{block}" if block else "downsample")
        elif module.startswith(("blocks_", "head_")):
            module = indexed(module)
        names.append(module)
    return ".".join([*names, LEAF.get(leaf, leaf)])
