"""Lifting with a network that knows the truth, and with one that does not: any length and rate."""

import copy
import dataclasses
import json
import re

import jax
import keypoint_files as files
import numpy as np
import pytest

import jrepose
from jrepose import models
from jrepose.command import run
from jrepose.commands.lift import lift
from jrepose.data.scaling import person_scale
from jrepose.errors import InputError
from jrepose.motion import arguments, numeric, upright
from jrepose.motion.keypoints import read_keypoints
from jrepose.motion.lifter import Lifter
from jrepose.motion.pretrained import Pretrained, load_pretrained
from jrepose.skeleton import BLAZEPOSE_33, COCO_17, HUMAN36M_17

TINY = {"name": "repose", "dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 1.0,
        "maxlen": 9}  # fmt: skip
FRAMES = 75
PERSON = files.keypoints(COCO_17, 9)
FOCAL = files.FOCAL


def weights(name: str, frames: int, **hyperparameters):
    """Some weights; nothing is compiled for them."""
    model = models.create(name, **hyperparameters)
    keypoints = np.zeros((1, frames, 17, model.input_shape[2]), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), keypoints)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(leaf.dtype), shapes)


@pytest.fixture(scope="module")
def tiny() -> Pretrained:
    variables = weights("repose", 9, **{k: v for k, v in TINY.items() if k != "name"})
    return Pretrained(
        TINY, variables, HUMAN36M_17, HUMAN36M_17, "image", 9,
        (20.0, 60.0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def lifter(tiny) -> Lifter:
    return Lifter(tiny)


def walking(pitch: float = 0.0):
    """Somebody who walks away: world and camera axes, pixels."""
    world = files.walk(HUMAN36M_17, FRAMES, turn=0.0)
    time = np.arange(FRAMES)[:, None] / 30
    world[..., 0] += 0.2 * time
    world[..., 1] += 4.0 + 1.2 * time
    ankles = [HUMAN36M_17.index("left_ankle"), HUMAN36M_17.index("right_ankle")]
    world[..., 2] -= world[:, ankles, 2].min(1)[:, None] - 0.078
    axes = upright.world_axes(upright.up_of_pitch(pitch))
    camera = (world - [0, 0, 1.5]) @ axes
    pixels = FOCAL * camera[..., :2] / camera[..., 2:] + np.array(files.SIZE) / 2
    return world, camera, pixels


class Oracle(Lifter):
    """Knows the poses that the network should give."""

    def knowing(self, poses: np.ndarray) -> "Oracle":
        """Of a whole file, and of a clip of it, which is found by its true keypoints."""
        poses = poses.astype(np.float32)
        flat = poses[..., :2].reshape(FRAMES, -1)

        def answer(variables, clips):
            clip = np.asarray(clips)[0, :, :, :2].reshape(len(clips[0]), -1)
            return poses[np.abs(clip[:, None] - flat).sum(-1).argmin(1)][None]

        self._poses = lambda inputs: self._relative(poses)
        self._run = answer
        return self


def label(camera: np.ndarray, pixels: np.ndarray, space: str) -> np.ndarray:
    if space == "camera_m":
        return camera - camera[:, :1]
    depth = (camera[..., 2:] - camera[:, :1, 2:]) * FOCAL / camera[:, :1, 2:]
    centre, unit = np.array(files.SIZE) / 2, np.array(files.SIZE[0] / 2)
    if space == "person":
        centre, unit, _ = person_scale(pixels, HUMAN36M_17, 30.0)
    centre, unit = centre[..., None, :], unit[..., None, None]
    return np.concatenate([pixels - centre, depth], -1) / unit


@pytest.mark.parametrize("space", ["image", "person", "camera_m"])
@pytest.mark.parametrize(("pitch", "told"), [(0.0, False), (20.0, False), (20.0, True)])
def test_true_poses_become_true_motion(tiny, space, pitch, told):
    world, camera, pixels = walking(pitch)
    of_space = {"scaling": "person"} if space == "person" else {"target_space": space}
    oracle = Oracle(dataclasses.replace(tiny, **of_space))
    motion = oracle.knowing(label(camera, pixels, space))(
        pixels.astype(np.float32), size=files.SIZE, fps=30, layout="human36m_17", focal_px=FOCAL,
        pitch_deg=pitch if told else None,
    )  # fmt: skip
    relative = motion.poses_m - motion.poses_m[:, :1] - (world - world[:, :1])
    assert np.linalg.norm(relative, axis=-1).mean() < 0.015
    # Its size is a matter of proportions, its distance follows.
    assert np.linalg.norm(motion.poses_m - world, axis=-1).mean() < 0.15
    ankles = motion.poses_m[:, [3, 6], 2].min(1)
    np.testing.assert_allclose(np.median(ankles), 0.078, atol=0.01)
    assert np.abs(ankles - 0.078).max() < 0.08  # the floor is level


def test_height_and_focal_scale_the_motion(tiny):
    _, camera, pixels = walking()
    oracle = Oracle(tiny).knowing(label(camera, pixels, "image"))
    options = {"size": files.SIZE, "fps": 30, "layout": "human36m_17", "pitch_deg": 0.0}
    near = oracle(pixels.astype(np.float32), focal_px=FOCAL, height_m=1.2, **options)
    far = oracle(pixels.astype(np.float32), focal_px=2 * FOCAL, height_m=1.2, **options)
    tall = np.median(np.ptp(near.poses_m[..., 2], axis=1))
    assert 1.05 < tall < 1.2
    distance = [motion.poses_m[0, 0, 1] for motion in (near, far)]
    np.testing.assert_allclose(distance[1] / distance[0], 2, rtol=0.01)
    assert not any("assumed" in note for note in near.notes)
    both = oracle(pixels.astype(np.float32), **options)
    assert sum("assumed" in note for note in both.notes) == 2


def test_who_lies_does_not_tip_the_world(tiny):
    _, camera, pixels = walking()
    lying = np.stack([camera[..., 1], camera[..., 0], camera[..., 2]], axis=-1)
    oracle = Oracle(dataclasses.replace(tiny, target_space="camera_m")).knowing(lying)
    motion = oracle(pixels.astype(np.float32), size=files.SIZE, fps=30, layout="human36m_17")
    assert any("the vertical is that of the camera" in note for note in motion.notes)
    assert np.ptp(motion.poses_m[0, :, 2]) < 0.7


def test_any_length_and_rate_in_one_program(lifter):
    for frames in (1, 2, 9, 10, 40):
        points, confidence = files.keypoints(COCO_17, frames)
        for fps in (30, 100, 10):
            motion = lifter(points.astype(np.float32), confidence.astype(np.float32),
                            size=files.SIZE, fps=fps, layout=COCO_17)  # fmt: skip
            assert motion.poses_m.shape == (frames, 17, 3)
            assert motion.fps == fps
            assert np.isfinite(motion.poses_m).all()
    assert lifter._run._cache_size() == 1


def test_clips_are_blended_without_seams(lifter):
    """A network that looks at one frame gives the same poses whatever the clips."""
    inputs = np.random.default_rng(0).normal(size=(50, 17, 3)).astype(np.float32)
    seen = []
    copy = Lifter(lifter.pretrained)
    copy._run = lambda variables, clips: seen.append(len(clips)) or clips
    got = copy._poses(inputs)
    expected = inputs - np.concatenate([np.zeros((50, 1, 2)), inputs[:, :1, 2:]], -1)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert len(seen) == 12  # half a clip apart, the last one ends with the video


def test_one_pose_of_a_clip_is_that_of_its_middle(tiny):
    for shift, before in ((0, 13), (13, 26)):
        pretrained = dataclasses.replace(
            tiny, model={"name": "videopose3d", "filter_widths": (3, 3, 3), "channels": 4},
            frames=27, causal_shift=shift,
            variables=weights("videopose3d", 27, filter_widths=(3, 3, 3), channels=4),
        )  # fmt: skip
        network = Lifter(pretrained)
        assert network._inputs - network._outputs == 26  # it slides over longer clips
        assert network._shortest_clip() == (27, 1)
        network._run = lambda variables, clips, before=before, given=network._outputs: clips[
            :, before : before + given
        ]
        inputs = np.random.default_rng(0).normal(size=(140, 17, 3)).astype(np.float32)
        expected = inputs - np.concatenate([np.zeros((140, 1, 2)), inputs[:, :1, 2:]], -1)
        np.testing.assert_allclose(network._poses(inputs), expected, atol=1e-5)


def test_a_stream_gives_what_a_file_gives(lifter):
    points, confidence = files.keypoints(COCO_17, 30)
    confidence[12:14] = 0
    frames = list(zip(points, confidence, strict=True))
    frames[12] = frames[0] = None
    options = {"size": files.SIZE, "fps": 30, "pitch_deg": 0.0}
    for delay in (0, 4, 100):
        poses = list(lifter.stream(frames, delay=delay, **options))
        assert len(poses) == 30 and all(pose.shape == (17, 3) for pose in poses)
        seen = np.isfinite(poses).all((1, 2))
        assert seen[1:].all() and seen[0] == (delay > 0)  # nobody was there yet
    given = lifter.stream(iter(frames), delay=4, **options)
    taken = []
    stream = lifter.stream((taken.append(1) or frame for frame in frames), delay=4, **options)
    next(stream)
    assert len(taken) == 5  # a pose comes `delay` frames later
    list(given)


def test_a_stream_of_the_truth_is_the_truth(tiny):
    world, camera, pixels = walking(10.0)
    oracle = Oracle(tiny).knowing(label(camera, pixels, "image"))
    poses = np.stack(list(oracle.stream(
        pixels.astype(np.float32), size=files.SIZE, fps=30, delay=3, layout="human36m_17",
        focal_px=FOCAL, pitch_deg=10.0,
    )))  # fmt: skip
    relative = poses - poses[:, :1] - (world - world[:, :1])
    assert np.linalg.norm(relative, axis=-1).mean() < 0.02
    assert np.abs(poses[:, [3, 6], 2].min(1) - 0.078).max() < 0.1


@pytest.mark.parametrize("way", ["file", "stream"])
def test_bones_are_about_as_long_as_they_were(tiny, way, monkeypatch):
    _, camera, pixels = walking()
    poses = label(camera, pixels, "image")
    poses[::3, :, 2] *= 0.5
    oracle, parents = Oracle(tiny).knowing(poses), list(HUMAN36M_17.parents[1:])

    def variation() -> float:
        options = {"size": files.SIZE, "fps": 30, "layout": "human36m_17", "focal_px": FOCAL}
        found = oracle(pixels, **options).poses_m
        if way == "stream":
            found = np.stack(list(oracle.stream(pixels, delay=3, **options)))
        lengths = np.linalg.norm(found[30:, 1:] - found[30:, parents], axis=-1)
        return float((lengths.std(0) / lengths.mean(0)).mean())

    likely = variation()
    monkeypatch.setattr(f"jrepose.motion.{'lifter' if way == 'file' else 'stream'}"
                        ".with_likely_bones", lambda poses, *_, **__: poses)  # fmt: skip
    assert likely < 0.5 * variation()


@pytest.mark.parametrize("way", ["file", "stream"])
def test_frames_that_are_hardly_sure_have_no_say_about_bones(tiny, way):
    _, camera, pixels = walking()
    poses, sure = label(camera, pixels, "image"), np.ones((FRAMES, 17), np.float32)
    sure[:50] = 1e-3
    guessed = poses.copy()
    guessed[:50, :, 2] *= 3  # somebody of other proportions
    parents = list(HUMAN36M_17.parents[1:])

    def proportions(answers) -> np.ndarray:
        oracle = Oracle(tiny).knowing(answers)
        options = {"size": files.SIZE, "fps": 30, "layout": "human36m_17", "focal_px": FOCAL}
        found = oracle(pixels, sure, **options).poses_m
        if way == "stream":
            frames = zip(pixels, sure, strict=True)
            found = np.stack(list(oracle.stream(frames, delay=30, **options)))
        lengths = np.linalg.norm(found[50:, 1:] - found[50:, parents], axis=-1)
        return lengths / lengths.sum(1, keepdims=True)

    assert proportions(guessed) == pytest.approx(proportions(poses), rel=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, c: (x / files.SIZE, c), "coordinates up to 0.7.*expected pixels, x times its w"),
        (lambda x, c: (x - 600, c), "no image coordinates .3D positions.*expected pixels$"),
        (lambda x, c: (2.5 * x, c), "of the keypoints lie outside a picture of 1280x960, they"),
        (lambda x, c: (0 * x + 300, c), "all keypoints are in one place, x = 300, y = 300"),
        (lambda x, c: (x, 100 * c), "confidence is .* expected 0 to 1 .per cent"),
        (lambda x, c: (x * 1j, c), "keypoints that are no numbers"),
        (lambda x, c: (x, np.full(c.shape, "a")), "confidences that are no numbers"),
    ],
)
def test_what_a_file_may_not_hold_is_refused_in_arrays_too(lifter, change, said):
    points, confidence = files.keypoints(COCO_17, 9)
    options = {"size": files.SIZE, "fps": 30, "layout": "coco_17"}
    given = change(points, confidence)
    with pytest.raises(InputError, match=said):
        lifter.lift_people([given], **options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"people": None}, "people is None; expected a list, one of each person"),
        ({"names": 5}, "names is 5; expected a list"),
        ({"names": "ab"}, "names is 'ab'; expected a list"),
        ({"names": ["a"]}, "1 names of 2 people"),
        ({"first_frames": []}, "0 first_frames of 2 people"),
        ({"first_frames": [0, 1.5]}, "^person 2: first_frame is 1.5; expected a whole number"),
        ({"people": [PERSON, PERSON[0]]}, "^person 2: a person is no pair"),
        ({"people": [PERSON, (PERSON[0] * 0, None)]}, "^person 2: not one keypoint is there"),
        ({"people": [PERSON, (PERSON[0] * 0 + 300, None)]}, "all keypoints of person 2 are in on"),
        ({"constant_bones": "no"}, "constant_bones is 'no'; expected True or False"),
        ({"lock_feet": 5}, "lock_feet is 5; expected True or False"),
        ({"lock_feet": np.ones(2)}, "lock_feet is array"),
    ],
)
def test_people_who_are_none(lifter, unchecked, change, said):
    options = {"people": [PERSON, PERSON], "size": files.SIZE, "fps": 30, **change}
    with pytest.raises(InputError, match=said):
        lifter.lift_people(**options)
    assert lifter.lift_people([], size=files.SIZE, fps=30) == []


