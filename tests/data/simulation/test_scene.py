"""Scenes: what is drawn from which name, clutter in its stretches, joints that are hidden."""

import dataclasses

import numpy as np
import pytest

from jrepose.data.simulation import render as rendering
from jrepose.data.simulation.procedural import generate_motion
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.data.simulation.scene import SceneConfig, furnish, seen_joints, silhouette_bounds
from jrepose.errors import InputError

CONFIG = SceneConfig(clutter_share=0.5, clutter_seconds=0.5)


@pytest.fixture(scope="module")
def recording():
    return generate_motion(["anna"], seconds=2.0, frame_rate=25.0, seed=0)[0]


@pytest.fixture(scope="module")
def cameras(recording):
    return place_cameras(recording, RigConfig(width=300, height=300, focal_px=344.0), 0)


@pytest.fixture(scope="module")
def scene(recording, cameras):
    return furnish(recording, cameras, CONFIG, 0)


def picture(scene, cameras, moment=0, view=0):
    return scene.picture(cameras[view], moment, view, np.eye(2, 3) * 3, (100, 100))


def test_looks_depend_on_names_and_seed(recording, cameras, scene):
    again = furnish(recording, cameras, CONFIG, 0)
    np.testing.assert_array_equal(picture(again, cameras), picture(scene, cameras))
    other_seed = furnish(recording, cameras, CONFIG, 1)
    assert (other_seed.person.colours != scene.person.colours).any()
    other_room = furnish(dataclasses.replace(recording, name="b"), cameras, CONFIG, 0)
    np.testing.assert_array_equal(other_room.person.colours, scene.person.colours)
    assert (other_room.room.textures != scene.room.textures).any()
    other_person = furnish(dataclasses.replace(recording, subject="bob"), cameras, CONFIG, 0)
    assert (other_person.person.colours != scene.person.colours).any()
    np.testing.assert_array_equal(other_person.room.textures, scene.room.textures)


def test_clutter_stands_in_its_stretches_and_hides_joints(recording, cameras, scene):
    assert scene.occluded.sum(0).sum() in range(20, 27) and scene.occluded.sum(1).max() == 1
    moment, view = (int(k) for k in np.argwhere(scene.occluded)[5])
    without = dataclasses.replace(scene, occluded=np.zeros_like(scene.occluded))
    assert (picture(scene, cameras, moment, view) != picture(without, cameras, moment, view)).any()
    others = [v for v in range(4) if v != view]
    for other in others[:1]:
        np.testing.assert_array_equal(
            picture(scene, cameras, moment, other), picture(without, cameras, moment, other)
        )
    hidden = {True: [], False: []}
    for v, camera in enumerate(cameras):
        poses = camera.from_world(recording.positions_mm.astype(np.float64))
        seen = seen_joints(scene, poses, camera, v, recording.skeleton)
        free = seen_joints(without, poses, camera, v, recording.skeleton)
        assert (free | ~seen).all()  # clutter only hides
        np.testing.assert_array_equal(seen[~scene.occluded[:, v]], free[~scene.occluded[:, v]])
        for covered in (True, False):
            hidden[covered].append(1 - seen[scene.occluded[:, v] == covered].ravel())
    shares = {covered: np.concatenate(values).mean() for covered, values in hidden.items()}
    assert shares[True] > shares[False] + 0.15 and shares[False] < 0.3
    none = furnish(recording, cameras, SceneConfig(clutter_share=0.0), 0)
    assert not none.occluded.any()


def test_hidden_joints_lie_behind_what_the_picture_shows(recording, cameras, scene):
    """The depth at a joint's own ray, of all that is there, against the joint's."""
    agreeing = []
    for view, camera in enumerate(cameras):
        poses = camera.from_world(recording.positions_mm.astype(np.float64))
        seen = seen_joints(scene, poses, camera, view, recording.skeleton)
        for moment in range(0, recording.frames, 4):
            solids = rendering.joined(scene.person.at(moment), scene.furniture)
            if scene.occluded[moment, view]:
                solids = rendering.joined(solids, scene.clutter.at(moment))
            start, end = (camera.from_world(p).astype(np.float32) for p in solids[:2])
            x, y = (poses[moment, :, :2] / poses[moment, :, 2:]).T.astype(np.float32)
            _, depth = rendering._nearest(np.sort(x), np.sort(y), start, end, solids.radius)
            shown = depth[np.argsort(np.argsort(y)), np.argsort(np.argsort(x))]
            gap = poses[moment, :, 2] - shown
            clear = (gap < 30) | (gap > 250)  # not its own surface, or a limb beside it
            agreeing += (seen[moment] == (gap < 30))[clear].tolist()
    assert len(agreeing) > 50 and np.mean(agreeing) > 0.97


def test_outlines_hold_the_person(recording, cameras, scene):
    for camera in cameras[:2]:
        pixels = camera.project(camera.from_world(recording.positions_mm.astype(np.float64)))
        bounds = silhouette_bounds(scene, camera)
        assert (pixels > bounds[:, None, :2]).all() and (pixels < bounds[:, None, 2:]).all()
        assert (bounds[:, 2:] - bounds[:, :2] < 60 + np.ptp(pixels, axis=1)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("clutter_share", 1.5), ("clutter_seconds", 0.0), ("furniture", -1), ("noise", 1000.0)],
)
def test_impossible_scenes_are_refused(field, value):
    with pytest.raises(InputError, match=f"scene: {field} {value}, expected"):
        SceneConfig(**{field: value})
