import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from evaluation.conftest import make_dataset

from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation import tables
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.files import atomic_path


def evaluated(dataset, seed=0):
    index, _, scored = evaluation_windows(dataset.videos, 9, 9)
    noise = np.random.default_rng(seed).normal(size=(*dataset.confidence.shape, 3), scale=0.02)
    predicted = (dataset.model_targets() + noise).astype(np.float32)
    return evaluate_predictions(dataset, predicted[index], index, scored, settings={"flip": True})


@pytest.fixture(scope="module")
def dataset():
    made = make_dataset(((20, "Walking"), (12, "Directions"), (9, "Sitting")))
    visible = made.visible.copy()
    visible[:20:2, 16] = False
    return dataclasses.replace(made, visible=visible)


@pytest.fixture(scope="module")
def result(dataset):
    return evaluated(dataset)


def test_action_table_has_the_papers_order_and_numbers(result):
    lines = tables.action_table(result).splitlines()
    assert lines[0].split() == ["Dir.", "Sit", "Walk", "mean"]
    mpjpe = [float(cell) for cell in lines[2].removeprefix("MPJPE [mm]").split()]
    expected = [result.per_action[a]["mpjpe"] for a in ("Directions", "Sitting", "Walking")]
    np.testing.assert_allclose(mpjpe, [*expected, result.scores["mpjpe"]], atol=0.051)
    occluded = next(line for line in lines if line.startswith("MPJPE occluded"))
    assert occluded.split()[3:5] == ["-", "-"]
    assert len({len(line) for line in lines if line}) == 1


def test_wide_tables_are_cut_into_blocks():
    result = evaluated(make_dataset([(9, name) for name in tables.HUMAN36M_ACTIONS]))
    text = tables.action_table(result, width=80)
    assert max(map(len, text.splitlines())) <= 80
    expected = [*tables.HUMAN36M_ACTIONS.values(), "mean"]
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    assert [h for block in blocks for h in block.splitlines()[0].split()] == expected


def test_other_actions_are_in_alphabetical_order():
    assert tables.order_actions(["walk", "jump", "Sitting"]) == ["Sitting", "jump", "walk"]
    assert tables.order_actions(["Walking", "Eating"]) == ["Eating", "Walking"]


def test_joint_table_and_summary(result):
    lines = tables.joint_table(result).splitlines()
    assert len(lines) == 2 + 17
    wrist = next(line for line in lines if line.startswith("right wrist"))
    assert f"{result.per_joint['right_wrist']['mpjpe_occluded']:.1f}" in wrist
    summary = tables.summary(result)
    assert "41 of 41 frames in 3 videos" in summary
    assert summary.endswith(tables.headline(result))
    assert f"MPJPE {result.scores['mpjpe']:.1f} mm" in tables.headline(result)


def test_json_holds_everything_and_no_nan(result, tmp_path):
    tables.write_json(result, tmp_path / "scores.json")
    content = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert content["scores"] == dict(result.scores)
    assert content["per_action"]["Sitting"]["frames"] == 9
    assert content["per_action"]["Sitting"]["mpjpe_occluded"] is None
    assert set(content["per_joint"]) == set(result.per_joint)
    assert content["settings"]["flip"] is True and content["settings"]["scored_frames"] == 41


def test_csv(result, tmp_path):
    tables.write_action_csv(result, tmp_path / "actions.csv")
    tables.write_joint_csv(result, tmp_path / "joints.csv")
    with open(tmp_path / "actions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["action"] for row in rows] == ["Directions", "Sitting", "Walking", "mean"]
    assert [int(row["frames"]) for row in rows] == [12, 9, 20, 41]
    assert rows[0]["mpjpe_occluded"] == ""
    assert float(rows[-1]["pa_mpjpe"]) == result.scores["pa_mpjpe"]
    with open(tmp_path / "joints.csv", newline="") as file:
        joints = list(csv.DictReader(file))
    assert len(joints) == 17 and float(joints[16]["occluded"]) == pytest.approx(100 * 10 / 41)


def test_predictions_can_be_scored_from_the_file(result, dataset, tmp_path):
    tables.write_predictions(result, dataset, tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        stored = dict(file)
    assert all(array.dtype != object for array in stored.values())
    error = np.linalg.norm(stored["poses_mm"] - stored["targets_mm"], axis=-1)
    np.testing.assert_allclose(error, stored["error_mm"], atol=1e-3)
    np.testing.assert_array_equal(stored["video"], [0] * 20 + [1] * 12 + [2] * 9)
    np.testing.assert_array_equal(stored["frame"][20:23], [0, 1, 2])
    assert list(stored["video_names"]) == ["v0", "v1", "v2"]
    assert stored["joint_names"][16] == "right_wrist" and stored["evaluated"].all()
    assert stored["frame_rate"][0] == 50.0


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "deep" / "scores.json"
    with atomic_path(target) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["scores.json"]


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*file/scores.json") as caught:
        with atomic_path(tmp_path / "file" / "scores.json") as temporary:
            temporary.write_text("")
    assert "\n" not in str(caught.value)


def test_nan_scores_are_dashes(result):
    broken = dataclasses.replace(result, scores={**result.scores, "mpjpe": math.nan})
    assert tables.action_table(broken).splitlines()[2].split()[-1] == "-"
