"""Images and JSON from anybody: what cannot be used is named, or left out and counted."""

import json
import pathlib
import struct
import sys
import zlib

import numpy as np
import pytest
from training import tiny

from jrepose.data.images.decode import read_image
from jrepose.data.sources import load_splits
from jrepose.errors import InputError, MissingExtra

Image = pytest.importorskip("PIL.Image", reason="images are read with Pillow, not installed")

MOMENTS = np.arange(3)


def annotation(number):
    keypoints = np.tile([10.0, 12.0, 2.0], 17).tolist()
    return {"image_id": number, "bbox": [2, 3, 15, 14], "keypoints": keypoints}


def image(number):
    camera, moment = divmod(number, 3)
    name = f"walk/{camera}/{moment}.png"
    return {
        "id": number, "file_name": name, "width": 20, "height": 24, "sequence": "walk",
        "subject": "anna", "camera": f"c{camera}", "moment": moment,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Two cameras, three moments; every image is of one grey."""
    content = {
        "images": [image(k) for k in range(6)],
        "annotations": [annotation(k) for k in range(6)],
    }
    for row in content["images"]:
        path = tmp_path / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 20, 3), 30 * row["id"] + 20, np.uint8)).save(path)
    save(tmp_path, content)
    return tmp_path


def save(folder, content):
    (folder / "annotations.json").write_text(json.dumps(content))


def load(folder, split="test", **fields):
    data = tiny.config().data
    names = {split: ("anna",), "train": ("anna" if split == "train" else "bob",)}
    data.update(source="images", path=str(folder))
    data.split.update({"train": ("bob",)} | names)
    data.images.update({"size": 16, "workers": 1} | fields)
    return load_splits(data, (split,))[split]


def changed(folder, change):
    content = json.loads((folder / "annotations.json").read_text())
    change(content)
    save(folder, content)


def test_a_folder_is_read(folder):
    data = load(folder)
    crops = data.images[MOMENTS]
    assert crops.shape == (3, 2, 16, 16, 3) and data.poses_camera_mm is data.occluded is None
    assert crops[:, :, 8, 8, 0].tolist() == [[20, 110], [50, 140], [80, 170]]
    np.testing.assert_allclose(data.boxes[0, 0], [2, 3, 14, 13])


def huge(path):
    """A PNG's head that promises 60000 by 60000 pixels, and little behind it."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def cut(path):
    noise = np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:400])


