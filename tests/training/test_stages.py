"""Stages: what each begins with, and going on inside any of them."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest
import tiny
from ml_collections import ConfigDict

from jrepose import checkpoints, parallel
from jrepose.config import from_json, stage_configs, to_json
from jrepose.data.batches import ClipOrder
from jrepose.errors import InputError
from jrepose.tasks import lifting
from jrepose.training import loop
from jrepose.training.loop import train
from jrepose.training.stages import train_stages

TESTS = pathlib.Path(__file__).resolve().parent.parent


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, keypoints, train):
        return nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(keypoints))


class Staged(nn.Module):
    """An encoder with statistics, and a decoder whose width differs from stage to stage."""

    width: int

    @nn.compact
    def __call__(self, keypoints, train=False):
        hidden = Encoder(name="encoder")(keypoints, train)
        hidden = nn.Dense(self.width, name="wide")(hidden)
        return nn.Dense(3, name="decoder")(nn.tanh(hidden))


def create_staged(config):
    """The width is the config's `model.channels`; nothing else of the model is built."""
    return Staged(config.model.channels)


@pytest.fixture(autouse=True)
def staged_model(monkeypatch):
    monkeypatch.setattr(lifting, "create_model", create_staged)


def config(**changes):
    out = tiny.config(
        training__max_steps=4, checkpoint__every_steps=2, training__log_every=1, **changes
    )
    with out.unlocked():
        out.stages = ConfigDict(
            {
                "stage1": {"model": {"channels": 8}},
                "stage2": {
                    "model": {"channels": 6},
                    "training": {
                        "init_only": ("params/encoder/.*", "batch_stats/.*"),
                        "freeze": ("params/encoder/.*",),
                        "learning_rate": 1e-2,
                    },
                },
                "stage3": {"model": {"channels": 6}, "training": {"learning_rate": 1e-4}},
            }
        )
    return out


def run(workdir, **options):
    splits = {"train": tiny.dataset()}
    return train_stages(config(), workdir, splits, devices=parallel.select_devices(1), **options)


def leaves(tree):
    return jax.tree.leaves(tree)


