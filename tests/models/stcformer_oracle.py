"""STCFormer for Human3.6M written out in NumPy float64 with PyTorch's parameter names."""

import math

import numpy as np
from models.transformer_oracle import Transformer, gelu, softmax

PARTS = [0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4]


def random_state_dict(rng, *, d_hid, depth, num_heads, mlp_ratio, **_):
    """Weights of every parameter; the parts' embedding large, that its factor does not hide it."""
    half, hidden = d_hid // 2, int(d_hid * mlp_ratio)
    shapes = {"pose_emb.weight": (d_hid, 2), "regress_head.weight": (3, d_hid)}
    for level in range(depth):
        block = f"stcformer.stc_block.{level}"
        shapes[f"{block}.mlp.fc1.weight"] = (hidden, d_hid)
        shapes[f"{block}.mlp.fc2.weight"] = (d_hid, hidden)
        shapes[f"{block}.stc_att.emb.weight"] = (5, half // num_heads)
        for name, shape in (
            ("layer_norm", (d_hid,)),
            ("stc_att.layer_norm", (d_hid,)),
            ("stc_att.qkv", (3 * d_hid, d_hid)),
            ("stc_att.proj", (d_hid, d_hid)),
            ("stc_att.sep2_s", (half, 1, 3, 3)),
            ("stc_att.sep2_t", (half, 1, 3, 3)),
        ):
            shapes[f"{block}.{name}.weight"] = shape
            shapes[f"{block}.{name}.bias"] = shape[:1]
    return {
        key: rng.normal(0.0, 3000.0 if ".emb." in key else 0.4, shape).astype("f4")
        for key, shape in shapes.items()
    }


def forward(weights, keypoints, *, depth, num_heads, **_):
    """Poses of keypoints [batch, frames, joints, 2]."""
    net = Transformer(weights, num_heads)
    x = gelu(net.linear(keypoints.astype(np.float64), "pose_emb"))
    for level in range(depth):
        block = f"stcformer.stc_block.{level}"
        x = x + attention(net, x, f"{block}.stc_att")
        hidden = net.linear(net.norm(x, f"{block}.layer_norm", eps=1e-5), f"{block}.mlp.fc1")
        x = x + net.linear(gelu(hidden), f"{block}.mlp.fc2")
    return net.linear(x, "regress_head")


def attention(net, x, name):
    """Criss-cross attention head by head, without the residual."""
    frames, joints, width = x.shape[1:]
    half, heads = width // 2, net.num_heads
    size = half // heads
    qkv = net.linear(net.norm(x, f"{name}.layer_norm", eps=1e-5), f"{name}.qkv")
    q, k, v = (qkv[..., which::3] for which in range(3))
    parts = net.weights[f"{name}.emb.weight"][PARTS]
    out = np.empty_like(x)
    for head in range(heads):
        for branch, (letter, factor) in enumerate((("s", 1e-4), ("t", 1e-9))):
            first = branch * half + head * size
            channels = slice(first, first + size)
            a, b, c = (part[..., channels] for part in (q, k, v))
            if letter == "s":
                scores = np.einsum("btic,btjc->btij", a, b) / math.sqrt(half)
                attended = np.einsum("btij,btjc->btic", softmax(scores), c)
            else:
                scores = np.einsum("bijc,bkjc->bjik", a, b) / math.sqrt(half)
                attended = np.einsum("bjik,bkjc->bijc", softmax(scores), c)
            window = slice(head * size, (head + 1) * size)
            kernel = net.weights[f"{name}.sep2_{letter}.weight"][window, 0]
            padded = np.pad(c, ((0, 0), (1, 1), (1, 1), (0, 0)))
            for row in range(3):
                for column in range(3):
                    shifted = padded[:, row : row + frames, column : column + joints]
                    attended = attended + shifted * kernel[:, row, column]
            attended = attended + net.weights[f"{name}.sep2_{letter}.bias"][window]
            place = (2 * head + branch) * size
            out[..., place : place + size] = attended + factor * parts
    return net.linear(out, f"{name}.proj")
