"""A small dataset of swaying stick figures and a lifter that needs no training."""

import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from jrepose.config import default_config
from jrepose.data.dataset import PoseDataset, Video
from jrepose.skeleton import HUMAN36M_17, Skeleton
from jrepose.tasks.lifting import Lifting

# Rest pose in camera axes (x right, y down, z away), root-relative mm.
REST = np.array([
    [0, 0, 0], [-130, 0, 0], [-130, 440, 30], [-130, 880, 60], [130, 0, 0], [130, 440, 30],
    [130, 880, 60], [0, -230, 10], [0, -480, 0], [0, -580, -60], [0, -680, -20],
    [150, -460, 0], [190, -200, -40], [200, 40, -160], [-150, -460, 0], [-190, -200, -40],
    [-200, 40, -160],
], np.float64)  # fmt: skip
FOCAL_PX = 1145.0


def make_dataset(videos=((30, "Walking"), (20, "Sitting")), seed=0) -> PoseDataset:
    """Videos of the given lengths and actions, everything visible and valid."""
    rng = np.random.default_rng(seed)
    described, start = [], 0
    for number, (frames, action) in enumerate(videos):
        stop = start + frames
        described.append(
            Video(f"v{number}", "s", action, f"c{number}", 1000, 1002, 50.0, start, stop)
        )
        start = stop
    time = np.arange(start)[:, None] / 50.0
    turn = 0.8 * np.sin(2 * np.pi * (time * 0.7 + rng.random()))[..., None]
    x, y, z = np.moveaxis(REST, -1, 0)[:, None]
    poses = np.concatenate(
        [
            x[..., None] * np.cos(turn) + z[..., None] * np.sin(turn),
            np.broadcast_to(y[..., None], (start, 17, 1)),
            z[..., None] * np.cos(turn) - x[..., None] * np.sin(turn),
        ],
        axis=-1,
    )
    poses = poses + rng.normal(size=poses.shape, scale=5.0) + [100.0, 50.0, 4500.0]
    depth = poses[..., 2:]
    pixels = FOCAL_PX * poses[..., :2] / depth + [500.0, 501.0]
    factor = poses[:, 0, 2] / FOCAL_PX
    image_depth = (depth - poses[:, :1, 2:]) / factor[:, None, None]
    return PoseDataset(
        keypoints_px=pixels.astype(np.float32),
        confidence=np.ones((start, 17), np.float32),
        poses_camera_mm=poses.astype(np.float32),
        poses_image_px=np.concatenate([pixels, image_depth], -1).astype(np.float32),
        factor_mm_per_px=factor.astype(np.float32),
        visible=np.ones((start, 17), bool),
        valid=np.ones(start, bool),
        videos=tuple(described),
        skeleton=HUMAN36M_17,
    )


class LinearLifter(nn.Module):
    """Keypoints through one matrix: not good, but deterministic and per frame."""

    @nn.compact
    def __call__(self, keypoints, train):
        return nn.Dense(3)(keypoints)


class MovingAverageLifter(nn.Module):
    """Depends on the whole clip, so that the choice of window matters."""

    @nn.compact
    def __call__(self, keypoints, train):
        return nn.Dense(3)(keypoints) + keypoints.mean((1, 2), keepdims=True)


def lifting(model: nn.Module, skeleton: Skeleton = HUMAN36M_17) -> Lifting:
    """The task of predicting with a model whose keypoints and poses are the same joints."""
    return Lifting(model, skeleton, skeleton)


@pytest.fixture
def config() -> ConfigDict:
    config = default_config()
    config.clip.frames = config.clip.evaluation_stride = 9
    config.evaluation.batch_size = 4
    return config