def test_people_of_a_file_were_judged_with_all_of_it(lifter, tmp_path):
    """Somebody who leaves the picture, beside somebody who does not."""
    near, confidence = files.keypoints(COCO_17, 9)
    leaving = near - [645, 0]
    leaving[:2] = 0  # comes later
    np.savez(tmp_path / "a.npz", keypoints=np.stack([leaving, near + [300, 0]]))
    read = read_keypoints(tmp_path / "a.npz", size=files.SIZE, layout="coco_17", person="0")
    (motion,) = lifter.lift_people(read, size=files.SIZE, fps=30)
    assert (motion.person, motion.first_frame) == ("0", 2)
    np.testing.assert_array_equal(motion.keypoints[..., :2], read[0].keypoints_px)
    assert motion.keypoint_skeleton == COCO_17
    assert not any("by their geometry" in note for note in motion.notes)
    for again, size in ([(read[0].keypoints_px, None)], files.SIZE), (read, (640, 480)):
        with pytest.raises(InputError, match="no image coordinates"):
            lifter.lift_people(again, size=size, fps=30)


@pytest.mark.parametrize("seen", [HUMAN36M_17, COCO_17], ids=lambda skeleton: skeleton.name)
def test_of_layouts_with_hands_the_body_is_taken(tiny, seen):
    lifter = Lifter(dataclasses.replace(tiny, keypoint_skeleton=seen))
    lifter._run = lambda variables, clips: clips
    points, confidence = files.keypoints(COCO_17, 9)
    whole = np.concatenate([points, np.repeat(points[:, 9:10], 116, axis=1)], axis=1)
    options = {"size": files.SIZE, "fps": 30}
    (body,) = lifter.lift_people([(points, None)], layout="coco_17", **options)
    for layout in (None, "coco_wholebody_133"):
        motion = lifter(whole, layout=layout, **options)
        np.testing.assert_array_equal(motion.poses_m, body.poses_m)
        assert motion.keypoints.shape == (9, 17, 3)
        ways = (whole, layout), (points, "coco_17")
        np.testing.assert_array_equal(
            *(list(lifter.stream(given, layout=name, **options)) for given, name in ways)
        )
    with pytest.raises(InputError, match="17 keypoints, coco_17 has 133"):
        lifter(points, layout="coco_wholebody_133", **options)


