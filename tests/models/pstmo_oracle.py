"""P-STMO's lifter and auto-encoder in NumPy float64 with PyTorch's parameter names; random weights.

BatchNorm normalises by its running statistics.
"""

import numpy as np
from models.transformer_oracle import softmax


def _norm(name, width):
    return {f"{name}.a_2": (width,), f"{name}.b_2": (width,)}


def _linear(name, outputs, inputs, *window):
    return {f"{name}.weight": (outputs, inputs, *window), f"{name}.bias": (outputs,)}


def _batch_norm(name, width):
    return {
        f"{name}.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean", "running_var")
    }


def _layers(name, depth, width, hidden, window=()):
    """`window` of both feed-forward layers, if they are convolutions."""
    first, second = window or ((), ())
    shapes = _norm(f"{name}.model.norm", width)
    for layer in (f"{name}.model.layers.{number}" for number in range(depth)):
        for number in range(4):
            shapes |= _linear(f"{layer}.self_attn.linears.{number}", width, width)
        shapes |= _linear(f"{layer}.feed_forward.w_1", hidden, width, *first)
        shapes |= _linear(f"{layer}.feed_forward.w_2", width, hidden, *second)
        for number in range(2):
            shapes |= _norm(f"{layer}.sublayer.{number}.norm", width)
    return shapes


def _encoder(frames, joints, depth, width, hidden):
    shapes = _linear("encoder.fc_1", 2 * width, 2 * joints, 1) | _batch_norm(
        "encoder.bn_1", 2 * width
    )
    for number in (1, 2):
        shapes |= _linear(f"encoder.layers.0.w{number}", 2 * width, 2 * width, 1)
        shapes |= _batch_norm(f"encoder.layers.0.batch_norm{number}", 2 * width)
    shapes |= _linear("encoder.fc_2", width, 2 * width, 1)
    shapes["Transformer.pos_embedding"] = (1, frames, width)
    return shapes | _layers("Transformer", depth, width, hidden)


def random_state_dict(rng, *, frames, num_joints, depth, channel, mlp_ratio, stride_num, **_):
    """Weights of the fine-tuned network."""
    hidden = round(channel * mlp_ratio)
    shapes = _encoder(frames, num_joints, depth, channel, hidden)
    shapes |= _layers("Transformer_reduce", len(stride_num), channel, hidden, ((1,), (3,)))
    for number in (1, 2, 3):
        shapes[f"Transformer_reduce.model.pos_embedding_{number}"] = (1, frames, channel)
    for head in ("fcn", "fcn_1"):
        shapes |= _batch_norm(f"{head}.0", channel)
        shapes |= _linear(f"{head}.1", 3 * num_joints, channel, 1)
    return _drawn(rng, shapes)


