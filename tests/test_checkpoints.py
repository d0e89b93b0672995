"""Checkpoints: what is written comes back, damage is noticed, the right ones are kept."""

import errno
import gc
import json
import pathlib
import shutil
import zlib

import numpy as np
import pytest

from jrepose import checkpoints
from jrepose.errors import InputError


def make_state(step, scale=1.0):
    random = np.random.default_rng(step)
    return {
        "step": np.asarray(step, np.int32),
        "params": {"layer": {"kernel": scale * random.normal(size=(40, 30)).astype(np.float32)}},
        "optimizer": {"0": {"mu": random.normal(size=7).astype(np.float32)}, "1": {}},
        "objective": {},
        "ema": {},
    }


def save(writer, step, score=None, **changes):
    arguments = {
        "config": {"name": "x", "numbers": (1, 2)},
        "data": {"train": "abc"},
        "validation": None if score is None else {"mpjpe": score, "pck": 90.0},
        "log": {"count": 2, "sums": {"total": 0.1 + 0.2}},
    }
    writer.save(step, make_state(step), **{**arguments, **changes})


def write_run(workdir, scores, keep=3, by="mpjpe"):
    writer = checkpoints.CheckpointWriter(workdir, keep, by)
    for step, score in scores.items():
        save(writer, step, score)
    writer.close()


def test_comes_back_as_written(tmp_path):
    write_run(tmp_path, {4: 50.0})
    found = checkpoints.load(tmp_path)
    expected = make_state(4)
    assert found.step == 4 and found.path == tmp_path / "checkpoints" / "4"
    np.testing.assert_array_equal(
        found.state["params"]["layer"]["kernel"], expected["params"]["layer"]["kernel"]
    )
    assert found.state["step"].dtype == np.int32 and found.state["step"] == 4
    assert found.state["optimizer"]["1"] == {} and found.state["ema"] == {}
    assert found.config == {"name": "x", "numbers": [1, 2]}
    assert found.data == {"train": "abc"}
    assert found.validation == {"mpjpe": 50.0, "pck": 90.0}
    assert found.log == {"count": 2, "sums": {"total": 0.1 + 0.2}}
    assert found.variables["params"].keys() == {"layer"}


def test_average_is_preferred_to_predict_with():
    found = checkpoints.Checkpoint(
        pathlib.Path("x"), 1, {"params": {"a": 1}, "ema": {"a": 2}}, {}, {}, None, {}
    )
    assert found.variables == {"params": {"a": 2}}


def test_keeps_newest_and_best(tmp_path):
    write_run(tmp_path, {1: 9.0, 2: 3.0, 3: None, 4: 5.0, 5: 3.0, 6: None, 7: None}, keep=2)
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [2, 6, 7]
    assert checkpoints.load(tmp_path, "best").step == 2
    assert checkpoints.load(tmp_path / "checkpoints", "latest").step == 7
    assert checkpoints.load(tmp_path / "checkpoints" / "6").step == 6
    # A continued run knows what is there.
    assert checkpoints.known_scores(tmp_path / "checkpoints", "mpjpe") == {2: 3.0, 6: None, 7: None}
    writer = checkpoints.CheckpointWriter(tmp_path, 2, "mpjpe")
    assert writer.best_score == 3.0 and writer.newest == 7
    save(writer, 8, 2.0)
    save(writer, 9)
    writer.close()
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [8, 9]


def test_best_by_another_score_whose_way_up_is_its_own(tmp_path):
    for by, best in (("pck", 5), ("n_mpjpe", 2)):
        workdir = tmp_path / by
        writer = checkpoints.CheckpointWriter(workdir, 1, by)
        for step, value in {1: 70.0, 2: 60.0, 5: 90.0, 7: 80.0}.items():
            save(writer, step, 1.0, validation={"mpjpe": float(step), by: value})
        save(writer, 9, 1.0, validation={"mpjpe": 0.0})  # could not be computed there
        assert writer.best_score == (90.0 if by == "pck" else 60.0)
        writer.close()
        assert checkpoints.steps_in(workdir / "checkpoints") == [best, 9]
        assert checkpoints.load(workdir, "best").step == best


