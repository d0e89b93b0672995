"""Human3.6M from small files in its original layouts, written here."""

import importlib.util
import json
import logging
import pickletools
import re
import shutil
import signal
import subprocess
import sys
import zipfile

import human36m_source as fake
import numpy as np
import pytest

from jrepose.command import run
from jrepose.commands.prepare import prepare as prepare_command
from jrepose.data.formats import human36m
from jrepose.data.prepare import position_files
from jrepose.data.prepare.human36m import prepare
from jrepose.data.prepare.object_npz import write_object_npz
from jrepose.data.prepare.position_files import MAX_FRAMES, read_positions
from jrepose.errors import InputError, MissingExtra
from jrepose.restricted_pickle import read_npz

# What each subject of the complete source is written as.
FORMATS = {
    "S1": (fake.write_cdf, ".cdf"),
    "S5": (fake.write_mat, ".cdf.mat"),
    "S6": (fake.write_h5, ".h5"),
    "S7": (lambda path, poses: fake.write_cdf(path, poses, single=False), ".cdf"),
    "S8": (lambda path, poses: fake.write_cdf(path, poses, record_per_frame=True), ".cdf"),
    "S9": (fake.write_mat, ".cdf.mat"),
    "S11": (fake.write_h5, ".h5"),
}
WRITERS = {".cdf": fake.write_cdf, ".cdf.mat": fake.write_mat, ".h5": fake.write_h5}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete source and what is in it: `(folder, {subject: {file name: poses}})`."""
    folder = tmp_path_factory.mktemp("source")
    content = {
        subject: fake.write_subject(folder, subject, write, suffix, seed=seed)
        for seed, (subject, (write, suffix)) in enumerate(FORMATS.items())
    }
    return folder, content


@pytest.fixture(scope="module")
def converted(complete, tmp_path_factory):
    """`(positions, keypoints, metadata)` as another repository loads them."""
    out = tmp_path_factory.mktemp("converted")
    written = prepare(complete[0], out)
    assert [path.name for path in written] == ["data_3d_h36m.npz", "data_2d_h36m_gt.npz"]
    assert sorted(out.iterdir()) == sorted(written)
    with np.load(written[0], allow_pickle=True) as file:
        assert file.files == ["positions_3d"]
        positions = file["positions_3d"].item()
    with np.load(written[1], allow_pickle=True) as file:
        assert sorted(file.files) == ["metadata", "positions_2d"]
        return positions, file["positions_2d"].item(), file["metadata"].item()


@pytest.fixture
def one_subject(tmp_path):
    """A source with S9 only, as .cdf."""
    fake.write_subject(tmp_path / "source", "S9", fake.write_cdf, ".cdf")
    return tmp_path / "source"


def command(*arguments):
    return run(prepare_command, ["prepare", "human36m", *map(str, arguments)])


# --- what is written ------------------------------------------------------------------------


def test_positions_are_the_sources_in_metres(complete, converted):
    positions = converted[0]
    assert list(positions) == list(human36m.SUBJECTS)
    for subject, recordings in complete[1].items():
        expected = {
            name.replace("TakingPhoto", "Photo").replace("WalkingDog", "WalkDog"): poses
            for name, poses in recordings.items()
            if (subject, name) != ("S11", "Directions")
        }
        assert set(positions[subject]) == set(expected)
        for action, poses in expected.items():
            stored = positions[subject][action]
            assert stored.dtype == np.float32 and stored.flags.writeable
            np.testing.assert_allclose(stored, poses / 1000, rtol=0, atol=2e-7)
    assert len(positions["S11"]) == 29 and "Directions 1" in positions["S11"]


def pixels_by_hand(poses_mm, subject, camera):
    """The published camera model in double precision, from the data file's own numbers."""
    file = importlib.util.find_spec("jrepose.data.formats").submodule_search_locations[0]
    with open(f"{file}/human36m_cameras.json") as text:
        table = json.load(text)
    lens, place = table["lenses"][camera], table["placements"][subject][camera]
    w, x, y, z = place["orientation_wxyz"]
    to_world = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    local = (poses_mm - place["translation_mm"]) @ to_world
    pixels = np.empty((*local.shape[:-1], 2))
    for index in np.ndindex(local.shape[:-1]):
        a = np.clip(local[index][0] / local[index][2], -1, 1)
        b = np.clip(local[index][1] / local[index][2], -1, 1)
        r2 = a * a + b * b
        (k1, k2, k3), (p1, p2) = lens["radial"], lens["tangential"]
        gain = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * a + p2 * b
        pixels[index] = (
            lens["focal_px"][0] * (a * gain + p1 * r2) + lens["centre_px"][0],
            lens["focal_px"][1] * (b * gain + p2 * r2) + lens["centre_px"][1],
        )
    return pixels


