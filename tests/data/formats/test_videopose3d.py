"""The files of VideoPose3D: against the official values, and whatever can be wrong with them."""

import copy
import io
import json
import warnings
import zipfile

import numpy as np
import pytest

from jrepose.data.columns import columns_of
from jrepose.data.formats import human36m, humaneva
from jrepose.data.formats.videopose3d import (
    human36m_files,
    humaneva_files,
    read_human36m,
    read_humaneva,
)
from jrepose.data.prepare.human36m import prepare
from jrepose.errors import InputError
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15, MPII_16

METADATA = {
    "h36m": (17, [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]),
    "coco": (17, [1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]),
    "mpii": (16, [3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]),
    "humaneva15": (15, [2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]),
    "humaneva20": (20, [3, 4, 5, 6, 11, 12, 13, 14], [7, 8, 9, 10, 15, 16, 17, 18]),
}


def metadata(layout, named=True):
    joints, left, right = METADATA[layout]
    out = {"num_joints": joints, "keypoints_symmetry": [left, right]}
    return out | ({"layout_name": layout} if named else {})


def motion(frames, joints, seed=0):
    """World positions, metres, of somebody in the middle of the studio."""
    random = np.random.default_rng([frames, joints, seed])
    return (random.uniform(-0.8, 0.8, (frames, joints, 3)) + [0, 0, 0.9]).astype(np.float32)


def pixels(frames, joints, seed=0, channels=2):
    random = np.random.default_rng([frames, joints, seed, channels])
    return random.uniform(0, [640, 640, 1][:channels], (frames, joints, channels)).astype(
        np.float32
    )


def contents(recordings, cameras, joints, layout, extra_frames=0):
    """The entries of both files for subject -> action -> frames."""
    keypoints = METADATA[layout][0]
    positions_3d = {
        subject: {action: motion(frames, joints) for action, frames in actions.items()}
        for subject, actions in recordings.items()
    }
    positions_2d = {
        subject: {
            action: [pixels(frames + extra_frames, keypoints, c) for c in range(cameras)]
            for action, frames in actions.items()
        }
        for subject, actions in recordings.items()
    }
    return (
        {"positions_3d": positions_3d},
        {"positions_2d": positions_2d, "metadata": metadata(layout)},
    )


def human36m_contents(layout="h36m", joints=32, **options):
    recordings = {"S9": {"Walking 1": 4, "Directions": 3}, "S1": {"Photo": 2}}
    return contents(recordings, 4, joints, layout, **options)


def humaneva_contents(layout="humaneva15"):
    recordings = {
        "Validate/S1": {"Walking 1 chunk0": 3, "Walking 1 chunk2": 2},
        "Train/S3": {"Box 1 chunk0": 4},
    }
    return contents(recordings, 3, 15, layout)


def write(folder, contents, stem="h36m", detections="gt"):
    names = (f"data_3d_{stem}.npz", f"data_2d_{stem}_{detections}.npz")
    for name, entries in zip(names, contents, strict=True):
        np.savez(folder / name, **{key: boxed(value) for key, value in entries.items()})
    return folder


def boxed(value):
    """An object array without dimensions, which is what NumPy saves a dictionary as."""
    box = np.empty((), object)
    box[()] = value
    return box


def test_the_corrupt_recording_is_left_out(tmp_path):
    recordings = {"S11": {"Directions": 3, "Directions 1": 2}, "S9": {"Directions": 1}}
    write(tmp_path, contents(recordings, 4, 32, "h36m"))
    names = {video.name.rpartition("/")[0] for video in read_human36m(tmp_path).videos}
    assert names == {"S11/Directions 1", "S9/Directions"}


@pytest.mark.parametrize("scale", [50, 0.001])
def test_other_units_are_refused(tmp_path, scale):
    poses, keypoints = human36m_contents()
    for actions in poses["positions_3d"].values():
        for action in actions:
            actions[action] = actions[action] * scale
    with pytest.raises(InputError, match="data_3d_h36m.npz: positions_3d.*no human's"):
        read_human36m(write(tmp_path, (poses, keypoints)))


def test_normalised_keypoints_are_refused(tmp_path):
    poses, keypoints = human36m_contents()
    for actions in keypoints["positions_2d"].values():
        for views in actions.values():
            views[:] = [view / 1000 for view in views]
    with pytest.raises(InputError, match="data_2d_h36m_gt.npz: positions_2d .*expected pixels"):
        read_human36m(write(tmp_path, (poses, keypoints)))


