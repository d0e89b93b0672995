"""Images to 2D to 3D through the command line: train, evaluate, lift; what is refused."""

import json
import signal

import jax
import numpy as np
import pytest
from training import tiny

from jrepose import checkpoints, cli, models
from jrepose.commands import command
from jrepose.config import load_config, to_json
from jrepose.data.batches import StreamedBatches
from jrepose.data.dataset import PoseDataset
from jrepose.data.description import describe
from jrepose.data.sources import load_splits
from jrepose.evaluation.two_stages import found_as_poses
from jrepose.interrupts import STATUS

TINY = (
    "--config=multiview_rendered:small",
    "--config.data.images.size=16", "--config.data.images.workers=1",
    "--config.data.seconds=0.8", "--config.data.rig.cameras=2",
    "--config.data.split.train=('ada',)", "--config.data.procedural_people=0",
    "--config.data.split.test=('hana',)", "--config.model.patch_size=4",
    "--config.model.img_size=16", "--config.model.embed_dim=4", "--config.model.depths=(1,1)",
    "--config.model.num_heads=(1,2)", "--config.model.window_size=2",
    "--config.model.time_depth=1", "--config.model.view_depth=1",
    "--config.model.relation_heads=2", "--config.model.relation_drop_path_rate=0.5",
    "--config.model.start_px=8.0", "--config.training.max_steps=3",
    "--config.clip.frames=2", "--config.clip.stride=2", "--config.clip.evaluation_stride=2",
    "--config.training.batch_size=4",
    "--config.training.log_every=1", "--config.evaluation.batch_size=16",
    "--config.evaluation.every_epochs=100",
)  # fmt: skip


def run(name, *arguments):
    return cli.run(command(name), [f"{name}.py", *arguments])


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("detector")
    assert run("train", *TINY, f"--workdir={workdir}") == 0
    return workdir


@pytest.fixture(scope="module")
def lifter(detector, tmp_path_factory):
    """A run of PoseFormer's for a detector's keypoints, as drawn."""
    workdir = tmp_path_factory.mktemp("lifter")
    config = load_config("poseformer_h36m:small")
    config.published = None
    config.clip.frames = 3
    config.model.update(num_frame=3, embed_dim_ratio=4, depth=1)
    model = models.create(**config.model.to_dict())
    params = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 3, 17, 2), np.float32))["params"]
    images = load_splits(checkpoints_config(detector).data, ("test",))["test"]
    poses = found_as_poses(images, images.joints_px, target_space="camera_m")
    assert isinstance(poses, PoseDataset)
    writer = checkpoints.CheckpointWriter(workdir, keep=1, score="mpjpe")
    state = {"params": jax.device_get(params), "ema": {}, "collections": {}}
    writer.save(
        0, state, config=json.loads(to_json(config)), data={}, validation=None, log={},
        description=describe(poses, config),
    )  # fmt: skip
    writer.close()
    return workdir


def checkpoints_config(workdir):
    from jrepose.config import from_plain

    return from_plain(checkpoints.load(workdir).config)


def test_what_is_logged(detector):
    lines = [json.loads(line) for line in (detector / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss/total" in line]
    assert [line["step"] for line in steps] == [1, 2, 3]
    # Untrained joints are in the middle of the crops, start_px: 0 and 8 are 60 px² apart.
    assert all(0 < line["loss/mse"] < 30 for line in steps)
    assert checkpoints.load(detector).validation["pck_box"] >= 0


def test_stopped_and_resumed(detector, tmp_path, monkeypatch):
    """Ends with the very bits: crops that were begun ahead, dropped branches, moments."""
    selection = StreamedBatches.selection

    def selection_after_signal(self, step):
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return selection(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(StreamedBatches, "selection", selection_after_signal)
        assert run("train", *TINY, f"--workdir={tmp_path}") == STATUS
    assert checkpoints.load(tmp_path, "latest").step == 2
    assert run("train", *TINY, f"--workdir={tmp_path}") == 0
    assert tiny.records(tmp_path) == tiny.records(detector)
    ended, undisturbed = (checkpoints.load(w, "latest") for w in (tmp_path, detector))
    assert ended.step == 3 and ended.validation == undisturbed.validation
    jax.tree.map(np.testing.assert_array_equal, ended.state, undisturbed.state)


def test_images_to_poses(detector, lifter, tmp_path, capsys):
    flags = (f"--checkpoint={detector}", f"--lifter={lifter}", f"--output={tmp_path}")
    assert run("evaluate", *flags) == 0
    printed = capsys.readouterr().out
    for text in ("PCK box", "camera camera_1", "occluded", "MPJPE"):
        assert text in printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["scores"]["images"] == scores["per_view"]["camera_0"]["images"] * 2
    for name in ("detections", "views", "lifted/poses"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "lifted" / "predictions.npz") as lifted:
        assert lifted["evaluated"].sum() == scores["scores"]["images"]
        assert np.isfinite(lifted["error_mm"]).all()


def test_what_is_refused(detector, lifter, tmp_path, capsys):
    for flags, said in (
        ((f"--checkpoint={detector}", f"--lifter={tmp_path}"), "--lifter: no checkpoint"),
        ((f"--checkpoint={detector}", f"--lifter={detector}"), "predicts no poses"),
        ((f"--checkpoint={detector}", "--config.model.window_size=4"), "window_size is 4, the ch"),
    ):
        assert run("evaluate", *flags, f"--output={tmp_path / 'out'}") == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error, error
    assert run("attention", f"--checkpoint={detector}") == 2
    assert "finds keypoints" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
