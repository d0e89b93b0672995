"""MPI-INF-3DHP converted from small files in its original layouts."""

import logging
import shutil
import zipfile

import mpi_inf_3dhp_source as fake
import numpy as np
import pytest

from jrepose.command import run
from jrepose.commands import command
from jrepose.data.formats.mpi_inf_3dhp import read_mpi_inf_3dhp
from jrepose.data.prepare.mpi_inf_3dhp import prepare
from jrepose.errors import InputError

CAMERAS = ["0", "1", "2", "4", "5", "6", "7", "8"]
# Of the 28 joints, as P-STMO's converter lists them.
JOINTS = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]


@pytest.fixture(scope="module", params=fake.VERSIONS)
def source(request, tmp_path_factory):
    """`(folder, variables by sequence)` of complete sets."""
    folder = tmp_path_factory.mktemp("source")
    return folder, fake.write_all(folder, request.param)


@pytest.fixture
def test_set(tmp_path):
    for number in range(1, 7):
        fake.write(tmp_path / f"source/TS{number}/annot_data.mat", fake.test(seed=number), "5")
    return tmp_path / "source"


def load(path):
    """As P-STMO and its followers do."""
    with np.load(path, allow_pickle=True) as file:
        return file["data"].item()


def test_layout(source, tmp_path):
    folder, variables = source
    written = prepare(folder, tmp_path / "made/out")
    assert [path.name for path in written] == ["data_train_3dhp.npz", "data_test_3dhp.npz"]
    assert sorted(p.name for p in (tmp_path / "made/out").iterdir()) == [
        "data_test_3dhp.npz", "data_train_3dhp.npz",
    ]  # fmt: skip
    train, test = map(load, written)
    assert list(train) == [f"S{s} Seq{q}" for s in range(1, 9) for q in (1, 2)]
    for name, entry in train.items():
        cameras, frame_rate = entry
        assert isinstance(entry, list) and list(cameras) == CAMERAS
        assert frame_rate == (50 if name in {"S1 Seq2", "S3 Seq1", "S3 Seq2", "S5 Seq1",
                                             "S5 Seq2"} else 25)  # fmt: skip
        for camera, view in cameras.items():
            for key, label, channels in (("data_2d", "annot2", 2), ("data_3d", "univ_annot3", 3)):
                original = variables[name][label][int(camera)].reshape(-1, 28, channels)
                np.testing.assert_array_equal(view[key], original[:, JOINTS])
                assert view[key].dtype == np.float64
    assert list(test) == [f"TS{k}" for k in range(1, 7)]
    for name, view in test.items():
        original = variables[name]
        for key, label in (("data_2d", "annot2"), ("data_3d", "univ_annot3")):
            np.testing.assert_array_equal(view[key], np.squeeze(original[label]).transpose(2, 1, 0))
        np.testing.assert_array_equal(view["valid"], original["valid_frame"][0])
        np.testing.assert_array_equal(view["activity"], original["activity_annotation"][0])


def test_reads_the_same_as_the_originals(source, tmp_path):
    prepare(source[0], tmp_path)
    from_originals, from_converted = map(read_mpi_inf_3dhp, (source[0], tmp_path))
    assert list(from_originals) == list(from_converted) == ["train", "test"]
    for split in from_originals:
        assert from_originals[split].fingerprint() == from_converted[split].fingerprint()


def test_older_numpy_can_read_it(test_set, tmp_path):
    (path,) = prepare(test_set, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert b"numpy._core" not in archive.read("data.npy")


def test_one_set_alone(test_set, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="jrepose"):
        written = prepare(test_set, tmp_path / "out")
    assert [path.name for path in written] == ["data_test_3dhp.npz"]
    assert "no train sequence there, data_train_3dhp.npz is not made" in caplog.text


def test_existing_files_stay(test_set, tmp_path):
    (path,) = prepare(test_set, tmp_path / "out")
    before = path.read_bytes()
    with pytest.raises(InputError, match="data_test_3dhp.npz exists already"):
        prepare(test_set, tmp_path / "out")
    shutil.rmtree(test_set / "TS1")
    fake.write(test_set / "TS1/annot_data.mat", fake.test(seed=99), "5")
    prepare(test_set, tmp_path / "out", overwrite=True)
    assert path.read_bytes() != before


def test_missing_and_unknown_sequences(test_set, tmp_path, caplog):
    shutil.rmtree(test_set / "TS4")
    fake.write(test_set / "TS7/annot_data.mat", fake.test(), "5")
    fake.write(test_set / "S2/Seq1/annot.mat", fake.training(), "5")
    with pytest.raises(InputError, match="S2 Seq2.* missing; TS4 missing; TS7 unknown; .*allow"):
        prepare(test_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    written = prepare(test_set, tmp_path / "out", allow_missing=True)
    assert "TS4 missing; TS7 unknown" in caplog.text
    assert list(load(written[0])) == ["S2 Seq1"]
    assert list(load(written[1])) == ["TS1", "TS2", "TS3", "TS5", "TS6"]


def test_all_or_nothing(test_set, tmp_path):
    (tmp_path / "out").mkdir()
    fake.write(test_set / "S1/Seq1/annot.mat", fake.training(), "5")
    content = fake.test()
    content["annot2"][0, 0, 0, 0] = np.inf
    fake.write(test_set / "TS3/annot_data.mat", content, "5")
    with pytest.raises(InputError, match="TS3/annot_data.mat: annot2: joint 0 of frame 0"):
        prepare(test_set, tmp_path / "out", allow_missing=True)
    assert not list((tmp_path / "out").iterdir())


def test_nothing_to_convert(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "absent", tmp_path)
    with pytest.raises(InputError, match=r"no annotations .* expected S1/Seq1/annot.mat"):
        prepare(tmp_path, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: not a folder"):
        prepare(tmp_path, tmp_path / "file")


def test_command(test_set, tmp_path, capsys):
    arguments = ["prepare", "mpi_inf_3dhp", "--source", str(test_set), "--out", str(tmp_path)]
    assert run(command("prepare"), arguments) == 0
    assert f"wrote {tmp_path / 'data_test_3dhp.npz'}" in capsys.readouterr().out
    assert run(command("prepare"), arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