def test_videos_come_by_subject_then_action_of_the_2d_file_then_camera(tmp_path):
    poses, keypoints = human36m_contents()
    # The 2D file's order of actions counts, not the 3D file's.
    s9 = keypoints["positions_2d"]["S9"]
    keypoints["positions_2d"]["S9"] = {name: s9[name] for name in ("Directions", "Walking 1")}
    dataset = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    names = [video.name for video in dataset.videos]
    assert names == [
        f"{recording}/{camera}"
        for recording in ("S1/Photo", "S9/Directions", "S9/Walking 1")
        for camera in ("54138969", "55011271", "58860488", "60457274")
    ]
    last = dataset.videos[-1]
    assert (last.subject, last.action, last.camera) == ("S9", "Walking", "60457274")
    assert (last.width, last.height, last.frame_rate) == (1000, 1002, 50.0)
    assert last.intrinsics == tuple(human36m.cameras("S9")[3].intrinsics_screen.tolist())
    assert [video.height for video in dataset.videos[:4]] == [1002, 1000, 1000, 1002]
    assert dataset.frames == 4 * (2 + 3 + 4) and last.start == dataset.frames - 4
    assert dataset.skeleton is dataset.keypoint_skeleton is HUMAN36M_17
    assert dataset.target_space == "camera_m" and dataset.poses_image_px is None
    assert dataset.valid.all() and dataset.visible.all() and (dataset.confidence == 1).all()
    np.testing.assert_array_equal(
        dataset.keypoints_px[last.start :], keypoints["positions_2d"]["S9"]["Walking 1"][3]
    )


@pytest.mark.parametrize("index", [0, 1])
def test_official_poses_and_inputs(golden, tmp_path, index):
    arrays, config = golden("camera")
    which = config["cameras"][index]
    subject, number = which["subject"], which["camera_index"]
    world = arrays[f"input/{index}/world_points"]
    screen = arrays[f"input/{index}/pixels"]
    frames = min(world.shape[1], len(screen))
    recording = {f"Walking {trial}": world[trial, :frames] for trial in range(len(world))}
    write(
        tmp_path,
        (
            {"positions_3d": {subject: recording}},
            {
                "positions_2d": {subject: {name: [screen[:frames]] * 4 for name in recording}},
                "metadata": metadata("h36m"),
            },
        ),
    )
    dataset = read_human36m(tmp_path, "gt")
    official = arrays[f"output/{index}/root_relative_with_trajectory"][:, :frames]
    inputs = arrays[f"output/{index}/normalize_screen_coordinates_float32"][:frames]
    for trial in range(len(world)):
        video = dataset.videos[4 * trial + number]
        assert (video.width, video.height) == (which["width"], which["height"])
        rows = slice(video.start, video.stop)
        # Joint 0 keeps its place in front of the camera, the others are relative to it.
        targets = dataset.model_targets()[rows]
        np.testing.assert_allclose(targets[:, 1:], official[trial, :, 1:], rtol=0, atol=2e-6)
        assert (targets[:, 0] == 0).all()
        np.testing.assert_allclose(
            dataset.poses_camera_mm[rows, 0], official[trial, :, 0] * 1000, rtol=0, atol=2e-3
        )
        np.testing.assert_array_equal(dataset.model_inputs()[rows, :, :2], inputs)


def test_seventeen_of_thirty_two_joints_are_taken(tmp_path):
    poses, keypoints = human36m_contents(joints=32)
    full = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    for actions in poses["positions_3d"].values():
        for action in actions:
            actions[action] = actions[action][:, human36m.JOINTS_17]
    reduced = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    assert full.fingerprint() == reduced.fingerprint()
    # A camera moves nobody's limbs apart.
    video = full.videos[-1]
    world = poses["positions_3d"]["S9"]["Directions"].astype(np.float64) * 1000
    inside = full.poses_camera_mm[video.start : video.stop].astype(np.float64)
    for pose in (world, inside):
        pose -= pose[:, :1]
    np.testing.assert_allclose(
        np.linalg.norm(inside, axis=-1), np.linalg.norm(world, axis=-1), atol=2e-2
    )