def test_a_picture_may_be_one_pixel(lifter):
    points, confidence = files.keypoints(COCO_17, 9)
    motion = lifter(points / files.SIZE[0], confidence, size=(1, 1), fps=30, layout="coco_17")
    assert motion.poses_m.shape == (9, 17, 3)


@pytest.mark.filterwarnings("error")
def test_strays_are_missing_in_arrays_too(lifter):
    points, confidence = files.keypoints(COCO_17, 9)
    options = {"size": files.SIZE, "fps": 30, "layout": "coco_17"}
    without = confidence.copy()
    without[3, 3:6] = 0
    expected = lifter(points, without, **options)
    for far in (4000, np.inf, -np.inf):
        points[3, 3:6] = far
        found = lifter(points, confidence, **options)
        assert "3 keypoints far outside the picture count as missing" in found.notes
        np.testing.assert_array_equal(found.poses_m, expected.poses_m)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)


@pytest.mark.parametrize(
    "value", [None, "30", np.nan, True, 30j, np.array([30.0])], ids=lambda value: repr(value)
)
def test_numbers_that_are_none(value):
    with pytest.raises(InputError, match="fps is .*; expected 1 to 100$") as caught:
        numeric.number_of("fps", value, 1.0, 100.0)
    assert repr(value) in str(caught.value)
    assert numeric.number_of("fps", np.float32(30), 1.0, 100.0) == 30
    with pytest.raises(InputError, match="delay is .*; expected a whole number, at least 0"):
        numeric.whole_number("delay", 2.0 if value is True else value, 0)
    assert numeric.whole_number("delay", np.int64(2), 0) == 2
    for ragged in ([[1.0], [2.0, 3.0]], [[object()]], "abc"):
        with pytest.raises(InputError, match="keypoints that are no numbers, or not as many of e"):
            arguments.floats_of(ragged, "keypoints")
    for masked in ([[None, 1.0]], np.ma.masked_array([[5.0, 1.0]], [[True, False]])):
        np.testing.assert_array_equal(arguments.floats_of(masked, "keypoints"), [[np.nan, 1]])
    half = np.asarray(jax.numpy.ones((1, 2), jax.numpy.bfloat16))
    assert arguments.floats_of(half, "keypoints").dtype == np.float32
    assert numeric.size_of("size", np.array([640.0, 480.0])) == (640, 480)
    for size in (value, (640.5, 480), (640, value), (640, 480, 3), "640x480"):
        with pytest.raises(InputError, match="size is .*; expected width and height in pixels"):
            numeric.size_of("size", size)
    with pytest.raises(InputError, match="a person is no pair; expected keypoints and their conf"):
        arguments.pair_of(np.zeros((2, 17, 2)), "a person")


