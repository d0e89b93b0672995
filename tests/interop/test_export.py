"""Exported networks, loaded again and compared, as free in batch and frames as they can be."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import LIFTERS

from jrepose import models
from jrepose.errors import InputError, MissingExtra
from jrepose.interop import export as exporting
from jrepose.interop.export import Network, export, largest_difference

SMALL = {lifter.name: lifter.small for lifter in LIFTERS}
# Clips up to the longest, and from the receptive field on; jax2onnx has no convolution over an
# unknown number of frames.
LENGTHS = {
    "stablehlo": {"repose": (3, 4), "videopose3d": (9, 12)},
    "onnx": {"repose": (3, 4), "videopose3d": (9,), "stcformer": (3, 6)},
}


def network(name):
    model = models.create(name, **SMALL[name])
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *model.input_shape)))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype("f4"), shapes)
    return Network(
        jax.jit(lambda variables, keypoints: model.apply(variables, keypoints, train=False)),
        variables,
        model.input_shape,
        {"joints": ["pelvis", "knee"], "scaling": "screen"},
    )


def small(clip=(4, 17, 2)):
    """No network, and soon compiled; its clips have four frames."""
    first = np.arange(4, dtype=np.float32)[None, :, None, None]
    return Network(lambda factor, keypoints: factor * keypoints + first, 2.0, clip, {})


@pytest.mark.parametrize(
    ("form", "name"), [(form, name) for form, names in LENGTHS.items() for name in names]
)
def test_what_is_loaded_computes_the_same(tmp_path, form, name):
    if form == "onnx":
        pytest.importorskip("jax2onnx", reason="the extra onnx is not installed")
    ours = network(name)
    paths = export(ours, tmp_path / f"a{exporting.FORMATS[form]}", form)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert json.loads(paths[1].read_text()) == ours.about
    load = exporting.module(form).load(paths[0])
    _, joints, channels = ours.clip
    for frames in LENGTHS[form][name]:
        clips = np.random.default_rng(0).normal(size=(2, frames, joints, channels))
        clips = clips.astype(np.float32)
        expected = np.asarray(ours.predict(clips))
        assert load(clips) == pytest.approx(expected, abs=1e-5 * float(np.abs(expected).max()))


def test_onnx_multiplies_by_matrices_and_says_what_it_takes(tmp_path):
    pytest.importorskip("jax2onnx", reason="the extra onnx is not installed")
    import onnx

    path, _ = export(network("repose"), tmp_path / "a.onnx", "onnx")
    model = onnx.load(path)
    kinds = [node.op_type for node in model.graph.node]
    assert "Einsum" not in kinds and kinds.count("MatMul") > 20
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [
        "keypoints", "poses"
    ]  # fmt: skip
    assert {p.key: p.value for p in model.metadata_props} == {
        "joints": '["pelvis", "knee"]', "scaling": "screen"
    }  # fmt: skip


def test_stablehlo_needs_jax_only(tmp_path):
    path, _ = export(small(), tmp_path / "a.stablehlo", "stablehlo")
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    assert str(exported.in_avals[0].shape) == "(batch, 4, 17, 2)"


def test_a_difference_is_seen(tmp_path):
    ours = small()
    path, _ = export(ours, tmp_path / "a.stablehlo", "stablehlo")
    assert largest_difference(ours, path, "stablehlo") < 1e-6
    other = Network(ours.apply, 2.2, ours.clip, {})
    assert largest_difference(other, path, "stablehlo") > 1e-2


def test_what_cannot_be_exported_leaves_no_file(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="unknown format 'onxx'; expected one of stablehlo, onnx"):
        export(small(), tmp_path / "a.onnx", "onxx")
    with pytest.raises(InputError, match="network cannot be exported: [TV]"):
        export(small((5, 17, 2)), tmp_path / "a.stablehlo", "stablehlo")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(MissingExtra, match=r"needs jax2onnx: pip install '\.\[onnx\]'"):
        export(small(), tmp_path / "a.onnx", "onnx")
    assert not list(tmp_path.iterdir())
