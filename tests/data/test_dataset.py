import dataclasses

import numpy as np
import pytest

from jrepose.data.dataset import PoseDataset, Video, concatenate
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17


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
    np.testing.assert_allclose(dataset.to_mm(targets), expected, rtol=1e-5)


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
