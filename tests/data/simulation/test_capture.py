"""Filming recordings: labels, round trips, determinism."""

import dataclasses
import os

import numpy as np
import pytest
from ml_collections import ConfigDict

from jrepose.camera import Camera, project_to_2d
from jrepose.data.labels import image_labels
from jrepose.data.simulation import capture as filming
from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.detector import DetectorConfig
from jrepose.data.simulation.procedural import generate_motion
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.errors import InputError

ROOT = 0


@pytest.fixture(scope="module")
def recordings():
    return generate_motion(["ann", "bob"], seconds=3.0, actions=["walking", "sitting"])


@pytest.fixture(scope="module")
def dataset(recordings):
    return capture(recordings, seed=5)


@pytest.fixture(scope="module")
def exact(recordings):
    return capture(recordings, detector=DetectorConfig.perfect(), seed=5)


def test_videos_are_recordings_times_cameras(recordings, dataset):
    assert [video.name for video in dataset.videos] == [
        f"{recording.name}/camera_{k}" for recording in recordings for k in range(4)
    ]
    assert dataset.frames == 4 * sum(recording.frames for recording in recordings)
    video = dataset.videos[5]
    recording = recordings[1]
    assert (video.subject, video.action, video.camera) == ("ann", "sitting", "camera_1")
    assert (video.width, video.height, video.frame_rate) == (1000, 1000, 50.0)
    assert video.frames == recording.frames


def test_processes_film_the_same(recordings, dataset):
    shared = capture(recordings, seed=5, processes=2)
    assert shared.fingerprint() == dataset.fingerprint()


def die(recording, **_):
    os._exit(1)


def test_a_process_that_dies_is_one_line(recordings, monkeypatch):
    monkeypatch.setattr(filming, "_film_recording", die)
    with pytest.raises(InputError, match="one of 2 processes has died"):
        capture(recordings, processes=2)


def test_camera_poses_are_the_world_poses_seen_from_the_rig(recordings, dataset):
    for k, recording in enumerate(recordings):
        for c, camera in enumerate(place_cameras(recording, RigConfig(), 5)):
            video = dataset.videos[4 * k + c]
            poses = dataset.poses_camera_mm[video.start : video.stop]
            world = camera.to_world(poses.astype(np.float64))
            np.testing.assert_allclose(world, recording.positions_mm, atol=2e-3)


def test_label_is_the_weak_perspective_pose(dataset):
    """label * factor is the camera pose around the root, but for perspective in x and y."""
    label = dataset.poses_image_px.astype(np.float64)
    pose = dataset.poses_camera_mm.astype(np.float64)
    factor = dataset.factor_mm_per_px.astype(np.float64)[:, None, None]
    np.testing.assert_allclose(factor[:, 0, 0], pose[:, ROOT, 2] / 1145, rtol=1e-6)

    relative = (label - label[:, [ROOT]]) * factor
    truth = pose - pose[:, [ROOT]]
    np.testing.assert_allclose(relative[..., 2], truth[..., 2], atol=2e-2)
    # In x and y perspective magnifies each joint by Z_root / Z, exactly.
    magnified = pose[..., :2] * (pose[:, [ROOT], 2:] / pose[..., 2:])
    np.testing.assert_allclose(relative[..., :2], magnified - magnified[:, [ROOT]], atol=2e-2)
    # At Human3.6M's distances that stays a small correction.
    assert np.linalg.norm(relative - truth, axis=-1).mean() < 60


@pytest.mark.parametrize("scaling", ["screen", "person"])
def test_to_mm_inverts_model_targets(dataset, scaling):
    dataset = dataclasses.replace(dataset, scaling=scaling)
    mm = dataset.to_mm(dataset.model_targets(), np.arange(dataset.frames))
    expected = dataset.poses_image_px * dataset.factor_mm_per_px[:, None, None]
    np.testing.assert_allclose(mm, expected, atol=5e-2)