BROKEN = {
    "huge": (huge, "max_megapixels"),
    "cut": (cut, "damaged image|truncated|cannot read"),
    "text": (lambda path: path.write_text("an image?"), "no image in one of JPEG, PNG"),
    "empty": (lambda path: path.write_bytes(b""), "no image in one of"),
    "deep": (lambda path: Image.new("I;16", (20, 24)).save(path), "mode I;16, expected 8 bits"),
    "size": (lambda path: Image.new("RGB", (24, 20)).save(path), "24 x 20 .* for 20 x 24"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "cannot read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_images_are_named_or_left_out(folder, kind, caplog):
    path = folder / image(4)["file_name"]
    spoil, message = BROKEN[kind]
    spoil(path)
    data = load(folder)  # the others can be looked at
    assert data.images[np.array([0, 2])].any()
    with pytest.raises(InputError, match=f"{path}.*({message})|({message}).*{path}"):
        _ = data.images[MOMENTS]
    rest = load(folder, skip_broken=True)
    assert (
        "1 of 6 files cannot be read and are left out" in caplog.text and str(path) in caplog.text
    )
    assert rest.views_seen.tolist() == [[True, True], [True, False], [True, True]]
    assert not rest.joints_seen[1, 1].any() and rest.joints_seen[1, 0].all()
    crops = rest.images[MOMENTS]
    assert not crops[1, 1].any() and crops[1, 0].any()


def test_missing_images_are_named_or_left_out(folder, caplog):
    (folder / image(1)["file_name"]).unlink()
    with pytest.raises(InputError, match="names 1 of 6 files that are not there: walk/0/1.png"):
        load(folder)
    assert load(folder, skip_broken=True).views_seen.sum() == 5
    assert "walk/0/1.png: No such file" in caplog.text


def test_sequences_are_cut_to_their_shortest_camera(folder, caplog):
    changed(folder, lambda content: content["images"].pop() and content["annotations"].pop())
    data = load(folder)
    assert data.frames == 2 and "its cameras have 3, 2 moments; cut to 2" in caplog.text


def test_people_who_are_not_there_or_several(folder, caplog):
    def change(content):
        content["annotations"][0]["bbox"] = [0, 0, 19, 19]
        content["annotations"][5] = annotation(0)  # nobody in image 5, two people in image 0

    changed(folder, change)
    data = load(folder)
    assert not data.views_seen[2, 1] and data.boxes[0, 0].tolist() == [0, 0, 18, 18]
    assert "1 images have several people" in caplog.text


def test_a_crowd_is_nobody(folder):
    crowd = {**annotation(0), "bbox": [0, 0, 19, 19], "iscrowd": 1}
    changed(folder, lambda content: content["annotations"].append(crowd))
    assert load(folder).boxes[0, 0].tolist() == [2, 3, 14, 13]


@pytest.mark.parametrize("size", [0.3, 300.0])
def test_poses_are_in_millimetres(folder, size):
    poses = np.random.default_rng(0).normal(size=(6, 51)) * size

    def change(content):
        for row, pose in zip(content["annotations"], poses, strict=True):
            row["keypoints_camera_mm"] = pose.tolist()

    changed(folder, change)
    if size > 1:
        np.testing.assert_allclose(load(folder).poses_camera_mm[1, 0].ravel(), poses[1], rtol=1e-6)
    else:
        with pytest.raises(InputError, match=r"annotations.json: keypoints_camera_mm.*metres\?"):
            load(folder)


def test_without_keypoints_there_is_nothing_to_train_on(folder):
    changed(folder, lambda content: [a.pop("keypoints") for a in content["annotations"]])
    assert not load(folder).labelled
    with pytest.raises(InputError, match=r"split.train: no image of .* has keypoints"):
        load(folder, "train")


def test_what_names_say(folder):
    """Sequence, camera and moment from Human3.6M's frames, or else folders and order."""

    def change(content):
        for row in content["images"]:
            for field in ("sequence", "subject", "camera", "moment"):
                del row[field]

    changed(folder, change)
    with pytest.raises(InputError, match="no subject anna in .*; it has walk"):
        load(folder)
    content = json.loads((folder / "annotations.json").read_text())
    for row in content["images"]:
        old, number = folder / row["file_name"], row["id"]
        camera, moment = divmod(number, 3)
        row["file_name"] = f"S1_Walking_1.{54138969 + camera}_{moment:06d}.png"
        old.rename(folder / row["file_name"])
    save(folder, content)
    settings = tiny.config().data
    settings.update(source="images", path=str(folder))
    settings.split.update(train=("S1",))
    settings.images.update(workers=1)
    data = load_splits(settings, ("train",))["train"]  # without its last tenth, which is nothing
    (sequence,) = data.sequences
    assert (sequence.name, sequence.action) == ("S1/Walking_1", "Walking_1")
    assert [view.name for view in sequence.views] == ["54138969", "54138970"]


CAMERA = {
    "sequence": "walk", "name": "c0", "width": 20, "height": 24, "focal_px": [30, 30],
    "centre_px": [10, 12], "orientation_wxyz": [1, 0, 0, 0], "translation_mm": [0, 0, 0],
}  # fmt: skip


def test_moments_may_be_every_fifth_frame(folder, caplog):
    def change(content):
        content["cameras"] = [CAMERA]
        for row in content["images"]:
            row["moment"] = 1 + 5 * row["moment"]

    changed(folder, change)
    data = load(folder)
    assert data.frames == 3 and data.views_seen.all() and "missing" not in caplog.text
    assert data.images[MOMENTS][:, 0, 8, 8, 0].tolist() == [20, 50, 80]
    first, second = data.sequences[0].views
    assert first.camera.focal_px == (30.0, 30.0) and second.camera is None
    changed(folder, field("images", 2, "moment", 2_000_000_000))
    assert load(folder).views_seen.tolist() == [[True, True], [True, True], [False, True]]
    assert "moments are missing between others" in caplog.text


def field(kind, number, name, value):
    def change(content):
        content[kind][number][name] = value

    return change


def without(kind, number, name):
    return lambda content: content[kind][number].pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("annotations", 2, "bbox"), "annotation 2: bbox is missing, expected 4 finite"),
        (field("annotations", 2, "bbox", [1, 2, 3]), r"annotation 2: bbox is \[1, 2, 3\]"),
        (field("annotations", 2, "bbox", [1, 2, 0, 5]), "a positive width and height"),
        (field("annotations", 1, "bbox", [1, 2, float("nan"), 5]), "annotation 1: bbox is"),
        (field("annotations", 3, "keypoints", [1, 2, 3]), "annotation 3: keypoints .* 51 finite"),
        (field("annotations", 3, "image_id", 77), "images that are not listed: 77"),
        (field("annotations", 3, "image_id", None), "annotation 3: image_id is missing"),
        (field("annotations", 3, "bbox", [50, 2, 10, 10]), "box of walk/1/0.png holds nothing of"),
        (field("annotations", 3, "bbox", [1, 2, 1e300, 10]), "annotation 3: bbox is"),
        (field("images", 3, "id", [3]), r"image 3: id is \[3\], expected the id of an image"),
        (field("images", 3, "id", {}), r"image 3: id is \{\}, expected the id of an image"),
        (field("images", 3, "subject", "bob"), '"bob", expected "anna" as in other images'),
        (field("images", 3, "width", 0), "image 3: width is 0, expected a whole number from 1"),
        (field("images", 3, "width", 21), "20 x 24 pixels, its annotations are for 21 x 24"),
        (field("images", 3, "moment", 1), "are both moment 1 of camera 'c1' in sequence 'walk'"),
        (field("images", 3, "file_name", "../x.png"), "a place within the folder"),
        (field("images", 3, "file_name", "/etc/x.png"), "a place within the folder"),
        (field("images", 3, "file_name", 5), "image 3: file_name is 5, expected a name"),
        (field("images", 3, "video_frame", 1), "image 3: video_frame is 1, expected the number"),
        (field("images", 3, "frame_rate", -5), "image 3: frame_rate is -5, expected a positive"),
        (lambda content: content.update(categories=7), "damaged JSON file"),
        (
            lambda content: content.update(cameras=[CAMERA | {"focal_px": [9]}]),
            "camera 0: focal_px",
        ),
        (
            lambda content: content.update(cameras=[CAMERA | {"orientation_wxyz": [1, 1, 1, 1]}]),
            "annotations.json: camera c0: quaternion has length 2",
        ),
        (lambda content: content.pop("images"), "no list of images"),
        (lambda content: content.update(images=[]), "no list of images"),
        (lambda content: content["images"].append(3), "images 6 is no object"),
        (lambda content: content.update(categories=[{"keypoints": ["a"] * 5}]), "5 keypoints"),
        (
            lambda content: content.update(
                categories=[{"keypoints": ["nose", "left_eye"] + ["x"] * 15}]
            ),
            "COCO's keypoints, expected Human3.6M's 17",
        ),
    ],
)
def test_json_that_cannot_be_used_is_refused(folder, change, message):
    changed(folder, change)
    with pytest.raises(InputError, match=message) as caught:
        _ = load(folder).images[MOMENTS]
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "[" * 100_000, '"images"'])
def test_what_is_no_json_is_refused(folder, text):
    (folder / "annotations.json").write_text(text)
    with pytest.raises(InputError, match="annotations.json: "):
        load(folder)


