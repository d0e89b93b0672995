"""ASF/AMC: forward kinematics against hand-made cases and an oracle, and malformed files."""

import gzip
import pathlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from jrepose.data.mocap.asf_amc import joint_positions, read_amc, read_asf
from jrepose.errors import InputError

ASF = """\
# a comment
:version 1.10
:name TEST
:units
  mass 1.0
  length 0.5
  angle deg
:documentation
   begin nothing, end nothing
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name hip
     direction 1 0 0
     length 1
     axis 0 0 0  XYZ
  end
  begin
     id 2
     name thigh
     direction 0 -1 0
     length 4
     axis 20 -30 40  XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 3
     name shin
     direction 0 0 1
     length 2

     axis 0 0 90   XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
     id 4
     name Toes
     direction 0.6 0 0.8
     length 0.5
     axis 10 0 5   ZXY
    dof rx rz
  end
:hierarchy
  begin
    root hip
    hip thigh
    thigh shin
    shin Toes
  end
"""
MM = 25.4 / 0.5
HEADER = ["#!OML:ASF x", ":FULLY-SPECIFIED", ":DEGREES"]
ROOT = (0.0,) * 6


def frame(number, root=ROOT, thigh=(0, 0, 0), shin=(0,), toes=(0, 0)):
    lines = [("root", root), ("shin", shin), ("thigh", thigh), ("Toes", toes)]
    return [str(number)] + [f"{name} {' '.join(map(str, values))}" for name, values in lines]


def write_amc(folder, frames, header=HEADER, end="\n", name="motion.amc"):
    text = end.join([*header, *(line for lines in frames for line in lines), ""])
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.fixture
def skeleton(tmp_path):
    path = tmp_path / "test.asf"
    path.write_text(ASF)
    return read_asf(path)


