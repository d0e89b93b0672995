"""Global shift and movement range on a lifter whose drift is known."""

import json

import jax
import numpy as np
import pytest
from evaluation.conftest import LinearLifter, lifting, make_dataset

from jrepose import metrics
from jrepose.errors import InputError
from jrepose.evaluation.robustness import (
    measure_robustness,
    shift_keypoints,
    summary,
    write,
)


@pytest.fixture
def measured(config):
    """Dataset, the lifter's matrix, and both studies with the root kept out or in the way."""
    dataset, model = make_dataset(), LinearLifter()
    variables = model.init(jax.random.key(0), np.zeros((1, 9, 17, 3), np.float32), False)
    config.evaluation.flip, config.training.root = False, "frame"
    results = {}
    for root in ("subtract", "zero"):
        config.evaluation.root = root
        results[root] = measure_robustness(
            lifting(model), variables, dataset, config, shifts=3, subsets=4
        )
    return dataset, np.asarray(variables["params"]["Dense_0"]["kernel"]), results


def test_global_shift(measured):
    dataset, kernel, results = measured
    # All joints move alike, the root too: relative to it nothing happens.
    for shift in results["subtract"].shifts:
        assert shift.drift < 0.01 and shift.mpjpe == pytest.approx(results["subtract"].mpjpe)
    # A root that stays at 0 is left behind by the 16 others.
    assert len(results["zero"].shifts) == 3
    for shift in results["zero"].shifts:
        step = np.linalg.norm(np.asarray(shift.offset) @ kernel[:2]) * 500
        assert shift.drift == pytest.approx(
            16 / 17 * step * dataset.factor_mm_per_px.mean(), rel=1e-3
        )
        assert max(map(abs, shift.offset)) < 0.2
        assert abs(shift.mpjpe - results["zero"].mpjpe) > 1
    magnitudes = [shift.magnitude for shift in results["zero"].shifts]
    assert magnitudes == sorted(magnitudes) and magnitudes[0] > 0


def test_shifted_keypoints():
    dataset = make_dataset()
    before = dataset.keypoints_px.copy()
    shifted, outside = shift_keypoints(dataset, np.array([1.0, 0.0]))
    moved = shifted.model_inputs()[..., :2] - dataset.model_inputs()[..., :2]
    np.testing.assert_allclose(moved, np.broadcast_to([1.0, 0.0], moved.shape), atol=1e-5)
    np.testing.assert_array_equal(dataset.keypoints_px, before)
    assert outside == pytest.approx(100 * (before[..., 0] > 500).mean()) and 0 < outside < 100


def test_movement_range(measured):
    dataset, _, results = measured
    result = results["subtract"]
    assert [subset.frames for subset in result.subsets] == [13, 13, 12, 12]
    bounds = [bound for subset in result.subsets for bound in (subset.low, subset.high)]
    assert bounds == sorted(bounds) and bounds[0] > 0
    mean = np.average(
        [subset.mpjpe for subset in result.subsets],
        weights=[subset.frames for subset in result.subsets],
    )
    assert mean == pytest.approx(result.mpjpe)
    rows = np.arange(50)[:, None] + np.arange(-4, 5)
    rows = np.concatenate([np.clip(rows[:30], 0, 29), np.clip(rows[30:], 30, 49)])
    ranges = metrics.movement_range(dataset.model_inputs()[rows, :, :2])
    assert [bounds[0], bounds[-1]] == pytest.approx([ranges.min(), ranges.max()])


def test_what_is_written(measured, tmp_path):
    result = measured[2]["zero"]
    said = summary(result)
    for words in ("magnitude", "subset 4", f"without MPJPE {result.mpjpe:.1f}"):
        assert words in said
    paths = write(result, {"limit": 0.2}, tmp_path / "new")
    content = json.loads(paths[0].read_text())
    assert content["settings"] == {"limit": 0.2} and content["mpjpe"] == result.mpjpe
    assert content["shifts"][2]["magnitude"] == result.shifts[2].magnitude
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_numbers_that_cannot_be(config):
    dataset = make_dataset()
    for changes in ({"limit": 0.0}, {"limit": float("nan")}, {"shifts": -1}, {"subsets": 0}):
        with pytest.raises(InputError, match="expected no less than 0 shifts"):
            measure_robustness(lifting(LinearLifter()), {}, dataset, config, **changes)
