"""D3DP as a task: its noise, its way back, what it refuses, and a run by the commands."""

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from training import tiny

from jrepose import cli, interop, models, tasks
from jrepose.commands import command
from jrepose.config import diffusion_config, model_config, to_json
from jrepose.data import sources
from jrepose.errors import InputError
from jrepose.evaluation import plots
from jrepose.evaluation.protocol import score_frames
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.interop.d3dp import constants
from jrepose.interop.fixtures.arrays import below
from jrepose.models.d3dp import D3DP
from jrepose.skeleton import COCO_17

FRAMES, HYPOTHESES = 4, 3
RIGHT = np.float32([0.05, 0.0])
CAMERA = (2.3, 2.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def config(**changes) -> ConfigDict:
    out = tiny.config(training__max_steps=2, training__log_every=1)
    out.task = "d3dp"
    out.model = model_config(
        "d3dp", num_frame=FRAMES, embed_dim_ratio=8, depth=1, num_heads=2, drop_path_rate=0.0
    )
    out.diffusion = diffusion_config("d3dp", hypotheses=HYPOTHESES, sampling_steps=2)
    out.clip.update(frames=FRAMES, stride=FRAMES, evaluation_stride=FRAMES)
    out.data.target_space = "camera_m"
    out.training.root = "frame"
    out.training.gradient_times_loss = True
    out.evaluation.update(batch_size=8, root="zero", every_epochs=9)
    out.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return out


def dataset(seed=0, **changes):
    made = tiny.dataset(seed, videos=2, frames=10)
    poses = made.poses_camera_mm + np.float32([0, 0, 4000])
    videos = tuple(dataclasses.replace(video, intrinsics=CAMERA) for video in made.videos)
    changed = {"target_space": "camera_m", "poses_camera_mm": poses, "videos": videos, **changes}
    return dataclasses.replace(made, **changed)


class Echo(D3DP):
    """Answers the noisy poses that it is given, and the step in place of a coordinate."""

    def __call__(self, noisy, steps, train=False):
        assert noisy.shape[-1] == self.in_chans
        at = jnp.broadcast_to(jnp.asarray(steps)[..., None, None], noisy.shape[:-1])
        return jnp.concatenate([noisy[..., -3:-1], at[..., None]], axis=-1)


class Knowing(D3DP):
    """Answers the keypoints a little to the right, and a tenth of the depth that it is given."""

    def __call__(self, noisy, steps, train=False):
        return jnp.concatenate(
            [noisy[..., :2] + jnp.broadcast_to(RIGHT, noisy[..., :2].shape), 0.1 * noisy[..., -1:]],
            axis=-1,
        )


def test_labels_are_noised_as_the_schedule_says():
    task = tasks.create(config(), dataset(), clock=lambda step: jnp.zeros(()))
    task = dataclasses.replace(task, model=Echo(num_frame=FRAMES))
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(3, FRAMES, 17, 3), scale=0.6).astype(np.float32)
    noise = rng.normal(size=labels.shape).astype(np.float32)
    numbers = np.array([0, 500, 999])
    keypoints = np.zeros((3, FRAMES, 17, 2), np.float32)
    given = (jnp.asarray(array) for array in (keypoints, labels, noise, numbers))
    found = task.answers({"params": {}}, *given, None)
    left = constants(D3DP())["alphas_cumprod"][numbers][:, None, None, None]
    noisy = np.clip(np.sqrt(left) * labels + np.sqrt(1 - left) * noise, -1.1, 1.1)
    np.testing.assert_allclose(found[..., :2], noisy[..., :2], atol=2e-6)
    np.testing.assert_array_equal(found[:, 0, 0, 2], numbers)
    assert (np.abs(noisy) == 1.1).any(), "some are beyond the bounds"