def random_frames(count, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda n: tuple(np.round(rng.uniform(-120, 120, n), 4))  # noqa: E731
    return [frame(k + 1, draw(6), draw(3), draw(1), draw(2)) for k in range(count)]


def oracle(asf_text, lines):
    """Tips of one frame's bones in mm, by homogeneous matrices and another library."""
    values = {words[0]: [float(w) for w in words[1:]] for words in map(str.split, lines[1:])}
    tips, matrices = {}, {}
    root = values["root"]
    matrices["root"] = Rotation.from_euler("xyz", root[3:], degrees=True).as_matrix()
    tips["root"] = np.array(root[:3]) * MM
    bones = [
        ("hip", "root", (1, 0, 0), 1, (0, 0, 0), "xyz", ""),
        ("thigh", "hip", (0, -1, 0), 4, (20, -30, 40), "xyz", "xyz"),
        ("shin", "thigh", (0, 0, 1), 2, (0, 0, 90), "xyz", "x"),
        ("Toes", "shin", (0.6, 0, 0.8), 0.5, (10, 0, 5), "zxy", "xz"),
    ]
    for name, parent, direction, length, axis, order, dof in bones:
        by_axis = dict(zip("xyz", axis, strict=True))
        c = Rotation.from_euler(order, [by_axis[a] for a in order], degrees=True).as_matrix()
        angle = dict(zip(dof, values.get(name, ()), strict=True))
        m = Rotation.from_euler(order, [angle.get(a, 0) for a in order], degrees=True).as_matrix()
        matrices[name] = matrices[parent] @ c @ m @ c.T
        tips[name] = tips[parent] + matrices[name] @ np.array(direction) * length * MM
    return tips


def test_zero_pose_stands_where_the_directions_say(tmp_path, skeleton):
    motion = read_amc(write_amc(tmp_path, [frame(1)]), skeleton)
    expected = np.array([[0, 0, 0], [1, 0, 0], [1, -4, 0], [1, -4, 2], [1.3, -4, 2.4]]) * MM
    np.testing.assert_allclose(joint_positions(skeleton, motion)[0], expected, atol=1e-9)
    assert motion.frame_rate is None
    assert [bone.name for bone in skeleton.bones] == ["root", "hip", "thigh", "shin", "Toes"]


def test_a_bone_turns_about_its_own_axes(tmp_path, skeleton):
    # The shin's axes are turned 90 degrees about z: its rx turns about the world's y axis,
    # which takes the shin from +z to +x.
    motion = read_amc(write_amc(tmp_path, [frame(1, shin=(90,))]), skeleton)
    thigh, shin = joint_positions(skeleton, motion)[0, 2:4]
    np.testing.assert_allclose(shin - thigh, [2 * MM, 0, 0], atol=1e-9)


def test_root_moves_and_turns_everything(tmp_path, skeleton):
    motion = read_amc(write_amc(tmp_path, [frame(1, (3, 5, -7, 0, 90, 0))]), skeleton)
    root, hip = joint_positions(skeleton, motion)[0, :2]
    np.testing.assert_allclose(root, np.array([3, 5, -7]) * MM)
    np.testing.assert_allclose(hip - root, [0, 0, -MM], atol=1e-9)


def test_kinematics_equal_an_independent_oracle(tmp_path, skeleton):
    frames = random_frames(20)
    positions = joint_positions(skeleton, read_amc(write_amc(tmp_path, frames), skeleton))
    for found, lines in zip(positions, frames, strict=True):
        expected = oracle(ASF, lines)
        for name, number in skeleton.index.items():
            np.testing.assert_allclose(found[number], expected[name], atol=1e-8, err_msg=name)


def test_blocks_of_frames_join_without_a_seam(tmp_path, skeleton, monkeypatch):
    motion = read_amc(write_amc(tmp_path, random_frames(10)), skeleton)
    whole = joint_positions(skeleton, motion)
    monkeypatch.setattr("jrepose.data.mocap.asf_amc._FRAMES_PER_BLOCK", 3)
    np.testing.assert_array_equal(joint_positions(skeleton, motion), whole)


def test_layouts_of_one_motion_agree(tmp_path, skeleton):
    frames = random_frames(6)
    expected = read_amc(write_amc(tmp_path, frames), skeleton).values
    shuffled = [[lines[0], *lines[:0:-1]] if k % 2 else lines for k, lines in enumerate(frames)]
    commented = [["# between", "", *lines, "   "] for lines in frames]
    padded = [[f" {line}\t " for line in lines] for lines in frames]
    variants = {
        "crlf": write_amc(tmp_path, frames, end="\r\n", name="a.amc"),
        "gzip": write_amc(tmp_path, frames, name="b.amc.gz"),
        "order of bones changes": write_amc(tmp_path, shuffled, name="c.amc"),
        "comments and blank lines": write_amc(tmp_path, commented, name="d.amc"),
        "indented": write_amc(tmp_path, padded, name="e.amc"),
        "frames from 7": write_amc(
            tmp_path, [[str(k + 7), *lines[1:]] for k, lines in enumerate(frames)], name="f.amc"
        ),
        "no header": write_amc(tmp_path, frames, header=[], name="g.amc"),
    }
    for name, path in variants.items():
        np.testing.assert_array_equal(read_amc(path, skeleton).values, expected, err_msg=name)


def test_numbers_are_read_as_python_reads_them(tmp_path, skeleton):
    shin = "3.64024e-015"
    path = write_amc(tmp_path, [frame(1, shin=(shin,)), frame(2, shin=("-.5",))])
    column = skeleton.columns[skeleton.index["shin"]]
    found = np.rad2deg(read_amc(path, skeleton).values[:, column].ravel())
    np.testing.assert_allclose(found, [float(shin), -0.5], rtol=1e-15)


def test_radians_in_skeleton_and_motion(tmp_path, skeleton):
    frames = random_frames(3)
    expected = joint_positions(skeleton, read_amc(write_amc(tmp_path, frames), skeleton))

    def in_radians(words, skip):
        return [*words[:skip], *(repr(np.deg2rad(float(word)).item()) for word in words[skip:])]

    asf = []
    for line in ASF.replace("angle deg", "angle rad").splitlines():
        words = line.split()
        if words[:1] == ["axis"] and len(words) == 5:
            words = [*in_radians(words[:4], 1), words[4]]
        asf.append(" ".join(words))
    (tmp_path / "rad.asf").write_text("\n".join(asf))
    radian_skeleton = read_asf(tmp_path / "rad.asf")
    radian_frames = []
    for lines in frames:
        rows = [line.split() for line in lines[1:]]
        rows = [in_radians(row, 4 if row[0] == "root" else 1) for row in rows]
        radian_frames.append([lines[0], *map(" ".join, rows)])

    for name, header, motion_frames in [
        ("stated.amc", [":RADIANS"], radian_frames),
        ("as the skeleton.amc", [], radian_frames),
        ("degrees.amc", [":DEGREES"], frames),
    ]:
        path = write_amc(tmp_path, motion_frames, header=header, name=name)
        found = joint_positions(radian_skeleton, read_amc(path, radian_skeleton))
        np.testing.assert_allclose(found, expected, atol=1e-8, err_msg=name)


def test_root_order_and_position_are_honoured(tmp_path):
    text = ASF.replace("order TX TY TZ RX RY RZ", "order RZ RY RX TX TZ TY")
    (tmp_path / "a.asf").write_text(text.replace("position 0 0 0", "position 0 1 0"))
    skeleton = read_asf(tmp_path / "a.asf")
    path = write_amc(tmp_path, [frame(1, (90, 0, 0, 1, 2, 3))])
    root, hip = joint_positions(skeleton, read_amc(path, skeleton))[0, :2]
    np.testing.assert_allclose(root / MM, [1, 4, 2])
    np.testing.assert_allclose((hip - root) / MM, [0, 1, 0], atol=1e-12)


def test_stated_frame_rate(tmp_path, skeleton):
    path = write_amc(tmp_path, [frame(1)], header=[":DEGREES", ":SAMPLES-PER-SECOND 60"])
    assert read_amc(path, skeleton).frame_rate == 60.0


# Three header lines, then five lines per frame: number, root, shin, thigh, Toes.
@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        (12, "thigh 1 2", ":12: expected 3 values for thigh, found 2"),
        (12, "thigh 1 2 3 4", ":12: expected 3 values for thigh, found 4"),
        (12, "thigh 1 2 x3", ":12: expected a number for thigh, found 'x3'"),
        (12, "thigh 1 nan 3", ":12: expected a number for thigh, found 'nan'"),
        (12, "thigh 1 -inf 3", ":12: expected a number for thigh, found '-inf'"),
        (12, "thigh 1 1e999 3", ":12: expected a number for thigh, found '1e999'"),
        (12, "thigh 1 1_0 3", ":12: expected a number for thigh, found '1_0'"),
        (12, "thigh 1-2 3", ":12: expected 3 values for thigh, found 2"),
        (12, "thigh 1-2 3 4", ":12: expected a number for thigh, found '1-2'"),
        (12, "tail 1 2 3", ":12: unknown bone 'tail'"),
        (12, "thighs 1 2 3", ":12: unknown bone 'thighs'"),
        (12, "shin 1", ":12: a second line for shin in frame 2"),
        (12, "", ":14: frame 2 ends without thigh"),
        (12, "hip", ":12: unexpected line for hip, which has no degrees of freedom"),
        (12, "th\x00igh 1 2 3", ":12: unknown bone 'th\\x00igh'"),
        (12, "t" * 300 + " 1 2 3", ":12: unknown bone 'tttt"),
        (10, "root 1 2 3 4 5", ":10: expected 6 values for root, found 5"),
        (9, "3", ":9: expected frame 2, found '3'"),
        (14, "2", ":14: expected frame 3, found '2'"),
        (14, "-3", ":14: expected frame 3, found '-3'"),
        (14, "3.5", ":14: expected frame 3, found '3.5'"),
        (14, "9" * 50, ":14: expected frame 3, found '9999"),
        (4, "root 1 2 3 4 5 6", ":4: expected a frame number, found 'root'"),
        (18, "Toes 1", ":18: expected 2 values for Toes, found 1"),
        (18, "", ":18: frame 3 ends without Toes"),
    ],
)
def test_a_malformed_motion_names_its_line(tmp_path, skeleton, line, replacement, message):
    lines = [*HEADER, *(text for k in range(3) for text in frame(k + 1))]
    lines[line - 1] = replacement
    path = tmp_path / "03_02.amc.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(InputError) as caught:
        read_amc(path, skeleton)
    text = str(caught.value)
    assert "\n" not in text and len(text) < len(str(path)) + 250
    assert f"03_02.amc.gz{message}" in text


