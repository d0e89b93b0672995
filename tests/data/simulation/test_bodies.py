"""Other bodies and other ways to hold the limbs."""

import dataclasses

import numpy as np
import pytest

from jrepose.config import default_config
from jrepose.data import sources
from jrepose.data.simulation import bodies
from jrepose.data.simulation.bodies import performances, with_other_body, with_other_limbs
from jrepose.data.simulation.procedural import generate_motion
from jrepose.skeleton import HUMAN36M_17


@pytest.fixture(scope="module")
def walk():
    return generate_motion(["ada"], seconds=4.0, frame_rate=20.0, actions=["walking"])[0]


def bones(recording):
    parents, children = np.array(HUMAN36M_17.limbs).T
    return recording.positions_mm[:, children] - recording.positions_mm[:, parents]


def lengths(recording):
    return np.linalg.norm(bones(recording), axis=-1)


def hinge(recording, names):
    """Axis, not normalised, and angle in degrees at the middle one of three joints."""
    first, middle, last = (
        recording.positions_mm[:, HUMAN36M_17.index(name)].astype(np.float64) for name in names
    )
    axis = np.cross(middle - first, last - middle)
    along = ((middle - first) * (last - middle)).sum(-1)
    return axis, np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), along))


def test_another_body_has_other_lengths_and_the_same_directions(walk):
    other = with_other_body(walk, 0.06, seed=0)
    factor = lengths(other) / lengths(walk)
    directions = bones(walk) / lengths(walk)[..., None]
    np.testing.assert_allclose(bones(other) / lengths(other)[..., None], directions, atol=1e-4)
    np.testing.assert_allclose(factor, factor[:1].repeat(len(factor), 0), rtol=1e-3)
    ends = [child for _, child in HUMAN36M_17.limbs]
    of_joint = dict(zip((HUMAN36M_17.joint_names[end] for end in ends), factor[0], strict=True))
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        assert of_joint[f"left_{joint}"] == pytest.approx(of_joint[f"right_{joint}"], rel=1e-3)
    for one, other in (("left_knee", "left_ankle"), ("spine", "thorax"), ("neck", "head")):
        assert of_joint[one] == pytest.approx(of_joint[other], rel=1e-3)
    assert not any(abs(factor - 1) < 1e-3 for factor in of_joint.values())
    assert len({round(float(f), 3) for f in of_joint.values()}) >= 6


def test_other_limbs_keep_lengths_and_the_way_that_hinges_bend(walk):
    other = with_other_limbs(walk, 20.0, seed=0)
    np.testing.assert_allclose(lengths(other), lengths(walk), rtol=1e-4)
    changed = np.linalg.norm(bones(other) - bones(walk), axis=-1) / lengths(walk)
    assert changed.mean() > 0.1
    for side in ("left", "right"):
        names = [f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")]
        assert np.abs(hinge(other, names)[1] - hinge(walk, names)[1]).max() > 2


def test_limbs_turn_slowly(walk):
    other = with_other_limbs(walk, 20.0, seed=0)
    steps = [np.linalg.norm(np.diff(r.positions_mm, axis=0), axis=-1).max() for r in (walk, other)]
    assert steps[1] < 2 * steps[0]


def test_a_hinge_does_not_bend_backwards(walk, monkeypatch):
    monkeypatch.setattr(bodies, "_TURNS", {})
    other = with_other_limbs(walk, 60.0, seed=0)
    for side in ("left", "right"):
        for names in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            joints = [f"{side}_{name}" for name in names]
            (axis, bend), (axis_before, bend_before) = hinge(other, joints), hinge(walk, joints)
            clear = bend_before > 15
            assert clear.any() and np.abs(bend - bend_before)[clear].max() > 20
            assert ((axis * axis_before).sum(-1) > 0)[clear].all()
            assert bend.max() <= 150.1 and bend[clear].min() > 3.9


def test_seed_and_name_decide(walk):
    for change in (
        lambda r, seed: with_other_limbs(r, 10.0, seed),
        lambda r, seed: with_other_body(r, 0.05, seed),
    ):
        first = change(walk, 0).positions_mm
        np.testing.assert_array_equal(change(walk, 0).positions_mm, first)
        assert not np.array_equal(change(walk, 1).positions_mm, first)
        renamed = dataclasses.replace(walk, name="else")
        assert not np.array_equal(change(renamed, 0).positions_mm, first)


def test_performances_are_named_and_differ(walk):
    copies = performances([walk], 3, 0.05, 10.0, seed=0)
    assert [copy.name for copy in copies] == [walk.name, f"{walk.name}_2", f"{walk.name}_3"]
    assert {copy.subject for copy in copies} == {walk.subject}
    poses = [copy.positions_mm for copy in copies]
    assert not np.array_equal(poses[0], poses[1]) and not np.array_equal(poses[1], poses[2])
    (alone,) = performances([walk], 1, 0.0, 0.0, seed=0)
    np.testing.assert_array_equal(alone.positions_mm, walk.positions_mm)


def test_only_training_is_varied():
    config = default_config()
    data = config.data
    data.source, data.seconds, data.frame_rate = "procedural", 2.0, 10.0
    data.rig.cameras = 1
    data.split.update(train=("ada",), validation=("bo",), test=("cy",))
    plain = sources.load_splits(data)
    data.copies, data.procedural_people, data.limb_spread_deg = 2, 1, 10.0
    varied = sources.load_splits(data)
    assert len(varied["train"].videos) == 4 * len(plain["train"].videos)
    assert {video.subject for video in varied["train"].videos} == {"ada", "procedural0"}
    for split in ("validation", "test"):
        np.testing.assert_array_equal(varied[split].poses_camera_mm, plain[split].poses_camera_mm)
