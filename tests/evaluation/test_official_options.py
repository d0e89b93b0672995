"""Root handling and kept keypoints against the official Human3.6M evaluation."""

import dataclasses

import numpy as np
import pytest

# Fixtures: the fabricated file, and the dataset made of it.
from evaluation.test_official_protocol import arrays, check_actions, dataset  # noqa: F401
from evaluation.test_official_protocol import last_occurrences as counted_of

from jrepose.errors import InputError
from jrepose.evaluation.protocol import Protocol
from jrepose.evaluation.scores import evaluate_predictions


def evaluate(dataset, arrays, predictions, **options):  # noqa: F811
    index = arrays["output/test_clips"]
    counted = counted_of(index)
    return evaluate_predictions(dataset, predictions, index, counted, Protocol(**options))


def test_root_set_to_zero(arrays, dataset):  # noqa: F811
    predictions = arrays["input/pred"].copy()
    result = evaluate(dataset, arrays, predictions, root="zero")
    check_actions(result, arrays, "output/eval_rootrel")
    np.testing.assert_array_equal(predictions, arrays["input/pred"])


def test_predicted_xy_replaced_by_the_inputs(arrays, dataset):  # noqa: F811
    result = evaluate(dataset, arrays, arrays["input/pred"], keep_keypoints=True)
    check_actions(result, arrays, "output/eval_gt_2d")


def test_labels_have_the_official_rounding_error_only(arrays, dataset):  # noqa: F811
    result = evaluate(dataset, arrays, arrays["output/test_label"])
    for name, official in (("mpjpe", "mpjpe"), ("pa_mpjpe", "p_mpjpe")):
        bound = 10 * arrays[f"output/eval_labels/{official}"]
        assert 0 < result.scores[name] < bound


def test_choices_that_make_no_sense_in_image_space(arrays, dataset):  # noqa: F811
    with pytest.raises(InputError, match="root is 'keep'"):
        evaluate(dataset, arrays, arrays["input/pred"], root="keep")
    with pytest.raises(InputError, match="unknown evaluation.root 'drop'.*subtract, zero, keep"):
        evaluate(dataset, arrays, arrays["input/pred"], root="drop")
    metric = dataclasses.replace(dataset, target_space="camera_m")
    with pytest.raises(InputError, match="keep_keypoints needs .* image space"):
        evaluate(metric, arrays, arrays["input/pred"], keep_keypoints=True)
