"""Human3.6M's facts: against the reference tables, the official code, and geometry."""

import json

import numpy as np
import pytest

from jrepose.data.formats import human36m
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

# The recorded 32 joints' parents, from the dataset's own skeleton description.
PARENTS_32 = (-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 12, 16, 17, 18, 19, 20, 19, 22,
              12, 24, 25, 26, 27, 28, 27, 30)  # fmt: skip
LEFT_32 = {*range(6, 11), *range(16, 24)}
RIGHT_32 = {*range(1, 6), *range(24, 32)}


@pytest.mark.parametrize("subject", human36m.SUBJECTS)
def test_cameras_are_the_published_ones(shared_dir, subject):
    reference = json.loads((shared_dir / "reference" / "h36m_cameras.json").read_text())
    cameras = human36m.cameras(subject)
    assert len(cameras) == 4
    for camera, lens, placement in zip(
        cameras, reference["cameras"], reference["extrinsics"][subject], strict=True
    ):
        assert camera.name == lens["id"]
        assert (camera.width, camera.height) == (lens["width_px"], lens["height_px"])
        assert camera.focal_px == tuple(lens["focal_length_px"])
        assert camera.centre_px == tuple(lens["center_px"])
        assert camera.radial == tuple(lens["radial_distortion"])
        assert camera.tangential == tuple(lens["tangential_distortion"])
        assert camera.orientation_wxyz == tuple(placement["orientation_wxyz"])
        assert camera.translation_mm == tuple(placement["translation_mm"])


@pytest.mark.parametrize("index", [0, 1])
def test_cameras_are_the_official_codes(golden, index):
    arrays, config = golden("camera")
    which = config["cameras"][index]
    camera = human36m.cameras(which["subject"])[which["camera_index"]]
    assert (camera.name, camera.width, camera.height) == (
        which["id"], which["width"], which["height"]
    )  # fmt: skip
    official = {name: arrays[f"input/{index}/{name}"] for name in
                ("intrinsic", "orientation", "translation_m")}  # fmt: skip
    np.testing.assert_array_equal(camera.intrinsics_screen, official["intrinsic"])
    np.testing.assert_array_equal(np.float32(camera.orientation_wxyz), official["orientation"])
    np.testing.assert_array_equal(
        np.float32(camera.translation_mm) / 1000, official["translation_m"]
    )


@pytest.mark.parametrize("subject", human36m.SUBJECTS)
def test_cameras_stand_in_the_corners_and_see_the_middle(subject):
    cameras = human36m.cameras(subject)
    assert tuple(camera.name for camera in cameras) == human36m.CAMERA_IDS
    middle = np.array([0.0, 0.0, 1000.0])
    for camera in cameras:
        in_axes = camera.from_world(middle)
        assert 3000 < in_axes[2] < 7000
        u, v = camera.project(in_axes)
        assert abs(u - camera.width / 2) < 300 and abs(v - camera.height / 2) < 300
        # Upright: a higher point is higher in the image, and 1 m is a few hundred pixels.
        above = camera.project(camera.from_world(middle + [0, 0, 500]))
        assert 50 < v - above[1] < 250
    quadrants = {tuple(np.sign(camera.translation_mm[:2])) for camera in cameras}
    assert len(quadrants) == 4


def test_heights_differ_between_the_cameras():
    sizes = [(camera.width, camera.height) for camera in human36m.cameras("S11")]
    assert sizes == [(1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)]


@pytest.mark.parametrize("subject", ["S2", "S10", "S01", ""])
def test_subjects_without_calibration_are_named(subject):
    with pytest.raises(InputError, match=f"{subject!r}.*S1, S5, S6, S7, S8, S9, S11"):
        human36m.cameras(subject)


def test_seventeen_joints_reproduce_the_skeleton():
    kept = list(human36m.JOINTS_17)
    parents = []
    for joint in kept:
        parent = PARENTS_32[joint]
        while parent not in kept and parent >= 0:
            parent = PARENTS_32[parent]
        parents.append(kept.index(parent) if parent >= 0 else -1)
    # The field hangs the shoulders on the thorax; in the recording they hang on the spine.
    left, right = (HUMAN36M_17.index(f"{side}_shoulder") for side in ("left", "right"))
    assert parents[left] == parents[right] == HUMAN36M_17.index("spine")
    parents[left] = parents[right] = HUMAN36M_17.index("thorax")
    assert tuple(parents) == HUMAN36M_17.parents
    assert tuple(i for i, joint in enumerate(kept) if joint in LEFT_32) == HUMAN36M_17.left
    assert tuple(i for i, joint in enumerate(kept) if joint in RIGHT_32) == HUMAN36M_17.right


@pytest.mark.parametrize(
    "name, canonical, action",
    [
        ("TakingPhoto", "Photo", "Photo"),
        ("TakingPhoto 1", "Photo 1", "Photo"),
        ("WalkingDog 2", "WalkDog 2", "WalkDog"),
        ("Walking 1", "Walking 1", "Walking"),
        ("WalkTogether", "WalkTogether", "WalkTogether"),
        ("Photo", "Photo", "Photo"),
        ("SittingDown 1", "SittingDown 1", "SittingDown"),
    ],
)
def test_action_names(name, canonical, action):
    assert human36m.canonical_action(name) == canonical
    assert human36m.canonical_action(canonical) == canonical
    assert human36m.action_class(canonical) == action
    assert action in human36m.ACTIONS


def test_the_published_split():
    assert len(human36m.ACTIONS) == len(set(human36m.ACTIONS)) == 15
    assert human36m.TRAIN_SUBJECTS == ("S1", "S5", "S6", "S7", "S8")
    assert human36m.TEST_SUBJECTS == ("S9", "S11")
    assert human36m.SUBJECTS == (*human36m.TRAIN_SUBJECTS, *human36m.TEST_SUBJECTS)


def test_the_same_lens_for_all_subjects():
    for first, last in zip(human36m.cameras("S1"), human36m.cameras("S9"), strict=True):
        np.testing.assert_array_equal(first.intrinsics_px, last.intrinsics_px)
        assert first.translation_mm != last.translation_mm
