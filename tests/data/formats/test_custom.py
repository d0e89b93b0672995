"""One's own data: round trips, defaults, and one line for everything that is wrong."""

import ast
import dataclasses
import json
import pathlib
import textwrap

import numpy as np
import pytest
from evaluation.conftest import FOCAL_PX, make_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jrepose.camera import project_to_2d_linear
from jrepose.data.dataset import TARGET_SPACES, PoseDataset, Video
from jrepose.data.formats.custom import FIELDS, custom_files, read_custom, write_custom
from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.procedural import generate_motion
from jrepose.errors import InputError
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15, SKELETONS


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def minimal(frames=5, **arrays):
    keypoints = np.random.default_rng(0).uniform(0, 900, (frames, 17, 2))
    return {"keypoints_px": keypoints, "width": 1000, "height": 800} | arrays


def with_poses(**arrays):
    """Two videos in absolute camera coordinates."""
    dataset = make_dataset()
    return {
        "keypoints_px": dataset.keypoints_px,
        "poses_camera_mm": dataset.poses_camera_mm,
        "width": 1000,
        "height": 1002,
        "video_lengths": [30, 20],
    } | arrays


def assert_same(one: PoseDataset, two: PoseDataset):
    # The file has no place for a lens.
    bare = tuple(dataclasses.replace(video, intrinsics=None) for video in one.videos)
    one = dataclasses.replace(one, videos=bare)
    assert one.videos == two.videos
    assert (one.skeleton, one.keypoint_skeleton) == (two.skeleton, two.keypoint_skeleton)
    assert one.target_space == two.target_space
    assert one.arrays().keys() == two.arrays().keys()
    for name, array in one.arrays().items():
        other = two.arrays()[name]
        assert array.dtype == other.dtype and array.shape == other.shape, name
        assert array.tobytes() == other.tobytes(), name
    assert one.fingerprint() == two.fingerprint()


def test_captured_motion_survives_a_round_trip(tmp_path):
    dataset = capture(generate_motion(["A", "B"], seconds=1.0, actions=["walking", "sitting"]))
    write_custom(dataset, tmp_path / "own.npz")
    assert_same(dataset, read_custom(tmp_path / "own.npz"))
    with np.load(tmp_path / "own.npz", allow_pickle=False) as archive:
        assert set(archive.files) <= set(FIELDS)
        assert all(archive[name].dtype != object for name in archive.files)
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