def test_other_folders_and_cameras_are_refused(folder, tmp_path):
    with pytest.raises(
        InputError, match="no camera c7 of config.data.images.cameras; it has c0, c1"
    ):
        load(folder, cameras=("c0", "c7"))
    (folder / "annotations.json").unlink()
    with pytest.raises(InputError, match="expected annotations.json in it, or Human3.6M's"):
        load(folder)
    with pytest.raises(InputError, match="no file or folder"):
        load(tmp_path / "nowhere")


def test_pillow_is_an_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"needs Pillow: pip install '.\[images\]'"):
        load(folder)


def test_pixels_of_other_modes(tmp_path):
    path = pathlib.Path(tmp_path / "x.png")
    for mode, value in (("L", 90), ("RGBA", (90, 90, 90, 10)), ("P", 3), ("1", 1)):
        Image.new(mode, (3, 2), value).save(path)
        assert read_image(path, 100.0).shape == (2, 3, 3)
    Image.new("RGBA", (3, 2), (90, 80, 70, 10)).save(path)
    assert read_image(path, 6.0)[0, 0].tolist() == [90, 80, 70]
    with pytest.raises(InputError, match="3 x 2 pixels, more than .*max_megapixels"):
        read_image(path, 5.0)


def test_broken_videos_are_named_or_left_out(folder, caplog):
    pytest.importorskip("av", reason="videos are read with PyAV, not installed")

    def change(content):
        for row in content["images"][3:]:
            row |= {"file_name": "c1.mp4", "video_frame": row["moment"]}

    changed(folder, change)
    (folder / "c1.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(500))
    with pytest.raises(InputError, match="c1.mp4: damaged video"):
        load(folder)
    rest = load(folder, skip_broken=True)
    assert "1 of 4 files cannot be read" in caplog.text
    assert rest.views_seen.tolist() == [[True, False]] * 3
