"""Checkpoints from PyTorch and back, as a user converts them."""

import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
from interop.torch_writer import Tensor, zip_file
from models import dstformer_oracle

from jrepose import checkpoints, interop
from jrepose.commands.convert import convert
from jrepose.errors import InputError
from jrepose.interop.convert import export_checkpoint, import_checkpoint
from jrepose.interop.torch_files import MODEL_NOTE

SMALL = {"dim_feat": 8, "dim_rep": 6, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "maxlen": 4,
         "num_joints": 5, "qkv_bias": True, "att_fuse": True}  # fmt: skip


@pytest.fixture
def weights():
    return dstformer_oracle.random_state_dict(np.random.default_rng(0), **SMALL)


@pytest.fixture
def torch_file(weights, tmp_path):
    path = tmp_path / "best_epoch.bin"
    tensors = {f"module.{name}": Tensor(array) for name, array in weights.items()}
    path.write_bytes(zip_file({"epoch": 3, "model_pos": tensors}))
    return path


def test_there_and_back_is_bit_exact(torch_file, weights, tmp_path, capsys):
    folder, back = tmp_path / "converted", tmp_path / "back.pth"
    command = ["convert", "--model", "repose", "--set", "num_heads=2"]
    assert convert([*command, str(torch_file), str(folder)]) == 0
    assert "num_heads=2" in capsys.readouterr().out
    assert (
        convert([*command, str(folder), str(back), "--entry", "model_pos", "--data-parallel"]) == 0
    )
    content = interop.read_torch_file(back)
    assert list(content) == ["model_pos"]
    assert list(content["model_pos"]) == [f"module.{key}" for key in interop.read_state_dict(back)]
    returned = interop.read_state_dict(back)
    assert returned.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(returned[name], array)


def test_what_shapes_do_not_tell_comes_back(torch_file, tmp_path):
    """Heads and epsilon leave no trace in the weights: the PyTorch file has a note."""
    chosen = {"num_heads": 2, "norm_eps": 1e-5}
    import_checkpoint(torch_file, tmp_path / "c", "repose", hyperparameters=chosen)
    export_checkpoint(tmp_path / "c", tmp_path / "back.pth", "repose", entry="model_pos")
    line = import_checkpoint(tmp_path / "back.pth", tmp_path / "again", "repose")
    assert "num_heads=2" in line and "as published" not in line
    for path in ("again", "back.pth"):
        interop.load_run_or_file(tmp_path / path, {"name": "repose", **SMALL, "norm_eps": 1e-5})
        with pytest.raises(InputError, match="config.model.num_heads is 4, the checkpoint was"):
            interop.load_run_or_file(
                tmp_path / path, {"name": "repose", **SMALL, "num_heads": 4, "norm_eps": 1e-5}
            )
    given = import_checkpoint(
        tmp_path / "back.pth", tmp_path / "given", "repose", hyperparameters={"num_heads": 4}
    )
    assert "num_heads=4" in given
    untold = import_checkpoint(torch_file, tmp_path / "untold", "repose")
    assert "so as published: num_heads=8, qk_scale=None, norm_eps=1e-06" in untold
    with pytest.raises(InputError, match="holds another model than mixste"):
        import_checkpoint(tmp_path / "back.pth", tmp_path / "no", "mixste")


@pytest.mark.parametrize("note", ["[1]", '{"depth": 1}', "{", " " * 70000])
def test_a_damaged_note_is_one_line(weights, tmp_path, note):
    path = tmp_path / "w.pth"
    interop.write_state_dict(weights, path)
    assert interop.read_model(path) is None
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"w/{MODEL_NOTE}", note)
    with pytest.raises(InputError, match="w.pth: damaged PyTorch file"):
        interop.read_model(path)


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}, {"att_fuse": False, "depth": 1}])
def test_shapes_tell_the_configuration(changes):
    sizes = {**SMALL, **changes}
    weights = dstformer_oracle.random_state_dict(np.random.default_rng(1), **sizes)
    found = interop.infer_hyperparameters("repose", weights)
    del sizes["num_heads"]  # leaves no trace in the shapes
    assert found == {**sizes, "dim_in": 3, "dim_out": 3}
    interop.from_torch("repose", weights, **found)


