"""Virtual rigs: where the cameras stand, and that they see the person."""

import dataclasses
import json

import numpy as np
import pytest

from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.rig import RigConfig, place_cameras
from jrepose.errors import InputError


def stander(name="r", path=((0.0, 0.0),), height=1700.0):
    """A recording of a rigid cross of joints that stands on each point of a path."""
    figure = np.zeros((17, 3))
    figure[:, 2] = np.linspace(60, height, 17)
    figure[0] = (0, 0, 900)
    figure[13], figure[16] = (0, 700, 1400), (0, -700, 1400)
    positions = figure + np.pad(np.asarray(path, float), ((0, 0), (0, 1)))[:, None]
    return Recording(
        name=name,
        subject="s",
        action="stand",
        frame_rate=50.0,
        positions_mm=positions,
        valid=np.ones(len(positions), bool),
    )


def horizontal(camera, centre=(0.0, 0.0)):
    offset = np.array(camera.translation_mm[:2]) - centre
    return np.hypot(*offset), np.degrees(np.arctan2(offset[1], offset[0]))


def in_image_share(recording, camera, margin=0.0):
    pixels = camera.project(camera.from_world(recording.positions_mm))
    size = np.array([camera.width, camera.height])
    return ((pixels >= margin) & (pixels <= size - margin)).all((-1, -2)).mean()


def test_human36m_rig_is_the_published_one():
    cameras = place_cameras(stander(), RigConfig(turn=False), seed=3)
    assert [camera.name for camera in cameras] == [f"camera_{k}" for k in range(4)]
    for camera, distance, azimuth in zip(
        cameras, (5324, 5477, 5456, 4187), (67.7, -68.7, 108.0, -113.4), strict=True
    ):
        d, a = horizontal(camera)
        assert d == pytest.approx(distance) and a == pytest.approx(azimuth)
        assert camera.focal_px == (1145.0, 1145.0)
        assert (camera.width, camera.height, camera.centre_px) == (1000, 1000, (500.0, 500.0))
        assert 1490 < camera.translation_mm[2] < 1610


def test_rig_is_near_the_calibrated_cameras(shared_dir):
    table = json.loads((shared_dir / "reference" / "h36m_cameras.json").read_text())
    cameras = place_cameras(stander(), RigConfig(turn=False))
    for subject, places in table["extrinsics"].items():
        for camera, place in zip(cameras, places or (), strict=bool(places)):
            if place and place.get("translation_mm"):
                gap = np.subtract(camera.translation_mm, place["translation_mm"])
                assert np.linalg.norm(gap) < 400, subject


def test_turning_the_rig_keeps_its_shape():
    recordings = [stander(f"r{k}") for k in range(3)]
    azimuths = np.array(
        [[horizontal(c)[1] for c in place_cameras(r, RigConfig())] for r in recordings]
    )
    relative = (azimuths - azimuths[:, :1]) % 360
    np.testing.assert_allclose(relative, relative[:1].repeat(3, 0), atol=1e-6)
    assert len(np.unique(azimuths[:, 0].round(3))) == 3


def test_far_walkers_stay_in_view_and_near_ones_do_not_move_the_rig():
    far = stander(path=[(x, 0.0) for x in np.linspace(-6000, 6000, 200)])
    near = stander(path=[(x, 0.0) for x in np.linspace(-300, 300, 50)])
    for config in (RigConfig(), RigConfig(kind="random", cameras=6)):
        for camera in place_cameras(far, config):
            assert in_image_share(far, camera, config.margin_px - 1e-6) >= config.in_view
            assert horizontal(camera)[0] > 6500
    # No further than needed: 2 % closer and the person leaves the image.
    for camera in place_cameras(far, RigConfig()):
        position = np.array(camera.translation_mm) * [0.98, 0.98, 1]
        closer = dataclasses.replace(camera, translation_mm=tuple(position.tolist()))
        assert in_image_share(far, closer, 20) < 0.99
    assert [horizontal(c)[0] for c in place_cameras(near, RigConfig())] == pytest.approx(
        [5324, 5477, 5456, 4187]
    )


