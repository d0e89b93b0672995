"""MPI-INF-3DHP from original annotations and preprocessed files, written here."""

import logging
import sys

import h5py
import mpi_inf_3dhp_source as fake
import numpy as np
import pytest

from jrepose.data.formats import mpi_inf_3dhp_annotations as annotations
from jrepose.data.formats.mpi_inf_3dhp import (
    ACTIVITIES,
    camera_of,
    image_size,
    read_mpi_inf_3dhp,
    source_files,
)
from jrepose.errors import InputError, MissingExtra
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.skeleton import MPI_INF_3DHP_17

CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
RELEVANT = [fake.JOINTS.index(name) for name in MPI_INF_3DHP_17.joint_names]


def packed_training(frames=5, seed=0, cameras=("0", "8")):
    random = np.random.default_rng(seed)
    views = {
        camera: {
            "data_2d": random.uniform(0, 2048, (frames, 17, 2)),
            "data_3d": random.uniform(-900, 4000, (frames, 17, 3)),
        }
        for camera in cameras
    }
    return [views, 25]


def packed_test(frames=5, seed=0):
    view = packed_training(frames, seed)[0]["0"]
    return {**view, "valid": np.arange(frames) % 2.0}


def save(path, content):
    np.savez_compressed(path, data=content)
    return path


def test_tables():
    table = annotations.TRAINING_SEQUENCES
    assert len(table) == 16 and sum(frames for frames, _ in table.values()) == 131_592
    # About as many minutes in each: the long ones are those at 50 Hz.
    assert {rate for frames, rate in table.values() if frames > 12_000} == {50}
    assert {rate for frames, rate in table.values() if frames < 7_000} == {25}
    assert sum(annotations.TEST_SEQUENCES.values()) == 2875
    assert len(set(ACTIVITIES.values())) == 7 and list(ACTIVITIES) == list(range(1, 8))
    assert image_size("TS4") == image_size("S5 Seq1") == (2048, 2048)
    assert image_size("TS5") == image_size("TS6") == (1920, 1080)


@pytest.mark.parametrize("version", fake.VERSIONS)
@pytest.mark.parametrize("label", annotations.LABELS)
def test_training_annotations(tmp_path, monkeypatch, version, label):
    monkeypatch.setattr(
        annotations, "TRAINING_SEQUENCES", {"S1 Seq2": (5, 50), "S3 Seq1": (100, 25)}
    )
    first, second = fake.training(7, seed=1), fake.training(4, seed=2)
    fake.write(tmp_path / "mpi_inf_3dhp/train_data/S1/Seq2/annot.mat", first, version)
    fake.write(tmp_path / "mpi_inf_3dhp/train_data/S3/Seq1/annot.mat", second, version)
    read = read_mpi_inf_3dhp(tmp_path, label)
    assert list(read) == ["train"]
    dataset = read["train"]

    assert [(v.subject, v.action, v.camera) for v in dataset.videos] == [
        (sequence.split()[0], sequence, str(camera))
        for sequence in ("S1 Seq2", "S3 Seq1")
        for camera in CAMERAS
    ]
    assert [v.frames for v in dataset.videos] == [5] * 8 + [4] * 8
    assert [v.frame_rate for v in dataset.videos] == [50.0] * 8 + [25.0] * 8
    assert {(v.width, v.height) for v in dataset.videos} == {(2048, 2048)}
    assert len({v.name for v in dataset.videos}) == 16
    for video, content in zip(dataset.videos, [first] * 8 + [second] * 8, strict=True):
        rows, camera = slice(video.start, video.stop), int(video.camera)
        joints_2d = content["annot2"][camera].reshape(-1, 28, 2)[: video.frames, RELEVANT]
        joints_3d = content[label][camera].reshape(-1, 28, 3)[: video.frames, RELEVANT]
        np.testing.assert_array_equal(dataset.keypoints_px[rows], joints_2d.astype(np.float32))
        np.testing.assert_array_equal(dataset.poses_camera_mm[rows], joints_3d.astype(np.float32))
    assert dataset.valid.all() and dataset.visible.all() and (dataset.confidence == 1).all()
    assert dataset.skeleton is MPI_INF_3DHP_17 and dataset.activity is None


