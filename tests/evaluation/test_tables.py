import csv
import dataclasses
import json
import math
import os
import re

import numpy as np
import pytest
from evaluation.conftest import make_dataset

from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation import tables
from jrepose.evaluation.protocol import Protocol
from jrepose.evaluation.published import published_row
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.files import atomic_path


def evaluated(dataset, seed=0, benchmark=None, published=None, **options):
    _, index, _, scored = evaluation_windows(dataset.videos, 9, 9)
    noise = np.random.default_rng(seed).normal(size=(*dataset.confidence.shape, 3), scale=0.02)
    predicted = (dataset.model_targets() + noise).astype(np.float32)
    return evaluate_predictions(
        dataset,
        predicted[index],
        index,
        scored,
        Protocol(**options),
        settings={"flip": True, "benchmark": benchmark},
        published=published,
    )


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
    assert tables.order_actions(["Box", "Jog", "Walking"]) == ["Walking", "Jog", "Box"]
    assert tables.order_actions(["Walking", "Eating"]) == ["Eating", "Walking"]


def test_tables_say_nothing_of_occlusion_where_all_is_visible():
    result = evaluated(make_dataset(((20, "Walking"), (9, "Sitting"))))
    text = tables.summary(result)
    assert "occluded" not in text and "visible" not in text and "PCK" in text


def test_a_published_row_stands_below_ours():
    made = make_dataset([(9, name) for name in tables.HUMAN36M_ACTIONS])
    row = published_row("human36m/cpn", "Pose3D-RIE")
    result = evaluated(made, published=row)
    lines = tables.action_table(result, width=1000).splitlines()
    assert [line[:20].strip() for line in lines[2:8]] == [
        "MPJPE [mm]", "Pose3D-RIE", "difference", "PA-MPJPE [mm]", "Pose3D-RIE", "difference",
    ]  # fmt: skip
    ours, theirs, difference = (line[20:].split() for line in lines[2:5])
    assert len(ours) == 16 and theirs[0] == "40.8" and theirs[-1] == "44.3"
    np.testing.assert_allclose(
        np.float64(difference), np.float64(ours) - np.float64(theirs), atol=0.11
    )
    # The paper prints only the mean of its P-MPJPE.
    assert lines[6].split() == ["Pose3D-RIE", "35.0"]
    # Blocks of actions without it do not show empty rows.
    blocks = tables.action_table(result, width=80).split("\n\n")
    assert blocks[0].count("Pose3D-RIE") == 1 and blocks[-1].count("Pose3D-RIE") == 2
    assert "Shan et al., ACM MM 2021 (CPN, T=243)" in tables.summary(result)


def test_means_over_other_actions_are_not_compared():
    made = make_dataset([(9, "Walking"), (9, "Eating")])
    for row in (
        published_row("human36m/cpn", "Pose3D-RIE"),
        published_row("human36m/cpn", "MixSTE"),
    ):
        result = evaluated(made, published=row, benchmark="human36m/cpn")
        text = tables.action_table(result)
        assert f"{row.scores['mpjpe']}" not in text
        assert "its mean is over other columns than ours and not shown" in tables.summary(result)
    # Of single actions the published numbers stay.
    row = published_row("human36m/cpn", "Pose3D-RIE")
    lines = tables.action_table(evaluated(made, published=row)).splitlines()
    assert lines[3].split() == ["Pose3D-RIE", "41.4", "30.8"]
    pooled = humaneva((), "MixSTE", by_subject=False)
    assert "28.5" not in tables.action_table(pooled)


def humaneva(exclude, system, by_subject=True):
    made = make_dataset([(20, "Walking"), (12, "Jog")] * 3)
    videos = [
        dataclasses.replace(video, subject=f"Validate/S{1 + number // 2}")
        for number, video in enumerate(made.videos)
    ]
    made = dataclasses.replace(made, videos=tuple(videos))
    row = published_row("humaneva", system)
    return evaluated(made, by_subject=by_subject, exclude=exclude, published=row)


