"""Resampling: band-limited motion is kept, what would alias is not, flags follow."""

import numpy as np
import pytest

from jrepose.data.mocap.resampling import resample
from jrepose.errors import InputError


def sine(hertz, rate, seconds=4.0, amplitude=100.0):
    time = np.arange(round(seconds * rate) + 1) / rate
    return amplitude * np.sin(2 * np.pi * hertz * time + 0.3)[:, None, None] * np.ones((1, 2, 3))


def all_valid(positions):
    return np.ones(len(positions), bool)


@pytest.mark.parametrize("target", [50.0, 60.0, 25.0, 59.94, 30.0, 240.0])
def test_slow_motion_is_kept(target):
    source = sine(2.0, 120.0)
    found, valid = resample(source, all_valid(source), 120.0, target)
    expected = sine(2.0, target, seconds=(len(found) - 1) / target)
    assert abs((len(found) - 1) / target - 4.0) < 1 / target and valid.all()
    inner = slice(len(found) // 10, -len(found) // 10)
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.05)
    np.testing.assert_allclose(found, expected, atol=1.0)  # the ends lack context


def test_straight_motion_is_kept_to_the_very_ends():
    line = np.linspace(-3000, 5000, 481)[:, None, None] * np.ones((1, 1, 3))
    found, _ = resample(line, all_valid(line), 120.0, 50.0)
    expected = -3000 + 8000 * np.arange(len(found)) / 200
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-6)


def test_what_would_alias_is_removed():
    # 45 Hz sampled at 50 Hz would look like 5 Hz at full amplitude.
    source = sine(45.0, 120.0)
    found, _ = resample(source, all_valid(source), 120.0, 50.0)
    assert np.abs(found[20:-20]).max() < 0.1
    assert np.abs(source[::2]).max() > 90


def test_same_rate_changes_nothing():
    source = np.random.default_rng(0).normal(size=(7, 17, 3))
    valid = np.array([True, False] * 3 + [True])
    found, kept = resample(source, valid, 120.0, 120.0)
    np.testing.assert_array_equal(found, source)
    np.testing.assert_array_equal(kept, valid)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 12, 13])
def test_short_clips(frames):
    source = np.arange(frames, dtype=float)[:, None, None] * np.ones((1, 1, 3))
    found, valid = resample(source, all_valid(source), 120.0, 50.0)
    assert len(found) == len(valid) == int((frames - 1) * 5 / 12) + 1
    np.testing.assert_allclose(found[:, 0, 0], np.arange(len(found)) * 2.4, atol=1e-6)


@pytest.mark.parametrize("target", [50.0, 30.0, 120.0, 200.0])
def test_every_invalid_frame_is_felt_and_only_nearby(target):
    rng = np.random.default_rng(1)
    source = np.zeros((241, 1, 3))
    for bad in rng.integers(0, 241, 30):
        valid = all_valid(source)
        valid[bad] = False
        found, kept = resample(source, valid, 120.0, target)
        if target == 120.0:
            np.testing.assert_array_equal(kept, valid)
            continue
        distance = np.abs(np.arange(len(found)) / target - bad / 120.0)
        near = (distance < 1 / 120 - 1e-9) | (distance <= 0.5 / target + 1e-9)
        np.testing.assert_array_equal(kept, ~near)
        # The end of the source may lie beyond the last new frame.
        assert near.any() or bad / 120 > (len(found) - 1) / target


@pytest.mark.parametrize("rates", [(0.0, 50.0), (120.0, -1.0), (120.0, np.nan), (np.inf, 50.0)])
def test_rates_are_positive_numbers(rates):
    with pytest.raises(InputError, match="frame rate: expected a positive number"):
        resample(np.zeros((3, 1, 3)), np.ones(3, bool), *rates)
