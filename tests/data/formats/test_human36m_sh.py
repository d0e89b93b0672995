import pickle
import tracemalloc

import numpy as np
import pytest

from jrepose.data.formats.human36m_sh import BLOCKED_SEQUENCES, FILE_NAME, read_human36m_sh
from jrepose.errors import InputError

TRAIN = (
    ("s_01_act_02_subact_01_ca_01", "54138969", None, 5),
    ("s_01_act_12_subact_01_ca_02", "55011271", None, 3),
    ("s_08_act_16_subact_02_ca_04", "60457274", None, 4),
)
TEST = (
    ("s_09_act_02_subact_01_ca_01", "54138969", "Directions", 6),
    ("s_09_act_05_subact_02_ca_03", "58860488", "Greeting", 2),
    ("s_11_act_12_subact_01_ca_02", "55011271", "TakingPhoto", 3),
)


def make_split(videos, seed, real=np.float64):
    """Columns of invented poses, of which the ground truth is far from the origin."""
    random = np.random.default_rng(seed)
    lengths = [frames for *_, frames in videos]
    rows = sum(lengths)

    def repeat(column):
        return np.repeat([video[column] for video in videos], lengths)

    label = random.normal(500, 100, (rows, 17, 3))
    columns = {
        "joint_2d": (label[..., :2] + random.normal(size=(rows, 17, 2))).astype(real),
        "confidence": random.uniform(size=(rows, 17, 1)).astype(real),
        "joint3d_image": label.astype(real),
        "camera_name": repeat(1),
        "source": repeat(0),
    }
    if videos[0][2]:
        factor = random.uniform(3, 5, rows)
        columns["2.5d_factor"] = factor.astype(real)
        columns["joints_2.5d_image"] = (label * factor[:, None, None] + 1e5).astype(real)
        columns["action"] = repeat(2)
    return columns


@pytest.fixture
def content():
    return {"train": make_split(TRAIN, 0), "test": make_split(TEST, 1)}


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, protocol=4):
        path = tmp_path / "h36m.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        return read_human36m_sh(path)

    return write_and_read


def test_videos_say_who_does_what_before_which_camera(content, read):
    splits = read(content)
    found = [
        (v.name, v.subject, v.action, v.camera, v.width, v.height, v.frame_rate, v.start, v.stop)
        for v in splits["test"].videos
    ]
    assert found == [
        (TEST[0][0], "S9", "Directions", "54138969", 1000, 1002, 50.0, 0, 6),
        (TEST[1][0], "S9", "Greeting", "58860488", 1000, 1000, 50.0, 6, 8),
        (TEST[2][0], "S11", "Photo", "55011271", 1000, 1000, 50.0, 8, 11),
    ]
    train = splits["train"].videos
    assert [v.subject for v in train] == ["S1", "S1", "S8"]
    assert [v.height for v in train] == [1002, 1000, 1002]
    # Actions are numbers here; the test split names two of the three.
    assert [v.action for v in train] == ["Directions", "Photo", "act_16"]


def test_columns_become_arrays(content, read):
    splits = read(content)
    for name, columns in content.items():
        dataset = splits[name]
        assert dataset.target_space == "image" and dataset.visible.all()
        np.testing.assert_array_equal(dataset.keypoints_px, np.float32(columns["joint_2d"]))
        np.testing.assert_array_equal(dataset.confidence, np.float32(columns["confidence"][..., 0]))
        np.testing.assert_array_equal(dataset.poses_image_px, np.float32(columns["joint3d_image"]))
    assert splits["train"].factor_mm_per_px is None and splits["train"].poses_image_mm is None
    test = splits["test"]
    np.testing.assert_array_equal(test.factor_mm_per_px, np.float32(content["test"]["2.5d_factor"]))
    # 100 m from the origin, single precision would be wrong by 0.004 mm.
    truth = content["test"]["joints_2.5d_image"]
    np.testing.assert_allclose(test.poses_image_mm, truth - truth[:, :1], rtol=1e-6)


