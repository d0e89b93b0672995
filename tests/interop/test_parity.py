"""The parity command on official fixtures and on one of our own making."""

import json
import re

import numpy as np
import pytest
from lifters import LIFTERS
from models import dstformer_oracle, mixste_oracle

from jrepose.command import run
from jrepose.commands.parity import parity as command
from jrepose.interop import parity
from jrepose.interop.fixtures.arrays import Rounded

CONSTRUCTOR = {
    "dim_feat": 8,
    "dim_rep": 6,
    "depth": 1,
    "num_heads": 2,
    "mlp_ratio": 2,
    "maxlen": 4,
    "num_joints": 17,
    "qkv_bias": True,
    "att_fuse": True,
}


@pytest.fixture(scope="module")
def fixture_arrays():
    """What an official fixture of another size would hold, by the NumPy version."""
    rng = np.random.default_rng(0)
    weights = dstformer_oracle.random_state_dict(rng, **CONSTRUCTOR)
    arrays = {f"param/{key}": value for key, value in weights.items()}
    for suffix, frames in (("", 4), ("_short", 2)):
        keypoints = rng.normal(size=(2, frames, 17, 3)).astype(np.float32)
        target = rng.normal(size=(2, frames, 17, 3)).astype(np.float32)
        poses, representation = dstformer_oracle.forward(weights, keypoints, **CONSTRUCTOR)
        arrays |= {
            f"input/x{suffix}": keypoints,
            f"target/y{suffix}": target,
            f"output/pred{suffix}": poses,
            f"output/rep{suffix}": representation,
            f"loss{suffix}/mpjpe": np.linalg.norm(poses - target, axis=-1).mean(),
        }
    return arrays


def write(path, arrays, model="RePOSE"):
    config = {"model": model, "constructor": CONSTRUCTOR, "norm_eps": 1e-6}
    np.savez(path, config=json.dumps(config), **arrays)
    return str(path)


# Losses that no training uses; training steps and schedules, which tests/training replays; what is
# only rounding; BatchNorm's counter of batches, which nothing reads; draws of other generators, and
# what they give.
WITHOUT_COUNTERPART = {
    "weighted_bonelen",
    "weighted_boneratio",
    "bone_length_consistency_unused",
    "symmetry_penalty_unused",
    "two_steps",
    "lr",
    "bn_momentum",
    "shift_max_abs_change",
    "num_batches_tracked",
    "resample_select_draw",
    "train_items_seed0_flipped",
    "train_item0_index",
}
RESULTS = re.compile(
    r"(mpi/|mae/|refine/)?(alt_)?(output(_train)?|schedule|sequence|loss(_short)?|grad(_short|_all|_2d|_eval|_semi.*)?|intermediate_short|"
    r"buffer_after.*)/(?!.*shuffled|overlap/pred)"
)
FIXTURES = {
    "repose_losses", "rie_encodings", "videopose3d_generators", "motionbert_noise_model", "oks_pck",
    "swin_block", "vit_block", "diffpose_gcndiff", "diffpose_gmm", "diffpose_sampler",
    "d3dp",
    "camera", "metrics", "mixste_eval", "mpi_inf_3dhp_metrics", "h36m_sh_mini",
}  # fmt: skip


@pytest.mark.usefixtures("numpy_ranks")  # a camera is one of all points
@pytest.mark.parametrize("name", sorted({*FIXTURES, *(lifter.fixture for lifter in LIFTERS)}))
def test_agreement_with_the_official_code(golden, shared_dir, name):
    arrays, config = golden(name)
    comparisons = parity.compare_fixture(shared_dir / "golden" / f"{name}.npz")
    assert [c.name for c in comparisons if not c.within(1e-5)] == []
    compared = {comparison.name for comparison in comparisons}
    results = {key for key in arrays if RESULTS.match(key)}
    rounding = {
        f"grad/{stage}/{key}"
        for stage, keys in config.get("structurally_zero_gradients", {}).items()
        for key in keys
    }
    left_out = results - compared - rounding
    assert {key.split("/")[-1].split(".")[-1] for key in left_out} <= WITHOUT_COUNTERPART