def test_humaneva_has_a_column_for_each_action_of_each_subject(tmp_path):
    everything = humaneva((), "MixSTE")
    lines = tables.action_table(everything, width=200).splitlines()
    heads = ["Walk S1", "Walk S2", "Walk S3", "Jog S1", "Jog S2", "Jog S3", "mean"]
    assert re.split(r"\s{2,}", lines[0].strip()) == heads
    assert lines[3].split() == "MixSTE 20.3 22.4 34.8 27.3 32.1 34.3 28.5".split()

    # MixSTE's mean is of all; ours leaves a cell out, and shows both.
    result = humaneva(("S3/Walking",), "MixSTE")
    lines = tables.action_table(result, width=200).splitlines()
    assert "(Walk S3)" in lines[0] and lines[0].endswith("mean  mean of all")
    assert lines[3].split() == "MixSTE 20.3 22.4 34.8 27.3 32.1 34.3 28.5".split()
    assert lines[3].endswith("28.5") and lines[2].split()[-2:] == [
        f"{result.scores['mpjpe']:.1f}", f"{result.scores_of_all['mpjpe']:.1f}",
    ]  # fmt: skip
    assert "left out of the mean, not of 'mean of all': S3/Walking" in tables.summary(result)

    # RIE's mean leaves out the same cell.
    lines = tables.action_table(humaneva(("S3/Walking",), "Pose3D-RIE"), 200).splitlines()
    row = next(line for line in lines if line.startswith("  Pose3D-RIE"))
    assert row.split()[1:] == "13.5 9.4 47.2 20.3 12.1 12.8 13.6".split()
    assert row.endswith("        ")  # nothing below the mean of all
    lines = tables.action_table(humaneva((), "Pose3D-RIE"), 200).splitlines()
    row = next(line for line in lines if line.startswith("  Pose3D-RIE"))
    assert row.split()[1:] == "13.5 9.4 47.2 20.3 12.1 12.8".split()

    tables.write_subject_csv(result, tmp_path / "subjects.csv")
    with open(tmp_path / "subjects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["subject/action"] for r in rows if r["excluded"] == "1"] == ["Validate/S3/Walking"]
    assert len(rows) == 6 and rows[0]["frames"] == "20"
    tables.write_json(result, tmp_path / "scores.json")
    content = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert content["excluded"] == ["S3/Walking"]
    assert content["scores_of_all"]["mpjpe"] == result.scores_of_all["mpjpe"]
    assert content["published"]["columns"]["mpjpe"]["S3/Walking"] == 34.8
    assert content["per_subject"]["Validate/S3"]["Walking"]["frames"] == 20
    assert content["spread"]["poses_above_40_mm"] == result.spread["poses_above_40_mm"]


def test_exclusions_that_the_data_lacks_are_mentioned():
    text = tables.summary(humaneva(("S9/Walking",), "MixSTE"))
    assert "evaluation.exclude names what this data lacks: S9/Walking" in text
    assert "left out" not in text


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


def test_a_link_stays_and_what_is_no_file_is_not_replaced(tmp_path):
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to("deep/scores.json")
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and (tmp_path / "deep" / "scores.json").read_text() == "new"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "no regular file"), (tmp_path / "deep", "a folder")):
        with pytest.raises(InputError, match=f"{kind}, expected a file"), atomic_path(path):
            pytest.fail("opened")
    assert pipe.is_fifo()


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*file/scores.json") as caught:
        with atomic_path(tmp_path / "file" / "scores.json") as temporary:
            temporary.write_text("")
    assert "\n" not in str(caught.value)


def test_nan_scores_are_dashes(result):
    broken = dataclasses.replace(result, scores={**result.scores, "mpjpe": math.nan})
    assert tables.action_table(broken).splitlines()[2].split()[-1] == "-"
