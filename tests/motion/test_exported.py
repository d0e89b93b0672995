"""`jrepose export`: from weights to a file that is loaded again."""

import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from jrepose import models
from jrepose.command import run
from jrepose.commands.export import export
from jrepose.motion.pretrained import Pretrained
from jrepose.skeleton import COCO_17, HUMAN36M_17

TINY = {"name": "repose", "dim_feat": 4, "dim_rep": 4, "depth": 1, "num_heads": 1, "mlp_ratio": 1.0,
        "maxlen": 5}  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> pathlib.Path:
    model = models.create(**TINY)
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), np.zeros((1, *model.input_shape), np.float32)
    )
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(0, 0.2, leaf.shape).astype("f4"), shapes)
    path = tmp_path_factory.mktemp("weights") / "tiny.npz"
    Pretrained(
        TINY, variables, HUMAN36M_17, COCO_17, "image", 5, (30.0,), origin="here"
    ).save(path)  # fmt: skip
    return path


def test_stablehlo_of_an_archive(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(export, ["jrepose export", f"--weights={archive}", "--format=stablehlo"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tiny.stablehlo", "tiny.stablehlo.json"
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "loaded again: differs by" in said and "tiny.stablehlo" in said
    about = json.loads((tmp_path / "tiny.stablehlo.json").read_text())
    assert about["keypoints"]["joints"] == list(COCO_17.joint_names)
    assert about["poses"]["parents"] == list(HUMAN36M_17.parents)
    assert (about["scaling"], about["frames"], about["frame_rates"]) == ("screen", 5, [30.0])
    assert about["channels"] == ["x", "y", "confidence"] and about["target_space"] == "image"


def test_both_views_are_averaged(archive, tmp_path):
    given = ["jrepose export", "--weights", str(archive), "--nocheck"]
    for name, flags in (("a.stablehlo", []), ("b.stablehlo", ["--flip"])):
        assert run(export, [*given, str(tmp_path / name), *flags]) == 0
    clips = np.random.default_rng(0).normal(size=(1, 3, 17, 3)).astype(np.float32)
    mirrored = clips[:, :, COCO_17.flip_permutation] * np.float32([-1, 1, 1])
    once, both = (
        jax.export.deserialize(bytearray((tmp_path / name).read_bytes())).call
        for name in ("a.stablehlo", "b.stablehlo")
    )
    back = np.asarray(once(mirrored))[:, :, HUMAN36M_17.flip_permutation] * [-1, 1, 1]
    assert np.asarray(both(clips)) == pytest.approx((np.asarray(once(clips)) + back) / 2, abs=1e-5)


def test_what_cannot_be_is_one_line(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    for message, arguments in {
        "--format is missing, expected one of stablehlo, onnx": [],
        "--format is pb, expected": ["a.pb"],
        "exporting to ONNX needs jax2onnx: pip install '.[onnx]'": ["--format=onnx"],
        "no weights 'nothing'": ["--weights=nothing", "a.stablehlo"],
    }.items():
        given = ["jrepose export", f"--weights={archive}", *arguments]
        assert run(export, given) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
