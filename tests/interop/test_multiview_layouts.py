"""The detector's weights in the released layout; what it takes of public Swin and ViT weights."""

import logging

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jrepose import interop, models
from jrepose.errors import InputError
from jrepose.interop import multiview
from jrepose.interop.names import name_map
from jrepose.interop.state_dicts import another_model, variable_shapes

SMALL = {
    "img_size": 16, "window_size": 2, "embed_dim": 4, "depths": (2, 1), "num_heads": (1, 2),
    "relation_heads": 2, "frames": 6, "views": 3, "time_depth": 2, "view_depth": 1,
}  # fmt: skip
RELEASED = SMALL | {"view_depth": 0}


def drawn(name, sizes):
    rng = np.random.default_rng(0)
    shapes = variable_shapes(models.create(name, **sizes))
    return unflatten_dict({k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()})


def linear(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def block(name, channels, ratio):
    return {
        **norm(f"{name}.norm1", channels),
        **norm(f"{name}.norm2", channels),
        **linear(f"{name}.attn.qkv", 3 * channels, channels),
        **linear(f"{name}.attn.proj", channels, channels),
        **linear(f"{name}.mlp.fc1", ratio * channels, channels),
        **linear(f"{name}.mlp.fc2", channels, ratio * channels),
    }


def manifest():
    """Keys and shapes of the released model, as the reference lists them."""
    found = norm("backbone.patch_embed.norm", 96) | {
        "backbone.patch_embed.proj.weight": (96, 3, 4, 4),
        "backbone.patch_embed.proj.bias": (96,),
    }
    for stage, depth in enumerate((2, 2, 6, 2)):
        channels, windows = 96 * 2**stage, (64, 16, 4, 1)[stage]
        for number in range(depth):
            name = f"backbone.layers.{stage}.blocks.{number}"
            found |= block(name, channels, 4)
            found[f"{name}.attn.relative_position_bias_table"] = (169, channels // 32)
            found[f"{name}.attn.relative_position_index"] = (49, 49)
            if number % 2 and windows > 1:
                found[f"{name}.attn_mask"] = (windows, 49, 49)
        if stage < 3:
            merging = f"backbone.layers.{stage}.downsample"
            found[f"{merging}.reduction.weight"] = (2 * channels, 4 * channels)
            found |= norm(f"{merging}.norm", 4 * channels)
    found |= norm("backbone.norm", 768) | linear("backbone.head", 34, 768)
    for number in range(4):
        found |= block(f"keypoint_head.blocks.{number}", 768, 2)
    found |= norm("keypoint_head.Temporal_norm", 768) | norm("keypoint_head.head.0", 768)
    found |= linear("keypoint_head.head.1", 34, 768)
    found["keypoint_head.Temporal_pos_embed"] = (1, 128, 768)
    return found | {"keypoint_head.weighted_mean.weight": (1, 128, 1),
                    "keypoint_head.weighted_mean.bias": (1,)}  # fmt: skip


def test_the_released_layout_at_full_size():
    model, names = models.create("multiview_released"), name_map("multiview_released")
    shapes = variable_shapes(model)
    found = {
        names.torch_key(path[1:]): names.layout(path[1:])
        .to_torch(np.broadcast_to(np.float32(0), shape))
        .shape
        for path, shape in shapes.items()
    }
    assert sum(map(np.prod, found.values())) == 46_581_311
    found |= {key: value.shape for key, value in names.constants(model).items()}
    assert len(found) == 247 and found == manifest()
    # Views and what nothing uses, as the reference counts them.
    used = {path for path in shapes if path[1] not in ("backbone_head", "weighted_mean")}
    assert sum(np.prod(shapes[path]) for path in used) == 46_555_036


@pytest.mark.parametrize(
    ("name", "sizes"), [("multiview_released", RELEASED), ("multiview", SMALL)]
)
def test_both_ways(name, sizes):
    variables = drawn(name, sizes)
    weights = interop.to_torch(name, variables, **sizes)
    told = interop.infer_hyperparameters(name, weights)
    heads = {"relation_heads": 2, "views": 3}
    back = interop.from_torch(name, weights, **{**told, **heads})
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert another_model(name, weights) is None
    assert another_model("poseformer", weights) and another_model("swin", weights) == "multiview"
    assert ("view_head.blocks.0.norm1.bias" in weights) == (name == "multiview")
    assert interop.to_torch(name, back, **{**told, **heads}).keys() == weights.keys()


def test_the_release_without_what_nothing_uses(caplog):
    weights = interop.to_torch(
        "multiview_released", drawn("multiview_released", RELEASED), **RELEASED
    )
    with caplog.at_level(logging.INFO, "jrepose"):
        found = interop.from_torch("multiview", weights, **RELEASED)
    assert "left out, as nothing uses it: backbone.head.bias" in caplog.text
    np.testing.assert_array_equal(
        found["params"]["relations"]["head"]["head_1"]["bias"], weights["keypoint_head.head.1.bias"]
    )
    with pytest.raises(InputError, match=r"missing (\d+, .*)?view_head"):
        interop.from_torch("multiview", weights, **SMALL)


def vit(width=8, blocks=3, patches=4):
    rng = np.random.default_rng(1)
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, patches + 1, width),
              "patch_embed.proj.weight": (width, 3, 4, 4), **norm("norm", width),
              **linear("head", 10, width)}  # fmt: skip
    for number in range(blocks):
        shapes |= block(f"blocks.{number}", width, 4)
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def as_torchvision(weights):
    found = {}
    for key, value in weights.items():
        for ours, theirs in (
            ("cls_token", "class_token"), ("pos_embed", "encoder.pos_embedding"),
            ("patch_embed.proj", "conv_proj"), ("blocks.", "encoder.layers.encoder_layer_"),
            ("norm1", "ln_1"), ("norm2", "ln_2"), ("attn.qkv.", "self_attention.in_proj_"),
            ("attn.proj", "self_attention.out_proj"), ("fc1", "linear_1"), ("fc2", "linear_2"),
        ):  # fmt: skip
            key = key.replace(ours, theirs)
        found[key.replace("norm.", "encoder.ln.") if key.startswith("norm.") else key] = value
    return found