@pytest.mark.parametrize("form", ["lists of rows", "nested lists", "objects"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_columns_may_be_lists(content, read, form, protocol):
    def objects(column):
        out = np.empty(len(column), object)
        out[:] = list(column)
        return out

    convert = {"lists of rows": list, "nested lists": np.ndarray.tolist, "objects": objects}[form]
    other = {
        split: {name: convert(column) for name, column in columns.items()}
        for split, columns in content.items()
    }
    as_arrays, as_lists = read(content, protocol), read(other, protocol)
    for split in content:
        assert as_lists[split].fingerprint() == as_arrays[split].fingerprint()


def test_single_precision_is_read_too(read):
    content = {"train": make_split(TRAIN, 0, np.float32), "test": make_split(TEST, 1, np.float32)}
    label = content["train"]["joint3d_image"]
    np.testing.assert_array_equal(read(content)["train"].poses_image_px, label)


def test_confidence_without_its_axis(content, read):
    with_axis = read(content)
    for columns in content.values():
        columns["confidence"] = columns["confidence"][..., 0]
    assert read(content)["test"].fingerprint() == with_axis["test"].fingerprint()


def test_confidence_is_one_in_both_splits_if_training_has_none(content, read):
    del content["train"]["confidence"]
    splits = read(content)
    assert (splits["train"].confidence == 1).all() and (splits["test"].confidence == 1).all()


def test_further_channels_and_columns_are_ignored(content, read):
    plain = read(content)
    for columns in content.values():
        for name in ("joint_2d", "joint3d_image"):
            columns[name] = np.concatenate([columns[name], columns[name] * np.nan], axis=-1)
        columns["box"] = None
    content["val"] = {}
    splits = read(content)
    for name, dataset in splits.items():
        assert dataset.fingerprint() == plain[name].fingerprint()


def test_blocked_sequences_are_not_scored(read):
    names = [f"{name}_ca_0{camera}" for name in BLOCKED_SEQUENCES for camera in (1, 2, 3, 4)]
    names += ["s_09_act_05_subact_01_ca_01", "s_11_act_05_subact_02_ca_01"]
    test = make_split([(name, "54138969", "Walking", 2) for name in names], 0)
    valid = read({"train": make_split(TRAIN, 0), "test": test})["test"].valid
    assert valid.tolist() == [False] * 24 + [True] * 4


def test_a_run_of_rows_is_a_video(read):
    again = make_split((TEST[0], TEST[2], TEST[0]), 1)
    videos = read({"train": make_split(TRAIN, 0), "test": again})["test"].videos
    assert [(v.name, v.start, v.stop) for v in videos] == [
        (TEST[0][0], 0, 6), (TEST[2][0], 6, 9), (TEST[0][0], 9, 15),
    ]  # fmt: skip


def test_a_folder_holds_the_file_under_its_published_name(content, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(pickle.dumps(content))
    assert read_human36m_sh(tmp_path)["train"].frames == 12
    with pytest.raises(InputError, match=rf"cannot read .*absent/{FILE_NAME}"):
        (tmp_path / "absent").mkdir()
        read_human36m_sh(tmp_path / "absent")


def test_raw_columns_are_released_one_by_one(tmp_path):
    videos = [(f"s_01_act_02_subact_01_ca_{n:02d}", "54138969", "Walking", 400) for n in range(50)]
    content = {"train": make_split(videos, 0), "test": make_split(videos, 1)}
    size = sum(c.nbytes for columns in content.values() for c in columns.values())
    path = tmp_path / "h36m.pkl"
    path.write_bytes(pickle.dumps(content, 4))
    tracemalloc.start()
    try:
        splits = read_human36m_sh(path)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert splits["test"].frames == 20_000
    # Kept are about half of the numbers and no text; besides all raw columns it would be 1.4.
    assert kept < 0.45 * size
    assert peak < 1.15 * size


def change(split, column, values):
    def apply(content):
        content[split][column] = values(content[split][column])

    return apply


def put(value, *place):
    def apply(array):
        array = array.copy()
        array[place] = value
        return array

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("test"), "expected a dictionary of two, 'train' and 'test'"),
        (lambda c: c.update(train=[]), "expected a dictionary of two"),
        (lambda c: c["train"].pop("joint_2d"), "train has no column 'joint_2d'; it has 'confid"),
        (lambda c: c["test"].pop("2.5d_factor"), r"test has no column '2.5d_factor'"),
        (lambda c: c["test"].pop("confidence"), "test has no column 'confidence'"),
        (lambda c: c["test"].clear(), "test has no column 'joint_2d'; it has none"),
        (change("train", "source", lambda a: a[:0]), "train/source is empty"),
        (change("train", "source", lambda a: 5), "train/source is not a list or array of text"),
        (change("train", "source", lambda a: [*a[:-1], 7]), "train/source is not a list or array"),
        (
            change("test", "source", put("holiday.mp4", 7)),
            "test/source is 'holiday.mp4' in row 7; expected a video's name such as s_09_act_05",
        ),
        (
            change("train", "joint_2d", lambda a: a[:-1]),
            "train/joint_2d has 11 rows; expected 12, as source has",
        ),
        (
            change("test", "camera_name", lambda a: [*a, "54138969"]),
            "test/camera_name has 12 rows; expected 11",
        ),
        (
            change("train", "joint3d_image", lambda a: a[:, :16]),
            r"train/joint3d_image has the shape \(12, 16, 3\); expected \(12, 17, 3\)",
        ),
        (
            change("train", "joint3d_image", lambda a: a[..., :2]),
            r"train/joint3d_image has the shape \(12, 17, 2\); expected \(12, 17, 3\)",
        ),
        (
            change("test", "joint_2d", lambda a: a.reshape(11, 34)),
            r"test/joint_2d has the shape \(11, 34\); expected \(11, 17, 2\)",
        ),
        (
            change("test", "confidence", lambda a: np.repeat(a, 2, -1)),
            r"test/confidence has the shape \(11, 17, 2\); expected \(11, 17, 1\)",
        ),
        (change("test", "2.5d_factor", lambda a: 4.0), "test/2.5d_factor holds other things than"),
        (
            change("test", "joint_2d", lambda a: a.astype(str)),
            "test/joint_2d is not a list or array of numbers",
        ),
        (
            change("test", "joints_2.5d_image", lambda a: [a[0, :3], *a[1:]]),
            "test/joints_2.5d_image holds other things than numbers, or rows of different shapes",
        ),
        (
            change("test", "2.5d_factor", lambda a: ["four", *a[1:]]),
            "test/2.5d_factor holds other things than numbers",
        ),
        (
            change("train", "joint_2d", put(np.nan, 6, 2, 1)),
            f"train/joint_2d is not finite, first in video {TRAIN[1][0]}, frame 1$",
        ),
        (
            change("test", "joint3d_image", put(1e39, 5, 2, 1)),
            f"test/joint3d_image is not finite, first in video {TEST[0][0]}, frame 5$",
        ),
        (
            change("test", "joints_2.5d_image", put(np.inf, 8, 0)),
            f"test/joints_2.5d_image is not finite, first in video {TEST[2][0]}, frame 0$",
        ),
        (
            change("test", "2.5d_factor", put(np.nan, 10)),
            f"test/2.5d_factor is not finite, first in video {TEST[2][0]}, frame 2$",
        ),
        (
            change("test", "2.5d_factor", put(0.0, 10)),
            f"test/2.5d_factor is not above 0, first in video {TEST[2][0]}, frame 2$",
        ),
        (
            change("train", "camera_name", put("7", slice(5, 8))),
            f"train/camera_name is '7' in video {TRAIN[1][0]}; expected 54138969, 55011271, "
            "58860488, 60457274",
        ),
        (
            change("train", "camera_name", put("55011271", 3)),
            f"train/camera_name changes within a video, first in video {TRAIN[0][0]}, frame 3",
        ),
        (
            change("test", "action", put("Eating", 7)),
            f"test/action changes within a video, first in video {TEST[1][0]}, frame 1",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_faults_are_named_in_one_line(content, read, spoil, message):
    spoil(content)
    with pytest.raises(InputError, match=message) as caught:
        read(content)
    assert "h36m.pkl: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_pickle_of_something_else(read):
    for other in ([1, 2], {}, None, np.zeros(3)):
        with pytest.raises(InputError, match="expected a dictionary of two"):
            read(other)
