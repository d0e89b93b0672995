"""BVH: kinematics against hand-made cases and an oracle, and malformed files."""

import itertools
import pathlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from jrepose.data.mocap.bvh import joint_positions, read_bvh
from jrepose.errors import InputError

BVH = """\
HIERARCHY
ROOT Hips
{
	OFFSET 0 1 0
	CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
	JOINT Leg
	{
		OFFSET 2 0 0
		CHANNELS 3 Zrotation Xrotation Yrotation
		End Site
		{
			OFFSET 0 -3 0
		}
	}
	JOINT Arm
	{
		OFFSET 0 4 .5
		CHANNELS 2 Yrotation Xrotation
		JOINT Hand
		{
			OFFSET 0 0 1
			CHANNELS 0
			End Site
			{
				OFFSET 1 0 0
			}
		}
	}
}
MOTION
Frames: 2
Frame Time: .0083333
0 0 0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 90 0 0 0
"""


def write(folder, text, name="motion.bvh"):
    path = folder / name
    path.write_bytes(text.encode("latin-1"))
    return path


def test_hierarchy_as_written(tmp_path):
    motion = read_bvh(write(tmp_path, BVH))
    names = ["Hips", "Leg", "Leg/end", "Arm", "Hand", "Hand/end"]
    assert [joint.name for joint in motion.joints] == names
    assert [joint.parent for joint in motion.joints] == [-1, 0, 1, 0, 3, 4]
    assert motion.joints[3].channels == ("yrotation", "xrotation")
    assert motion.frame_time == 0.0083333 and motion.values.shape == (2, 11)


def test_zero_pose_stands_where_the_offsets_say(tmp_path):
    positions = joint_positions(read_bvh(write(tmp_path, BVH)))
    expected = [[0, 1, 0], [2, 1, 0], [2, -2, 0], [0, 5, 0.5], [0, 5, 1.5], [1, 5, 1.5]]
    np.testing.assert_allclose(positions[0], expected, atol=1e-12)


def test_rotations_known_by_hand(tmp_path):
    # The root turns 90 degrees about z: x becomes y.  The leg turns 90 about its own x: the
    # end site at -y goes to -z, which the root's turn leaves alone.
    positions = joint_positions(read_bvh(write(tmp_path, BVH)))[1]
    np.testing.assert_allclose(positions[0], [1, 3, 3])
    np.testing.assert_allclose(positions[1] - positions[0], [0, 2, 0], atol=1e-12)
    np.testing.assert_allclose(positions[2] - positions[1], [0, 0, -3], atol=1e-12)
    np.testing.assert_allclose(positions[3] - positions[0], [-4, 0, 0.5], atol=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations("XYZ")))
def test_any_rotation_order(tmp_path, order):
    channels = " ".join(f"{axis}rotation" for axis in order)
    text = BVH.replace("CHANNELS 3 Zrotation Xrotation Yrotation", f"CHANNELS 3 {channels}")
    angles = [35, -50, 70]
    text = text.replace("1 2 3 90 0 0 0 90 0 0 0", f"0 0 0 0 0 0 {' '.join(map(str, angles))} 0 0")
    positions = joint_positions(read_bvh(write(tmp_path, text)))[1]
    # Upper-case letters: intrinsic rotations, the first channel is the outermost.
    turned = Rotation.from_euler("".join(order), angles, degrees=True).apply([0, -3, 0])
    np.testing.assert_allclose(positions[2] - positions[1], turned, atol=1e-12)


