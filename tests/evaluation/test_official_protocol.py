"""The whole protocol against the official Human3.6M evaluation of a fabricated file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jrepose.data.dataset import PoseDataset, Video
from jrepose.evaluation.predict import predict_clips
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.skeleton import HUMAN36M_17

HEIGHTS = {"54138969": 1002, "60457274": 1002, "55011271": 1000, "58860488": 1000}
BLOCKED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("h36m_sh_mini")[0]


@pytest.fixture(scope="module")
def dataset(arrays):
    columns = {key[5:]: value for key, value in arrays.items() if key.startswith("test/")}
    source = columns["source"]
    starts = [0, *np.flatnonzero(source[1:] != source[:-1]) + 1, len(source)]
    videos = []
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        camera = str(columns["camera_name"][start])
        action = str(columns["action"][start])
        videos.append(
            Video(str(source[start]), "9", action, camera, 1000, HEIGHTS[camera], 50.0,
                  int(start), int(stop))
        )  # fmt: skip
    factor = columns["2.5d_factor"]
    relative = columns["joints_2.5d_image"] / factor[:, None, None]
    return PoseDataset(
        keypoints_px=columns["joint_2d"][..., :2],
        confidence=columns["confidence"][..., 0],
        poses_camera_mm=columns["joints_2.5d_image"].astype(np.float32),
        poses_image_px=relative.astype(np.float32),
        factor_mm_per_px=factor.astype(np.float32),
        visible=np.ones((len(source), 17), bool),
        valid=~np.isin([name[:-6] for name in source], BLOCKED),
        videos=tuple(videos),
        skeleton=HUMAN36M_17,
    )


def last_occurrences(index):
    """Official semantics for a frame that a clip repeats: its last occurrence counts."""
    counted = np.ones(index.shape, bool)
    counted[:, :-1] = index[:, 1:] != index[:, :-1]
    return counted


def check_actions(result, arrays, prefix):
    for name in ("mpjpe", "pa_mpjpe"):
        official = "p_mpjpe" if name == "pa_mpjpe" else name
        computed = [result.per_action[a][name] for a in arrays["output/action_names"]]
        np.testing.assert_allclose(computed, arrays[f"{prefix}/{official}_per_action"], rtol=1e-5)
        np.testing.assert_allclose(result.scores[name], arrays[f"{prefix}/{official}"], rtol=1e-5)


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
            rtol=1e-5,
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
        Stored(), {}, dataset.model_inputs(), index, batch_size=len(index), flip=True,
        skeleton=HUMAN36M_17, devices=jax.devices()[:1],
    )  # fmt: skip
    result = evaluate_predictions(dataset, predictions, index, last_occurrences(index))
    check_actions(result, arrays, "output/eval_flip")
