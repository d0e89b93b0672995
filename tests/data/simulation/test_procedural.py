"""Made-up motion: bones keep their length, feet their place, joints their way of bending."""

import numpy as np
import pytest

from jrepose.data.simulation.procedural import ACTIONS, generate_motion
from jrepose.data.simulation.puppet import Body
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

J = {name: k for k, name in enumerate(HUMAN36M_17.joint_names)}
RATE = 50.0
SUBJECTS = ("ann", "bob", "eve")


@pytest.fixture(scope="module")
def recordings():
    return generate_motion(SUBJECTS, seconds=12.0, frame_rate=RATE)


def every_action(test):
    return pytest.mark.parametrize("action", list(ACTIONS))(test)


def of(recordings, action):
    return [r for r in recordings if r.action == action]


def flexion(positions, chain):
    """Angle in degrees between two bones in line; 0 is a stretched limb."""
    a, b, c = (positions[:, J[name]].astype(float) for name in chain)
    u, v = b - a, c - b
    cosine = (u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def forward(positions):
    """Horizontal unit vector in which the pelvis faces."""
    left = (positions[:, J["left_hip"]] - positions[:, J["right_hip"]])[:, :2].astype(float)
    out = np.stack([left[:, 1], -left[:, 0], np.zeros(len(left))], axis=1)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def test_every_subject_does_every_action(recordings):
    assert [r.name for r in recordings] == [f"{s}_{a}" for s in SUBJECTS for a in ACTIONS]
    for recording in recordings:
        assert recording.positions_mm.shape == (600, 17, 3)
        assert recording.positions_mm.dtype == np.float32
        assert np.isfinite(recording.positions_mm).all() and recording.valid.all()
        assert recording.frame_rate == RATE and recording.skeleton is HUMAN36M_17


def test_bones_keep_their_length_and_are_alike_on_both_sides(recordings):
    parents, children = np.array(HUMAN36M_17.limbs).T
    for recording in recordings:
        p = recording.positions_mm.astype(float)
        length = np.linalg.norm(p[:, children] - p[:, parents], axis=-1)
        assert length.std(0).max() < 1e-3
        by_child = dict(zip(children.tolist(), length.mean(0), strict=True))
        for left, right in zip(HUMAN36M_17.left, HUMAN36M_17.right, strict=True):
            assert by_child[left] == pytest.approx(by_child[right], abs=1e-2)


def test_a_subject_has_one_body_and_subjects_differ(recordings):
    def lengths(recording):
        p = recording.positions_mm[0].astype(float)
        return np.array([np.linalg.norm(p[c] - p[q]) for q, c in HUMAN36M_17.limbs])

    bodies = {}
    for recording in recordings:
        body = bodies.setdefault(recording.subject, lengths(recording))
        np.testing.assert_allclose(lengths(recording), body, atol=1e-2)
    assert np.abs(bodies["ann"] / bodies["bob"] - 1).max() > 0.01
    assert not np.allclose(bodies["ann"] / bodies["bob"], (bodies["ann"] / bodies["bob"])[0], 1e-3)


def test_bodies_are_adult():
    bodies = [Body.of(f"subject {k}") for k in range(300)]
    legs = np.array([body.leg for body in bodies])
    assert legs.mean() == pytest.approx(866, rel=0.02)
    assert 680 < legs.min() < 780 and 960 < legs.max() < 1060
    arms = np.array([body.arm for body in bodies])
    assert 0.5 < (arms / legs).min() and (arms / legs).max() < 0.7


@every_action
def test_feet_stay_on_and_above_the_floor(recordings, action):
    for recording in of(recordings, action):
        p = recording.positions_mm
        ankles = p[:, [J["left_ankle"], J["right_ankle"]]]
        height = Body.of(recording.subject).ankle_height
        # One foot always carries; none sinks into the floor.
        assert ankles[..., 2].min() == pytest.approx(height, abs=0.5)
        lowest = ankles[..., 2].min(1)
        assert lowest.max() < height + (70 if action in ("walking", "phoning") else 1)
        assert p[..., 2].min() > 0.6 * height
        # A foot at ankle height stands still.
        step = np.linalg.norm(np.diff(ankles, axis=0), axis=-1) * RATE
        down = (ankles[:-1, :, 2] < height + 0.3) & (ankles[1:, :, 2] < height + 0.3)
        assert down.any()
        assert np.quantile(step[down], 0.97) < 60


@every_action
def test_knees_and_elbows_bend_their_own_way_only(recordings, action):
    for recording in of(recordings, action):
        p = recording.positions_mm.astype(float)
        for side in ("left", "right"):
            hip, knee, ankle = (p[:, J[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
            # The knee lies on the forward side of the line from hip to ankle.
            line = (ankle - hip) / np.linalg.norm(ankle - hip, axis=1, keepdims=True)
            offset = (knee - hip) - ((knee - hip) * line).sum(1, keepdims=True) * line
            assert (offset * forward(p)).sum(1).min() > 0
            bend = flexion(p, (f"{side}_hip", f"{side}_knee", f"{side}_ankle"))
            assert 2 < bend.min() and bend.max() < 150
            bend = flexion(p, (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"))
            assert 2 < bend.min() and bend.max() < 150.1


@every_action
def test_motion_is_smooth(recordings, action):
    for recording in of(recordings, action):
        p = recording.positions_mm.astype(float)
        speed = np.linalg.norm(np.diff(p, axis=0), axis=-1) * RATE / 1000
        acceleration = np.linalg.norm(np.diff(p, 2, axis=0), axis=-1) * RATE**2 / 1000
        # Measured people (CMU 07_01, walking) reach 116 m/s² at the knee.
        assert speed.max() < 6 and acceleration.max() < 200
        assert np.quantile(acceleration, 0.99) < 60


def test_gait_has_measured_peoples_figures(recordings):
    """Ranges around what CMU subjects 02, 07, 12 and 35 show when they walk."""
    for recording in of(recordings, "walking"):
        p = recording.positions_mm.astype(float)
        pelvis = p[:, 0]
        speed = np.linalg.norm(np.diff(pelvis[:, :2], axis=0), axis=1).mean() * RATE
        assert 800 < speed < 1500
        bob = np.median([np.ptp(pelvis[k : k + 50, 2]) for k in range(0, len(p) - 50, 10)])
        assert 15 < bob < 60
        for side, other in (("left", "right"), ("right", "left")):
            knee = flexion(p, (f"{side}_hip", f"{side}_knee", f"{side}_ankle"))
            assert 55 < knee.max() < 95 and knee.min() < 25
            assert 180 < p[:, J[f"{side}_ankle"], 2].max() < 330
            # The arm swings with the leg of the other side.
            way = forward(p)
            arm = ((p[:, J[f"{side}_wrist"]] - pelvis) * way).sum(1)
            leg = ((p[:, J[f"{other}_ankle"]] - pelvis) * way).sum(1)
            assert np.corrcoef(arm, leg)[0, 1] > 0.7


def test_walkers_face_where_they_go_and_curve(recordings):
    for recording in of(recordings, "walking"):
        p = recording.positions_mm.astype(float)
        velocity = np.gradient(p[:, 0, :2], axis=0)
        velocity /= np.linalg.norm(velocity, axis=1, keepdims=True)
        assert (velocity * forward(p)[:, :2]).sum(1).mean() > 0.95
        assert np.ptp(np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0]))) > 2
        assert np.abs(p[:, 0, :2]).max() < 2600


def test_actions_do_what_they_say(recordings):
    for subject in SUBJECTS:
        body = Body.of(subject)
        by_action = {
            r.action: r.positions_mm.astype(float) for r in recordings if r.subject == subject
        }
        pelvis = {action: p[:, 0, 2] for action, p in by_action.items()}
        assert pelvis["sitting"].min() < 0.68 * body.standing_height
        assert pelvis["sitting"].max() > 0.97 * body.standing_height
        hands = by_action["picking"][:, [J["left_wrist"], J["right_wrist"]], 2]
        assert hands.min() < 0.45 * body.leg
        waving = by_action["waving"]
        raised = waving[:, [J["left_wrist"], J["right_wrist"]], 2].max(1)
        assert (raised > waving[:, J["thorax"], 2] + 50).mean() > 0.3
        heading = np.unwrap(np.arctan2(*forward(by_action["turning"])[:, 1::-1].T))
        assert np.ptp(heading) > 1
        phone = by_action["phoning"]
        to_head = np.linalg.norm(
            phone[:, [J["left_wrist"], J["right_wrist"]]] - phone[:, [J["neck"]]], axis=-1
        )
        assert to_head.min(1).max() < 260


def test_upright_people_have_their_joints_in_order(recordings):
    for recording in of(recordings, "discussing"):
        z = recording.positions_mm[..., 2].mean(0)
        order = ("left_ankle", "left_knee", "pelvis", "spine", "thorax", "neck", "head")
        heights = [z[J[name]] for name in order]
        assert heights == sorted(heights)
        assert 1450 < z[J["head"]] < 2000


def test_pure_function_of_seed_subject_and_action(recordings):
    alone = generate_motion(["bob"], seconds=12.0, actions=["waving"])[0]
    together = next(r for r in recordings if r.name == "bob_waving")
    np.testing.assert_array_equal(alone.positions_mm, together.positions_mm)
    other = generate_motion(["bob"], seconds=12.0, actions=["waving"], seed=1)[0]
    assert not np.array_equal(alone.positions_mm, other.positions_mm)


def test_frame_rate_samples_the_same_motion():
    slow, fast = (
        generate_motion(["ann"], 4.0, frame_rate=rate, actions=["walking"])[0]
        for rate in (25.0, 50.0)
    )
    assert (slow.frames, fast.frames) == (100, 200)
    np.testing.assert_allclose(slow.positions_mm, fast.positions_mm[::2], atol=30)


@pytest.mark.parametrize("seconds", [0.02, 0.04, 0.5])
def test_very_short_recordings_work(seconds):
    for recording in generate_motion(["ann"], seconds=seconds):
        assert recording.frames == round(seconds * 50)
        assert np.isfinite(recording.positions_mm).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subjects": []}, "no subjects"),
        ({"subjects": ["a", "a"]}, "repeats in a, a"),
        ({"subjects": ["a"], "actions": ["flying"]}, "unknown action 'flying'; known: walking"),
        ({"subjects": ["a"], "seconds": 0.0}, "give no frame"),
        ({"subjects": ["a"], "frame_rate": 0.0}, "frame_rate 0.0"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        generate_motion(**arguments)
