"""DSTformer written out in NumPy float64 with PyTorch's parameter names, and random weights."""

import math

import numpy as np

_erf = np.vectorize(math.erf)


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
            block = f"blocks_{stream}.{level}."
            for kind in "st":
                for norm in ("norm1", "norm2"):
                    shapes[f"{block}{norm}_{kind}.weight"] = (dim_feat,)
                    shapes[f"{block}{norm}_{kind}.bias"] = (dim_feat,)
                linear = {
                    f"attn_{kind}.qkv": (3 * dim_feat, dim_feat),
                    f"attn_{kind}.proj": (dim_feat, dim_feat),
                    f"mlp_{kind}.fc1": (hidden, dim_feat),
                    f"mlp_{kind}.fc2": (dim_feat, hidden),
                }
                for name, shape in linear.items():
                    shapes[f"{block}{name}.weight"] = shape
                    if qkv_bias or "qkv" not in name:
                        shapes[f"{block}{name}.bias"] = shape[:1]
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
    weights = {key: value.astype(np.float64) for key, value in weights.items()}

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def softmax(x):
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)

    def attention(x, name, axes):
        channels = x.shape[-1]
        head_dim = channels // num_heads
        q, k, v = np.split(linear(x, f"{name}.qkv"), 3, axis=-1)
        out = np.empty_like(q)
        for head in range(num_heads):
            part = slice(head * head_dim, (head + 1) * head_dim)
            scores = np.einsum(axes[0], q[..., part], k[..., part])
            attended = softmax(scores * (qk_scale or head_dim**-0.5))
            out[..., part] = np.einsum(axes[1], attended, v[..., part])
        return linear(out, f"{name}.proj")

    def sublayers(x, block, kind):
        axes = {"s": ("btic,btjc->btij", "btij,btjc->btic"), "t": ("bijc,bkjc->bjik", "bjik,bkjc->bijc")}  # fmt: skip # noqa: E501
        x = x + attention(norm(x, f"{block}norm1_{kind}"), f"{block}attn_{kind}", axes[kind])
        hidden = linear(norm(x, f"{block}norm2_{kind}"), f"{block}mlp_{kind}.fc1")
        hidden = hidden * 0.5 * (1 + _erf(hidden / math.sqrt(2)))
        return x + linear(hidden, f"{block}mlp_{kind}.fc2")

    x = linear(keypoints.astype(np.float64), "joints_embed") + weights["pos_embed"]
    x = x + weights["temp_embed"][:, : x.shape[1]]
    for level in range(depth):
        st, ts = f"blocks_st.{level}.", f"blocks_ts.{level}."
        x_st = sublayers(sublayers(x, st, "s"), st, "t")
        x_ts = sublayers(sublayers(x, ts, "t"), ts, "s")
        if att_fuse:
            alpha = softmax(linear(np.concatenate([x_st, x_ts], -1), f"ts_attn.{level}"))
            x = alpha[..., :1] * x_st + alpha[..., 1:] * x_ts
        else:
            x = (x_st + x_ts) / 2
    representation = np.tanh(linear(norm(x, "norm"), "pre_logits.fc"))
    return linear(representation, "head"), representation
