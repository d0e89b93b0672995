"""Motion capture as other programs write it: names, units, axes, offsets, text, folders."""

import codecs
import gzip
import json
import logging
import os
import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jrepose.data.mocap import bvh
from jrepose.data.mocap.folder import describe_clip, read_mocap
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17 as H36M

# joint, parent, offset in centimetres; y up, facing z.
BODY = [
    ("hips", None, (0, 0, 0)),
    ("spine", "hips", (0, 12, 0)),
    ("chest", "spine", (0, 14, 0)),
    ("neck", "chest", (0, 24, 0)),
    ("head", "neck", (0, 10, 2)),
    ("left_hip", "hips", (9, -2, 0)),
    ("left_knee", "left_hip", (0, -41, 0)),
    ("left_ankle", "left_knee", (0, -42, 0)),
    ("right_hip", "hips", (-9, -2, 0)),
    ("right_knee", "right_hip", (0, -41, 0)),
    ("right_ankle", "right_knee", (0, -42, 0)),
    ("left_collar", "chest", (3, 20, 0)),
    ("left_shoulder", "left_collar", (15, 0, 0)),
    ("left_elbow", "left_shoulder", (28, 0, 0)),
    ("left_wrist", "left_elbow", (25, 0, 0)),
    ("right_collar", "chest", (-3, 20, 0)),
    ("right_shoulder", "right_collar", (-15, 0, 0)),
    ("right_elbow", "right_shoulder", (-28, 0, 0)),
    ("right_wrist", "right_elbow", (-25, 0, 0)),
]
ENDS = {"head": (0, 18, 0), "left_ankle": (0, -6, 14), "right_ankle": (0, -6, 14)}
ENDS |= {"left_wrist": (9, 0, 0), "right_wrist": (-9, 0, 0)}
JOINTS = [name for name, _, _ in BODY]


def names(text, sides=("Left{}", "Right{}")):
    """Centre: hips spine chest neck head; then hip knee ankle collar shoulder elbow wrist."""
    words = text.split()
    out = dict(zip(JOINTS[:5], words[:5], strict=True))
    limbs = "hip knee ankle collar shoulder elbow wrist".split()
    for side, spelled in zip(("left", "right"), sides, strict=True):
        for limb, word in zip(limbs, words[5:], strict=True):
            out[f"{side}_{limb}"] = spelled.format(word)
    return out


PLAIN = names("Hips Spine Spine1 Neck Head UpLeg Leg Foot Shoulder Arm ForeArm Hand")
PROGRAMS = {
    "MotionBuilder": PLAIN,
    "Mixamo": {joint: f"mixamorig:{name}" for joint, name in PLAIN.items()},
    "Mixamo without colon": {joint: f"mixamorig{name}" for joint, name in PLAIN.items()},
    "an actor's prefix": {joint: f"Anna_{name}" for joint, name in PLAIN.items()},
    "Xsens": names("Hips Chest Chest2 Neck Head Hip Knee Ankle Collar Shoulder Elbow Wrist"),
    "MVN segments": names(
        "Pelvis L5 T8 Neck Head UpperLeg LowerLeg Foot Shoulder UpperArm ForeArm Hand"
    ),
    "Rokoko": names("Hips Spine1 Spine2 Neck Head Thigh Shin Foot Shoulder Arm ForeArm Hand"),
    "Daz": names(
        "hip abdomen chest neck head Thigh Shin Foot Collar Shldr ForeArm Hand", ("l{}", "r{}")
    ),
    "SMPL": names(
        "Pelvis Spine1 Spine2 Neck Head Hip Knee Ankle Collar Shoulder Elbow Wrist",
        ("L_{}", "R_{}"),
    ),
    "Biped": {
        joint: f"Bip01 {name}"
        for joint, name in names(
            "Pelvis Spine Spine1 Neck Head Thigh Calf Foot Clavicle UpperArm Forearm Hand",
            ("L {}", "R {}"),
        ).items()
    },
    "Unreal": names(
        "pelvis spine_01 spine_02 neck_01 head thigh calf foot clavicle upperarm lowerarm hand",
        ("{}_l", "{}_r"),
    ),
}