def test_inputs_and_targets_are_scaled_alike(exact):
    exact = dataclasses.replace(exact, scaling="person")
    inputs, targets = exact.model_inputs(), exact.model_targets()
    np.testing.assert_allclose(inputs[..., :2], targets[..., :2], atol=1e-4)
    # Wherever somebody walks, the middle stays near 0, and a metre near 1.
    assert np.abs(inputs[..., :2].mean(1)).max() < 0.4
    assert 0.3 < inputs[..., 1].std() < 0.7


def test_depth_references(recordings):
    exact = DetectorConfig.perfect()
    frame = capture(recordings[:1], detector=exact, depth_reference="frame_root")
    video = capture(recordings[:1], detector=exact, depth_reference="video_root")
    np.testing.assert_array_equal(frame.poses_image_px[:, ROOT, 2], 0)
    np.testing.assert_array_equal(frame.poses_image_px[..., :2], video.poses_image_px[..., :2])
    for v in video.videos:
        depth = video.poses_image_px[v.start : v.stop, :, 2].astype(np.float64)
        factor = video.factor_mm_per_px[v.start : v.stop, None].astype(np.float64)
        z = video.poses_camera_mm[v.start : v.stop, :, 2].astype(np.float64)
        np.testing.assert_allclose(depth * factor, z - z[0, ROOT], atol=2e-2)
        assert np.ptp(depth[:, ROOT]) > 1
    # The two differ by the root's depth alone.
    difference = video.poses_image_px[..., 2] - frame.poses_image_px[..., 2]
    np.testing.assert_allclose(difference, difference[:, [ROOT]].repeat(17, 1), atol=2e-3)


def test_label_by_hand():
    camera = Camera(
        "c", 1000, 1000, (1000.0, 1000.0), (500.0, 500.0), (1.0,) + 3 * (0.0,), 3 * (0.0,)
    )
    pose = np.zeros((1, 17, 3))
    pose[0] = (0, 0, 4000)
    pose[0, 1] = (100, -200, 4400)
    label, factor = image_labels(pose, camera, root=0)
    assert factor[0] == 4.0
    np.testing.assert_allclose(label[0, 0], [500, 500, 0])
    np.testing.assert_allclose(label[0, 1], [500 + 1e5 / 4400, 500 - 2e5 / 4400, 100], rtol=1e-6)


def test_perfect_detector_gives_the_labels_pixels(exact):
    np.testing.assert_array_equal(exact.keypoints_px, exact.poses_image_px[..., :2])
    np.testing.assert_array_equal(exact.confidence, 1)
    assert 0.03 < 1 - exact.visible.mean() < 0.25


def test_lens_distortion_moves_keypoints_not_labels(recordings):
    exact = DetectorConfig.perfect()
    plain = capture(recordings[:1], rig={"turn": False}, detector=exact)
    bent = capture(recordings[:1], rig={"turn": False, "radial": (-0.2, 0.24, 0.0)}, detector=exact)
    np.testing.assert_array_equal(plain.poses_image_px, bent.poses_image_px)
    moved = np.linalg.norm(bent.keypoints_px - plain.keypoints_px, axis=-1)
    assert 0.05 < moved.mean() and moved.max() < 40


def test_poses_project_through_the_videos_lens(recordings):
    seen = capture(
        recordings[:1], rig=RigConfig(radial=(-0.2, 0.1, 0.0), tangential=(0.01, 0.02)),
        detector=DetectorConfig.perfect(), seed=5,
    )  # fmt: skip
    seen = dataclasses.replace(seen, target_space="camera_m")
    projected = project_to_2d(seen.poses_camera_mm, seen.intrinsics()[:, None])
    np.testing.assert_allclose(projected, seen.model_inputs()[..., :2], atol=1e-4)


