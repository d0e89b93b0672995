"""VideoPose3D's metrics of one unchunked sequence, as the official code computes them."""

import numpy as np

from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.windows import evaluation_windows
from jrepose.evaluation.protocol import Protocol, counted_entries
from jrepose.evaluation.scores import evaluate_predictions
from jrepose.interop.fixtures.arrays import numbered_skeleton

NAMES = {"mpjpe": "mpjpe", "p_mpjpe": "pa_mpjpe", "n_mpjpe": "n_mpjpe", "mpjve": "mpjve"}


def test_sequence_with_averaged_predictions(golden):
    arrays, _ = golden("videopose3d")
    (targets,) = arrays["target/eval_padded"]
    predictions = arrays["output/eval_padded_tta"]
    frames, joints = targets.shape[:2]
    dataset = PoseDataset(
        keypoints_px=np.zeros((frames, joints, 2), np.float32),
        confidence=np.ones((frames, joints), np.float32),
        visible=np.ones((frames, joints), bool),
        valid=np.ones(frames, bool),
        videos=(Video("S9/Eating", "S9", "Eating", "0", 1000, 1002, 50.0, 0, frames),),
        skeleton=numbered_skeleton(joints),
        poses_camera_mm=targets * np.float32(1000),
        target_space="camera_m",
    )
    windows = evaluation_windows(dataset.videos, frames, frames)
    result = evaluate_predictions(
        dataset,
        predictions,
        windows.targets,
        counted_entries(windows, "once"),
        Protocol(root="keep"),
    )
    for official, name in NAMES.items():
        expected = 1000 * float(arrays[f"loss/eval_{official}"])
        np.testing.assert_allclose(result.scores[name], expected, rtol=1e-5, err_msg=name)
