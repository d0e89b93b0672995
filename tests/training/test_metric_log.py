"""The metric log: means, truncation on resume, TensorBoard."""

import json
import math
import os

import pytest

from jrepose.errors import InputError
from jrepose.training.metric_log import DivergedError, MetricLog, check_finite


def metrics(value, **changes):
    return {
        "total": value,
        "terms": {"mpjpe": 2 * value, "weight/mpjpe": 1.0},
        "gradient_norm": 0.5,
        "learning_rate": 0.1 * value,
        "stop": 0,
        **changes,
    }


def write(workdir, start, stop, pending=None, every=3, last=None):
    log = MetricLog(workdir, every, step=start, pending=pending or {})
    for step in range(start + 1, stop + 1):
        log.add(step, step / 4, metrics(float(step)), batch_size=8, last=step == last)
    pending = log.pending
    log.close()
    return pending


def lines(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k != "clips_per_s"} for r in records]


def test_means_over_the_steps_of_a_record(tmp_path):
    write(tmp_path, 0, 5, last=5)
    assert lines(tmp_path) == [
        {
            "step": step,
            "epoch": step / 4,
            "loss/total": mean,
            "gradient_norm": 0.5,
            "loss/mpjpe": 2 * mean,
            "weight/mpjpe": 1.0,
            "learning_rate": pytest.approx(0.1 * step),
        }
        for step, mean in ((3, 2.0), (5, 4.5))
    ]


@pytest.mark.parametrize("resumed_at", [0, 2, 3, 4, 7])
def test_resumed_log_equals_the_undisturbed_one(tmp_path, resumed_at):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    write(whole, 0, 10)
    pending = write(parts, 0, resumed_at)
    write(parts, resumed_at, 8, pending)  # goes further, then is lost
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "epo')
    # A checkpoint is JSON, so the sums must survive it exactly.
    write(parts, resumed_at, 10, json.loads(json.dumps(pending)))
    assert lines(parts) == lines(whole)


def test_damaged_lines_are_dropped_and_no_others(tmp_path, caplog):
    write(tmp_path, 0, 12)
    path = tmp_path / "metrics.jsonl"
    first, second, third, fourth = path.read_bytes().splitlines()
    bad = [b"\x00\x00garbage", b"[" * 100_000, b'{"step": "3"}', b"7", b"", b"\xff\xfe{"]
    path.write_bytes(b"\n".join([first, *bad, second, b"\x0c", third, fourth, fourth[:9]]))
    write(tmp_path, 9, 9)
    assert [record["step"] for record in lines(tmp_path)] == [3, 6, 9]
    assert "7 damaged lines dropped" in caplog.text


def test_a_log_removed_during_the_run_is_begun_anew(tmp_path, caplog):
    log = MetricLog(tmp_path, 1, step=0, pending={})
    log.add(1, 0.1, metrics(1.0), batch_size=8, last=False)
    (tmp_path / "metrics.jsonl").unlink()
    log.add(2, 0.2, metrics(1.0), batch_size=8, last=False)
    log.close()
    assert [record["step"] for record in lines(tmp_path)] == [2]
    assert "was removed or replaced" in caplog.text


def test_speed_excludes_pauses(tmp_path, monkeypatch):
    clock = iter([10.0, 14.0, 100.0, 101.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    log = MetricLog(tmp_path, 2, step=0, pending={})
    log._board = None
    log.start_clock(0)  # 10
    for step in (1, 2):
        log.add(step, 0.0, metrics(1.0), batch_size=8, last=False)  # 14
    log.start_clock(2)  # 100, after a pause
    for step in (3, 4):
        log.add(step, 0.0, metrics(1.0), batch_size=8, last=False)  # 101
    log.close()
    speeds = [json.loads(line)["clips_per_s"] for line in open(tmp_path / "metrics.jsonl")]
    assert speeds == [4.0, 16.0]


def test_scalars_reach_tensorboard(tmp_path):
    tensorboard = pytest.importorskip("tensorboardX")
    log = MetricLog(tmp_path, 1, step=0, pending={})
    log.add(1, 0.1, metrics(1.0), batch_size=8, last=False)
    log.validation(1, 0.1, {"mpjpe": 50.0})
    log.close()
    (events,) = (tmp_path / "tensorboard").glob("events.*")
    content = events.read_bytes()
    assert b"loss/mpjpe" in content and b"validation/mpjpe" in content
    assert tensorboard.__name__ == "tensorboardX"


def test_divergence_is_named():
    check_finite(3, metrics(1.0))
    bad = metrics(1.0, terms={"mpjpe": 1.0, "velocity": math.nan}, total=math.inf)
    with pytest.raises(DivergedError, match="step 7: velocity is nan, total is inf; lower"):
        check_finite(7, bad)
    with pytest.raises(DivergedError, match="gradient norm is inf"):
        check_finite(7, metrics(1.0, gradient_norm=math.inf))


def test_full_disk_is_one_line(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    log = MetricLog(tmp_path, 1, step=0, pending={})
    log._file.close()
    log._file = open("/dev/full", "w")
    message = "no space left on the disk while writing .*metrics.jsonl"
    with pytest.raises(InputError, match=message):
        log.add(1, 0.1, metrics(1.0), batch_size=8, last=False)
    with pytest.raises(InputError, match=message):
        log.close()


def test_full_disk_under_tensorboard_is_one_line(tmp_path):
    pytest.importorskip("tensorboardX")
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    log = MetricLog(tmp_path, 1, step=0, pending={})
    log._board._writer._py_recordio_writer._writer = open("/dev/full", "wb")
    with pytest.raises(InputError, match="no space left on the disk while writing .*tensorboard"):
        for step in range(1, 30):
            log.add(step, 0.1, metrics(1.0), batch_size=8, last=False)
