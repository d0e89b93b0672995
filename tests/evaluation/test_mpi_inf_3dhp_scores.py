"""MPI-INF-3DHP's own evaluation and its files; official numbers: interop/test_parity.py."""

import csv
import json

import numpy as np
import pytest
from scipy.io import loadmat

from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.formats.mpi_inf_3dhp import ACTIVITIES
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation.mpi_inf_3dhp import (
    GROUPS,
    JOINT_SETS,
    README_FRAMES,
    SequencePoses,
    evaluate_sequences,
    export_predictions,
    sequence_report,
    summary,
    write,
)
from jrepose.evaluation.protocol import Protocol, counted_entries, score_frames
from jrepose.skeleton import HUMAN36M_17, MPI_INF_3DHP_17

TEST_NAMES = tuple(README_FRAMES)


def poses(errors_mm, activity=None, valid=None):
    """A sequence whose joints are that far from their targets: `[frames, 17]`."""
    errors_mm = np.asarray(errors_mm, float)
    target = np.random.default_rng(0).integers(-800, 800, (*errors_mm.shape, 3)).astype(float)
    relative = target - target[:, 14:15]
    relative[..., 0] += errors_mm
    valid = np.ones(len(errors_mm), bool) if valid is None else np.asarray(valid, bool)
    return SequencePoses(relative, target, valid, activity)


def one_frame(error_mm):
    errors = np.full((1, 17), error_mm)
    errors[:, 14] = 0
    return poses(errors)


@pytest.mark.parametrize(
    "error, pck, thresholds",
    # How many of 0, 5, ..., 150 are above the error.
    [(0, 100, 30), (0.001, 100, 30), (5, 100, 29), (149.999, 100, 1), (150, 0, 0), (1e4, 0, 0)],
)
def test_inequalities_are_strict(error, pck, thresholds):
    row = evaluate_sequences({"TS1": one_frame(error)}).sequences["TS1"]
    assert row["pck_14"] == row["pck_16"] == row["pck/knees"] == pck
    assert row["auc_14"] == pytest.approx(100 * thresholds / 31)
    assert row["mpjpe_17"] == pytest.approx(error * 16 / 17)
    assert [row["mpjpe_16"], row["mpjpe_14"]] == pytest.approx([error, error])
    # The root is always right, but for the threshold 0.
    assert row["pck_17"] == pytest.approx((16 * pck + 100) / 17)
    assert row["auc_17"] == pytest.approx((16 * 100 * thresholds / 31 + 100 * 30 / 31) / 17)


def test_groups_and_joint_sets():
    errors = np.zeros((1, 17))
    errors[0, [4, 10, 15, 16]] = 200  # a wrist, an ankle, spine, head
    row = evaluate_sequences({"TS1": poses(errors)}).sequences["TS1"]
    assert {group: row[f"pck/{group}"] for group in GROUPS} == {
        "head": 100, "neck": 100, "shoulders": 100, "elbows": 100, "wrists": 50, "hips": 100,
        "knees": 100, "ankles": 50,
    }  # fmt: skip
    assert row["mpjpe/right_wrist"] == 200 and row["mpjpe/left_wrist"] == 0
    assert row["pck_14"] == pytest.approx(100 * 12 / 14)
    assert row["pck_16"] == pytest.approx(100 * 12 / 16)
    assert row["pck_17"] == pytest.approx(100 * 13 / 17)
    assert [len(joints) for joints in JOINT_SETS.values()] == [14, 16, 17]


def test_aggregates():
    levels = dict(zip(TEST_NAMES, (10.0, 20.0, 40.0, 80.0, 160.0, 320.0), strict=True))
    frames = dict(zip(TEST_NAMES, (1, 2, 3, 4, 5, 6), strict=True))
    sequences = {name: poses(np.full((frames[name], 17), level)) for name, level in levels.items()}
    scores = evaluate_sequences(sequences, root="keep").aggregates

    def mean(weights):
        return sum(levels[n] * w for n, w in weights.items()) / sum(weights.values())

    readme = dict(zip(TEST_NAMES, (603, 540, 505, 553, 276, 452), strict=True))
    expected = {
        "all_frames": mean(frames),
        "sequence_mean": mean(dict.fromkeys(TEST_NAMES, 1)),
        "readme_weighted": mean(readme),
        "green_screen": mean({"TS1": 603, "TS2": 540}),
        "studio": mean({"TS3": 505, "TS4": 553}),
        "outdoor": mean({"TS5": 276, "TS6": 452}),
    }
    assert {name: row["mpjpe_17"] for name, row in scores.items()} == pytest.approx(expected)
    assert scores["outdoor"]["frames"] == 11 and scores["all_frames"]["frames"] == 21
    # TS5 and TS6 fail.
    assert scores["readme_weighted"]["pck_14"] == pytest.approx(100 * 2201 / 2929)
    some = evaluate_sequences({name: sequences[name] for name in ("TS1", "TS2", "TS6")})
    assert set(some.aggregates) == {"all_frames", "sequence_mean", "green_screen"}


