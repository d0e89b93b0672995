"""PyTorch parameter names of DSTformer (the public MotionBERT and RePOSE checkpoints)."""

from __future__ import annotations

_STREAM_SUFFIX = {"spatial": "s", "temporal": "t"}
_LEAF = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the parameter at `path` in `variables["params"]`.

    `blocks_st_0/spatial/attn/qkv/kernel` is `blocks_st.0.attn_s.qkv.weight`.
    """
    if len(path) == 1:
        return path[0]  # pos_embed, temp_embed
    *modules, leaf = path
    match modules:
        case [stream, attended, layer, *inner] if stream.startswith("blocks_"):
            modules = [_indexed(stream), f"{layer}_{_STREAM_SUFFIX[attended]}", *inner]
        case [fusion] if fusion.startswith("ts_attn_"):
            modules = [_indexed(fusion)]
        case ["pre_logits"]:
            modules = ["pre_logits", "fc"]
    return ".".join([*modules, _LEAF[leaf]])


def _indexed(name: str) -> str:
    stem, index = name.rsplit("_", 1)
    return f"{stem}.{index}"
