"""VideoPose3D and RIE written out in NumPy float64 on weights with PyTorch's parameter names."""

import numpy as np

PARTS = {
    "Torso": [0, 7, 8, 9, 10],
    "LArm": [14, 15, 16],
    "RArm": [11, 12, 13],
    "LLeg": [1, 2, 3],
    "RLeg": [4, 5, 6],
}


def _norm_shapes(name, channels):
    return {
        f"{name}.{leaf}": (channels,) for leaf in ("weight", "bias", "running_mean", "running_var")
    }


def _temporal_shapes(prefix, inputs, outputs, widths, channels):
    shapes = {
        f"{prefix}expand_conv.weight": (channels, inputs, widths[0]),
        f"{prefix}shrink.weight": (outputs, channels, 1),
        f"{prefix}shrink.bias": (outputs,),
        **_norm_shapes(f"{prefix}expand_bn", channels),
    }
    for block, width in enumerate(widths[1:]):
        for half, window in enumerate((width, 1)):
            number = 2 * block + half
            shapes[f"{prefix}layers_conv.{number}.weight"] = (channels, channels, window)
            shapes |= _norm_shapes(f"{prefix}layers_bn.{number}", channels)
    return shapes


def _dense_shapes(name, inputs, outputs, width, blocks):
    shapes = {
        f"{name}.fc_1.weight": (width, inputs),
        f"{name}.fc_1.bias": (width,),
        f"{name}.fc_2.weight": (outputs, width),
        f"{name}.fc_2.bias": (outputs,),
        **_norm_shapes(f"{name}.bn_1", width),
    }
    for block in range(blocks):
        for half in (1, 2):
            layer = f"{name}.layers.{block}"
            shapes[f"{layer}.w{half}.weight"] = (width, width)
            shapes[f"{layer}.w{half}.bias"] = (width,)
            shapes |= _norm_shapes(f"{layer}.batch_norm{half}", width)
    return shapes


def _random(rng, shapes):
    return {
        key: (
            rng.uniform(0.5, 2, shape) if key.endswith("_var") else rng.normal(0, 0.4, shape)
        ).astype("f4")
        for key, shape in shapes.items()
    }


def random_videopose3d(rng, *, num_joints_in, num_joints_out, filter_widths, channels, **_):
    """Weights and statistics of every layer."""
    inputs, outputs = 2 * num_joints_in, 3 * num_joints_out
    return _random(rng, _temporal_shapes("", inputs, outputs, filter_widths, channels))


def random_rie(rng, *, filter_widths, channels, latent_features, fc_width, per_joint, fusion=True):
    """Weights and statistics of every layer; `per_joint` channels go into the convolutions."""
    latent, shapes = latent_features, {}
    for part, joints in PARTS.items():
        inputs = per_joint * len(joints)
        shapes |= _temporal_shapes(f"LocalLayer_{part}.", inputs, latent, filter_widths, channels)
    shapes |= _dense_shapes("GlobalInfo", 34, latent, fc_width, 2)
    for number, (part, joints) in enumerate(PARTS.items()):
        inputs = (3 if fusion else 2) * latent
        shapes |= _dense_shapes(f"Integration_{part}", inputs, 3 * len(joints), fc_width, 1)
        if fusion:
            shapes |= _dense_shapes(f"FuseBlocks.{number}", 4 * latent, latent, fc_width, 1)
    return _random(rng, shapes)


