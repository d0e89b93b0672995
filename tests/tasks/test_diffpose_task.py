"""DiffPose as a task: trained, continued and evaluated by the commands, and what it computes."""

import dataclasses
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import unflatten_dict
from interop.torch_writer import Tensor, zip_file
from ml_collections import ConfigDict
from training import tiny

from jrepose import checkpoints, cli, interop, models, parallel, tasks
from jrepose.commands import command
from jrepose.config import diffusion_config, model_config, to_json
from jrepose.data import sources
from jrepose.diffusion.presets import PRESETS, Diffusion
from jrepose.errors import InputError
from jrepose.evaluation import plots
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.state_dicts import variable_shapes
from jrepose.skeleton import COCO_17, HUMAN36M_17
from jrepose.tasks.diffpose import DiffPose
from jrepose.training import loop, stages

SIZES = {"hid_dim": 4, "depth": 1, "num_heads": 1}


def config(preset="paper", **changes) -> ConfigDict:
    """Single frames, three hypotheses."""
    out = tiny.config(training__max_steps=2, training__log_every=1)
    out.task = "diffpose"
    out.model = model_config("diffpose" if preset == "paper" else "gcndiff", **SIZES)
    out.context.model = model_config("graformer", **SIZES)
    out.diffusion = diffusion_config(preset)
    if preset == "paper":
        out.diffusion.update(
            prediction="clean",
            hypotheses=3,
            samples=12,
            components=1,
            fit_iterations=2,
            sampling_steps=2,
        )
    out.clip.update(frames=1, stride=1, evaluation_stride=1)
    out.data.target_space = "camera_m"
    out.training.root = "frame"
    out.checkpoint.update(every_steps=1, keep=3)
    out.evaluation.update(batch_size=64, every_epochs=9)
    out.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return out


def dataset(seed=0, videos=2, frames=10, **changes):
    made = tiny.dataset(seed, videos=videos, frames=frames)
    return dataclasses.replace(made, **{"target_space": "camera_m", **changes})