def write(
    path,
    names=PLAIN,
    frames=120,
    unit=1.0,
    turn=None,
    six=None,
    jitter=0.0,
    root_offset=(0, 0, 0),
    root_channels=True,
    place=(20, 91, 5),
    speed=(0, 0, 1.2),
    order="ZXY",
    frame_time="0.0083333",
    ends=True,
    lie=False,
):
    """A walk of someone with legs of 83 cm; `unit` centimetres are 1 / unit file units."""
    turn = turn or Rotation.identity()
    rng, shake = np.random.default_rng(0), np.random.default_rng(1)
    time = np.arange(frames) / 120
    children = {name: [n for n, parent, _ in BODY if parent == name] for name in JOINTS}
    offsets = {name: turn.apply(offset) * unit for name, _, offset in BODY}
    columns = []

    def spelled(vector):
        return " ".join(f"{value:.6f}" for value in vector)

    def rotations(name):
        swing = (5 if lie else 25) * np.sin(2 * np.pi * 0.9 * time + len(name))
        angles = np.zeros((frames, 3))
        if "hip" in name or "shoulder" in name:
            angles[:, 0] = swing * (1 if "left" in name else -1)
        elif "knee" in name:
            angles[:, 0] = (0 if lie else 20) + abs(swing)
        elif name != "hips":
            angles[:] = rng.uniform(-5, 5, 3) + swing[:, None] / 10
        rotation = Rotation.from_euler("XYZ", angles, degrees=True)
        if lie and name == "hips":
            rotation = Rotation.from_euler("X", -90, degrees=True) * rotation
        return (turn * rotation * turn.inv()).as_euler(order, degrees=True)

    def block(name):
        root = name == "hips"
        yield f"{'ROOT' if root else 'JOINT'} {names[name]}\n{{"
        yield f"OFFSET {spelled(root_offset if root else offsets[name])}"
        channels = [f"{axis}rotation" for axis in order]
        if (root and root_channels) or (six and not root):
            channels = ["Xposition", "Yposition", "Zposition", *channels]
            where = np.tile(offsets[name], (frames, 1)) if six == "instead" else np.zeros(3)
            where = where + shake.uniform(-1, 1, (frames, 3)) * jitter
            if root:
                walked = np.array(place) + np.array(speed) * time[:, None] * 100
                where = turn.apply(walked) * unit
            columns.append(np.broadcast_to(where, (frames, 3)))
        columns.append(rotations(name))
        yield f"CHANNELS {len(channels)} {' '.join(channels)}"
        for child in children[name]:
            yield from block(child)
        if ends and name in ENDS:
            yield f"End Site\n{{\nOFFSET {spelled(turn.apply(ENDS[name]) * unit)}\n}}"
        yield "}"

    lines = ["HIERARCHY", *block("hips"), "MOTION", f"Frames: {frames}"]
    lines.append(f"Frame Time: {frame_time}")
    lines += [spelled(row) for row in np.concatenate(columns, axis=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(folder, **options):
    (recording,) = read_mocap(folder, **options)
    return recording.positions_mm


@pytest.fixture
def warned(caplog):
    """Reads a folder; gives the positions and the lines of warning."""

    def reader(folder, **options):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            positions = read(folder, **options)
        return positions, [record.getMessage() for record in caplog.records]

    return reader


@pytest.fixture
def base(tmp_path):
    write(tmp_path / "base" / "a" / "walk.bvh")
    return read(tmp_path / "base")


CM = "clip a_walk: unit taken to be cm, which makes legs of 830 mm"


def test_the_body_is_the_one_written(base):
    pose = dict(zip(H36M.joint_names, base[0], strict=True))
    assert base.shape == (50, 17, 3)
    leg = np.linalg.norm(pose["left_hip"] - pose["left_knee"])
    assert leg == pytest.approx(410, abs=1)
    assert np.linalg.norm(pose["head"] - pose["neck"]) == pytest.approx(180, abs=1)
    assert np.linalg.norm(pose["right_elbow"] - pose["right_wrist"]) == pytest.approx(250, abs=2)
    assert pose["left_hip"][0] > pose["right_hip"][0]
    assert 0 < base[..., 2].min() < 200 and 1500 < base[..., 2].max() < 1750
    # The spine joint nearest to half way between hips and neck.
    assert np.linalg.norm(pose["spine"] - pose["thorax"]) == pytest.approx(240, abs=1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_names_of_programs(tmp_path, base, program):
    write(tmp_path / "x" / "a" / "walk.bvh", PROGRAMS[program])
    np.testing.assert_allclose(read(tmp_path / "x"), base, atol=0.01)


@pytest.mark.parametrize(
    ("unit", "name"), [(10, "mm"), (1, "cm"), (1 / 2.54, "inch"), (1 / 5.64444, "cmu"), (0.01, "m")]
)
def test_units_are_told_by_the_legs_and_said(tmp_path, base, warned, unit, name):
    write(tmp_path / "x" / "a" / "walk.bvh", unit=unit)
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_allclose(positions, base, atol=0.2)
    assert lines == [f"clip a_walk: unit taken to be {name}, which makes legs of 830 mm"]


def test_a_unit_that_cannot_be_told_is_refused_until_it_is_stated(tmp_path, base, warned):
    write(tmp_path / "x" / "a" / "walk.bvh", unit=0.1)  # decimetres
    with pytest.raises(InputError, match="walk.bvh: legs of 8.3 units: .* index.csv can state"):
        read(tmp_path / "x")
    index = tmp_path / "x" / "index.csv"
    index.write_text("clip,unit\n*,100\n")
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_allclose(positions, base, atol=0.1)
    assert not lines
    index.write_text("clip,unit\na_walk,m\n")
    with pytest.raises(InputError, match="legs of 8300 mm in units of 1000 mm: expected 250 to"):
        read(tmp_path / "x")


TURNS = {"z": ("X", 90), "-z": ("X", -90), "-y": ("X", 180), "x": ("Z", -90), "-x": ("Z", 90)}


@pytest.mark.parametrize("up", TURNS)
def test_whoever_stands_along_another_axis_is_stood_up(tmp_path, base, warned, up):
    axis, angle = TURNS[up]
    write(tmp_path / "x" / "a" / "walk.bvh", turn=Rotation.from_euler(axis, angle, degrees=True))
    positions, lines = warned(tmp_path / "x")
    # The same person; the two axes of the floor may be others.
    np.testing.assert_allclose(positions[..., 2], base[..., 2], atol=0.1)
    for one in (positions, base):
        one -= one[0, 0]
    turned = Rotation.align_vectors(base[::10].reshape(-1, 3), positions[::10].reshape(-1, 3))[0]
    np.testing.assert_allclose(
        turned.apply(positions.reshape(-1, 3)), base.reshape(-1, 3), atol=0.2
    )
    assert lines[1:] == [
        f"clip a_walk: {up} taken to be up, along which the body stands in 100% of the frames"
    ]


def test_whoever_lies_is_left_lying_or_asked_about(tmp_path, warned):
    lying = tmp_path / "x" / "a" / "walk.bvh"
    write(lying, lie=True, place=(20, 12, 300))
    positions, lines = warned(tmp_path / "x")
    assert np.ptp(positions[..., 2]) < 1000 < np.ptp(positions[0], axis=0).max()
    assert lines[1] == "clip a_walk: y taken to be up, although the body lies along -z"
    # At the origin and without moving nothing tells which way is up.
    write(lying, lie=True, place=(0, 10, -85), speed=(0, 0, 0))
    with pytest.raises(InputError, match="lying, or standing with -z up; index.csv can state up"):
        read(tmp_path / "x")
    for up, height in (("y", 1000), ("-z", 1500)):
        (tmp_path / "x" / "index.csv").write_text(f"clip,up\nwalk.bvh,{up}\n")
        assert (np.ptp(read(tmp_path / "x")[..., 2]) > height) == (up == "-z")


@pytest.mark.parametrize("jitter", [0.0, 1e-3])
@pytest.mark.parametrize("meaning", ["instead", "on top"])
def test_positions_of_every_joint(tmp_path, base, warned, meaning, jitter):
    write(tmp_path / "x" / "a" / "walk.bvh", six=meaning, jitter=jitter)
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_allclose(positions, base, atol=0.1)
    assert [line for line in lines if "add to the OFFSETs" in line] == (
        [] if meaning == "instead" else lines[:1]
    )
    assert CM in lines


def test_positions_that_move_are_kept(tmp_path):
    path = write(tmp_path / "walk.bvh", six="instead", jitter=2.0)
    motion, _ = bvh.settled(bvh.read_bvh(path))
    assert motion.values.shape == (120, 19 * 6)
    still, _ = bvh.settled(bvh.read_bvh(write(tmp_path / "still.bvh", six="instead")))
    assert still.values.shape == (120, 19 * 3 + 3)


def test_the_roots_offset_is_where_it_rests_unless_feet_say_otherwise(tmp_path, base, warned):
    path = tmp_path / "x" / "a" / "walk.bvh"
    write(path, root_offset=(-224, 91.9, -431))
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_array_equal(positions, base)
    assert lines == [CM]
    write(path, root_offset=(0, 91, 0), place=(20, 0, 5))
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_allclose(positions, base, atol=0.01)
    assert lines[1:] == [
        "clip a_walk: the root's positions were added to its OFFSET: so feet are down"
    ]


def test_a_floor_that_is_elsewhere_is_moved(tmp_path, base, warned):
    path = tmp_path / "x" / "a" / "walk.bvh"
    for options in ({"place": (20, 0, 5)}, {"place": (20, 300, 5)}):
        write(path, **options)
        positions, lines = warned(tmp_path / "x")
        np.testing.assert_allclose(positions[..., 2].min(), 80, atol=20)
        assert "clip a_walk: the floor was moved: the lowest joint was at" in lines[1]
    write(path, root_channels=False, root_offset=(0, 91, 0))
    assert 0 < read(tmp_path / "x")[..., 2].min() < 200


def test_mirrored_bodies_are_told_by_their_knees(tmp_path, warned):
    swapped = {}
    for joint, name in PLAIN.items():
        other = {"Left": "Right", "Right": "Left"}.get(name[:4].rstrip("tigh") or "", None)
        swapped[joint] = (
            name.replace("Left", "~").replace("Right", "Left").replace("~", "Right")
            if other is None
            else name
        )
    write(tmp_path / "x" / "a" / "walk.bvh", swapped, frames=400)
    assert "knees bend backwards" in warned(tmp_path / "x")[1][-1]
    write(tmp_path / "x" / "a" / "walk.bvh", frames=400)
    assert warned(tmp_path / "x")[1] == [CM]


def test_what_is_no_body_is_refused(tmp_path):
    path = write(tmp_path / "x" / "a" / "walk.bvh")
    text = path.read_text()
    path.write_text(text.replace("OFFSET 0.000000 -42.000000", "OFFSET 0.000000 -2.000000", 1))
    with pytest.raises(InputError, match="walk.bvh: not a body's proportions: "):
        read(tmp_path / "x")
    write(path, speed=(0, 0, 40))
    with pytest.raises(InputError, match="moves at 40 m/s: .* 120 frames per second may be wrong"):
        read(tmp_path / "x")


@pytest.mark.filterwarnings("error")
def test_one_coordinate_of_3e38_is_refused(tmp_path):
    path = write(tmp_path / "x" / "a" / "walk.bvh")
    lines = path.read_text().split("\n")
    lines[-20] = "3e38 " + lines[-20].split(" ", 1)[1]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="the motion leaves the 1 km around its origin"):
        read(tmp_path / "x")


def test_a_head_without_a_tip_gets_one(tmp_path, base, warned):
    path = write(tmp_path / "x" / "a" / "walk.bvh", ends=False)
    positions, lines = warned(tmp_path / "x")
    head = [H36M.index("neck"), H36M.index("head")]
    np.testing.assert_allclose(np.delete(positions, head[1], 1), np.delete(base, head[1], 1))
    assert np.linalg.norm(np.diff(positions[0, head], axis=0)) == pytest.approx(100, abs=1)
    assert "no tip of the head" in lines[0]
    text = path.read_text()
    tip = "JOINT HeadTop_End\n{\nOFFSET 0 18 0\nCHANNELS 0\n}\n"
    head_line = text.index("CHANNELS", text.index("JOINT Head"))
    at = text.index("\n", head_line) + 1
    path.write_text(text[:at] + tip + text[at:])
    np.testing.assert_allclose(read(tmp_path / "x"), base, atol=0.01)


def test_the_users_own_names(tmp_path, base, warned):
    odd = {joint: f"bone {number}" for number, joint in enumerate(JOINTS)}
    write(tmp_path / "x" / "a" / "walk.bvh", odd)
    with pytest.raises(InputError, match="walk.bvh: unknown joint names: .* joints") as caught:
        read(tmp_path / "x")
    assert "bone 0" in str(caught.value)
    own = {name: odd[name] for name in JOINTS if name in H36M.joint_names}
    own |= {"spine": odd["chest"], "thorax": odd["neck"], "neck": odd["head"]}
    own["head"] = f"{odd['head']}/end"
    file = tmp_path / "x" / "joints.json"
    file.write_text(json.dumps(own))
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_allclose(positions, base, atol=0.2)
    assert lines == [CM]
    for wrong, message in [
        ("[]", 'joints.json: expected {"left_hip"'),
        ("{", "joints.json: not JSON"),
        (json.dumps(own | {"tail": "x"}), "joints.json: unknown joints 'tail'"),
        (json.dumps({"head": "x"}), "joints.json: missing joints 'right_hip'"),
        (json.dumps(own | {"head": "x"}), "walk.bvh: no joint 'x', which "),
    ]:
        file.write_text(wrong)
        with pytest.raises(InputError, match=re.escape(message)):
            read(tmp_path / "x")


@pytest.mark.parametrize(
    ("frame_time", "rate", "is_said"),
    [("0.0083333", 120, 0), ("0.00833", 120, 0), ("0.0083", 120, 1), ("0.033", 30, 1),
     ("0.0333333", 30, 0), ("3.333e-2", 30, 0), ("0.04", 25, 0), ("0.0417", 24, 0),
     ("0.0333667", 30 / 1.001, 0), ("0.016", 60, 1), ("0.0142857", 70, 0), ("0.02", 50, 0)],
)  # fmt: skip
def test_rounded_frame_times(frame_time, rate, is_said):
    found, said = bvh.frame_rate(float(frame_time))
    assert found == pytest.approx(rate, rel=1e-5) and len(said) == is_said


def test_the_index_states_what_files_do_not(tmp_path, base, warned):
    path = write(tmp_path / "x" / "a" / "walk.bvh", frame_time="0.0416667")
    assert len(read(tmp_path / "x")) == 248
    index = tmp_path / "x" / "index.csv"
    rows = ["a_walk", "walk", "walk.bvh", "a/walk.bvh", "a/walk", "a\\walk.bvh", "*", "a_*"]
    for row in rows:
        index.write_text(f"clip,action,frame_rate,unit,up\n{row},walk,120,cm,y\n")
        positions, lines = warned(tmp_path / "x")
        np.testing.assert_array_equal(positions, base)
        assert not lines, row
    rows = "clip;frame_rate;note\r\n*;60;x\r\na_walk;120;\r\nb_walk;1;\r\n"
    index.write_text(rows, "utf-16")
    positions, lines = warned(tmp_path / "x")
    np.testing.assert_array_equal(positions, base)
    assert [line.partition("index.csv: ")[2] for line in lines[:2]] == [
        "columns 'note' not used; known are clip, action, frame_rate, unit, up, skip",
        "no clip is called 'b_walk' (line 4); not used",
    ]
    write(tmp_path / "x" / "b" / "fall.bvh")
    path.write_text("damaged")
    with pytest.raises(InputError, match="walk.bvh: not a BVH file"):
        read_mocap(tmp_path / "x")
    index.write_text("clip,skip\na_walk,yes\n")
    assert [recording.name for recording in read_mocap(tmp_path / "x")] == ["b_fall"]
    index.write_text("clip,skip\n*,yes\n")
    with pytest.raises(InputError, match="index.csv: every clip of .* is to be skipped"):
        read_mocap(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,unit\nx,furlong\n", ":2: expected a unit of mm, cm, inch, cmu, m"),
        ("clip,up\nx,north\n", ":2: expected an axis of x, -x, y"),
        ("clip,skip\nx,maybe\n", ":2: expected yes or no, found 'maybe'"),
        ("clip;frame_rate\nx;59,94\n", ":2: expected a positive frame rate, found '59,94'"),
        ("clip,up\nx,y\nx,z\n", ":3: a second row for 'x'"),
        ("clip,up,up\nx,y,z\n", ":1: expected the columns"),
        ('clip,action\nx,"a\x07b"\n', ":2: expected printable text"),
    ],
)
def test_a_bad_statement_names_its_line(tmp_path, text, message):
    write(tmp_path / "a" / "walk.bvh")
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(f"index.csv{message}")):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: codecs.BOM_UTF8 + text,
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.decode().encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.decode().encode("utf-16-be"),
        lambda text: text.decode().encode("utf-32"),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.replace(b"\n", b"\r\r\n"),
        lambda text: text.replace(b"\n", b" \t\n").replace(b" ", b"\t"),
        lambda text: text + b"\n\x1a",
        lambda text: text + b"\0" * 600,
        lambda text: text.replace(b"MOTION", b"  Motion  "),
    ],
)
def test_text_of_every_editor(tmp_path, base, change):
    path = write(tmp_path / "x" / "a" / "walk.bvh")
    path.write_bytes(change(path.read_bytes()))
    np.testing.assert_array_equal(read(tmp_path / "x"), base)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"OFFSET 0.000000 12.0", b"OFFSET 0.000000 12,0", "a decimal comma: numbers are spelled"),
        (b"Time: 0.0083333", b"Time: 0,0083333", "a decimal comma"),
        (b"\n20.000000 91.000000", b"\n20,000000 91.000000", "found '20,000000', a decimal"),
        (b"\n20.000000 91.000000", b"\n20.000000\x0091.000000", "expected 60 values, found 59"),
        (b"JOINT Head", b"JOINT He\xe4d", r"Heäd"),
        (b"JOINT Head", "JOINT Heäd".encode(), r"Heäd"),
    ],
)
def test_what_editors_break_is_told(tmp_path, old, new, message):
    path = write(tmp_path / "a" / "walk.bvh")
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert message.replace("ä", "\\xe4") in str(caught.value) or message in str(caught.value)


