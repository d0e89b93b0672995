"""`python -m jrepose.data.inspect`: every format told by its content, damage told in one line."""

import gzip
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import mpi_inf_3dhp_source
import numpy as np
import pytest
from data.formats import test_human36m_sh, test_videopose3d
from data.formats.test_videopose3d import boxed, humaneva_contents, metadata, motion, pixels
from data.prepare import human36m_source
from evaluation.conftest import make_dataset
from evaluation.test_tables import evaluated

from jrepose.command import run
from jrepose.commands import command
from jrepose.data.formats.custom import write_custom
from jrepose.data.formats.human36m_sh import FILE_NAME
from jrepose.data.inspect.outline import outline
from jrepose.data.inspect.picture import choose_frame
from jrepose.data.inspect.recognise import recognise
from jrepose.errors import InputError
from jrepose.evaluation.tables import write_predictions
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15, MPI_INF_3DHP_17

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 3 Xposition Yposition Zposition
  JOINT LeftLeg
  {
    OFFSET 1 -9 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -8 0
    }
  }
  JOINT RightLeg
  {
    OFFSET -1 -9 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -8 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.02
0 20 0 0 0 0 0 0 0
0 20 1 9 0 0 0 0 0
0 20 2 0 9 0 0 0 0
"""

ASF = """# a comment first
:version 1.10
:name legs
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0.34 -0.94 0
     length 7.1
     axis 0 0 20 XYZ
     dof rx ry rz
  end
  begin
     id 2
     name rfemur
     direction -0.34 -0.94 0
     length 7.1
     axis 0 0 -20 XYZ
     dof rx ry rz
  end
:hierarchy
  begin
    root lfemur rfemur
  end
"""

AMC = """#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 17 0 0 0 0
lfemur 0 0 0
rfemur 9 0 0
2
root 0 17 1 0 0 0
lfemur 5 0 0
rfemur 0 0 0
"""


def save_boxed(path, **entries):
    """Containers as the object arrays that NumPy makes of them, the rest as it is."""
    containers = dict | list | tuple | None
    np.savez(path, **{k: boxed(v) if isinstance(v, containers) else v for k, v in entries.items()})
    return path


def write_custom_file(folder):
    write_custom(make_dataset(), folder / "renamed.dat")
    return folder / "renamed.dat"


def write_stacked_hourglass(folder):
    splits = {
        "train": test_human36m_sh.make_split(test_human36m_sh.TRAIN, 0),
        "test": test_human36m_sh.make_split(test_human36m_sh.TEST, 1),
    }
    (folder / "some.pkl").write_bytes(pickle.dumps(splits))
    return folder / "some.pkl"


def write_kernels(folder):
    contents = test_videopose3d.kernel_contents()
    test_videopose3d.write(folder, contents, detections="gt_gmm")
    return folder / "data_2d_h36m_gt_gmm.npz"


def write_videopose3d(folder):
    poses, keypoints = test_videopose3d.human36m_contents()
    test_videopose3d.write(folder, (poses, keypoints))
    return folder


def write_humaneva(folder):
    test_videopose3d.write(folder, humaneva_contents(), stem="humaneva15")
    return folder


def write_in_the_wild(folder):
    keypoints = pixels(9, 17)
    keypoints[3, 5] = np.nan
    return save_boxed(
        folder / "data_2d_custom_mine.npz",
        positions_2d={"street.mp4": {"custom": [keypoints]}},
        metadata=metadata("coco") | {"video_metadata": {"street.mp4": {"w": 1280, "h": 720}}},
    )


def write_3dhp_train(folder):
    view = {"data_2d": pixels(6, 17), "data_3d": motion(6, 17) * 1000}
    cameras = {"0": view, "8": view}
    return save_boxed(
        folder / "train.npz", data={"S1 Seq1": [cameras, 25], "S2 Seq2": [cameras, 50]}
    )


def write_3dhp_test(folder):
    view = {"data_2d": pixels(6, 17), "data_3d": motion(6, 17) * 1000}
    valid = np.array([1.0, 1, 0, 1, 0, 1])
    return save_boxed(folder / "test.npz", data={"TS1": {**view, "valid": valid}})


def write_annotations(version, split):
    def write(folder):
        if split == "train":
            path, content = folder / "S3" / "Seq1" / "annot.mat", mpi_inf_3dhp_source.training()
        else:
            path, content = folder / "TS5" / "annot_data.mat", mpi_inf_3dhp_source.test()
        return mpi_inf_3dhp_source.write(path, content, version)

    return write


def write_positions(suffix):
    def write(folder):
        path = folder / "S9" / f"Walking 1{suffix}"
        path.parent.mkdir()
        writers = {
            ".cdf": human36m_source.write_cdf,
            ".cdf.mat": human36m_source.write_mat,
            ".h5": human36m_source.write_h5,
        }
        writers[suffix](path, human36m_source.positions_mm(0))
        return path

    return write


def write_prediction_file(folder):
    dataset = make_dataset()
    write_predictions(evaluated(dataset), dataset, folder / "predictions.npz")
    return folder / "predictions.npz"


def write_text(name, text):
    def write(folder):
        (folder / "legs.asf").write_text(ASF)
        opener = gzip.open if name.endswith(".gz") else open
        with opener(folder / name, "wt") as file:
            file.write(text)
        return folder / name

    return write


# What writes a file, and what is to be said about it.
FORMATS = {
    "custom": (write_custom_file, ["own keypoints and poses", "2 videos, 50 frames, 20 to 30 a",
                                   "2 actions: Walking, Sitting", "17 keypoints, human36m_17",
                                   "1 subject: s", "none missing", "images 1000 x 1002"]),
    "human36m_sh": (write_stacked_hourglass, ["Human3.6M-SH", "6 videos, 23 frames",
                                              "4 subjects: S1, S8, S9, S11",
                                              "joints_2.5d_image: float64 [11, 17, 3]",
                                              "2 frames are not valid"]),
    "predictions": (write_prediction_file, ["predictions of an evaluation", "2 videos, 50 frames",
                                            "poses_mm: float32 [50, 17, 3]"]),
    "videopose3d": (write_videopose3d, ["data_2d_h36m_gt.npz", "12 videos, 36 frames",
                                        "4 cameras: 54138969", "3 actions: Photo, Walking, Dir",
                                        "config.data.source=human36m"]),
    "kernels": (write_kernels, ["2D keypoints of Human3.6M", "12 videos", "17 keypoints, human36m",
                                "float32 [4, 17, 3, 5]"]),
    "humaneva": (write_humaneva, ["HumanEva-I in the layout of VideoPose3D", "9 videos, 27 frames",
                                  "2 subjects: Train/S3, Validate/S1", "15 joints, humaneva_15"]),
    "in the wild": (write_in_the_wild, ["2D keypoints of videos in the wild", "images 1280 x 720",
                                        "1 video, 9 frames", "17 keypoints, coco_17",
                                        "0.65 % of the keypoints are missing"]),
    "3dhp train": (write_3dhp_train, ["MPI-INF-3DHP, training set", "4 videos, 24 frames",
                                      "2 cameras: 0, 8", "images 2048 x 2048"]),
    "3dhp test": (write_3dhp_test, ["MPI-INF-3DHP, test set", "1 video, 6 frames",
                                    "2 frames are not valid"]),
    "annot v5": (write_annotations("5", "train"), ["annotations of a training sequence",
                                                   "8 videos", "1 action: S3 Seq1"]),
    "annot v7.3": (write_annotations("7.3", "train"), ["annotations of a training sequence"]),
    "annot_data v5": (write_annotations("5", "test"), ["annotations of a test sequence"]),
    "annot_data v7.3": (write_annotations("7.3", "test"), ["annotations of a test sequence",
                                                           "images 1920 x 1080", "not valid"]),
    "cdf": (write_positions(".cdf"), ["3D positions of one recording of Human3.6M, original",
                                      "1 subject: S9", "1 action: Walking 1", "3 frames"]),
    "cdf.mat": (write_positions(".cdf.mat"), ["3D positions of one recording", "[3, 96]"]),
    "h5": (write_positions(".h5"), ["3D positions of one recording", "prepare human36m"]),
    "asf": (write_text("legs.asf", ASF), ["ASF skeleton", "3 bones: root, lfemur, rfemur"]),
    "amc": (write_text("legs_1.amc", AMC), ["motion capture, AMC", "2 frames of 12 values"]),
    "amc.gz": (write_text("legs_1.amc.gz", AMC), ["motion capture, AMC", "skeleton: legs.asf"]),
    "bvh": (write_text("walk.txt", BVH), ["BVH", "5 joints and end sites", "9 channels, 50 a se"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_told_by_content_and_drawn(name, tmp_path, monkeypatch, capsys):
    if name in ("annot v7.3", "annot_data v7.3", "h5"):
        pytest.importorskip("h5py", reason="needs the extra 'datasets'")
    if name == "cdf":
        pytest.importorskip("cdflib", reason="needs the extra 'datasets'")
    source, here = tmp_path / "source", tmp_path / "here"
    source.mkdir(), here.mkdir()
    monkeypatch.chdir(here)
    write, words = FORMATS[name]
    path = write(source)
    assert run(command("inspect"), ["inspect", str(path)]) == 0
    printed = capsys.readouterr()
    for word in words:
        assert word in printed.out, printed.out
    assert not printed.err
    assert max(map(len, printed.out.splitlines()[1:])) < 160
    (picture,) = here.iterdir()
    assert picture.name == f"{path.name.partition('.')[0]}.png"
    check_picture(picture)


def check_picture(path):
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 300
    colours = np.unique((255 * pixels[::2, ::2]).astype(int).reshape(-1, 3), axis=0)
    assert len(colours) > 20  # a blank picture has one


def inspected(capsys, *arguments, fails=False):
    """What the command prints: the report, or the one line of an error."""
    assert run(command("inspect"), ["inspect", *map(str, arguments)]) == (2 if fails else 0)
    printed = capsys.readouterr()
    if fails:
        assert not printed.out and printed.err.count("\n") == 1
    return printed.err if fails else printed.out


@pytest.mark.parametrize(
    "name, content",
    [
        ("new.bin", b"PK\3\4"),
        ("legacy.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
        ("weights", b"\x0a\0\0\0\0\0\0\0" + b'{"a": {}}  '),
    ],
)
def test_checkpoints_are_pointed_to_the_converter(tmp_path, capsys, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    if name == "new.bin":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("best/data.pkl", b"\x80\x02}q\0.")
            archive.writestr("best/version", b"3")
    printed = inspected(capsys, path)
    assert "a PyTorch checkpoint" in printed and "jrepose.interop.convert" in printed
    assert not list(tmp_path.glob("*.png"))


UNKNOWN = {
    "absent": (None, "cannot read"),
    "empty": (b"", "an empty file"),
    "text": (b"frame,x,y\n", r"a file that starts with b'frame,x,y\n', which is not supported"),
    "gzip": (gzip.compress(b"frame,x,y"), "starts with b'frame,x,y'"),
    "half a gzip": (gzip.compress(b"HIERARCHY" * 99)[:-9], "damaged gzip file"),
    "zip": (b"PK\5\6" + bytes(18), "a zip file of nothing"),
    "half a zip": (b"PK\3\4" + bytes(18), "damaged zip file"),
    "a pickled list": (pickle.dumps([1, 2]), "a pickle of a list"),
    "a pickled dictionary": (pickle.dumps({"a": 1}, 0), "a pickle of a dictionary of 'a'"),
    "code": (b"\x80\x04cos\nsystem\nX\4\0\0\0true\x85R.", "asks for os.system"),
    "HDF5 or not": (b"\x89HDF\r\n\x1a\n" + bytes(99), "cannot read"),
    "MATLAB or not": (b"MATLAB 5.0".ljust(124) + b"\0\1IM" + bytes(9), "damaged MATLAB file"),
    "half a BVH": (BVH.encode()[:99], "BVH"),
    "half an ASF": (ASF.encode()[:300], "asf"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_everything_else_is_refused_in_one_line(tmp_path, capsys, name):
    content, message = UNKNOWN[name]
    path = tmp_path / "file.asf"
    if content is not None:
        path.write_bytes(content)
    printed = inspected(capsys, path, fails=True)
    assert str(path) in printed and message in printed, printed


def test_unknown_files_are_told_what_is_supported(tmp_path, capsys):
    np.savez(tmp_path / "some.npz", a=1, b=2)
    printed = inspected(capsys, tmp_path / "some.npz", fails=True)
    assert "a NumPy archive of 'a', 'b', which is not supported" in printed
    assert "data_2d_*.npz" in printed and "BVH" in printed
    np.save(tmp_path / "some.npy", np.zeros((9, 17, 3)))
    printed = inspected(capsys, tmp_path / "some.npy", fails=True)
    assert "without a key, float64 [9, 17, 3], 0" in printed
    (tmp_path / "folder").mkdir()
    assert "a folder with none" in inspected(capsys, tmp_path / "folder", fails=True)


def test_damage_is_told_in_one_line(tmp_path, capsys):
    np.savez(
        tmp_path / "own.npz", keypoints_px=np.zeros((5, 17, 2)), width=9, height=9, sbjects="A"
    )
    assert "unknown key 'sbjects'" in inspected(capsys, tmp_path / "own.npz", fails=True)
    save_boxed(tmp_path / "3d.npz", positions_3d={"S1": {"Walking": np.zeros((5, 32))}})
    printed = inspected(capsys, tmp_path / "3d.npz", fails=True)
    assert "positions_3d, S1 'Walking': expected an array [frames, joints, channels]" in printed
    walks = {"Walking": np.zeros((5, 32, 3)), "Eating": np.zeros((5, 15, 3))}
    save_boxed(tmp_path / "3d.npz", positions_3d={"S1": walks})
    assert "arrays of 15 and 17 joints" in inspected(capsys, tmp_path / "3d.npz", fails=True)
    (tmp_path / "2_1.amc").write_text(AMC)
    assert "expected one .asf beside it" in inspected(capsys, tmp_path / "2_1.amc", fails=True)


def test_folders_of_each_kind(tmp_path, capsys):
    write_stacked_hourglass(tmp_path).rename(tmp_path / FILE_NAME)
    assert "Human3.6M-SH" in inspected(capsys, tmp_path, "--no-picture")
    training = tmp_path / "3dhp"
    mpi_inf_3dhp_source.write_all(training)
    printed = inspected(capsys, training, "--no-picture")
    assert "MPI-INF-3DHP, univ_annot3" in printed and "134 videos" in printed  # 16 x 8 + 6
    clips = tmp_path / "clips" / "legs"
    clips.mkdir(parents=True)
    write_text("legs_1.amc", AMC)(clips)
    write_text("legs_2.amc.gz", AMC)(clips)
    write_text("walk.bvh", BVH)(clips)
    printed = inspected(capsys, tmp_path / "clips", "--no-picture")
    assert "1 .amc, 1 .amc.gz, 1 .bvh files; here" in printed
    source = tmp_path / "archive"
    human36m_source.write_subject(source, "S5", human36m_source.write_mat, ".cdf.mat")
    printed = inspected(capsys, source, "--no-picture")
    assert "original positions of Human3.6M, " in printed and "1 subject: S5" in printed


def test_missing_joints_are_counted_by_joint(tmp_path, capsys):
    keypoints = np.random.default_rng(0).uniform(100, 600, (40, 17, 3))
    keypoints[..., 2] = 0.5
    keypoints[:10, 13, 0] = np.nan  # left wrist
    keypoints[:5, 10, 2] = 0.0  # head
    keypoints[0, 7, :2] = 0.0  # spine, in the corner
    keypoints[:4, 3, 0] = -50.0  # right ankle, outside
    poses = np.full((40, 17, 3), 30.0) * np.arange(17)[:, None]
    np.savez(tmp_path / "own.npz", keypoints_px=keypoints, width=640, height=640,
             poses_camera_mm=poses, valid=np.arange(40) > 1)  # fmt: skip
    arguments = ["inspect", str(tmp_path / "own.npz"), "--no-picture"]
    assert run(command("inspect"), arguments) == 0
    printed, said = capsys.readouterr()
    assert "0.15 % of keypoints_px lie at (0, 0) and count as found" in said
    rows = {line.split()[1]: line for line in printed.splitlines() if " %" in line and "_" not in
            line.split()[0] and line.split()[0].isdigit()}  # fmt: skip
    assert rows["left_wrist"].split()[2:] == ["25.00", "%", "0.00", "%", "0.375"]
    assert rows["head"].split()[2] == "12.50"
    assert rows["right_ankle"].split()[2:5] == ["0.00", "%", "10.00"]
    assert rows["pelvis"].split()[2:] == ["0.00", "%", "0.00", "%", "0.500"]
    assert "2.21 % of the keypoints are missing" in printed  # 15 of 680
    assert "2 frames are not valid" in printed


def test_video_and_frame_to_draw(tmp_path):
    content = recognise(write_custom_file(tmp_path))
    track, frame = choose_frame(content, None, None)
    assert (track.name, frame) == ("v0", 15)
    assert choose_frame(content, "v1", 19)[1] == 19
    with pytest.raises(InputError, match="--frame 20: expected 0 to 19, as in v1"):
        choose_frame(content, "v1", 20)
    with pytest.raises(InputError, match="--video v: 2 videos are called so; there are v0, v1"):
        choose_frame(content, "v", None)
    with pytest.raises(InputError, match="--video walk: no videos are called so"):
        choose_frame(content, "walk", None)


def test_the_frame_drawn_is_valid_and_complete(tmp_path):
    keypoints = np.ones((9, 17, 2))
    keypoints[3:6, 0] = np.nan
    valid = np.ones(9, bool)
    valid[6] = False
    np.savez(tmp_path / "own.npz", keypoints_px=keypoints, width=9, height=9, valid=valid)
    assert choose_frame(recognise(tmp_path / "own.npz"), None, None)[1] == 2


def test_joint_orders_are_those_of_the_files(tmp_path):
    content = recognise(write_in_the_wild(tmp_path))
    assert content.keypoint_skeleton is COCO_17 and content.skeleton is None
    content = recognise(write_3dhp_test(tmp_path))
    assert content.skeleton is content.keypoint_skeleton is MPI_INF_3DHP_17
    write_humaneva(tmp_path)
    content = recognise(tmp_path / "data_3d_humaneva15.npz")
    assert content.skeleton is HUMANEVA_15 and (content.unit, content.up) == ("m", "z")
    path = save_boxed(tmp_path / "20.npz", positions_3d={"Train/S1": {"Box": motion(3, 20)}})
    assert recognise(path).skeleton is None
    bones = recognise(write_text("legs.bvh", BVH)(tmp_path)).skeleton
    sides = [[bones.joint_names[joint] for joint in side] for side in (bones.left, bones.right)]
    assert sides == [["LeftLeg", "LeftLeg/end"], ["RightLeg", "RightLeg/end"]]


def test_original_positions_are_those_of_the_17_joints(tmp_path):
    (track,) = recognise(write_positions(".cdf.mat")(tmp_path)).tracks
    expected = human36m_source.positions_mm(0)
    np.testing.assert_allclose(track.poses[:, 0], expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(track.poses[:, 8], expected[:, 13], rtol=1e-6)  # thorax
    assert track.poses.shape[1] == HUMAN36M_17.num_joints


def test_without_matplotlib_the_report_remains(tmp_path, capsys, monkeypatch):
    path = write_custom_file(tmp_path)
    for name in list(sys.modules):
        if name.split(".")[0] in ("matplotlib", "mpl_toolkits"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.chdir(tmp_path)
    assert "no picture: drawing pictures needs matplotlib" in inspected(capsys, path)
    assert run(command("inspect"), ["inspect", str(path), "--picture", "here.png"]) == 2
    assert ".[plots]" in capsys.readouterr().err


def test_output_that_nobody_reads_to_its_end(tmp_path):
    command = [sys.executable, "-m", "jrepose.data.inspect", str(write_3dhp_test(tmp_path))]
    with subprocess.Popen([*command, "--no-picture"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as started:  # fmt: skip
        started.stdout.close()
        assert started.stderr.read() == b""
    assert started.returncode == 141


def test_pipes_are_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: a pipe; expected a regular file" in inspected(
        capsys, tmp_path / "pipe", fails=True
    )


def test_command(tmp_path):
    path = write_3dhp_test(tmp_path)
    command = [sys.executable, "-m", "jrepose.data.inspect", str(path), "--picture", "there.png"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ
                          | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "picture there.png: TS1, frame 3" in done.stdout
    check_picture(tmp_path / "there.png")


def test_outlines_tell_once_what_is_alike():
    subjects = {
        f"S{n}": {f"action {k}": [np.full((10 + k, 17, 2), k)] * 4 for k in range(5)}
        for n in range(9)
    }
    lines = outline({"positions": subjects, "metadata": {"num_joints": 17, "name": "h36m"}})
    assert lines == [
        "positions: dictionary of 9",
        "  S0, S1, S2, S3, S4, S5, S6, S7, ... (9): 9 dictionaries",
        "    action 0, action 1, action 2, action 3, action 4: list of 4",
        "      each: int64 [10 to 14, 17, 2], 0 to 4",
        "metadata: dictionary of 2",
        "  num_joints: 17",
        "  name: 'h36m'",
    ]
    sequences = {f"S{n}": [{"0": np.zeros(3), "8": np.ones(4)}, 25] for n in range(3)}
    assert outline(sequences) == [
        "S0, S1, S2: list of 2",
        "  0: 3 dictionaries",
        "    0: float64 [3], 0",
        "    8: float64 [4], 1",
        "  1: 25, 25, 25",
    ]
    assert outline({"a": np.array([np.nan, 1.0, np.inf])}) == ["a: float64 [3], 1, 2 not finite"]
    assert outline({"a\nb": ["x"] * 1000}) == ["'a\\nb': list of 1000 str"]
    deep = {}
    for _ in range(50):
        deep = {"more": deep}
    assert len(outline(deep)) < 15


# ---- damaged files -----------------------------------------------------------------------


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, cut, doubled or zeroed."""
    data = bytearray(content)
    place, length = int(random.integers(len(data))), int(random.integers(1, 40))
    kind = random.integers(5)
    if kind == 0:
        return bytes(data[:place])
    if kind == 1:
        data[place : place + length] = bytes(length)
    elif kind == 2:
        data[place:place] = data[place : place + length]
    else:
        for _ in range(int(random.integers(1, 9))):
            data[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
    return bytes(data)


FUZZED = ["custom", "human36m_sh", "in the wild", "3dhp train", "3dhp test", "annot v5",
          "annot_data v5", "predictions", "cdf.mat", "asf", "amc", "amc.gz", "bvh"]  # fmt: skip


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_files_give_a_report_or_one_line(name, tmp_path, capsys):
    path = FORMATS[name][0](tmp_path)
    content = path.read_bytes()
    random = np.random.default_rng(FUZZED.index(name))
    for _ in range(8):
        path.write_bytes(damage(content, random))
        assert_report_or_one_line(path, capsys)


def assert_report_or_one_line(path, capsys, *arguments):
    status = run(command("inspect"), ["inspect", str(path), *(arguments or ["--no-picture"])])
    printed = capsys.readouterr()
    assert status in (0, 2)
    assert printed.err.count("\n") == (1 if status else 0), printed.err


JUNK = [
    None, 7, "text", [], {}, [[]], np.zeros(0), np.zeros((3, 17, 2)), np.zeros((0, 17, 3)),
    np.full((4, 17, 3), np.nan), np.full((4, 17, 2), np.inf), np.full((4, 17, 3), 1e300),
    np.full((4, 32, 3), -1e38, np.float32), np.zeros((4, 17, 3), complex), np.array(["a"]),
    np.zeros((4, 1, 3)), np.zeros((4, 17, 3), np.uint8), [1, 2], {"w": 1}, {"w": "a", "h": None},
    (np.zeros((4, 17, 2)),) * 3, np.array([None, {}]), np.zeros((4, 17), bool), 1e300, -1,
]  # fmt: skip


def replaced(content, random, depth=0):
    """The content with one thing in it replaced."""
    if isinstance(content, dict | list) and content and (depth == 0 or random.random() < 0.8):
        content = content.copy()
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = keys[int(random.integers(len(keys)))]
        content[key] = replaced(content[key], random, depth + 1)
        return content
    return JUNK[int(random.integers(len(JUNK)))]


@pytest.mark.parametrize("seed", range(8))
def test_strange_content_gives_a_report_or_one_line(seed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(seed)
    poses, keypoints = test_videopose3d.human36m_contents()
    view = {"data_2d": pixels(4, 17), "data_3d": motion(4, 17), "valid": np.ones(4)}
    own = {"keypoints_px": pixels(4, 17), "width": 9, "height": 9, "poses_camera_mm": motion(4, 17)}
    wild = {"positions_2d": {"a": {"custom": [pixels(4, 17)]}},
            "metadata": metadata("coco") | {"video_metadata": {"a": {"w": 9, "h": 9}}}}  # fmt: skip
    contents = [poses, keypoints, wild, own, {"data": {"TS1": view}},
                {"data": {"S1 Seq1": [{"0": view}, 25]}}]  # fmt: skip
    for number, content in enumerate(contents):
        path = save_boxed(tmp_path / "strange.npz", **replaced(content, random))
        draws = number == seed % len(contents)
        assert_report_or_one_line(path, capsys, *(["--frame", "0"] if draws else []))
    sh = {"train": test_human36m_sh.make_split(test_human36m_sh.TRAIN, 0),
          "test": test_human36m_sh.make_split(test_human36m_sh.TEST, 1)}  # fmt: skip
    path.write_bytes(pickle.dumps(replaced(sh, random)))
    assert_report_or_one_line(path, capsys)
