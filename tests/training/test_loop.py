"""Whole runs in this process: devices, options, messages, divergence, a full disk."""

import dataclasses
import json
import logging
import os
import re
import signal
import sys
import types

import flax.linen as nn
import jax
import numpy as np
import pytest
import tiny

from jrepose import checkpoints, parallel, tasks
from jrepose.config import from_json
from jrepose.data.batches import ClipOrder
from jrepose.data.windows import training_windows
from jrepose.disk import sole_writer
from jrepose.errors import InputError
from jrepose.evaluation.evaluate import evaluate_dataset
from jrepose.tasks import lifting
from jrepose.training import loop
from jrepose.training.loop import train
from jrepose.training.memory import compile_step
from jrepose.training.metric_log import DivergedError

STEPS = 6


def run(workdir, devices=1, splits=None, **changes):
    """Six steps without validation, unless `splits` brings some."""
    splits = {"train": tiny.dataset()} if splits is None else splits
    changes = {"training__max_steps": STEPS, "checkpoint__every_steps": 4, **changes}
    return train(tiny.config(**changes), workdir, splits, devices=parallel.select_devices(devices))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("baseline")
    return workdir, run(workdir)


def assert_close(a, b, **tolerance):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(a) == len(b) > 3
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


def test_what_a_run_leaves_behind(baseline):
    workdir, result = baseline
    assert (result.step, result.finished, result.interrupted) == (STEPS, True, None)
    assert result.validation is None and result.best is None
    names = {entry.name for entry in workdir.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "tensorboard", "checkpoints"}
    config = tiny.config(training__max_steps=STEPS, checkpoint__every_steps=4)
    assert from_json((workdir / "config.json").read_text()).to_dict() == config.to_dict()
    records = tiny.records(workdir)
    assert [record["step"] for record in records] == [4, 6]
    assert set(records[0]) == {
        "step",
        "epoch",
        "loss/total",
        "loss/mpjpe",
        "loss/velocity",
        "gradient_norm",
        "learning_rate",
    }
    assert records[1]["loss/total"] < records[0]["loss/total"]
    line = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[1])
    assert line["clips_per_s"] > 0
    assert checkpoints.steps_in(workdir / "checkpoints") == [4, 6]
    stored = checkpoints.load(workdir)
    assert stored.config["training"]["max_steps"] == STEPS
    assert stored.data == {"train": tiny.dataset().fingerprint()}
    assert_close(stored.variables, result.variables, rtol=0)


class Unread:
    """A result on a device that can be read in the one way that the loop has, and is noted then."""

    def __init__(self, leaf, step, reads):
        self._leaf, self._step, self._reads = leaf, step, reads

    @property
    def addressable_shards(self):
        return [types.SimpleNamespace(data=self)]

    def copy_to_host_async(self):
        """Waits for nothing."""

    def item(self):
        self._reads.add((self._step, self._reads.dispatched))
        return self._leaf.addressable_shards[0].data.item()


class Reads(set):
    """Steps whose results were read, each with how many had been started by then."""

    dispatched = 0


