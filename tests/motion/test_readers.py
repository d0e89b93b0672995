"""Keypoint files of every tool: real ones where they are at hand, written ones in every variant."""

import json

import keypoint_files as files
import numpy as np
import pytest

from jrepose.errors import InputError
from jrepose.motion.keypoints import read_keypoints
from jrepose.motion.readers.json_files import json_parts
from jrepose.skeleton import BLAZEPOSE_33, BODY_25B, COCO_17, COCO_18, HALPE_26


@pytest.mark.parametrize("name", files.FILES)
def test_reads_what_was_written(name, tmp_path):
    write, skeleton = files.FILES[name]
    path = write(tmp_path, skeleton)
    (found,) = read_keypoints(path, size=files.SIZE)
    points, confidence = files.keypoints(skeleton)
    assert found.skeleton.name == skeleton.name
    assert found.size == files.SIZE
    assert found.keypoints_px.shape == points.shape
    derived = [skeleton.index("neck")] if "cmu" in name else []
    kept = np.setdiff1d(np.arange(skeleton.num_joints), derived)
    np.testing.assert_allclose(found.keypoints_px[:, kept], points[:, kept], atol=2e-2)
    if not name.startswith(("coco annotations", "videopose3d")):
        np.testing.assert_allclose(found.confidence[:, kept], confidence[:, kept], atol=1e-4)
    else:
        assert (found.confidence == 1).all()


REAL = {
    "openpose_body25b/cam03_json": (BODY_25B, 100, (1088, 1920)),
    "alphapose_halpe26/alphapose-results.json": (HALPE_26, 399, (360, 640)),
    "mmpose_coco17/dark_coco_1102s_90_fixed.json": (COCO_17, 231, (1080, 1920)),
    "mmpose_halpe26/1-hoods.json": (HALPE_26, 250, (1920, 1080)),
    "mediapipe_named_csv/plank_test.csv": (BLAZEPOSE_33, 710, (1280, 720)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name, shared_dir):
    path = shared_dir / "data" / "keypoints" / name
    if not path.exists():
        pytest.skip(f"reference data absent: {path}")
    skeleton, frames, size = REAL[name]
    (found,) = read_keypoints(path, size=size)
    assert (found.skeleton.name, found.frames) == (skeleton.name, frames)
    assert found.confidence.max() <= 1
    assert (found.keypoints_px[found.confidence == 0] == 0).all()
    joint = found.skeleton.index("left_shoulder")
    # Nobody jumps across the picture, where several videos are not joined in one file.
    if "mediapipe" not in name:
        moved = np.abs(np.diff(found.keypoints_px[:, joint], axis=0)).max()
        assert moved < 0.2 * max(size)


@pytest.fixture
def two_people(tmp_path):
    """OpenPose's folder: the figure, and a smaller one aside, in an order that changes."""
    near, sure = files.keypoints(BODY_25B, 12)
    far, _ = files.keypoints(BODY_25B, 12, shift=-2.0, distance=7.0)
    for k in range(12):
        people = [near[k], far[k]] if k % 3 else [far[k], near[k]]
        _frame(tmp_path, k, [files.flat(person, sure[k]) for person in people])
    return tmp_path, near, far


def _frame(folder, number, people):
    content = {"version": 1.3, "people": [{"pose_keypoints_2d": person} for person in people]}
    (folder / f"cam.{number:04d}.json").write_text(json.dumps(content))


def test_people_are_followed(two_people):
    folder, near, far = two_people
    (largest,) = read_keypoints(folder, size=files.SIZE)
    np.testing.assert_allclose(largest.keypoints_px, near, atol=1e-2)
    both = read_keypoints(folder, size=files.SIZE, person="all")
    assert [one.person for one in both] == ["1", "2"]
    np.testing.assert_allclose(both[1].keypoints_px, far, atol=1e-2)
    (second,) = read_keypoints(folder, size=files.SIZE, person="2")
    np.testing.assert_allclose(second.keypoints_px, far, atol=1e-2)
    with pytest.raises(InputError, match="no person '3'; there are 1, 2"):
        read_keypoints(folder, size=files.SIZE, person="3")


@pytest.mark.parametrize("frames", [range(4, 7), range(0, 4), range(8, 12), range(12)])
def test_halves_of_a_person_are_joined(two_people, frames):
    folder, near, far = two_people
    _, sure = files.keypoints(BODY_25B, 12)
    upper = np.array([not any(part in name for part in ("knee", "ankle", "toe", "heel"))
                      for name in BODY_25B.joint_names])  # fmt: skip
    for k in frames:
        halves = [files.flat(np.where(part[:, None], near[k], 0), np.where(part, sure[k], 0))
                  for part in (~upper, upper)]  # fmt: skip
        _frame(folder, k, [halves[0], files.flat(far[k], sure[k]), halves[1]])
    found, other = read_keypoints(folder, size=files.SIZE, person="all")
    np.testing.assert_allclose(found.keypoints_px, near, atol=1e-2)
    np.testing.assert_allclose(other.keypoints_px, far, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1])
