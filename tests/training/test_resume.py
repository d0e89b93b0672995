"""What may change between two starts of one run."""

import copy
import json

import numpy as np
import pytest
import tiny

from jrepose import checkpoints
from jrepose.config import default_config, to_json
from jrepose.errors import InputError
from jrepose.training.loop import train
from jrepose.training.resume import check_same_config, check_same_data, sole_run

SAVED = {
    "name": "x",
    "seed": 0,
    "precision": "float32",
    "task": "lifting",
    "published": None,
    "clip": {"evaluation_stride": 9},
    "context": {"path": None},
    "model": {"name": "repose", "depth": 2},
    "training": {"epochs": 3, "max_steps": None, "log_every": 20, "batch_size": 8},
    "evaluation": {"flip": True, "batch_size": 8},
    "checkpoint": {"keep": 3, "every_steps": 10},
    "data": {"path": "/here", "resident_bytes": None},
}


def change(**sections):
    changed = {k: dict(v) if isinstance(v, dict) else v for k, v in SAVED.items()}
    for section, values in sections.items():
        changed[section] = {**changed[section], **values} if isinstance(values, dict) else values
    return changed


def test_free_fields_may_change():
    check_same_config(SAVED, SAVED, "w")
    current = change(
        name="y",
        training={"epochs": 9, "max_steps": 5, "log_every": 1},
        checkpoint={"keep": 9, "every_steps": 1},
        context={"path": "/encoder"},
        data={"path": "/there", "resident_bytes": 0},
        evaluation={"batch_size": 4},
    )
    check_same_config(SAVED, current, "w")


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"seed": 1}, "seed=1 (was 0)"),
        ({"precision": "bfloat16"}, "precision='bfloat16' (was 'float32')"),
        ({"task": "denoising"}, "task='denoising' (was 'lifting')"),
        ({"model": {"depth": 3}}, "model.depth=3 (was 2)"),
        ({"training": {"batch_size": 4}}, "training.batch_size=4 (was 8)"),
        ({"training": {"freeze": ("params/.*",)}}, "training.freeze="),
        ({"training": {"schedule": {"name": "cosine"}, "epochs": 9}}, "training.epochs=9 (was 3)"),
        ({"training": {"batch_norm_momentum_end": 0.001, "epochs": 9}}, "training.epochs=9"),
    ],
)
def test_what_enters_a_step_may_not_change(changed, said):
    with pytest.raises(InputError, match="holds a run with another config") as caught:
        check_same_config(SAVED, change(**changed), "w")
    assert said in str(caught.value)


def test_a_field_that_came_to_be_later_has_its_default():
    saved = json.loads(to_json(default_config()))
    current = copy.deepcopy(saved)
    del saved["training"]["optimizer"]["smoothing"]
    check_same_config(saved, current, "w")
    current["training"]["optimizer"]["smoothing"] = 0.5
    with pytest.raises(InputError, match=r"smoothing=0.5 \(was 0.99\)"):
        check_same_config(saved, current, "w")


def test_more_epochs_where_nothing_is_spread_over_them():
    schedule = {"schedule": {"name": "epoch_decay"}, "batch_norm_momentum_end": None}
    saved = change(training=schedule)
    check_same_config(saved, change(training={**schedule, "epochs": 9}), "w")


def test_what_only_evaluation_reads_may_be_corrected(caplog):
    check_same_config(SAVED, change(evaluation={"batch_size": 4, "flip": True}), "w")
    current = change(
        evaluation={"flip": False, "root": "keep"},
        published="RePOSE",
        clip={"evaluation_stride": 3},
        data={"cache": "/tmp/c", "split": {"test": ["S9"]}},
    )
    check_same_config(SAVED, current, "w")
    assert "clip.evaluation_stride, evaluation.flip, evaluation.root changed" in caplog.text


def test_begins_anew_beside_what_was_there(tmp_path):
    for name in ("checkpoints/1", "tensorboard", "robustness", "notes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text("1")
    for restart in (False, True, True):
        with sole_run(tmp_path, {}, {}, restart=restart):
            assert (tmp_path / "checkpoints").exists() is not restart
    assert (tmp_path / "previous_1" / "metrics.jsonl").read_text() == "1"
    for name in ("checkpoints/1", "robustness"):
        assert (tmp_path / "previous_1" / name).is_dir()
    assert (tmp_path / "notes").is_dir() and not (tmp_path / "previous_2").exists()


def test_all_other_differences_are_named():
    current = change(training={"batch_size": 4}, seed=3)
    del current["model"]["depth"]
    current["model"]["remat"] = True
    with pytest.raises(InputError) as caught:
        check_same_config(SAVED, current, "runs/x")
    assert str(caught.value).startswith("runs/x holds a run with another config: ")
    for part in (
        "seed=3 (was 0)",
        "model.depth='(absent)' (was 2)",
        "model.remat=True (was False)",
        "training.batch_size=4 (was 8)",
    ):
        assert part in str(caught.value)


def test_data_must_be_the_same():
    check_same_data({"train": "a"}, {"train": "a", "validation": "b"}, "w")
    with pytest.raises(InputError, match="fingerprint of validation differs .validation: None"):
        check_same_data({"train": "a", "validation": "b"}, {"train": "a"}, "w")
    with pytest.raises(InputError, match="fingerprint of train, validation differs"):
        check_same_data({"train": "a", "validation": "b"}, {"train": "b", "validation": "c"}, "w")


def test_a_converted_checkpoint_is_no_run(tmp_path):
    writer = checkpoints.CheckpointWriter(tmp_path, 1, "mpjpe")
    state = {"params": {"a": np.zeros(2, np.float32)}, "ema": {}, "collections": {}}
    writer.save(0, state, config={"model": {"name": "repose"}}, data={}, validation=None, log={})
    writer.close()
    with pytest.raises(InputError, match="checkpoints/0 was converted, no run could go on; expec"):
        train(tiny.config(), tmp_path, {"train": tiny.dataset()})