@pytest.mark.parametrize("version", fake.VERSIONS)
@pytest.mark.parametrize("label", annotations.LABELS)
@pytest.mark.parametrize("frames", [1, 9])
def test_test_annotations(tmp_path, version, label, frames):
    contents = {name: fake.test(frames, seed=k) for k, name in enumerate(("TS2", "TS6"))}
    contents["TS2"]["activity_annotation"][0, 0] = 0
    for name, content in contents.items():
        fake.write(tmp_path / f"mpi_inf_3dhp_test_set/{name}/annot_data.mat", content, version)
    read = read_mpi_inf_3dhp(str(tmp_path), label)
    assert list(read) == ["test"]
    dataset = read["test"]
    assert [(v.name, v.subject, v.action) for v in dataset.videos] == [("TS2",) * 3, ("TS6",) * 3]
    assert [(v.width, v.height) for v in dataset.videos] == [(2048, 2048), (1920, 1080)]
    for video in dataset.videos:
        rows, content = slice(video.start, video.stop), contents[video.name]
        for array, key in ((dataset.keypoints_px, "annot2"), (dataset.poses_camera_mm, label)):
            expected = content[key][:, :, 0].transpose(2, 1, 0).astype(np.float32)
            np.testing.assert_array_equal(array[rows], expected)
        np.testing.assert_array_equal(dataset.valid[rows], content["valid_frame"][0] == 1)
        np.testing.assert_array_equal(dataset.activity[rows], content["activity_annotation"][0])
    assert dataset.activity[0] == 0 and dataset.activity.dtype == np.int8


def test_units(tmp_path):
    save(tmp_path / "data_test_3dhp.npz", {"TS1": packed_test(), "TS5": packed_test(seed=1)})
    dataset = read_mpi_inf_3dhp(tmp_path)["test"]
    targets = dataset.model_targets()
    relative = dataset.poses_camera_mm - dataset.poses_camera_mm[:, 14:15]
    np.testing.assert_allclose(targets[:5], relative[:5] / 1024, rtol=1e-6)
    np.testing.assert_allclose(targets[5:], relative[5:] / 960, rtol=1e-6)
    np.testing.assert_allclose(dataset.to_mm(targets, np.arange(10)), relative, rtol=1e-6)
    inputs, pixels = dataset.model_inputs(), dataset.keypoints_px
    np.testing.assert_allclose(inputs[:5, :, :2], pixels[:5] / 1024 - 1, atol=1e-6)
    np.testing.assert_allclose(inputs[5:, :, :2], pixels[5:] / 960 - (1, 1080 / 1920), atol=1e-6)
    assert (inputs[..., 2] == 1).all()


def test_preprocessed_files(tmp_path):
    training = {"S2 Seq1": packed_training(), "S1 Seq1": packed_training(3, 1)}
    test = {"TS3": packed_test(), "TS1": {**packed_test(4), "activity": np.array([1, 2, 7, 0])}}
    save(tmp_path / "data_train_3dhp.npz", training)
    save(tmp_path / "data_test_3dhp.npz", test)
    read = read_mpi_inf_3dhp(tmp_path)
    assert list(read) == ["train", "test"]
    # The files' order, not the benchmark's.
    assert [(v.action, v.camera) for v in read["train"].videos] == [
        ("S2 Seq1", "0"), ("S2 Seq1", "8"), ("S1 Seq1", "0"), ("S1 Seq1", "8"),
    ]  # fmt: skip
    for video in read["train"].videos:
        view = training[video.action][0][video.camera]
        rows = slice(video.start, video.stop)
        np.testing.assert_array_equal(
            read["train"].poses_camera_mm[rows], view["data_3d"].astype(np.float32)
        )
        np.testing.assert_array_equal(
            read["train"].keypoints_px[rows], view["data_2d"].astype(np.float32)
        )
    assert [v.name for v in read["test"].videos] == ["TS3", "TS1"]
    assert read["test"].valid.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 1]
    assert read["test"].activity.tolist() == [0, 0, 0, 0, 0, 1, 2, 7, 0]


