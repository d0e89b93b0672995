import numpy as np
import pytest

from jrepose.errors import InputError
from jrepose.motion.motion import Motion, save_motions
from jrepose.skeleton import COCO_17, HUMAN36M_17


def small(person="1", frames=3, **fields):
    poses = np.random.default_rng(0).normal(size=(frames, 17, 3))
    return Motion(poses, HUMAN36M_17, 25.0, person=person, **fields)


def test_a_motion_contradicts_itself(unchecked):
    poses = np.zeros((3, 17, 3))
    broken = poses.copy()
    broken[1, 3, 0] = np.nan
    for message, arguments in {
        r"poses_m is \[3, 16, 3\], expected \[frames, 17, 3\]": (poses[:, :16], HUMAN36M_17, 25.0),
        r"poses_m is \[0, 17, 3\]": (poses[:0], HUMAN36M_17, 25.0),
        "not finite in frame 1, joint right_ankle": (broken, HUMAN36M_17, 25.0),
        "fps is 0": (poses, HUMAN36M_17, 0.0),
        "go together": (poses, HUMAN36M_17, 25.0, poses),
        "keypoints of 2 frames, poses of 3": (poses, HUMAN36M_17, 25.0, poses[:2], COCO_17),
        "fps is None": (poses, HUMAN36M_17, None),
        "fps is True": (poses, HUMAN36M_17, True),
        "poses_m is no array of real numbers": (poses.tolist(), HUMAN36M_17, 25.0),
        "keypoints is no array of real": (poses, HUMAN36M_17, 25.0, poses * 1j, COCO_17),
        "has the skeleton 'coco_17'; expected a Skeleton": (poses, "coco_17", 25.0),
        "size is": (poses, HUMAN36M_17, 25.0, poses, COCO_17, (0, 5)),
        "size is 5; expected width": (poses, HUMAN36M_17, 25.0, poses, COCO_17, 5),
        "person is no text": (poses, HUMAN36M_17, 25.0, None, None, None, 5),
        "first_frame is 1.5; ex": (poses, HUMAN36M_17, 25.0, None, None, None, "1", (), 1.5),
    }.items():
        with pytest.raises(InputError, match=message):
            Motion(*arguments)


def test_one_person_is_one_file_and_several_are_several(tmp_path):
    assert small().save(tmp_path / "a.npz") == tmp_path / "a.npz"
    paths = save_motions(tmp_path / "b.npz", [small("left one"), small("2")])
    assert [path.name for path in paths] == ["b_left_one.npz", "b_2.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.npz", "b_2.npz", "b_left_one.npz"
    ]  # fmt: skip


def test_all_files_appear_or_none(tmp_path):
    for taken in ("b_1.npz", "b_2.npz"):
        (tmp_path / taken).mkdir()
        with pytest.raises(InputError, match="a folder"):
            save_motions(tmp_path / "b.npz", [small("1"), small("2")])
        assert [path.name for path in tmp_path.iterdir()] == [taken]
        (tmp_path / taken).rmdir()


def test_what_cannot_be_written_is_refused(tmp_path):
    for message, path, motions, options in [
        ("does not write .bhv", "a.bhv", [small()], {}),
        ("does not write files without suffix", "a", [small()], {}),
        ("nobody to write", "a.npz", [], {}),
        ("two people of one name", "a.npz", [small(), small()], {}),
        ("no option 'order' of .npz files", "a.npz", [small()], {"order": "XYZ"}),
    ]:
        with pytest.raises(InputError, match=message):
            save_motions(tmp_path / path, motions, **options)
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(InputError, match="a folder"):
        small().save(tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_numbers_of_numpy_are_written(unchecked, tmp_path):
    motion = small(first_frame=np.int64(7), size=np.array([640, 480]))
    for suffix in ("json", "npz", "csv"):
        motion.save(tmp_path / f"a.{suffix}")


def test_npz_is_read_without_pickle(tmp_path):
    keypoints = np.ones((3, 17, 3), np.float32)
    motion = small(keypoints=keypoints, keypoint_skeleton=COCO_17, size=(640, 480), notes=("a",))
    with np.load(motion.save(tmp_path / "a.npz"), allow_pickle=False) as archive:
        assert np.array_equal(archive["poses_m"], motion.poses_m)
        assert np.array_equal(archive["keypoints"], keypoints)
        assert tuple(archive["joint_names"]) == HUMAN36M_17.joint_names
        assert tuple(archive["parents"]) == HUMAN36M_17.parents
        assert tuple(archive["keypoint_names"]) == COCO_17.joint_names
        assert archive["fps"] == 25.0 and tuple(archive["size"]) == (640, 480)
        assert list(archive["notes"]) == ["a"]
