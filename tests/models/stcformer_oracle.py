"""STCFormer's two networks written out in NumPy float64 with PyTorch's parameter names."""

import math
from typing import NamedTuple

import numpy as np
from models.transformer_oracle import Transformer, gelu, softmax


class Network(NamedTuple):
    blocks: str
    attention: str
    convolution: str
    norm: str
    mlp: str
    head: str
    parts: tuple[int, ...]
    embeddings: int
    factors: dict[str, float]  # of the parts' embedding
    scale_width: float  # channels that the scores are scaled by, over all channels
    unused: tuple[str, ...] = ()


NETWORKS = {
    "stcformer": Network(
        "stcformer.stc_block", "stc_att", "sep2", "layer_norm", "mlp", "regress_head",
        (0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4), 5, {"s": 1e-4, "t": 1e-9}, 0.5,
    ),
    "stcformer_3dhp": Network(
        "mlpmixer.mixerblocks", "cross_att", "gate", "layer_norm1", "mlp1", "pose_lift",
        (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0), 20, {"s": 1e-4, "t": 0.0}, 1.0,
        ("layer_norm2",),
    ),
}  # fmt: skip


def random_state_dict(name, rng, *, d_hid, depth, num_heads, mlp_ratio, **_):
    """Weights of every parameter; the parts' embedding large, that its factor does not hide it."""
    of, half, hidden = NETWORKS[name], d_hid // 2, int(d_hid * mlp_ratio)
    shapes = {"pose_emb.weight": (d_hid, 2), f"{of.head}.weight": (3, d_hid)}
    for level in range(depth):
        block = f"{of.blocks}.{level}"
        shapes[f"{block}.{of.mlp}.fc1.weight"] = (hidden, d_hid)
        shapes[f"{block}.{of.mlp}.fc2.weight"] = (d_hid, hidden)
        shapes[f"{block}.{of.attention}.emb.weight"] = (of.embeddings, half // num_heads)
        for layer, shape in (
            (of.norm, (d_hid,)),
            *((unused, (d_hid,)) for unused in of.unused),
            (f"{of.attention}.layer_norm", (d_hid,)),
            (f"{of.attention}.qkv", (3 * d_hid, d_hid)),
            (f"{of.attention}.proj", (d_hid, d_hid)),
            (f"{of.attention}.{of.convolution}_s", (half, 1, 3, 3)),
            (f"{of.attention}.{of.convolution}_t", (half, 1, 3, 3)),
        ):
            shapes[f"{block}.{layer}.weight"] = shape
            shapes[f"{block}.{layer}.bias"] = shape[:1]
    return {
        key: rng.normal(0.0, 3000.0 if ".emb." in key else 0.4, shape).astype("f4")
        for key, shape in shapes.items()
    }


def forward(name, weights, keypoints, *, depth, num_heads, **_):
    """Poses of keypoints [batch, frames, joints, 2]."""
    of, net = NETWORKS[name], Transformer(weights, num_heads)
    x = gelu(net.linear(keypoints.astype(np.float64), "pose_emb"))
    for level in range(depth):
        block = f"{of.blocks}.{level}"
        x = x + attention(of, net, x, f"{block}.{of.attention}")
        hidden = net.linear(net.norm(x, f"{block}.{of.norm}", eps=1e-5), f"{block}.{of.mlp}.fc1")
        x = x + net.linear(gelu(hidden), f"{block}.{of.mlp}.fc2")
    return net.linear(x, of.head)


def attention(of, net, x, name):
    """Criss-cross attention head by head, without the residual."""
    frames, joints, width = x.shape[1:]
    half, heads = width // 2, net.num_heads
    size, scale = half // heads, math.sqrt(of.scale_width * width)
    qkv = net.linear(net.norm(x, f"{name}.layer_norm", eps=1e-5), f"{name}.qkv")
    q, k, v = (qkv[..., which::3] for which in range(3))
    parts = net.weights[f"{name}.emb.weight"][list(of.parts)]
    out = np.empty_like(x)
    for head in range(heads):
        for branch, (letter, factor) in enumerate(of.factors.items()):
            first = branch * half + head * size
            channels = slice(first, first + size)
            a, b, c = (part[..., channels] for part in (q, k, v))
            if letter == "s":
                scores = np.einsum("btic,btjc->btij", a, b) / scale
                attended = np.einsum("btij,btjc->btic", softmax(scores), c)
            else:
                scores = np.einsum("bijc,bkjc->bjik", a, b) / scale
                attended = np.einsum("bjik,bkjc->bijc", softmax(scores), c)
            window = slice(head * size, (head + 1) * size)
            kernel = net.weights[f"{name}.{of.convolution}_{letter}.weight"][window, 0]
            padded = np.pad(c, ((0, 0), (1, 1), (1, 1), (0, 0)))
            for row in range(3):
                for column in range(3):
                    shifted = padded[:, row : row + frames, column : column + joints]
                    attended = attended + shifted * kernel[:, row, column]
            attended = attended + net.weights[f"{name}.{of.convolution}_{letter}.bias"][window]
            place = (2 * head + branch) * size
            out[..., place : place + size] = attended + factor * parts
    return net.linear(out, f"{name}.proj")