def test_a_stream_in_which_nobody_is(lifter):
    """Every frame has its pose, and what cannot be is said before the first."""
    points, confidence = files.keypoints(COCO_17, 4)
    people, options = list(zip(points, confidence, strict=True)), {"size": files.SIZE}
    assert np.isnan(list(lifter.stream([None] * 5, **options))).all()
    # Of 25 keypoints the order is told by how they lie, and here none does.
    assert np.isnan(list(lifter.stream([np.zeros((25, 2)), None], **options))).all()
    nobody = [np.zeros((17, 2)), None, (points[0], np.zeros(17)), 0 * points[0] + 300]
    poses = list(lifter.stream(iter([*nobody, *people, None]), delay=0, **options))
    assert np.isnan(poses).all((1, 2)).tolist() == [True] * 4 + [False] * 5
    few = points[0] / 1000
    few[4:] = 0
    assert len(list(lifter.stream([few], layout="coco_17", **options))) == 1  # in the corner
    strayed = points.copy()
    strayed[2, 5] = 4000
    points[2, 5] = 0
    np.testing.assert_array_equal(*(list(lifter.stream(p, **options)) for p in (strayed, points)))
    for frame, said in (
        (points[0] / 1000, "^frame 4: .*expected pixels, x times its width"),
        ((points[0], 100 * confidence[0]), "expected 0 to 1"),
        (points[0, :5], r"a frame of the shape \(5, 2\); expected 17 keypoints of coco_17"),
    ):
        with pytest.raises(InputError, match=said):
            list(lifter.stream(iter([*people, frame]), **options))
    with pytest.raises(InputError, match="delay is -1"):
        lifter.stream([], delay=-1, **options)