def test_everyone_is_in_front_and_in_the_image(dataset):
    assert dataset.poses_camera_mm[..., 2].min() >= 1000
    inside = (dataset.poses_image_px[..., :2] >= 0) & (dataset.poses_image_px[..., :2] <= 999)
    assert inside.all((1, 2)).mean() > 0.98


def test_visibility_tells_where_the_detector_errs(dataset):
    error = np.linalg.norm(dataset.keypoints_px - dataset.poses_image_px[..., :2], axis=-1)
    found, visible = dataset.confidence > 0, dataset.visible
    assert error[found & ~visible].mean() > 1.8 * error[found & visible].mean()
    assert (
        dataset.confidence[found & ~visible].mean()
        < 0.6 * dataset.confidence[found & visible].mean()
    )
    assert np.corrcoef(error[found], dataset.confidence[found])[0, 1] < -0.4


def test_same_seed_same_dataset(recordings, dataset):
    assert capture(recordings, seed=5).fingerprint() == dataset.fingerprint()
    assert capture(recordings, seed=6).fingerprint() != dataset.fingerprint()


def test_order_and_company_of_recordings_do_not_matter(recordings, dataset):
    by_name = {video.name: video for video in dataset.videos}
    for chosen in (recordings[::-1], recordings[2:3]):
        other = capture(chosen, seed=5)
        same = dataset.select(by_name[video.name] for video in other.videos)
        assert other.fingerprint() == same.fingerprint()


def test_order_of_the_cameras_does_not_matter_to_the_detector(recordings):
    two = capture(recordings[:1], rig={"cameras": 2}, seed=5)
    four = capture(recordings[:1], rig={"cameras": 4}, seed=5)
    np.testing.assert_array_equal(two.keypoints_px, four.keypoints_px[: two.frames])


def test_settings_from_mappings_and_configs(recordings):
    fields = {"rig": {"kind": "random", "cameras": 2}, "detector": {"jitter_mm": 1}}
    plain = capture(recordings[:1], **fields)
    from_config = capture(recordings[:1], **ConfigDict(fields).to_dict())
    assert from_config.fingerprint() == plain.fingerprint()
    objects = capture(
        recordings[:1],
        rig=RigConfig(kind="random", cameras=2),
        detector=DetectorConfig(jitter_mm=1.0),
    )
    assert objects.fingerprint() == plain.fingerprint()


def test_all_default_fields_survive_a_config(recordings):
    rig = ConfigDict(dataclasses.asdict(RigConfig())).to_dict()
    detector = ConfigDict(dataclasses.asdict(DetectorConfig())).to_dict()
    written_out = capture(recordings[:1], rig=rig, detector=detector)
    assert written_out.fingerprint() == capture(recordings[:1]).fingerprint()


def test_repaired_frames_stay_marked(recordings):
    valid = np.ones(recordings[0].frames, bool)
    valid[10:13] = False
    repaired = dataclasses.replace(recordings[0], valid=valid)
    dataset = capture([repaired])
    for video in dataset.videos:
        np.testing.assert_array_equal(dataset.valid[video.start : video.stop], valid)


def test_what_cannot_be_filmed_is_refused(recordings):
    one = recordings[0]
    with pytest.raises(InputError, match="no recordings"):
        capture([])
    with pytest.raises(InputError, match="two recordings are called 'ann_walking'"):
        capture([one, one])
    with pytest.raises(InputError, match="depth_reference 'root'"):
        capture([one], depth_reference="root")
    with pytest.raises(InputError, match="RigConfig: unknown field 'lens'"):
        capture([one], rig={"lens": 3})
    broken = one.positions_mm.copy()
    broken[3, 3, 0] = np.nan
    with pytest.raises(InputError, match="ann_walking has positions not finite"):
        capture([dataclasses.replace(one, positions_mm=broken)])
    empty = dataclasses.replace(one, positions_mm=one.positions_mm[:0], valid=one.valid[:0])
    with pytest.raises(InputError, match="no frames"):
        capture([empty])