def test_random_chain_equals_an_oracle(tmp_path):
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(4, 3)).round(4)
    angles = rng.uniform(-180, 180, (5, 3, 3)).round(4)
    places = rng.normal(size=(5, 3)).round(4)
    spelled = [" ".join(map(str, offset)) for offset in offsets]
    # Positions between and after rotations: channel order is only a matter of the columns.
    text = (
        f"HIERARCHY ROOT a {{ OFFSET {spelled[0]}\nCHANNELS 6 Zposition Zrotation Xposition "
        f"Yrotation Xrotation Yposition\nJOINT b c {{ OFFSET {spelled[1]} CHANNELS 3 "
        f"Xrotation Yrotation Zrotation JOINT d {{ OFFSET {spelled[2]} CHANNELS 3 Yrotation "
        f"Xrotation Zrotation\nEnd Site {{ OFFSET {spelled[3]} }} }} }} }}\n\n"
        f"MOTION\nFrames: 5\nFrame Time: 0.04\n"
    )
    for (x, y, z), (a, b, c) in zip(places, angles, strict=True):
        row = [z, a[0], x, a[1], a[2], y, *b, *c]
        text += " ".join(map(str, row)) + "\r\n"
    positions = joint_positions(read_bvh(write(tmp_path, text)))
    for frame in range(5):
        rotation, place = Rotation.identity(), offsets[0] + places[frame]
        np.testing.assert_allclose(positions[frame, 0], place, atol=1e-12)
        for joint, order in enumerate(("ZYX", "XYZ", "YXZ")):
            turn = Rotation.from_euler(order, angles[frame, joint], degrees=True)
            rotation = rotation * turn
            place = place + rotation.apply(offsets[joint + 1])
            np.testing.assert_allclose(positions[frame, joint + 1], place, atol=1e-11)


def test_position_channels_of_a_joint_replace_its_offset(tmp_path):
    text = BVH.replace("CHANNELS 2 Yrotation Xrotation", "CHANNELS 2 Xposition Zposition")
    text = text.replace("1 2 3 90 0 0 0 90 0 0 0", "0 0 0 0 0 90 0 0 0 7 8")
    positions = joint_positions(read_bvh(write(tmp_path, text)))[1]
    # Local (7, 4, 8), turned 90 degrees about x with the root.
    np.testing.assert_allclose(positions[3] - positions[0], [7, -8, 4], atol=1e-12)


def test_layouts_of_one_motion_agree(tmp_path):
    expected = joint_positions(read_bvh(write(tmp_path, BVH)))
    table = BVH.index("0 0 0 0 0 0 0")
    variants = [
        BVH.replace("\n", "\r\n"),
        BVH.replace("\n{", " {").replace("\t", "  "),
        BVH + "\n\n",
        BVH[:table] + "\n" + BVH[table:].replace("\n", " \n\n"),
        BVH.replace("Frames: 2", "Frames:\t2").replace("Frame Time: ", "frame time:"),
        BVH.replace("ROOT", "root").replace("End Site", "END SITE").replace("pos", "Pos"),
        BVH.rstrip("\n"),
    ]
    for text in variants:
        np.testing.assert_array_equal(joint_positions(read_bvh(write(tmp_path, text))), expected)


def test_blocks_of_frames_join_without_a_seam(tmp_path, monkeypatch):
    motion = read_bvh(write(tmp_path, BVH))
    whole = joint_positions(motion)
    monkeypatch.setattr("jrepose.data.mocap.bvh._FRAMES_PER_BLOCK", 1)
    np.testing.assert_array_equal(joint_positions(motion), whole)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HIERARCH", ":1: expected HIERARCHY, found 'HIERARCH'"),
        ("ROOT Hips", "JOINT Hips", ":2: expected ROOT, found 'JOINT'"),
        ("ROOT Hips", "ROOT", ":3: expected a joint name before {"),
        ("OFFSET 0 1 0", "OFFSET 0 1", ":5: expected 3 numbers after OFFSET, found 'CHANNELS'"),
        ("OFFSET 0 1 0", "OFFSET 0 nan 0", ":4: expected 3 numbers after OFFSET, found 'nan'"),
        ("OFFSET 0 1 0", "", ":5: expected OFFSET, found 'CHANNELS'"),
        ("CHANNELS 2 Y", "CHANNELS 9 Y", ":18: expected up to 6 channels, found '9'"),
        ("CHANNELS 2 Y", "CHANNELS two Y", ":18: expected up to 6 channels, found 'two'"),
        ("CHANNELS 2 Y", "CHANNELS 3 Y", ":19: expected a channel such as Xrotation"),
        ("CHANNELS 2 Y", "CHANNELS 1 Y", ":18: expected JOINT, End Site or }, found 'Xrotation'"),
        ("Yrotation Xrotation\n\t\tJ", "Xrotation Xrotation\n\t\tJ", ":18: expected a channel"),
        ("JOINT Arm", "JOINT Leg", ":16: a second joint 'Leg'"),
        ("JOINT Arm", "JOINT Leg/end", ":16: joint name 'Leg/end' is reserved"),
        ("OFFSET 0 -3 0", "OFFSET 0 -3 0 JOINT x", ":12: expected } of the end site"),
        ("}\nMOTION", "MOTION", ": expected JOINT, End Site or }, found the end of the hierarchy"),
        ("}\nMOTION", "}\n}\nMOTION", ":30: expected MOTION after the hierarchy, found '}'"),
        ("MOTION", "MOTIONS", ": not a BVH file: it has no MOTION section"),
        ("Frames: 2", "Frames: x", ":31: expected 'Frames: NUMBER'"),
        ("Frames: 2", "Frames: 0", ":31: expected one frame or more"),
        ("Frames: 2", "Frames: 1.5", ":31: expected one frame or more"),
        ("Frames: 2", "Frames: 3", ":31: 3 frames announced, 2 found"),
        ("Frames: 2", "Frames: 999999999999999", ":31: 999999999999999 frames announced"),
        ("Frame Time: .0083333", "Frame Rate: 120", ":32: expected 'Frame Time: NUMBER'"),
        ("Frame Time: .0083333", "Frame Time: 0", ":32: expected a positive frame time"),
        ("1 2 3 90", "1 2 90", ":34: expected 11 values, found 10"),
        ("1 2 3 90", "1 2 3 90 1", ":34: expected 11 values, found 12"),
        ("1 2 3 90", "1 2 inf 90", ":34: expected a number, found 'inf'"),
        ("1 2 3 90", "1 2 3x 90", ":34: expected a number, found '3x'"),
        ("1 2 3 90", "1 2-3 90 1", ":34: expected a number, found '2-3'"),
    ],
)
def test_a_malformed_file_names_its_line(tmp_path, old, new, message):
    assert old in BVH
    path = write(tmp_path, BVH.replace(old, new, 1), "bad.bvh")
    with pytest.raises(InputError) as caught:
        read_bvh(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}:") and message in text