def random_masked_state_dict(rng, *, frames, num_joints, depth, channel, mlp_ratio, **_):
    """Weights of the auto-encoder."""
    hidden, half = round(channel * mlp_ratio), channel // 2
    shapes = _encoder(frames, num_joints, depth, channel, hidden)
    shapes |= _layers("Transformer_dec", depth - 1, half, hidden // 2)
    shapes |= _norm("encoder_LN", channel) | _batch_norm("fcn_dec.0", half)
    shapes |= _linear("fcn_dec.1", 2 * num_joints, half, 1)
    shapes |= {
        "encoder_to_decoder.weight": (half, channel),
        "dec_pos_embedding": (1, frames, half),
        "mask_token": (1, 1, half),
        "spatial_mask_token": (1, 1, 2),
    }
    return _drawn(rng, shapes)


def _drawn(rng, shapes):
    return {
        key: (np.exp if key.endswith("var") else np.asarray)(rng.normal(0.2, 0.4, shape)).astype(
            "f4"
        )
        for key, shape in shapes.items()
    }


class Network:
    def __init__(self, weights, num_heads):
        self.weights = {key: value.astype(np.float64) for key, value in weights.items()}
        self.num_heads = num_heads

    def linear(self, x, name):
        """Also a convolution over one frame."""
        weight = self.weights[f"{name}.weight"]
        return x @ weight.reshape(weight.shape[:2]).T + self.weights.get(f"{name}.bias", 0.0)

    def norm(self, x, name):
        std = x.std(-1, ddof=1, keepdims=True)
        scaled = (x - x.mean(-1, keepdims=True)) / (std + 1e-6)
        return scaled * self.weights[f"{name}.a_2"] + self.weights[f"{name}.b_2"]

    def batch_norm(self, x, name):
        scale, bias, mean, var = (
            self.weights[f"{name}.{leaf}"]
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * scale + bias

    def attention(self, x, name):
        batch, frames, width = x.shape
        q, k, v = (
            self.linear(x, f"{name}.linears.{i}").reshape(batch, frames, self.num_heads, -1)
            for i in range(3)
        )
        scores = np.einsum("bihc,bjhc->bhij", q, k) / np.sqrt(width / self.num_heads)
        out = np.einsum("bhij,bjhc->bihc", softmax(scores), v).reshape(x.shape)
        return self.linear(out, f"{name}.linears.3")

    def layer(self, x, name, stride=0):
        x = x + self.attention(self.norm(x, f"{name}.sublayer.0.norm"), f"{name}.self_attn")
        hidden = self.norm(x, f"{name}.sublayer.1.norm")
        hidden = np.maximum(self.linear(hidden, f"{name}.feed_forward.w_1"), 0)
        if not stride:
            return x + self.linear(hidden, f"{name}.feed_forward.w_2")
        hidden = np.pad(hidden, ((0, 0), (1, 1), (0, 0)))
        kernel = self.weights[f"{name}.feed_forward.w_2.weight"]
        bias = self.weights[f"{name}.feed_forward.w_2.bias"]
        kept = range(0, x.shape[1], stride)
        branch = [np.einsum("bkh,chk->bc", hidden[:, t : t + 3], kernel) + bias for t in kept]
        return x[:, ::stride] + np.stack(branch, axis=1)

    def encoder(self, keypoints):
        def hidden(x, name, norm):
            x = self.batch_norm(self.linear(x, f"encoder.{name}"), f"encoder.{norm}")
            return np.where(x > 0, x, 0.2 * x)

        x = keypoints.astype(np.float64).reshape(*keypoints.shape[:2], -1)
        x = hidden(x, "fc_1", "bn_1")
        branch = hidden(x, "layers.0.w1", "layers.0.batch_norm1")
        x = x + hidden(branch, "layers.0.w2", "layers.0.batch_norm2")
        return self.linear(x, "encoder.fc_2") + self.weights["Transformer.pos_embedding"]

    def head(self, x, name, channels):
        x = self.linear(self.batch_norm(x, f"{name}.0"), f"{name}.1")
        return x.reshape(*x.shape[:2], -1, channels)


def forward(weights, keypoints, *, depth, num_heads, stride_num, **_):
    """The pose in the middle and the encoder's poses of keypoints [batch, frames, joints, 2]."""
    net = Network(weights, num_heads)
    x = net.encoder(keypoints)
    for number in range(depth):
        x = net.layer(x, f"Transformer.model.layers.{number}")
    sequence = net.head(x, "fcn_1", 3)
    for number, stride in enumerate(stride_num):
        if number < 3:
            places = net.weights[f"Transformer_reduce.model.pos_embedding_{number + 1}"]
            x = x + places[:, : x.shape[1]]
        x = net.layer(x, f"Transformer_reduce.model.layers.{number}", stride)
    return net.head(x, "fcn", 3), sequence


def complete(weights, keypoints, visible, masked, masked_joints, *, depth, num_heads, **_):
    """The auto-encoder's keypoints, of the visible frames first."""
    net = Network(weights, num_heads)
    token = net.weights["spatial_mask_token"][0, 0]
    x = net.encoder(np.where(masked_joints[..., None], token, keypoints))[:, visible]
    for number in range(depth):
        x = net.layer(x, f"Transformer.model.layers.{number}")
    x = net.linear(net.norm(x, "encoder_LN"), "encoder_to_decoder")
    places = net.weights["dec_pos_embedding"]
    rest = np.repeat(net.weights["mask_token"] + places[:, masked], len(x), axis=0)
    x = np.concatenate([x + places[:, visible], rest], axis=1)
    for number in range(depth - 1):
        x = net.layer(x, f"Transformer_dec.model.layers.{number}")
    return net.head(x, "fcn_dec", 2)