def test_folders_of_every_unzipper(tmp_path, base):
    folder = tmp_path / "x"
    good = write(folder / "deep" / "er" / "anna" / "walk.BVH").read_bytes()
    (folder / "deep" / "._walk.bvh").write_bytes(b"\0\5\x16\7")
    for name in ("__MACOSX/anna/walk2.bvh", ".Trash/x.bvh", "Thumbs.db", "anna/desktop.ini"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0")
    (folder / "ben\\run.bvh").write_bytes(good)
    (folder / "c").mkdir()
    (folder / "c" / "jump.bvh.gz").write_bytes(gzip.compress(good))
    recordings = read_mocap(folder)
    assert [(r.name, r.subject) for r in recordings] == [
        ("anna_walk", "anna"), ("ben_run", "ben"), ("c_jump", "c")
    ]  # fmt: skip
    for recording in recordings:
        np.testing.assert_array_equal(recording.positions_mm, base)


def test_a_folder_called_dot_still_names_the_subject(tmp_path, monkeypatch):
    write(tmp_path / "anna" / "walk.bvh")
    monkeypatch.chdir(tmp_path / "anna")
    assert [recording.subject for recording in read_mocap(".")] == ["anna"]


def test_names_and_kinds_of_files(tmp_path):
    path = write(tmp_path / "x" / "a" / "walk.bvh")
    os.rename(path, os.fsencode(path.parent) + b"/caf\xe9.bvh")
    assert [recording.name for recording in read_mocap(tmp_path / "x")] == ["a_café"]
    write(tmp_path / "y" / "a" / "wa\nlk.bvh")
    with pytest.raises(InputError, match=r"wa\\nlk.bvh: a control character in the name"):
        read_mocap(tmp_path / "y")
    (tmp_path / "z").mkdir()
    os.mkfifo(tmp_path / "z" / "pipe.bvh")
    with pytest.raises(InputError, match="pipe.bvh: a pipe; expected a regular file"):
        read_mocap(tmp_path / "z")


def test_several_and_nested_end_sites_with_channels(tmp_path, base):
    path = write(tmp_path / "x" / "a" / "walk.bvh", frames=3)
    text = path.read_text()
    plain = read(tmp_path / "x")
    end = text[text.index("End Site") : text.index("}", text.index("End Site")) + 2]
    path.write_text(text.replace(end, end + end.replace("Site", "Site heel"), 1))
    np.testing.assert_array_equal(read(tmp_path / "x"), plain)
    assert [j.name for j in bvh.read_bvh(path).joints if "/" in j.name][:2] == [
        "Head/end", "Head/end2"
    ]  # fmt: skip
    last = text.rindex("End Site")
    stop = text.index("}", last)
    inner = "CHANNELS 1 Xrotation\nEnd Site\n{\nOFFSET 1 0 0\n}\n"
    rows = text[:stop] + inner + re.sub(r"(?m)^(-?\d.*\d)$", r"\1 5", text[stop:])
    path.write_text(rows)
    np.testing.assert_array_equal(read(tmp_path / "x"), plain)


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_every_rotation_order_is_one_motion(tmp_path, base, order):
    write(tmp_path / "x" / "a" / "walk.bvh", order=order)
    np.testing.assert_allclose(read(tmp_path / "x"), base, atol=0.01)


def test_memory_is_bounded_by_the_numbers_in_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "a" / "walk.bvh", frames=2)
    text = re.sub(r"CHANNELS \d.*", "CHANNELS 0", path.read_text())
    text = text.replace("CHANNELS 0", "CHANNELS 1 Yposition", 1)
    text = text[: text.index("MOTION")]
    joint = "JOINT x{} {{ OFFSET 1 0 0 CHANNELS 0\n"
    many = "".join(joint.format(k) for k in range(900)) + "}" * 900
    text = text.replace("JOINT Spine\n", many + "\nJOINT Spine\n", 1)
    frames = 120_000
    path.write_text(f"{text}MOTION\nFrames: {frames}\nFrame Time: .01\n" + "91\n" * frames)
    message = "walk.bvh: {} joints in 120000 frames would take far more memory than the file's"
    with pytest.raises(InputError, match=message.format(16)):
        read(tmp_path)
    motion = bvh.read_bvh(path)
    with pytest.raises(InputError, match=message.format(len(motion.joints))):
        bvh.joint_positions(motion)


def test_a_packed_file_cannot_swell_without_end(tmp_path, monkeypatch):
    path = tmp_path / "a" / "walk.bvh.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"\n" * 2**20))
    monkeypatch.setattr("jrepose.data.mocap.motion_text.SPARE", 1000)
    with pytest.raises(InputError, match="walk.bvh.gz: its [0-9]+ bytes unpack to more than"):
        read(tmp_path)


def test_inspection_says_how_a_clip_is_read(tmp_path):
    path = write(tmp_path / "walk.bvh", turn=Rotation.from_euler("X", 90, degrees=True))
    up, lines = describe_clip(path)
    assert up == "z"
    assert lines[0] == "as data: 1 unit = 10 mm, z up, 120 frames per second"
    assert "as data: unit taken to be cm" in lines[1]
    write(path, unit=0.1)
    assert describe_clip(path)[1][0].startswith("as data: refused, walk.bvh: legs of 8.3 units")
