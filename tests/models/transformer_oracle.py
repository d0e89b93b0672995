"""Transformer arithmetic in NumPy float64, on weights with PyTorch's parameter names."""

import math

import numpy as np

_erf = np.vectorize(math.erf)

# Scores and weighted sum of [batch, frames, joints, channels], over joints or over frames.
_AXES = {
    "joints": ("btic,btjc->btij", "btij,btjc->btic"),
    "frames": ("bijc,bkjc->bjik", "bjik,bkjc->bijc"),
}


def block_shapes(names, width, hidden, qkv_bias):
    """Shapes of a block's weights; `names` as for `Transformer.block`."""
    norm1, attn, norm2, mlp = names
    shapes = {}
    for norm in (norm1, norm2):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    linear = {
        f"{attn}.qkv": (3 * width, width),
        f"{attn}.proj": (width, width),
        f"{mlp}.fc1": (hidden, width),
        f"{mlp}.fc2": (width, hidden),
    }
    for name, shape in linear.items():
        shapes[f"{name}.weight"] = shape
        if qkv_bias or "qkv" not in name:
            shapes[f"{name}.bias"] = shape[:1]
    return shapes


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def gelu(x):
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


class Transformer:
    def __init__(self, weights, num_heads, qk_scale=None):
        self.weights = {key: value.astype(np.float64) for key, value in weights.items()}
        self.num_heads, self.qk_scale = num_heads, qk_scale

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)

    def norm(self, x, name, eps=1e-6):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, x, name, over):
        head_dim = x.shape[-1] // self.num_heads
        q, k, v = np.split(self.linear(x, f"{name}.qkv"), 3, axis=-1)
        out = np.empty_like(q)
        for head in range(self.num_heads):
            part = slice(head * head_dim, (head + 1) * head_dim)
            scores = np.einsum(_AXES[over][0], q[..., part], k[..., part])
            attended = softmax(scores * (self.qk_scale or head_dim**-0.5))
            out[..., part] = np.einsum(_AXES[over][1], attended, v[..., part])
        return self.linear(out, f"{name}.proj")

    def block(self, x, names, over):
        """`names` of the first norm, the attention, the second norm and the MLP."""
        norm1, attn, norm2, mlp = names
        x = x + self.attention(self.norm(x, norm1), attn, over)
        hidden = self.linear(self.norm(x, norm2), f"{mlp}.fc1")
        return x + self.linear(gelu(hidden), f"{mlp}.fc2")