def encoder_variables(seed=0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    flat = {
        path: rng.normal(size=shape, scale=0.3).astype(np.float32) + ("A_hat" in path)
        for path, shape in variable_shapes(models.create("graformer", **SIZES)).items()
    }
    return unflatten_dict(flat)


def write_encoder(path: pathlib.Path) -> pathlib.Path:
    interop.write_state_dict(interop.to_torch("graformer", encoder_variables(), **SIZES), path)
    return path


def command_line(name: str, *arguments) -> int:
    return cli.run(command(name), [name, *map(str, arguments)])


@pytest.fixture(scope="module")
def commands_see_tiny_data():
    """Wherever a command loads data; without validation, which would be another program."""
    splits = {"train": dataset(), "test": dataset(2)}

    def load_splits(data, names):
        return {name: splits[name] for name in names if name in splits}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_splits", load_splits)
        yield splits


@pytest.fixture(scope="module")
def trained(tmp_path_factory, commands_see_tiny_data):
    folder = tmp_path_factory.mktemp("diffpose")
    chosen = config(context__path=str(write_encoder(folder / "encoder.pth")))
    (folder / "config.json").write_text(to_json(chosen))
    arguments = (f"--config={folder / 'config.json'}", f"--workdir={folder / 'run'}", "--devices=1")
    assert command_line("train", *arguments) == 0
    return folder, arguments


def test_a_run_has_its_encoder_and_continues_without_the_file(trained):
    folder, arguments = trained
    whole = checkpoints.load(folder / "run", "latest")
    jax.tree.map(np.testing.assert_array_equal, whole.variables["context"], encoder_variables())
    depths = whole.variables["depths"]
    assert depths["steps"] == 2
    np.testing.assert_allclose(depths["shares"].sum(1), 1, rtol=1e-5)
    shutil.copytree(folder / "run", folder / "again")
    shutil.rmtree(folder / "again" / checkpoints.FOLDER / "2")
    (folder / "encoder.pth").rename(folder / "moved.pth")
    again = [a.replace(str(folder / "run"), str(folder / "again")) for a in arguments]
    assert command_line("train", *again) == 0
    (folder / "moved.pth").rename(folder / "encoder.pth")
    resumed = checkpoints.load(folder / "again", "latest")
    assert resumed.step == whole.step == 2
    jax.tree.map(np.testing.assert_array_equal, resumed.state, whole.state)


def test_evaluation_keeps_hypotheses_which_depend_on_seed_and_clip_only(
    trained, commands_see_tiny_data, capsys, monkeypatch
):
    folder, _ = trained
    for name in ("joint_errors", "error_distribution", "poses", "hypotheses"):
        monkeypatch.setattr(plots, f"plot_{name}", lambda *given: pathlib.Path(given[-1]).touch())
    assert command_line("evaluate", f"--checkpoint={folder / 'run'}", "--which=latest") == 0
    said = capsys.readouterr().out
    assert "3 hypotheses of every pose" in said and "of a joint's best" in said
    results = folder / "run" / "evaluation" / "test"
    assert {"reliability.png", "hypotheses.png"} <= {path.name for path in results.iterdir()}
    with np.load(results / "predictions.npz") as archive:
        kept = archive["hypotheses_mm"]
    assert kept.shape == (3, 20, 17, 3)
    assert len(np.unique(kept[:, :, 5, 0].round(3))) == 60, "every pose has draws of its own"

    chosen = config(evaluation__batch_size=7)
    given = checkpoints.load(folder / "run", "latest").variables
    task, test = tasks.create(chosen, commands_see_tiny_data["test"]), commands_see_tiny_data
    # The command had four devices, and other clips beside each.
    assert len(jax.devices()) == 4
    result = evaluate_dataset(task, given, test["test"], chosen, devices=parallel.select_devices(1))
    np.testing.assert_allclose(result.hypotheses.per_frame.poses_mm, kept, rtol=1e-3, atol=0.2)


def test_released_checkpoints_are_read_as_they_are(golden, tmp_path):
    """A list with the state dict first, in DataParallel's names, and a moving average last."""
    arrays, fixture = golden("diffpose_gcndiff")
    weights = below(arrays, "param/")
    trained = {f"module.{key}": Tensor(value) for key, value in weights.items()}
    average = {key: Tensor(np.zeros_like(value)) for key, value in weights.items()}
    file = tmp_path / "diffpose_uvxyz_cpn.pth"
    file.write_bytes(zip_file([trained, {"state": {}}, 79, 1000, average]))
    section = {"name": "gcndiff", **sizes_of(fixture)}
    variables, _ = interop.load_run_or_file(file, section)
    expected = interop.from_torch("gcndiff", weights, **sizes_of(fixture))
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


def sizes_of(fixture) -> dict[str, int]:
    names = {"hid_dim": "hid_dim", "depth": "num_layer", "num_heads": "n_head"}
    return {ours: fixture[theirs] for ours, theirs in names.items()}


class Told(nn.Module):
    """Answers the encoder's poses, as it is told them, whatever it is given."""

    input_shape = (17, 3)

    def __call__(self, noisy, steps, train=False, context=None):
        del steps, train
        return jnp.broadcast_to(context[..., 3:], noisy.shape)


class Nothing(nn.Module):
    """Finds no noise."""

    input_shape = (17, 5)

    def __call__(self, noisy, steps, train=False):
        del steps, train
        return jnp.zeros_like(noisy)


class FlatLifter(nn.Module):
    """Keypoints, and the confidence as depth."""

    def __call__(self, keypoints, train=False):
        del train
        return keypoints


CLIPS = np.random.default_rng(0).uniform(0.2, 0.8, size=(4, 3, 17, 3)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 4)


def of(model, diffusion: Diffusion, variables: Mapping[str, Any] | None = None, **options):
    task = DiffPose(model, FlatLifter(), diffusion, HUMAN36M_17, targets=1, **options)
    depths = {"shares": jnp.zeros((17, 256)).at[:, 128].set(1.0), "steps": jnp.zeros(())}
    return task, {"params": {}, "context": {}, "depths": depths, **(variables or {})}


def test_released_starts_at_the_encoders_pose_and_walks_its_steps():
    settings = PRESETS["released"]
    task, variables = of(Nothing(), settings)
    found = task.predict(variables, {"keypoints": CLIPS}, KEYS, flip=False)
    start = CLIPS[:, 1:2].copy()
    start[:, :, 0] = 0.0  # the root is zeroed, the others stay
    # Without noise every step divides by what is left, from level 12 of the 24.
    np.testing.assert_allclose(found, start / np.sqrt(settings.alpha_bars()[12]), rtol=1e-5)
    mirrored = task.predict(variables, {"keypoints": CLIPS}, KEYS, flip=True)
    np.testing.assert_allclose(mirrored, found, rtol=1e-4, atol=1e-5)  # this lifter is symmetric
    assert task.inputs == ("keypoints",) and task.columns == ("keypoints", "poses")


def test_a_kernel_is_drawn_for_every_joint_and_says_how_wide_its_noise_is():
    kernels = np.zeros((4, 3, 17, 2, 5), np.float32)
    kernels[..., 0] = [0.25, 0.75]
    kernels[..., 0, 1:] = [-1.0, -2.0, 0.01, 0.02]
    kernels[..., 1, 1:] = [1.0, 2.0, 3.0, 4.0]
    batch = {"keypoints": CLIPS, "kernels": kernels}
    task, variables = of(Nothing(), PRESETS["released"], kernels=True)
    assert task.inputs == ("keypoints", "kernels")
    found = np.asarray(task.predict(variables, batch, KEYS, flip=False))
    # The encoder sees what was drawn, and passes x, y through.
    first = found[..., 1:, 0] < 0
    assert 0.1 < first.mean() < 0.4 and len(np.unique(first, axis=0)) == 4
    np.testing.assert_allclose(found[..., 1:, 1], 2 * found[..., 1:, 0], rtol=1e-5)
    again = task.predict(
        variables, {name: values[1:] for name, values in batch.items()}, KEYS[1:], flip=False
    )
    np.testing.assert_array_equal(again, found[1:])

    def noise(preset):
        task, _ = of(Nothing(), preset, kernels=True)
        many = {**batch, "kernels": kernels * [0, 1, 1, 1, 1] + [[0], [1]] * np.eye(5)[0]}
        seen = task._see(variables, task._at_kernels(many, KEYS), flip=False)
        return np.asarray(task._noise(variables, seen, KEYS[:, None], 300).values)

    deviations = noise(PRESETS["released"]).std(axis=(0, 1, 2, 3, 4))
    np.testing.assert_allclose(deviations, [3, 4, 1, 1, 1], rtol=0.05)
    deviations = noise(PRESETS["released_video"]).std(axis=(0, 1, 2, 3, 4))
    np.testing.assert_allclose(deviations, [0.5, 0.5, 1, 1, 1], rtol=0.05)
    loss = jax.jit(task.loss)
    labelled = {**batch, "poses": CLIPS[:, 1:2]}
    narrow, _ = loss(variables, labelled, jax.random.key(0), jnp.zeros((), int))
    labelled["kernels"] = kernels * [1, 1, 1, 10, 10]
    wide, _ = loss(variables, labelled, jax.random.key(0), jnp.zeros((), int))
    assert wide > 10 * narrow


def test_the_network_is_told_of_its_own_clip():
    settings = dataclasses.replace(
        PRESETS["paper"], prediction="clean", condition="poses", components=0, hypotheses=2
    )
    task, variables = of(Told(), settings)
    found = task.predict(variables, {"keypoints": CLIPS}, KEYS, flip=False)
    assert found.shape == (2, 4, 1, 17, 3)
    np.testing.assert_allclose(found[1], CLIPS[:, 1:2, :, [0, 1, 2]], atol=1e-5)
    # A baseline answers once, and there is one of it.
    settings = dataclasses.replace(settings, prediction="none")
    task, variables = of(Told(), settings)
    found = task.predict(variables, {"keypoints": CLIPS}, KEYS, flip=False)
    np.testing.assert_allclose(found, CLIPS[:, 1:2], atol=1e-6)


def test_the_loss_is_equation_nine():
    """Told the truth, with what the network should answer written out."""
    settings = dataclasses.replace(
        PRESETS["paper"], hypotheses=2, training_steps=0, steps=4, sampling_levels=4,
        sampling_steps=2, condition="poses",
    )  # fmt: skip
    task, variables = of(Told(), settings)
    rng = np.random.default_rng(1)
    clean = jnp.asarray(rng.normal(size=(4, 1, 17, 3)), jnp.float32)
    noise, mean = jnp.asarray(rng.normal(size=(2, 2, 4, 1, 17, 3)), jnp.float32)
    numbers = jnp.broadcast_to(jnp.arange(4).reshape(-1, 1, 1, 1), (4, 2, 4, 1))
    told = jnp.asarray(np.concatenate([CLIPS[:, 1:2], clean], -1))
    found = task.denoising_loss(variables, clean, noise, mean, numbers, told, None)
    left = [1.0, *np.cumprod(1 - np.linspace(1e-4, 2e-3, 4))]
    expected = []
    for k in range(4):  # the pose of one step before, from 0
        for i in range(2):
            before = mean[i] + left[k] ** 0.5 * (clean - mean[i]) + (1 - left[k]) ** 0.5 * noise[i]
            expected.append(np.square(before - clean).sum((-2, -1)).mean())
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-4)


