"""GraFormer and GCNdiff written out in NumPy float64 with PyTorch's parameter names, and random
weights."""

import numpy as np


def random_state_dict(rng, *, joints, in_chans, out_chans, hid_dim, depth, steps=True, **_):
    """Weights of every parameter; with `steps` of the step's embedding in every block."""
    shapes = {}
    for name, inputs, outputs in (
        ("gconv_input", in_chans, hid_dim),
        ("gconv_output", hid_dim, out_chans),
        *((f"gconv_layers.{i}.gconv{j}.gconv", hid_dim, hid_dim)
          for i in range(depth) for j in (1, 2)),
    ):  # fmt: skip
        shapes |= {f"{name}.weight": (3, 1, inputs, outputs), f"{name}.bias": (1, 1, outputs)}
    linear = {"temb.dense.0": (hid_dim, 4 * hid_dim), "temb.dense.1": (4 * hid_dim, 4 * hid_dim)}
    for i in range(depth):
        layer = f"atten_layers.{i}"
        linear |= {f"{layer}.self_attn.linears.{j}": (hid_dim, hid_dim) for j in range(4)}
        linear |= {
            f"{layer}.feed_forward.gconv1.fc": (hid_dim, 2 * hid_dim),
            f"{layer}.feed_forward.gconv2.fc": (2 * hid_dim, hid_dim),
        }
        if steps:
            linear[f"gconv_layers.{i}.temb_proj"] = (4 * hid_dim, hid_dim)
        for j in range(2):
            for leaf in ("a_2", "b_2"):
                shapes[f"{layer}.sublayer.{j}.norm.{leaf}"] = (hid_dim,)
    for name, (inputs, outputs) in linear.items():
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    weights = {key: rng.normal(0, 0.3, shape).astype("f4") for key, shape in shapes.items()}
    for i in range(depth):
        learned = np.eye(joints) + rng.uniform(-0.05, 0.15, (joints, joints))
        weights[f"atten_layers.{i}.feed_forward.A_hat"] = learned.astype("f4")
    return weights


def forward(weights, x, *, parents, depth, num_heads, steps=None, mask=None, **_):
    """Answers `[batch, joints, channels]`; steps `[batch]` where the network is told of them."""
    w = {key: value.astype(np.float64) for key, value in weights.items()}
    x = x.astype(np.float64)
    joints = len(parents)
    adjacency = np.eye(joints)
    for child, parent in enumerate(parents):
        if parent >= 0:
            adjacency[child, parent] = adjacency[parent, child] = 1
    adjacency /= adjacency.sum(1, keepdims=True)
    lap = np.eye(joints) - adjacency
    terms = (np.eye(joints), lap, 2 * lap @ lap - np.eye(joints))

    def conv(x, name):
        kernel = w[f"{name}.weight"][:, 0]
        return sum(t @ x @ k for t, k in zip(terms, kernel, strict=True)) + w[f"{name}.bias"][0, 0]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / (x.std(-1, ddof=1, keepdims=True) + 1e-6)
        return w[f"{name}.a_2"] * scaled + w[f"{name}.b_2"]

    def swish(x):
        return x / (1 + np.exp(-x))

    def attention(x, name):
        heads = [linear(x, f"{name}.linears.{i}") for i in range(3)]
        q, k, v = (np.stack(np.split(part, num_heads, -1), 1) for part in heads)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        if mask is not None:
            scores = np.where(mask, scores, -1e9)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out = scores / scores.sum(-1, keepdims=True) @ v
        return linear(np.concatenate(list(out.swapaxes(0, 1)), -1), f"{name}.linears.3")

    def graph_net(x, name):
        learned = w[f"{name}.A_hat"]
        scale = (learned.sum(0) + 1e-5) ** -0.5
        learned = scale[:, None] * learned * scale[None, :]
        x = np.maximum(linear(learned @ x, f"{name}.gconv1.fc"), 0)
        return linear(learned @ x, f"{name}.gconv2.fc")

    if steps is not None:
        half = w["temb.dense.0.weight"].shape[1] // 2
        angles = steps[:, None] * np.exp(-np.arange(half) * np.log(10000) / (half - 1))
        sines = np.concatenate([np.sin(angles), np.cos(angles)], -1)
        embedding = swish(linear(swish(linear(sines, "temb.dense.0")), "temb.dense.1"))
    x = conv(x, "gconv_input")
    for i in range(depth):
        layer = f"atten_layers.{i}"
        x = x + attention(norm(x, f"{layer}.sublayer.0.norm"), f"{layer}.self_attn")
        x = x + graph_net(norm(x, f"{layer}.sublayer.1.norm"), f"{layer}.feed_forward")
        layer = f"gconv_layers.{i}"
        branch = np.maximum(conv(x, f"{layer}.gconv1.gconv"), 0)
        if steps is not None:
            branch = branch + linear(embedding, f"{layer}.temb_proj")[:, None]
        x = x + np.maximum(conv(branch, f"{layer}.gconv2.gconv"), 0)
    return conv(x, "gconv_output")