@st.composite
def fields(draw):
    """Of a `PoseDataset`, any that it may have."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    skeleton = draw(st.sampled_from(list(SKELETONS.values())))
    layout = draw(st.none() | st.sampled_from(list(SKELETONS.values())))
    text = st.text(st.characters(), max_size=6).filter(str.isprintable)
    names = draw(st.lists(text, min_size=1, max_size=3, unique=True))
    videos, start = [], 0
    for name in names:
        stop = start + draw(st.integers(1, 4))
        described = [draw(text) for _ in range(3)]
        width, height = draw(st.integers(1, 8000)), draw(st.integers(1, 8000))
        rate = draw(st.floats(0.1, 1000))
        videos.append(Video(name, *described, width, height, rate, start, stop))
        start = stop
    keypoints, joints = (layout or skeleton).num_joints, skeleton.num_joints

    def numbers(*shape):
        return rng.normal(500, 300, size=shape).astype(np.float32)

    optional = {
        "poses_camera_mm": numbers(start, joints, 3),
        "poses_image_px": numbers(start, joints, 3),
        "poses_image_mm": numbers(start, joints, 3),
        "factor_mm_per_px": rng.uniform(0.5, 5, start).astype(np.float32),
        "activity": rng.integers(0, 128, start).astype(np.int8),
    }
    return {
        "keypoints_px": numbers(start, keypoints, 2),
        "confidence": rng.uniform(0, 1, (start, keypoints)).astype(np.float32),
        "visible": rng.random((start, joints)) < 0.5,
        "valid": rng.random(start) < 0.5,
        "videos": tuple(videos),
        "skeleton": skeleton,
        "keypoint_skeleton": layout,
        "target_space": draw(st.sampled_from(TARGET_SPACES)),
    } | {key: value for key, value in optional.items() if draw(st.booleans())}


@given(fields=fields())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_dataset_survives_a_round_trip(fields, tmp_path_factory):
    dataset = PoseDataset(**fields)
    path = tmp_path_factory.mktemp("custom") / "own.npz"
    write_custom(dataset, path)
    assert_same(dataset, read_custom(path))


def test_what_is_not_said_has_defaults(tmp_path):
    dataset = read_custom(save(tmp_path / "own.npz", **minimal()))
    assert dataset.videos == (
        Video("video_0", "subject", "motion", "camera", 1000, 800, 50.0, 0, 5),
    )
    assert dataset.skeleton is dataset.keypoint_skeleton is HUMAN36M_17
    assert dataset.confidence.all() and dataset.visible.all() and dataset.valid.all()
    assert dataset.target_space == "image"
    assert dataset.model_inputs().shape == (5, 17, 3)
    for label in ("poses_camera_mm", "poses_image_px", "factor_mm_per_px"):
        with pytest.raises(InputError, match=f"{label} is needed"):
            dataset.label(label)


def test_values_per_video_and_for_all(tmp_path):
    arrays = minimal(
        video_lengths=[2, 3],
        video_names=["one", "two"],
        subjects=["A", "B"],
        actions="Walking",
        width=[640, 1280.0],
        frame_rate=[25, 29.97],
    )
    one, two = read_custom(save(tmp_path / "own.npz", **arrays)).videos
    assert one == Video("one", "A", "Walking", "camera", 640, 800, 25.0, 0, 2)
    assert two == Video("two", "B", "Walking", "camera", 1280, 800, 29.97, 2, 5)


@pytest.mark.parametrize("channel", [False, True], ids=["separate", "third channel"])
def test_missing_keypoints(tmp_path, channel):
    arrays = minimal()
    confidence = np.random.default_rng(1).uniform(0.1, 1, (5, 17))
    arrays["keypoints_px"][1, 2] = np.nan
    arrays["keypoints_px"][3, 4, 1] = np.nan
    confidence[1, 2], confidence[0, 0] = np.nan, 0.0
    if channel:
        arrays["keypoints_px"] = np.dstack([arrays["keypoints_px"], confidence])
    else:
        arrays["confidence"] = confidence
    dataset = read_custom(save(tmp_path / "own.npz", **arrays))
    assert np.argwhere(dataset.confidence == 0).tolist() == [[0, 0], [1, 2], [3, 4]]
    np.testing.assert_array_equal(dataset.keypoints_px[[1, 3], [2, 4]], 0)
    # With confidence 0 a position that is given stays: it may be held or interpolated.
    np.testing.assert_allclose(dataset.keypoints_px[0, 0], arrays["keypoints_px"][0, 0, :2])
    assert np.isfinite(dataset.model_inputs()).all()


@pytest.mark.parametrize("shared", [True, False], ids=["one camera", "a camera a video"])
def test_intrinsics_give_the_label_that_models_predict(tmp_path, shared):
    made = make_dataset()
    intrinsics = np.array([FOCAL_PX, FOCAL_PX, 500.0, 501.0])
    if not shared:
        intrinsics = np.stack([intrinsics, intrinsics * [1.1, 1.2, 1.0, 0.9]])
    path = save(tmp_path / "own.npz", **with_poses(intrinsics_px=intrinsics))
    dataset = read_custom(path)
    assert dataset.target_space == "image"
    np.testing.assert_allclose(dataset.poses_image_px[:30], made.poses_image_px[:30], atol=1e-3)
    np.testing.assert_allclose(dataset.factor_mm_per_px[:30], made.factor_mm_per_px[:30], rtol=1e-6)
    if not shared:
        fx, fy, cx, cy = intrinsics[1].tolist()
        vector = np.array([fx, fy, cx, cy, 0, 0, 0, 0, 0])
        poses = made.poses_camera_mm[30:].astype(np.float64)
        expected = project_to_2d_linear(poses, vector)
        np.testing.assert_allclose(dataset.poses_image_px[30:, :, :2], expected, atol=1e-3)
        np.testing.assert_allclose(dataset.factor_mm_per_px[30:], poses[:, 0, 2] / fx, rtol=1e-6)
    # Depths relative to the video's first root keep the trajectory.
    kept = read_custom(path, depth_reference="video_root")
    assert np.abs(kept.poses_image_px[1:30, 0, 2]).min() > 1e-3


def test_poses_without_intrinsics_are_predicted_in_metres(tmp_path):
    arrays = with_poses(poses_camera_mm=make_dataset().poses_camera_mm - 5000.0)  # anywhere
    dataset = read_custom(save(tmp_path / "own.npz", **arrays))
    assert dataset.target_space == "camera_m"
    poses = arrays["poses_camera_mm"]
    np.testing.assert_allclose(dataset.model_targets(), (poses - poses[:, :1]) / 1000, atol=1e-6)


def test_keypoints_and_poses_may_have_different_layouts(tmp_path):
    arrays = minimal(
        skeleton="humaneva_15", keypoint_skeleton="coco_17", poses_camera_mm=np.ones((5, 15, 3))
    )
    dataset = read_custom(save(tmp_path / "own.npz", **arrays))
    assert dataset.skeleton is HUMANEVA_15 and dataset.keypoint_skeleton is COCO_17
    write_custom(dataset, tmp_path / "again.npz")
    assert_same(dataset, read_custom(tmp_path / "again.npz"))


def nan_at(shape, *place):
    array = np.ones(shape)
    array[place] = np.nan
    return array


WRONG = {
    "unknown key": ({"keypoints": 1}, r"unknown key 'keypoints'; known are keypoints_px, width"),
    "no frame": ({"keypoints_px": np.zeros((0, 17, 2))}, "keypoints_px has no frame"),
    "a number": ({"keypoints_px": 1.0}, r"keypoints_px has the shape \(\); expected \(0 frames"),
    "objects": ({"keypoints_px": np.array([{}, 1])}, "keypoints_px holds object; expected an arr"),
    "a dictionary": ({"keypoints_px": np.array({"a": 1})}, "keypoints_px holds dict"),
    "complex": ({"confidence": np.ones((5, 17), complex)}, "confidence holds complex128"),
    "16 joints": ({"keypoints_px": np.ones((5, 16, 2))},
                  r"keypoints_px has the shape \(5, 16, 2\); expected \(5 frames, 17 keypoints of "
                  r"human36m_17, 2 channels\)"),
    "4 channels": ({"keypoints_px": np.ones((5, 17, 4))}, r"shape \(5, 17, 4\)"),
    "infinite": ({"keypoints_px": np.full((5, 17, 2), np.inf)}, r"not finite at \[0, 0, 0\]"),
    "overflow": ({"keypoints_px": np.full((5, 17, 2), 1e300)}, "keypoints_px is not finite"),
    "short confidence": ({"confidence": np.ones((4, 17))},
                         r"confidence has the shape \(4, 17\); expected \(5 frames, 17 keypoints"),
    "percentage": ({"confidence": np.full((5, 17), 87)}, r"is 87 at \[0, 0\]; expected 0 to 1"),
    "negative": ({"confidence": np.full((5, 17), -0.5)}, "confidence is -0.5"),
    "unsure": ({"confidence": nan_at((5, 17), 2, 3)}, r"confidence is nan at \[2, 3\]"),
    "COCO's flags": ({"confidence": np.full((5, 17), 2)}, "2 at .*1 .COCO's flags of visibility"),
    "bytes": ({"confidence": np.full((5, 17), 240)}, "divide by 255"),
    "line": ({"subjects": "a\nb"}, r"subjects has the text 'a\\nb'; expected up to 200 printable"),
    "long": ({"actions": "a" * 201}, "actions has the text"),
    "far": ({"keypoints_px": np.full((5, 17, 2), 3e38)}, r"keypoints_px has the value 3e\+38"),
    "0 to 1": ({"keypoints_px": minimal()["keypoints_px"] / 1000},
               r"lie between 0.\d* and 0.\d* in images of 1000 x 800; expected pixels"),
    "only names": ({"joint_names": ["a"]}, "joint_names is given without joint_parents"),
    "no root": ({"joint_names": ["a", "b"], "joint_parents": [1, 0], "joint_pairs": [[0, 1]]},
                "joint_names, joint_parents and joint_pairs: skeleton own: exactly one"),
    "no such joint": ({"joint_names": ["a", "b"], "joint_parents": [-1, 0],
                       "joint_pairs": [["a", "c"]]}, "joint_pairs has 'c'"),
    "taken name": ({"skeleton": "coco_17", "joint_names": ["a"], "joint_parents": [-1],
                    "joint_pairs": np.zeros((0, 2))}, "skeleton is 'coco_17', and joint_names"),
    "two confidences": ({"keypoints_px": np.ones((5, 17, 3)), "confidence": np.ones((5, 17))},
                        "confidence is given, and a third channel"),
    "lengths": ({"video_lengths": [2, 2]}, "video_lengths sum to 4; expected 5"),
    "empty video": ({"video_lengths": [0, 5]}, r"video_lengths is 0 at \[0\]; expected 1 or more"),
    "no video": ({"video_lengths": np.zeros(0, int)}, "video_lengths sum to 0"),
    "length": ({"video_lengths": 5}, r"video_lengths has the shape \(\); expected \(1 videos\)"),
    "half frames": ({"video_lengths": [2.5, 2.5]}, r"is 2.5 at \[0\]; expected whole numbers"),
    "endless": ({"video_lengths": [1e300]}, "video_lengths is 1e"),
    "names": ({"video_names": ["a", "b"]}, r"video_names has the shape \(2,\); expected \(1 vid"),
    "same name": ({"video_names": ["a", "a"], "video_lengths": [2, 3]},
                  "video_names has 'a' 2 times; expected unique names"),
    "numbered": ({"video_names": [1]}, "video_names holds int64; expected an array of text"),
    "subjects": ({"subjects": ["a", "b"]},
                 r"subjects has the shape \(2,\); expected \(1 videos\) or \(\) for all"),
    "no width": ({"width": 0}, "width is 0.*; expected 1 or more"),
    "half width": ({"width": 10.5}, "width is 10.5; expected whole numbers"),
    "NaN height": ({"height": np.nan}, "height is nan; expected whole numbers"),
    "standstill": ({"frame_rate": 0}, r"frame_rate is 0 at \[0\]; expected 0.001 or more"),
    "skeleton": ({"skeleton": "smpl_24"}, "skeleton is 'smpl_24'; expected one of human36m_17"),
    "two skeletons": ({"skeleton": ["coco_17", "coco_17"]}, "skeleton has the shape"),
    "layout": ({"keypoint_skeleton": "mpii_16"}, "17, 2.*expected .* 16 keypoints of mpii_16"),
    "space": ({"target_space": "world"}, "target_space is 'world'; expected one of image"),
    "poses": ({"poses_camera_mm": np.ones((5, 15, 3))}, "expected .*17 joints of human36m_17, 3"),
    "pose": ({"poses_camera_mm": nan_at((5, 17, 3), 4, 1)}, r"mm is not finite at \[4, 1, 0"),
    "flags": ({"valid": np.full(5, 2)}, r"valid is 2 at \[0\]; expected booleans"),
    "negative flags": ({"visible": np.full((5, 17), -1)}, "visible is -1"),
    "factor": ({"factor_mm_per_px": np.zeros(5)}, "factor_mm_per_px is 0"),
    "activity": ({"activity": np.full(5, 200)}, r"activity is 200 at \[0\]; expected 0 to 127"),
    "only intrinsics": ({"intrinsics_px": np.ones(4)}, "intrinsics_px is given without poses_cam"),
    "5 intrinsics": ({"intrinsics_px": np.ones(5), "poses_camera_mm": np.ones((5, 17, 3))},
                     r"intrinsics_px has the shape \(5,\); expected .* or \(4,\) for all"),
    "two labels": ({"intrinsics_px": np.ones(4), "poses_camera_mm": np.ones((5, 17, 3)),
                    "poses_image_px": np.ones((5, 17, 3))}, "intrinsics_px is given, and poses_im"),
    "no focal length": ({"intrinsics_px": [0, 0, 1, 1], "poses_camera_mm": np.ones((5, 17, 3))},
                        r"intrinsics_px is 0 at \[0, 0\]"),
    "behind": ({"intrinsics_px": [9, 9, 1, 1], "poses_camera_mm": -np.ones((5, 17, 3))},
               r"poses_camera_mm has the depth -1 at \[0, 0\]; intrinsics_px needs joints in"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line(tmp_path, case):
    arrays, message = WRONG[case]
    path = save(tmp_path / "own.npz", **minimal(**arrays))
    with pytest.raises(InputError, match=message) as caught:
        read_custom(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


POSES = {
    "metres": lambda p: p / 1000,
    "centimetres": lambda p: p / 10,
    "y points up": lambda p: p * [1, -1, 1],
    "x points left": lambda p: p * [-1, 1, 1],
    "world axes": lambda p: p[..., [0, 2, 1]] * [1, 1, -1],
    "axes are exchanged": lambda p: p[..., [1, 0, 2]],
}


@pytest.mark.parametrize("remedy", POSES)
def test_other_units_and_axes_are_refused(tmp_path, remedy):
    made = capture(generate_motion(["A"], seconds=0.5, actions=["walking"]))
    write_custom(made, tmp_path / "own.npz")
    arrays = dict(np.load(tmp_path / "own.npz"))
    for name in ("poses_image_px", "factor_mm_per_px"):
        del arrays[name]
    poses = POSES[remedy](arrays["poses_camera_mm"])
    path = save(tmp_path / "own.npz", **(arrays | {"poses_camera_mm": poses}))
    with pytest.raises(InputError, match=f"own.npz: poses_camera_mm of video .*{remedy}"):
        read_custom(path)
    save(path, **arrays)
    assert read_custom(path).frames == made.frames


def test_what_is_strange_is_said(tmp_path, caplog):
    keypoints = minimal()["keypoints_px"]
    for change, message in (
        ({"confidence": np.full((5, 17), 1.07)}, "85 confidences are up to 1.070"),
        ({"confidence": np.zeros((5, 17))}, "no confidence is above 0"),
        ({"keypoints_px": np.where(np.arange(17)[:, None] < 3, 0, keypoints)}, "lie at (0, 0)"),
        ({"keypoints_px": keypoints - 1000}, "lie outside their images"),
        ({"width": 400, "height": 1200, "keypoints_px": keypoints * [1.2, 0.4]},
         "are width and height exchanged?"),
        ({"keypoints_px": keypoints / 10}, "lie between 0 and 100"),
        ({"frame_rate": 0.02}, "frame_rate is 0.02"),
    ):  # fmt: skip
        caplog.clear()
        dataset = read_custom(save(tmp_path / "own.npz", **minimal(**change)))
        assert message in caplog.text and dataset.confidence.max() <= 1
    caplog.clear()
    read_custom(save(tmp_path / "own.npz", **minimal()))
    assert not caplog.text


OWN = {
    "joint_names": ["hip", "knee", "foot_l", "foot_r"],
    "joint_parents": [-1, 0, 1, 1],
    "joint_pairs": [["foot_l", "foot_r"]],
}


@pytest.mark.parametrize("beside", [False, True])
def test_a_skeleton_of_ones_own(tmp_path, beside):
    arrays = {"keypoints_px": np.ones((5, 4, 2)), "width": 9, "height": 9}
    if beside:
        (tmp_path / "own.skeleton.json").write_text(json.dumps(OWN))
    path = save(tmp_path / "own.npz", **(arrays if beside else arrays | OWN))
    assert [file.name for file in custom_files(path)] == (
        ["own.npz", "own.skeleton.json"] if beside else ["own.npz"]
    )
    dataset = read_custom(path)
    skeleton = dataset.skeleton
    assert dataset.keypoint_skeleton is skeleton and skeleton.name == "own"
    assert skeleton.joint_names == ("hip", "knee", "foot_l", "foot_r")
    assert skeleton.parents == (-1, 0, 1, 1)
    assert skeleton.flip_permutation.tolist() == [0, 1, 3, 2]
    write_custom(dataset, tmp_path / "again.npz")
    assert_same(dataset, read_custom(tmp_path / "again.npz"))


def test_many_videos_of_a_small_file(tmp_path):
    frames = 200_000
    arrays = {"keypoints_px": np.ones((frames, 17, 2), np.uint8), "width": 9, "height": 9,
              "video_lengths": np.ones(frames, np.uint8)}  # fmt: skip
    np.savez_compressed(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match="refused, 200000 videos would take far more memory"):
        read_custom(tmp_path / "own.npz")


@pytest.mark.parametrize("key", ["keypoints_px", "width", "height"])
def test_required_keys(tmp_path, key):
    arrays = minimal()
    del arrays[key]
    with pytest.raises(InputError, match=f"own.npz: no key '{key}'; it has"):
        read_custom(save(tmp_path / "own.npz", **arrays))


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot read .*absent.npz"):
        read_custom(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("keypoints")
    with pytest.raises(InputError, match="text.npz: neither .npz nor .npy"):
        read_custom(tmp_path / "text.npz")


def test_writing_refuses_what_reading_would_refuse(tmp_path):
    made = make_dataset()
    with pytest.raises(InputError, match="own.npz: confidence is 2"):
        loud = dataclasses.replace(made, confidence=2 * made.confidence)
        write_custom(loud, tmp_path / "own.npz")
    with pytest.raises(InputError, match="mine has groups of joints, and is none of human36m_17"):
        other = dataclasses.replace(HUMAN36M_17, name="mine")
        write_custom(dataclasses.replace(made, skeleton=other), tmp_path / "own.npz")
    assert not list(tmp_path.iterdir())


def test_the_example_in_the_config_is_such_a_file(tmp_path, monkeypatch):
    config = pathlib.Path(__file__).parents[3] / "configs" / "custom.py"
    text = ast.get_docstring(ast.parse(config.read_text()))
    start, stop = text.index("    import numpy"), text.index("`jrepose inspect")
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(text[start:stop]), {})
    dataset = read_custom("own.npz")
    assert [video.subject for video in dataset.videos] == ["ada", "ben", "cleo"]
    assert dataset.model_targets().shape == (300, 17, 3)
