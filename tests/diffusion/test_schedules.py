"""Noise schedules and the steps of the way back, by their definitions."""

import numpy as np
import pytest

from jrepose.diffusion import presets, schedules
from jrepose.errors import InputError


def test_what_is_left_of_a_pose():
    paper = presets.PRESETS["paper"].alpha_bars()
    assert paper.dtype == np.float32 and paper.shape == (50,)
    assert paper[-1] == pytest.approx(0.94882, abs=1e-5)
    assert presets.PRESETS["released"].alpha_bars()[-1] == pytest.approx(0.97233063, abs=1e-7)
    for kind in schedules.BETAS:
        betas = schedules.betas(kind, 20, 1e-3, 0.1)
        assert betas.dtype == np.float64 and (np.diff(betas) > -1e-15).all(), kind
        left = schedules.with_clean_level(schedules.alpha_bars(betas))
        np.testing.assert_allclose(left[1:] / left[:-1], 1 - betas, atol=1e-12)
        assert (left[-1] < 1e-3) == (kind in ("jsd", "cosine")), kind


@pytest.mark.parametrize(
    ("kind", "levels", "count", "expected"),
    [
        ("uniform", 24, 2, [0, 12]),
        ("uniform", 50, 7, [0, 7, 14, 21, 28, 35, 42, 49]),
        ("quad", 50, 5, [0, 2, 10, 22, 40]),
        ("trailing", 50, 5, [9, 19, 29, 39, 49]),
        ("trailing", 50, 3, [16, 32, 49]),
        ("trailing", 3, 3, [0, 1, 2]),
        ("truncated", 1000, 3, [332, 665, 999]),
    ],
)
def test_visited_steps(kind, levels, count, expected):
    assert schedules.visited_steps(kind, levels, count).tolist() == expected


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="'sine', expected one of linear"):
        schedules.betas("sine", 3)
    with pytest.raises(InputError, match="0 steps, expected at least 1"):
        schedules.betas("linear", 0)
    with pytest.raises(InputError, match=r"from 0\.1 to 1\.5"):
        schedules.betas("linear", 3, 0.1, 1.5)
    for count in (0, 6):
        with pytest.raises(InputError, match=f"{count} sampling steps over 5 levels"):
            schedules.visited_steps("uniform", 5, count)
    with pytest.raises(InputError, match="'cubic'"):
        schedules.visited_steps("cubic", 5, 2)
    released = vars(presets.PRESETS["released"])
    for field, value in (("hypotheses", 0), ("components", -1), ("eta", -0.1), ("steps", 12),
                         ("prediction", "pose"), ("sampling_steps", 0)):  # fmt: skip
        with pytest.raises(InputError):
            presets.Diffusion(**{**released, field: value})
