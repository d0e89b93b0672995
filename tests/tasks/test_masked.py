"""Masked pose modelling: what is masked, what is scored, and the stage before lifting."""

import jax
import numpy as np
import pytest
from lifters import draw_variables
from ml_collections import ConfigDict
from training import tiny

from jrepose import checkpoints, parallel, tasks
from jrepose.command import run
from jrepose.commands.evaluate import evaluate
from jrepose.config import model_config, objective_weights
from jrepose.errors import InputError
from jrepose.training.stages import train_stages

FRAMES = 5


def config(**changes):
    out = tiny.config(training__max_steps=2, training__log_every=1, **changes)
    out.task = "masked"
    out.clip.update(
        frames=FRAMES, stride=1, evaluation_stride=FRAMES, windows="centred",
        evaluation_windows="centred",
    )  # fmt: skip
    sizes = {"depth": 2, "channel": 4, "num_heads": 1, "mlp_ratio": 1.0, "stride_num": (5,)}
    out.model = model_config("pstmo", frames=FRAMES, batch_norm_axis="devices", **sizes)
    out.masking.frames, out.masking.joints = 0.5, 3
    out.evaluation.batch_size = 32
    out.objective.weights = objective_weights(**{"mpjpe": 1, "sequence/mpjpe": 1})
    return out


@pytest.fixture(scope="module")
def task():
    return tasks.create(config(), tiny.dataset())


def test_what_is_masked(task):
    drawn = [jax.device_get(task.masks(jax.random.key(seed))) for seed in range(8)]
    for visible, masked, joints in drawn:
        assert len(masked) == 2 and list(visible) == sorted(visible)
        assert list(masked) == sorted(masked) and {*visible, *masked} >= set(range(FRAMES))
        assert (joints.sum(1) == 3).all() and not joints[:, -1].any()
        assert len({tuple(frame) for frame in joints}) > 1
    assert len({tuple(masked) for _, masked, _ in drawn}) > 2


def test_a_clips_score_is_its_own(task):
    keypoints = np.random.default_rng(0).normal(size=(3, FRAMES, 17, 3)).astype(np.float32)
    key = jax.random.key(0)
    variables = draw_variables(task, {"keypoints": keypoints})
    keys = jax.random.split(key, 3)
    scores = jax.jit(task.clip_scores, static_argnames="flip")(
        variables, {"keypoints": keypoints}, keys, flip=False
    )["keypoint_error"]
    apply = jax.jit(task.model.apply)
    of_model = {name: variables[name] for name in ("params", "batch_stats")}
    for clip, score in enumerate(scores):
        visible, masked, joints = task.masks(keys[clip])
        completed = apply(of_model, keypoints[clip : clip + 1], visible, masked, joints)[0]
        target = keypoints[clip, np.concatenate([visible, masked]), :, :2]
        expected = 1000 * np.linalg.norm(completed - target, axis=-1).mean()
        assert score == pytest.approx(float(expected), rel=1e-5)


def test_the_lifter_begins_with_the_encoder(tmp_path, capsys):
    chosen = config(evaluation__every_epochs=1)
    encoder = ("(params|batch_stats)/(encoder|Transformer)/.*",)
    chosen.stages = ConfigDict(
        {
            "stage1": {"evaluation": {"flip": True}},
            # Without a rate nothing moves but statistics.
            "stage2": {
                "task": "lifting",
                "training": {"init_only": encoder, "learning_rate": 0.0, "max_steps": 1},
            },
        }
    )
    splits = {"train": tiny.dataset(), "validation": tiny.dataset(1, videos=1)}
    result = train_stages(chosen, tmp_path, splits, devices=parallel.select_devices(1))
    assert result.finished and result.validation["mpjpe"] > 0
    first = checkpoints.load(tmp_path / "stage1")
    log = (tmp_path / "stage1" / "metrics.jsonl").read_text()
    assert "validation/keypoint_error" in log and "mpjpe" not in log
    assert "Transformer_dec" in first.variables["params"]
    lifter = checkpoints.load(tmp_path / "stage2").variables["params"]
    for name in ("encoder", "Transformer"):
        jax.tree.map(np.testing.assert_array_equal, lifter[name], first.variables["params"][name])
    assert "Transformer_reduce" in lifter and "Transformer_dec" not in lifter

    capsys.readouterr()
    assert run(evaluate, ["evaluate.py", f"--checkpoint={tmp_path / 'stage1'}"]) == 2
    assert "'masked', which predicts no poses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("masking.joints", 17, "config.masking.joints is 17, expected 0 to 16"),
        ("model", model_config("mixste"), "encoder of pstmo.*'mixste'"),
        ("corruption.noise", "plain", "config.corruption is set, and config.task 'masked'"),
    ],
)
def test_what_cannot_be_masked(field, value, message):
    chosen = config()
    chosen.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=message):
        tasks.create(chosen, tiny.dataset())