def test_the_host_waits_for_no_step_but_one_long_gone(tmp_path, monkeypatch):
    reads, programs = Reads(), []

    def compiled(*arguments, **options):
        step = compile_step(*arguments, **options)
        programs.append(step.run.as_text())

        def run(state, *rest):
            state, metrics = step.run(getattr(state, "sealed", state), *rest)
            reads.dispatched += 1
            metrics = jax.tree.map(lambda leaf: Unread(leaf, reads.dispatched, reads), metrics)
            last = reads.dispatched == STEPS
            return state if last else types.SimpleNamespace(sealed=state), metrics

        return dataclasses.replace(step, run=run)

    monkeypatch.setattr(loop, "compile_step", compiled)
    run(tmp_path, checkpoint__every_steps=STEPS)
    assert reads == {(1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (6, 6)}
    # Nor does the step wait for the host.
    assert not re.search("callback|infeed|outfeed|send-done|recv-done", *programs)


def test_several_devices_train_as_one(baseline, tmp_path):
    workdir, expected = baseline
    result = run(tmp_path, 4, data__resident_bytes=0)
    assert_close(result.variables, expected.variables, atol=1e-4)
    for ours, theirs in zip(tiny.records(tmp_path), tiny.records(workdir), strict=True):
        assert ours["loss/total"] == pytest.approx(theirs["loss/total"], rel=1e-4)


class Plain(nn.Module):
    """Without statistics of the batch, which are others over a part of it."""

    @nn.compact
    def __call__(self, keypoints, train=False):
        return nn.Dense(3)(nn.tanh(nn.Dense(8)(keypoints)))


def test_micro_batches_on_two_devices_train_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(lifting, "create_model", lambda config: Plain())
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(whole)
    result = run(parts, 2, training__accumulate=2)
    assert_close(result.variables, expected.variables, atol=1e-4)
    for ours, theirs in zip(tiny.records(parts), tiny.records(whole), strict=True):
        assert ours["loss/total"] == pytest.approx(theirs["loss/total"], rel=1e-4)


def test_streamed_equals_resident(baseline, tmp_path):
    """Batches are equal to the bit (tests/data/test_batches.py); two programs may round apart."""
    workdir, expected = baseline
    result = run(tmp_path, data__resident_bytes=0)
    assert_close(result.variables, expected.variables, rtol=1e-5, atol=1e-7)
    for ours, theirs in zip(tiny.records(tmp_path), tiny.records(workdir), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_continues_on_other_devices_and_longer(baseline, tmp_path):
    _, expected = baseline
    run(tmp_path, training__max_steps=3)
    result = run(tmp_path, devices=2)
    assert result.step == STEPS
    assert_close(result.variables, expected.variables, atol=1e-4)


def test_moving_average_is_what_counts(tmp_path):
    result = run(tmp_path, training__ema_decay=0.5, training__gradient_clip=0.1)
    stored = checkpoints.load(tmp_path)
    assert_close(result.variables["params"], stored.state["ema"], rtol=0)
    average, newest = (
        stored.state[name]["network"]["shrink"]["kernel"] for name in ("ema", "params")
    )
    assert not np.allclose(average, newest, rtol=1e-3)


def test_bfloat16_keeps_float32_parameters(tmp_path):
    run(tmp_path, precision="bfloat16", training__max_steps=1)
    state = checkpoints.load(tmp_path).state
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state["params"])} == {"float32"}


def test_attention_that_this_machine_lacks(tmp_path):
    with pytest.raises(InputError, match="'cudnn', which needs an NVIDIA GPU"):
        run(tmp_path / "run", precision="bfloat16", attention="cudnn")
    assert not (tmp_path / "run").exists()


def test_validation_best_and_finished_run(tmp_path, caplog):
    splits = tiny.splits()
    result = run(tmp_path, splits=splits, training__max_steps=None, training__epochs=2)
    records = [r for r in tiny.records(tmp_path) if "validation/mpjpe" in r]
    assert [record["step"] for record in records] == [5, 9]
    assert result.validation["mpjpe"] == records[-1]["validation/mpjpe"]
    assert result.best == min(record["validation/mpjpe"] for record in records)
    best = checkpoints.load(tmp_path, "best")
    assert best.validation["mpjpe"] == result.best
    before = (tmp_path / "metrics.jsonl").read_text()
    with caplog.at_level(logging.INFO, logger="jrepose"):
        again = run(tmp_path, splits=splits, training__max_steps=None, training__epochs=2)
    assert again.step == result.step and again.finished and again.best == result.best
    assert (tmp_path / "metrics.jsonl").read_text() == before
    assert "finished at step 9 of 9" in caplog.text
    assert_close(again.variables, result.variables, rtol=0)


def test_validation_predicts_with_the_average(tmp_path):
    config = tiny.config(
        training__max_steps=3, training__ema_decay=0.9, training__learning_rate=0.1
    )
    splits, devices = tiny.splits(), parallel.select_devices(1)
    result = train(config, tmp_path, splits, devices=devices)
    state = checkpoints.load(tmp_path, "latest").state
    task = tasks.create(config, splits["validation"])

    def mpjpe(params):
        scored = evaluate_dataset(
            task, {"params": params, **state["collections"]}, splits["validation"], config,
            devices=devices,
        )  # fmt: skip
        return scored.scores["mpjpe"]

    assert result.validation["mpjpe"] == pytest.approx(mpjpe(state["ema"]), rel=1e-5)
    assert result.validation["mpjpe"] != pytest.approx(mpjpe(state["params"]), rel=1e-3)


def test_another_score_can_say_which_is_best(tmp_path):
    splits = tiny.splits()
    options = {"training__max_steps": 2, "training__epochs": 2, "splits": splits}
    run(tmp_path / "pck", evaluation__best_by="pck", **options)
    best = checkpoints.load(tmp_path / "pck")
    assert checkpoints.score_of(best.path) == "pck"
    with pytest.raises(InputError, match="unknown evaluation.best_by 'accuracy'; expected one of"):
        run(tmp_path / "no", evaluation__best_by="accuracy", **options)
    # What only a validation would notice is refused before the first step.
    with pytest.raises(InputError, match="unknown evaluation.overlap 'twice'"):
        run(tmp_path / "no", evaluation__overlap="twice", **options)
    assert not list((tmp_path / "no").glob("checkpoints/*"))