def test_mixtures_are_of_the_joints_places():
    settings = dataclasses.replace(
        PRESETS["paper"],
        condition="poses",
        hypotheses=40,
        samples=60,
        components=1,
        fit_iterations=2,
    )
    task, variables = of(Told(), settings)

    def noise_of(batch, keys):
        seen = task._see(variables, {"keypoints": batch}, flip=False)
        return seen, task._noise(variables, seen, keys[:, None])

    seen, noise = jax.jit(noise_of)(jnp.asarray(CLIPS), KEYS)
    assert noise.mean.shape == (40, 4, 1, 17, 3) and noise.values.shape == (1, 40, 4, 1, 17, 3)
    deviation = np.asarray(seen.planes.factor)[..., 0, 0]
    np.testing.assert_allclose(
        noise.mean[0], seen.poses, atol=5 * float(deviation.max()) / np.sqrt(60)
    )
    spread = np.asarray(noise.values[0]).std(0)[..., 0]
    assert np.corrcoef(spread.ravel(), deviation.ravel())[0, 1] > 0.5
    assert np.abs(noise.values[..., 2]).max() < 0.05  # no error of the encoder is known yet


def test_depth_histograms_count_all_batches_alike():
    task, variables = of(Told(), dataclasses.replace(PRESETS["paper"], condition="poses"))
    seen = task._see(variables, {"keypoints": CLIPS}, flip=False)
    depths = variables["depths"]
    for offset in (0.1, 0.1, -0.3, -0.3):
        depths = task._renewed(depths, seen, seen.poses + offset)
    assert depths["steps"] == 4
    places = np.flatnonzero(depths["shares"][3] > 0.01) / 128 - 1
    assert places.min() == pytest.approx(-0.3, abs=0.01)
    assert places.max() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(depths["shares"][3][depths["shares"][3] > 0.01].sum(), 1, atol=1e-5)