def test_keypoints_are_the_distorted_projections(complete, converted):
    positions, keypoints, _ = converted
    assert list(keypoints) == list(positions)
    for subject in keypoints:
        assert list(keypoints[subject]) == list(positions[subject])
        for action, views in keypoints[subject].items():
            assert isinstance(views, list) and len(views) == 4
            for view in views:
                assert view.dtype == np.float32
                assert view.shape == (len(positions[subject][action]), 17, 2)
    used = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    for subject, name in [("S1", "Eating 1"), ("S6", "Posing"), ("S9", "Waiting 1")]:
        poses = complete[1][subject][name][:, used]
        for camera, view in zip(human36m.CAMERA_IDS, keypoints[subject][name], strict=True):
            by_hand = pixels_by_hand(poses, subject, camera)
            assert by_hand.min() > 0 and by_hand.max() < 1000  # the studio is in the picture
            np.testing.assert_allclose(view, by_hand, rtol=0, atol=2e-3)


def test_metadata_is_that_of_the_field(converted):
    metadata = converted[2]
    assert metadata == {
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    assert type(metadata["num_joints"]) is int


def test_official_projection(golden, tmp_path):
    arrays, config = golden("camera")
    for index, which in enumerate(config["cameras"]):
        world_mm = 1000 * arrays[f"input/{index}/world_points"][0].astype(np.float64)
        poses = np.zeros((len(world_mm), 32, 3))
        poses[:, human36m.JOINTS_17] = world_mm
        source, out = tmp_path / f"source{index}", tmp_path / f"out{index}"
        path = source / which["subject"] / "MyPoseFeatures/D3_Positions/Eating.cdf"
        path.parent.mkdir(parents=True)
        fake.write_cdf(path, poses, single=False)
        prepare(source, out, allow_missing=True)
        with np.load(out / "data_2d_h36m_gt.npz", allow_pickle=True) as file:
            views = file["positions_2d"].item()[which["subject"]]["Eating"]
        np.testing.assert_allclose(
            views[which["camera_index"]],
            arrays[f"output/{index}/ground_truth_2d_pixels"], rtol=0, atol=5e-4,
        )  # fmt: skip


def test_files_load_without_running_anything(complete, converted, tmp_path):
    written = prepare(complete[0], tmp_path)
    positions = read_npz(written[0])["positions_3d"]
    content = read_npz(written[1])
    assert content["metadata"] == converted[2]
    for subject, actions in converted[0].items():
        for action, poses in actions.items():
            np.testing.assert_array_equal(positions[subject][action], poses)
            for mine, theirs in zip(
                content["positions_2d"][subject][action], converted[1][subject][action], strict=True
            ):
                np.testing.assert_array_equal(mine, theirs)


# --- object arrays --------------------------------------------------------------------------


def test_object_arrays_name_only_what_every_numpy_has(tmp_path):
    content = {"a": [np.arange(6, dtype=np.float32).reshape(2, 3), 1.5, "x"], "b": {"c": None}}
    write_object_npz(tmp_path / "x.npz", {"first": content, "second": [np.arange(2)]})
    with np.load(tmp_path / "x.npz", allow_pickle=True) as file:
        assert file.files == ["first", "second"]
        first, second = (file[name].item() for name in file.files)
    np.testing.assert_array_equal(first["a"][0], content["a"][0])
    assert first["a"][1:] == [1.5, "x"] and first["b"] == {"c": None}
    np.testing.assert_array_equal(second[0], [0, 1])
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            pickled = raw[10 + int.from_bytes(raw[8:10], "little") :]
            operations = list(pickletools.genops(pickled))
            named = {argument for code, argument, _ in operations if code.name == "GLOBAL"}
            assert named == {
                "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
            }  # fmt: skip
            assert not any(code.name == "STACK_GLOBAL" for code, _, _ in operations)


# --- reading one file -----------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 96, 200])
@pytest.mark.parametrize("suffix", WRITERS)
def test_reads_each_format(tmp_path, suffix, frames):
    poses = fake.positions_mm(1, frames)
    path = tmp_path / f"Walking 1{suffix}"
    WRITERS[suffix](path, poses)
    read = read_positions(path)
    assert read.shape == (frames, 96)
    np.testing.assert_allclose(read, poses.reshape(frames, 96), rtol=1e-6)


@pytest.mark.parametrize("record_per_frame", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("frames", [1, 5])
def test_reads_both_shapes_of_cdf(tmp_path, frames, single, record_per_frame):
    poses = fake.positions_mm(2, frames)
    path = tmp_path / "Posing.cdf"
    fake.write_cdf(path, poses, single=single, record_per_frame=record_per_frame)
    expected = poses.astype(np.float32 if single else np.float64).reshape(frames, 96)
    np.testing.assert_array_equal(read_positions(path), expected)


def test_mat_without_a_single_cell(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "Eating.cdf.mat"
    rows = fake.positions_mm(3, 4).reshape(4, 96)
    savemat(path, {"data": rows}, appendmat=False)
    with pytest.raises(InputError, match="data is a numeric array; expected a cell array"):
        read_positions(path)
    cells = np.empty((1, 2), object)
    cells[0, 0] = cells[0, 1] = rows
    savemat(path, {"data": cells}, appendmat=False)
    with pytest.raises(InputError, match="data has 2 cells; expected 1"):
        read_positions(path)


def spoil_nan(path, write, poses):
    poses[1, 20, 1] = np.nan
    write(path, poses)


def spoil_infinity(path, write, poses):
    poses[1, 0, 0] = -np.inf
    write(path, poses)


def spoil_joints(path, write, poses):
    write(path, poses[:, :31])


def spoil_variable(path, write, poses):
    write(path, poses, variable="Angles")


def spoil_half(path, write, poses):
    write(path, poses)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def spoil_empty(path, write, poses):
    path.write_bytes(b"")


def spoil_text(path, write, poses):
    path.write_text("<html>404</html>\n" * 100)


SPOILED = {
    spoil_nan: "frame 1 of 3 holds values that are not finite; expected millimetres",
    spoil_infinity: "frame 1 of 3 holds",
    spoil_joints: "93.*expected .*96",
    spoil_variable: "no (variable|dataset) '.*'; it has '?Angles",
    spoil_half: "damaged|cannot read|not a MATLAB file|not numeric",
    spoil_empty: "damaged|cannot read|not a MATLAB file|not numeric",
    spoil_text: "damaged|cannot read|not a MATLAB file|not numeric",
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_bad_files_are_one_line(tmp_path, capsys, suffix, spoil):
    source = tmp_path / "source"
    fake.write_subject(source, "S9", WRITERS[suffix], suffix)
    path = next(source.rglob(f"Smoking{suffix}"))
    spoil(path, WRITERS[suffix], fake.positions_mm(4))
    out = tmp_path / "out"
    with pytest.raises(InputError, match=SPOILED[spoil]) as caught:
        prepare(source, out, allow_missing=True)
    assert f"{path}: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_no_frames_and_too_many(tmp_path):
    import h5py
    from scipy.io import savemat

    cell = np.empty((1, 1), object)
    cell[0, 0] = np.empty((1, 0, 96))
    savemat(tmp_path / "a.cdf.mat", {"data": cell}, appendmat=False)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["3D_positions"] = np.empty((96, 0))
    with h5py.File(tmp_path / "c.h5", "w") as file:  # takes no room until something is written
        file.create_dataset("3D_positions", (96, 10**9), np.float64, chunks=(96, 100))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["3D_positions"] = np.zeros((5, 96))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["3D_positions"] = np.zeros((96, 5), np.int32)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_group("3D_positions")
    for name, complaint in {
        "a.cdf.mat": r"data has shape \(1, 0, 96\); expected \(frames, 96\)",
        "b.h5": r"3D_positions has shape \(96, 0\); expected \(96, frames\), 1 to 100000",
        "c.h5": r"\(96, 1000000000\); expected",
        "d.h5": r"\(5, 96\); expected \(96, frames\)",
        "e.h5": "holds int32; expected floating-point numbers",
        "f.h5": "damaged|cannot read|not a MATLAB file|not numeric",
    }.items():
        with pytest.raises(InputError, match=complaint):
            read_positions(tmp_path / name)
    assert MAX_FRAMES == 100_000


def test_cdf_that_claims_too_many_frames(tmp_path):
    path = tmp_path / "Walking.cdf"
    fake.write_cdf(path, fake.positions_mm(0, 3), record_per_frame=True)
    assert read_positions(path).shape == (3, 96)
    content = bytearray(path.read_bytes())
    # The variable's descriptor states its last record; look for the "2" that raises the count.
    for place in range(len(content) - 4):
        if content[place : place + 4] == (2).to_bytes(4, "big"):
            changed = content.copy()
            changed[place : place + 4] = (MAX_FRAMES + 1).to_bytes(4, "big")
            path.write_bytes(changed)
            try:
                read_positions(path)
            except InputError as error:
                if f"({MAX_FRAMES + 2}, 96)" in str(error):
                    return
    pytest.fail("no change to the file raised its number of frames")


def test_cdf_that_claims_endless_dimensions(tmp_path, monkeypatch):
    path = tmp_path / "Walking.cdf"
    fake.write_cdf(path, fake.positions_mm(0, 3))
    content = bytearray(path.read_bytes())
    # A variable's descriptor: 84 bytes of numbers, the padded name, the number of dimensions.
    place = content.index(b"Pose".ljust(256, b"\0")) + 256
    assert content[place : place + 4] == (2).to_bytes(4, "big")
    content[place : place + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(content)
    monkeypatch.setattr(position_files, "MAX_SECONDS", 0.3)
    before = signal.getsignal(signal.SIGPROF)
    with pytest.raises(InputError, match=r"cannot read .*Walking.cdf: damaged, given up"):
        read_positions(path)
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


@pytest.mark.parametrize("suffix", WRITERS)
def test_mutated_files_raise_only_input_errors(tmp_path, suffix):
    path = tmp_path / f"Walking{suffix}"
    WRITERS[suffix](path, fake.positions_mm(5, 3))
    content = path.read_bytes()
    generator = np.random.default_rng(6)
    refused = 0
    for _ in range(40):
        mutated = bytearray(content)
        for place in generator.integers(0, min(len(mutated), 1500), 6):
            mutated[place] = generator.integers(0, 256)
        path.write_bytes(mutated[: generator.integers(len(mutated) // 2, 2 * len(mutated))])
        try:
            assert read_positions(path).shape[1] == 96
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and str(path) in str(error)
    assert refused > 5


@pytest.mark.parametrize("suffix, package", [(".cdf", "cdflib"), (".h5", "h5py")])
def test_missing_packages_are_named(tmp_path, monkeypatch, suffix, package):
    path = tmp_path / f"Walking{suffix}"
    WRITERS[suffix](path, fake.positions_mm(0))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}: pip install '\.\[datasets\]'"):
        read_positions(path)


# --- finding the files ----------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["", "extracted", "a/b/c"])
def test_finds_subjects_below_the_source(one_subject, tmp_path, depth):
    source = tmp_path / "elsewhere"
    (source / depth).mkdir(parents=True)
    (one_subject / "S9").rename(source / depth / "S9")
    prepare(source, tmp_path / "out", allow_missing=True)
    with np.load(tmp_path / "out" / "data_3d_h36m.npz", allow_pickle=True) as file:
        assert list(file["positions_3d"].item()) == ["S9"]


def test_follows_links(one_subject, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "S9").symlink_to(one_subject / "S9")
    (linked / "again").symlink_to(linked)  # a circle, and S9 once more
    assert len(prepare(linked, tmp_path / "out", allow_missing=True)) == 2


def test_subject_in_two_places(one_subject, tmp_path):
    shutil.copytree(one_subject / "S9", one_subject / "copy" / "S9")
    with pytest.raises(InputError, match="S9 is there twice: .*source/S9.* and .*copy/S9"):
        prepare(one_subject, tmp_path / "out", allow_missing=True)


def test_complete_layout_wins(one_subject, tmp_path):
    folder = one_subject / "S9/MyPoseFeatures/D3_Positions"
    (folder / "Walking.cdf").unlink()
    (folder / "._Eating.cdf").write_text("resource fork")
    recordings = fake.write_subject(one_subject, "S9", fake.write_h5, ".h5", seed=9)
    prepare(one_subject, tmp_path / "out", allow_missing=True)
    with np.load(tmp_path / "out" / "data_3d_h36m.npz", allow_pickle=True) as file:
        positions = file["positions_3d"].item()["S9"]
    assert len(positions) == 30
    np.testing.assert_allclose(positions["Eating"], recordings["Eating"] / 1000, atol=1e-6)


def test_old_and_new_name_of_one_recording(one_subject, tmp_path):
    folder = one_subject / "S9/MyPoseFeatures/D3_Positions"
    shutil.copy(folder / "TakingPhoto.cdf", folder / "Photo.cdf")
    with pytest.raises(InputError, match=r"TakingPhoto.cdf: the same recording as Photo.cdf"):
        prepare(one_subject, tmp_path / "out", allow_missing=True)


def change_nothing(source):
    return None


def remove_recording(source):
    next(source.rglob("S5/**/WalkTogether 1.cdf.mat")).unlink()
    return r"S5 has 29 \(1/2 WalkTogether\); expected S1, .*S11 with 30 recordings each"


def add_recording(source):
    path = next(source.rglob("S6/**/Eating.h5"))
    shutil.copy(path, path.with_name("Eating 7.h5"))
    return r"S6 has 31 \(3/2 Eating\)"


def add_unknown_recording(source):
    path = next(source.rglob("S1/**/Eating.cdf"))
    shutil.copy(path, path.with_name("Juggling.cdf"))
    return r"S1 has 31 \(1/0 Juggling\)"


def remove_subject(source):
    shutil.rmtree(source / "S8")
    return r"S8 is missing; expected"


def remove_subject_but_not_its_archive(source):
    shutil.rmtree(source / "S8")
    (source / "Poses_D3_Positions_S8.tgz").write_bytes(b"packed")
    (source / "Poses_D3_Positions_S9.tgz").write_bytes(b"packed")
    return r"S8 is missing; .*; Poses_D3_Positions_S8.tgz is still packed, extract it first"


def add_subject(source):
    shutil.copytree(source / "S1", source / "S2")
    return "S2 has no published poses"


def spread_over_two(source):
    next(source.rglob("S5/**/Walking.cdf.mat")).unlink()
    shutil.rmtree(source / "S7")
    return r"S5 has 29 \(1/2 Walking\); S7 is missing; expected"


CHANGES = [change_nothing, remove_recording, add_recording, add_unknown_recording, remove_subject,
           remove_subject_but_not_its_archive, add_subject, spread_over_two]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_deviations_from_the_published_set(complete, tmp_path, capsys, change):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(complete[0], source)
    complaint = change(source)
    status = command("--source", source, "--out", out)
    errors = capsys.readouterr().err
    if complaint is None:
        assert status == 0
        return
    assert status == 2 and not out.exists()
    assert errors.count("\n") == 1 and errors.startswith("prepare: error: ")
    assert re.search(complaint, errors) and "--allow-missing" in errors

    with_it = command("--source", source, "--out", out, "--allow-missing")
    assert with_it == 0
    captured = capsys.readouterr()
    assert re.search(complaint, captured.err) and "error" not in captured.err
    with np.load(out / "data_3d_h36m.npz", allow_pickle=True) as file:
        positions = file["positions_3d"].item()
    assert not any(action.startswith("Juggling") for s in positions for action in positions[s])
    assert set(positions) <= set(human36m.SUBJECTS)


def test_nothing_to_convert(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no positions of Human3.6M below it; expected S1/My"):
        prepare(tmp_path, out)
    (tmp_path / "Poses_D3_Positions_S1.tgz").write_bytes(b"packed")
    with pytest.raises(InputError, match="Poses_D3_Positions_S1.tgz is still packed"):
        prepare(tmp_path, out)
    (tmp_path / "S1/MyPoseFeatures/D3_Positions").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no positions of Human3.6M"):
        prepare(tmp_path, out, allow_missing=True)
    for absent in (tmp_path / "nowhere", tmp_path / "Poses_D3_Positions_S1.tgz"):
        with pytest.raises(InputError, match=rf"{absent.name}: no such folder"):
            prepare(absent, out)
    assert not out.exists()


# --- writing --------------------------------------------------------------------------------


def test_refuses_to_overwrite(one_subject, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "data_2d_h36m_gt.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"data_2d_h36m_gt.npz exists already \(--overwrite"):
        prepare(one_subject, out, allow_missing=True)
    assert [path.name for path in out.iterdir()] == ["data_2d_h36m_gt.npz"]
    assert (out / "data_2d_h36m_gt.npz").read_bytes() == b"precious"
    prepare(one_subject, out, allow_missing=True, overwrite=True)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(first) == ["data_2d_h36m_gt.npz", "data_3d_h36m.npz"]
    with pytest.raises(InputError, match="exists already"):
        prepare(one_subject, out, allow_missing=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_nothing_is_left_when_writing_fails(one_subject, tmp_path, monkeypatch):
    from jrepose.data.prepare import human36m as converter

    def full_disk(path, entries):
        write_object_npz(path, entries)
        if "positions_2d" in entries:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(converter, "write_object_npz", full_disk)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="cannot write .*data_2d_h36m_gt.npz: No space left"):
        prepare(one_subject, out, allow_missing=True)
    assert list(out.iterdir()) == []


def test_output_that_is_a_file(one_subject, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out: not a folder"):
        prepare(one_subject, tmp_path / "out", allow_missing=True)


def test_left_out_recording_is_mentioned(complete, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "jrepose"):
        prepare(complete[0], tmp_path)
    assert caplog.messages == ["S11 Directions is left out: the recording is corrupt"]


# --- the command line -----------------------------------------------------------------------


def test_command_line(one_subject, tmp_path):
    arguments = ["--source", one_subject, "--out", tmp_path / "out", "--allow-missing"]
    for status, output in [(0, "wrote "), (2, "")]:
        done = subprocess.run(
            [sys.executable, "-m", "jrepose.data.prepare", "human36m", *arguments],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert done.stdout.startswith(output)
        assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 and "exists already" in done.stderr


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "DATASET is missing"),
        (["human35m"], "human36m"),
        (["human36m", "--out", "x"], "--source DIR is missing"),
        (["human36m", "--source", "x"], "--out DIR is missing"),
        (["human36m", "--source", "x", "--out", "y", "--fast"], "--fast"),
        (["human36m", "--source", "/nowhere", "--out", "y"], "/nowhere: no such folder"),
    ],
)
def test_bad_arguments_are_one_line(capsys, arguments, complaint):
    assert run(prepare_command, ["prepare", *arguments]) == 2
    errors = capsys.readouterr().err
    assert complaint in errors and errors.count("\n") == 1


def test_help_tells_the_layout(capsys):
    for arguments, expected in [
        (["--help"], ["human36m"]),
        (["human36m", "--help"],
         ["--source", "--overwrite", "--allow-missing", "MyPoseFeatures/D3_Positions", ".h5",
          "data_2d_h36m_gt.npz"]),
    ]:  # fmt: skip
        with pytest.raises(SystemExit) as stopped:
            prepare_command(["prepare", *arguments])
        assert stopped.value.code == 0
        text = capsys.readouterr().out
        assert all(words in text for words in expected)