def test_all_joints_are_in_front_even_where_few_frames_matter():
    # One frame in a hundred runs 30 m away: the view may lose it, the camera must not.
    path = [(0.0, 0.0)] * 199 + [(9000.0, 9000.0)]
    recording = stander(path=path)
    for camera in place_cameras(recording, RigConfig(in_view=0.5)):
        assert camera.from_world(recording.positions_mm)[..., 2].min() >= 1000


def test_volume_middle_is_looked_at_wherever_it_is():
    recording = stander(path=[(10_000.0, -3000.0), (11_000.0, -3000.0)])
    for camera in place_cameras(recording, RigConfig()):
        middle = camera.project(camera.from_world(np.array([10_500.0, -3000.0, 880.0])))
        np.testing.assert_allclose(middle, [500, 500], atol=1e-6)


def test_random_rig_draws_from_its_ranges_and_covers_all_sides():
    config = RigConfig(
        kind="random",
        cameras=8,
        focal_range_px=(1000.0, 1100.0),
        distance_range_mm=(6000.0, 7000.0),
        height_range_mm=(300.0, 2000.0),
    )
    cameras = place_cameras(stander(), config)
    sectors = sorted(int(horizontal(c)[1] % 360 // 45) for c in cameras)
    assert sectors == list(range(8))
    for camera in cameras:
        assert 1000 <= camera.focal_px[0] <= 1100
        assert 6000 <= horizontal(camera)[0] <= 7000
        assert 300 <= camera.translation_mm[2] <= 2000
    assert len({camera.focal_px for camera in cameras}) == 8


def test_cameras_that_are_not_level():
    level = place_cameras(stander(), RigConfig(kind="random", cameras=40))
    rolled = place_cameras(stander(), RigConfig(kind="random", cameras=40, roll_deg=10.0))
    turned = []
    for camera, other in zip(rolled, level, strict=True):
        assert other.focal_px == camera.focal_px
        # The image's right, in the world: level if it has no height.
        origin, right = camera.to_world(np.array([[0.0, 0, 1000], [1000, 0, 1000]]))
        turned.append(np.degrees(np.arcsin((right - origin)[2] / 1000)))
        origin, right = other.to_world(np.array([[0.0, 0, 1000], [1000, 0, 1000]]))
        assert abs((right - origin)[2]) < 1e-6
    assert 6 < np.std(turned) < 14 and abs(np.mean(turned)) < 5


def test_seed_and_name_decide():
    config = RigConfig(kind="random")
    one = place_cameras(stander(), config, seed=1)
    assert place_cameras(stander(), config, seed=1) == one
    assert place_cameras(stander(), config, seed=2) != one
    assert place_cameras(stander("other"), config, seed=1) != one


def test_settings_from_a_mapping():
    config = RigConfig.from_mapping({"cameras": 2, "focal_px": 1200, "radial": [-0.2, 0, 0]})
    assert config == RigConfig(cameras=2, focal_px=1200.0, radial=(-0.2, 0.0, 0.0))
    assert place_cameras(stander(), config)[0].radial == (-0.2, 0.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kamera": 3}, "unknown field 'kamera'; known: kind, cameras"),
        ({"cameras": "four"}, "RigConfig.cameras: 'four' is a str, expected int"),
        ({"cameras": True}, "expected int"),
        ({"radial": (0.1,)}, "1 values, expected 3"),
        ({"kind": "studio"}, "'studio', expected 'human36m' or 'random'"),
        ({"cameras": 5}, "5 cameras, expected 1 to 4"),
        ({"cameras": 0, "kind": "random"}, "0 cameras"),
        ({"margin_px": 500.0}, "leaves nothing"),
        ({"in_view": 0.0}, "in_view"),
        ({"focal_px": -3.0}, "focal_px"),
        ({"distance_range_mm": (5000.0, 4000.0)}, "distance_range_mm"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        RigConfig.from_mapping(fields)
