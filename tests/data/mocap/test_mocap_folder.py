"""Motion capture folders: small CMU-like files written here, and the real ones where present."""

import gzip
import logging
import re

import numpy as np
import pytest

from jrepose.data.mocap import asf_amc, bvh, cmu, joint_names
from jrepose.data.mocap.folder import read_mocap
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17 as H36M

# name, parent, bone vector (units of 56.4 mm), degrees of freedom; CMU's order and joints.
_LEG = [(0.6, -0.75, 0.35), (0.34, -0.94, 0.0), (0.34, -0.94, 0.0), (0.1, -0.2, 0.97), (0, 0, 1)]
_LEG_LENGTHS = (2.4, 7.2, 7.4, 2.4, 1.2)
_ARM = [(0.94, 0.34, -0.1), (1, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0), (0.7, 0, 0.7)]
_ARM_LENGTHS = (3.6, 5.0, 3.4, 1.7, 0.7, 0.6, 0.7)
_ARM_NAMES = ("clavicle", "humerus", "radius", "wrist", "hand", "fingers", "thumb")


def cmu_bones():
    bones = []

    def chain(parent, names, vectors, lengths, mirror=1.0):
        for name, vector, length in zip(names, vectors, lengths, strict=True):
            unit = np.array(vector, float) / np.linalg.norm(vector) * (mirror, 1, 1)
            bones.append((name, parent, unit * length))
            parent = name

    for side, mirror in (("l", 1.0), ("r", -1.0)):
        names = [side + name for name in ("hipjoint", "femur", "tibia", "foot", "toes")]
        chain("root", names, _LEG, _LEG_LENGTHS, mirror)
    chain("root", ["lowerback", "upperback", "thorax"], [(0, 1, -0.1), (0, 1, 0), (0, 1, 0.02)],
          (2.0, 2.1, 2.06))  # fmt: skip
    chain("thorax", ["lowerneck", "upperneck", "head"], [(0, 1, 0.1)] * 3, (1.7, 1.7, 1.7))
    for side, mirror in (("l", 1.0), ("r", -1.0)):
        names = [side + name for name in _ARM_NAMES]
        chain("thorax", names[:6], _ARM[:6], _ARM_LENGTHS[:6], mirror)
        chain(side + "wrist", names[6:], _ARM[6:], _ARM_LENGTHS[6:], mirror)
    return bones


BONES = cmu_bones()
FAMILY_A = dict(
    zip(
        ["root", *(name for name, _, _ in BONES)],
        "Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LeftToeBase RHipJoint RightUpLeg RightLeg "
        "RightFoot RightToeBase LowerBack Spine Spine1 Neck Neck1 Head LeftShoulder LeftArm "
        "LeftForeArm LeftHand LeftFingerBase LeftHandIndex1 LThumb RightShoulder RightArm "
        "RightForeArm RightHand RightFingerBase RightHandIndex1 RThumb".split(),
        strict=True,
    )
)
FAMILY_B = dict(
    zip(
        FAMILY_A,
        "Hips LHipJoint LeftHip LeftKnee LeftAnkle LeftToe RHipJoint RightHip RightKnee "
        "RightAnkle RightToe lowerback Chest Chest2 lowerneck Neck Head LeftCollar LeftShoulder "
        "LeftElbow LeftWrist lhand LFingers LThumb RightCollar RightShoulder RightElbow "
        "RightWrist rhand RFingers RThumb".split(),
        strict=True,
    )
)
MOVING = [name for name, _, _ in BONES if not name.endswith("hipjoint")]


def write_asf(path, scale=1.0):
    lines = [":version 1.10", ":units", "length 0.45", "angle deg", ":root"]
    lines += ["order TX TY TZ RX RY RZ", "axis XYZ", "position 0 0 0", "orientation 0 0 0"]
    lines.append(":bonedata")
    for name, _, vector in BONES:
        length = np.linalg.norm(vector)
        lines += ["begin", f"name {name}", "direction " + " ".join(map(repr, (vector / length)))]
        lines += [f"length {length * scale}", "axis 0 0 0 XYZ"]
        lines += (["dof rx ry rz"] if name in MOVING else []) + ["end"]
    lines += [":hierarchy", "begin", *(f"{parent} {name}" for name, parent, _ in BONES), "end"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines).replace("np.float64(", "").replace(")", ""))