def with_bad_label(clip):
    """The tiny dataset with one NaN in a clip's label, and the step (1-based) that meets it."""
    dataset = tiny.dataset()
    windows = training_windows(dataset.videos, 8, 4).inputs
    frame = windows[clip][3]
    labels = dataset.poses_image_px.copy()
    labels[frame, 5, 0] = np.nan
    order = ClipOrder(len(windows), 8, seed=0, flip=True)
    step = next(s for s in range(10) if (windows[order.indices(s)] == frame).any())
    return dataclasses.replace(dataset, poses_image_px=labels), step + 1


def test_divergence_names_step_and_term_and_keeps_the_last_good(tmp_path):
    order = ClipOrder(
        len(training_windows(tiny.dataset().videos, 8, 4).inputs), 8, seed=0, flip=True
    )
    options = [with_bad_label(int(clip)) for clip in order.indices(3)]
    dataset, bad = next(option for option in options if option[1] > 2)
    for _ in range(2):  # trying again fails in the same way
        with pytest.raises(DivergedError) as caught:
            run(tmp_path, splits={"train": dataset}, checkpoint__every_steps=1)
        assert f"training diverged at step {bad}: mpjpe is nan" in str(caught.value)
        assert "\n" not in str(caught.value)
        stored = checkpoints.load(tmp_path, "latest")
        assert stored.step == bad - 1
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stored.state))


def test_unsound_state_is_not_saved(tmp_path, monkeypatch):
    unreplicate = parallel.unreplicate

    def overflown(tree):
        host = unreplicate(tree)
        host.params["network"]["shrink"]["bias"][1] = np.inf
        return host

    monkeypatch.setattr(parallel, "unreplicate", overflown)
    message = "training diverged at step 1: params/network/shrink/bias is not finite"
    with pytest.raises(DivergedError, match=message):
        run(tmp_path, training__max_steps=1)
    assert checkpoints.steps_in(tmp_path / "checkpoints") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_stops(baseline, tmp_path, monkeypatch, number):
    workdir, expected = baseline
    indices = ClipOrder.indices

    def indices_or_signal(self, step):
        if step == 2:
            signal.raise_signal(number)
        return indices(self, step)

    before = signal.getsignal(number)
    monkeypatch.setattr(ClipOrder, "indices", indices_or_signal)
    result = run(tmp_path)
    monkeypatch.undo()
    assert (result.step, result.finished, result.interrupted) == (3, False, number)
    assert signal.getsignal(number) == before
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [3]
    result = run(tmp_path)
    assert_close(result.variables, expected.variables, rtol=0)
    assert tiny.records(tmp_path) == tiny.records(workdir)


def test_messages(tmp_path, baseline):
    workdir, _ = baseline
    with pytest.raises(InputError, match="batch_size 8 does not divide over 3 devices"):
        run(tmp_path, devices=3)
    with pytest.raises(InputError, match="2 devices x training.accumulate 3"):
        run(tmp_path, devices=2, training__accumulate=3)
    with pytest.raises(InputError, match="no 'train'"):
        run(tmp_path, splits={})
    with pytest.raises(InputError, match="unknown training.root"):
        run(tmp_path, training__root="hip")
    with pytest.raises(InputError) as caught:
        run(workdir, training__learning_rate=0.5, clip__stride=2, training__log_every=1)
    assert str(caught.value) == (
        f"{workdir} holds a run with another config: clip.stride=2 (was 4), "
        "training.learning_rate=0.5 (was 0.003); use another --workdir, the same values, or "
        "--restart to begin anew"
    )
    with pytest.raises(InputError, match=re.escape("the fingerprint of train differs")):
        run(workdir, splits={"train": tiny.dataset(seed=5)})


def test_a_workdir_in_use_is_refused_and_not_touched(baseline, tmp_path):
    workdir, _ = baseline
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.name != ".lock"}
    with sole_writer(workdir), pytest.raises(InputError, match="is in use by this process"):
        run(workdir)
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time


def test_full_disk(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    # Every file is written under a name of its own first: here, onto a full device.
    (tmp_path / "config.json.tmp").symlink_to("/dev/full")
    with pytest.raises(InputError, match=f"no space left on the disk while writing {tmp_path}"):
        run(tmp_path)


def test_without_tensorboard(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with caplog.at_level(logging.INFO, logger="jrepose"):
        run(tmp_path, training__max_steps=1)
    assert caplog.text.count("pip install '.[tensorboard]'") == 1
    assert not (tmp_path / "tensorboard").exists()