def test_not_a_number_is_never_best(tmp_path):
    write_run(tmp_path, {1: float("nan"), 2: 7.0, 3: float("nan")})
    assert checkpoints.load(tmp_path, "best").step == 2


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def truncate(folder):
    largest = max(files_of(folder / "state"), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: len(content) // 2])


def flip_byte(folder):
    largest = max(files_of(folder / "state"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content)


def lose_arrays(folder):
    shutil.rmtree(folder / "state" / "d", ignore_errors=True)
    shutil.rmtree(folder / "state" / "ocdbt.process_0")


def lose_description(folder):
    (folder / "meta" / "metadata").unlink()


def lose_state(folder):
    shutil.rmtree(folder / "state")


def edit_description(folder):
    path = folder / "meta" / "metadata"
    path.write_text(path.read_text().replace("abc", "abd"))


def empty_description(folder):
    (folder / "meta" / "metadata").write_bytes(b"")


def swap_arrays(folder):
    """The state of another step: readable, but not what the description says."""
    shutil.rmtree(folder / "state")
    shutil.copytree(folder.parent / "1" / "state", folder / "state")


DAMAGES = [
    truncate,
    flip_byte,
    lose_arrays,
    lose_description,
    lose_state,
    edit_description,
    empty_description,
    swap_arrays,
]


@pytest.fixture(scope="module")
def three_saved(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("saved")
    write_run(workdir, {1: None, 2: None, 3: None})
    return workdir


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_newest_is_reported_and_the_one_before_used(three_saved, tmp_path, damage):
    shutil.copytree(three_saved, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "checkpoints" / "3")
    with pytest.raises(checkpoints.DamagedCheckpoint):
        checkpoints.read(tmp_path / "checkpoints" / "3")
    found, complaints = checkpoints.newest_intact(tmp_path)
    assert found.step == 2
    assert len(complaints) == 1 and "\n" not in complaints[0]
    assert complaints[0].startswith(f"damaged checkpoint {tmp_path}/checkpoints/3: ")
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [1, 2]
    assert (tmp_path / "damaged_checkpoints" / "3").is_dir()
    # Its step can be written again.
    writer = checkpoints.CheckpointWriter(tmp_path, 3, "mpjpe")
    save(writer, 3)
    writer.close()
    assert checkpoints.load(tmp_path, "latest").step == 3


def test_every_flipped_byte_is_harmless_or_noticed(tmp_path):
    write_run(tmp_path, {1: None})
    folder = tmp_path / "checkpoints" / "1"
    good = checkpoints.read(folder)
    kernel = good.state["params"]["layer"]["kernel"]
    random = np.random.default_rng(0)
    noticed = 0
    for path in files_of(folder):
        original = path.read_bytes()
        for position in random.integers(len(original), size=2):
            content = bytearray(original)
            content[position] ^= 1 << int(random.integers(8))
            path.write_bytes(content)
            try:
                again = checkpoints.read(folder)
            except checkpoints.DamagedCheckpoint:
                noticed += 1
            else:
                np.testing.assert_array_equal(again.state["params"]["layer"]["kernel"], kernel)
                assert (again.step, again.config, again.data) == (1, good.config, good.data)
        path.write_bytes(original)
    assert noticed > 5


def test_all_damaged_stops_and_stays(tmp_path):
    write_run(tmp_path, {1: None, 2: None})
    for step in "12":
        truncate(tmp_path / "checkpoints" / step)
    for _ in range(2):  # a second start must not take the workdir for an empty one
        with pytest.raises(InputError, match=r"all checkpoints of .*/2: .*--restart") as caught:
            checkpoints.newest_intact(tmp_path)
        assert "\n" not in str(caught.value)
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [1, 2]
    # Earlier versions moved the last one aside too.
    (tmp_path / "checkpoints").rename(tmp_path / "damaged_checkpoints")
    with pytest.raises(InputError, match="--restart"):
        checkpoints.newest_intact(tmp_path)


@pytest.mark.parametrize("damage", [truncate, lose_arrays], ids=lambda damage: damage.__name__)
def test_damage_is_told_in_one_line_only(tmp_path, caplog, capfd, damage):
    """Nor do reads that fail beside the first one speak up later."""
    state = {"params": {str(k): np.ones((20, 20), np.float32) * k for k in range(40)}, "ema": {}}
    writer = checkpoints.CheckpointWriter(tmp_path, 1, "mpjpe")
    writer.save(1, state, config={}, data={}, validation=None, log={})
    writer.close()
    damage(tmp_path / "checkpoints" / "1")
    with pytest.raises(checkpoints.DamagedCheckpoint):
        checkpoints.read(tmp_path / "checkpoints" / "1")
    gc.collect()
    assert caplog.records == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", None),
        ("step", True),
        ("config", "x"),
        ("data", None),
        ("log", []),
        ("arrays", {}),
        ("validation", {"mpjpe": "x"}),
        ("description", 5),
        ("description", {"frame_rates": 50.0}),
        ("description", {"clip": None}),
        ("description", {"joints": "head"}),
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_damage(tmp_path, field, value):
    """Though its checksum is right: another program may have written it."""
    write_run(tmp_path, {1: 9.0})
    path = tmp_path / "checkpoints" / "1" / "meta" / "metadata"
    meta = json.loads(path.read_text())
    del meta["checksum"]
    meta[field] = value
    path.write_text(json.dumps({**meta, "checksum": zlib.crc32(checkpoints._canonical(meta))}))
    said = "array .* does not match" if field == "arrays" else f"description has .* as .*{field}"
    if isinstance(value, dict) and value:
        said = f"description has .* as .*{next(iter(value))}"
    with pytest.raises(checkpoints.DamagedCheckpoint, match=said):
        checkpoints.load(tmp_path)


def test_a_state_without_parameters_is_damage(tmp_path):
    writer = checkpoints.CheckpointWriter(tmp_path, 1, "mpjpe")
    state = {"params": make_state(1)["params"]}
    writer.save(1, state, config={}, data={}, validation=None, log={})
    writer.close()
    with pytest.raises(checkpoints.DamagedCheckpoint, match="its state has no params and ema"):
        checkpoints.load(tmp_path)


def test_a_config_without_model_is_said_where_one_is_needed(tmp_path):
    write_run(tmp_path, {1: 9.0})
    with pytest.raises(InputError, match="checkpoints/1: its config has None as model"):
        _ = checkpoints.load(tmp_path).model


def test_a_checkpoint_removed_while_it_is_read_is_not_damaged(tmp_path, monkeypatch):
    write_run(tmp_path, {1: None, 2: None})
    read = checkpoints.read

    def read_late(path):
        if path.name == "2" and path.exists():  # the run has saved 3 and removed 2
            path.rename(tmp_path / "checkpoints" / "3")
        return read(path)

    monkeypatch.setattr(checkpoints, "read", read_late)
    with pytest.raises(checkpoints.DamagedCheckpoint):
        checkpoints.read(tmp_path / "checkpoints" / "2")
    (tmp_path / "checkpoints" / "3").rename(tmp_path / "checkpoints" / "2")
    assert checkpoints.load(tmp_path, "latest").path.name == "3"
    (tmp_path / "checkpoints" / "3").rename(tmp_path / "checkpoints" / "2")
    with pytest.raises(InputError, match="removed faster than they can be read"):
        checkpoints.load(tmp_path / "checkpoints" / "2")


def test_workdir_removed_during_the_run_ends_it(tmp_path):
    writer = checkpoints.CheckpointWriter(tmp_path / "run", 1, "mpjpe")
    save(writer, 1)
    writer.wait()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(
        InputError, match=f"cannot write {tmp_path}/run/checkpoints: it was removed"
    ):
        save(writer, 2)
    shutil.copytree(tmp_path, tmp_path / "run" / "checkpoints")  # a new one of the same name
    with pytest.raises(InputError, match="it was removed"):
        save(writer, 2)
    assert not (tmp_path / "run" / "checkpoints" / "2").exists()
    writer.close()


def test_unfinished_write_does_not_count(tmp_path):
    write_run(tmp_path, {1: None})
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    unfinished.mkdir()
    assert checkpoints.newest_intact(tmp_path)[0].step == 1
    writer = checkpoints.CheckpointWriter(tmp_path, 3, "mpjpe")
    save(writer, 2)
    writer.close()
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [1, 2]
    assert not unfinished.exists()


def test_messages(tmp_path):
    with pytest.raises(InputError, match=f"no checkpoint in {tmp_path}/checkpoints"):
        checkpoints.load(tmp_path)
    with pytest.raises(InputError, match="expected best or latest"):
        checkpoints.load(tmp_path, "worst")
    assert checkpoints.newest_intact(tmp_path) == (None, [])
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ValueError("RESOURCE_EXHAUSTED: ... No space left on device [os_error_code='28']"),
        ValueError("RESOURCE_EXHAUSTED: ... [os_error_code='28']"),
    ):
        with pytest.raises(InputError, match="no space left on the disk while writing runs/x"):
            with checkpoints.readable_disk_errors("runs/x"):
                raise error
    with pytest.raises(ValueError, match="other"):
        with checkpoints.readable_disk_errors("runs/x"):
            raise ValueError("other")


def test_full_disk_ends_in_one_line_and_spares_the_last(tmp_path, monkeypatch):
    writer = checkpoints.CheckpointWriter(tmp_path, 1, "mpjpe")
    save(writer, 1)
    writer.wait()

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(writer._manager._checkpointer), "save", refuse)
    with pytest.raises(InputError, match="no space left on the disk"):
        save(writer, 2)
    monkeypatch.undo()
    assert checkpoints.steps_in(tmp_path / "checkpoints") == [1]
    assert checkpoints.load(tmp_path).step == 1
    meta = json.loads((tmp_path / "checkpoints" / "1" / "meta" / "metadata").read_text())
    assert meta["arrays"]["params/layer/kernel"][:2] == ["float32", [40, 30]]
