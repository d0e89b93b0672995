"""The whole protocol against the official Human3.6M evaluation of a fabricated file."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.conftest import lifting
from flax import linen as nn

from jrepose.data.columns import columns_of
from jrepose.data.formats.human36m_sh import FILE_NAME, read_human36m_sh
from jrepose.evaluation.predict import predict_clips
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.interop.fixtures.arrays import below


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("h36m_sh_mini")[0]


@pytest.fixture(scope="module")
def dataset(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("human36m_sh") / FILE_NAME
    content = {split: below(arrays, f"{split}/") for split in ("train", "test")}
    path.write_bytes(pickle.dumps(content))
    return read_human36m_sh(path)["test"]


def last_occurrences(index):
    """Official semantics for a frame that a clip repeats: its last occurrence counts."""
    counted = np.ones(index.shape, bool)
    counted[:, :-1] = index[:, 1:] != index[:, :-1]
    return counted


def check_actions(result, arrays, prefix):
    for name in ("mpjpe", "pa_mpjpe"):
        official = "p_mpjpe" if name == "pa_mpjpe" else name
        computed = [result.per_action[a][name] for a in arrays["output/action_names"]]
        np.testing.assert_allclose(computed, arrays[f"{prefix}/{official}_per_action"], rtol=1e-6)
        np.testing.assert_allclose(result.scores[name], arrays[f"{prefix}/{official}"], rtol=1e-6)


def test_plain(arrays, dataset):
    index = arrays["output/test_clips"]
    result = evaluate_predictions(dataset, arrays["input/pred"], index, last_occurrences(index))
    check_actions(result, arrays, "output/eval_plain")
    evaluated = arrays["output/frame_count_plain"] > 0
    np.testing.assert_array_equal(result.per_frame.evaluated, evaluated)
    for name, official in (("mpjpe", "frame_mpjpe_plain"), ("pa_mpjpe", "frame_p_mpjpe_plain")):
        np.testing.assert_allclose(
            getattr(result.per_frame, name)[evaluated].mean(-1),
            arrays[f"output/{official}"][evaluated],
            rtol=1e-5,  # float32 millimetres from the image's corner
        )


def test_overlapping_clips_average_errors(arrays, dataset):
    index = arrays["output/overlap/test_clips"]
    result = evaluate_predictions(
        dataset, arrays["output/overlap/pred"], index, last_occurrences(index)
    )
    check_actions(result, arrays, "output/overlap")


def test_labels_as_predictions(arrays, dataset):
    index = arrays["output/test_clips"]
    labels = dataset.model_targets()[index]
    result = evaluate_predictions(dataset, labels, index, last_occurrences(index))
    assert result.scores["mpjpe"] < 1e-3


def test_flip(arrays, dataset):
    index = arrays["output/test_clips"]
    stored = jnp.asarray(np.concatenate([arrays["input/pred"], arrays["input/pred_flipped"]]))

    class Stored(nn.Module):
        """Answers with the stored outputs for the clips and for the mirrored clips."""

        def __call__(self, keypoints, train):
            return stored

    predictions = predict_clips(
        lifting(Stored()), {}, columns_of(dataset, ("keypoints",)), index,
        targets=index.shape[1], batch_size=len(index), flip=True, devices=jax.devices()[:1],
    )  # fmt: skip
    result = evaluate_predictions(dataset, predictions, index, last_occurrences(index))
    check_actions(result, arrays, "output/eval_flip")
