"""Swin's weights as Microsoft, timm and torchvision publish them; tables of other windows."""

import logging
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from jrepose import checkpoints, interop, models
from jrepose.commands.convert import convert
from jrepose.errors import InputError
from jrepose.interop import swin
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.state_dicts import another_model, variable_shapes

SMALL = {"img_size": 32, "patch_size": 4, "in_chans": 3, "embed_dim": 4, "depths": (2, 1),
         "num_heads": (1, 2), "window_size": 4, "mlp_ratio": 2.0, "qkv_bias": True}  # fmt: skip
TABLE = "layers.0.blocks.1.attn.relative_position_bias_table"


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    shapes = variable_shapes(models.create("swin", **SMALL))
    return unflatten_dict({k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()})


@pytest.fixture(scope="module")
def microsoft(variables):
    head = {"head.weight": np.zeros((10, 8), np.float32), "head.bias": np.zeros(10, np.float32)}
    return interop.to_torch("swin", variables, **SMALL) | head


def as_older_timm(weights):
    return {key: value for key, value in weights.items() if "relative_position_index" not in key}


def as_timm(weights):
    def key_of(key):
        later = re.sub(r"layers\.0\.downsample", "layers.1.downsample", key)
        return later.replace("head.", "head.fc.")

    return {key_of(k): v for k, v in weights.items() if not k.endswith(("_index", "_mask"))}


def as_torchvision(weights):
    found = {}
    for key, value in weights.items():
        for theirs, ours in (
            ("patch_embed.proj", "features.0.0"), ("patch_embed.norm", "features.0.2"),
            ("layers.0.blocks", "features.1"), ("layers.0.downsample", "features.2"),
            ("layers.1.blocks", "features.3"), ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3"),
        ):  # fmt: skip
            key = key.replace(theirs, ours)
        if not key.endswith("attn_mask"):
            found[key] = value.ravel() if key.endswith("_index") else value
    return found


