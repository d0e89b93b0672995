"""RePOSE on one's own keypoints and poses.

    jrepose train --config custom --workdir runs/own --config.data.path=own.npz
    jrepose evaluate --config custom --checkpoint runs/own \\
        --config.data.path=own.npz

The file holds a few plain arrays, all videos one after another; every key is listed in
jrepose/data/formats/custom.py.  Three videos of two seconds, for example:

    import numpy as np

    frames = 3 * 100
    keypoints = np.zeros((frames, 17, 3))  # your detector: x, y in pixels, confidence
    poses = np.full((frames, 17, 3), 4000.0)  # your motion capture: mm in camera axes
    np.savez(
        "own.npz",
        keypoints_px=keypoints,
        poses_camera_mm=poses,
        intrinsics_px=[1145.0, 1145.0, 960.0, 540.0],  # fx, fy, cx, cy of your camera
        width=1920,
        height=1080,
        video_lengths=[100, 100, 100],
        subjects=["ada", "ben", "cleo"],
        actions=["Walking", "Walking", "Sitting"],
    )

`jrepose inspect own.npz` tells whether the file is as it should be, and draws
a frame of it.  The split below is by subject: put your subjects' names; validation and test may be
(), see docs/datasets.md.

The size is that of `repose_mocap.py:small`, for tens of thousands of frames; with as many as
Human3.6M has, take the model of configs/repose_mocap.py.
"""

from ml_collections import ConfigDict

from jrepose.config import default_config, model_config


def get_config() -> ConfigDict:
    config = default_config()
    config.name = "custom"
    config.data.source = "custom"
    config.data.path = "data/own.npz"
    config.data.split.train = ("ada",)
    config.data.split.validation = ("ben",)
    config.data.split.test = ("cleo",)
    config.clip.frames = 27
    config.clip.stride = 9
    config.clip.evaluation_stride = 27
    config.model = model_config(
        "repose", dim_feat=32, dim_rep=64, depth=2, num_heads=2, mlp_ratio=2, maxlen=27
    )
    # The published weights of 20 hold a network of this size at poses without depth
    # (docs/results.md).
    config.objective.weights.spatial_ranking = 0.2
    config.objective.weights.temporal_ranking = 0.2
    config.training.epochs = 12
    # Few epochs: a larger rate that falls faster than the published 5e-4, x0.99.
    config.training.learning_rate = 2e-3
    config.training.learning_rate_decay = 0.85
    return config
