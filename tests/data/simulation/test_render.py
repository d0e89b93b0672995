"""Capsules and rooms against the plainest arithmetic."""

import numpy as np

from jrepose.camera import Camera, look_at
from jrepose.data.simulation import render as rendering
from jrepose.data.simulation.render import Room, Solids, outline, ray_depth, render

RNG = np.random.default_rng(0)
COUNT = 40
START = RNG.uniform((-800, -800, 1500), (800, 800, 4000), (COUNT, 3)).astype(np.float32)
END = (START + RNG.normal(0, 400, (COUNT, 3))).astype(np.float32)
RADIUS = RNG.uniform(40, 250, COUNT).astype(np.float32)


def gap(points, start, end):
    """Distances of points from segments."""
    axis = end - start
    share = ((points - start) * axis).sum(-1) / (axis * axis).sum(-1)
    return np.linalg.norm(points - start - np.clip(share, 0, 1)[..., None] * axis, axis=-1)


def test_rays_enter_where_the_surface_is():
    aim = START + RNG.uniform(0, 1, (COUNT, 1)) * (END - START) + RNG.normal(0, 120, (COUNT, 3))
    rays = (aim / aim[:, 2:]).astype(np.float32)
    depth = np.array(
        [ray_depth(*one) for one in zip(rays, START, END, RADIUS.tolist(), strict=True)]
    )
    steps = np.linspace(50, 6000, 20_000)[:, None]
    inside = gap(steps[..., None] * rays, START, END) < RADIUS
    first = np.where(inside.any(0), steps[inside.argmax(0), 0], np.inf)
    assert 10 < np.isfinite(first).sum() < COUNT
    np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(first))
    np.testing.assert_allclose(depth, first, atol=1.0)


def test_pictures_show_the_nearest_capsule_and_cut_none_off():
    x, y = (
        np.linspace(-0.5, 0.5, 60, dtype=np.float32),
        np.linspace(-0.5, 0.5, 50, dtype=np.float32),
    )
    hit, depth = rendering._nearest(x, y, START, END, RADIUS)
    rays = np.stack([*np.meshgrid(x, y), np.ones((50, 60), np.float32)], -1)
    each = np.stack(
        [ray_depth(rays, *one) for one in zip(START, END, RADIUS.tolist(), strict=True)]
    )
    np.testing.assert_allclose(depth, each.min(0), rtol=1e-4)
    assert set(np.unique(hit)) > {-1, 0}
    shown = np.take_along_axis(each, np.maximum(hit, 0)[None].astype(int), 0)[0]
    np.testing.assert_allclose(shown[hit >= 0], depth[hit >= 0], rtol=1e-4)
    np.testing.assert_array_equal(hit < 0, np.isinf(depth))


def test_outlines_hold_the_surface():
    around = RNG.normal(size=(2000, 1, 3))
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    bounds = outline(START, END, RADIUS)
    for ends in (START, END):
        points = ends + around * RADIUS[:, None]
        seen = points[..., :2] / points[..., 2:]
        assert (seen > bounds[:, :2] - 1e-4).all() and (seen < bounds[:, 2:] + 1e-4).all()
    balls = outline(START, START, RADIUS)
    points = START + around * RADIUS[:, None]
    widest = (points[..., :2] / points[..., 2:]).max(0)
    np.testing.assert_allclose(balls[:, 2:], widest, atol=0.02)  # and no more than that


def camera(*places):
    position, target = (np.array(place, np.float64) for place in places)
    return Camera(
        "c",
        200,
        100,
        (80.0, 80.0),
        (100.0, 50.0),
        look_at(position, target),
        tuple(position.tolist()),
    )


def plain_room(**changes):
    """Every surface of one colour: walls red and green, floor blue, ceiling white."""
    texels = rendering.TEXTURE**2
    colours = np.zeros((4, 4), np.uint8)
    colours[:, :3] = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]]
    values = dict(
        low=np.array([-3000, -2000, 0], np.float32),
        high=np.array([3000, 2000, 2500], np.float32),
        textures=np.repeat(colours.view(np.uint32)[:, 0], texels),
        light=np.array([0, 0, 1], np.float32),
        ambient=np.full(3, 0.5, np.float32),
        direct=np.full(3, 0.5, np.float32),
        grain=np.zeros(11, np.int16),
    )
    return Room(**values | changes)


def ball(place, radius, colours, front=(0.0, 0.0, 1.0)):
    one = np.array([place], np.float32)
    return Solids(
        one, one + np.float32(1), np.array([radius], np.float32),
        np.array([colours], np.float32), np.array([front], np.float32), np.zeros(1, np.float32),
    )  # fmt: skip


NOTHING = Solids(*(values[:0] for values in ball((0, 0, 0), 1, ((0, 0, 0), (0, 0, 0)))))
WHOLE = np.eye(2, 3)


def test_rooms_are_boxes():
    position = np.array([500.0, -300.0, 1200.0])
    seen_by = camera(tuple(position), (1800.0, 900.0, 1000.0))
    room = plain_room()
    picture = render(seen_by, room, NOTHING, WHOLE, (100, 200), np.zeros((0, 3)))
    v, u = np.mgrid[:100, :200]
    away = np.stack([(u - 100) / 80, (v - 50) / 80, np.ones_like(u)], -1).reshape(-1, 3)
    rays = seen_by.to_world(away) - position
    ends = np.where(rays > 0, room.high, room.low)
    depth = (ends - position) / rays
    side = depth.argmin(-1)
    expected = np.where(side == 2, 2 + (rays[:, 2] > 0), side)
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]])[expected]
    assert set(expected) == {0, 1, 2, 3}
    same = (picture.reshape(-1, 3) == colours).all(-1)
    assert same.mean() > 0.999  # but for pixels on an edge


def test_fronts_light_shadows_and_noise():
    seen_by = camera((0.0, -1800.0, 1000.0), (0.0, 0.0, 1000.0))
    solid = ball((0, 0, 1000), 300, ((1, 0, 0), (0, 1, 0)), front=(0.0, -1.0, 0.0))
    room = plain_room(low=np.array([-3000, -2000, 0], np.float32))
    feet = np.array([[0.0, -200.0, 700.0]])
    picture = render(seen_by, room, solid, WHOLE, (100, 200), feet)
    assert picture[50, 100].argmax() == 1  # the front is towards the camera
    turned = render(seen_by, room, solid._replace(front=-solid.front), WHOLE, (100, 200), feet)
    assert turned[50, 100].argmax() == 0
    assert picture[45, 100].max() > picture[55, 100].max()  # the light is above
    assert picture[99, 100, 2] < picture[99, 10, 2] == 200
    half = np.array([[0.5, 0, 90], [0, 0.5, 40]])
    part = render(seen_by, room, solid, half, (41, 41), feet)
    np.testing.assert_array_equal(part[::2, ::2], picture[40:61, 90:111])
    noisy = plain_room(grain=np.array([-9, 9, 5], np.int16))
    one, other = (render(seen_by, noisy, solid, WHOLE, (100, 200), feet, k) for k in (0, 1))
    assert np.abs(one.astype(int) - picture).max() == 9 and (one != other).any()