def motion(frames=120, seed=0, degrees=25.0):
    """Slow waves in every joint angle: `{bone: [frames, 3] degrees}` with `root` positions."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 120
    angles = {}
    for name in ["root", *MOVING]:
        phase, hertz = rng.uniform(0, 6, 3), rng.uniform(0.2, 1.0, 3)
        angles[name] = (degrees * np.sin(2 * np.pi * hertz * time + phase)).round(4)
    start, speed = np.array([1.0, 16.7, -3.0]), np.array([2.0, 0.0, 5.0])
    return angles, (start + speed * time).round(4)


def write_amc(path, angles, places):
    lines = ["# made by a test", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame, place in enumerate(places):
        lines.append(str(frame + 1))
        lines.append("root " + " ".join(map(str, [*place, *angles["root"][frame]])))
        lines += [f"{name} " + " ".join(map(str, angles[name][frame])) for name in MOVING]
    text = "\r\n".join(lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_bvh(path, angles, places, names=FAMILY_A, lose_thorax=True, pose_first=False, unit=1.0):
    vectors = {name: vector for name, _, vector in BONES}
    order = []

    def block(bone, parent, depth):
        order.append(bone)
        pad = "\t" * depth
        offset = vectors.get(parent, np.zeros(3)) * unit
        if parent == "thorax" and lose_thorax:
            offset = np.zeros(3)
        spelled = " ".join(f"{value:.8f}" for value in offset)
        channels = "3 Zrotation Yrotation Xrotation"
        if bone == "root":
            channels = "6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"
        yield f"{pad}{'ROOT' if bone == 'root' else 'JOINT'} {names[bone]}"
        yield f"{pad}{{\n{pad}\tOFFSET {spelled}\n{pad}\tCHANNELS {channels}"
        children = [name for name, above, _ in BONES if above == bone]
        for child in children:
            yield from block(child, bone, depth + 1)
        if not children:
            end = " ".join(f"{value:.8f}" for value in vectors[bone] * unit)
            yield f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET {end}\n{pad}\t}}"
        yield f"{pad}}}"

    lines = ["HIERARCHY", *block("root", None, 0)]
    rows = []
    still = np.zeros((len(places), 3))
    for frame, place in enumerate(places):
        turns = [angles.get(bone, still)[frame][::-1] for bone in order]
        rows.append(np.concatenate([place * unit, *turns]))
    if pose_first:
        rows.insert(0, np.concatenate([places[0] * unit, np.zeros(3 * len(order))]))
        rows[0][9:12] = [-17, 0, 0]  # the hips' legs apart, as in the real conversions
    lines += ["MOTION", f"Frames: {len(rows)}", "Frame Time: .0083333"]
    lines += [" ".join(map(str, row)) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def write_subject(folder, subject="02", trials=("01",), ending=".amc.gz", seed=0, **changes):
    write_asf(folder / subject / f"{subject}.asf")
    for trial in trials:
        write_amc(folder / subject / f"{subject}_{trial}{ending}", *motion(seed=seed, **changes))


def joint(recording, name):
    return recording.positions_mm[:, H36M.index(name)]


def test_a_folder_becomes_recordings(tmp_path):
    write_subject(tmp_path, "02", ("01", "05"))
    write_subject(tmp_path, "135", ("06",))
    write_subject(tmp_path, "98", ("02",), ending=".amc")
    recordings = read_mocap(tmp_path)
    assert [recording.name for recording in recordings] == ["02_01", "02_05", "135_06", "98_02"]
    assert [recording.subject for recording in recordings] == ["02", "02", "135", "98"]
    actions = [recording.action for recording in recordings]
    assert actions == ["walk", "punch", "karate", "motion"]
    for recording in recordings:
        assert recording.positions_mm.shape == (50, 17, 3)
        assert recording.positions_mm.dtype == np.float32
        assert recording.frame_rate == 50.0 and recording.valid.all()
        assert recording.skeleton is H36M


def test_axes_units_and_sides(tmp_path):
    still = {name: np.zeros((3, 3)) for name in ["root", *MOVING]}
    places = np.tile([10.0, 16.7, 20.0], (3, 1))
    write_asf(tmp_path / "02" / "02.asf")
    write_amc(tmp_path / "02" / "02_01.amc", still, places)
    recording = read_mocap(tmp_path, frame_rate=120.0)[0]
    pose = {name: joint(recording, name)[0] for name in H36M.joint_names}
    unit = cmu.MM_PER_UNIT
    vectors = {name: vector for name, _, vector in BONES}

    def z_up(x, y, z):
        return np.array([x, -z, y]) * unit

    left_hip = z_up(*(places[0] + vectors["lhipjoint"]))
    np.testing.assert_allclose(pose["left_hip"], left_hip, rtol=1e-5)
    np.testing.assert_allclose(pose["pelvis"], (pose["left_hip"] + pose["right_hip"]) / 2)
    knee = left_hip + z_up(*vectors["lfemur"])
    np.testing.assert_allclose(pose["left_knee"], knee, rtol=1e-5)
    wrist = places[0] + sum(
        vectors[name] for name in "lowerback upperback thorax rclavicle rhumerus rradius".split()
    )
    np.testing.assert_allclose(pose["right_wrist"], z_up(*wrist), rtol=1e-5)
    # Facing +z with y up has the left side at +x; with z up that is facing -y.
    assert pose["left_wrist"][0] > pose["pelvis"][0] > pose["right_wrist"][0]
    assert pose["head"][2] > pose["thorax"][2] > pose["pelvis"][2] > pose["left_ankle"][2] > 0


@pytest.mark.parametrize("names", [FAMILY_A, FAMILY_B], ids=["family A", "family B"])
@pytest.mark.parametrize("lose_thorax", [True, False])
@pytest.mark.parametrize("pose_first", [True, False])
def test_bvh_and_amc_of_one_motion_agree(tmp_path, names, lose_thorax, pose_first):
    angles, places = motion()
    write_subject(tmp_path / "amc")
    write_asf(tmp_path / "bvh" / "02" / "02.asf")
    write_bvh(
        tmp_path / "bvh" / "02" / "02_01.bvh",
        angles, places, names, lose_thorax=lose_thorax, pose_first=pose_first,
    )  # fmt: skip
    expected, found = read_mocap(tmp_path / "amc")[0], read_mocap(tmp_path / "bvh")[0]
    assert (found.name, found.action) == (expected.name, expected.action)
    np.testing.assert_allclose(found.positions_mm, expected.positions_mm, atol=2e-3)


def test_without_an_asf_the_thorax_repeats_the_spine_segment(tmp_path):
    write_bvh(tmp_path / "12" / "12_01.bvh", *motion())
    write_subject(tmp_path / "amc", "12")
    lengths = []
    for recording in (read_mocap(tmp_path / "12")[0], read_mocap(tmp_path / "amc")[0]):
        pelvis, head = joint(recording, "pelvis"), joint(recording, "head")
        lengths.append(np.linalg.norm(head - pelvis, axis=-1).mean())
    # Upper back 2.1, thorax 2.06 units: a stand-in of nearly the right length.
    assert abs(lengths[0] - lengths[1]) < 0.06 * cmu.MM_PER_UNIT


def test_a_motion_that_starts_still_keeps_its_first_frame(tmp_path):
    angles, places = motion()
    for name in angles:
        angles[name][:2] = 0.0
    write_bvh(tmp_path / "02" / "02_01.bvh", angles, places)
    assert read_mocap(tmp_path, frame_rate=120.0)[0].frames == 120


def test_a_clip_in_two_formats_is_read_once(tmp_path, caplog):
    write_subject(tmp_path, trials=("01", "02"))
    write_bvh(tmp_path / "02" / "02_01.bvh", *motion(frames=60))
    write_amc(tmp_path / "copy" / "02_02.amc.gz", *motion(frames=60))
    with caplog.at_level(logging.WARNING):
        recordings = read_mocap(tmp_path)
    assert [(recording.name, recording.frames) for recording in recordings] == [
        ("02_01", 50),
        ("02_02", 50),
    ]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert re.match(r"clip 02_01: read from .*02_01.amc.gz, not from .*02_01.bvh", messages[0])


def test_a_subject_without_asf_borrows_one(tmp_path, caplog):
    for subject, scale in [("05", 0.8), ("35", 1.0), ("40", 1.2)]:
        write_asf(tmp_path / subject / f"{subject}.asf", scale)
    write_amc(tmp_path / "13" / "13_29.amc.gz", *motion())

    def thigh(**options):
        recording = read_mocap(tmp_path, **options)[0]
        bone = joint(recording, "left_knee")[25] - joint(recording, "left_hip")[25]
        return np.linalg.norm(bone) / cmu.MM_PER_UNIT

    with caplog.at_level(logging.WARNING):
        assert thigh() == pytest.approx(7.2, rel=1e-3)
    assert "subject 13 has no .asf: 1 clip(s) played on the skeleton" in caplog.text
    assert "35.asf" in caplog.text
    assert thigh(fallback_asf=tmp_path / "40" / "40.asf") == pytest.approx(8.64, rel=1e-3)
    (tmp_path / "35" / "35.asf").unlink()
    assert thigh() == pytest.approx(5.76, rel=1e-3)
    for subject in ("05", "40"):
        (tmp_path / subject / f"{subject}.asf").unlink()
    with pytest.raises(InputError, match="13_29.amc.gz: no .asf of subject 13 and none to borrow"):
        read_mocap(tmp_path)


def test_the_databases_own_layout(tmp_path):
    write_subject(tmp_path / "all_asfamc" / "subjects", "07", ("01",), ending=".amc")
    # Skeletons apart from motions.
    write_asf(tmp_path / "flat" / "asf" / "09.asf")
    write_amc(tmp_path / "flat" / "amc" / "09_06.amc", *motion())
    recordings = read_mocap(tmp_path)
    assert [(recording.name, recording.action) for recording in recordings] == [
        ("07_01", "walk"),
        ("09_06", "run"),
    ]


def test_other_names_take_the_folder_as_subject(tmp_path):
    write_asf(tmp_path / "anna" / "body.asf")
    write_amc(tmp_path / "anna" / "dance.amc", *motion())
    write_asf(tmp_path / "ben" / "body.asf")
    write_amc(tmp_path / "ben" / "dance.amc", *motion())
    found = [(recording.name, recording.subject) for recording in read_mocap(tmp_path)]
    assert found == [("anna_dance", "anna"), ("ben_dance", "ben")]


def test_subjects_are_selected(tmp_path):
    for subject in ("02", "07", "35"):
        write_subject(tmp_path, subject)
    found = read_mocap(tmp_path, subjects=("35", "02"))
    assert [recording.subject for recording in found] == ["02", "35"]
    with pytest.raises(InputError, match="no motion capture of subject '99' .*found 02, 07, 35"):
        read_mocap(tmp_path, subjects=["02", "99"])


def test_other_subjects_files_are_not_read(tmp_path):
    write_subject(tmp_path, "02")
    (tmp_path / "03").mkdir()
    (tmp_path / "03" / "03_01.amc").write_text("garbage")
    assert len(read_mocap(tmp_path, subjects=["02"])) == 1


def test_an_index_names_actions_and_rates(tmp_path):
    write_subject(tmp_path, "02", ("01", "02"))
    (tmp_path / "index.csv").write_text(
        'clip,action,frame_rate\n02_01,"stroll, slow",60\n99_01,dance,\n'
    )
    first, second = read_mocap(tmp_path)
    assert (first.action, first.frames) == ("stroll, slow", 100)
    assert (second.action, second.frames) == ("walk", 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected the columns clip,action"),
        ("name,action\n02_01,x\n", ":1: expected the columns clip,action"),
        ("clip,action\n\n02_01\n", ":3: expected 2 values, found 1"),
        ("clip,action,frame_rate\n02_01,x,fast\n", ":2: expected a positive frame rate"),
        ("clip,action,frame_rate\n02_01,x,-1\n", ":2: expected a positive frame rate"),
        ("clip,action,frame_rate\n02_01,x,nan\n", ":2: expected a positive frame rate"),
    ],
)
def test_a_bad_index_names_its_line(tmp_path, text, message):
    write_subject(tmp_path)
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape("index.csv" + message)):
        read_mocap(tmp_path)


def test_nothing_found(tmp_path):
    write_asf(tmp_path / "02" / "02.asf")
    (tmp_path / "file.amc").mkdir()
    for path in (tmp_path, tmp_path / "absent", tmp_path / "02" / "02.asf", str(tmp_path)):
        with pytest.raises(InputError) as caught:
            read_mocap(path)
        assert str(caught.value) == (
            f"no motion capture found in {path}: expected SUBJECT/*.amc[.gz] with an .asf, or *.bvh"
        )


def test_a_glitch_is_bridged_and_marked(tmp_path):
    angles, places = motion(frames=240)
    write_subject(tmp_path / "clean", frames=240)
    places[100:103] += [0, 9, 0]
    write_asf(tmp_path / "bad" / "02" / "02.asf")
    write_amc(tmp_path / "bad" / "02" / "02_01.amc", angles, places)
    clean, found = read_mocap(tmp_path / "clean")[0], read_mocap(tmp_path / "bad")[0]
    # Frames 100 to 102 of 120 Hz are 41.7 to 42.5 of 50 Hz.
    assert np.flatnonzero(~found.valid).tolist() == [42, 43]
    np.testing.assert_allclose(found.positions_mm, clean.positions_mm, atol=3.0)
    assert clean.valid.all()


def test_untracked_frames_are_marked_and_left(tmp_path):
    angles, places = motion(frames=240)
    for name in MOVING:
        if not name.startswith(("lf", "rf", "lt", "rt")):
            angles[name][:60] = angles[name][60]  # the upper body; legs and root go on
    write_asf(tmp_path / "02" / "02.asf")
    write_amc(tmp_path / "02" / "02_01.amc", angles, places)
    (recording,) = read_mocap(tmp_path)
    assert not recording.valid[:25].any() and recording.valid[26:].all()
    assert np.ptp(joint(recording, "left_ankle")[:25], axis=0).max() > 50


def test_a_malformed_clip_names_its_line(tmp_path):
    write_subject(tmp_path, ending=".amc")
    path = tmp_path / "02" / "02_01.amc"
    lines = path.read_text().splitlines()
    wrong = next(k for k, line in enumerate(lines) if k > 300 and line.startswith("lfemur"))
    lines[wrong] = "lfemur 1 2"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"02_01.amc:{wrong + 1}: expected 3 values for lfemur"):
        read_mocap(tmp_path)


def test_other_units_and_other_people_are_refused(tmp_path):
    write_bvh(tmp_path / "a" / "02_01.bvh", *motion(), unit=3)
    with pytest.raises(InputError, match="02_01.bvh: legs of 43.8 units .2472 mm in its own unit."):
        read_mocap(tmp_path / "a")
    names = {bone: f"joint{k}" for k, bone in enumerate(FAMILY_A)}
    write_bvh(tmp_path / "b" / "02_01.bvh", *motion(), names=names)
    with pytest.raises(InputError, match="02_01.bvh: unknown joint names"):
        read_mocap(tmp_path / "b")
    write_subject(tmp_path / "c", ending=".amc")
    for file in (tmp_path / "c" / "02").iterdir():
        file.write_text(file.read_text().replace("lfemur", "leftfemur"))
    with pytest.raises(InputError, match="02.asf: no joint 'lfemur': expected CMU's joint names"):
        read_mocap(tmp_path / "c")


@pytest.mark.parametrize("frame_time", ["1e-300", "0.0001", "1", "1e9", "1e300"])
def test_absurd_frame_rates_are_refused(tmp_path, frame_time):
    path = tmp_path / "02" / "02_01.bvh"
    write_bvh(path, *motion())
    path.write_text(path.read_text().replace(".0083333", frame_time))
    with pytest.raises(InputError, match="frames per second: expected 10 to 1000"):
        read_mocap(tmp_path)


@pytest.mark.parametrize("place", ["1e308 0 0", "9e99 0 0", "0 20000 0"])
@pytest.mark.filterwarnings("error")
def test_motion_beyond_all_measure_is_refused(tmp_path, place):
    write_subject(tmp_path, ending=".amc")
    path = tmp_path / "02" / "02_01.amc"
    path.write_text(re.sub(r"(?m)^root \S+ \S+ \S+", f"root {place}", path.read_text()))
    with pytest.raises(InputError, match="02_01.amc: the motion leaves the 1 km around its origin"):
        read_mocap(tmp_path)


def test_actions_cover_the_documented_clips():
    assert cmu.ACTIONS["01_14"] == "climb" and cmu.ACTIONS["49_20"] == "balance"
    assert "131_05" not in cmu.ACTIONS and "01_15" not in cmu.ACTIONS
    assert set(cmu.ASF_JOINTS) == set(H36M.joint_names) - {"pelvis"}


# ---- the real clips ----


@pytest.fixture(scope="module")
def folder(shared_dir):
    folder = shared_dir / "data" / "mocap"
    if not folder.is_dir():
        pytest.skip(f"motion capture absent: {folder}")
    return folder


@pytest.fixture(scope="module")
def real(folder):
    return {recording.name: recording for recording in read_mocap(folder)}


@pytest.fixture(scope="module")
def documented(folder):
    """The clip table of SOURCES.md: file -> (frames, top in metres, peak in m/s, glitches)."""
    rows = {}
    for line in (folder / "SOURCES.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\d+_\d+\.(amc\.gz|bvh)", cells[0]):
            peak, *glitches = cells[5].split()
            rows[cells[0]] = (int(cells[1]), float(cells[4]), float(peak), bool(glitches))
    return rows


def test_all_clips_are_there(real, documented):
    assert len(documented) == 57 and sum(row[0] for row in documented.values()) == 116_496
    assert set(real) == {file.split(".")[0] for file in documented}
    assert len({recording.subject for recording in real.values()}) == 13
    assert all(recording.action != cmu.UNKNOWN_ACTION for recording in real.values())
    for file, (frames, *_) in documented.items():
        name, _, ending = file.partition(".")
        if file == "01_01.bvh":
            continue
        captured = frames - (name == "12_01")
        assert real[name].frames == (captured - 1) * 5 // 12 + 1, file


def test_people_have_the_documented_height(real, documented):
    for file, (_, top, _, _) in documented.items():
        name, _, ending = file.partition(".")
        if file == "01_01.bvh":
            continue
        head = joint(real[name], "head")[:, 2]
        # The table's BVH clips lack the thorax segment that the reader restores.
        expected = top + (0.11 if ending == "bvh" else 0.0)
        assert np.percentile(head, 95) / 1000 == pytest.approx(expected, abs=0.02), file


def test_the_floor_is_at_zero(real):
    for recording in real.values():
        ankles = recording.positions_mm[:, [3, 6], 2].min(axis=1)
        # Ankles stand 4 to 11 cm high; 03_01 and 03_02 begin on the raised terrain.
        low = np.percentile(ankles, 2)
        assert 20 < low < (250 if recording.subject == "03" else 130), recording.name


def test_limbs_keep_their_length(real):
    rigid = ["right_knee", "right_ankle", "left_knee", "left_ankle", "right_hip", "left_hip"]
    rigid += ["head", "left_elbow", "left_wrist", "right_elbow", "right_wrist"]
    rigid += ["left_shoulder", "right_shoulder"]
    for recording in real.values():
        for name in rigid:
            child = H36M.index(name)
            parent = H36M.parents[child]
            bone = recording.positions_mm[:, child] - recording.positions_mm[:, parent]
            length = np.linalg.norm(bone, axis=-1)[recording.valid]
            label = f"{recording.name} {name}"
            assert np.abs(length - np.median(length)).max() < 5.0, label
            assert length.std() < 0.3, label
            assert 50 < length.mean() < 520, label


def test_glitches_are_few_and_where_they_are_known(real):
    marked = {name: int((~recording.valid).sum()) for name, recording in real.items()}
    found = {name for name, count in marked.items() if count}
    # In 07_08 and 07_11 the upper body is held for the last 14 frames.
    jumps = {"01_02", "01_03", "01_06", "01_07", "01_12", "03_02"}
    assert found == jumps | {"07_08", "07_11"}
    assert sum(marked.values()) < 0.002 * sum(recording.frames for recording in real.values())
    seconds = {name: np.flatnonzero(~real[name].valid) / 50 for name in found}
    for name, frame in [
        ("03_02", 23),
        ("03_02", 49),
        ("01_06", 4757),
        ("01_07", 3363),
        ("03_02", 0),
    ]:
        assert np.abs(seconds[name] - frame / 120).min() < 0.02
    for recording in real.values():
        speed = np.linalg.norm(np.diff(recording.positions_mm, axis=0), axis=-1).max() * 0.05
        assert speed < 14, recording.name


def test_a_fast_kick_stays_as_it_is(real):
    assert real["11_01"].valid.all() and real["135_06"].valid.all()
    foot = joint(real["11_01"], "right_ankle")
    assert np.linalg.norm(np.diff(foot, axis=0), axis=-1).max() * 0.05 > 11


@pytest.mark.parametrize("name", ["02_01", "07_01", "12_01", "131_01", "35_01", "09_06"])
def test_people_walk_forwards(real, name):
    recording = real[name]
    across = joint(recording, "left_hip") - joint(recording, "right_hip")
    front = np.cross(across, [0, 0, 1])
    front /= np.linalg.norm(front, axis=-1, keepdims=True)
    step = np.gradient(joint(recording, "pelvis"), axis=0)
    moving = np.linalg.norm(step, axis=-1) > 10  # 0.5 m/s
    step /= np.linalg.norm(step, axis=-1, keepdims=True)
    assert moving.mean() > 0.1
    assert np.median((front * step).sum(-1)[moving]) > 0.8
    # Knees bend backwards: the knee lies in front of the line from hip to ankle.
    middle = (joint(recording, "left_hip") + joint(recording, "left_ankle")) / 2
    assert np.median(((joint(recording, "left_knee") - middle) * front).sum(-1)) > 0


def test_both_formats_of_one_clip_agree(folder):
    skeleton = asf_amc.read_asf(folder / "01" / "01.asf")
    amc = asf_amc.joint_positions(
        skeleton, asf_amc.read_amc(folder / "01" / "01_01.amc.gz", skeleton)
    )
    motion = bvh.read_bvh(folder / "01" / "01_01.bvh")
    other = bvh.joint_positions(motion)[1:] * cmu.MM_PER_UNIT
    _, names, _ = joint_names.recognised(motion)
    for name in ("right_hip", "right_knee", "right_ankle", "left_knee", "spine"):
        difference = (
            amc[:, skeleton.index[cmu.ASF_JOINTS[name]]] - other[:, motion.index[names[name]]]
        )
        assert np.abs(difference).max() < 0.006, name


def test_the_repaired_bvh_equals_the_amc(folder, tmp_path, real):
    (tmp_path / "01").mkdir()
    for file in ("01.asf", "01_01.bvh"):
        (tmp_path / "01" / file).symlink_to((folder / "01" / file).resolve())
    (repaired,) = read_mocap(tmp_path)
    assert repaired.frames == real["01_01"].frames
    # Positions reach some metres, which float32 spells to 0.0002 mm.
    difference = np.abs(repaired.positions_mm - real["01_01"].positions_mm)
    assert difference.max() < 0.01