def test_people_who_cross_are_kept_apart(tmp_path, seed):
    """With noise, missing joints, missing people and halves, in any order."""
    rng, frames = np.random.default_rng(seed), 100
    aside = np.arange(frames) / 30
    first = files.walk(BODY_25B, frames, turn=1.57)
    second = files.walk(BODY_25B, frames, start=0.4, turn=-1.57)
    first[..., 0] += (0.8 * aside - 1.3)[:, None]
    second[..., 0] += (1.3 - 0.8 * aside)[:, None]
    second[..., 1] += 0.6
    seen = [files.seen(world) for world in (first, second)]
    for k in range(frames):
        people = []
        for points in seen:
            found = rng.random(25) > 0.1
            there = (points[k] + rng.normal(0, 2, (25, 2))) * found[:, None]
            sure = found * rng.uniform(0.4, 0.9, 25)
            split = (rng.random(25) < 0.5) & (rng.random() < 0.15)
            if rng.random() > 0.05:
                parts = (split, ~split) if split.any() else (~split,)
                people += [files.flat(there * part[:, None], sure * part) for part in parts]
        rng.shuffle(people)
        _frame(tmp_path, k, people)
    found = read_keypoints(tmp_path, size=files.SIZE, layout="body_25b", person="all")
    assert len(found) == 2
    for points in seen:
        errors = [
            np.abs(one.keypoints_px - points[one.first_frame :][: one.frames])[one.confidence > 0]
            for one in found
        ]
        assert min(float((error > 15).mean()) for error in errors) < 0.01


def test_missing_frames_and_missing_joints(tmp_path):
    points, confidence = files.keypoints(COCO_17, 10)
    confidence[3, 5] = 0.9
    points[3, 5] = 0  # (0, 0) is missing, whatever its confidence (YOLO 8.0)
    points[4, 6] = np.nan
    entries = [{"image_id": k, "category_id": 1, "keypoints": files.flat(points[k], confidence[k]),
                "score": 1} for k in (0, 1, 3, 4, 7, 9)]  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(entries))
    (found,) = read_keypoints(path, size=files.SIZE)
    assert found.frames == 10
    assert not found.confidence[[2, 5, 6, 8]].any()
    assert found.confidence[3, 5] == found.confidence[4, 6] == 0
    assert found.confidence[3, 6] > 0


def test_the_neck_of_alphapose_is_between_the_shoulders(tmp_path):
    path = files.alphapose_cmu(tmp_path, COCO_18)
    content = json.loads(path.read_text())
    for image in content.values():
        image["bodies"][0]["joints"][3:6] = [1.0, 2.0, 0.9]  # with Halpe-26 it is the head
    path.write_text(json.dumps(content))
    (found,) = read_keypoints(path, size=files.SIZE)
    sides = [COCO_18.index(f"{side}_shoulder") for side in ("left", "right")]
    neck = found.keypoints_px[:, COCO_18.index("neck")]
    np.testing.assert_allclose(neck, found.keypoints_px[:, sides].mean(1), atol=1e-2)


