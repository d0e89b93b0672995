import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jrepose import models
from jrepose.models import complexity


class Toy(nn.Module):
    """A layer, attention of two heads over frames, and a scanned layer."""

    @nn.compact
    def __call__(self, keypoints):
        x = nn.Dense(8)(keypoints)  # [1, T, J, 8]
        heads = x.reshape(*x.shape[:-1], 2, 4)
        weights = nn.softmax(jnp.einsum("btjhd,bsjhd->bjhts", heads, heads))
        x = jnp.einsum("bjhts,bsjhd->btjhd", weights, heads).reshape(x.shape)
        kernel = self.param("kernel", nn.initializers.ones, (8, 8))
        x, _ = jax.lax.scan(lambda carry, _: (carry @ kernel, None), x, length=3)
        return jax.jit(lambda y: y @ jnp.ones((8, 3)))(x)


def test_counts_by_hand():
    frames, joints = 5, 7
    found = complexity.measure(Toy(), (frames, joints, 2))
    tokens = frames * joints
    assert found.parameters == 2 * 8 + 8 + 64
    assert found.linear_macs == tokens * (2 * 8 + 3 * 8 * 8 + 8 * 3)
    assert found.attention_macs == 2 * tokens * frames * 8
    assert found.macs == found.linear_macs + found.attention_macs
    assert found.frames == frames


@pytest.mark.parametrize(
    ("name", "changes", "parameters", "linear", "attention"),
    [
        ("repose", {}, 16_001_549, 65.55, 5.50),
        ("repose", {"maxlen": 81, "remat": True}, 15_960_077, 21.85, 0.69),
        ("motionbert", {"dtype": "bfloat16"}, 42_466_317, 174.40, 11.00),
        ("mixste", {}, 33_783_811, 138.62, 8.80),
        ("stcformer", {"frames": 27}, 4_748_000, 2.17, 0.03),
        ("stcformer", {}, 4_748_000, 19.55, 1.65),
        ("stcformer", {"d_hid": 512}, 18_933_184, 78.09, 3.30),
        ("stcformer_3dhp", {}, 4_754_432, 6.52, 0.21),
        ("poseformer", {}, 9_602_885, 0.81, 0.03),
        ("pstmo_s", {}, 6_482_278, 0.74, 0.12),
        ("pstmo", {}, 7_009_382, 0.87, 0.15),
        ("poseformerv2", {}, 14_381_899, 0.53, 0.01),
        ("graformer", {}, 654_344, 0.01, 0.0),
        ("graformer", {"step_embedding": True}, 839_432, 0.01, 0.0),
        ("mhformer", {"frames": 27}, 19_184_517, 0.52, 0.01),
        # 1.01 without the products with the skeleton's graph.
        ("motionagformer", {"depth": 12, "dim_feat": 64, "n_frames": 27}, 2_241_531, 1.02, 0.05),
    ],
)
def test_full_sizes(name, changes, parameters, linear, attention):
    """The counts that were made by instantiating the official code."""
    model = models.create(name, **changes)
    found = complexity.measure(model, model.input_shape)
    assert found.parameters == parameters
    assert round(found.linear_macs / 1e9, 2) == linear
    assert round(found.attention_macs / 1e9, 2) == attention


@pytest.mark.parametrize(
    ("name", "changes", "frames", "parameters", "macs"),
    [
        ("videopose3d", {"filter_widths": (1, 1, 1)}, 1, 4_291_635, 4.28),
        ("videopose3d", {"filter_widths": (3, 3, 3)}, 27, 8_555_571, 17.77),
        ("videopose3d", {"filter_widths": (3, 3, 7), "strided": False}, 63, 12_749_875, 245.5),
        ("videopose3d", {}, 243, 16_952_371, 176.28),
        ("videopose3d", {}, 342, 16_952_371, 42.85),
        ("rie", {"fusion": False}, 243, 23_385_651, 76.75),
        ("rie", {}, 243, 41_783_091, 95.10),
        ("rie", {"filter_widths": (3, 3, 3), "channels": 512, "latent_features": 512}, 27,
         58_840_627, 70.44),
    ],
)  # fmt: skip
def test_full_sizes_of_one_frame(name, changes, frames, parameters, macs):
    """Per predicted frame; MACs in millions, as counted in the official code."""
    model = models.create(name, **changes)
    found = complexity.measure(model, (frames, *model.input_shape[1:]))
    assert found.parameters == parameters and not found.attention_macs
    assert found.linear_macs / found.frames / 1e6 == pytest.approx(macs, rel=3e-4, abs=5e-3)


def test_mixste_per_frame():
    model = models.create("mixste")
    found = complexity.measure(model, model.input_shape)
    assert round(found.linear_macs / 243e6, 1) == 570.5
    assert round(found.macs / 243e6, 1) == 606.7
    said = complexity.describe("mixste", found, None)
    assert "606.7 M" in said.splitlines()[4] and "645 M FLOPs per frame" in said


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_counted(groups):
    found = complexity.measure(nn.Conv(4, (3, 5), feature_group_count=groups), (9, 7, 2))
    assert found.linear_macs == 9 * 7 * 4 * (3 * 5 * 2 // groups) and not found.attention_macs


def test_the_command(tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(
        "from jrepose.config import default_config\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.clip.frames = 9\n"
        "    config.model.update(dim_feat=8, dim_rep=8, depth=1, num_heads=2, maxlen=9)\n"
        "    return config\n"
    )
    command = [sys.executable, "-m", "jrepose.models.complexity", f"--config={config}"]
    done = subprocess.run([*command, "--batch=2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "9 frames a clip" in done.stdout and "clips/s" in done.stdout
    assert "43.7 G" in done.stdout and "mlp_ratio 2" in done.stdout
    done = subprocess.run([*command, "--config.model.dept=3"], capture_output=True, text=True)
    assert done.returncode == 2 and "dept" in done.stderr.splitlines()[-1]
