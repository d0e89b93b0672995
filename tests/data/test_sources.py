"""From a config to datasets: splits, actions, target space, keypoints, cache."""

import pickle

import numpy as np
import pytest

from jrepose.config import default_config
from jrepose.data import cache, sources
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.formats.custom import write_custom
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17


def videos_of(*named):
    out, start = [], 0
    for subject, action, frames in named:
        out.append(
            Video(f"{subject}/{action}", subject, action, "c", 1000, 1000, 50.0, start,
                  start + frames)
        )  # fmt: skip
        start += frames
    return tuple(out)


@pytest.fixture
def custom(tmp_path):
    """A config on a custom file of three subjects."""
    random = np.random.default_rng(0)
    videos = videos_of(
        ("ada", "Walk", 4), ("ada", "Sit", 3), ("bo", "WalkDog", 5), ("cy", "Sit", 6)
    )
    frames = videos[-1].stop
    dataset = PoseDataset(
        keypoints_px=random.uniform(0, 1000, (frames, 17, 2)).astype(np.float32),
        confidence=np.full((frames, 17), 0.5, np.float32),
        visible=np.ones((frames, 17), bool),
        valid=np.ones(frames, bool),
        videos=videos,
        skeleton=HUMAN36M_17,
        poses_camera_mm=random.normal(0, 200, (frames, 17, 3)).astype(np.float32),
        poses_image_px=random.uniform(0, 1000, (frames, 17, 3)).astype(np.float32),
        factor_mm_per_px=np.ones(frames, np.float32),
    )
    write_custom(dataset, tmp_path / "mine.npz")
    config = default_config()
    config.data.source = "custom"
    config.data.path = str(tmp_path / "mine.npz")
    config.data.cache = str(tmp_path / "cache")
    config.data.split.update(train=("ada",), validation=("bo",), test=("cy",))
    return config.data


def test_subjects_make_the_splits(custom):
    splits = sources.load_splits(custom)
    assert {name: split.frames for name, split in splits.items()} == {
        "train": 7, "validation": 5, "test": 6
    }  # fmt: skip
    assert [video.action for video in splits["train"].videos] == ["Walk", "Sit"]
    assert sources.load_splits(custom, ("test",)).keys() == {"test"}


def test_actions_are_prefixes(custom):
    custom.actions = ("Walk",)
    splits = sources.load_splits(custom, ("train", "validation"))
    assert [video.action for video in splits["train"].videos] == ["Walk"]
    assert [video.action for video in splits["validation"].videos] == ["WalkDog"]
    with pytest.raises(InputError, match="no video of cy has an action that begins with Walk"):
        sources.load_splits(custom, ("test",))


def test_target_space_and_keypoints_follow_the_config(custom):
    plain = sources.load_splits(custom, ("test",))["test"]
    assert plain.target_space == "image" and plain.confidence.max() == 0.5
    custom.target_space = "camera_m"
    custom.keypoints = "ground_truth"
    changed = sources.load_splits(custom, ("test",))["test"]
    assert changed.target_space == "camera_m" and (changed.confidence == 1).all()
    np.testing.assert_array_equal(changed.keypoints_px, plain.poses_image_px[..., :2])


def test_a_share_of_the_training_videos(custom):
    """VideoPose3D's runs; by hand: SHA-256 of "4" begins with 4b227777, of "3" with 4e074085."""
    custom.subset = 0.5
    splits = sources.load_splits(custom)
    custom.subset = 1.0
    whole = sources.load_splits(custom)
    # 0.4666 of the 3 places for 2 of 4 frames; 0.5205 of the 2 for 2 of 3.
    expected = whole["train"].keypoints_px[[1, 2, 5, 6]]
    np.testing.assert_array_equal(splits["train"].keypoints_px, expected)
    assert splits["test"].frames == whole["test"].frames
    custom.subset = 0.1
    with pytest.raises(InputError, match="subset is 0.1, which leaves no frame"):
        sources.load_splits(custom, ("train",))


def test_unlabelled_subjects_are_of_no_other_split(custom):
    custom.split.update(unlabelled=("cy",), test=("dee",))
    found = sources.load_splits(custom, ("train", "unlabelled"))
    assert {video.subject for video in found["unlabelled"].videos} == {"cy"}
    custom.split.test = ("cy",)
    with pytest.raises(InputError, match="subject cy is in test and unlabelled"):
        sources.load_splits(custom, ("train",))


def test_second_start_reads_the_cache(custom, monkeypatch):
    first = sources.load_splits(custom, ("train",))["train"]

    def refuse(path, depth_reference):
        raise AssertionError("parsed again")

    monkeypatch.setattr(sources, "read_custom", refuse)
    again = sources.load_splits(custom, ("train",))["train"]
    assert again.fingerprint() == first.fingerprint()
    assert isinstance(again.keypoints_px.base, np.memmap) or isinstance(
        again.keypoints_px, np.memmap
    )
    custom.cache = ""
    with pytest.raises(AssertionError, match="parsed again"):
        sources.load_splits(custom, ("train",))