def test_the_checkpoint_serves_evaluation_and_training(torch_file, tmp_path):
    import_checkpoint(torch_file, tmp_path / "c", "repose", hyperparameters={"num_heads": 2})
    section = {"name": "repose", "remat": True, **SMALL}
    variables, described = interop.load_run_or_file(tmp_path / "c", section)
    assert "step 0" in described
    direct, described = interop.load_run_or_file(torch_file, section)
    assert "PyTorch" in described
    jax.tree.map(np.testing.assert_array_equal, variables, direct)
    with pytest.raises(InputError, match="config.model.num_heads is 4, the checkpoint was trained"):
        interop.load_run_or_file(tmp_path / "c", {**section, "num_heads": 4})
    # A field that neither mentions has its published value on both sides.
    interop.load_run_or_file(tmp_path / "c", {**section, "attn_drop_rate": 0.0})


def test_nothing_is_overwritten_or_half_written(torch_file, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="full exists; expected a new folder"):
        import_checkpoint(torch_file, full, "repose")
    with pytest.raises(InputError, match="does not fit"):
        import_checkpoint(torch_file, tmp_path / "no", "repose", hyperparameters={"depth": 3})
    assert not (tmp_path / "no").exists()
    import_checkpoint(torch_file, tmp_path / "yes", "repose")
    with pytest.raises(InputError, match="best_epoch.bin exists; expected a new file"):
        export_checkpoint(tmp_path / "yes", torch_file, "repose")
    with pytest.raises(InputError, match="no checkpoint in"):
        export_checkpoint(tmp_path, tmp_path / "new.pth", "repose")
    for changed, said in (({"depth": 3}, "yes has depth=2, not 3"), ({"dept": 2}, "has dept=None")):
        with pytest.raises(InputError, match=said):
            export_checkpoint(tmp_path / "yes", tmp_path / "new.pth", "repose",
                              hyperparameters=changed)  # fmt: skip
    assert not (tmp_path / "new.pth").exists()


def test_disk_full_leaves_nothing(torch_file, tmp_path, monkeypatch):
    def full(*_, **__):
        raise InputError("no space left on the disk")

    monkeypatch.setattr(checkpoints.CheckpointWriter, "save", full)
    with pytest.raises(InputError, match="no space left"):
        import_checkpoint(torch_file, tmp_path / "c", "repose")
    assert not (tmp_path / "c").exists()


def test_weights_of_another_system_are_named(tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(zip_file({"conv.weight": Tensor(np.zeros((3, 3), np.float32))}))
    with pytest.raises(InputError, match="does not fit repose: no 'joints_embed.weight'"):
        import_checkpoint(path, tmp_path / "c", "repose")
    with pytest.raises(InputError, match="unknown model 'resnet'"):
        interop.infer_hyperparameters("resnet", {})


def test_what_pytorch_has_no_storage_for_is_not_written(tmp_path):
    with pytest.raises(InputError, match="a is complex64, expected float32"):
        interop.write_state_dict({"a": np.zeros(2, np.complex64)}, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_scalars_empty_tensors_and_buffers_are_written(tmp_path):
    arrays = {"a": np.array(3, np.float32), "b": np.zeros((0, 4), np.float32)}
    arrays |= {dtype: np.array([1, 0, 7]).astype(dtype) for dtype in ("int64", "uint8", "bool")}
    interop.write_state_dict(arrays, tmp_path / "x.pth")
    found = interop.read_state_dict(tmp_path / "x.pth")
    assert found["a"].shape == () and found["a"] == 3 and found["b"].shape == (0, 4)
    for dtype in ("int64", "uint8", "bool"):
        assert found[dtype].dtype == dtype
        np.testing.assert_array_equal(found[dtype], arrays[dtype])


def test_torch_loads_what_is_written(weights, tmp_path):
    torch = pytest.importorskip("torch")
    interop.write_state_dict(weights, tmp_path / "x.pth", entry="model_pos")
    loaded = torch.load(tmp_path / "x.pth", weights_only=True)["model_pos"]
    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert np.array_equal(loaded[name].numpy(), array) and loaded[name].is_contiguous()


def test_the_command_answers_with_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jrepose.interop.convert", "--model", "repose",
         str(tmp_path / "missing.bin"), str(tmp_path / "out")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("missing.bin: No such file or directory")
