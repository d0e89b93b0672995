"""PoseFormer written out in NumPy float64 with PyTorch's parameter names, and random weights."""

import numpy as np
from models.transformer_oracle import Transformer, block_shapes


def names(stack, level):
    return [f"{stack}.{level}.{part}" for part in ("norm1", "attn", "norm2", "mlp")]


def random_state_dict(
    rng, *, embed_dim_ratio, depth, mlp_ratio, num_frame, num_joints, qkv_bias, in_chans=2, **_
):
    """Weights of every parameter of the released checkpoints, in their layout."""
    narrow, wide = embed_dim_ratio, embed_dim_ratio * num_joints
    shapes = {
        "Spatial_pos_embed": (1, num_joints, narrow),
        "Temporal_pos_embed": (1, num_frame, wide),
        "Spatial_patch_to_embedding.weight": (narrow, in_chans),
        "Spatial_patch_to_embedding.bias": (narrow,),
        "weighted_mean.weight": (1, num_frame, 1),
        "weighted_mean.bias": (1,),
        "head.1.weight": (3 * num_joints, wide),
        "head.1.bias": (3 * num_joints,),
    }
    for norm, width in (("Spatial_norm", narrow), ("Temporal_norm", wide), ("head.0", wide)):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for stack, width in (("Spatial_blocks", narrow), ("blocks", wide)):
        for level in range(depth):
            shapes |= block_shapes(names(stack, level), width, int(width * mlp_ratio), qkv_bias)
    return {key: rng.normal(0.3, 0.4, shape).astype("f4") for key, shape in shapes.items()}


def forward(weights, keypoints, *, depth, num_heads, qk_scale=None, **_):
    """Poses [batch, 1, joints, 3] of keypoints [batch, frames, joints, in_chans]."""
    net = Transformer(weights, num_heads, qk_scale)
    x = net.linear(keypoints.astype(np.float64), "Spatial_patch_to_embedding")
    x = x + net.weights["Spatial_pos_embed"]
    for level in range(depth):
        x = net.block(x, names("Spatial_blocks", level), "joints")
    x = net.norm(x, "Spatial_norm").reshape(*x.shape[:2], 1, -1)
    x = x + net.weights["Temporal_pos_embed"][0][:, None]
    for level in range(depth):
        x = net.block(x, names("blocks", level), "frames")
    x = net.norm(x, "Temporal_norm")[:, :, 0]
    mean = np.einsum("f,bfe->be", net.weights["weighted_mean.weight"][0, :, 0], x)
    mean = mean + net.weights["weighted_mean.bias"]
    return net.linear(net.norm(mean, "head.0", 1e-5), "head.1").reshape(len(x), 1, -1, 3)
