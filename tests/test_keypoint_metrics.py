"""AP, AR, PCK and squared error of keypoints against cases by hand."""

import numpy as np
import pytest

from jrepose import keypoint_metrics
from jrepose.camera import square_crop
from jrepose.errors import InputError
from jrepose.keypoint_metrics import (
    COCO_SIGMAS,
    Annotated,
    Detected,
    average_precision,
    mean_squared_error,
    oks,
    pck,
)

SIGMAS = np.array([0.05, 0.1])


def people(*places, image=None, area=50.0**2):
    """Two keypoints each, 20 px apart."""
    x = np.array(places, float)
    keypoints = np.stack([np.stack([x, x], 1), np.stack([x + 20, x], 1)], 1)
    count = len(places)
    return Annotated(
        keypoints,
        np.ones((count, 2), bool),
        np.full(count, area),
        np.stack([x, x, np.full(count, 40.0), np.full(count, 60.0)], 1),
        np.arange(count) if image is None else np.array(image),
    )


def found(annotated, *moves, image=None, score=None):
    """Detections that are the first people's, moved to the right."""
    count = len(moves)
    keypoints = annotated.keypoints[:count] + np.array(moves)[:, None, None] * [1.0, 0.0]
    score = np.linspace(0.9, 0.5, count) if score is None else np.array(score)
    return Detected(keypoints, score, np.arange(count) if image is None else np.array(image))


def test_similarity_by_hand():
    one = people(100.0)
    expected = np.exp(-9 / (2 * (2 * SIGMAS) ** 2 * 2500)).mean()
    assert oks(found(one, 3.0).keypoints, one, SIGMAS)[0, 0] == pytest.approx(expected)
    hidden = one._replace(visible=np.array([[True, False]]))
    assert oks(found(one, 3.0).keypoints, hidden, SIGMAS)[0, 0] == pytest.approx(
        np.exp(-9 / (2 * 0.01 * 2500))
    )
    # Nobody to be seen: the box reaches from 60 to 180 in x, from 40 to 220 in y.
    nobody = one._replace(visible=np.zeros((1, 2), bool))
    moved = found(one, 65.0).keypoints  # x is 165 and 185
    assert oks(moved, nobody, SIGMAS)[0, 0] == pytest.approx(
        (1 + np.exp(-25 / (2 * 0.04 * 2500))) / 2
    )


def test_precision_and_recall_by_hand():
    everyone = people(100.0, 200.0, 300.0, 400.0)
    summary = average_precision(found(everyone, 0.0, 0.0, 0.0, 0.0), everyone, SIGMAS).summary
    assert summary["AP"] == pytest.approx(1) and summary["AR"] == 1 and summary["AP_M"] > 0.99
    assert np.isnan(summary["AP_L"]) and np.isnan(summary["AR_L"])
    # The surest is wrong, two of four are found: precision 1/2 and 2/3 up to a recall of 1/2.
    result = average_precision(found(everyone, 500.0, 0.0, 0.0), everyone, SIGMAS)
    np.testing.assert_allclose(result.recall, 0.5)
    np.testing.assert_allclose(result.precision[0, :51], 2 / 3)
    assert not result.precision[0, 51:].any()


def test_areas_and_what_counts_in_them():
    """Someone of just 96 x 96 is medium and large; who is found small and wrong is neither."""
    one = people(100.0, area=96.0**2)
    summary = average_precision(found(one, 0.0), one, SIGMAS).summary
    assert summary["AP_M"] == pytest.approx(1) and summary["AP_L"] == pytest.approx(1)
    twice = Detected(
        np.repeat(one.keypoints, 2, 0) + [[[500.0, 0]], [[0, 0]]], np.array([0.9, 0.8]),
        np.zeros(2, int),
    )  # fmt: skip
    summary = average_precision(twice, one, SIGMAS).summary
    assert summary["AP"] == pytest.approx(0.5) and summary["AP_M"] == pytest.approx(1)


def test_whoever_cannot_be_seen_is_ignored():
    everyone = people(100.0, 200.0)
    everyone.visible[1] = False
    result = average_precision(found(everyone, 0.0, 0.0), everyone, SIGMAS)
    assert result.summary["AP"] == pytest.approx(1)
    nobody = average_precision(found(everyone, 0.0), everyone._replace(
        visible=np.zeros((2, 2), bool)), SIGMAS)  # fmt: skip
    assert all(np.isnan(value) for value in nobody.summary.values())


def test_one_partner_each():
    """Two detections of the same person: the surer one takes it, the other is wrong."""
    one = people(100.0)
    twice = Detected(np.repeat(one.keypoints, 2, 0) + [[[1.0, 0]], [[0, 0]]], np.array([0.9, 0.8]),
                     np.zeros(2, int))  # fmt: skip
    result = average_precision(twice, one, SIGMAS)
    np.testing.assert_allclose(result.precision[0], 1)
    swapped = average_precision(twice._replace(score=np.array([0.8, 0.9])), one, SIGMAS)
    assert swapped.summary["AP"] == pytest.approx(1)
    # In another image it has no partner.
    elsewhere = average_precision(twice._replace(image=np.array([1, 0])), one, SIGMAS)
    np.testing.assert_allclose(elsewhere.precision[0], 0.5)


def test_sigmas_are_one_per_joint():
    one = people(100.0)
    with pytest.raises(InputError, match="17 sigmas, detections of 2 joints"):
        average_precision(found(one, 0.0), one, COCO_SIGMAS)
    assert len(keypoint_metrics.HUMAN36M_SIGMAS) == 17


def test_correct_keypoints_by_hand():
    target = np.zeros((2, 3, 2))
    predicted = np.array([[[3.0, 4], [0, 0], [9, 0]], [[0, 1], [6, 8], [9, 0]]])
    visible = np.array([[True, True, False], [True, True, False]])
    result = pck(predicted, target, visible, threshold=0.05, size=np.array([100.0, 100.0]))
    np.testing.assert_array_equal(result.per_joint, [0.5, 0.5, np.nan])  # 5 px are too many
    assert (result.mean, result.pooled) == (0.5, 0.5)
    assert pck(predicted, target, visible, threshold=0.05, size=101.0).per_joint[0] == 1
    assert mean_squared_error(predicted, target) == pytest.approx((25 + 1 + 100 + 81 * 2) / 12)
    assert mean_squared_error(predicted, target, visible) == pytest.approx(126 / 8)


def test_a_square_crop():
    crop = square_crop(np.array([[10.0, 20.0, 30.0, 80.0]]))
    assert crop.side[0] == 100
    centre, corner = np.array([25.0, 60, 1]), np.array([-25.0, 10, 1])
    np.testing.assert_allclose(crop.to_crop[0] @ centre, [112, 112])
    np.testing.assert_allclose(crop.to_crop[0] @ corner, [0, 0], atol=1e-9)
    np.testing.assert_allclose(crop.to_image[0] @ [0, 0, 1], corner[:2])
