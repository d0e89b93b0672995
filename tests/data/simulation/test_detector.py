"""The detector simulator: exactness, statistics, and each kind of error alone."""

import dataclasses

import numpy as np
import pytest

from jrepose.data.simulation.detector import DetectorConfig, detect
from jrepose.data.simulation.occlusion import Occlusion
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

FRAMES, JOINTS, RATE, SIZE = 4000, 17, 50.0, (1000, 1000)
PX_PER_MM = 0.25
WRIST, HEAD, KNEE, HIP = 13, 10, 2, 1


@pytest.fixture(scope="module")
def truth():
    """A still person in the middle of the image, joints apart from each other."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.uniform(350, 650, (1, JOINTS, 2)), FRAMES, axis=0)


def nothing_hidden(frames=FRAMES):
    return Occlusion(
        np.zeros((frames, JOINTS), bool),
        np.full((frames, JOINTS), -1, np.int8),
        np.zeros((frames, JOINTS, 3), np.float32),
    )


def hidden_in_runs(joints=(WRIST, KNEE), run=25, toward=(200.0, 0.0, -150.0)):
    """Those joints hidden for `run` frames out of every twice as many."""
    hidden = np.zeros((FRAMES, JOINTS), bool)
    hidden[:, list(joints)] = (np.arange(FRAMES) // run % 2 == 1)[:, None]
    occluder = np.where(hidden, 0, -1).astype(np.int8)
    return Occlusion(hidden, occluder, (hidden[..., None] * np.array(toward)).astype(np.float32))


def run(truth, config, occlusion=None, seed=0, names=("r", "camera_0"), rate=RATE):
    return detect(
        truth,
        np.full(len(truth), PX_PER_MM),
        occlusion or nothing_hidden(len(truth)),
        image_size=SIZE,
        frame_rate=rate,
        config=config,
        seed=seed,
        names=names,
    )


def only(**fields):
    """A perfect detector but for these fields."""
    return dataclasses.replace(DetectorConfig.perfect(), **fields)


def error_mm(detections, truth):
    return np.linalg.norm(detections.keypoints_px - truth, axis=-1) / PX_PER_MM


def test_perfect_detector_is_exact_also_where_hidden_or_outside(truth):
    truth = truth.copy()
    truth[:, 3] = (-50, 1200)
    out = run(truth, DetectorConfig.perfect(), hidden_in_runs())
    np.testing.assert_array_equal(out.keypoints_px, truth.astype(np.float32))
    np.testing.assert_array_equal(out.confidence, 1)


def test_joints_lie_elsewhere_for_a_whole_video_and_the_confidence_does_not_tell(truth):
    short = truth[:20]
    videos = [
        run(short, only(offset_mm=30.0, confidence_error_mm=61.0), names=("r", f"{k}"))
        for k in range(120)
    ]
    for out in videos[:5]:
        np.testing.assert_array_equal(out.confidence, 1)
    errors = np.stack([(out.keypoints_px - short) / PX_PER_MM for out in videos])
    assert np.ptp(errors, axis=1).max() < 1e-3
    spread = np.sqrt((errors[:, 0] ** 2).mean((0, 2)))
    # The factor of a video is uniform between 0 and 2: 4/3 is its mean square.
    np.testing.assert_allclose(spread[HIP], 30 * np.sqrt(4 / 3), rtol=0.2)
    np.testing.assert_allclose(spread[KNEE] / spread[HIP], 0.81, rtol=0.2)
    assert spread[HEAD] < 0.4 * spread[HIP]
    of_video = np.sqrt((errors[:, 0] ** 2).mean((1, 2)))
    assert of_video.min() < 0.3 * of_video.max()


def test_an_offset_does_not_lead_out_of_the_picture(truth):
    edge = truth[:5].copy()
    edge[:] = (999.0, 0.0)
    out = run(edge, only(offset_mm=300.0, keep_inside=True)).keypoints_px
    assert (out >= 0).all() and (out <= 999).all() and (out != edge).any()


def test_same_seed_and_names_same_result_else_another(truth):
    config = DetectorConfig()
    out = run(truth, config)
    again = run(truth, config)
    np.testing.assert_array_equal(out.keypoints_px, again.keypoints_px)
    np.testing.assert_array_equal(out.confidence, again.confidence)
    for other in (
        run(truth, config, seed=1),
        run(truth, config, names=("r", "camera_1")),
        run(truth, config, names=("rc", "amera_0")),
    ):
        assert not np.array_equal(out.keypoints_px, other.keypoints_px)


def test_one_parameter_leaves_the_other_draws_alone(truth):
    config = DetectorConfig()
    swapped = dataclasses.replace(config, swap_share=0.3, missing_share=0.0)
    plain = dataclasses.replace(config, swap_share=0.0, missing_share=0.0)
    torso = [0, 7, 8, 9, 10]
    a, b = run(truth, plain), run(truth, swapped)
    np.testing.assert_array_equal(a.keypoints_px[:, torso], b.keypoints_px[:, torso])
    assert not np.array_equal(a.keypoints_px, b.keypoints_px)


def test_noise_has_the_configured_size_per_joint(truth):
    sizes = tuple(np.linspace(5.0, 40.0, JOINTS).tolist())
    out = run(truth, only(joint_noise_mm=sizes, noise_period_s=1 / RATE))
    std = ((out.keypoints_px - truth) / PX_PER_MM).std(axis=(0, 2))
    # Linear interpolation of independent keys keeps two thirds of their variance.
    np.testing.assert_allclose(std, np.sqrt(2 / 3) * np.array(sizes), rtol=0.06)


def test_default_noise_is_larger_at_hands_and_feet_than_at_the_head(truth):
    error = error_mm(run(truth, DetectorConfig()), truth).mean(0)
    assert error[[3, 6, 13, 16]].min() > 1.3 * error[HEAD]
    assert 10 < error.mean() < 30


def test_noise_is_correlated_in_time_and_jitter_is_not(truth):
    def lag_one(config):
        e = (run(truth, config).keypoints_px - truth)[:, WRIST, 0]
        return np.corrcoef(e[:-1], e[1:])[0, 1]

    smooth = only(joint_noise_mm=(20.0,) * JOINTS, noise_period_s=0.2)
    assert lag_one(smooth) > 0.9
    assert abs(lag_one(only(jitter_mm=20.0))) < 0.1


def test_noise_correlation_is_in_seconds_not_frames(truth):
    smooth = only(joint_noise_mm=(20.0,) * JOINTS, noise_period_s=0.2)

    def steps(rate):
        e = run(truth, smooth, rate=rate).keypoints_px[:, WRIST, 0]
        return np.abs(np.diff(e)).mean()

    assert steps(100.0) == pytest.approx(steps(50.0) / 2, rel=0.25)


def test_wide_part_makes_heavy_tails(truth):
    def kurtosis(config):
        e = (run(truth, config).keypoints_px - truth)[..., 0].ravel()
        return (e**4).mean() / (e**2).mean() ** 2

    narrow = only(joint_noise_mm=(10.0,) * JOINTS, noise_period_s=1 / RATE)
    mixed = dataclasses.replace(narrow, wide_share=(0.1,) * JOINTS, wide_noise_mm=80.0)
    assert kurtosis(narrow) == pytest.approx(3, abs=0.3)
    assert kurtosis(mixed) > 5


def test_error_in_pixels_follows_the_persons_size(truth):
    config = only(joint_noise_mm=(15.0,) * JOINTS)
    near, far = (
        detect(
            truth,
            np.full(FRAMES, scale),
            nothing_hidden(),
            image_size=SIZE,
            frame_rate=RATE,
            config=config,
        )
        for scale in (0.4, 0.2)
    )
    np.testing.assert_allclose(near.keypoints_px - truth, 2 * (far.keypoints_px - truth), atol=1e-3)


def test_confidence_falls_with_the_error(truth):
    out = run(truth, DetectorConfig(swap_share=0.0, missing_share=0.0))
    error = error_mm(out, truth)
    for joint in (WRIST, KNEE, HIP):
        assert np.corrcoef(error[:, joint], out.confidence[:, joint])[0, 1] < -0.4
    assert 0.7 < out.confidence.mean() < 0.9
    assert out.confidence.min() > 0 and out.confidence.max() <= 1


def test_confidence_formula(truth):
    out = run(truth, only(joint_noise_mm=(20.0,) * JOINTS, confidence_error_mm=50.0))
    np.testing.assert_allclose(out.confidence, 50 / (50 + error_mm(out, truth)), atol=1e-3)


def test_hidden_joints_are_worse_and_less_trusted(truth):
    occlusion = hidden_in_runs()
    out = run(truth, DetectorConfig(), occlusion)
    error, found = error_mm(out, truth), out.confidence > 0
    hidden = occlusion.hidden
    assert error[hidden & found].mean() > 2 * error[~hidden & found].mean()
    assert out.confidence[hidden & found].mean() < 0.6 * out.confidence[~hidden & found].mean()
    without = run(truth, DetectorConfig(occlusion=False), occlusion)
    difference = error_mm(without, truth)[hidden].mean() / error_mm(without, truth)[:, WRIST].mean()
    assert difference == pytest.approx(1, abs=0.25)


def test_hidden_joints_move_to_one_of_three_places_and_come_back(truth):
    config = only(occluded_shift=(0.5, 0.5), occluded_shift_limit_mm=1e6, onset_s=0.1)
    occlusion = hidden_in_runs(joints=(WRIST,), run=25)
    out = run(truth, config, occlusion)
    shift = out.keypoints_px[:, WRIST] - truth[:, WRIST]
    np.testing.assert_allclose(shift[~occlusion.hidden[:, WRIST]], 0, atol=1e-3)

    mirror = HUMAN36M_17.flip_permutation[WRIST]
    limb = truth[0, HUMAN36M_17.parents[WRIST]] - truth[0, WRIST]
    places = np.array(
        [
            0.5 * np.array([200.0, 0]) * PX_PER_MM,
            0.5 * (truth[0, mirror] - truth[0, WRIST]),
            0.25 * limb,
            -0.25 * limb,
        ]
    )
    middles = shift[37::50]
    nearest = np.linalg.norm(middles[:, None] - places, axis=-1).argmin(1)
    np.testing.assert_allclose(middles, places[nearest], atol=1e-2)
    assert set(nearest) == {0, 1, 2, 3}
    # Within a run the shift grows over the onset, holds, and fades.
    length = np.linalg.norm(shift[25:50], axis=-1) / np.linalg.norm(shift[37])
    np.testing.assert_allclose(length[:5], [0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-3)
    np.testing.assert_allclose(length[5:20], 1, atol=1e-3)
    assert length[-1] == pytest.approx(0.2, abs=1e-3)


def test_joints_without_a_mirror_use_the_other_places(truth):
    config = only(occluded_shift=(1.0, 1.0), occluded_shift_limit_mm=1e6)
    spine = 7
    out = run(truth, config, hidden_in_runs(joints=(spine,)))
    moved = np.linalg.norm(out.keypoints_px[37::50, spine] - truth[0, spine], axis=-1)
    assert moved.min() > 5


def test_shift_limit_holds(truth):
    config = only(occluded_shift=(1.0, 1.0), occluded_shift_limit_mm=40.0)
    out = run(truth, config, hidden_in_runs())
    assert error_mm(out, truth).max() == pytest.approx(40, rel=1e-3)


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_missing_share_and_run_length(truth, share):
    out = run(truth, only(missing_share=share, missing_run_s=0.2))
    missing = out.confidence == 0
    assert missing.mean() == pytest.approx(share, rel=0.2)
    starts = missing[1:] & ~missing[:-1]
    mean_run = missing.sum() / starts.sum()
    # Runs may touch, the more so the more there are.
    assert 8 < mean_run < 20


def test_missing_joints_hold_their_last_place(truth):
    rng = np.random.default_rng(1)
    moving = truth + np.cumsum(rng.normal(0, 0.1, truth.shape), axis=0)
    out = run(moving, only(missing_share=0.3))
    missing = out.confidence == 0
    found = ~missing
    np.testing.assert_array_equal(out.keypoints_px[found], moving.astype(np.float32)[found])
    later = missing.copy()
    later[0] = False
    for frame, joint in zip(*np.nonzero(later), strict=True):
        before = np.flatnonzero(found[:frame, joint])
        source = before[-1] if len(before) else np.flatnonzero(found[:, joint])[0]
        np.testing.assert_array_equal(
            out.keypoints_px[frame, joint], moving[source, joint].astype(np.float32)
        )


def test_missing_from_the_first_frame_takes_the_next_detection():
    truth = np.arange(20.0).reshape(10, 1, 2).repeat(JOINTS, axis=1)
    config = only(missing_share=0.5, missing_run_s=0.1, keep_inside=False)
    seeds = [run(truth, config, seed=seed) for seed in range(20)]
    checked = 0
    for out in seeds:
        for joint in np.flatnonzero((out.confidence[0] == 0) & (out.confidence > 0).any(0)):
            first = np.flatnonzero(out.confidence[:, joint])[0]
            np.testing.assert_array_equal(out.keypoints_px[0, joint], truth[first, joint])
            checked += 1
    assert checked > 10


def test_missing_joints_at_zero(truth):
    out = run(truth, only(missing_share=0.3, missing_keypoint="zero"))
    missing = out.confidence == 0
    assert missing.any()
    np.testing.assert_array_equal(out.keypoints_px[missing], 0)


def test_swaps_exchange_whole_limbs(truth):
    out = run(truth, only(swap_share=0.2, swap_run_s=0.2))
    mirrored = truth[:, HUMAN36M_17.flip_permutation].astype(np.float32)
    plain = truth.astype(np.float32)
    for limb in ("leg", "arm"):
        joints = [*HUMAN36M_17.group(f"left_{limb}"), *HUMAN36M_17.group(f"right_{limb}")]
        swapped = (out.keypoints_px[:, joints] != plain[:, joints]).any((1, 2))
        assert swapped.mean() == pytest.approx(0.2, rel=0.25)
        np.testing.assert_array_equal(
            out.keypoints_px[swapped][:, joints], mirrored[swapped][:, joints]
        )


def test_detections_stay_in_the_image_and_outside_joints_are_doubted(truth):
    truth = truth.copy()
    truth[:, WRIST] = (1100, 500)
    out = run(truth, DetectorConfig())
    assert out.keypoints_px.min() >= 0 and out.keypoints_px.max() <= 999
    assert out.confidence[:, WRIST].mean() < 0.3


def test_a_single_frame_works(truth):
    out = run(truth[:1], DetectorConfig())
    assert out.keypoints_px.shape == (1, JOINTS, 2)
    assert np.isfinite(out.keypoints_px).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"jitter": 3.0}, "unknown field 'jitter'"),
        ({"jitter_mm": -1.0}, "jitter_mm -1.0, expected 0 or more"),
        ({"jitter_mm": float("nan")}, "jitter_mm nan"),
        ({"missing_share": 1.0}, "must be below 1"),
        ({"missing_keypoint": "guess"}, "'guess', expected 'hold' or 'zero'"),
        ({"occluded_shift": (0.8, 0.2)}, "low, high"),
        ({"joint_noise_mm": (1.0,) * 5}, "5 values, expected 17"),
        ({"wide_share": (2.0,) * 17}, "at most 1"),
        ({"occlusion": 1}, "expected bool"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        DetectorConfig.from_mapping(fields)


def test_settings_for_another_skeleton_are_refused(truth):
    with pytest.raises(InputError, match="joint_noise_mm has 5 values.*17 joints"):
        run(truth, DetectorConfig(joint_noise_mm=(1.0,) * 5))


def test_default_noise_is_the_published_models(golden):
    """MotionBERT's noise parameters in mm at Human3.6M's 0.229 px/mm, mean over both sides."""
    arrays, config = golden("motionbert_noise_model")
    flip = HUMAN36M_17.flip_permutation
    mm = 500 / 0.229
    std = arrays["noise/std"].mean(1) * mm
    wide = 1 - arrays["noise/weight"]
    default = DetectorConfig()
    np.testing.assert_allclose(default.joint_noise_mm, (std + std[flip]) / 2, atol=0.06)
    np.testing.assert_allclose(default.wide_share, (wide + wide[flip]) / 2, atol=6e-4)
    constants = config["constants"]
    assert default.wide_noise_mm == pytest.approx(constants["uniform_range"] / 2 * mm, rel=1e-3)
    assert default.jitter_mm == pytest.approx(constants["delta_std"] * mm, rel=0.01)
    assert default.confidence_error_mm == pytest.approx(arrays["d2c/a"].item() * mm, rel=0.01)
    # 27 keys over 243 frames at 50 Hz.
    period = (243 - 1) / (constants["num_keyframes"] - 1) / 50
    assert default.noise_period_s == pytest.approx(period, rel=0.05)