@pytest.mark.parametrize("laid_out", [dict, as_torchvision])
def test_blocks_of_vit(laid_out, tmp_path, caplog):
    weights = vit()
    interop.write_state_dict(laid_out(weights), tmp_path / "vit.pth")
    sizes = SMALL | {"relation_mlp_ratio": 4.0}
    with caplog.at_level(logging.INFO, "jrepose"):
        found, report = interop.load_what_fits(tmp_path / "vit.pth", {"name": "multiview", **sizes})
    time = found["params"]["relations"]["time"]
    assert set(flatten_dict(found["params"])) == {
        ("relations", "time", *p) for p in flatten_dict(time)
    }
    assert set(time) == {"blocks_0", "blocks_1", "Temporal_norm", "Temporal_pos_embed"}
    np.testing.assert_array_equal(
        time["blocks_1"]["attn"]["qkv"]["kernel"], weights["blocks.1.attn.qkv.weight"].T
    )
    np.testing.assert_array_equal(time["Temporal_norm"]["bias"], weights["norm.bias"])
    places = weights["pos_embed"][0, 1:]
    np.testing.assert_allclose(
        time["Temporal_pos_embed"][0, :2], [places[0], (places[0] + places[1]) / 2], atol=1e-6
    )
    assert "27 of" in report and "0 of another shape" in report
    assert "4 patches resized to 6 frames" in caplog.text and "another attention" in caplog.text


def test_places_keep_a_straight_line():
    line = np.arange(10.0).reshape(1, 10, 1).astype(np.float32)
    np.testing.assert_allclose(
        multiview.resized_places(line, 5)[0, :, 0], [0.5, 2.5, 4.5, 6.5, 8.5]
    )
    np.testing.assert_array_equal(multiview.resized_places(line, 10), line)


def test_a_swin_for_the_backbone(tmp_path, caplog):
    sizes = {name: SMALL[name] for name in ("embed_dim", "depths", "num_heads")}
    swin = drawn("swin", sizes | {"img_size": 32, "window_size": 4})
    weights = interop.to_torch("swin", swin, **sizes, img_size=32, window_size=4)
    weights["head.weight"] = np.zeros((10, 8), np.float32)
    interop.write_state_dict(weights, tmp_path / "swin.pth", entry="model")
    with caplog.at_level(logging.INFO, "jrepose"):
        found, report = interop.load_what_fits(
            tmp_path / "swin.pth", {"name": "multiview", **SMALL}
        )
    assert set(found["params"]) == {"backbone"}
    assert flatten_dict(found["params"]["backbone"]).keys() == flatten_dict(swin["params"]).keys()
    assert "resized to windows of 2" in caplog.text and "0 left over" in report
    with pytest.raises(InputError, match="it is a swin's"):
        interop.from_torch("multiview", weights, **SMALL)
