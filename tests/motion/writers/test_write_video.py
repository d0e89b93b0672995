import dataclasses
import sys

import numpy as np
import pytest
from people import person

from jrepose.errors import InputError, MissingExtra
from jrepose.motion.motion import save_motions

imageio = pytest.importorskip("imageio.v2", reason="imageio is not installed")
pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")


def moving(frames):
    """Share of pixels that change from the first frame to the last, left and right half."""
    changed = (np.abs(frames[-1].astype(int) - frames[0]).max(-1) > 60).astype(float)
    half = changed.shape[1] // 2
    return changed[:, :half].mean(), changed[:, half:].mean()


def test_mp4_of_two_people(tmp_path):
    first = person("walking", seconds=0.5)
    second = dataclasses.replace(first, person="2", poses_m=first.poses_m + [1, 0, 0])
    (path,) = save_motions(tmp_path / "a.mp4", [first, second])
    with imageio.get_reader(path) as video:
        assert video.get_meta_data()["fps"] == 30
        frames = [frame[..., :3] for frame in video]
    assert len(frames) == 15
    assert frames[0].shape == (480, 960, 3)
    assert min(moving(frames)) > 5e-4


def test_gif_leaves_frames_out(tmp_path):
    motion = dataclasses.replace(
        person("walking", seconds=0.5), keypoints=None, keypoint_skeleton=None, fps=50.0
    )
    frames = imageio.mimread(motion.save(tmp_path / "a.gif"))
    # 0.3 s at half of 50 frames a second.
    assert len(frames) == 8
    assert frames[0].shape[:2] == (480, 480)


def test_nobody_leaves_the_picture(tmp_path):
    walk = dataclasses.replace(
        person("walking", seconds=0.3), keypoints=None, keypoint_skeleton=None
    )
    way = np.linspace(-2, 2, len(walk.poses_m))[:, None, None]
    for slant in ([1, 1, 0], [1, -1, 0]):
        motion = dataclasses.replace(walk, poses_m=walk.poses_m + way * slant)
        frames = np.stack(imageio.mimread(motion.save(tmp_path / "a.gif")))[..., :3]
        # The ground is light grey.
        assert min(frames[:, :, [0, -1]].min(), frames[:, [0, -1]].min()) > 0xE0
        assert frames.min() < 0x80


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtra, match=r"needs imageio with imageio-ffmpeg.*\.\[video\]"):
        person().save(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_folder_that_cannot_be_is_one_line(suffix, capfd):
    with pytest.raises(InputError, match="cannot write"):
        person(seconds=0.1).save(f"/proc/a{suffix}")
    assert capfd.readouterr().err == ""