def test_damaged_files_say_so(tmp_path, skeleton):
    whole = gzip.compress("\n".join(sum(random_frames(50), HEADER)).encode())
    path = tmp_path / "broken.amc.gz"
    for data in (whole[: len(whole) // 2], b"no gzip", whole[:40] + b"\xff" * 20 + whole[60:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="broken.amc.gz: damaged or truncated gzip file"):
            read_amc(path, skeleton)
    with pytest.raises(InputError, match="absent.amc: cannot be read"):
        read_amc(tmp_path / "absent.amc", skeleton)
    for text in ("", "# only a comment\n", ":DEGREES\n\n"):
        with pytest.raises(InputError, match="empty.amc: no frames found"):
            read_amc(write_amc(tmp_path, [], header=[text], name="empty.amc"), skeleton)


def test_a_file_that_unpacks_without_end_is_refused(tmp_path, skeleton, monkeypatch):
    monkeypatch.setattr("jrepose.data.mocap.motion_text.MAX_BYTES", 2**20)
    path = tmp_path / "bomb.amc.gz"
    path.write_bytes(gzip.compress(b"\n" * 2**21))
    with pytest.raises(InputError, match="bomb.amc.gz: larger than 1 MiB unpacked"):
        read_amc(path, skeleton)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("length 0.5", "length -1", ":6: expected a positive length unit"),
        ("angle deg", "angle grad", ":7: expected the angle unit deg or rad"),
        ("order TX TY TZ RX RY RZ", "order TX TY TX", ":11: expected each of tx ty tz"),
        ("axis XYZ\n", "axis XYY\n", ":12: expected an axis order such as XYZ"),
        ("position 0 0 0", "position 0 0", ":13: expected 3 values for position, found 2"),
        ("direction 1 0 0", "direction 1 0 zero", ":19: expected a number for direction"),
        ("length 1\n", "length\n", ":20: expected 1 values for length, found 0"),
        ("     length 1\n", "", ":21: the bone has no length"),
        ("name thigh", "name hip", ":33: a second bone 'hip'"),
        ("dof rx ry rz", "dof rx rx rz", ":29: expected each of rx ry rz once, found 'rx'"),
        ("dof rx ry rz", "dof rx ry l", ":29: expected each of rx ry rz once, found 'l'"),
        ("  end\n  begin\n     id 2", "  begin\n     id 2", ":22: expected 'end' of the bone"),
        ("shin Toes", "shin Toes hip", ":57: bone 'hip' has two parents"),
        ("shin Toes", "shin tail", ":57: unknown bone 'tail'"),
        ("    shin Toes\n", "", ":44: bone 'Toes' does not hang on the root"),
        ("root hip", "shin root", ":54: bone 'root' has two parents"),
        (":hierarchy", ":other", ": not an ASF skeleton: it has no :hierarchy section"),
        ("  end\n:hierarchy", ":hierarchy", ":51: expected 'end' of the bone"),
    ],
)
def test_a_malformed_skeleton_names_its_line(tmp_path, old, new, message):
    assert old in ASF
    path = tmp_path / "bad.asf"
    path.write_text(ASF.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_asf(path)
    assert f"bad.asf{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_circle_of_bones_is_refused(tmp_path):
    path = tmp_path / "circle.asf"
    path.write_text(ASF.replace("    hip thigh\n", "").replace("shin Toes", "shin Toes thigh"))
    with pytest.raises(InputError, match="does not hang on the root"):
        read_asf(path)


VALID = {
    "asf": ASF.encode(),
    "amc": "\n".join(sum(random_frames(4), HEADER)).encode(),
}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_edit_of_a_file_ends_in_anything_but_a_motion_or_one_line(tmp_path, data):
    kind = data.draw(st.sampled_from(["asf", "amc"]))
    content = bytearray(VALID[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        stop = min(len(content), at + data.draw(st.integers(0, 30)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"", b"\n", b" nan ", b"1e308 ", b"begin\n", b"end\n", b"root 1"]),
            )
        )
        content[at:stop] = piece
    files = {**VALID, kind: bytes(content)}
    folder = pathlib.Path(tmp_path)
    for name, text in files.items():
        (folder / f"x.{name}").write_bytes(text)
    try:
        with np.errstate(all="ignore"):
            skeleton = read_asf(folder / "x.asf")
            motion = read_amc(folder / "x.amc", skeleton)
            positions = joint_positions(skeleton, motion)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert positions.shape == (len(motion.values), len(skeleton.bones), 3)
        assert np.isfinite(motion.values).all()


@pytest.fixture(scope="module")
def cmu_01(shared_dir):
    folder = shared_dir / "data" / "mocap" / "01"
    if not folder.is_dir():
        pytest.skip(f"motion capture absent: {folder}")
    skeleton = read_asf(folder / "01.asf")
    return skeleton, read_amc(folder / "01_01.amc.gz", skeleton)


def test_a_real_file_reads_in_bulk(cmu_01):
    skeleton, motion = cmu_01
    assert motion.values.shape == (2751, 62) and len(skeleton.bones) == 31
    first = motion.values[0, :6]
    np.testing.assert_allclose(first[:3] * 0.45 / 25.4, [9.37216, 17.8693, -17.3198])
    np.testing.assert_allclose(np.rad2deg(first[3:]), [-2.01677, -7.59696, -3.23164])


def test_real_bones_keep_their_length(cmu_01):
    skeleton, motion = cmu_01
    positions = joint_positions(skeleton, motion)
    for number, bone in enumerate(skeleton.bones[1:], start=1):
        length = np.linalg.norm(positions[:, number] - positions[:, bone.parent], axis=-1)
        assert np.ptp(length) < 1e-9
        assert length[0] == pytest.approx(np.linalg.norm(bone.offset_mm))
