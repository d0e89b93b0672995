"""The semi-supervised task: its loss in NumPy and beside the official one, and whole runs."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from models import temporal_oracle
from training import tiny

from jrepose import checkpoints, models, parallel, tasks
from jrepose.camera import project_to_2d
from jrepose.config import model_config, objective_weights
from jrepose.data.columns import columns_of
from jrepose.data.dataset import PoseDataset, Video
from jrepose.errors import InputError
from jrepose.interop import from_torch, infer_hyperparameters, to_torch
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.fixtures.videopose3d import named
from jrepose.losses.objective import create_objective
from jrepose.skeleton import COCO_17, HUMAN36M_17
from jrepose.tasks.semi_supervised import SemiSupervised
from jrepose.training.loop import train

LENS = (2.3, 2.2, 0.1, -0.05, -0.2, 0.24, -0.03, 0.01, 0.02)
WIDTHS, CLIPS, LABELLED = (3, 3), 24, 14  # as in the fixture
SIZES = {"filter_widths": WIDTHS, "channels": 32, "drop_rate": 0.0}
WARMUP = 5


@pytest.fixture(scope="module")
def value_and_gradient():
    """`(variables, batch, step) -> ((total, outcome), gradients)`; a step is an epoch here."""
    model = models.create("videopose3d", **SIZES)
    task = SemiSupervised(
        model, HUMAN36M_17, HUMAN36M_17, create_objective({"mpjpe": 1.0}, HUMAN36M_17), "frame",
        clock=lambda step: 1.0 * step, trajectory_model=model.clone(num_joints_out=1),
        weights={"trajectory": 1.0, "back_projection": 1.0, "limb_lengths": 1.0},
        warmup_epochs=float(WARMUP),
    )  # fmt: skip

    def loss(trained, variables, batch, step):
        return task.loss({**variables, **trained}, batch, jax.random.key(0), step)

    function = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def call(poses, roots, batch, step):
        """Of the state dicts of both networks."""
        poses, roots = (
            from_torch("videopose3d", weights, **infer_hyperparameters("videopose3d", weights))
            for weights in (poses, roots)
        )
        trained = {"params": poses["params"], "objective": {"trajectory": roots["params"]}}
        state = {
            "batch_stats": poses["batch_stats"], "trajectory_batch_stats": roots["batch_stats"],
        }  # fmt: skip
        return function(trained, state, batch, step)

    return call


def batch_of(keypoints, targets, roots, cameras):
    """The columns; the first clips are labelled and the last ones are not."""
    centre = keypoints.shape[1] // 2
    return {
        "keypoints": keypoints[:LABELLED],
        "poses": targets[:LABELLED],
        "trajectory": roots,
        "unlabelled/keypoints": keypoints[LABELLED:],
        "unlabelled/target_keypoints": keypoints[LABELLED:, centre : centre + 1],
        "unlabelled/intrinsics": cameras[:, None],
    }


def test_official_losses_and_gradients(golden, value_and_gradient):
    arrays, _ = golden("videopose3d")
    batch = batch_of(
        arrays["input/windows"], arrays["target/windows"], arrays["target/semi_trajectory"],
        arrays["input/semi_cameras"],
    )  # fmt: skip
    weights = below(arrays, "param/"), below(arrays, "param_traj/")
    (total, outcome), gradients = value_and_gradient(*weights, batch, WARMUP)
    np.testing.assert_allclose(total, arrays["loss/semi_total"], rtol=1e-5)
    for ours, theirs in (("mpjpe", "pose"), ("trajectory", "trajectory"), ("limb_lengths", "bone"),
                         ("back_projection", "reprojection")):  # fmt: skip
        np.testing.assert_allclose(outcome.terms[ours], arrays[f"loss/semi_{theirs}"], rtol=1e-4)
    params, trajectory = gradients["params"], gradients["objective"]["trajectory"]
    for group, found in (("grad_semi", params), ("grad_semi_traj", trajectory)):
        for name, gradient in named(group, {"params": found}):
            largest = np.abs(arrays[name]).max()
            np.testing.assert_allclose(gradient, arrays[name], rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("step", [0, WARMUP])
def test_loss_in_numpy(value_and_gradient, step):
    """At first the labelled clips are normalised by themselves, and nobody looks at the others."""
    rng = np.random.default_rng(0)
    sizes = {"num_joints_in": 17, "filter_widths": WIDTHS, "channels": 32}
    poses = temporal_oracle.random_videopose3d(rng, **sizes, num_joints_out=17)
    roots = temporal_oracle.random_videopose3d(rng, **sizes, num_joints_out=1)
    roots["shrink.bias"] = np.array([0.0, 0.0, 40.0])
    keypoints = rng.normal(size=(CLIPS, 9, 17, 2)).astype(np.float32)
    targets = rng.normal(size=(CLIPS, 1, 17, 3)).astype(np.float32)
    trajectory = rng.uniform(2, 4, size=(LABELLED, 1, 1, 3)).astype(np.float32)
    cameras = np.tile(np.float32(LENS), (CLIPS - LABELLED, 1))
    batch = batch_of(keypoints, targets, trajectory, cameras)
    seen = keypoints if step else keypoints[:LABELLED]
    if not step:
        batch["unlabelled/keypoints"] = np.full_like(batch["unlabelled/keypoints"], np.nan)
    (total, outcome), _ = value_and_gradient(poses, roots, batch, step)

    (found, batch_of_poses), (where, batch_of_roots) = (
        temporal_oracle.videopose3d(weights, seen, WIDTHS, strided=True, train=True)
        for weights in (poses, roots)
    )
    labels = targets - targets[:, :, :1]
    away = np.linalg.norm(where[:LABELLED] - trajectory, axis=-1) / trajectory[..., 2]
    expected = np.linalg.norm(found[:LABELLED] - labels[:LABELLED], axis=-1).mean() + away.mean()
    if step:
        projected = project_to_2d((found + where)[LABELLED:], cameras[:, None, None])
        lengths = [
            np.linalg.norm(part[:, :, b] - part[:, :, a], axis=-1).mean((0, 1))
            for a, b in [np.transpose(HUMAN36M_17.limbs)]
            for part in (found[:LABELLED], found[LABELLED:])
        ]
        centre = keypoints[LABELLED:, 4:5]
        expected += np.linalg.norm(projected - centre, axis=-1).mean()
        expected += np.abs(lengths[0] - lengths[1]).mean()
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert (
        bool(outcome.terms["back_projection"]) == bool(outcome.terms["limb_lengths"]) == (step > 0)
    )
    for statistics, name, before in (
        (batch_of_poses, "batch_stats", poses),
        (batch_of_roots, "trajectory_batch_stats", roots),
    ):
        moved = outcome.collections[name]["network"]["expand_bn"]["mean"]
        key = "expand_bn.running_mean"
        np.testing.assert_allclose(moved, 0.9 * before[key] + 0.1 * statistics[key], atol=1e-5)


def dataset(seed=0, lens=LENS, frames=12, **changes):
    """Two videos of people in front of a camera with a lens, in metres."""
    rng = np.random.default_rng(seed)
    roots = rng.uniform([-0.5, -0.5, 3], [0.5, 0.5, 5], (2 * frames, 1, 3))
    poses = roots + rng.normal(0, 0.3, (2 * frames, 17, 3)) * (np.arange(17) > 0)[:, None]
    screen = project_to_2d(poses, np.array(LENS))
    return dataclasses.replace(
        PoseDataset(
            keypoints_px=((screen + 1) * 500).astype(np.float32),
            confidence=np.ones((2 * frames, 17), np.float32),
            poses_camera_mm=(poses * 1000).astype(np.float32),
            visible=np.ones((2 * frames, 17), bool),
            valid=np.ones(2 * frames, bool),
            videos=tuple(
                Video(f"v{k}", f"s{seed}", "walk", "c", 1000, 1000, 50.0, k * frames,
                      (k + 1) * frames, lens)
                for k in range(2)
            ),
            skeleton=HUMAN36M_17,
            target_space="camera_m",
        ),
        **changes,
    )  # fmt: skip


def test_mirrored_columns_still_project_onto_each_other():
    names = ("target_keypoints", "poses", "trajectory", "intrinsics")
    columns = columns_of(dataset(), names)
    clips = {name: columns[name].values[None] for name in names}
    mirror = jax.jit(lambda clips: {name: columns[name].mirror(clips[name]) for name in names})
    mirrored = jax.tree.map(np.asarray, mirror(clips))
    for batch in (clips, mirrored):
        positions = batch["poses"] + batch["trajectory"]
        projected = project_to_2d(positions, batch["intrinsics"][:, :, None])
        np.testing.assert_allclose(projected, batch["target_keypoints"][..., :2], atol=1e-5)
    assert np.abs(mirrored["target_keypoints"] - clips["target_keypoints"]).max() > 0.1


def config(**changes):
    out = tiny.config(
        task="semi_supervised", training__epochs=20, training__root="frame", training__batch_size=8,
        checkpoint__every_steps=4, training__batch_norm_momentum=0.1, training__log_every=1,
        data__split__unlabelled=("s1",), clip__windows="replicate",
        clip__evaluation_windows="replicate", **changes,
    )  # fmt: skip
    out.clip.update(frames=3, stride=1, targets=1, evaluation_stride=4)
    out.model = model_config(
        "videopose3d", filter_widths=(3,), channels=8, drop_rate=0.0, batch_norm_axis="devices"
    )
    out.objective.weights = objective_weights(mpjpe=1)
    return out


def run(workdir, devices=1):
    splits = {"train": dataset(0), "unlabelled": dataset(1, frames=17)}
    chosen = config(training__max_steps=6)
    train(chosen, workdir, splits, devices=parallel.select_devices(devices))
    return checkpoints.load(workdir, "latest")


def test_resumed_run_and_two_devices(tmp_path):
    """Three steps with labelled clips only, an epoch, and three with both."""
    undisturbed = run(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / checkpoints.FOLDER / "6")
    resumed, two = run(tmp_path / "b"), run(tmp_path / "c", devices=2)
    logged = tiny.records(tmp_path / "a")
    assert logged == tiny.records(tmp_path / "b")
    assert [record["loss/limb_lengths"] > 0 for record in logged] == [False] * 3 + [True] * 3
    jax.tree.map(np.testing.assert_array_equal, undisturbed.state, resumed.state)
    for one, other in zip(*map(jax.tree.leaves, (undisturbed.state, two.state)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
    # What predicts is a VideoPose3D, also in PyTorch's names.
    exported = to_torch("videopose3d", undisturbed.variables)
    mean = undisturbed.variables["batch_stats"]["network"]["expand_bn"]["mean"]
    np.testing.assert_array_equal(exported["expand_bn.running_mean"], mean)
    task = tasks.create(config(), dataset())
    poses = task.predict(undisturbed.variables, {"keypoints": np.zeros((2, 3, 17, 3), "f4")},
                         jax.random.split(jax.random.key(0), 2), flip=False)  # fmt: skip
    assert poses.shape == (2, 1, 17, 3)


@pytest.mark.parametrize(
    "changes, splits, message",
    [
        ({"data__split__unlabelled": ()}, {"train": dataset()}, "unlabelled names no subject"),
        ({"task": "lifting"}, {}, "'lifting' does not learn from unlabelled clips"),
        ({"training__root": "clip_first"}, {}, "training.root 'frame', got"),
        ({}, {"train": dataset(target_space="camera_mm")}, "target_space 'camera_m'"),
        ({}, {"train": dataset(keypoint_skeleton=COCO_17)}, "the keypoints those of 'coco_17'"),
        ({}, {"train": dataset(scaling="person")}, "data.scaling is 'person', expected 'screen'"),
        ({"corruption__joints": 0.1, "corruption__frames": 0.1}, {}, "config.corruption is set"),
        ({}, {"unlabelled": dataset(lens=None)}, "those of video v0 are unknown"),
        ({}, {"train": dataset(poses_camera_mm=-dataset().poses_camera_mm)}, "v0, frame .* front"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, changes, splits, message):
    chosen = config()
    with chosen.unlocked():
        for field, value in changes.items():
            chosen.update_from_flattened_dict({field.replace("__", "."): value})
    both = {"train": dataset(), "unlabelled": dataset(1)}
    if "unlabelled names" in message:
        both = {}
    with pytest.raises(InputError, match=message):
        train(chosen, tmp_path, {**both, **splits}, devices=parallel.select_devices(1))


def test_a_model_that_cannot_predict_the_root_alone():
    chosen = config()
    chosen.model = model_config("rie", filter_widths=(3,))
    with pytest.raises(InputError, match="videopose3d; config.model.name is 'rie'"):
        tasks.create(chosen, dataset())