def test_a_stream_of_nothing(lifter, unchecked):
    for frames in (None, 5):
        with pytest.raises(InputError, match=f"frames is {frames}; expected keypoints of each"):
            lifter.stream(frames, size=files.SIZE)
    with pytest.raises(InputError, match="smooth is 'one_euro'; expected True or False"):
        lifter.stream([], size=files.SIZE, smooth="one_euro")


def test_missing_joints_are_told_and_filled(lifter):
    points, confidence = files.keypoints(BLAZEPOSE_33, 60)
    confidence[20:50] = 0
    names = [BLAZEPOSE_33.index(name) for name in ("left_ankle", "right_ankle")]
    points[:, names] = 0
    motion = lifter(points.astype(np.float32), confidence.astype(np.float32), size=files.SIZE,
                    fps=30, layout="blazepose_33")  # fmt: skip
    assert "never seen, and guessed: right_ankle, left_ankle" in motion.notes
    assert "nothing is seen for up to 30 frames, which are guessed" in motion.notes
    confidence[:, 5:] = 0
    with pytest.raises(InputError, match="of the 17 joints of human36m_17 that are lifted"):
        lifter(points.astype(np.float32), confidence.astype(np.float32), size=files.SIZE, fps=30,
               layout="blazepose_33")  # fmt: skip


