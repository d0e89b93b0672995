import dataclasses

import numpy as np
import pytest

from jrepose.data.dataset import PoseDataset, Video, concatenate
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, MPII_16


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    frames = 9

    def draw(*shape):
        return rng.uniform(100, 900, shape).astype(np.float32)

    return PoseDataset(
        keypoints_px=draw(frames, 17, 2),
        confidence=rng.uniform(size=(frames, 17)).astype(np.float32),
        poses_camera_mm=draw(frames, 17, 3),
        poses_image_px=draw(frames, 17, 3),
        factor_mm_per_px=draw(frames) / 200,
        visible=rng.uniform(size=(frames, 17)) < 0.8,
        valid=np.ones(frames, bool),
        videos=(
            Video("a", "S1", "walk", "c0", 1000, 1002, 50.0, 0, 4),
            Video("b", "S2", "sit", "c1", 500, 400, 50.0, 4, 9),
        ),
        skeleton=HUMAN36M_17,
    )


def test_both_axes_are_divided_by_the_width(dataset):
    inputs = dataset.model_inputs()
    np.testing.assert_allclose(inputs[0, 0, 0], dataset.keypoints_px[0, 0, 0] / 500 - 1, rtol=1e-5)
    np.testing.assert_allclose(
        inputs[0, 0, 1], dataset.keypoints_px[0, 0, 1] / 500 - 1.002, rtol=1e-5
    )
    np.testing.assert_allclose(
        inputs[4, 3, 1], dataset.keypoints_px[4, 3, 1] / 250 - 0.8, rtol=1e-4
    )
    np.testing.assert_array_equal(inputs[..., 2], dataset.confidence)


def test_targets_and_millimetres_are_inverse(dataset):
    targets = dataset.model_targets()
    np.testing.assert_allclose(targets[5, 2, 2], dataset.poses_image_px[5, 2, 2] / 250, rtol=1e-6)
    expected = dataset.poses_image_px * dataset.factor_mm_per_px[:, None, None]
    np.testing.assert_allclose(dataset.to_mm(targets, np.arange(9)), expected, rtol=1e-5)
    some = np.array([[8, 0], [3, 4]])
    np.testing.assert_array_equal(
        dataset.to_mm(targets[some], some), dataset.to_mm(targets, np.arange(9))[some]
    )


def test_roots_and_lenses_of_every_frame(dataset):
    lenses = [tuple(np.float32(k + np.arange(9)).tolist()) for k in range(2)]
    videos = [
        dataclasses.replace(video, intrinsics=lens)
        for video, lens in zip(dataset.videos, lenses, strict=True)
    ]
    seen = dataclasses.replace(dataset, target_space="camera_by_width", videos=tuple(videos))
    np.testing.assert_array_equal(seen.intrinsics(), [lenses[0]] * 4 + [lenses[1]] * 5)
    roots = seen.trajectory()
    np.testing.assert_allclose(roots[3], dataset.poses_camera_mm[3, :1] / 500, rtol=1e-6)
    np.testing.assert_allclose(roots[4], dataset.poses_camera_mm[4, :1] / 250, rtol=1e-6)
    with pytest.raises(InputError, match="those of video a are unknown"):
        dataset.intrinsics()
    with pytest.raises(InputError, match="the image space has none"):
        dataset.trajectory()
    behind = dataset.poses_camera_mm.copy()
    behind[6, 0, 2] = -1
    with pytest.raises(InputError, match="video b, frame 2: the root is not in front"):
        dataclasses.replace(seen, poses_camera_mm=behind).trajectory()


@pytest.mark.parametrize(
    ("space", "units"),
    [("camera_m", (1000, 1000)), ("camera_mm", (1, 1)), ("camera_by_width", (500, 250))],
)
def test_camera_space_targets_are_root_relative(dataset, space, units):
    dataset = dataclasses.replace(dataset, target_space=space)
    relative = dataset.poses_camera_mm - dataset.poses_camera_mm[:, :1]
    targets = dataset.model_targets()
    np.testing.assert_allclose(targets[:4], relative[:4] / units[0], rtol=1e-6)
    np.testing.assert_allclose(targets[4:], relative[4:] / units[1], rtol=1e-6)
    np.testing.assert_allclose(dataset.to_mm(targets, np.arange(9)), relative, rtol=1e-6)


def test_a_missing_label_is_named(dataset):
    bare = dataclasses.replace(dataset, poses_image_px=None, factor_mm_per_px=None)
    with pytest.raises(InputError, match="poses_image_px is needed"):
        bare.model_targets()
    with pytest.raises(InputError, match="factor_mm_per_px is needed"):
        bare.to_mm(dataset.poses_camera_mm, np.arange(9))
    with pytest.raises(InputError, match="only one of two parts has factor_mm_per_px"):
        concatenate([dataset, bare])
    with pytest.raises(InputError, match="unknown target space 'world'"):
        dataclasses.replace(dataset, target_space="world")


def test_true_keypoints_replace_the_detections(dataset):
    seen = dataset.with_true_keypoints()
    np.testing.assert_array_equal(seen.model_inputs()[..., :2], dataset.model_targets()[..., :2])
    assert (seen.confidence == 1).all()


def test_neighbouring_videos_are_selected_without_copying(dataset):
    assert np.shares_memory(dataset.select(dataset.videos).keypoints_px, dataset.keypoints_px)
    backwards = dataset.select(dataset.videos[::-1])
    assert not np.shares_memory(backwards.keypoints_px, dataset.keypoints_px)


def test_keypoints_may_have_their_own_layout(dataset, unchecked):
    other = dataclasses.replace(
        dataset,
        keypoints_px=dataset.keypoints_px[:, :16],
        confidence=dataset.confidence[:, :16],
        keypoint_skeleton=MPII_16,
    )
    assert other.model_inputs().shape == (9, 16, 3)
    assert other.model_targets().shape == (9, 17, 3)
    with pytest.raises(InputError, match="keypoints_px has 16 joints, skeleton human36m_17 has 17"):
        dataclasses.replace(other, keypoint_skeleton=None)


def test_select_and_concatenate(dataset):
    second = dataset.select(dataset.videos[1:])
    assert second.frames == 5 and second.videos[0].start == 0
    swapped = concatenate([second, dataset.select(dataset.videos[:1])])
    np.testing.assert_array_equal(swapped.keypoints_px[:5], dataset.keypoints_px[4:])
    np.testing.assert_array_equal(swapped.per_frame("action"), ["sit"] * 5 + ["walk"] * 4)


def test_fingerprint_sees_every_array(dataset):
    seen = {dataset.fingerprint()}
    for field in dataclasses.fields(dataset):
        array = getattr(dataset, field.name)
        if isinstance(array, np.ndarray):
            changed = array.copy()
            changed.flat[-1] = not changed.flat[-1]
            seen.add(dataclasses.replace(dataset, **{field.name: changed}).fingerprint())
    assert len(seen) == 8


def test_contradictions_are_refused(dataset, unchecked):
    with pytest.raises(InputError, match="confidence has 8 frames"):
        dataclasses.replace(dataset, confidence=dataset.confidence[:8])
    with pytest.raises(InputError, match="videos end at frame 4 of 9"):
        dataclasses.replace(dataset, videos=dataset.videos[:1])
    with pytest.raises(InputError, match="expected to start at 0"):
        dataclasses.replace(dataset, videos=dataset.videos[::-1])
    with pytest.raises(InputError, match="no video left"):
        dataset.select([])
