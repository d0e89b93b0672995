"""Smoothing, feet that stand, bones that keep their length, the floor."""

import numpy as np
import pytest
from keypoint_files import walk

from jrepose.errors import InputError
from jrepose.motion import smoothing, upright
from jrepose.motion.bones import bone_lengths
from jrepose.motion.camera_space import projecting_place, smoothed_ratio, stature
from jrepose.motion.inputs import at_rate, box_scale, interpolated, model_rate
from jrepose.skeleton import HUMAN36M_17
from jrepose.skeleton_conversion import filled


@pytest.mark.parametrize("spec", ["one-euro", "savitzky_golay", "one_euro:2", "0.4"])
def test_smoothers_take_noise_and_leave_motion(spec):
    time = np.arange(300)[:, None, None] / 60
    truth = np.sin(2 * np.pi * 0.5 * time + np.arange(51).reshape(17, 3)) * 0.3
    noisy = truth + np.random.default_rng(0).normal(0, 0.02, truth.shape)
    smooth = smoothing.smoother(spec)(noisy, 60.0)
    assert np.abs(smooth - truth).mean() < 0.7 * np.abs(noisy - truth).mean()
    # Nothing lags: the best shift in time is none.
    errors = [np.abs(np.roll(smooth, k, 0) - truth)[20:-20].mean() for k in (-2, 0, 2)]
    assert np.argmin(errors) == 1


@pytest.mark.parametrize("spec", ["gauss", "one_euro:x", "one_euro:0", "savitzky_golay:nan", ""])
def test_unknown_smoothing(spec):
    with pytest.raises(InputError, match="smoothing"):
        smoothing.smoother(spec)


def sliding(frames=90):
    """Steps in place; standing feet slide forwards with the body, by a hand's breadth a second."""
    poses = walk(HUMAN36M_17, frames, turn=0.0)
    poses[..., 1] += 0.1 * np.arange(frames)[:, None] / 30
    poses[..., 2] -= poses[:, [3, 6], 2].min(1)[:, None] - 0.078
    return poses


def test_locked_feet_stand_and_bones_keep_their_length():
    poses = sliding()
    locked = smoothing.with_feet_locked(poses, HUMAN36M_17, fps=30.0, height_m=1.7)
    standing = upright.contacts(poses[:, [6, 3]], 30.0, 1.7)

    def slip(motion):
        total = 0.0
        for foot, here in zip((6, 3), standing.T, strict=True):
            for start, stop in smoothing._runs(here, 4):
                total += np.ptp(motion[start:stop, foot, :2], axis=0).max()
        return total

    assert slip(locked) < 0.1 * slip(poses)
    for a, b in ((1, 2), (2, 3), (4, 5), (5, 6)):
        before = np.linalg.norm(poses[:, a] - poses[:, b], axis=-1)
        after = np.linalg.norm(locked[:, a] - locked[:, b], axis=-1)
        np.testing.assert_allclose(after, before, atol=1e-4)
    others = np.setdiff1d(np.arange(17), [2, 3, 5, 6])
    np.testing.assert_array_equal(locked[:, others], poses[:, others])


def test_a_sloping_path_becomes_level():
    poses = sliding(150)
    poses[..., 1] += 1.5 * np.arange(150)[:, None] / 30
    tilted = poses + 0.1 * poses[:, :1, 1:2] * [0, 0, 1] + [0, 0, 3.0]
    level = upright.on_floor(tilted, HUMAN36M_17, fps=30.0, height_m=1.7)
    np.testing.assert_allclose(level, poses, atol=0.06)


def test_the_vertical_of_who_stands_and_of_a_pitch():
    axes = upright.world_axes(upright.up_of_pitch(25.0))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes[0], [1, 0, 0], atol=1e-12)  # no roll
    camera = walk(HUMAN36M_17, 60) @ axes
    up, share = upright.up_of_body(camera, HUMAN36M_17)
    assert share == 1.0
    assert np.rad2deg(np.arccos(up @ axes[2])) < 2


def test_stature_of_the_figure():
    lengths = bone_lengths(walk(HUMAN36M_17, 5), HUMAN36M_17)
    assert abs(stature(lengths, HUMAN36M_17) - 1.7) < 0.05