def test_keypoints_that_go_on_are_cut(tmp_path):
    contents = human36m_contents(extra_frames=2)
    keypoints = contents[1]["positions_2d"]["S9"]["Walking 1"]
    keypoints[2] = keypoints[2][:4]  # the cameras need not agree
    dataset = read_human36m(write(tmp_path, contents), "gt")
    assert dataset.frames == 4 * (2 + 4 + 3)
    video = next(v for v in dataset.videos if v.name == "S9/Walking 1/55011271")
    np.testing.assert_array_equal(dataset.keypoints_px[video.start : video.stop], keypoints[1][:4])


def test_a_third_channel_is_the_confidence(tmp_path):
    poses, keypoints = human36m_contents()
    scored = pixels(2, 17, channels=3)
    keypoints["positions_2d"]["S1"]["Photo"][1] = scored
    dataset = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    np.testing.assert_array_equal(dataset.confidence[2:4], scored[..., 2])
    np.testing.assert_array_equal(dataset.keypoints_px[2:4], scored[..., :2])
    assert (dataset.confidence[:2] == 1).all() and (dataset.confidence[4:] == 1).all()


def kernels(frames, joints, count, seed=0):
    """DiffPose's: weights, places in pixels, scales."""
    random = np.random.default_rng([frames, count, seed])
    out = random.uniform(0.1, 1, (frames, joints, count, 5))
    out[..., 0] /= out[..., 0].sum(-1, keepdims=True)
    out[..., 1:3] *= 600
    return out.astype(np.float32)


def kernel_contents():
    poses, keypoints = human36m_contents()
    for actions in keypoints["positions_2d"].values():
        for action, views in actions.items():
            count = 2 if action == "Photo" else 3
            actions[action] = [kernels(len(view), 17, count, c) for c, view in enumerate(views)]
    del keypoints["metadata"]
    return poses, keypoints


def test_kernels_are_read_and_the_heaviest_is_the_keypoint(tmp_path):
    poses, keypoints = kernel_contents()
    dataset = read_human36m(write(tmp_path, (poses, keypoints), detections="gt_gmm"), "gt_gmm")
    assert dataset.keypoint_skeleton == HUMAN36M_17 and dataset.kernels.shape[1:] == (17, 3, 5)
    photo = keypoints["positions_2d"]["S1"]["Photo"][1]
    np.testing.assert_array_equal(dataset.kernels[2:4, :, :2], photo)
    assert not dataset.kernels[2:4, :, 2].any()  # this video has two
    for joint, places in enumerate(photo[1]):
        heaviest = places[places[:, 0].argmax(), 1:3]
        np.testing.assert_array_equal(dataset.keypoints_px[3, joint], heaviest)
    assert (dataset.confidence == 1).all()
    seen = dataset.model_kernels()
    chosen = dataset.kernels[3, 5, :, 0].argmax()
    np.testing.assert_array_equal(seen[3, 5, chosen, 1:3], dataset.model_inputs()[3, 5, :2])
    np.testing.assert_array_equal(seen[..., 3:], dataset.kernels[..., 3:])  # as they are stored
    mirrored = columns_of(dataset, ["kernels"])["kernels"].mirror(seen[3:4])[0]
    left, right = HUMAN36M_17.left[0], HUMAN36M_17.right[0]
    np.testing.assert_array_equal(mirrored[left], seen[3, right] * [1, -1, 1, 1, 1])
    assert dataset.select(dataset.videos[1:2]).kernels.shape[0] == dataset.videos[1].frames


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda view: view[..., 0],
            r"expected .* 17, 1 or more kernels, 5\], found float32 \[4, 17",
        ),
        (lambda view: view[:, :, :0], "expected numbers"),
        (lambda view: view * [-1, 1, 1, 1, 1], "frame 0 has kernels of which a weight or a scale"),
        (lambda view: view * [0, 1, 1, 1, 1], "no weight is positive"),
        (lambda view: view * [1, 1, 1, 1, np.nan], "frame 0 of 4 holds values that are not finite"),
    ],
)
def test_kernels_that_cannot_be(tmp_path, spoil, message):
    poses, keypoints = kernel_contents()
    views = s9(keypoints)["Walking 1"]
    views[2] = spoil(views[2]).astype(np.float32)
    write(tmp_path, (poses, keypoints), detections="gt_gmm")
    with pytest.raises(InputError, match=f"gt_gmm.npz: positions_2d, S9 'Walking 1'.*{message}"):
        read_human36m(tmp_path, "gt_gmm")


