"""Self-occlusion: constructed cases and a brute-force oracle."""

import time

import numpy as np
import pytest

from jrepose.data.simulation.occlusion import HUMAN36M_BODY, Capsule, self_occlusion
from jrepose.data.simulation.procedural import generate_motion
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

J = {name: k for k, name in enumerate(HUMAN36M_17.joint_names)}
CAPSULES = [capsule.name for capsule in HUMAN36M_BODY]


def standing(facing):
    """A person 5 m in front of the camera, arms hanging; camera axes, mm.

    `facing` is the direction of the person's left hand: (1, 0, 0) for someone who faces the
    camera, (0, 0, -1) with the left side to the camera.
    """
    left = np.array(facing, float)
    up = np.array([0.0, -1, 0])
    joints = np.zeros((17, 3))

    def put(name, sideways, height):
        joints[J[name]] = sideways * left + height * up

    for name, height in {
        "pelvis": 0, "spine": 230, "thorax": 480, "neck": 590, "head": 700,
    }.items():  # fmt: skip
        put(name, 0, height)
    for side, sign in (("left", 1), ("right", -1)):
        put(f"{side}_hip", 130 * sign, 0)
        put(f"{side}_knee", 130 * sign, -440)
        put(f"{side}_ankle", 130 * sign, -870)
        put(f"{side}_shoulder", 160 * sign, 460)
        put(f"{side}_elbow", 240 * sign, 190)
        put(f"{side}_wrist", 260 * sign, -50)
    return joints + [0, 0, 5000.0]


def hidden_names(joints, **settings):
    found = self_occlusion(joints[None], **settings)
    return {HUMAN36M_17.joint_names[j] for j in np.flatnonzero(found.hidden[0])}


def test_someone_who_faces_the_camera_hides_nothing():
    assert hidden_names(standing((1, 0, 0))) == set()
    assert hidden_names(standing((-1, 0, 0))) == set()


def test_side_view_hides_the_far_limbs_only():
    hidden = hidden_names(standing((0, 0, -1)))
    far = {"right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow", "right_wrist"}
    # Near arm in front of the trunk's own joints may hide those; nothing on the near side goes.
    assert far <= hidden
    assert not {name for name in hidden if name.startswith("left")} - {"left_hip"}
    assert "head" not in hidden and "neck" not in hidden
    mirrored = hidden_names(standing((0, 0, 1)))
    assert {name.replace("right", "left") for name in far} <= mirrored


def test_a_hand_behind_the_back_is_hidden_in_front_it_is_not():
    joints = standing((1, 0, 0))
    joints[J["left_elbow"]] = [230, -200, 5120]
    joints[J["left_wrist"]] = [40, -150, 5200]
    assert hidden_names(joints) == {"left_wrist"}
    occluder = self_occlusion(joints[None]).occluder[0, J["left_wrist"]]
    assert CAPSULES[occluder] in ("trunk", "left flank")

    joints[J["left_elbow"]] = [230, -200, 4880]
    joints[J["left_wrist"]] = [40, -150, 4800]
    # In front of the body it is seen, and now hides the trunk behind it.
    assert "left_wrist" not in hidden_names(joints)


def test_offset_to_the_occluder_points_at_its_axis():
    joints = standing((1, 0, 0))
    joints[J["left_elbow"]] = [230, -200, 5120]
    joints[J["left_wrist"]] = [5, -150, 5200]
    found = self_occlusion(joints[None])
    wrist = J["left_wrist"]
    nearest = found.toward_mm[0, wrist] + joints[wrist]
    assert CAPSULES[found.occluder[0, wrist]] == "trunk"
    # The trunk's axis: x = 0 and the pelvis's depth.
    np.testing.assert_allclose(nearest[[0, 2]], [0, 5000], atol=0.5)
    np.testing.assert_array_equal(found.toward_mm[~found.hidden], 0)
    np.testing.assert_array_equal(found.occluder[~found.hidden], -1)


def test_own_limbs_never_hide_a_joint():
    joints = standing((1, 0, 0))
    # The forearm points straight at the camera, in front of its own elbow.
    joints[J["left_elbow"]] = [400, -400, 5000]
    joints[J["left_wrist"]] = [380, -380, 4750]
    assert "left_elbow" not in hidden_names(joints)