def test_gaps_are_filled():
    pixels = np.arange(10.0)[:, None, None] * np.ones((10, 17, 2))
    confidence = np.ones((10, 17))
    confidence[3:6, 4] = confidence[:2, 5] = confidence[:, 6] = 0
    given = np.where(confidence[..., None] > 0, pixels, 0)
    found = filled(given, confidence, HUMAN36M_17)
    np.testing.assert_allclose(found[:, 4], pixels[:, 4])
    np.testing.assert_allclose(found[:2, 5], 2.0)
    np.testing.assert_allclose(found[:, 6], found[:, 5])  # never seen: where its parent is


@pytest.mark.parametrize(("fps", "rate"), [(30.0, 50.0), (60.0, 50.0), (120.0, 50.0), (50.0, 50.0)])
def test_rates_there_and_back(fps, rate):
    time = np.arange(100) / fps
    values = np.stack([np.sin(2 * np.pi * time), 2 * time, np.full(100, 0.7)], axis=-1)[:, None]
    there = at_rate(values, fps, rate)
    later = np.arange(len(there)) / rate
    np.testing.assert_allclose(there[:, 0, 0], np.sin(2 * np.pi * later), atol=0.05)
    np.testing.assert_allclose(there[:-1, 0, 1], 2 * later[:-1], atol=0.02)
    np.testing.assert_allclose(there[:, 0, 2], 0.7)
    back = interpolated(there, np.arange(100) * (rate / fps))
    assert back.shape == values.shape
    np.testing.assert_allclose(back[2:-2], values[2:-2], atol=0.03)


def test_what_is_hardly_sure_hardly_counts_at_a_lower_rate():
    keypoints = np.tile([1.0, 2.0, 0.8], (60, 2, 1))
    keypoints[30, 0] = 9.0, 9.0, 0.05
    keypoints[31:35, 1] = 5.0, 5.0, 0.0  # filled
    there = at_rate(keypoints, 60.0, 20.0)
    # Frames count by a third, one and a third; places by the confidence too.
    np.testing.assert_allclose(
        there[10, 0], [1.0, 2.0, 0.2 * 0.8 + 0.6 * 0.05 + 0.2 * 0.8], atol=0.1
    )
    np.testing.assert_allclose(there[[10, 12], 1, :2], [[1.0, 2.0]] * 2, atol=0.01)
    np.testing.assert_allclose(there[11, 1], [5.0, 5.0, 0.0], atol=1e-9)


def test_the_rate_of_the_model():
    assert model_rate(30.0, (25.0, 60.0)) == 30
    assert model_rate(59.94, (60.0,)) == 59.94
    assert model_rate(120.0, (25.0, 60.0)) == 60
    assert model_rate(10.0, (25.0, 60.0)) == 25


def test_the_box_is_motionberts(golden):
    arrays, _ = golden("motionbert")
    given = arrays["crop_scale/in"]
    scaled = box_scale(given[..., :2], given[..., 2], (100, 100)).to_model(given[..., :2])
    np.testing.assert_allclose(scaled, arrays["crop_scale/out_unit"][..., :2], atol=1e-6)


def test_the_box_around_a_video():
    pixels = np.array([[[10.0, 20], [30, 20], [20, 60], [20, 40]]])
    scale = box_scale(pixels, np.ones((1, 4)), (100, 100))
    np.testing.assert_allclose(scale.to_model(pixels)[0], [[-0.5, -1], [0.5, -1], [0, 1], [0, 0]])
    assert box_scale(pixels, np.zeros((1, 4)), (100, 100)).unit == 50


def test_places_project_onto_their_keypoints():
    poses = walk(HUMAN36M_17, 4)[..., [0, 2, 1]] * [1, -1, 1]
    poses -= poses[:, :1]
    place = np.array([[0.3, -0.2, 3.0], [0, 0, 5], [1, 0.5, 8], [-1, 0, 2.5]])
    seen = poses + place[:, None]
    pixels = 900 * seen[..., :2] / seen[..., 2:] + [320, 240]
    found = projecting_place(poses, HUMAN36M_17, pixels, np.ones((4, 17)), HUMAN36M_17,
                             size=(640, 480), focal_px=900.0)  # fmt: skip
    np.testing.assert_allclose(found, place, atol=1e-6)


def test_distances_lose_noise_and_keep_their_trend():
    truth = 4 + np.arange(120) / 40
    noisy = truth * np.exp(np.random.default_rng(0).normal(0, 0.02, 120))
    noisy[50] = 9
    smooth = smoothed_ratio(noisy, 30.0)
    assert np.abs(smooth - truth)[10:-10].max() < 0.08
    assert np.abs(smooth - truth).max() < 0.25
