import dataclasses

import numpy as np
import pytest

from jrepose.config import default_config
from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.description import check_fits, describe
from jrepose.errors import InputError
from jrepose.skeleton import COCO_17, HUMAN36M_17

DATASET = PoseDataset(
    keypoints_px=np.zeros((4, 17, 2), np.float32),
    confidence=np.ones((4, 17), np.float32),
    visible=np.ones((4, 17), bool),
    valid=np.ones(4, bool),
    videos=(Video("a", "ada", "walking", "0", 1000, 1000, 50.0, 0, 4),),
    skeleton=HUMAN36M_17,
    keypoint_skeleton=HUMAN36M_17,
)


def test_other_joints_and_spaces_are_refused_and_other_rates_said(caplog):
    description = describe(DATASET, default_config())
    check_fits(description, DATASET, "runs/a")
    check_fits({}, DATASET, "an older run")
    assert not caplog.text
    for change, said in (
        ({"keypoint_skeleton": COCO_17}, "keypoints of human36m_17.*coco_17.*nose for pelvis"),
        ({"scaling": "person"}, "scaled by the screen.*scaled by the person"),
        ({"target_space": "camera_m"}, "predict image poses.*is camera_m"),
    ):
        with pytest.raises(InputError, match=said):
            check_fits(description, dataclasses.replace(DATASET, **change), "runs/a")
    video = dataclasses.replace(DATASET.videos[0], frame_rate=10.0)
    check_fits(description, dataclasses.replace(DATASET, videos=(video,)), "runs/a")
    assert "runs/a was trained on videos of 50 Hz, these have 10 Hz" in caplog.text
