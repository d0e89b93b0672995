"""Every Python block of README.md and docs/ runs as it is printed."""

import pathlib
import re
from unittest import mock

import numpy as np
import pytest
from models import dstformer_oracle

from jrepose import interop
from jrepose.data.formats.custom import read_custom
from jrepose.motion.motion import Motion, save_motions
from jrepose.skeleton import HUMAN36M_17

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def torch_file(path):
    """`best_epoch.bin` of a small RePOSE, as the pages name the authors' file."""
    sizes = {"dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 8, "mlp_ratio": 2.0}
    weights = dstformer_oracle.random_state_dict(
        np.random.default_rng(0), **sizes, maxlen=27, num_joints=17, qkv_bias=True, att_fuse=True
    )
    interop.write_state_dict(weights, path)


def prepare_readme(folder):
    torch_file(folder / "best_epoch.bin")
    return {}


def prepare_pytorch(folder):
    torch_file(folder / "best_epoch.bin")
    return {"interop": interop}


def prepare_datasets(folder):
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(300, 17, 3)) * 300 + [0, 0, 5000]
    keypoints = poses[..., :2] / poses[..., 2:] * 1145 + [960, 540]
    return {"np": np, "keypoints": keypoints, "poses": poses}


def prepare_adding_a_model(folder):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `compare`)")

    class TheirModel(torch.nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.head = torch.nn.Linear(2, 3)

        def forward(self, keypoints):
            return self.head(keypoints)

    return {"TheirModel": TheirModel}


def prepare_motion(folder):
    poses = np.random.default_rng(0).normal(size=(8, 17, 3))
    first, second = (Motion(poses, HUMAN36M_17, 30.0, person=name) for name in "12")
    blender = mock.MagicMock()
    return {"motion": first, "first": first, "second": second, "save_motions": save_motions,
            "bpy": blender}  # fmt: skip


PREPARE = {"README": prepare_readme, "motion": prepare_motion,
           "pytorch": prepare_pytorch, "datasets": prepare_datasets,
           "adding_a_model": prepare_adding_a_model}  # fmt: skip


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_the_blocks_run_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = PREPARE.get(page.stem, lambda folder: {})(tmp_path)
    for block in blocks(page):
        exec(compile(block, f"{page.name}: python block", "exec"), names)
    if page.stem == "README":
        assert names["poses"].shape == (*names["keypoints"].shape[:3], 3)
        assert np.isfinite(names["loss"])
    if page.stem == "datasets":
        assert read_custom(tmp_path / "own.npz").frames == 300
    if page.stem == "simulation":
        assert names["dataset"].frames > 0


def test_there_are_blocks():
    assert len([page for page in PAGES if blocks(page)]) >= 4