def test_what_is_no_network(unchecked):
    with pytest.raises(InputError, match="pretrained is 'small'; expected .*from_pretrained takes"):
        Lifter("small")


def test_archives_keep_all_that_is_needed(tiny, tmp_path):
    tiny.save(tmp_path / "a.npz")
    found = load_pretrained(tmp_path / "a.npz")
    for field in dataclasses.fields(found):
        if field.name not in ("variables", "origin"):
            assert getattr(found, field.name) == getattr(tiny, field.name), field.name
    near = jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), found.variables,
                        dict(tiny.variables))  # fmt: skip
    assert near is not None
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-100])
    with pytest.raises(InputError, match="b.npz"):
        load_pretrained(tmp_path / "b.npz")
    with pytest.raises(InputError, match="no weights 'nothing': neither a file nor a run"):
        load_pretrained("nothing")


def with_skeleton(fields, which, joints):
    """A description with another number of joints in a row."""
    names, parents = [f"joint_{k}" for k in range(joints)], list(range(-1, joints - 1))
    return {**fields, which: {"name": "chain", "joints": names, "parents": parents, "pairs": []}}


def of_skeleton(fields, **changes):
    return {**fields, "skeleton": {**fields["skeleton"], **changes}}


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda fields: {**fields, "causal_shift": -1}, "causal_shift is -1; expected a number"),
        (lambda fields: {**fields, "causal_shift": 9}, "of frames, from 0 to 8"),
        (lambda fields: {**fields, "frames": 10**6}, "clips of 1000000 frames"),
        (lambda fields: {**fields, "frames": 4000}, "takes no clips of 4000 frames of 17 joints"),
        (lambda fields: {**fields, "scaling": "inch"}, "scaling is 'inch'; expected one of"),
        (lambda fields: with_skeleton(fields, "skeleton", 5), "a network of 17 joints, described"),
        (lambda fields: with_skeleton(fields, "keypoint_skeleton", 5), "of 9 frames of 5 joints"),
        (lambda fields: {**fields, "model": {**fields["model"], "name": "huge"}}, "'huge'"),
        (lambda fields: {**fields, "model": {**fields["model"], "dept": 1}}, "'dept'"),
        (lambda fields: {**fields, "colour": "red"}, "no archive of weights"),
        (lambda fields: {**fields, "frame_rates": [1e300]}, "frame_rates are (1e+300,); expected"),
        (lambda fields: {**fields, "frame_rates": "55"}, "frame_rates are no list"),
        (lambda fields: of_skeleton(fields, joints=list(range(17))), "the name of a joint or a s"),
        (lambda fields: of_skeleton(fields, parents=17 * [-1]), "exactly one joint has parent -1"),
        (lambda fields: of_skeleton(fields, pairs=5), "no archive of weights"),
        (lambda fields: of_skeleton(fields, name="mine", parents=[-1] + 16 * [0.0]), "is number 0"),
        (lambda fields: {**fields, "model": {**fields["model"], "depth": 900}}, "of depth 900"),
    ],
)
def test_archives_whose_description_cannot_be(tiny, tmp_path, change, said):
    path = tmp_path / "a.npz"
    tiny.save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    changed = change(json.loads(str(arrays.pop("description"))))
    np.savez(path, description=np.array(json.dumps(changed)), **arrays)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        Lifter.from_pretrained(path)
    assert str(raised.value).startswith(f"{path}: ") and str(raised.value).count("a.npz") == 1


