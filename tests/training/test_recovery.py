"""Runs in their own processes: killed, stopped, resumed, and on two processes."""

import os
import signal
import socket

import compilation
import jax
import numpy as np
import pytest
import tiny
from forked import Forks

from jrepose import checkpoints

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(scope="module")
def start():
    """Starts a run in a process of its own."""
    with Forks() as forks:

        def start(workdir, *arguments, devices=1):
            flags = f"--xla_force_host_platform_device_count={devices} {compilation.FLAGS}"
            return forks.start(workdir, *arguments, XLA_FLAGS=flags)

        yield start


@pytest.fixture(scope="module")
def run(start):
    """The same, to the end that is expected; returns what it said."""

    def run(workdir, *arguments, status=0):
        found, output = start(workdir, *arguments).end()
        assert found == status, output
        return output

    return run


def final(workdir):
    return checkpoints.load(workdir, "latest")


def assert_same_run(a, b):
    """Every array of the last checkpoint, bit for bit, and every number of the log."""
    a_leaves = jax.tree_util.tree_leaves_with_path(final(a).state)
    b_leaves = jax.tree_util.tree_leaves_with_path(final(b).state)
    assert len(a_leaves) == len(b_leaves) > 20
    for (path, left), (other_path, right) in zip(a_leaves, b_leaves, strict=True):
        assert path == other_path and left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, err_msg=str(path))
    assert tiny.records(a) == tiny.records(b)
    assert final(a).validation == final(b).validation


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    output = run(workdir)
    assert "result 14 True None" in output
    # Saved every 5 steps, at each epoch's end (5, 9, 14) and at the end.
    assert [r["step"] for r in tiny.records(workdir) if "loss/total" in r] == [4, 8, 12, 14]
    assert [r["step"] for r in tiny.records(workdir) if "validation/mpjpe" in r] == [5, 9, 14]
    return workdir


def test_one_that_hangs_is_killed(start, tmp_path):
    process = start(tmp_path)
    with pytest.raises(TimeoutError, match="did not end within 0.1 s and was killed; it said"):
        process.end(limit_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_stop_at_any_moment_and_resume(run, undisturbed, tmp_path):
    folder = tmp_path / "checkpoints"
    # Killed while the first checkpoint is being written; told to stop, and saving first; killed in
    # the middle, with steps in flight and logged that the newest checkpoint does not have; killed
    # while the last one is being written.
    run(tmp_path, "--kill_while_saving", 5, status=-signal.SIGKILL)
    assert checkpoints.steps_in(folder) == [] and len(tiny.records(tmp_path)) == 2
    output = run(tmp_path, "--terminate_before", 6, status=130)
    assert "stopped at step 7 of 14" in output
    assert final(tmp_path).step == 7
    output = run(tmp_path, "--kill_before", 13, status=-signal.SIGKILL)
    assert f"continuing {tmp_path} at step 7" in output
    newest = checkpoints.steps_in(folder)[-1]
    assert newest in (9, 10)  # writing 10 may not have ended
    assert tiny.records(tmp_path)[-1]["step"] >= 8
    output = run(tmp_path, "--kill_while_saving", 14, status=-signal.SIGKILL)
    assert f"continuing {tmp_path} at step {newest}" in output
    unfinished = [entry.name for entry in folder.iterdir() if "tmp" in entry.name]
    assert len(unfinished) == 1 and unfinished[0].startswith("14.")
    assert checkpoints.steps_in(folder)[-1] == 10
    assert tiny.records(tmp_path)[-1]["step"] == 14
    # The newest checkpoint is damaged on top of it.
    victim = max((folder / "10" / "state").rglob("*"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    output = run(tmp_path)
    assert output.count(f"damaged checkpoint {folder}/10: ") == 1
    assert "step 9" in output and "result 14 True None" in output
    assert_same_run(tmp_path, undisturbed)
    assert checkpoints.steps_in(folder) == checkpoints.steps_in(undisturbed / "checkpoints")


def test_processes_train_as_one_and_go_on_with_fewer(start, undisturbed, tmp_path):
    def together(count, *arguments, killed=None):
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            address = f"localhost:{probe.getsockname()[1]}"
        fleet = ("--coordinator", address, "--processes", count, "--process")
        victim = {killed: ("--kill_before", 12)}
        processes = [
            start(tmp_path, *fleet, k, *arguments, *victim.get(k, ()), devices=4 // count)
            for k in range(count)
        ]
        return zip(*[process.end() for process in processes], strict=True)

    # One process is told to stop: both do, after the same step, and save.
    codes, outputs = together(2, "--terminate_before", 6)
    assert codes == (130, 130), outputs
    stopped_at = final(tmp_path).step
    assert 7 <= stopped_at < 12
    # One of four is killed: the others end, each with a line, and what was saved is good.
    codes, outputs = together(4, killed=2)
    assert codes == (2, 2, -signal.SIGKILL, 2), outputs
    assert f"step {stopped_at}" in outputs[0]
    for k in (0, 1, 3):
        assert "error: process 2 " in outputs[k] and "Traceback" not in outputs[k], outputs[k]
    newest = checkpoints.steps_in(tmp_path / "checkpoints")[-1]
    assert newest in (9, 10)  # writing 10 may not have ended
    codes, outputs = together(2)
    assert codes == (0, 0), outputs
    assert f"step {newest}" in outputs[0]
    one, two = final(undisturbed), final(tmp_path)
    for left, right in zip(
        jax.tree.leaves(one.state["params"]), jax.tree.leaves(two.state["params"]), strict=True
    ):
        np.testing.assert_allclose(left, right, atol=2e-4)
    ours, theirs = tiny.records(tmp_path), tiny.records(undisturbed)
    assert [r["step"] for r in ours] == [r["step"] for r in theirs]
    for left, right in zip(ours, theirs, strict=True):
        if "loss/total" in left:
            assert left["loss/total"] == pytest.approx(right["loss/total"], rel=1e-4)
    # Only the first process speaks and writes.
    assert "validation MPJPE" in outputs[0] and "validation MPJPE" not in outputs[1]