def test_mixste_of_another_size(tmp_path, capsys):
    config = {"model": "MixSTE2", "num_frame": 5, "num_joints": 16, "in_chans": 2, "depth": 1,
              "embed_dim_ratio": 8, "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": True,
              "layer_norm_eps_blocks": 1e-6, "layer_norm_eps_head": 1e-5}  # fmt: skip
    rng = np.random.default_rng(0)
    weights = mixste_oracle.random_state_dict(rng, **config)
    keypoints = rng.normal(size=(2, 5, 16, 2)).astype(np.float32)
    target = rng.normal(size=(2, 5, 16, 3)).astype(np.float32)
    arrays = {f"param/{key}": value for key, value in weights.items()} | {
        "input/keypoints_2d": keypoints,
        "target/pose_3d": target,
        "output/pose_3d": mixste_oracle.forward(weights, keypoints, **config),
    }
    path = tmp_path / "f.npz"
    np.savez(path, config=json.dumps(config), **arrays)
    assert run(command, ["parity", str(path)]) == 0
    np.savez(path, config=json.dumps({**config, "layer_norm_eps_head": 0.5}), **arrays)
    assert run(command, ["parity", str(path)]) == 1
    assert "output/pose_3d  PAST TOLERANCE" in capsys.readouterr().out


def test_agreement_on_a_fixture_of_another_size(fixture_arrays, tmp_path, capsys):
    assert run(command, ["parity", write(tmp_path / "f.npz", fixture_arrays), "--verbose"]) == 0
    printed = capsys.readouterr().out
    assert "output/rep_short" in printed and "loss_short/mpjpe" in printed
    assert "agreement on cpu" in printed and "DISAGREEMENT" not in printed


def test_a_wrong_value_is_found(fixture_arrays, tmp_path, capsys):
    wrong = {**fixture_arrays, "output/pred_short": fixture_arrays["output/pred_short"].copy()}
    wrong["output/pred_short"][1, 1, 3, 2] += 1e-3
    path = write(tmp_path / "f.npz", wrong)
    assert run(command, ["parity", path]) == 1
    printed = capsys.readouterr().out
    assert "output/pred_short  PAST TOLERANCE" in printed and "DISAGREEMENT" in printed
    assert run(command, ["parity", path, "--tolerance", "0.1"]) == 0


def test_nan_and_wrong_shapes_are_disagreements():
    expected = np.ones((2, 3))
    for ours in (np.ones((3, 2)), np.full((2, 3), np.nan)):
        assert not parity._compare("output/pred", ours, expected).within(1e6)
    assert parity._compare("output/pred", expected * 1.5, expected).relative == 0.5
    assert parity._compare("grad/x", Rounded(expected + 0.009, 100.0), expected).within(1e-5)
    assert parity.Comparison("grad_all/x", 1.0, 9e-5).within(1e-5)
    assert not parity.Comparison("output/x", 1.0, 9e-5).within(1e-5)
    unknown = np.full(3, np.nan)
    assert parity._compare("output/x", unknown, unknown).within(0.0)
    names = np.array(["Eating", "Walking"])
    assert parity._compare("output/names", ["Eating", "Walking"], names).within(0.0)
    assert not parity._compare("output/names", ["Walking", "Eating"], names).within(1e6)


def test_unusable_fixtures(fixture_arrays, tmp_path, capsys):
    other = write(tmp_path / "other.npz", fixture_arrays, model="ResNet")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    given = {key: value for key, value in fixture_arrays.items() if key.startswith("param")}
    empty = write(tmp_path / "empty.npz", given)
    short = write(tmp_path / "short.npz", {**given, "input/x": np.zeros(3), "output/pred": 0})
    cut, flipped = tmp_path / "cut.npz", tmp_path / "flipped.npz"
    raw = bytearray((tmp_path / "other.npz").read_bytes())
    cut.write_bytes(raw[: len(raw) // 2])
    raw[len(raw) // 2] ^= 255
    flipped.write_bytes(raw)
    text_config, list_config = tmp_path / "words.npz", tmp_path / "list.npz"
    np.savez(text_config, config="no JSON")
    np.savez(list_config, config="[1]")
    nothing = tmp_path / "nothing.npz"
    np.savez(nothing, a=np.zeros(2))
    damaged = (short, cut, flipped, text_config, list_config, nothing)
    for path in map(str, (other, text, empty, tmp_path / "absent.npz", *damaged)):
        assert run(command, ["parity", path]) == 2
        error = capsys.readouterr().err
        assert error.startswith("parity: error: ") and error.count("\n") == 1 and path in error