def test_files_cut_short(tmp_path):
    for stop in range(len(BVH) - 3):
        with pytest.raises(InputError):
            read_bvh(write(tmp_path, BVH[:stop]))


def test_deep_nesting_is_no_recursion(tmp_path):
    def chain(depth):
        body = "OFFSET 0 1 0 CHANNELS 0\n"
        text = "HIERARCHY ROOT j0 {\nOFFSET 0 0 0 CHANNELS 1 Zrotation\n"
        text += "".join(f"JOINT j{k} {{\n{body}" for k in range(1, depth)) + "} " * depth
        return text + "\nMOTION\nFrames: 1\nFrame Time: 1\n90\n"

    motion = read_bvh(write(tmp_path, chain(1024)))
    np.testing.assert_allclose(joint_positions(motion)[0, -1], [-1023, 0, 0], atol=1e-9)
    with pytest.raises(InputError, match="more than 1024 joints"):
        read_bvh(write(tmp_path, chain(5000)))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_edit_of_a_file_ends_in_anything_but_a_motion_or_one_line(tmp_path, data):
    content = bytearray(BVH.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        stop = min(len(content), at + data.draw(st.integers(0, 30)))
        piece = st.one_of(
            st.binary(max_size=6),
            st.sampled_from([b"", b"\n", b"}", b"{", b" nan ", b"1e308 ", b"End Site", b"JOINT"]),
        )
        content[at:stop] = data.draw(piece)
    path = pathlib.Path(tmp_path) / "x.bvh"
    path.write_bytes(bytes(content))
    try:
        motion = read_bvh(path)
        with np.errstate(all="ignore"):
            positions = joint_positions(motion)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert positions.shape == (len(motion.values), len(motion.joints), 3)


def test_real_files(shared_dir):
    folder = shared_dir / "data" / "mocap"
    if not folder.is_dir():
        pytest.skip(f"motion capture absent: {folder}")
    for name, frames in [("01/01_01", 2752), ("12/12_01", 524), ("131/131_03", 1102)]:
        motion = read_bvh(folder / f"{name}.bvh")
        assert motion.values.shape == (frames, 96) and motion.frame_time == 0.0083333
        assert len(motion.joints) == 38
        assert sum(joint.name.endswith("/end") for joint in motion.joints) == 7
        positions = joint_positions(motion)
        for number, joint in enumerate(motion.joints[1:], start=1):
            length = np.linalg.norm(positions[:, number] - positions[:, joint.parent], axis=-1)
            assert np.ptp(length) < 1e-10