def test_radius_scale_and_clearance():
    joints = standing((0, 0, -1))
    assert hidden_names(joints, radius_scale=0.0) == set()
    assert hidden_names(joints, clearance_mm=1e4) == set()
    assert len(hidden_names(joints, radius_scale=2.0)) >= len(hidden_names(joints))


def test_scale_of_the_scene_along_the_rays_does_not_matter():
    """A body twice as large and twice as far away casts the same image."""
    joints = standing((0.3, 0, -0.95))
    once = self_occlusion(joints[None], clearance_mm=0.0)
    twice = self_occlusion(2 * joints[None], radius_scale=2.0, clearance_mm=0.0)
    np.testing.assert_array_equal(once.hidden, twice.hidden)


def brute_force(points, samples=600):
    """Hidden joints of one pose by sampling every line of sight and every capsule's axis."""
    hidden = np.zeros(len(points), bool)
    margin = np.full(len(points), np.inf)
    for capsule in HUMAN36M_BODY:
        a, b = (
            sum(weight * points[J[name]] for name, weight in end)
            for end in (capsule.start, capsule.end)
        )
        axis = a + np.linspace(0, 1, samples)[:, None] * (b - a)
        for j, point in enumerate(points):
            if HUMAN36M_17.joint_names[j] in capsule.own:
                continue
            # Distance of each axis point to the line of sight, a segment from the origin.
            s = np.clip(axis @ point / (point @ point), 0, 1)
            gap = np.linalg.norm(s[:, None] * point - axis, axis=1)
            best = gap.argmin()
            in_front = point[2] - 30.0 - axis[best, 2]
            margin[j] = min(margin[j], max(abs(gap[best] - capsule.radius_mm), 0))
            if abs(in_front) < 2:
                margin[j] = 0
            if gap[best] < capsule.radius_mm and in_front > 0:
                hidden[j] = True
    return hidden, margin


def test_against_brute_force_on_moving_people():
    recordings = generate_motion(["a", "b"], seconds=2.0, actions=["walking", "picking", "phoning"])
    compared = seen_hidden = 0
    for recording in recordings:
        for camera in place_cameras(recording, RigConfig()):
            poses = camera.from_world(recording.positions_mm[::25])
            found = self_occlusion(poses)
            for pose, hidden in zip(poses, found.hidden, strict=True):
                expected, margin = brute_force(pose.astype(float))
                clear = margin > 0.5
                np.testing.assert_array_equal(hidden[clear], expected[clear])
                compared += clear.sum()
                seen_hidden += expected[clear].sum()
    assert compared > 1000 and seen_hidden > 100


def test_rates_on_walking_are_plausible():
    recording = generate_motion(["a"], seconds=20.0, actions=["walking"])[0]
    rates = np.mean(
        [
            self_occlusion(camera.from_world(recording.positions_mm)).hidden.mean(0)
            for camera in place_cameras(recording, RigConfig())
        ],
        axis=0,
    )
    assert 0.06 < rates.mean() < 0.2
    assert rates[J["head"]] < 0.05
    # Walking ovals, every side is turned to the cameras alike.
    assert rates[J["left_wrist"]] == pytest.approx(rates[J["right_wrist"]], abs=0.12)


def test_chunks_join_and_time_stays_low():
    rng = np.random.default_rng(0)
    poses = (standing((0.6, 0, -0.8)) + rng.normal(0, 40, (3000, 17, 3))).astype(np.float32)
    begin = time.perf_counter()
    found = self_occlusion(poses)
    assert time.perf_counter() - begin < 5
    for frame in (0, 1023, 1024, 2999):
        alone = self_occlusion(poses[frame : frame + 1])
        np.testing.assert_array_equal(found.hidden[frame], alone.hidden[0])
        np.testing.assert_array_equal(found.occluder[frame], alone.occluder[0])
    np.testing.assert_array_equal(found.hidden, found.occluder >= 0)


def test_bodies_that_do_not_fit_are_refused():
    pose = standing((1, 0, 0))[None]
    tail = Capsule("tail", (("pelvis", 1.0),), (("tip", 1.0),), 10.0, ())
    with pytest.raises(InputError, match="no joint 'tip'"):
        self_occlusion(pose, capsules=(tail,))
    heavy = Capsule("heavy", (("pelvis", 0.5),), (("spine", 1.0),), 10.0, ())
    with pytest.raises(InputError, match="add up to 0.5"):
        self_occlusion(pose, capsules=(heavy,))