def test_a_stage_takes_the_encoder_of_the_one_before(tmp_path, monkeypatch):
    begun = []

    def train(stage, folder, splits, *, initial, partial, **options):
        begun.append((stage.task, stage.model.name, initial, partial))
        return loop.TrainingResult(1, True, None, {}, None, None)

    learned = {"params": {"a": 1}, "batch_stats": {"b": 2}, "other": {"c": 3}}
    found = type("Found", (), {"variables": learned})
    monkeypatch.setattr(stages, "train", train)
    monkeypatch.setattr(stages, "check_experiment", lambda *_: None)
    monkeypatch.setattr(stages.checkpoints, "load", lambda folder: found)
    chosen = config()
    with chosen.unlocked():
        chosen.stages = ConfigDict(
            {
                "a": {"task": "lifting", "model": {"name": "graformer", **SIZES}},
                "b": {"context": {"path": "a"}},
            }
        )
    stages.train_stages(chosen, tmp_path, {})
    encoder = {"params": {"a": 1}, "batch_stats": {"b": 2}}
    assert begun == [
        ("lifting", "graformer", None, False),
        ("diffpose", "diffpose", {"context": encoder}, True),
    ]


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({"context__model": model_config("graformer", parents=(-1, 0, 1), **SIZES)}, {},
         "config.context.model: keypoints have 17 joints .* expects 3 joints"),
        ({"context__model": model_config("mixste", num_frame=3, depth=1)}, {},
         "config.context.model: clip of 1 frames, the model expects exactly 3"),
        ({"context__model": model_config("videopose3d", filter_widths=(1,), channels=4)}, {},
         "VideoPose3D has no features of single joints"),
        ({"clip__frames": 5, "context__model": model_config("videopose3d", filter_widths=(3,)),
          "diffusion__condition": "poses"}, {}, "gives 3 frames of 17 joints for a clip of 5"),
        ({"model": model_config("gcndiff", in_chans=3, **SIZES)}, {},
         "condition is 'features', and this config.model is told nothing"),
        ({"model": model_config("diffpose", in_chans=5, **SIZES)}, {}, "17 joints and 5 channels"),
        ({"context__model": ConfigDict()}, {}, "config.context.model.name is missing"),
        ({"training__root": "clip_first"}, {}, "training.root is 'clip_first', expected 'frame'"),
        ({}, {"target_space": "image"}, "root is 'frame', expected 'clip_first'"),
        ({}, {"keypoint_skeleton": COCO_17}, "the keypoints those of 'coco_17'"),
        ({"corruption__joints": 0.5}, {}, "config.corruption is set"),
        ({"diffusion__hypotheses": 0}, {}, "diffusion.hypotheses is 0, expected at least 1"),
        ({"diffusion__steps": 0}, {}, "diffusion.steps is 0, expected at least 1"),
        ({"diffusion__components": 99}, {}, "components is 99, expected at most the 12"),
        ({"diffusion__noise_scale": (1.0,)}, {}, "has 1 numbers, expected one for each of 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit(changes, data, message):
    chosen = config()
    with chosen.unlocked():
        for field, value in changes.items():
            section, _, name = field.rpartition("__")
            place = chosen
            for part in filter(None, section.split("__")):
                place = place[part]
            place[name] = value
    with pytest.raises(InputError, match=message) as caught:
        tasks.create(chosen, dataset(**data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.context.path=None", "config.context.path is missing: the trained lifter"),
        ("--config.context.path=nowhere", "config.context.path: .*nowhere"),
        ("--config.context.model.hid_dim=8", "config.context.path: .*encoder.pth"),
        ("--config.diffusion.hypotheses=0", "config.diffusion.hypotheses is 0, expected"),
        ("--config.diffusion.steps=0", "config.diffusion.steps is 0, expected"),
        ("--config.diffusion.prediction=pose", "prediction is 'pose', expected one of noise"),
    ],
)
def test_one_line_of_the_command(trained, tmp_path, capsys, flag, message):
    folder, (chosen, *_) = trained
    workdir = tmp_path / "run"
    assert command_line("train", chosen, f"--workdir={workdir}", "--devices=1", flag) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line), line
    assert not workdir.exists()


def test_an_encoder_is_never_drawn(tmp_path):
    splits = {"train": dataset()}
    with pytest.raises(InputError, match="begins with a trained context encoder, and there is"):
        loop.train(config(), tmp_path / "a", splits, devices=parallel.select_devices(1))
    some = encoder_variables()
    del some["params"]["network"]["gconv_output"]
    with pytest.raises(InputError, match="context/params/network/gconv_output.* is absent"):
        loop.train(
            config(), tmp_path / "b", splits, devices=parallel.select_devices(1), partial=True,
            initial={"context": some},
        )  # fmt: skip