def test_splits_are_read_by_themselves(tmp_path):
    train = save(tmp_path / "data_train_3dhp.npz", {"S1 Seq1": packed_training()})
    original = fake.write(tmp_path / "TS1/annot_data.mat", fake.test(), "5")
    (tmp_path / "TS2").mkdir()  # not downloaded
    assert source_files(tmp_path) == {"train": [train], "test": [original]}
    train.write_bytes(b"damaged")
    assert list(read_mpi_inf_3dhp(tmp_path, splits=("test",))) == ["test"]
    with pytest.raises(InputError, match="data_train_3dhp.npz"):
        read_mpi_inf_3dhp(tmp_path)
    with pytest.raises(InputError, match="unknown split 'validation'; expected train or test"):
        read_mpi_inf_3dhp(tmp_path, splits=("validation",))


def test_labels(tmp_path):
    save(tmp_path / "data_test_3dhp.npz", {"TS1": packed_test(seed=1)})
    with pytest.raises(InputError, match=r"no MPI-INF-3DHP with annot3 \(data_test_3dhp.npz has"):
        read_mpi_inf_3dhp(tmp_path, "annot3")
    save(tmp_path / "data_test_3dhp_ori.npz", {"TS1": packed_test(seed=2)})
    read = [read_mpi_inf_3dhp(tmp_path, label)["test"] for label in annotations.LABELS]
    assert (read[0].poses_camera_mm != read[1].poses_camera_mm).all()
    with pytest.raises(InputError, match="unknown label 'annot2'"):
        read_mpi_inf_3dhp(tmp_path, "annot2")


@pytest.mark.parametrize(
    "sequence, focal, centre",
    [("TS1", 1500.17, (1017.39, 1043.03)), ("TS6", 1683.98, (939.86, 560.14))],
)
def test_cameras_of_the_test_set(tmp_path, sequence, focal, centre):
    camera = camera_of(sequence)
    np.testing.assert_allclose(camera.intrinsics_px, [focal, focal, *centre, *[0] * 5], atol=6e-3)
    save(tmp_path / "data_test_3dhp_ori.npz", {sequence: packed_test()})
    save(tmp_path / "data_test_3dhp.npz", {sequence: packed_test()})
    save(tmp_path / "data_train_3dhp_ori.npz", {"S1 Seq1": packed_training()})
    read = read_mpi_inf_3dhp(tmp_path, "annot3")
    (video,) = read["test"].videos
    np.testing.assert_allclose(video.intrinsics, camera.intrinsics_screen)
    # Where somebody of another size would be seen is not known, and not how training cameras see.
    assert {video.intrinsics for video in read["train"].videos} == {None}
    (video,) = read_mpi_inf_3dhp(tmp_path, splits=["test"])["test"].videos
    assert video.intrinsics is None


def test_joints_of_hypotheses_are_seen_in_pixels(tmp_path):
    """J-Agg: the true joint, hidden among three, is the one nearest to the annotated keypoint."""
    rng = np.random.default_rng(0)
    entries = {}
    for sequence in ("TS1", "TS6"):
        poses = rng.normal(size=(6, 17, 3), scale=300) + [0, 0, 4000]
        camera = camera_of(sequence)
        pixels = poses[..., :2] / poses[..., 2:] * camera.focal_px + camera.centre_px
        entries[sequence] = {"data_2d": pixels, "data_3d": poses, "valid": np.ones(6)}
    save(tmp_path / "data_test_3dhp_ori.npz", entries)
    dataset = read_mpi_inf_3dhp(tmp_path, "annot3")["test"]
    truth = dataset.model_targets()
    hypotheses = truth + rng.normal(size=(3, *truth.shape), scale=0.1).astype(np.float32)
    np.put_along_axis(hypotheses, rng.integers(0, 3, (1, 12, 17, 1)), truth[None], axis=0)
    hypotheses[..., MPI_INF_3DHP_17.root, :] = 0
    index = np.arange(12).reshape(4, 3)
    found = evaluate_predictions(dataset, hypotheses[:, index], index, np.ones((4, 3), bool))
    assert found.hypotheses.scores["j_agg"] < 1e-3 < 50 < found.hypotheses.scores["p_best"]


