"""A step that does not fit is refused before it is run, or computed in more parts."""

import logging
import types
from unittest import mock

import jax
import numpy as np
import pytest
import tiny

from jrepose import checkpoints, parallel
from jrepose.errors import InputError
from jrepose.training import memory
from jrepose.training.experiment import Experiment
from jrepose.training.loop import train

# Of the programs below: 100 bytes whatever the parts, and 800 over their number.
FIXED, DIVIDED, CLIPS = 100, 800, 12


def experiment(devices=1):
    """One whose step of n micro-batches needs FIXED + DIVIDED / n bytes; and the n compiled."""
    compiled = []

    def make_step(parts):
        compiled.append(parts)
        program = mock.Mock(spec=jax.stages.Compiled)
        program.memory_analysis.return_value = types.SimpleNamespace(
            temp_size_in_bytes=DIVIDED // parts + 20, argument_size_in_bytes=140,
            output_size_in_bytes=50, alias_size_in_bytes=40, generated_code_size_in_bytes=10,
        )  # fmt: skip
        return mock.Mock(lower=lambda *shapes: mock.Mock(compile=lambda: program))

    made = mock.Mock(spec=Experiment, make_step=make_step)
    made.devices = parallel.select_devices(devices)
    made.state = {"w": np.zeros(3)}
    # Of the 140 bytes of arguments 80 are on the device.
    made.batches = mock.Mock(
        arrays={"x": parallel.shard(np.zeros(20 * devices, "f4"), made.devices)}
    )
    made.batches.selection.return_value = {}
    return made, compiled


@pytest.fixture
def free(monkeypatch):
    """Sets what is free."""
    return lambda count: monkeypatch.setattr(memory, "free_bytes", lambda device: count)


def fit(accumulate, begun=None, devices=1, clips=CLIPS):
    made, compiled = experiment(devices)
    config = tiny.ranking_config(
        training__batch_size=clips * devices, training__accumulate=accumulate
    )
    return memory.compile_step(made, config, begun=begun), compiled


def test_what_fits_is_compiled_once(free):
    free(FIXED + DIVIDED)
    for accumulate, taken in ((1, 1), (3, 3), ("auto", 1)):
        step, compiled = fit(accumulate)
        assert step.accumulate == taken and compiled == [taken]
        assert step.room.needed == FIXED + DIVIDED // taken
    free(None)
    assert fit(1)[0].room.fits