def test_published_weighting():
    """P-STMO's per-sequence errors give its headline only with the read-me's counts."""
    published = dict(zip(TEST_NAMES, (21.86, 35.83, 29.37, 34.57, 36.76, 38.97), strict=True))
    counts = dict(zip(TEST_NAMES, (603, 540, 506, 558, 276, 392), strict=True))
    sequences = {
        name: poses(np.full((counts[name], 17), error)) for name, error in published.items()
    }
    scores = evaluate_sequences(sequences, root="keep").aggregates
    assert scores["readme_weighted"]["mpjpe_17"] == pytest.approx(32.17, abs=0.01)
    assert scores["all_frames"]["mpjpe_17"] == pytest.approx(32.04, abs=0.01)
    assert scores["sequence_mean"]["mpjpe_17"] == pytest.approx(32.89, abs=0.01)


def test_what_is_not_valid_may_be_anything():
    errors = np.full((3, 17), np.nan)
    errors[1] = 30
    sequence = poses(errors, np.array([1, 2, 3]), [False, True, False])
    scores = evaluate_sequences({"TS1": sequence}, root="keep")
    assert scores.sequences["TS1"]["frames"] == 1
    assert scores.sequences["TS1"]["mpjpe_17"] == pytest.approx(30)
    frames = {name: row["frames"] for name, row in scores.activities.items()}
    assert frames == {**dict.fromkeys(ACTIVITIES.values(), 0), "Exercising": 1}
    assert np.isnan(scores.activities["Sitting"]["pck_14"])


def test_sequence_without_valid_frame():
    scores = evaluate_sequences(
        {"TS1": one_frame(10), "TS2": poses(np.ones((2, 17)), valid=[False, False])}
    )
    assert np.isnan(scores.sequences["TS2"]["auc_14"])
    assert np.isnan(scores.aggregates["sequence_mean"]["mpjpe_17"])
    assert scores.aggregates["all_frames"]["mpjpe_14"] == pytest.approx(10)
    assert scores.activities == {}


def test_root():
    sequence = poses(np.full((2, 17), 60.0))  # all moved sideways, the root too
    means = {
        root: evaluate_sequences({"TS1": sequence}, root).sequences["TS1"]["mpjpe_17"]
        for root in ("zero", "subtract", "keep")
    }
    assert means == pytest.approx({"zero": 60 * 16 / 17, "subtract": 0, "keep": 60})
    with pytest.raises(InputError, match="unknown root 'move'; expected zero, subtract or keep"):
        evaluate_sequences({"TS1": sequence}, "move")
    with pytest.raises(InputError, match="no sequence"):
        evaluate_sequences({})


# ---- from an evaluation --------------------------------------------------------------------


def make_dataset(names=TEST_NAMES, frames=8, skeleton=MPI_INF_3DHP_17, seed=0, activity=True):
    random = np.random.default_rng(seed)
    count = frames * len(names)
    videos = tuple(
        Video(name, name, name, "0", *((1920, 1080) if k >= 4 else (2048, 2048)), 25.0,
              k * frames, (k + 1) * frames)
        for k, name in enumerate(names)
    )  # fmt: skip
    return PoseDataset(
        keypoints_px=random.uniform(0, 1000, (count, 17, 2)).astype(np.float32),
        confidence=np.ones((count, 17), np.float32),
        visible=np.ones((count, 17), bool),
        valid=np.arange(count) % 3 != 1,
        videos=videos,
        skeleton=skeleton,
        poses_camera_mm=random.uniform(-1000, 4000, (count, 17, 3)).astype(np.float32),
        activity=(np.arange(count) % 7 + 1).astype(np.int8) if activity else None,
        target_space="camera_by_width",
    )


def predict(dataset, error_mm=40.0):
    """Errors of predictions that are all this far off, on one window per valid frame."""
    windows = evaluation_windows(dataset.videos, 5, 1, "centred", dataset.valid)
    targets = dataset.model_targets()
    width = dataset.per_frame("width")[:, None].astype(np.float32)
    targets[..., 1] += error_mm * 2 / width
    return score_frames(
        dataset,
        targets[windows.targets],
        windows.targets,
        counted_entries(windows, "once"),
        Protocol(root="zero"),
    )


@pytest.fixture(scope="module")
def evaluated():
    dataset = make_dataset()
    per_frame = predict(dataset)
    return dataset, per_frame, sequence_report(per_frame, dataset)


def test_report_of_an_evaluation(evaluated):
    dataset, per_frame, scores = evaluated
    assert tuple(scores.sequences) == TEST_NAMES
    for video in dataset.videos:
        row = scores.sequences[video.name]
        assert row["frames"] == dataset.valid[video.start : video.stop].sum()
        assert row["mpjpe_17"] == pytest.approx(40 * 16 / 17, rel=1e-5)
        assert row["pck_14"] == 100
    assert sum(row["frames"] for row in scores.activities.values()) == dataset.valid.sum()
    assert scores.aggregates["all_frames"]["mpjpe_17"] == pytest.approx(
        per_frame.mpjpe[per_frame.evaluated].mean(), rel=1e-5
    )


