"""MixSTE written out in NumPy float64 with PyTorch's parameter names, and random weights."""

import numpy as np
from models.transformer_oracle import Transformer, block_shapes


def names(kind, level):
    return [f"{kind}blocks.{level}.{part}" for part in ("norm1", "attn", "norm2", "mlp")]


def random_state_dict(
    rng, *, embed_dim_ratio, depth, mlp_ratio, num_frame, num_joints, qkv_bias, in_chans=2, **_
):
    """Weights of every parameter of the released checkpoints, in their layout."""
    width = embed_dim_ratio
    shapes = {
        "Spatial_pos_embed": (1, num_joints, width),
        "Temporal_pos_embed": (1, num_frame, width),
        "Spatial_patch_to_embedding.weight": (width, in_chans),
        "Spatial_patch_to_embedding.bias": (width,),
    }
    for kind in ("STE", "TTE"):
        for level in range(depth):
            shapes |= block_shapes(names(kind, level), width, int(width * mlp_ratio), qkv_bias)
    for norm in ("Spatial_norm", "Temporal_norm", "head.0"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    shapes |= {"head.1.weight": (3, width), "head.1.bias": (3,)}
    return {
        key: rng.normal(1.0 if "norm" in key and "weight" in key else 0.0, 0.2, shape).astype("f4")
        for key, shape in shapes.items()
    }


def forward(weights, keypoints, *, depth, num_heads, qk_scale=None, **_):
    """Poses of keypoints [batch, frames, joints, 2]."""
    net = Transformer(weights, num_heads, qk_scale)
    x = net.linear(keypoints.astype(np.float64), "Spatial_patch_to_embedding")
    x = x + net.weights["Spatial_pos_embed"]
    for level in range(depth):
        x = net.norm(net.block(x, names("STE", level), "joints"), "Spatial_norm")
        if level == 0:
            x = x + net.weights["Temporal_pos_embed"][:, :, None]
        x = net.norm(net.block(x, names("TTE", level), "frames"), "Temporal_norm")
    return net.linear(net.norm(x, "head.0", eps=1e-5), "head.1")
