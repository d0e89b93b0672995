"""Rendered by the command, read from the disk; videos; an interruption; Human3.6M's layout."""

import json

import numpy as np
import pytest
from data.formats import test_videopose3d
from training import tiny

from jrepose import cli
from jrepose.data.formats import human36m
from jrepose.data.formats.videopose3d import read_human36m
from jrepose.data.images import write
from jrepose.data.sources import load_splits
from jrepose.errors import InputError

av = pytest.importorskip("av", reason="videos are read and written with PyAV, not installed")

FIELDS = {
    "data.source": "rendered",
    "data.seconds": 0.3,
    "data.frame_rate": 10.0,
    "data.split.train": ("a",),
    "data.split.validation": ("b",),
    "data.split.test": ("c",),
    "data.rig.cameras": 2,
    "data.rig.width": 96,
    "data.rig.height": 96,
    "data.rig.focal_px": 110.0,
    "data.scene.clutter_share": 0.5,
    "data.scene.clutter_seconds": 0.2,
    "data.images.size": 64,
    "data.images.workers": 1,
}


def config(**fields):
    out = tiny.config()
    out.update_from_flattened_dict(FIELDS | fields)
    return out


def of_files(path, **fields):
    return config(**{"data.source": "images", "data.path": str(path)} | fields).data


def run(folder):
    flags = [f"--config.{name}={value}" for name, value in FIELDS.items()]
    return cli.main(["jrepose", "render", "--out", str(folder), "--splits", "train", *flags])


@pytest.fixture(scope="module")
def rendered():
    return load_splits(config().data, ("train",))["train"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Written by the command, which is stopped once and goes on."""
    out, written = tmp_path_factory.mktemp("rendered") / "png", []
    whole = write._write

    def stopped(place, task, kind):
        if len(written) == 20:
            raise KeyboardInterrupt
        written.append(task.file)
        whole(place, task, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "_write", stopped)
        assert run(out) == 130
    assert not (out / write.FILE).exists() and len(list(out.rglob("*.png"))) == 20
    stamps = {name: (out / name).stat().st_mtime_ns for name in written}
    assert run(out) == 0
    assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    return out


def test_the_files_are_the_dataset(folder, rendered):
    read = load_splits(of_files(folder), ("train",))["train"]
    assert read.sequences == rendered.sequences
    np.testing.assert_allclose(read.joints_px, rendered.joints_px, atol=0.02)
    np.testing.assert_allclose(read.crops, rendered.crops, atol=1e-3)
    np.testing.assert_allclose(read.boxes, rendered.boxes, atol=1e-3)
    for name in ("joints_seen", "views_seen", "occluded", "poses_camera_mm"):
        np.testing.assert_array_equal(getattr(read, name), getattr(rendered, name))
    assert read.occluded.any() and not read.joints_seen.all()
    moments = np.array([[3, 1], [0, 23]])
    one, other = (data.images[moments].astype(int) for data in (read, rendered))
    assert one.shape == other.shape and np.abs(one - other).mean() < 12
    again = load_splits(of_files(folder), ("train",))["train"]
    assert again.fingerprint() == read.fingerprint()
    cut = load_splits(of_files(folder, **{"data.images.cameras": ("camera_1",)}), ("train",))
    np.testing.assert_array_equal(cut["train"].boxes[:, 0], read.boxes[:, 1])


def test_folders_of_other_things_are_left_alone(folder, rendered, tmp_path):
    def into(place, **options):
        return write.write_rendered({"train": rendered}, place, shown=False, **options)

    assert not (folder / "render.json").exists()
    with pytest.raises(InputError, match="is finished, it has annotations.json"):
        into(folder)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        into(tmp_path)
    (tmp_path / "thesis.txt").rename(tmp_path / "render.json")
    with pytest.raises(InputError, match="holds a part of other images"):
        into(tmp_path, every=2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == [
        "render.json"
    ]
    part = rendered.select(rendered.sequences[:1])
    with pytest.raises(InputError, match="only rendered data"):
        write.write_rendered({"train": part}, tmp_path / "new", shown=False)


def test_videos_are_read_at_any_frame(rendered, tmp_path):
    out = tmp_path / "mp4"
    first = rendered.sequences[0]
    one = write._Task(rendered, 0, 1, range(first.start, first.stop), "a/x/camera_1.mp4", 1)
    write._write(out, one, "mp4")
    (out / "annotations.json").write_text(json.dumps(write._annotations([one])))
    data = load_splits(of_files(out), ("train",))["train"]
    assert data.images.shape == (first.frames, 1, 64, 64, 3)
    whole = data.images[np.arange(first.frames)]
    direct = rendered.images[np.arange(first.frames)][:, 1:]
    assert np.abs(whole.astype(int) - direct).mean() < 14
    np.testing.assert_array_equal(data.images[np.array([2, 0])], whole[[2, 0]])
    content = json.loads((out / "annotations.json").read_text())
    for row in content["images"]:  # moments in another order than frames
        row["moment"] = first.frames - 1 - row["moment"]
    (out / "annotations.json").write_text(json.dumps(content))
    backwards = load_splits(of_files(out), ("train",))["train"].images
    np.testing.assert_array_equal(backwards[np.arange(first.frames)], whole[::-1])


def test_human36m_as_it_lies_on_the_disk(tmp_path, caplog):
    """Four cameras' videos beside VideoPose3D's files; one is shorter than the others."""
    test_videopose3d.write(
        tmp_path,
        test_videopose3d.contents({"S1": {"Photo 1": 4}, "S9": {"Eating": 2}}, 4, 32, "h36m"),
    )
    videos = tmp_path / "S1" / "Videos"
    videos.mkdir(parents=True)
    cameras = human36m.cameras("S1")
    for number, camera in enumerate(cameras):
        frames = 3 if number == 2 else 5
        with av.open(str(videos / f"TakingPhoto 1.{camera.name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", 50)
            stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
            stream.options = {"preset": "ultrafast"}
            stream.gop_size = 2  # frames are looked for behind a key frame of their own
            for k in range(frames):
                grey = np.full((camera.height, camera.width, 3), 40 * (k + 1), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
    data = load_splits(of_files(tmp_path, **{"data.split.train": ("S1",)}), ("train",))["train"]
    (sequence,) = data.sequences
    assert (sequence.name, sequence.action, sequence.frames) == ("S1/Photo 1", "Photo", 3)
    assert [view.name for view in sequence.views] == sorted(camera.name for camera in cameras)
    assert "cut to 3" in caplog.text
    poses = read_human36m(tmp_path)
    of_camera = {video.camera: video for video in poses.videos if video.subject == "S1"}
    for view, camera in enumerate(sequence.views):
        video = of_camera[camera.name]
        rows = slice(video.start, video.start + 3)
        placed = data.to_image_px(data.joints_px, np.arange(3))[:, view]
        np.testing.assert_allclose(placed, poses.keypoints_px[rows], atol=0.01)
        np.testing.assert_array_equal(data.poses_camera_mm[:, view], poses.poses_camera_mm[rows])
    centre = data.images[np.array([2, 1])][:, :, 32, 32].astype(int)
    np.testing.assert_allclose(centre, np.broadcast_to([[[120]], [[80]]], (2, 4, 3)), atol=4)
