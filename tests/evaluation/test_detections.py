"""Keypoints in images: scores, files, and the poses that are lifted from them."""

import json

import flax.linen as nn
import jax.numpy as jnp
import moments
import numpy as np
import pytest

from jrepose.config import load_config
from jrepose.errors import InputError
from jrepose.evaluation.detection_report import summary, write_detections
from jrepose.evaluation.detections import detect_dataset, detection_scores, evaluate_detections
from jrepose.evaluation.two_stages import found_as_poses
from jrepose.keypoint_metrics import HUMAN36M_SIGMAS, OKS_THRESHOLDS
from jrepose.motion.keypoints import read_keypoints
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.detection import Detection


@pytest.fixture(scope="module")
def config():
    return load_config("multiview_rendered:small")


@pytest.fixture(scope="module")
def dataset():
    return moments.dataset()  # crops of 32 px, two image pixels each; boxes of 50 x 50


@pytest.fixture
def found(dataset):
    """One pixel off in x, but for a wrist in the second view."""
    found = dataset.joints_px + np.float32([1, 0])
    found[:, 1, 13, 1] += 10
    found[~dataset.views_seen] = np.nan
    return found


def test_scores(dataset, found, config):
    scores = detection_scores(dataset, found, config)
    assert scores["images"] == 18  # the last view of the second sequence is absent
    seen, wrong = dataset.joints_seen, np.zeros_like(dataset.joints_seen)
    wrong[:, 1, 13] = True
    joints = [100 * (1 - (wrong & seen)[..., j].sum() / seen[..., j].sum()) for j in range(17)]
    # 0.05 of 50 image pixels are 1.25 of the crop's.
    np.testing.assert_allclose(scores["pck_box"], np.mean(joints), rtol=1e-5)
    squared = (seen.sum() + 100 * (wrong & seen).sum()) / (2 * seen.sum())
    np.testing.assert_allclose(scores["mse"], squared, rtol=1e-4)
    assert "hidden_px" not in scores
    exact = detection_scores(dataset, dataset.joints_px, config)
    assert (exact["ap"], exact["ar"], exact["pck_box"], exact["mse"]) == (100, 100, 100, 0)
    assert scores["ap"] < 100


def test_sizes_of_people_are_in_pixels_of_their_images(dataset, config):
    """3 crop pixels off are 6 of the image, for a person of 50 x 50."""
    scores = detection_scores(dataset, dataset.joints_px + np.float32([3, 0]), config)
    similar = np.exp(-36 / (2 * (2 * np.array(HUMAN36M_SIGMAS)) ** 2 * 50 * 50))
    seen = dataset.joints_seen[dataset.views_seen]
    similar = (similar * seen).sum(-1) / seen.sum(-1)
    recall = [(similar >= threshold).mean() for threshold in OKS_THRESHOLDS]
    assert 10 < scores["ar"] < 90
    np.testing.assert_allclose(scores["ar"], 100 * np.mean(recall), rtol=1e-5)
    np.testing.assert_allclose(scores["error_px"], 3, rtol=1e-5)
    # 0.05 of 50 image pixels are 1.25 of the crop's, and 0.05 of the crop 1.6.
    near = detection_scores(dataset, dataset.joints_px + np.float32([1.5, 0]), config)
    assert (near["pck_box"], near["pck_image"]) == (0, 100)


class Still(Detection):
    """Finds everything in one place."""

    inputs = ("views_seen",)

    def detect(self, variables, batch, keys, *, flip):
        return jnp.full((*batch["views_seen"].shape, 17, 2), 5.0)


def test_nothing_is_found_where_there_is_no_image(dataset, config):
    config = config.copy_and_resolve_references()
    config.clip.update(frames=6, stride=6, evaluation_stride=6)
    config.evaluation.update(batch_size=2, flip=False)
    found = detect_dataset(Still(nn.Module(), HUMAN36M_17), {}, dataset, config)
    expected = np.where(dataset.views_seen[..., None, None], 5, np.nan)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


