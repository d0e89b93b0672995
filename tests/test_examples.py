"""The examples run as their first lines say."""

import pathlib
import runpy
import sys

import pytest
from test_documentation import torch_file

from jrepose import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = (
    "--config.clip.frames=9", "--config.clip.stride=9", "--config.clip.evaluation_stride=9",
    "--config.model.dim_feat=8", "--config.model.dim_rep=8", "--config.model.depth=1",
    "--config.model.maxlen=9", "--config.training.max_steps=1",
)  # fmt: skip


@pytest.fixture
def example(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(ROOT / "examples")

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")

    return run


def test_a_file_and_a_camera(example, tmp_path, capsys):
    example("simulated_detection", "walk")
    example("lift_a_file", "walk", "1000x1000", "30", "walk.bvh")
    assert "poses (180, 17, 3)" in capsys.readouterr().out
    assert (tmp_path / "walk.bvh").read_text().startswith("HIERARCHY")
    example("real_time", "40")
    said = capsys.readouterr().out
    assert "median of 40 poses" in said and "nan" not in said.splitlines()[-2]


def test_public_weights(example, tmp_path, capsys):
    """A file in the layout of MotionBERT's, but small."""
    torch_file(tmp_path / "motionbert.bin")
    example("simulated_detection", "walk")
    example("lift_a_file", "walk", "1000x1000", "30", "walk.json", "motionbert.bin")
    assert "do not say what they were trained for" in capsys.readouterr().out


def test_own_data(example, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        example("own_data", "own", *TINY)
    assert ended.value.code == 0
    assert "MPJPE" in capsys.readouterr().out
    assert cli.main(["jrepose", "inspect", str(tmp_path / "own" / "own.npz")]) == 0