def test_numbers_of_any_kind_and_order_are_read(tmp_path):
    poses, keypoints = human36m_contents(joints=17)
    plain = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    s1_3d, s1_2d = poses["positions_3d"]["S1"], keypoints["positions_2d"]["S1"]
    s1_3d["Photo"] = np.asfortranarray(s1_3d["Photo"].astype(">f8"))
    s1_2d["Photo"] = np.stack(s1_2d["Photo"])  # one array for all cameras
    keypoints["metadata"]["keypoints_symmetry"] = np.array(METADATA["h36m"][1:])
    keypoints["metadata"]["num_joints"] = np.int64(17)
    assert read_human36m(write(tmp_path, (poses, keypoints)), "gt").fingerprint() == (
        plain.fingerprint()
    )


def test_image_labels_are_the_undistorted_projection(tmp_path):
    write(tmp_path, human36m_contents())
    dataset = read_human36m(tmp_path, "gt", image_labels=True)
    label, factor = dataset.poses_image_px, dataset.factor_mm_per_px
    for video in dataset.videos:
        camera = next(c for c in human36m.cameras(video.subject) if c.name == video.camera)
        rows = slice(video.start, video.stop)
        x, y, z = np.moveaxis(dataset.poses_camera_mm[rows].astype(np.float64), -1, 0)
        (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px
        np.testing.assert_allclose(label[rows, :, 0], fx * x / z + cx, rtol=1e-5)
        np.testing.assert_allclose(label[rows, :, 1], fy * y / z + cy, rtol=1e-5)
        np.testing.assert_allclose(factor[rows], z[:, 0] / fx, rtol=1e-6)
        depth = label[rows, :, 2] * factor[rows, None]
        np.testing.assert_allclose(depth, z - z[:, :1], rtol=0, atol=2e-3)
    assert dataset.target_space == "camera_m"  # the label is there for who asks for it
    plain = read_human36m(tmp_path, "gt")
    np.testing.assert_array_equal(plain.poses_camera_mm, dataset.poses_camera_mm)


def test_no_image_label_behind_a_camera(tmp_path):
    poses, keypoints = human36m_contents(joints=17)
    poses["positions_3d"]["S9"]["Walking 1"][2, 5] = [2.5, 6.5, 1.5]  # beyond camera 54138969
    write(tmp_path, (poses, keypoints))
    assert read_human36m(tmp_path, "gt").frames == 36
    with pytest.raises(InputError, match="S9 'Walking 1': frame 2 is not in front of camera 541"):
        read_human36m(tmp_path, "gt", image_labels=True)


@pytest.mark.parametrize(
    "layout, skeleton", [("coco", COCO_17), ("mpii", MPII_16), ("humaneva15", HUMANEVA_15)]
)
@pytest.mark.parametrize("named", [True, False])
def test_keypoints_have_their_own_layout(tmp_path, layout, skeleton, named):
    poses, keypoints = human36m_contents(layout)
    keypoints["metadata"] = metadata(layout, named)
    dataset = read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    assert dataset.skeleton is HUMAN36M_17
    assert dataset.keypoint_skeleton.joint_names == skeleton.joint_names
    assert dataset.model_inputs().shape == (dataset.frames, METADATA[layout][0], 3)
    assert dataset.model_targets().shape == (dataset.frames, 17, 3)


def test_left_and_right_pair_up_as_the_file_lists_them(tmp_path):
    layout = read_human36m(write(tmp_path, human36m_contents("mpii")), "gt").keypoint_skeleton
    mirror = {
        layout.joint_names[a]: layout.joint_names[b] for a, b in enumerate(layout.flip_permutation)
    }
    # What the published code does, and published models have learned.
    assert mirror["left_hip"] == "right_ankle" and mirror["left_shoulder"] == "right_wrist"
    assert mirror["left_knee"] == "right_knee" and mirror["pelvis"] == "pelvis"
    assert layout.name != MPII_16.name
    # The other layouts' lists pair the same joints of both sides.
    for name, skeleton in (("h36m", HUMAN36M_17), ("coco", COCO_17)):
        dataset = read_human36m(write(tmp_path, human36m_contents(name)), "gt")
        assert dataset.keypoint_skeleton is skeleton


def test_what_has_no_poses_is_left_out(tmp_path):
    poses, keypoints = human36m_contents()
    write(tmp_path, (poses, keypoints))
    plain = read_human36m(tmp_path, "gt").fingerprint()
    keypoints["positions_2d"]["S2"] = {"Walking": [pixels(3, 17) for _ in range(4)]}
    write(tmp_path, (poses, keypoints), detections="cpn")
    assert read_human36m(tmp_path, "cpn").fingerprint() == plain


def test_humaneva(tmp_path):
    poses, keypoints = humaneva_contents("coco")
    unlabelled = {"Walking 1 chunk1": [pixels(3, 17)] * 3}
    keypoints["positions_2d"] |= {"Unlabeled/Train/S3": unlabelled, "Unlabeled/S4": unlabelled}
    write(tmp_path, (poses, keypoints), "humaneva15", "detectron_pt_coco")
    dataset = read_humaneva(tmp_path, "detectron_pt_coco")
    assert dataset.videos[0].intrinsics is None
    assert [video.name for video in dataset.videos] == [
        f"{recording}/{camera}"
        for recording in (
            "Train/S3/Box 1 chunk0",
            "Validate/S1/Walking 1 chunk0",
            "Validate/S1/Walking 1 chunk2",
        )
        for camera in ("C1", "C2", "C3")
    ]
    first, last = dataset.videos[0], dataset.videos[-1]
    assert (first.subject, first.action, last.subject, last.action) == (
        "Train/S3", "Box", "Validate/S1", "Walking"
    )  # fmt: skip
    assert (last.width, last.height, last.frame_rate) == (640, 480, 60.0)
    assert dataset.skeleton is HUMANEVA_15 and dataset.keypoint_skeleton is COCO_17
    assert dataset.target_space == "camera_m" and dataset.poses_image_px is None
    # The second camera stands where the calibration says: there its own centre has no depth.
    camera = humaneva.cameras("Train/S3")[1]
    poses["positions_3d"]["Train/S3"]["Box 1 chunk0"][0, 0] = np.array(camera.translation_mm) / 1000
    write(tmp_path, (poses, keypoints), "humaneva15", "detectron_pt_coco")
    moved = read_humaneva(tmp_path, "detectron_pt_coco")
    np.testing.assert_allclose(moved.poses_camera_mm[4, 0], 0, atol=1e-2)
    assert np.linalg.norm(moved.poses_camera_mm[0, 0]) > 1000


def test_humaneva_cameras_are_the_published_ones(shared_dir):
    reference = json.loads((shared_dir / "reference" / "humaneva_cameras.json").read_text())
    for subject in humaneva.SUBJECTS:
        cameras = humaneva.cameras(subject)
        placements = reference["extrinsics"][subject.split("/")[1]]
        for camera, image, placement in zip(cameras, reference["cameras"], placements, strict=True):
            assert camera.name == image["id"]
            assert (camera.width, camera.height) == (image["width_px"], image["height_px"])
            assert camera.orientation_wxyz == tuple(placement["orientation_wxyz"])
            assert camera.translation_mm == tuple(placement["translation_mm"])
    assert humaneva.FRAME_RATE == reference["fps"]


@pytest.mark.parametrize("subject", humaneva.SUBJECTS)
def test_humaneva_cameras_look_at_the_middle(subject):
    for camera in humaneva.cameras(subject):
        w, *vector = camera.orientation_wxyz
        assert abs(w**2 + np.dot(vector, vector) - 1) < 1e-5
        axis = np.array([0.0, 0.0, 1.0])  # of the camera, in the world:
        axis = axis + 2 * (w * np.cross(vector, axis) + np.cross(vector, np.cross(vector, axis)))
        towards = np.array([0.0, 0.0, 900.0]) - camera.translation_mm
        assert axis @ towards / np.linalg.norm(towards) > 0.97
    for unknown in ("S1", "Validate/S4", "Unlabeled/S1"):
        with pytest.raises(InputError, match="no camera calibration"):
            humaneva.cameras(unknown)


def test_what_our_converter_writes_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    recordings = tmp_path / "S9" / "MyPoses" / "3D_positions"
    recordings.mkdir(parents=True)
    poses = motion(5, 32)
    with h5py.File(recordings / "TakingPhoto 1.h5", "w") as file:
        file["3D_positions"] = 1000 * poses.reshape(5, -1).T.astype(np.float64)
    prepare(tmp_path, tmp_path / "out", allow_missing=True)
    dataset = read_human36m(tmp_path / "out", "gt")
    assert [video.action for video in dataset.videos] == ["Photo"] * 4
    for video, camera in zip(dataset.videos, human36m.cameras("S9"), strict=True):
        rows = slice(video.start, video.stop)
        seen = camera.project(dataset.poses_camera_mm[rows].astype(np.float64))
        np.testing.assert_allclose(dataset.keypoints_px[rows], seen, rtol=0, atol=1e-2)
        world = camera.to_world(dataset.poses_camera_mm[rows].astype(np.float64)) / 1000
        np.testing.assert_allclose(world, poses[:, human36m.JOINTS_17], rtol=0, atol=1e-5)


# ---- what can be wrong ------------------------------------------------------------------------


def test_missing_files_are_named_with_what_is_there(tmp_path):
    with pytest.raises(InputError, match="absent: no such folder; expected one with data_3d_h36m"):
        read_human36m(tmp_path / "absent", "gt")
    with pytest.raises(InputError, match=r"data_3d_h36m.npz: no such file; the folder has no data"):
        read_human36m(tmp_path, "gt")
    write(tmp_path, human36m_contents(), detections="cpn_ft_h36m_dbb")
    with pytest.raises(InputError, match="2d_h36m_gt.npz: no such.* has data_2d_h36m_cpn_ft_h36m_"):
        read_human36m(tmp_path, "gt")
    assert [path.name for path in human36m_files(tmp_path, "cpn_ft_h36m_dbb")] == [
        "data_3d_h36m.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    ]  # fmt: skip
    write(tmp_path, humaneva_contents(), "humaneva20")
    with pytest.raises(
        InputError, match="3d_humaneva15.npz: no such.*20-joint skeleton is not sup"
    ):
        humaneva_files(tmp_path, "gt")


def s9(entry):
    return entry["positions_3d" if "positions_3d" in entry else "positions_2d"]["S9"]


def put(container, key, value):
    container[key] = value


WRONG = {
    "no entry": (lambda p, k: p.pop("positions_3d"), "data_3d_h36m.npz: no entry positions_3d"),
    "no metadata": (lambda p, k: k.pop("metadata"), "no entry metadata; it has 'positions_2d'"),
    "no mapping": (
        lambda p, k: put(p, "positions_3d", np.zeros((3, 32, 3))),
        "positions_3d is of type ndarray; expected a dictionary",
    ),
    "nobody": (lambda p, k: p["positions_3d"].clear(), "positions_3d is empty"),
    "number as a name": (lambda p, k: put(s9(p), 3, motion(3, 32)), "S9 has the key 3"),
    "no actions": (lambda p, k: s9(k).clear(), "2d_h36m_gt.npz: positions_2d, S9 is empty"),
    "unknown subject": (
        lambda p, k: put(p["positions_3d"], "S2", {"Walking": motion(3, 32)}),
        "positions_3d has subject 'S2'; expected S1, S5",
    ),
    "subject without keypoints": (
        lambda p, k: k["positions_2d"].pop("S1"),
        "positions_2d has no subject S1; expected those of .*data_3d_h36m.npz",
    ),
    "action without keypoints": (
        lambda p, k: s9(k).pop("Directions"),
        "gt.npz: positions_2d, S9 has no 'Directions'; expected the actions of .*3d_h36m.npz",
    ),
    "action without poses": (
        lambda p, k: s9(p).pop("Directions"),
        "3d_h36m.npz: positions_3d, S9 has no 'Directions'; expected the actions of .*gt.npz",
    ),
    "too few cameras": (
        lambda p, k: s9(k)["Walking 1"].pop(),
        "S9 'Walking 1': expected arrays of 4 cameras, found 3",
    ),
    "one array for a list": (
        lambda p, k: put(s9(k), "Walking 1", np.float64(1)),
        "S9 'Walking 1': expected arrays of 4 cameras, found float",
    ),
    "a camera without detections": (
        lambda p, k: put(s9(k)["Walking 1"], 2, None),
        r"'Walking 1', camera 58860488: expected numbers \[1 or more frames, 17, 2 or 3\], found N",
    ),
    "too few joints": (
        lambda p, k: put(s9(p), "Walking 1", motion(4, 15)),
        r"S9 'Walking 1': expected .* 32 or 17, 3\], found float32 \[4, 15, 3\]",
    ),
    "too few keypoints": (
        lambda p, k: put(s9(k)["Walking 1"], 0, pixels(4, 16)),
        r"camera 54138969: expected .* 17, 2 or 3\], found float32 \[4, 16, 2\]",
    ),
    "words for numbers": (
        lambda p, k: put(s9(p), "Walking 1", np.full((4, 32, 3), "x")),
        "S9 'Walking 1': expected numbers",
    ),
    "no frames": (
        lambda p, k: put(s9(p), "Directions", motion(0, 32)),
        r"S9 'Directions': expected numbers \[1 or more frames.* found float32 \[0, 32, 3\]",
    ),
    "too few frames": (
        lambda p, k: put(s9(k)["Walking 1"], 1, pixels(3, 17)),
        "gt.npz: positions_2d, S9 'Walking 1', camera 55011271 has 3 frames; expected at least 4",
    ),
    "no number in poses": (
        lambda p, k: put(s9(p)["Walking 1"], (2, 3, 1), np.nan),
        "3d_h36m.npz: positions_3d, S9 'Walking 1': frame 2 of 4 holds values that are not finite",
    ),
    "infinite keypoints": (
        lambda p, k: put(s9(k)["Directions"][3], (1, 0, 0), -np.inf),
        "S9 'Directions', camera 60457274: frame 1 of 3 holds values that are not finite",
    ),
    "too large for float32": (
        lambda p, k: put(s9(k)["Directions"], 3, np.full((3, 17, 2), 1e200)),
        "S9 'Directions', camera 60457274: frame 0 of 3 holds values that are not finite",
    ),
    "millimetres": (
        lambda p, k: put(s9(p), "Walking 1", 1000 * motion(4, 32)),
        "S9 'Walking 1': coordinates up to .*; expected metres",
    ),
    "twenty joints": (
        lambda p, k: put(k, "metadata", metadata("humaneva20")),
        "metadata: unknown layout, layout_name 'humaneva20', num_joints 20.*known: h36m .17., coco",
    ),
    "a layout by another's name": (
        lambda p, k: put(k["metadata"], "layout_name", "coco"),
        "metadata: unknown layout, layout_name 'coco', num_joints 17",
    ),
    "no symmetry": (
        lambda p, k: k["metadata"].pop("keypoints_symmetry"),
        "gt.npz: metadata: expected num_joints, a number, keypoints_symmetry, lists",
    ),
    "a number without end": (
        lambda p, k: put(k["metadata"], "num_joints", 10**6000),
        "metadata: expected num_joints",
    ),
    "joints that are none": (
        lambda p, k: put(k["metadata"], "keypoints_symmetry", [[4, 10**6000], [1, 2]]),
        "metadata: expected num_joints",
    ),
    "half a symmetry": (
        lambda p, k: put(k["metadata"], "keypoints_symmetry", [[4, 5, 6]]),
        "metadata: expected num_joints",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_in_one_line(tmp_path, case):
    spoil, message = WRONG[case]
    poses, keypoints = human36m_contents()
    spoil(poses, keypoints)
    with pytest.raises(InputError, match=message) as caught:
        read_human36m(write(tmp_path, (poses, keypoints)), "gt")
    assert "\n" not in str(caught.value)


def test_values_after_the_poses_do_not_matter(tmp_path):
    poses, keypoints = human36m_contents(extra_frames=3)
    s9(keypoints)["Walking 1"][0][5:] = np.nan
    assert read_human36m(write(tmp_path, (poses, keypoints)), "gt").frames == 36


# ---- fuzz -------------------------------------------------------------------------------------

JUNK = (
    None, True, -1, 10**30, 10**6000, [[1, 10**6000], [2]], 1e308, float("nan"), "", b"\0", [], (),
    "S9\nWalking", {}, [None] * 4,
    {"Walking 1": None}, {3: 4}, [[[]]], np.float32(3), np.zeros(0), np.zeros((4, 32, 3), "S3"),
    np.zeros((4, 32, 3), complex), np.zeros((4, 17, 2), object), np.zeros((4, 17, 9)),
    np.zeros((4, 3, 17)), np.full((4, 17, 3), np.nan), np.zeros((4, 17, 2), bool),
    np.zeros((2, 17, 2), np.int64), np.full((4, 32, 3), 10**9), np.zeros((0, 17, 2)),
    np.full((4, 17, 2), np.finfo(np.float64).max), np.zeros((4, 16, 2)), np.zeros((4, 32, 3)),
    np.zeros((1, 1, 1, 1)), np.array("x"), np.array(["mpii"]),
)  # fmt: skip


DEFORMED = (
    lambda a: a[:-1], lambda a: np.concatenate([a, a]), lambda a: a[::-1], lambda a: a.T,
    lambda a: a[:, :-1], lambda a: a[..., :1], lambda a: a.astype(">f8"), lambda a: a * 1e4,
    lambda a: a.astype(np.int16), lambda a: a.astype(object), lambda a: a.tolist(), lambda a: -a,
    lambda a: np.where(a > 0.5, np.nan, a), lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    lambda a: np.asfortranarray(a), lambda a: a[0], lambda a: a.astype(np.float16),
)  # fmt: skip


def places(value):
    """Every (container, key) below a value, lists of numbers taken whole."""
    if isinstance(value, dict | list) and not all(type(item) is int for item in value):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def spoil_structure(contents, random):
    """Deforms, replaces, removes or adds a few things anywhere in the two files."""
    contents = copy.deepcopy(contents)
    for _ in range(random.integers(1, 3)):
        found = [place for entries in contents for place in places(entries)]
        container, key = found[random.integers(len(found))]
        junk = copy.deepcopy(JUNK[random.integers(len(JUNK))])
        kind = random.integers(6)
        value = container[key]
        if (
            kind < 3
            and isinstance(value, np.ndarray)
            and (value.ndim, value.dtype.kind) == (3, "f")
        ):
            container[key] = DEFORMED[random.integers(len(DEFORMED))](value)
        elif kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            inside = all(container is not entries for entries in contents)
            usable = inside and isinstance(junk, str | int | bytes)
            container[junk if usable else "new"] = container[key]
        else:
            container[key] = junk
    return contents


def spoil_bytes(data, random):
    data = bytearray(data)
    kind = random.integers(3)
    if kind == 0:
        return data[: random.integers(len(data))]
    for _ in range(random.integers(1, 8)):
        at = random.integers(len(data))
        if kind == 1:
            data[at] = random.integers(256)
        else:
            del data[at : at + random.integers(1, 30)]
    return data


def outcome(read):
    """True if it reads, False if it says in one line why not; anything else goes through."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            dataset = read()
        except InputError as error:
            assert "\n" not in str(error) and "data_" in str(error) and len(str(error)) < 1500
            return False
    assert np.isfinite(dataset.model_inputs()).all() and np.isfinite(dataset.model_targets()).all()
    return True


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_contents_are_read_or_refused(tmp_path, seed):
    outcomes = []
    for number in range(60):
        random = np.random.default_rng([seed, number])
        if number % 2:
            write(tmp_path, spoil_structure(human36m_contents(), random))
            outcomes.append(outcome(lambda: read_human36m(tmp_path, "gt", image_labels=True)))
        else:
            write(tmp_path, spoil_structure(humaneva_contents(), random), "humaneva15")
            outcomes.append(outcome(lambda: read_humaneva(tmp_path, "gt")))
    assert 0 < sum(outcomes) < len(outcomes) / 2


def archive(entries, spoil=bytes):
    """The bytes of an .npz, its entries spoilt before they are packed: the check sums are right."""
    with io.BytesIO() as packed, io.BytesIO() as spoilt:
        np.savez(packed, **entries)
        with zipfile.ZipFile(packed) as source, zipfile.ZipFile(spoilt, "w") as target:
            for name in source.namelist():
                target.writestr(name, bytes(spoil(source.read(name))))
        return spoilt.getvalue()


@pytest.mark.parametrize("inside", [True, False])
def test_spoilt_bytes_are_read_or_refused(tmp_path, inside):
    names = ("data_3d_h36m.npz", "data_2d_h36m_gt.npz")
    contents = human36m_contents()
    outcomes = []
    for number in range(80):
        random = np.random.default_rng([inside, number])
        for name, entries in zip(names, contents, strict=True):
            (tmp_path / name).write_bytes(archive(entries))
        which = number % 2
        spoilt = (
            archive(contents[which], lambda data: spoil_bytes(data, random))  # noqa: B023
            if inside
            else spoil_bytes(archive(contents[which]), random)
        )
        (tmp_path / names[which]).write_bytes(spoilt)
        outcomes.append(outcome(lambda: read_human36m(tmp_path, "gt")))
    assert sum(outcomes) < len(outcomes) / 2