def test_parts(dataset, found, config):
    with config.unlocked():
        config.published = "multiview-32"
    result = evaluate_detections(dataset, found, config)
    assert list(result.per_view) == ["camera_0", "camera_1"]
    np.testing.assert_allclose(result.per_view["camera_0"]["mse"], 0.5, rtol=1e-4)
    assert result.per_view["camera_0"]["pck_box"] == 100 > result.per_view["camera_1"]["pck_box"]
    assert result.per_joint["left_wrist"]["pck_box"] < 100
    assert result.per_joint["right_wrist"]["pck_box"] == 100
    parts = [result.per_stretch[name]["images"] for name in ("occluded", "clear")]
    hidden = ~dataset.joints_seen.all(-1) & dataset.views_seen
    assert parts == [hidden.sum(), (dataset.views_seen & ~hidden).sum()]
    table = summary(result)
    assert "published" in table and "91.4" in table and "camera camera_1" in table
    config.published = "another"
    with pytest.raises(InputError, match="config.published is 'another', expected one of multiv"):
        evaluate_detections(dataset, found, config)
    config.published = None


def test_hidden_joints_and_what_hides_them(dataset, found, config):
    occluded = np.zeros(dataset.views_seen.shape, bool)
    occluded[3, 0] = True
    poses = np.zeros((*dataset.joints_px.shape[:3], 3), np.float32)
    known = dataset.__class__(
        **{**{k: getattr(dataset, k) for k in dataset.__dataclass_fields__},
           "occluded": occluded, "poses_camera_mm": poses}
    )  # fmt: skip
    result = evaluate_detections(known, found, config)
    assert result.per_stretch["occluded"]["images"] == 1
    np.testing.assert_allclose(result.per_view["camera_0"]["hidden_px"], 1, rtol=1e-3)
    assert result.settings["occluded_means"].startswith("something stands")


def test_files(dataset, found, config, tmp_path):
    result = evaluate_detections(dataset, found, config)
    written = write_detections(result, dataset, tmp_path)
    assert {path.name for path in written} >= {"scores.json", "per_stretch.csv", "predictions.npz"}
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["per_joint"]["head"]["pck_box"] == 100
    with np.load(tmp_path / "predictions.npz") as archive:
        np.testing.assert_allclose(
            archive["keypoints_px"][0, 0], 2 * found[0, 0] + [5, 10], rtol=1e-5
        )
        assert archive["cameras"][-1].tolist() == ["camera_0", ""]
        assert archive["sequence"][6] == "s1"
    names = sorted(path.name for path in (tmp_path / "keypoints").iterdir())
    assert names == ["s0_camera_0.json", "s0_camera_1.json", "s1_camera_0.json"]
    (person,) = read_keypoints(
        tmp_path / "keypoints" / names[1], size=(100, 100), layout=HUMAN36M_17.name
    )
    np.testing.assert_allclose(person.keypoints_px, result.image_px[:6, 1], atol=1e-3)


def test_videos_for_a_lifter(dataset, found, config):
    image_px = evaluate_detections(dataset, found, config).image_px
    image_px[4:6, 0] = np.nan
    poses = found_as_poses(dataset, image_px, target_space="camera_m")
    assert [video.name for video in poses.videos] == ["s0/camera_0", "s0/camera_1", "s1/camera_0"]
    np.testing.assert_array_equal(poses.keypoints_px[6:12], image_px[:6, 1])
    # Where the view is absent the last that was found stands for it.
    np.testing.assert_array_equal(poses.keypoints_px[5], image_px[3, 0])
    assert poses.valid.tolist() == [True] * 4 + [False] * 2 + [True] * 12
    assert poses.confidence[:, 0].tolist() == [1] * 4 + [0] * 2 + [1] * 12
    assert not poses.labelled
    with pytest.raises(InputError, match="no keypoints were found"):
        found_as_poses(dataset, np.full_like(image_px, np.nan), target_space="camera_m")