def test_default_cache_is_the_users(custom, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    custom.cache = None
    sources.load_splits(custom, ("train",))
    assert list(cache.default_folder().iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "coco"}, "config.data.source is 'coco'; expected one of procedural"),
        ({"path": None}, "config.data.path is not set; custom reads a file or folder"),
        ({"path": "/nowhere"}, "no file or folder /nowhere"),
        ({"keypoints": "guessed"}, "config.data.keypoints is 'guessed'"),
        ({"target_space": "world"}, "unknown target space 'world'"),
        ({"depth_reference": "bogus"}, "depth_reference 'bogus'; expected frame_root or video"),
        ({"source": "procedural"}, "'procedural' reads no file; expected another source, mocap"),
        ({"source": "procedural", "path": None, "actions": ("Walk",)}, "has no actions to choose"),
        ({"source": "human36m", "depth_reference": "video_root"}, "expected 'frame_root'"),
        ({"heatmaps": "maps", "subset": 0.5}, "heatmaps are of whole videos"),
        ({"actions": "Walk"}, "config.data.actions is 'Walk'; expected names"),
        ({"split": {"train": 0}}, "config.data.split.train is 0; expected names, such as"),
        ({"split": {"test": "cy"}}, "config.data.split.test is 'cy'; expected names"),
        ({"split": {"validation": (1,)}}, r"split.validation is \(1,\); expected names"),
        ({"split": {"train": ()}}, "config.data.split.train names no subject"),
    ],
)
def test_what_cannot_be_is_one_line(custom, change, message):
    with custom.ignore_type():
        custom.update(change)
    with pytest.raises(InputError, match=message) as caught:
        sources.load_splits(custom)
    assert "\n" not in str(caught.value)


def test_subjects_that_are_not_there_are_named(custom):
    custom.split.test = ("dee", "cy")
    with pytest.raises(InputError, match="test: no subject dee in .*; it has ada, bo, cy"):
        sources.load_splits(custom)
    custom.split.update(train=("ada", "cy"), test=())
    with pytest.raises(InputError, match="split.test names no subject, and .* has none besides"):
        sources.load_splits(custom)


def test_own_data_needs_no_other_subjects(custom, monkeypatch):
    monkeypatch.setattr(sources, "_HELD_OUT", 3)
    custom.split.update(train=("ada",), validation=(), test=())
    splits = sources.load_splits(custom)
    custom.split.validation = ("bo",)
    whole = sources.load_splits(custom, ("train",))
    custom.split.validation = ()
    assert [v.frames for v in splits["train"].videos] == [3, 2]
    assert [v.frames for v in splits["validation"].videos] == [1, 1]
    keypoints = whole["train"].keypoints_px
    np.testing.assert_array_equal(splits["train"].keypoints_px, keypoints[[0, 1, 2, 4, 5]])
    np.testing.assert_array_equal(splits["validation"].keypoints_px, keypoints[[3, 6]])
    assert {v.subject for v in splits["test"].videos} == {"bo", "cy"}
    monkeypatch.setattr(sources, "_HELD_OUT", 10)
    with pytest.raises(InputError, match="no training video has the 10 frames"):
        sources.load_splits(custom, ("validation",))


def test_only_benchmarks_validate_on_test_subjects(custom):
    custom.split.validation = ("cy",)
    with pytest.raises(InputError, match="subject cy is in validation and test"):
        sources.load_splits(custom)
    custom.source = "human36m"
    sources.check_split(custom)
    custom.split.validation = ("ada",)
    with pytest.raises(InputError, match="subject ada is in train and validation"):
        sources.check_split(custom)


@pytest.fixture
def stacked_hourglass(golden, tmp_path):
    """A config on the fixture's columns in the published file."""
    arrays, config = golden("h36m_sh_mini")
    content = {"train": {}, "test": {}}
    for key, value in arrays.items():
        split, _, column = key.partition("/")
        if split in content:
            content[split][column] = value
    (tmp_path / "h36m_sh_conf_cam_source_final.pkl").write_bytes(pickle.dumps(content))
    found = default_config()
    found.data.update(source="human36m_sh", path=str(tmp_path), cache=str(tmp_path / "cache"))
    subjects = {name: set() for name in content}
    for split, columns in content.items():
        subjects[split] = sorted({f"S{int(str(name)[2:4])}" for name in columns["source"]})
    found.data.split.update(
        train=tuple(subjects["train"]),
        validation=tuple(subjects["test"]),
        test=tuple(subjects["test"]),
    )
    return found.data


def test_human36m_sh(stacked_hourglass):
    for _ in range(2):  # parsed, then from the cache
        splits = sources.load_splits(stacked_hourglass)
        assert splits["train"].factor_mm_per_px is None
        assert splits["test"].factor_mm_per_px is not None
        assert splits["validation"].fingerprint() == splits["test"].fingerprint()
    with pytest.raises(InputError, match="different parts of"):
        stacked_hourglass.split.train = (
            *stacked_hourglass.split.train,
            *stacked_hourglass.split.test,
        )
        stacked_hourglass.split.validation = stacked_hourglass.split.test = ("S99",)
        sources.load_splits(stacked_hourglass, ("train",))
