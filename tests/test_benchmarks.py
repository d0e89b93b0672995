"""Every benchmark's config through both commands, on small files in the benchmark's layout."""

import dataclasses
import json
import pathlib
import pickle

import jax
import mpi_inf_3dhp_source
import numpy as np
import pytest
from data.formats import test_human36m_sh as stacked_hourglass
from data.formats import test_videopose3d as videopose3d
from lifters import draw_variables
from scipy.io import loadmat
from training import tiny

from jrepose import checkpoints, cli, interop, models
from jrepose.commands import command
from jrepose.data.formats import human36m

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = (
    "--config.clip.frames=9",
    "--config.clip.stride=9",
    "--config.clip.evaluation_stride=9",
    "--config.training.batch_size=4",
    "--config.training.max_steps=1",
    "--config.training.log_every=1",
    "--config.evaluation.every_epochs=1",
    "--config.evaluation.batch_size=8",
)
SHALLOW = ("--config.model.depth=1", "--config.model.num_heads=2", "--config.model.mlp_ratio=2")
# What the model of each family of configs calls its width and its frames.
NARROW = {
    "repose": (
        "--config.model.dim_feat=8", "--config.model.dim_rep=8", "--config.model.maxlen=9",
        *SHALLOW,
    ),
    "mixste": ("--config.model.embed_dim_ratio=8", "--config.model.num_frame=9", *SHALLOW),
    "stcformer": ("--config.model.d_hid=8", "--config.model.frames=9", *SHALLOW),
    "videopose3d": (
        "--config.model.channels=8", "--config.model.filter_widths=(3, 3)",
        "--config.clip.stride=1",
    ),
}  # fmt: skip


def recordings(frames):
    """All fifteen actions, so that the published mean is over the same columns."""
    videos = {f"{action} 1": frames + k % 3 for k, action in enumerate(human36m.ACTIONS)}
    return {subject: videos for subject in human36m.SUBJECTS}


def write_human36m(folder, detections):
    contents = videopose3d.contents(recordings(11), 4, 32, "h36m", extra_frames=1)
    videopose3d.write(folder, contents, "h36m", detections)


def write_humaneva(folder, layout="humaneva15", detections="gt"):
    subjects = [f"{part}/S{k}" for part in ("Train", "Validate") for k in (1, 2, 3)]
    chunks = {"Walking 1 chunk0": 12, "Jog 1 chunk1": 4, "Box 1 chunk0": 6}
    contents = videopose3d.contents({s: chunks for s in subjects}, 3, 15, layout)
    videopose3d.write(folder, contents, "humaneva15", detections)


def write_stacked_hourglass(folder):
    """All fifteen actions, so that the published mean is over the same columns."""

    def videos(subjects, named):
        return [
            (f"s_{subject:02d}_act_{act:02d}_subact_01_ca_01", human36m.CAMERA_IDS[0],
             action if named else None, 9 + act % 3)
            for subject in subjects for act, action in enumerate(human36m.ACTIONS, start=2)
        ]  # fmt: skip

    content = {
        "train": stacked_hourglass.make_split(videos((1, 5, 6, 7, 8), False), 0),
        "test": stacked_hourglass.make_split(videos((9, 11), True), 1),
    }
    (folder / stacked_hourglass.FILE_NAME).write_bytes(pickle.dumps(content))


CASES = {
    "repose_h36m": write_stacked_hourglass,
    "repose_h36m_gt": write_stacked_hourglass,
    "repose_h36m_cpn": lambda folder: write_human36m(folder, "cpn_ft_h36m_dbb"),
    "repose_humaneva": write_humaneva,
    "repose_mpi_inf_3dhp": lambda folder: mpi_inf_3dhp_source.write_all(folder, frames=10),
    "mixste_h36m": lambda folder: write_human36m(folder, "cpn_ft_h36m_dbb"),
    "mixste_humaneva": write_humaneva,
    "mixste_mpi_inf_3dhp": lambda folder: mpi_inf_3dhp_source.write_all(folder, frames=10),
    "stcformer_h36m": lambda folder: write_human36m(folder, "cpn_ft_h36m_dbb"),
    "stcformer_mpi_inf_3dhp": lambda folder: mpi_inf_3dhp_source.write_all(folder, frames=10),
    "videopose3d_h36m": lambda folder: write_human36m(folder, "cpn_ft_h36m_dbb"),
    "videopose3d_humaneva": lambda folder: write_humaneva(folder, "coco", "detectron_pt_coco"),
}
# What the table must say: the published row where the config names one.
SAID = {
    "repose_h36m": ("RePOSE", "36.5", "30.7"),
    "repose_h36m_gt": ("RePOSE", "15.7"),
    "repose_h36m_cpn": ("Sit", "Walk"),
    "repose_humaneva": ("mean of all", "S3"),
    "repose_mpi_inf_3dhp": ("RePOSE", "98.3", "TS6", "read-me's frame counts", "Standing/Walking"),
    "mixste_h36m": ("MixSTE", "40.9", "32.6"),
    "mixste_humaneva": ("MixSTE", "28.5", "34.8"),
    "mixste_mpi_inf_3dhp": ("MixSTE-27", "94.4", "66.5", "54.9"),
    "stcformer_h36m": ("STCFormer", "40.5", "31.8"),
    "stcformer_mpi_inf_3dhp": ("STCFormer", "98.7", "83.9", "23.1"),
    "videopose3d_h36m": ("VideoPose3D", "46.8", "36.5"),
    "videopose3d_humaneva": ("VideoPose3D", "33.0"),
}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", CASES)
def test_train_and_evaluate(name, tmp_path, capsys):
    data, workdir = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    CASES[name](data)
    narrow = NARROW[name.split("_")[0]]
    config = f"--config={ROOT / 'configs' / name}.py"
    common = (config, f"--config.data.path={data}", *TINY, *narrow)
    # On all devices, as it is evaluated: the program that validates is the one that evaluates.
    assert cli.run(command("train"), ["train.py", *common, f"--workdir={workdir}"]) == 0
    logged = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert any("loss/total" in record for record in logged)
    capsys.readouterr()

    assert cli.run(command("evaluate"), ["evaluate.py", *common, f"--checkpoint={workdir}"]) == 0
    printed = capsys.readouterr().out
    for text in SAID[name]:
        assert text in printed, f"{text!r} is not in the table"
    folder = workdir / "evaluation" / "test"
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["scores"]["mpjpe"] > 0 and scores["spread"]["poses_above_40_mm"] is not None
    assert (folder / "error_distribution.png").read_bytes().startswith(b"\x89PNG")
    if name.endswith("mpi_inf_3dhp"):
        exported = loadmat(folder / "inference_data.mat")
        with np.load(folder / "predictions.npz") as archive:
            evaluated = archive["evaluated"].sum()
        frames = sum(exported[f"TS{k}"].shape[-1] for k in range(1, 7))
        assert exported["TS1"].shape[:3] == (3, 17, 1) and frames == evaluated