@pytest.mark.parametrize(
    "count, taken, compiled",
    [
        (FIXED + DIVIDED - 1, 2, [1, 2]),
        (FIXED + DIVIDED // 4, 4, [1, 4]),
        (FIXED + DIVIDED // 4 - 1, 6, [1, 4, 6]),
        (FIXED + DIVIDED // 12, 12, [1, 12]),
    ],
)
def test_auto_takes_the_fewest_parts_that_fit(free, count, taken, compiled):
    free(count)
    step, tried = fit("auto")
    assert step.accumulate == taken and tried == compiled


def test_the_line_says_what_would_fit(free):
    free(FIXED + DIVIDED // 3)
    with pytest.raises(InputError) as caught:
        fit(1)
    assert str(caught.value) == (
        "a training step needs 0.0 MiB of memory, 0.0 MiB is free; set training.accumulate=3 "
        "(0.0 MiB) or auto, model.remat=True, or a smaller training.batch_size"
    )
    free(FIXED)
    for accumulate in (1, "auto"):
        with pytest.raises(InputError, match="too much even with training.accumulate=12, clip by"):
            fit(accumulate)
    assert str(memory.Room(50 * 2**30, 0, 3 * 2**29)) == "50.0 GiB of memory, 1.5 GiB is free"


def test_the_devices_of_a_cpu_share_its_memory(free):
    free(2 * (FIXED + DIVIDED) - 1)
    assert fit("auto", devices=2)[0].accumulate == 2
    free(2 * (FIXED + DIVIDED))
    step, _ = fit("auto", devices=2)
    assert (step.accumulate, step.room.needed) == (1, 2 * (FIXED + DIVIDED))


def test_processes_of_a_machine_share_its_memory_and_decide_together(free, monkeypatch):
    def others(*places):
        monkeypatch.setattr(parallel, "gather", lambda mine: [mine, *places])

    free(2 * (FIXED + DIVIDED))
    others([memory._machine(), FIXED + DIVIDED, DIVIDED, 2 * (FIXED + DIVIDED) - 1])
    assert not fit_of(1).fits
    others(["elsewhere", FIXED + DIVIDED, DIVIDED, FIXED + DIVIDED - 1])
    assert not fit_of(1).fits
    others(["elsewhere", FIXED + DIVIDED, DIVIDED, FIXED + DIVIDED])
    assert fit_of(1).fits
    others(["elsewhere", FIXED + DIVIDED, DIVIDED, None])
    assert fit_of(1).free == 2 * (FIXED + DIVIDED)


def fit_of(parts):
    made, _ = experiment()
    return memory._room(made.make_step(parts).lower().compile().memory_analysis(), made)


def test_a_run_that_goes_on_keeps_its_parts(free, caplog):
    free(FIXED + DIVIDED)
    assert fit("auto", begun=4)[0].accumulate == 4
    assert not caplog.records
    free(FIXED + DIVIDED // 6)
    with caplog.at_level(logging.WARNING, "jrepose"):
        assert fit("auto", begun=4)[0].accumulate == 6
    assert "begun with training.accumulate=4 and goes on with 6" in caplog.text
    free(FIXED + DIVIDED // 3)
    # On more devices than before: two or three clips each.
    assert fit("auto", begun=4, clips=3)[0].accumulate == 3
    free(FIXED + DIVIDED)
    assert fit("auto", begun=6, clips=2)[0].accumulate == 2
    free(1)
    with pytest.raises(InputError, match="a run keeps the settings .* --restart with training.acc"):
        fit(2, begun=2)


class CompiledOnly:
    """A data-parallel step that cannot be called, which would compile it once more."""

    def __init__(self, step):
        self.lower = step.lower

    def __call__(self, *arguments):
        raise AssertionError("a step was called that is compiled already")


def test_a_run(tmp_path, monkeypatch, caplog):
    """Parts that were chosen are kept and told; what does not fit leaves nothing behind."""
    data_parallel, splits = parallel.data_parallel, {"train": tiny.dataset()}
    monkeypatch.setattr(
        parallel, "data_parallel", lambda step, **how: CompiledOnly(data_parallel(step, **how))
    )
    devices = parallel.select_devices(1)

    def run(steps):
        config = tiny.config(training__accumulate="auto", training__max_steps=steps)
        return train(config, tmp_path / "run", splits, devices=devices)

    rooms, room = [], memory._room
    monkeypatch.setattr(memory, "_room", lambda *of: rooms.append(room(*of)) or rooms[-1])
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1)
    with pytest.raises(InputError, match=r"needs \d\.\d MiB of memory, 0.0 MiB is free; too much"):
        run(2)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    (whole,) = rooms
    assert whole.needed > whole.temporary > 0.5 * whole.needed
    free = whole.needed - whole.temporary // 3
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    with caplog.at_level(logging.INFO, "jrepose"):
        assert run(2).finished
    assert "parameters, on 1 x cpu; 35 clips of 8 frames an epoch, 2 steps of 8" in caplog.text
    assert f"a training step needs {rooms[-1]}" in caplog.text
    kept = checkpoints.load(tmp_path / "run").config["training"]["accumulate"]
    assert kept in (2, 4)
    monkeypatch.setattr(memory, "free_bytes", lambda device: None)
    assert run(3).step == 3
    assert checkpoints.load(tmp_path / "run").config["training"]["accumulate"] == kept
