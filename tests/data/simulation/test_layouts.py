"""Keypoints through detectors' layouts: where joints go, what is missing, what stays."""

import numpy as np
import pytest

from jrepose.data.mocap.recording import Recording
from jrepose.data.scaling import person_scale
from jrepose.data.simulation.bodies import with_other_body
from jrepose.data.simulation.detector import Detections, DetectorConfig
from jrepose.data.simulation.layouts import through_layout
from jrepose.data.simulation.procedural import generate_motion
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

FRAMES = 30
J = HUMAN36M_17.index


def person(mirrored: bool = False) -> np.ndarray:
    """Pixels of somebody who faces the camera and stands still, or shows the back."""
    places = {"pelvis": (0, 0), "hip": (12, 2), "knee": (13, 45), "ankle": (14, 88),
              "spine": (0, -22), "thorax": (0, -49), "neck": (0, -60), "head": (0, -75),
              "shoulder": (18, -46), "elbow": (25, -18), "wrist": (30, 8)}  # fmt: skip
    rows = []
    for name in HUMAN36M_17.joint_names:
        x, y = places[name.split("_")[-1]]
        # Who faces the camera has the left at the right of the picture.
        sign = -1 if name.startswith("right") != mirrored else 1
        rows.append((500 + sign * x, 500 + y))
    return np.tile(np.array(rows, np.float32), (FRAMES, 1, 1))


def through(layout: str, points=None, sure=None, **fields) -> Detections:
    points = person() if points is None else points
    sure = np.full((len(points), 17), 0.8, np.float32) if sure is None else sure
    config = DetectorConfig(layouts=layout, **fields)
    return through_layout(Detections(points, sure), config, seed=0, names=("r", "camera_0"))


def test_human36m_stays_as_it_is():
    found = through("human36m_17")
    np.testing.assert_array_equal(found.keypoints_px, person())
    np.testing.assert_allclose(found.confidence, 0.8)


def test_coco_has_no_pelvis_no_thorax_and_the_eyes_for_a_head():
    given, found = person(), through("coco_17").keypoints_px
    hips, shoulders = (given[:, [J(f"{s}_{p}") for s in ("left", "right")]].mean(1)
                       for p in ("hip", "shoulder"))  # fmt: skip
    np.testing.assert_allclose(found[:, J("pelvis")], hips, atol=1e-3)
    np.testing.assert_allclose(found[:, J("thorax")], shoulders, atol=1e-3)
    np.testing.assert_allclose(found[:, J("spine")], (hips + shoulders) / 2, atol=1e-3)
    eyes = 0.7 * given[:, J("neck")] + 0.3 * given[:, J("head")]
    np.testing.assert_allclose(found[:, J("head")], eyes, atol=1e-3)
    for name in ("left_knee", "right_wrist", "neck"):
        np.testing.assert_array_equal(found[:, J(name)], given[:, J(name)])
    top = through("halpe_26").keypoints_px[:, J("head")]
    np.testing.assert_allclose(top, given[:, J("head")], atol=1e-3)


def test_a_face_turned_away_is_missing_and_replaced():
    back = person(mirrored=True)
    given = through("body_25b", back).keypoints_px[0, J("neck")]
    found = through("body_25b", back, face_missing_share=1.0).keypoints_px[0, J("neck")]
    np.testing.assert_allclose(given, back[0, J("neck")], atol=1e-3)
    np.testing.assert_allclose(
        found, 0.7 * back[0, J("thorax")] + 0.3 * back[0, J("head")], atol=1e-3
    )
    front = through("body_25b", face_missing_share=1.0).keypoints_px[0, J("neck")]
    np.testing.assert_allclose(front, person()[0, J("neck")], atol=1e-3)


def test_gaps_are_filled_and_stay_at_confidence_0():
    points, sure = person(), np.full((FRAMES, 17), 0.8, np.float32)
    points[:, J("left_wrist"), 0] += np.arange(FRAMES)
    straight = points.copy()
    points[10:20, J("left_wrist")], sure[10:20, J("left_wrist")] = 0, 0
    found = through("coco_17", points, sure)
    np.testing.assert_allclose(
        found.keypoints_px[:, J("left_wrist")], straight[:, J("left_wrist")], atol=1e-3
    )
    assert (found.confidence[10:20, J("left_wrist")] == 0).all()


def test_confidences_of_other_detectors():
    np.testing.assert_allclose(
        through("coco_17", confidence_exponents=(2.0, 2.0)).confidence, 0.64, atol=1e-3
    )
    assert (through("coco_17", no_confidence_share=1.0).confidence == 1).all()


def test_unknown_layouts_are_refused():
    with pytest.raises(InputError, match="layouts has 'coco'"):
        through("coco")


def test_the_persons_frame_follows_place_and_size():
    points = person().astype(np.float64)
    centre, unit, _ = person_scale(points, HUMAN36M_17, 20.0)
    moved, larger, _ = person_scale(points * 3 + [100, -50], HUMAN36M_17, 20.0)
    np.testing.assert_allclose(moved, centre * 3 + [100, -50])
    np.testing.assert_allclose(larger, unit * 3)
    assert 90 < unit[0] < 130  # about a metre of this person of 1.7 m, 163 pixels from ankle to top


def test_another_body_moves_the_same_way():
    (recording,) = generate_motion(["ann"], seconds=1.0, actions=["walking"])
    other = with_other_body(recording, 0.1, seed=1)
    assert isinstance(other, Recording) and other.name == recording.name
    for parent, child in HUMAN36M_17.limbs:
        one, two = (
            r.positions_mm[:, child] - r.positions_mm[:, parent] for r in (recording, other)
        )
        lengths = np.linalg.norm(one, axis=-1), np.linalg.norm(two, axis=-1)
        factors = lengths[1] / lengths[0]
        assert factors.std() < 1e-4 and 0.49 < factors.mean() < 1.51
        np.testing.assert_allclose(two / lengths[1][:, None], one / lengths[0][:, None], atol=1e-3)
    knees = [J("left_knee"), J("right_knee")]
    thighs = np.linalg.norm(
        other.positions_mm[:, knees] - other.positions_mm[:, [J("left_hip"), J("right_hip")]],
        axis=-1,
    )
    np.testing.assert_allclose(thighs[:, 0], thighs[:, 1], rtol=1e-4)
    ankles = [J("left_ankle"), J("right_ankle")]
    lowest = [r.positions_mm[:, ankles, 2].min() for r in (recording, other)]
    assert abs(lowest[1] - lowest[0]) < 25