def test_fine_tuning_from_another_skeleton(tmp_path, capsys):
    """From Human3.6M's joints and longer clips to HumanEva's."""
    data, trained = tmp_path / "data", tmp_path / "mixste_h36m.bin"
    data.mkdir()
    write_humaneva(data)
    model = models.create(
        "mixste", num_frame=11, embed_dim_ratio=8, depth=1, num_heads=2, drop_path_rate=0.0
    )
    variables = draw_variables(model, np.zeros((1, *model.input_shape), "f4"))
    interop.write_state_dict(interop.to_torch("mixste", variables), trained, entry="model_pos")
    arguments = (
        "train.py", f"--config={ROOT / 'configs/mixste_humaneva.py'}:finetuned",
        f"--config.data.path={data}", f"--workdir={tmp_path / 'run'}", "--devices=1", *TINY,
        *NARROW["mixste"], "--config.training.learning_rate=0.0", f"--init={trained}",
    )  # fmt: skip
    assert cli.run(command("train"), arguments) == 2
    assert "Temporal_pos_embed" in capsys.readouterr().err
    assert cli.run(command("train"), [*arguments, "--init_partial"]) == 0
    said = capsys.readouterr().out
    assert "2 of another shape (Spatial_pos_embed [1, 17, 8] for [1, 15, 8], Temp" in said
    params = checkpoints.load(tmp_path / "run", "latest").variables["params"]
    assert params["Spatial_pos_embed"].shape == (1, 15, 8)
    jax.tree.map(
        np.testing.assert_array_equal, params["TTEblocks_0"], variables["params"]["TTEblocks_0"]
    )


def test_speed_of_diffusion(monkeypatch, capsys):
    """What is timed, without the other sides."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import diffusion

    sizes = {"hid_dim": 4, "depth": 1, "num_heads": 1}
    monkeypatch.setattr(diffusion, "NETWORKS", {"gcndiff": sizes, "graformer": sizes})
    monkeypatch.setattr(diffusion, "LEVELS", 2)
    monkeypatch.setattr(diffusion, "_version", lambda package: None)
    common = ["--rounds=1", "--keep-malloc"]
    diffusion.main(["mixtures", "--poses=2", "--samples=60", "--components=1", *common])
    said = capsys.readouterr().out
    assert "2 mixtures of 1 components in 51 dimensions" in said
    assert "1.0 steps each" in said and "scikit-learn is not installed" in said
    diffusion.main(["evaluation", "--frames=2", "--hypotheses=2", "--steps=1", *common])
    said = capsys.readouterr().out
    assert "DDIM: 2 frames, each from 2 hypotheses of 1 steps (2 passes" in said
    assert "without DDIM: 1 frames, each from 2 hypotheses of 2 steps (4 passes" in said
    assert said.count("frames/s") == 2


def test_ablations_of_losses_ask_what_is_trained(monkeypatch, tmp_path, capsys):
    """A denoiser of clips has frames in order; one of single poses reads no objective."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import ablation

    data = dataclasses.replace(tiny.dataset(), target_space="camera_m")
    monkeypatch.setattr(ablation, "load_splits", lambda settings: {"train": data})
    trained = []
    monkeypatch.setattr(ablation, "_run", lambda config, *given: trained.append(config.model.name))
    monkeypatch.setattr(ablation, "_summarise", lambda *given: None)

    def study(config, *rows):
        options = (f"--config={config}", "--config.model.depth=1", f"--rows={','.join(rows)}")
        arguments = ["ablation.py", "finetuning", *options, "--seeds=0", f"--output={tmp_path}"]
        return cli.run(ablation.main, arguments)

    assert study("d3dp_h36m", "w/T") == 0 and trained == ["d3dp"]
    assert study("pstmo_h36m", "w/S", "w/T") == 0 and trained == ["d3dp", "pstmo"]
    assert "left out: with one pose per clip" in capsys.readouterr().out
    assert study("diffpose_h36m", "w/S") == 2 and len(trained) == 2
    said = capsys.readouterr().err
    assert "'diffpose' does not read config.objective" in said and "Traceback" not in said
