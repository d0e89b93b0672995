"""DSTformer written out in NumPy float64 with PyTorch's parameter names, and random weights."""

import numpy as np
from models.transformer_oracle import Transformer, block_shapes, softmax


def names(stream, level, kind):
    return [f"blocks_{stream}.{level}.{part}_{kind}" for part in ("norm1", "attn", "norm2", "mlp")]


def random_state_dict(
    rng, *, dim_feat, dim_rep, depth, mlp_ratio, maxlen, num_joints, qkv_bias, att_fuse, **_
):
    """Weights of every parameter of the published checkpoints, in their layout."""
    shapes = {
        "temp_embed": (1, maxlen, 1, dim_feat),
        "pos_embed": (1, num_joints, dim_feat),
        "joints_embed.weight": (dim_feat, 3),
        "joints_embed.bias": (dim_feat,),
    }
    hidden = int(dim_feat * mlp_ratio)
    for stream in ("st", "ts"):
        for level in range(depth):
            for kind in "st":
                shapes |= block_shapes(names(stream, level, kind), dim_feat, hidden, qkv_bias)
    shapes |= {"norm.weight": (dim_feat,), "norm.bias": (dim_feat,)}
    shapes |= {"pre_logits.fc.weight": (dim_rep, dim_feat), "pre_logits.fc.bias": (dim_rep,)}
    shapes |= {"head.weight": (3, dim_rep), "head.bias": (3,)}
    if att_fuse:
        for level in range(depth):
            shapes[f"ts_attn.{level}.weight"] = (2, 2 * dim_feat)
            shapes[f"ts_attn.{level}.bias"] = (2,)
    return {
        key: rng.normal(1.0 if "norm" in key and "weight" in key else 0.0, 0.2, shape).astype("f4")
        for key, shape in shapes.items()
    }


def forward(weights, keypoints, *, depth, num_heads, att_fuse, qk_scale=None, **_):
    """(poses, representation) of keypoints [batch, frames, joints, 3]."""
    net = Transformer(weights, num_heads, qk_scale)

    def spatial(x, stream, level):
        return net.block(x, names(stream, level, "s"), "joints")

    def temporal(x, stream, level):
        return net.block(x, names(stream, level, "t"), "frames")

    x = net.linear(keypoints.astype(np.float64), "joints_embed") + net.weights["pos_embed"]
    x = x + net.weights["temp_embed"][:, : x.shape[1]]
    for level in range(depth):
        x_st = temporal(spatial(x, "st", level), "st", level)
        x_ts = spatial(temporal(x, "ts", level), "ts", level)
        if att_fuse:
            alpha = softmax(net.linear(np.concatenate([x_st, x_ts], -1), f"ts_attn.{level}"))
            x = alpha[..., :1] * x_st + alpha[..., 1:] * x_ts
        else:
            x = (x_st + x_ts) / 2
    representation = np.tanh(net.linear(net.norm(x, "norm"), "pre_logits.fc"))
    return net.linear(representation, "head"), representation