def test_public_pytorch_files_as_they_are(tiny, tmp_path):
    """MotionBERT's and RePOSE's say nothing of themselves; their scaling is the box."""
    from jrepose import interop

    hyperparameters = {key: value for key, value in TINY.items() if key != "name"}
    weights = interop.to_torch("repose", tiny.variables, **hyperparameters)
    interop.write_state_dict(weights, tmp_path / "best_epoch.bin", data_parallel=True)
    found = load_pretrained(tmp_path / "best_epoch.bin")
    assert (found.scaling, found.target_space, found.frames) == ("box", "image", 9)
    assert found.model["dim_feat"] == 8
    jax.tree.map(np.testing.assert_array_equal, found.variables, dict(tiny.variables))
    assert "do not say what they were trained for" in found.notes[0]


def test_the_command(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.save("tiny.npz")
    files.alphapose(tmp_path, COCO_17)
    arguments = ["jrepose lift", "keypoints.json", "--weights=tiny.npz"]
    sized = [*arguments, "--size=1280x960"]
    assert run(lift, [*sized, "-o", "out/a.npz", "out/a.json", "--height", "1.8"]) == 0
    said = capsys.readouterr().out
    assert "30 frames per second (assumed; --fps says it)" in said
    assert "17 keypoints are coco_17" in said
    assert "height" not in said
    with np.load("out/a.npz") as archive:
        assert archive["poses_m"].shape == (6, 17, 3)
    assert run(lift, sized) == 0  # keypoints.bvh, here
    assert "wrote keypoints.bvh" in capsys.readouterr().out
    assert run(lift, ["lift", "--size", "1280x960", "--weights=tiny.npz", "-o", "b.csv",
                      "keypoints.json"]) == 0  # fmt: skip
    capsys.readouterr()
    before = sorted(tmp_path.rglob("*"))
    for wrong, message in (
        (arguments, "the picture's size is not in the file"),
        ([*sized, "--size=12"], "--size is '12'; expected width and height"),
        ([*sized, "--fps=0"], "fps is 0; expected 0.1 to 10000"),
        ([*sized, "--height=180"], "height is 180; expected 0.3 to 3"),
        ([*sized, "--person=7"], "no person '7'; there are 0"),
        ([*sized, "--layout=halpe_26"], "17 keypoints, halpe_26 has 26"),
        ([*sized, "--smooth=much"], "unknown smoothing 'much'"),
        ([*sized, "-o", "a.xyz"], "jrepose does not write .xyz"),
        ([*sized, "-o", "tiny.npz/a.bvh"], "is no folder that can be written to"),
        ([*sized, "--weights=none"], "no weights 'none'"),
        (["lift"], "KEYPOINTS is missing"),
    ):
        assert run(lift, wrong) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_read_is_not_written_over(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.save("tiny.npz")
    source = files.alphapose(tmp_path, COCO_17).rename("own.json")
    before = source.read_bytes()
    for output, weights in (("own.json", "tiny.npz"), ("tiny.npz", "tiny.npz")):
        command = ["lift.py", "own.json", "--size=1000x1000", f"--weights={weights}", "-o", output]
        assert run(lift, command) == 2
        assert f"{output} is what is read" in capsys.readouterr().err
    assert source.read_bytes() == before
    # A file in the folder of a file per frame would be one of them.
    (tmp_path / "frames").mkdir()
    command = ["lift.py", "frames", "--size=1000x1000", "-o", "frames/walk.json"]
    assert run(lift, command) == 2
    assert "would be one of the frames; expected another folder" in capsys.readouterr().err


def test_a_run_of_another_size_than_it_says(tiny):
    """The weights are not looked at before the network is made."""
    wider = dataclasses.replace(tiny, model={**TINY, "dim_feat": 16}, origin="runs/x")
    with pytest.raises(InputError, match="runs/x: a network that takes no clips of 9 frames"):
        Lifter(wider)


def test_poses_that_are_not_finite_are_refused(tiny, lifter):
    _, _, pixels = walking()
    too_large = copy.copy(lifter)  # the program is compiled
    too_large._variables = jax.tree.map(lambda x: np.full_like(x, 1e38), dict(tiny.variables))
    with pytest.raises(InputError, match="the network's poses are not finite"):
        too_large(pixels, size=files.SIZE, fps=30, layout=HUMAN36M_17)


def test_a_run_whose_description_lacks_something(tiny, tmp_path):
    from jrepose import checkpoints

    state = {"params": tiny.variables["params"], "ema": {}, "collections": {}}
    described = {"skeleton": "human36m_17", "clip": {"every": 0}, "frame_rates": [50.0]}
    joints = {"joints": [], "keypoint_joints": [], "keypoint_skeleton": "coco_17"}
    for name, said, reason in (
        ("short", described, "KeyError: 'joints'"),
        ("odd", {**described, **joints, "joint_parents": [0.5], "joint_pairs": [5]}, "TypeError"),
    ):
        writer = checkpoints.CheckpointWriter(tmp_path / name, keep=1, score="mpjpe")
        writer.save(0, state, config={"model": TINY}, data={}, validation=None, log={},
                    description=said)  # fmt: skip
        writer.close()
        with pytest.raises(InputError, match=f"{name}: its description cannot be .{reason}"):
            load_pretrained(tmp_path / name)


def test_a_run_says_what_it_was_trained_on(tiny, tmp_path):
    """Of a checkpoint's description; those that have none are taken for Human3.6M's."""
    from jrepose import checkpoints

    description = {
        "clip": {"frames": 9, "every": 2}, "skeleton": "human36m_17", "target_space": "image",
        "joints": list(HUMAN36M_17.joint_names), "keypoint_skeleton": "coco_17",
        "keypoint_joints": list(COCO_17.joint_names), "frame_rates": [50.0],
    }  # fmt: skip
    state = {"params": tiny.variables["params"], "ema": {}, "collections": {}}
    for name, said in (("run", description), ("old", {})):
        writer = checkpoints.CheckpointWriter(tmp_path / name, keep=1, score="mpjpe")
        writer.save(0, state, config={"model": TINY}, data={}, validation=None, log={},
                    description=said)  # fmt: skip
        writer.close()
    found = load_pretrained(tmp_path / "run")
    assert (found.frame_rates, found.keypoint_skeleton, found.scaling) == (
        (25.0,),
        COCO_17,
        "screen",
    )
    old = load_pretrained(tmp_path / "old")
    assert old.keypoint_skeleton == HUMAN36M_17 and "do not say" in old.notes[0]


def test_the_front_door():
    assert jrepose.Lifter is Lifter
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jrepose.nothing
    assert json.dumps(jrepose.__version__)


def test_several_people_share_the_vertical(tiny):
    """Somebody who lies is upright by somebody who stands."""
    _, camera, pixels = walking(20.0)
    axes = upright.world_axes(upright.up_of_pitch(20.0))
    lying = (camera - camera[:, :1]) @ axes.T
    lying = (lying[..., [2, 1, 0]] * [1, 1, -1]) @ axes + camera[:, :1]
    answers = iter([camera, lying])
    oracle = Oracle(dataclasses.replace(tiny, target_space="camera_m"))
    oracle._poses = lambda inputs: oracle._relative(next(answers).astype(np.float32))
    person = (pixels.astype(np.float32), None)
    both = oracle.lift_people([person, person], size=files.SIZE, fps=30, layout="human36m_17",
                              focal_px=FOCAL, names=["a", "b"], first_frames=[0, 7])  # fmt: skip
    assert [(m.person, m.first_frame) for m in both] == [("a", 0), ("b", 7)]
    tall, flat = (np.ptp(motion.poses_m[0, :, 2]) for motion in both)
    assert tall > 1.4 and flat < 0.7