class Network:
    """Layers by name, on features with the channels last.

    Args:
        weights: state dict.
        train: normalise by the batch, and note its mean and unbiased variance in `batch`.
        slope: of the LeakyReLU.
    """

    def __init__(self, weights, train=False, slope=0.0):
        self.weights = {key: np.asarray(value, np.float64) for key, value in weights.items()}
        self.train, self.slope, self.batch = train, slope, {}

    def activated(self, x, name):
        """BatchNorm and LeakyReLU."""
        rows = x.reshape(-1, x.shape[-1])
        mean, var = (self.weights[f"{name}.running_{which}"] for which in ("mean", "var"))
        if self.train:
            mean, var = rows.mean(0), rows.var(0)
            self.batch[f"{name}.running_mean"] = mean
            self.batch[f"{name}.running_var"] = rows.var(0, ddof=1)
        x = (x - mean) / np.sqrt(var + 1e-5)
        x = x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return np.where(x > 0, x, self.slope * x)

    def conv(self, x, name, spacing=1, step=1):
        """`spacing` frames between taps, `step` between outputs."""
        kernel = self.weights[f"{name}.weight"]
        reach = spacing * (kernel.shape[2] - 1)
        firsts = range(0, x.shape[1] - reach, step)
        return np.stack(
            [
                sum(
                    x[:, first + tap * spacing] @ kernel[:, :, tap].T
                    for tap in range(kernel.shape[2])
                )
                for first in firsts
            ],
            axis=1,
        )

    def temporal(self, x, widths, prefix="", strided=False, causal=False):
        """[batch, frames, inputs] to [batch, frames left, outputs]."""
        step = widths[0] if strided else 1
        x = self.activated(self.conv(x, f"{prefix}expand_conv", 1, step), f"{prefix}expand_bn")
        spacing = widths[0]
        for block, width in enumerate(widths[1:]):
            names = [f"{prefix}layers_%s.{2 * block + half}" for half in (0, 1)]
            branch = self.conv(x, names[0] % "conv", *((1, width) if strided else (spacing, 1)))
            # The frame that the residual keeps, of those that an output looks at.
            kept = (width - 1 if causal else (width - 1) // 2) * (1 if strided else spacing)
            residual = x[:, kept :: width if strided else 1][:, : branch.shape[1]]
            branch = self.activated(branch, names[0] % "bn")
            x = residual + self.activated(self.conv(branch, names[1] % "conv"), names[1] % "bn")
            spacing *= width
        return self.conv(x, f"{prefix}shrink") + self.weights[f"{prefix}shrink.bias"]

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def dense(self, x, name, blocks):
        x = self.activated(self.linear(x, f"{name}.fc_1"), f"{name}.bn_1")
        for block in range(blocks):
            branch = x
            for half in (1, 2):
                layer = f"{name}.layers.{block}"
                branch = self.linear(branch, f"{layer}.w{half}")
                branch = self.activated(branch, f"{layer}.batch_norm{half}")
            x = x + branch
        return self.linear(x, f"{name}.fc_2")


def videopose3d(weights, keypoints, widths, *, strided=False, causal=False, train=False):
    """Poses, and the batch's statistics."""
    network = Network(weights, train)
    x = keypoints.reshape(*keypoints.shape[:2], -1).astype(np.float64)
    poses = network.temporal(x, widths, strided=strided, causal=causal)
    return poses.reshape(*poses.shape[:2], -1, 3), network.batch


def rie(weights, keypoints, encoded, widths, *, fusion=True, train=False):
    """Poses, and the batch's statistics.

    Args:
        encoded: what the convolutions see of each joint, encodings apart:
            a list of [batch, frames, 17, channels].
    """
    network = Network(weights, train, slope=0.2)
    batch, frames = keypoints.shape[:2]
    whole = network.dense(keypoints[:, frames // 2].reshape(batch, -1), "GlobalInfo", 2)
    local = []
    for part, joints in PARTS.items():
        x = np.concatenate([e[:, :, joints].reshape(batch, frames, -1) for e in encoded], -1)
        local.append(network.temporal(x, widths, f"LocalLayer_{part}.", strided=True)[:, 0])
    poses = np.empty((batch, 1, 17, 3))
    for number, (part, joints) in enumerate(PARTS.items()):
        features = [local[number]]
        if fusion:
            others = np.concatenate(local[:number] + local[number + 1 :], -1)
            features.append(network.dense(others, f"FuseBlocks.{number}", 1))
        decoded = network.dense(np.concatenate([*features, whole], -1), f"Integration_{part}", 1)
        poses[:, 0, joints] = decoded.reshape(batch, -1, 3)
    return poses, network.batch