def test_other_joints_are_refused():
    dataset = make_dataset(skeleton=HUMAN36M_17)
    with pytest.raises(InputError, match="needs poses of mpi_inf_3dhp_17, this data has human36m"):
        sequence_report(predict(dataset), dataset)


def test_cameras_of_a_sequence_go_together():
    dataset = make_dataset(("S1 Seq1/camera_0", "S1 Seq1/camera_1", "S2 Seq1/camera_0"))
    videos = tuple(
        Video(**{**vars(video), "action": video.name.split("/")[0]}) for video in dataset.videos
    )
    dataset = PoseDataset(**{**vars(dataset), "videos": videos, "activity": None})
    scores = sequence_report(predict(dataset), dataset)
    assert list(scores.sequences) == ["S1 Seq1", "S2 Seq1"]
    assert scores.sequences["S1 Seq1"]["frames"] == dataset.valid[:16].sum()
    assert scores.activities == {}


def test_files(evaluated, tmp_path):
    dataset, per_frame, scores = evaluated
    paths = write(scores, per_frame, dataset, tmp_path / "made")
    assert [path.name for path in paths] == [
        "mpi_inf_3dhp.json", "mpi_inf_3dhp_sequences.csv", "mpi_inf_3dhp_activities.csv",
        "inference_data.mat",
    ]  # fmt: skip
    assert sorted((tmp_path / "made").iterdir()) == sorted(paths)
    content = json.loads(paths[0].read_text())
    assert content["aggregates"]["all_frames"]["pck_14"] == 100
    assert content["sequences"]["TS6"]["mpjpe/pelvis"] == 0
    rows = list(csv.DictReader(paths[1].open()))
    assert [row["sequence"] for row in rows][:7] == [*TEST_NAMES, "all_frames"]
    assert float(rows[0]["mpjpe_14"]) == pytest.approx(40, rel=1e-5)
    assert [row["activity"] for row in csv.DictReader(paths[2].open())] == list(ACTIVITIES.values())


def test_nothing_counted_is_null(evaluated, tmp_path):
    dataset, per_frame, _ = evaluated
    dataset = PoseDataset(**{**vars(dataset), "activity": np.ones(48, np.int8)})
    paths = write(sequence_report(per_frame, dataset), per_frame, dataset, tmp_path)
    assert json.loads(paths[0].read_text())["activities"]["Sports"]["pck_14"] is None
    rows = {row["activity"]: row for row in csv.DictReader(paths[2].open())}
    assert rows["Sports"]["pck_14"] == "" and rows["Sports"]["frames"] == "0"


def test_export_is_what_the_official_script_indexes(evaluated, tmp_path):
    dataset, per_frame, scores = evaluated
    path = write(scores, per_frame, dataset, tmp_path)[-1]
    content = loadmat(path)
    for video in dataset.videos:
        valid = np.flatnonzero(dataset.valid[video.start : video.stop])
        assert content[video.name].shape == (3, 17, 1, len(valid))
        for position, frame in enumerate(valid):
            np.testing.assert_array_equal(
                content[video.name][:, :, 0, position], per_frame.poses_mm[video.start + frame].T
            )
        assert (content[video.name][:, 14] == 0).all()


def test_no_export_of_other_sets_or_gaps(evaluated, tmp_path, caplog):
    dataset, per_frame, scores = evaluated
    gap = type(per_frame)(**{**vars(per_frame), "evaluated": dataset.valid & (np.arange(48) > 3)})
    paths = write(scores, gap, dataset, tmp_path)
    assert paths[-1].suffix == ".csv" and "no inference_data.mat" in caplog.text
    training = make_dataset(("S1 Seq1", "S1 Seq2"), activity=False)
    errors = predict(training)
    paths = write(sequence_report(errors, training), errors, training, tmp_path / "training")
    assert [path.name for path in paths] == ["mpi_inf_3dhp.json", "mpi_inf_3dhp_sequences.csv"]


def test_export_checks_its_input(tmp_path):
    good = np.zeros((4, 17, 3))
    with pytest.raises(InputError, match="TS9 is no test sequence"):
        export_predictions(tmp_path / "a.mat", {"TS9": good})
    with pytest.raises(InputError, match=r"TS1 has shape \(4, 16, 3\)"):
        export_predictions(tmp_path / "a.mat", {"TS1": good[:, 1:]})
    assert not list(tmp_path.iterdir())


def test_summary(evaluated):
    scores = evaluated[2]
    text = summary(scores)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    heads = next(line for line in lines if "Shou" in line).split()
    assert heads == ["frames", "MPJPE", *GROUPS.values(), "Total"]
    (ts6, _) = (line.split() for line in lines if line.startswith("TS6"))
    assert ts6[1:3] == ["5", "37.6"] and ts6[-1] == "100.0"
    for label in ("mean of sequences", "read-me's frame counts", "outdoor", "Reaching/Crouching",
                  "16 joints, without the root"):  # fmt: skip
        assert label in text


def test_summary_without_activities_or_frames():
    scores = evaluate_sequences({"TS1": poses(np.ones((2, 17)), valid=[False, False])})
    text = summary(scores)
    assert "Sitting" not in text and " nan" not in text
