"""Scores of several hypotheses against plain NumPy, and what the report says of them."""

import dataclasses
import json

import numpy as np
import pytest
from evaluation.conftest import make_dataset

from jrepose import metrics
from jrepose.data.windows import evaluation_windows
from jrepose.errors import InputError
from jrepose.evaluation import plots, tables
from jrepose.evaluation.protocol import Protocol
from jrepose.evaluation.report import write_report
from jrepose.evaluation.scores import evaluate_predictions

NUMBER = 4


@pytest.fixture(scope="module")
def dataset():
    return make_dataset(((20, "Walking"), (12, "Sitting")))


@pytest.fixture(scope="module")
def predictions(dataset):
    """Around the truth, farther in some frames than in others."""
    rng = np.random.default_rng(0)
    targets = dataset.model_targets()
    scale = np.linspace(0.002, 0.05, len(targets))[:, None, None]
    common, own = rng.normal(size=(1, *targets.shape)), rng.normal(size=(NUMBER, *targets.shape))
    return (targets + scale * (common + own)).astype(np.float32)


def evaluate(dataset, predicted, **options):
    _, index, _, scored = evaluation_windows(dataset.videos, 4, 4)
    chosen = predicted[..., index, :, :]
    return evaluate_predictions(dataset, chosen, index, scored, Protocol(**options))


@pytest.fixture(scope="module")
def result(dataset, predictions):
    return evaluate(dataset, predictions)


def test_scores_against_plain_metrics(dataset, predictions, result):
    single = [evaluate(dataset, one) for one in predictions]
    found = result.hypotheses
    targets = result.per_frame.targets_mm
    poses = np.stack([one.per_frame.poses_mm for one in single])
    np.testing.assert_array_equal(found.per_frame.poses_mm, poses)
    np.testing.assert_allclose(result.per_frame.poses_mm, poses.mean(0), atol=1e-2)
    expected = {}
    for prefix, metric in (("", metrics.mpjpe), ("pa_", metrics.pa_mpjpe)):
        distances = np.stack([metric(one, targets, reduction="none") for one in poses])
        expected[f"{prefix}average"] = distances.mean((0, 2))
        expected[f"{prefix}p_best"] = distances.mean(2).min(0)
        expected[f"{prefix}j_best"] = distances.min(0).mean(1)
    apart = np.square(poses - poses.mean(0)).sum(-1).sum(0) / (NUMBER - 1)
    expected["spread"] = np.sqrt(apart).mean(1)
    assert set(found.scores) == set(expected)
    for name, values in expected.items():
        walking, sitting = values[:20].mean(), values[20:].mean()
        by_action = found.per_action
        np.testing.assert_allclose(by_action["Walking"][name], walking, rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(found.scores[name], (walking + sitting) / 2, rtol=1e-4)
    assert found.scores["j_best"] < found.scores["p_best"] < found.scores["average"]
    # Excluded subjects are left out of these means as of the others.
    without = evaluate(dataset, predictions, exclude=("s/Walking",))
    assert without.hypotheses.scores == pytest.approx(found.per_action["Sitting"])


def test_calibration():
    """Samples of the distribution that the truth is drawn from are calibrated."""
    rng = np.random.default_rng(1)
    dataset = make_dataset(((300, "Walking"),))
    targets = dataset.model_targets()
    centre = targets + 0.02 * (scale := rng.uniform(0.1, 1, (300, 1, 1))) * rng.normal(
        size=targets.shape
    )
    several = centre + 0.02 * scale * rng.normal(size=(NUMBER, *targets.shape))
    several -= several[:, :, :1] - targets[:, :1]  # roots do not differ
    known = evaluate(dataset, several.astype(np.float32)).hypotheses.calibration
    assert known.overconfidence == pytest.approx(1.0, abs=0.05)
    assert known.error < 0.15 * known.expected.mean() and known.rank_correlation > 0.4
    assert (np.diff(known.expected) > 0).all()
    narrow = targets + 0.02 * scale * rng.normal(size=targets.shape)
    narrow = narrow[None] + 0.002 * rng.normal(size=(NUMBER, *targets.shape))
    known = evaluate(dataset, narrow.astype(np.float32)).hypotheses.calibration
    assert known.overconfidence > 4 and abs(known.rank_correlation) < 0.2


def test_one_that_diverged_is_not_hidden(dataset, predictions):
    broken = predictions.copy()
    broken[1, 3, 4] = np.nan
    result = evaluate(dataset, broken)
    for name in ("average", "p_best", "j_best", "spread"):
        assert np.isnan(result.hypotheses.scores[name]), name
    assert np.isfinite(result.hypotheses.per_action["Sitting"]["p_best"])


def test_the_report(dataset, result, tmp_path):
    matplotlib = pytest.importorskip("matplotlib.image")
    paths = {path.name: path for path in write_report(result, dataset, tmp_path, pictures=False)}
    said = tables.summary(result)
    mean = result.hypotheses.scores["p_best"]
    assert "4 hypotheses of every pose" in said and f"{mean:.1f}" in said and "calibration" in said
    content = json.loads(paths["scores.json"].read_text())["hypotheses"]
    assert content["number"] == NUMBER and content["scores"] == result.hypotheses.scores
    assert len(content["calibration"]["found_mm"]) == 10
    with np.load(paths["predictions.npz"]) as archive:
        np.testing.assert_allclose(
            archive["hypotheses_mm"].mean(0), archive["poses_mm"], rtol=1e-4, atol=1e-2
        )
    plots.plot_reliability(result, tmp_path / "reliability.png")
    plots.plot_hypotheses(result, dataset, tmp_path / "hypotheses.png", count=1)
    for name in ("reliability.png", "hypotheses.png"):
        assert matplotlib.imread(tmp_path / name)[..., :3].std() > 0.02
    one = dataclasses.replace(result, hypotheses=None)
    with pytest.raises(InputError, match="there is one of every pose"):
        plots.plot_hypotheses(one, dataset, tmp_path / "x.png")
    with pytest.raises(InputError, match="no calibration without several"):
        plots.plot_reliability(one, tmp_path / "x.png")


def test_unscored_predictions_keep_them(dataset, predictions, tmp_path):
    tables.write_unscored(predictions, dataset, tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as archive:
        np.testing.assert_array_equal(archive["hypotheses"], predictions)
        np.testing.assert_allclose(archive["poses"], predictions.mean(0), rtol=1e-6)