def test_other_sets_than_published_are_reported(tmp_path, caplog):
    fake.write(tmp_path / "TS1/annot_data.mat", fake.test(3), "5")
    fake.write(tmp_path / "S1/Seq1/annot.mat", fake.training(3), "5")
    save(tmp_path / "data_test_3dhp_ori.npz", {"TS6": packed_test()})
    with caplog.at_level(logging.WARNING, logger="jrepose"):
        read_mpi_inf_3dhp(tmp_path)
    train, test = (record.getMessage() for record in caplog.records)
    assert "S1 Seq2, S2 Seq1" in train and "S1 Seq1 has 3 frames, not 6416" in train
    assert "TS2, TS3, TS4, TS5, TS6 missing; TS1 has " in test and "not 603" in test


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_mpi_inf_3dhp(tmp_path / "absent")
    with pytest.raises(InputError, match=r"expected data_train_3dhp.npz, .*annot_data.mat"):
        read_mpi_inf_3dhp(tmp_path)
    # Too deep, and pictures are not looked through.
    fake.write(tmp_path / "a/b/c/d/TS1/annot_data.mat", fake.test(), "5")
    fake.write(tmp_path / "S1/Seq1/TS1/annot_data.mat", fake.test(), "5")
    with pytest.raises(InputError, match="no MPI-INF-3DHP"):
        read_mpi_inf_3dhp(tmp_path)


def test_twice(tmp_path):
    for folder in ("a", "b"):
        fake.write(tmp_path / folder / "TS1/annot_data.mat", fake.test(), "5")
    with pytest.raises(InputError, match="TS1 is there twice: .*a/TS1.* and .*b/TS1"):
        read_mpi_inf_3dhp(tmp_path)


def test_version_73_needs_h5py(tmp_path, monkeypatch):
    fake.write(tmp_path / "TS1/annot_data.mat", fake.test(), "7.3")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"TS1/annot_data.mat .*needs h5py.*'\.\[datasets\]'"):
        read_mpi_inf_3dhp(tmp_path)


def drop(name):
    return lambda content: content.pop(name)


def put(name, change):
    def damage(content):
        content[name] = change(content[name])

    return damage