def test_the_official_step_is_replayed(golden):
    """What the network answers in training, from the same noise at the same steps."""
    arrays, fixture = golden("d3dp")
    weights = below(arrays, "param/")
    sizes = {**interop.infer_hyperparameters("d3dp", weights), "num_heads": fixture["num_heads"]}
    variables = interop.from_torch("d3dp", weights, **sizes)
    task = tasks.create(config(), dataset(), clock=lambda step: jnp.zeros(()))
    task = dataclasses.replace(task, model=models.create("d3dp", **sizes))
    given = (
        jnp.asarray(arrays[name])
        for name in ("input/x_2d", "target/y", "input/train_noise", "input/t")
    )
    found = jax.jit(lambda *given: task.answers(variables, *given, None))(*given)
    expected = arrays["output/denoised_train"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_loss_is_of_root_relative_labels_under_new_noise():
    task = tasks.create(config(), dataset(), clock=lambda step: jnp.zeros(()))
    knowing = dataclasses.replace(task, model=Knowing(num_frame=FRAMES))
    rng = np.random.default_rng(0)
    poses = np.float32([1, -1, 2]) + rng.normal(size=(2, FRAMES, 17, 3), scale=0.1)
    poses = poses.astype(np.float32)
    batch = {"keypoints": poses - poses[:, :, :1], "poses": poses}
    variables = {"params": {}, "objective": task.objective.init()}
    losses = [
        knowing.loss(variables, batch, jax.random.key(seed), jnp.zeros((), jnp.int32))[1].terms
        for seed in (0, 0, 1)
    ]
    errors = [float(terms["mpjpe"]) for terms in losses]
    assert errors[0] == errors[1] != errors[2]
    depths = np.abs(poses[..., 2] - poses[:, :, :1, 2]).mean()
    assert errors[0] < depths + 0.2, "x and y are answered nearly as they are"


def test_hypotheses_depend_on_their_clip_only_and_end_at_the_answer():
    task = tasks.create(config(), dataset())
    task = dataclasses.replace(task, model=Knowing(num_frame=FRAMES))
    rng = np.random.default_rng(0)
    keypoints = rng.normal(size=(3, FRAMES, 17, 3), scale=0.2).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    found = task.predict({"params": {}}, {"keypoints": keypoints}, keys, flip=True)
    assert found.shape == (HYPOTHESES, 3, FRAMES, 17, 3)
    expected = np.broadcast_to(keypoints[..., :2], found[..., :2].shape)
    np.testing.assert_allclose(found[..., :2], expected, atol=1e-6)
    assert len(np.unique(np.asarray(found[..., 0, 5, 2]).round(6))) == 9, "draws of their own"
    alone = task.predict({"params": {}}, {"keypoints": keypoints[2:]}, keys[2:], flip=True)
    np.testing.assert_allclose(alone[:, 0], found[:, 2], atol=1e-6)
    one = dataclasses.replace(task, diffusion=dataclasses.replace(task.diffusion, hypotheses=1))
    single = one.predict({"params": {}}, {"keypoints": keypoints}, keys, flip=False)
    assert single.shape == found.shape[1:]
    np.testing.assert_allclose(single[..., :2], keypoints[..., :2] + RIGHT, atol=1e-6)


def test_the_way_back_draws_noise_between_its_steps():
    """With eta at 1 hardly anything of the start is left half way."""
    task = tasks.create(config(), dataset())
    task = dataclasses.replace(task, model=Knowing(num_frame=FRAMES))
    keypoints = np.zeros((1, FRAMES, 17, 3), np.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    found = task.predict({"params": {}}, {"keypoints": keypoints}, keys, flip=False)
    drawn = np.sqrt(1 - constants(D3DP())["alphas_cumprod"][499])
    depths = np.random.default_rng(0).normal(scale=drawn, size=10_000).clip(-1.1, 1.1) / 10
    np.testing.assert_allclose(found[..., 2].std(), depths.std(), rtol=0.1)


@pytest.mark.parametrize(
    ("changes", "data", "said"),
    [
        ({"model__in_chans": 9}, {}, "config.model.in_chans is 9, expected 5"),
        ({"training__root": "clip_first"}, {}, "expected config.data.target_space 'camera_m' and"),
        ({}, {"target_space": "camera_mm"}, "got 'camera_mm' and 'frame'"),
        ({}, {"keypoint_skeleton": COCO_17}, "the keypoints those of 'coco_17'"),
        ({"diffusion__components": 5}, {}, "config.diffusion.components is 5, expected 0"),
        ({"diffusion__schedule": "linear"}, {}, "the schedule has added no noise yet"),
        ({"diffusion__steps": 2000}, {}, "config.diffusion.steps is 2000, expected 1000"),
        ({"corruption__joints": 0.1}, {}, "config.task 'd3dp' does not read it"),
        ({"model": model_config("gcndiff")}, {}, "config.model.name is 'gcndiff'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, data, said):
    with pytest.raises(InputError, match=re.escape(said)):
        tasks.create(config(**changes), dataset(**data), clock=lambda step: jnp.zeros(()))


def test_a_run_by_the_commands_is_evaluated_with_its_hypotheses(tmp_path, monkeypatch, capsys):
    splits = {"train": dataset(), "test": dataset(2)}
    monkeypatch.setattr(
        sources, "load_splits", lambda data, names: {n: splits[n] for n in names if n in splits}
    )
    for name in ("joint_errors", "error_distribution", "poses", "hypotheses", "reliability"):
        monkeypatch.setattr(plots, f"plot_{name}", lambda *given: pathlib.Path(given[-1]).touch())
    run = tmp_path / "run"
    (tmp_path / "config.json").write_text(to_json(config()))
    for name, arguments in (
        ("train", ("--devices=1", f"--config={tmp_path / 'config.json'}", f"--workdir={run}")),
        ("evaluate", (f"--checkpoint={run}", "--which=latest")),
    ):
        assert cli.run(command(name), [name, *arguments]) == 0
    said = capsys.readouterr().out
    assert "3 hypotheses of every pose" in said and "of joints nearest to the keypoints" in said


def test_joints_are_taken_where_they_are_seen():
    """J-Agg by hand; without cameras there is none."""
    made = dataset()
    rng = np.random.default_rng(0)
    truth = made.model_targets()
    hypotheses = truth + rng.normal(size=(HYPOTHESES, *truth.shape), scale=0.05).astype(np.float32)
    hypotheses[..., 0, :] = 0
    index = np.arange(20).reshape(5, 4)
    counted = np.ones((5, 4), bool)
    errors = [score_frames(made, one[index], index, counted) for one in hypotheses]
    predictions = hypotheses[:, index]
    found = evaluate_predictions(made, predictions, index, counted).hypotheses.per_frame.joints
    points = np.stack([one.poses_mm for one in errors]) + made.poses_camera_mm[:, :1]
    seen = 2.3 * points[..., :2] / points[..., 2:] - made.model_inputs()[..., :2]
    chosen = np.linalg.norm(seen, axis=-1).argmin(axis=0)
    for name, of_one in (("j_agg", "mpjpe"), ("pa_j_agg", "pa_mpjpe")):
        values = np.stack([getattr(one, of_one) for one in errors])
        expected = np.take_along_axis(values, chosen[None], axis=0)[0]
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)
    assert len(np.unique(chosen)) == HYPOTHESES
    blind = dataclasses.replace(
        made, videos=tuple(dataclasses.replace(video, intrinsics=None) for video in made.videos)
    )
    found = evaluate_predictions(blind, predictions, index, counted).hypotheses
    assert "j_agg" not in found.scores and "p_best" in found.scores