LAYOUTS = {
    "microsoft": (dict, "layers.0.downsample.reduction.weight", "layers.0.blocks.1.attn_mask"),
    "older timm": (as_older_timm, "layers.0.downsample.norm.bias", "head.weight"),
    "timm": (as_timm, "layers.1.downsample.reduction.weight", "head.fc.bias"),
    "torchvision": (as_torchvision, "features.2.reduction.weight", "features.1.1.mlp.3.bias"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout, variables, microsoft, caplog):
    laid_out, *keys = LAYOUTS[layout]
    prefix = "" if layout in ("microsoft", "timm") else "backbone."
    given = laid_out(microsoft)
    assert set(keys) <= given.keys()
    given = {prefix + key: value for key, value in given.items()}
    sizes = interop.infer_hyperparameters("swin", given)
    assert sizes == SMALL and another_model("swin", given) is None
    with caplog.at_level(logging.INFO, "jrepose"):
        found = interop.from_torch("swin", given, **sizes)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert "left out, as they are the classifier's: head." in caplog.text


def test_buffers_are_those_of_the_released_code(golden):
    arrays, config = golden("swin_block")
    (name,) = (name for name, sizes in config["modules"].items() if "embed_dim" in sizes
               and "depths" in sizes)  # fmt: skip
    weights = below(arrays, f"param/{name}.")
    sizes = interop.infer_hyperparameters("swin", weights)
    assert all(np.array_equal(config["modules"][name][key], value) for key, value in sizes.items())
    back = interop.to_torch("swin", interop.from_torch("swin", weights, **sizes), **sizes)
    assert back.keys() | {"head.weight", "head.bias"} == weights.keys()
    for key, value in back.items():
        np.testing.assert_array_equal(value, weights[key])
        assert value.dtype == weights[key].dtype


def test_the_command_resizes_and_comes_back(microsoft, tmp_path, capsys, caplog):
    interop.write_state_dict(as_torchvision(microsoft), tmp_path / "t.pth", entry="model")
    command = ["convert", "--model", "swin"]
    with caplog.at_level(logging.INFO, "jrepose"):
        line = [*command, "--set", "window_size=2", str(tmp_path / "t.pth"), str(tmp_path / "c")]
        assert convert(line) == 0
    assert "window_size=2" in capsys.readouterr().out
    assert "bias tables for windows of 4 resized to windows of 2" in caplog.text
    params = checkpoints.load(tmp_path / "c").variables["params"]
    table = params["layers_0_blocks_1"]["attn"]["relative_position_bias_table"]
    np.testing.assert_array_equal(table, swin.resized_table(microsoft[TABLE], 2))
    assert convert([*command, str(tmp_path / "c"), str(tmp_path / "back.pth")]) == 0
    back = interop.read_state_dict(tmp_path / "back.pth")
    assert back["layers.0.blocks.1.attn_mask"].shape == (16, 4, 4)
    np.testing.assert_array_equal(back["norm.weight"], microsoft["norm.weight"])
    found, report = interop.load_what_fits(
        tmp_path / "t.pth", {"name": "swin", **SMALL, "depths": (1, 1)}
    )
    assert "features.1.1.attn.proj.bias" in report and "0 missing there" in report
    assert "layers_1_blocks_0" in found["params"]


def test_a_resized_table_is_what_pytorch_interpolates():
    # The cubic kernel with -0.75, at a quarter and three quarters of a place.
    impulse = np.zeros((5, 5, 1), np.float32)
    impulse[2, 2] = 1
    # Windows of 3 and 5: five places to nine, whose middle ones meet.
    grown = swin.resized_table(impulse.reshape(25, 1), 5).reshape(9, 9)
    np.testing.assert_allclose(grown[4, 4], 1, atol=1e-7)
    x = 5 / 9
    near, far = (1.25 * x - 2.25) * x * x + 1, -0.75 * ((((2 * x) - 5) * 2 * x + 8) * 2 * x - 4)
    expected = np.array([0, 0, far, near, 1, near, far, 0, 0])
    np.testing.assert_allclose(grown[4][2:7], expected[2:7], atol=1e-6)
    np.testing.assert_allclose(grown, np.outer(grown[4], grown[4]), atol=1e-6)


@pytest.mark.parametrize("window", [2, 4, 12])
def test_what_resizing_keeps(window):
    table = np.random.default_rng(0).normal(size=(49, 3)).astype(np.float32)
    if window == 4:
        np.testing.assert_array_equal(swin.resized_table(table, window), table)
    places = (2 * window - 1) ** 2
    flat = swin.resized_table(np.full((49, 3), 0.3, np.float32), window)
    assert flat.shape == (places, 3)
    np.testing.assert_allclose(flat, 0.3, atol=1e-6)
    rows = np.repeat(np.arange(7, dtype=np.float32), 7)
    ramps = np.stack([rows, -rows.reshape(7, 7).T.ravel()], axis=1)
    resized = swin.resized_table(ramps, window).reshape(2 * window - 1, -1, 2)
    assert (np.diff(resized[..., 0], axis=0) > 0).all()
    assert (np.diff(resized[..., 1], axis=1) < 0).all()
    np.testing.assert_allclose(resized[..., 0], -resized[..., 1].T, atol=1e-6)
    np.testing.assert_allclose(
        resized[..., 0], resized[:, :1, 0].repeat(2 * window - 1, 1), atol=1e-6
    )


def test_networks_of_other_sizes_say_so(microsoft):
    given = as_torchvision(microsoft)
    with pytest.raises(
        InputError, match=r"swin: its depths is \(2, 1\), here \(1, 1\); unexpected"
    ):
        interop.from_torch("swin", given, **{**SMALL, "depths": (1, 1)})
    with pytest.raises(
        InputError, match=r"its embed_dim is 4, here 8; features.1.0.attn.proj.bias is"
    ):
        interop.from_torch("swin", given, **{**SMALL, "embed_dim": 8})
    with pytest.raises(InputError, match="map of 8 x 8 patches .* windows of 3"):
        interop.from_torch("swin", given, **{**SMALL, "window_size": 3})
    # One stage of one map: its windows are too large to make a network of.
    huge = {TABLE.replace("blocks.1", "blocks.0"): np.ones((199**2, 1), "f4")}
    one_stage = {k: v for k, v in microsoft.items() if "layers.1" not in k and "_mask" not in k}
    with pytest.raises(InputError, match="no map of usual size: 400 pixels in windows of 100"):
        interop.infer_hyperparameters("swin", one_stage | huge)


def vit():
    names = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
    return dict.fromkeys(names, np.zeros((8, 3, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers.0.blocks.0.attn.logit_scale": np.ones((1, 1, 1), "f4")}, ".*: it is a Swin V2's"),
        (
            {TABLE.replace("blocks.1", "blocks.0"): np.ones((9, 1), "f4")},
            "window that all stages share but 2, 4",
        ),
        ({TABLE.replace("blocks.1", "blocks.0"): np.ones((48, 1), "f4")}, "square window with 48"),
        ({"layers.0.blocks.1.attn_mask": np.float32(0)}, "tuple index"),
    ],
)
def test_what_is_no_swin_is_not_taken_for_one(changes, message, microsoft):
    with pytest.raises(InputError, match=f"does not fit swin: no {message}"):
        interop.infer_hyperparameters("swin", {**microsoft, **changes})
    with pytest.raises(InputError, match="does not fit swin: no 'layers.0.*; it has cls_token"):
        interop.infer_hyperparameters("swin", vit())


@pytest.mark.parametrize(
    "key", ["layers.0.blocks.1.attn_mask", TABLE.replace("bias_table", "index")]
)
def test_another_convention_is_refused(key, microsoft):
    with pytest.raises(InputError, match=f"{key}: not the constant of this network"):
        interop.from_torch("swin", {**microsoft, key: microsoft[key][::-1]}, **SMALL)
    with pytest.raises(InputError, match="unexpected absolute_pos_embed"):
        interop.from_torch("swin", {**microsoft, "absolute_pos_embed": np.ones(3, "f4")}, **SMALL)