def nan_in(array):
    array = array.copy()
    array.flat[array.size // 2] = np.nan
    return array


TRAINING_DAMAGES = {
    "no variable 'univ_annot3'; it has": drop("univ_annot3"),
    "no variable 'cameras'": drop("cameras"),
    r"cameras is \[1, 2,": put("cameras", lambda c: c + 1),
    "cameras is a cell array; expected a numeric array": put("cameras", lambda c: [c]),
    "annot2 has 13 cells; expected 14 cameras": put("annot2", lambda cells: cells[:13]),
    "annot2 is a numeric array; expected a cell array": put("annot2", lambda cells: cells[0]),
    r"annot2, camera 0, has shape \(7, 54\); expected \(frames, 56\)": put(
        "annot2", lambda cells: [cell[:, 2:] for cell in cells]
    ),
    r"univ_annot3, camera 0, has shape \(0, 84\)": put(
        "univ_annot3", lambda cells: [cell[:0] for cell in cells]
    ),
    "camera 0 has 7 frames in annot2 and 5 in univ_annot3": put(
        "univ_annot3", lambda cells: [cell[:5] for cell in cells]
    ),
    "univ_annot3, camera 1: joint 3 of frame 3 is not finite": put(
        "univ_annot3",
        lambda cells: (
            [cells[0], np.where(np.arange(588).reshape(7, 84) == 3 * 84 + 46, np.nan, 1)]
            + cells[2:]
        ),
    ),
}
TEST_DAMAGES = {
    "no variable 'annot2'; it has": drop("annot2"),
    "no variable 'valid_frame'": drop("valid_frame"),
    r"annot2 has shape \(2, 16, 1, 9\), .*expected \(2, 17, 1, 'frames'\)": put(
        "annot2", lambda a: a[:, :16]
    ),
    r"univ_annot3 has shape \(2, 17, 1, 9\)": put("univ_annot3", lambda a: a[:2]),
    r"univ_annot3 has shape \(3, 17, 1, 8\), valid_frame 9 entries": put(
        "univ_annot3", lambda a: a[..., :8]
    ),
    r"univ_annot3 has shape \(3, 17, 9\)": put("univ_annot3", lambda a: a[:, :, 0]),
    "valid_frame has values other than 0 and 1": put("valid_frame", lambda v: v * 2),
    "activity_annotation has 4 frames": put("activity_annotation", lambda a: a[:, :4]),
    "annot2: joint . of frame 4 is not finite": put("annot2", lambda a: np.where(
        np.arange(9) == 4, np.nan, a)),
    "valid_frame is a cell array": put("valid_frame", lambda v: [v]),
}  # fmt: skip


@pytest.mark.parametrize("version", fake.VERSIONS)
@pytest.mark.parametrize("message", [*TRAINING_DAMAGES, *TEST_DAMAGES])
def test_damaged_annotations(tmp_path, version, message):
    training = message in TRAINING_DAMAGES
    content = fake.training() if training else fake.test()
    (TRAINING_DAMAGES if training else TEST_DAMAGES)[message](content)
    path = tmp_path / ("S1/Seq1/annot.mat" if training else "TS1/annot_data.mat")
    fake.write(path, content, version)
    with pytest.raises(InputError, match=message) as caught:
        read_mpi_inf_3dhp(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_sequences(tmp_path):
    fake.write(tmp_path / "TS7/annot_data.mat", fake.test(), "5")
    with pytest.raises(InputError, match="TS7 is no sequence of MPI-INF-3DHP; expected one of TS1"):
        read_mpi_inf_3dhp(tmp_path)
    (tmp_path / "TS7/annot_data.mat").unlink()
    fake.write(tmp_path / "S1/Seq3/annot.mat", fake.training(), "5")
    with pytest.raises(InputError, match="S1 Seq3 is no sequence"):
        read_mpi_inf_3dhp(tmp_path)


@pytest.mark.parametrize("version", fake.VERSIONS)
def test_text_where_numbers_belong(tmp_path, version):
    content = fake.test()
    content.pop("annot2")
    path = tmp_path / "TS1/annot_data.mat"
    if version == "5":
        fake.write(path, {**content, "annot2": np.array(["text"])}, version)
    else:
        with h5py.File(fake.write(path, content, version), "r+") as file:
            file["annot2"] = "text"
    with pytest.raises(InputError, match="annot2 is .*; expected .*numbers"):
        read_mpi_inf_3dhp(tmp_path)


def test_claims_of_size_are_checked_before_room_is_made(tmp_path):
    content = fake.test()
    content.pop("annot2")
    path = fake.write(tmp_path / "TS1/annot_data.mat", content, "7.3")
    with h5py.File(path, "r+") as file:
        file.create_dataset("annot2", (10**12, 1, 17, 2), chunks=(1000, 1, 17, 2))
    with pytest.raises(InputError, match="refused, annot2 would take far more memory"):
        read_mpi_inf_3dhp(tmp_path)


def replace(sequence, entry):
    return lambda content: content.__setitem__(sequence, entry)


def changed(entry, **arrays):
    return {**entry, **arrays}


PACKED_DAMAGES = {
    r"TS7 is no test sequence": replace("TS7", packed_test()),
    r"npz: 1 is no test sequence": replace(1, packed_test()),
    "TS1: expected a dictionary of arrays": replace("TS1", np.zeros((5, 17, 3))),
    "TS1: no numeric array 'valid'; it has data_2d, data_3d": replace(
        "TS1", packed_training()[0]["0"]
    ),
    "TS1: no numeric array 'data_3d'": replace("TS1", changed(packed_test(), data_3d="text")),
    r"TS1: data_2d has shape \(5, 17, 3\); expected \(frames, 17, 2\)": replace(
        "TS1", changed(packed_test(), data_2d=np.zeros((5, 17, 3)))
    ),
    r"TS1: data_3d has shape \(5, 16, 3\)": replace(
        "TS1", changed(packed_test(), data_3d=np.zeros((5, 16, 3)))
    ),
    r"TS1: data_3d has shape \(0, 17, 3\)": replace(
        "TS1", changed(packed_test(), data_3d=np.zeros((0, 17, 3)))
    ),
    "TS1: data_2d has 5 frames, data_3d has 4 frames, valid has 5 frames": replace(
        "TS1", changed(packed_test(), data_3d=np.zeros((4, 17, 3)))
    ),
    "TS1: data_2d: joint 1 of frame 1 is not finite": replace(
        "TS1",
        changed(packed_test(), data_2d=np.where(np.arange(170).reshape(5, 17, 2) == 37, 1e300, 0)),
    ),
    "TS1: valid has values other than 0 and 1": replace(
        "TS1", changed(packed_test(), valid=np.full(5, 2))
    ),
    "TS1: activity has values other than 0 to 7": replace(
        "TS1", changed(packed_test(), activity=np.full(5, 8))
    ),
}
PACKED_TRAINING_DAMAGES = {
    "S1 Seq1: expected a list of the cameras and the frame rate": packed_training()[0],
    "S2 Seq1: expected a list": [{}, 25],
    "S2 Seq2: expected a list": [packed_training()[0], "25"],
    "S3 Seq1: expected a list": [packed_training()[0], float("nan")],
    "S4 Seq1: camera 14; expected one of 0 to 13": packed_training(cameras=("14",)),
    "S5 Seq1, camera 3: expected a dictionary": [{"3": None}, 25],
}


@pytest.mark.parametrize("message", [*PACKED_DAMAGES, *PACKED_TRAINING_DAMAGES])
def test_damaged_preprocessed_files(tmp_path, message):
    if message in PACKED_DAMAGES:
        content, name = {"TS1": packed_test()}, "data_test_3dhp.npz"
        PACKED_DAMAGES[message](content)
    else:
        content = {message[:7]: PACKED_TRAINING_DAMAGES[message]}
        name = "data_train_3dhp.npz"
    path = save(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        read_mpi_inf_3dhp(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, [1], np.zeros(3)], ids=["empty", "list", "array"])
def test_no_dictionary(tmp_path, content):
    save(tmp_path / "data_test_3dhp.npz", content)
    with pytest.raises(InputError, match="no dictionary of sequences under 'data'"):
        read_mpi_inf_3dhp(tmp_path)


def test_mutated_files(tmp_path):
    """Whatever is in a file: a dataset or one line, soon."""
    sources = [
        fake.write(tmp_path / "v5/TS1/annot_data.mat", fake.test(4), "5"),
        fake.write(tmp_path / "v5z/TS1/annot_data.mat", fake.test(4), "5", do_compression=True),
        fake.write(tmp_path / "v73/TS1/annot_data.mat", fake.test(4), "7.3"),
        fake.write(tmp_path / "v5/S1/Seq1/annot.mat", fake.training(1), "5"),
        fake.write(tmp_path / "v73/S1/Seq1/annot.mat", fake.training(1), "7.3"),
        save(tmp_path / "data_test_3dhp.npz", {"TS1": packed_test()}),
        save(tmp_path / "data_train_3dhp.npz", {"S1 Seq1": packed_training()}),
    ]
    contents = {path: path.read_bytes() for path in sources}
    for path in sources:
        path.unlink()
    random = np.random.default_rng(0)
    refused = 0
    for path, content in contents.items():
        for _ in range(25):
            damaged = bytearray(content)
            # Near the start are the headers, which say what follows.
            reach = len(content) if random.random() < 0.5 else min(len(content), 2500)
            for position in random.integers(0, reach, random.integers(1, 12)):
                damaged[position] = random.integers(256)
            if random.random() < 0.3:
                del damaged[random.integers(len(damaged)) :]
            path.write_bytes(damaged)
            try:
                read_mpi_inf_3dhp(path.parent if path.suffix == ".npz" else path.parents[1])
            except InputError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1000
        path.unlink()
    assert refused > 60