def test_pandas_tables_without_pandas(tmp_path):
    """The two structures that pandas gives an H5 file, built as PyTables builds them."""
    h5py = pytest.importorskip("h5py")
    points, confidence = files.keypoints(COCO_17)
    values = np.concatenate([points, confidence[..., None]], -1).reshape(len(points), -1)
    columns = [("net", n, c) for n in COCO_17.joint_names for c in ("x", "y", "likelihood")]
    import pickle

    with h5py.File(tmp_path / "table.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        kind = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (values.shape[1],))])
        records = np.zeros(len(values), kind)
        records["index"], records["values_block_0"] = np.arange(len(values)), values
        table = group.create_dataset("table", data=records)
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(columns, 0))
    with h5py.File(tmp_path / "fixed.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group["block0_values"] = values
        for level in range(3):
            words = sorted({column[level] for column in columns})
            group[f"block0_items_level{level}"] = np.array(words, "S")
            places = [words.index(column[level]) for column in columns]
            group[f"block0_items_label{level}"] = np.array(places, np.int8)
    for name in ("table.h5", "fixed.h5"):
        (found,) = read_keypoints(tmp_path / name, size=files.SIZE)
        np.testing.assert_allclose(found.keypoints_px, points, atol=1e-2)


def test_json_is_read_part_by_part(tmp_path, monkeypatch):
    """However the pieces of a file fall, characters of several bytes included."""
    content = [{"name": "ä€😀" * 3, "values": [1.5, -2e-3, 10**12]}, [], {}, 12345, None, "x"]
    path = tmp_path / "a.json"
    for indent in (None, 2):
        path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
        for chunk in (1, 2, 3, 7, 1000):
            monkeypatch.setattr("jrepose.motion.readers.json_files._CHUNK", chunk)
            assert [entry for _, entry in json_parts(path)] == content
    path.write_text(json.dumps({"a": content, "b": {"c": [1]}, "d": []}))
    assert list(json_parts(path)) == [*(("a", e) for e in content), ("b", {"c": [1]}), ("d", [])]


def test_named_layouts_can_be_said(tmp_path):
    path = files.array_npy(tmp_path, COCO_17)
    (found,) = read_keypoints(path, size=files.SIZE, layout="human36m_17")
    assert found.skeleton.name == "human36m_17"
    with pytest.raises(InputError, match="17 keypoints, halpe_26 has 26"):
        read_keypoints(path, size=files.SIZE, layout="halpe_26")
    with pytest.raises(InputError, match="unknown layout 'coco'; expected one of coco_17"):
        read_keypoints(path, size=files.SIZE, layout="coco")


def test_a_stray_keypoint_is_missing(tmp_path):
    points, confidence = files.keypoints(COCO_17)
    points[2, 9] = (9000, 400)
    np.savez(tmp_path / "a.npz", keypoints=points, scores=confidence)
    (found,) = read_keypoints(tmp_path / "a.npz", size=files.SIZE)
    assert found.confidence[2, 9] == 0 and found.confidence[2, 8] > 0
    assert "1 keypoints far outside the picture count as missing" in found.notes


def _world(tmp_path):
    points = files.walk(BLAZEPOSE_33, 5)[..., [0, 2]] - [0, 0.9]
    landmarks = [[{"x": x, "y": -y, "z": 0.1, "visibility": 1} for x, y in p] for p in points]
    return files._json(tmp_path, landmarks)


def _poses(tmp_path):
    np.save(tmp_path / "a.npy", files.walk(COCO_17, 5) * 1000 - 900)
    return tmp_path / "a.npy"


def _metres(tmp_path):
    np.save(tmp_path / "a.npy", files.walk(COCO_17, 5)[..., [0, 2]] - [0, 0.9])
    return tmp_path / "a.npy"


def _turned(tmp_path):
    points, _ = files.keypoints(COCO_17)
    np.save(tmp_path / "a.npy", points + [0, 700])
    return tmp_path / "a.npy"


def _mixed(tmp_path):
    files.alphapose(tmp_path, COCO_17)
    coco = json.loads((tmp_path / "keypoints.json").read_text())
    files.alphapose(tmp_path, HALPE_26)
    return files._json(tmp_path, [*coco, *json.loads((tmp_path / "keypoints.json").read_text())])


def _text(text):
    def write(tmp_path):
        (tmp_path / "a.json").write_text(text)
        return tmp_path / "a.json"

    return write


def _cameras(tmp_path):
    for camera in (1, 2):
        for k in range(3):
            (tmp_path / f"cam{camera}_{k:03d}.json").write_text('{"version": 1.3, "people": []}')
    return tmp_path


def _of_counts(count):
    def write(tmp_path):
        np.save(tmp_path / "a.npy", np.random.default_rng(0).uniform(10, 900, (5, count, 2)))
        return tmp_path / "a.npy"

    return write


def _missing_all(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 17, 3)))
    return tmp_path / "a.npy"