def test_each_stage_begins_with_what_it_names(tmp_path, monkeypatch):
    create, begun = loop.create_experiment, []

    def create_and_note(*args, **options):
        experiment = create(*args, **options)
        begun.append(experiment.state)
        return experiment

    monkeypatch.setattr(loop, "create_experiment", create_and_note)
    result = run(tmp_path)
    assert result.finished and result.step == 4
    ends = {name: checkpoints.load(tmp_path / name) for name in ("stage1", "stage2", "stage3")}
    encoder, decoder, everything = (found.variables for found in ends.values())
    for a, b in zip(
        leaves(encoder["params"]["encoder"]), leaves(decoder["params"]["encoder"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    # Frozen means no gradient: the statistics keep moving, from where they were.
    before, after = (
        tree["batch_stats"]["encoder"]["BatchNorm_0"]["mean"] for tree in (encoder, decoder)
    )
    assert not np.array_equal(before, after) and np.abs(after - before).max() < np.abs(before).max()
    # What is named is taken as it was, what is not is drawn, also where it would fit.
    taken = begun[1].collections["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, taken, encoder["batch_stats"])
    np.testing.assert_array_equal(
        begun[1].params["decoder"]["bias"], begun[0].params["decoder"]["bias"]
    )
    assert np.any(encoder["params"]["decoder"]["bias"] != begun[1].params["decoder"]["bias"])
    jax.tree.map(np.testing.assert_array_equal, begun[2].params, decoder["params"])
    for state in begun:
        assert state.step == 0 and not any(np.any(leaf) for leaf in leaves(state.optimizer))
    assert encoder["params"]["wide"]["kernel"].shape == (4, 8)
    assert decoder["params"]["wide"]["kernel"].shape == (4, 6)
    # The last stage takes all and moves all, a little.
    move = everything["params"]["wide"]["kernel"] - decoder["params"]["wide"]["kernel"]
    assert 0 < np.abs(move).max() < 1e-2
    assert not np.array_equal(
        everything["params"]["encoder"]["Dense_0"]["kernel"],
        decoder["params"]["encoder"]["Dense_0"]["kernel"],
    )
    assert ends["stage2"].config["training"]["learning_rate"] == 1e-2
    assert ends["stage2"].config["stages"] == {}
    with pytest.raises(InputError, match="there are runs in stage1, stage2, stage3"):
        checkpoints.load(tmp_path)


def terminate_in(last, monkeypatch):
    """SIGTERM in the step with this number, of any stage."""
    indices = ClipOrder.indices

    def indices_after_signal(self, step):
        if step == last:
            signal.raise_signal(signal.SIGTERM)
        return indices(self, step)

    monkeypatch.setattr(ClipOrder, "indices", indices_after_signal)


def test_a_signal_in_the_last_step_of_a_stage_stops_before_the_next(tmp_path, monkeypatch):
    terminate_in(3, monkeypatch)
    result = run(tmp_path)
    assert result.interrupted == signal.SIGTERM and not result.finished
    assert [path.name for path in tmp_path.iterdir()] == ["stage1"]
    assert checkpoints.load(tmp_path / "stage1").step == 4


def test_a_signal_inside_a_stage_stops_there(tmp_path, monkeypatch):
    call_in_the_second_stage(lambda: signal.raise_signal(signal.SIGTERM), monkeypatch.setattr)
    result = run(tmp_path)
    assert result.interrupted and not result.finished and result.step == 4
    assert {path.name for path in tmp_path.iterdir()} == {"stage1", "stage2"}


def test_goes_on_inside_a_stage_that_was_killed(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    script = f"import test_stages; test_stages.run_until_killed({str(killed)!r})"
    paths = os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "training")))
    process = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert {path.name for path in killed.iterdir()} == {"stage1", "stage2"}
    assert checkpoints.steps_in(killed / "stage1" / checkpoints.FOLDER)[-1] == 4
    assert 4 not in checkpoints.steps_in(killed / "stage2" / checkpoints.FOLDER)
    assert run(undisturbed).finished and run(killed).finished
    for name in ("stage1", "stage2", "stage3"):
        a, b = (checkpoints.load(folder / name, "latest").state for folder in (undisturbed, killed))
        for left, right in zip(leaves(a), leaves(b), strict=True):
            np.testing.assert_array_equal(left, right)
        assert tiny.records(undisturbed / name) == tiny.records(killed / name)


def run_until_killed(workdir):
    """For a process of its own: it ends before the second stage's last step."""
    lifting.create_model = create_staged
    call_in_the_second_stage(lambda: os.kill(os.getpid(), signal.SIGKILL), setattr)
    run(workdir)


def call_in_the_second_stage(call, replace):
    indices, asked = ClipOrder.indices, []

    def indices_after_call(self, step):
        asked.append(step)
        if asked[-1] == 3 and asked.count(3) == 2:
            call()
        return indices(self, step)

    replace(ClipOrder, "indices", indices_after_call)


def test_names_that_the_weights_do_not_have(tmp_path):
    splits, devices = {"train": tiny.dataset()}, parallel.select_devices(1)
    stage = stage_configs(config())["stage2"]
    given = {"params": {"encoder": {"Dense_0": {"kernel": np.zeros((3, 4), np.float32)}}}}
    with pytest.raises(InputError, match="init_only names what the weights .* do not have: batch"):
        train(stage, tmp_path, splits, devices=devices, initial=given)
    stage.training.init_only = ("params/elsewhere/.*",)
    for weights in (given, None):
        with pytest.raises(InputError, match="init_only: 'params/elsewhere/.*' matches no"):
            train(stage, tmp_path, splits, devices=devices, initial=weights)


def test_a_restart_begins_every_stage_anew(tmp_path, monkeypatch):
    assert run(tmp_path).finished
    ends = [checkpoints.load(tmp_path / name).step for name in ("stage2", "stage3")]
    assert ends == [4, 4]
    terminate_in(1, monkeypatch)
    assert run(tmp_path, restart=True).interrupted
    for name in ("stage1", "stage2", "stage3"):
        assert (tmp_path / name / "previous_1" / checkpoints.FOLDER).is_dir()
    # What goes on after the first stage begins with what that has learned now.
    assert not (tmp_path / "stage2" / checkpoints.FOLDER).exists()


def test_a_stage_is_not_called_as_what_a_run_writes(tmp_path):
    staged = config()
    with staged.unlocked():
        staged.stages = ConfigDict({"evaluation": {}})
    with pytest.raises(InputError, match="config.stages has 'evaluation', which a run's folder"):
        train_stages(staged, tmp_path, {"train": tiny.dataset()})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("training.freeze", ("params/nothing",), "training.freeze: 'params/nothing' matches no"),
        ("training.accumulate", 3, "accumulate"),
        ("evaluation.best_by", "beauty", "unknown evaluation.best_by 'beauty'"),
        ("data.scaling", "person", "changes data, which all stages share"),
        ("training.schedule.name", "linear", "'linear'"),
        ("training.optimizer.name", "sgd", "'sgd'"),
        ("clip.windows", "some", "'some'"),
    ],
)
def test_a_later_stage_is_checked_before_the_first(tmp_path, field, value, said):
    staged = config()
    with staged.unlocked():
        for part in reversed(field.split(".")):
            value = {part: value}
        staged.stages.stage3.update(value)
    splits = {"train": tiny.dataset()}
    with pytest.raises(InputError, match="config.stages.stage3.*" + re.escape(said)):
        train_stages(staged, tmp_path, splits, devices=parallel.select_devices(1))
    assert not list(tmp_path.iterdir())


def test_configs_of_stages():
    stages = stage_configs(config())
    assert list(stages) == ["stage1", "stage2", "stage3"]
    assert [stage.model.channels for stage in stages.values()] == [8, 6, 6]
    assert stages["stage3"].name == "tiny/stage3" and not stages["stage3"].stages
    back = from_json(to_json(config()))
    assert to_json(back) == to_json(config())
    for wrong, message in (
        ({"a": {"training": {"epoch": 3}}}, "config.stages.a: unknown config field"),
        ({"a": {"training": {"batch_size": -1}}}, "config.stages.a: config.training.batch_size"),
        ({"a b": {}}, "config.stages has 'a b'"),
    ):
        broken = config()
        with broken.unlocked():
            broken.stages = ConfigDict(wrong)
        with pytest.raises(InputError, match=message):
            stage_configs(broken)


def test_without_stages_it_is_one_run(tmp_path):
    single = config()
    single.stages = ConfigDict()
    splits = {"train": tiny.dataset()}
    result = train_stages(single, tmp_path, splits, devices=parallel.select_devices(1))
    assert result.finished and checkpoints.load(tmp_path).step == 4