REFUSED = {
    "world landmarks": (_world, "are no image coordinates .world landmarks in metres"),
    "3D poses": (_poses, "third channel goes from .* 3D poses"),
    "metres": (_metres, "are no image coordinates"),
    "another picture": (_turned, "lie outside a picture of 1280x960"),
    "mixed layouts": (_mixed, "26 keypoints in frame .*, 17 in those before"),
    "an empty file": (_text(""), "an empty file"),
    "an empty list": (_text("[]"), "JSON that holds nothing"),
    "nobody": (_text('{"version": 1.3, "people": []}'), "nobody in it"),
    "cut": (_text('[{"image_id": "0.jpg", "keypoints": [1, 2'), "damaged JSON file"),
    "something else": (_text('{"a": 1}'), "an object of 'a'; expected keypoints of OpenPose"),
    "a number": (_text('[{"image_id": "0.jpg", "keypoints": "abc"}]'), "no numbers"),
    "an empty folder": (lambda path: path, "no .json or .txt file in this folder"),
    "two cameras": (_cameras, "nobody in it|same frame by their numbers"),
    "no known count": (_of_counts(22), "22 keypoints, which is no layout known here"),
    "no body": (_of_counts(25), "form a body in no such order|both are possible"),
    "all missing": (_missing_all, "not one keypoint is there"),
    "not there": (lambda path: path / "x.json", "cannot read .*x.json: No such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name, tmp_path):
    write, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        read_keypoints(write(tmp_path), size=files.SIZE)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_the_size_is_asked_for(tmp_path):
    path = files.array_npy(tmp_path, COCO_17)
    with pytest.raises(InputError, match="size is not in the file; --size WxH says it"):
        read_keypoints(path)
    with pytest.raises(InputError, match="expected pixels, 1920x1080"):
        read_keypoints(path, size=(0, 5))


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few bytes changed, taken out, repeated, or cut off."""
    content = bytearray(content)
    digits = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, max(1, len(content))))
        length = int(rng.integers(1, 40))
        match rng.integers(0, 10):
            case 0:
                content[place : place + length] = rng.bytes(length)
            case 1:
                del content[place : place + length]
            case 2:
                content[place:place] = content[place : place + length]
            case 3:
                del content[place:]
            case 4:
                odd = [b"null", b"-1", b"1e999", b"[", b"{}", b'"', b",", b"NaN"]
                content[place:place] = odd[rng.integers(0, len(odd))]
            case _:  # other numbers
                place = min(int(rng.choice(digits)), len(content) - 1)
                content[place : place + 1] = rng.choice([b"9", b"0", b".", b"-", b"7"])
    return bytes(content)


def test_mutated_files_are_read_or_refused(tmp_path, mutations=2):
    """No file makes anything but an InputError; `mutations=20` is what was run by hand."""
    names = [name for name in files.FILES if name not in ("openpose, BODY_25", "openpose, COCO-18")]
    refused = 0
    for number, name in enumerate(names):
        write, skeleton = files.FILES[name]
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder, skeleton)
        file = path if path.is_file() else sorted(path.rglob("*.*"))[2]
        original = file.read_bytes()
        for seed in range(mutations):
            file.write_bytes(mutated(original, np.random.default_rng([number, seed])))
            try:
                read_keypoints(path, size=files.SIZE, person="all")
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
    assert 0 < refused < mutations * len(names)


def test_the_usual_order_where_geometry_is_silent(tmp_path):
    """COCO's of tools that write COCO's; of an array nobody knows."""
    points, confidence = files.keypoints(COCO_17)
    confidence[:, 9:] = 0  # a head and two arms
    np.savez(tmp_path / "a.npz", keypoints=points, scores=confidence)
    with pytest.raises(InputError, match="--layout says it"):
        read_keypoints(tmp_path / "a.npz", size=files.SIZE)
    entries = [{"image_id": f"{k}.jpg", "keypoints": files.flat(p, c), "score": 1}
               for k, (p, c) in enumerate(zip(points, confidence, strict=True))]  # fmt: skip
    (found,) = read_keypoints(files._json(tmp_path, entries), size=files.SIZE)
    assert found.skeleton.name == "coco_17"
    assert any("as is usual; --layout says otherwise" in note for note in found.notes)
