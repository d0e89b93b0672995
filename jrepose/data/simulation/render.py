"""Pictures of capsules in a room: people, furniture and what stands in the way.

Every pixel's ray is intersected with the capsules whose outline it may lie in, the nearest hit is
shaded, and rays that hit none end at the floor, a wall or the ceiling.  All in camera axes, where
a ray is (x, y, 1) times the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int16, UInt8, UInt32

from jrepose.camera import Camera

TEXTURE = 256
"""Rows and columns of a texture."""

_TEXEL_MM = 20.0
_FACING = 0.45  # cosine from which a capsule shows its front
_NEAREST_MM = 50.0
_SHADOW_MM = 350.0


class Solids(NamedTuple):
    """Capsules of moments, in world axes.

    Args:
        start, end: of the axis, mm.
        radius: mm.
        colours: of the side that does not face `front`, and of the one that does, 0 to 1.
        front: unit vectors.
        stripes: width of darker stripes across the axis, mm; 0: none.
    """

    start: Float32[np.ndarray, "*moments solids 3"]
    end: Float32[np.ndarray, "*moments solids 3"]
    radius: Float32[np.ndarray, " solids"]
    colours: Float32[np.ndarray, "solids 2 3"]
    front: Float32[np.ndarray, "*moments solids 3"]
    stripes: Float32[np.ndarray, " solids"]

    def at(self, moment: int | np.ndarray) -> Solids:
        """Those of one moment, or of some."""
        return self._replace(
            start=self.start[moment], end=self.end[moment], front=self.front[moment]
        )


def joined(first: Solids, second: Solids) -> Solids:
    """Both, of one moment each."""
    return Solids(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


@dataclass(frozen=True, eq=False)
class Room:
    """What is behind everybody, and the light.

    Args:
        low, high: corners of the room, mm; the floor is at `low`'s z.
        textures: of the walls across x, those across y, floor and ceiling, end to end; the bytes
            of each number are red, green, blue and nothing.
        light: unit vector towards the light.
        ambient, direct: brightness of both kinds of light, by colour.
        grain: a pattern of sensor noise that is shifted from image to image, grey levels.
    """

    low: Float32[np.ndarray, " 3"]
    high: Float32[np.ndarray, " 3"]
    textures: UInt32[np.ndarray, " texels"]
    light: Float32[np.ndarray, " 3"]
    ambient: Float32[np.ndarray, " 3"]
    direct: Float32[np.ndarray, " 3"]
    grain: Int16[np.ndarray, " grains"]


def ray_depth(
    rays: Float32[np.ndarray, "*#rays 3"],
    start: Float32[np.ndarray, "*#rays 3"],
    end: Float32[np.ndarray, "*#rays 3"],
    radius: float,
) -> Float32[np.ndarray, "*#rays"]:
    """Depth at which rays from the origin enter a capsule; infinite where they miss it.

    The ray is a line p = t d; its distance from the axis' line is a quadratic in t, whose smaller
    root is on the cylinder, or else the nearer end's sphere decides.

    Args:
        rays: directions with z = 1, so that t is the depth.
        start, end: of the axis, camera axes, mm.
        radius: mm.
    """
    axis = end - start
    along = np.maximum((axis * axis).sum(-1), np.float32(1e-6))
    dd, da = (rays * rays).sum(-1), (rays * axis).sum(-1)
    ds, sa = (rays * start).sum(-1), (start * axis).sum(-1)
    return _enter(dd, da, ds, along, sa, (start * start).sum(-1), np.float32(radius) ** 2)


def _enter(dd, da, ds, along, sa, ss, radius2):
    """`ray_depth` from products: d d, d axis, d start, axis axis, start axis, start start."""
    a = along * dd - da * da
    b = da * sa - along * ds
    c = along * ss - sa * sa - radius2 * along
    root = b * b - a * c
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = (-b - np.sqrt(root)) / a
        place = depth * da - sa  # of the hit along the axis
        # Beyond an end the ray may still meet that end's sphere.
        last = place > 0.5 * along
        of_end = ds + da * last
        of_square = ss + (2 * sa + along) * last
        square = of_end * of_end - dd * (of_square - radius2)
        round_end = (of_end - np.sqrt(square)) / dd
        depth = np.where((place > 0) & (place < along), depth, round_end)
    return np.where(depth > _NEAREST_MM, depth, np.float32(np.inf))


def outline(
    start: Float[np.ndarray, "*entries 3"],
    end: Float[np.ndarray, "*entries 3"],
    radius: Float[np.ndarray, "*#entries"],
) -> Float[np.ndarray, "*entries 4"]:
    """Bounds of capsules in camera axes on the plane z = 1: least x and y, largest x and y.

    Those of both ends' balls; balls at the camera are moved in front of it.
    """
    bounds = []
    for point in (start, end):
        z = np.maximum(point[..., 2], radius + _NEAREST_MM)[..., None]
        r, sideways = radius[..., None], point[..., :2]
        # Tangents to a circle in the plane of z and x, or y.
        slack = r * np.sqrt(sideways**2 + z**2 - r**2)
        bounds.append([(sideways * z + sign * slack) / (z**2 - r**2) for sign in (-1, 1)])
    (low_a, high_a), (low_b, high_b) = bounds
    return np.concatenate([np.minimum(low_a, low_b), np.maximum(high_a, high_b)], -1)


def render(
    camera: Camera,
    room: Room,
    solids: Solids,
    to_image: Float[np.ndarray, "2 3"],
    size: tuple[int, int],
    shadows: Float[np.ndarray, "feet 3"],
    shift: int = 0,
) -> UInt8[np.ndarray, "height width 3"]:
    """One picture, RGB.

    Args:
        camera: where it is taken; its lens is not distorted.
        room, solids: what there is, at one moment.
        to_image: which part of the image: scale and shift from the picture's pixels to it.
        size: rows and columns of the picture.
        shadows: world points over soft shadows on the floor, mm.
        shift: of the sensor noise.
    """
    height, width = size
    (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px
    x = ((to_image[0, 0] * np.arange(width) + to_image[0, 2] - cx) / fx).astype(np.float32)
    y = ((to_image[1, 1] * np.arange(height) + to_image[1, 2] - cy) / fy).astype(np.float32)
    position = np.array(camera.translation_mm)
    # Row i: camera axis i in the world.
    axes = (camera.to_world(np.eye(3)) - position).astype(np.float32)

    def seen(points):
        return (points - position).astype(np.float32) @ axes.T

    picture = _background(room, x, y, axes, position.astype(np.float32))
    on_floor = np.array(shadows, np.float64)
    on_floor[:, 2] = room.low[2]
    _darken(picture, x, y, axes, seen(on_floor))
    start, end = seen(solids.start), seen(solids.end)
    hit, depth = _nearest(x, y, start, end, solids.radius)
    rows, columns = np.nonzero(hit >= 0)
    if len(rows):
        rays = np.stack([x[columns], y[rows], np.ones(len(rows), np.float32)], -1)
        points = rays * depth[rows, columns, None]
        picture[rows, columns] = _shaded(room, solids, hit[rows, columns], points, start, end, axes)
    pixels = height * width
    grain = np.resize(np.roll(room.grain, -(shift * 7919) % len(room.grain)), pixels)
    noisy = picture.astype(np.int16)
    noisy += grain.reshape(height, width, 1)
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _nearest(
    x: Float32[np.ndarray, " width"],
    y: Float32[np.ndarray, " height"],
    start: Float32[np.ndarray, "solids 3"],
    end: Float32[np.ndarray, "solids 3"],
    radius: Float32[np.ndarray, " solids"],
) -> tuple[Int16[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """The capsule that every pixel shows, -1 for none, and its depth, mm."""
    hit = np.full((len(y), len(x)), -1, np.int16)
    depth = np.full(hit.shape, np.inf, np.float32)
    bounds = outline(start, end, radius)
    axis = end - start
    along = np.maximum((axis * axis).sum(-1), np.float32(1e-6))
    sa, ss = (start * axis).sum(-1), (start * start).sum(-1)
    for k in range(len(radius)):
        window = _window(x, y, bounds[k])
        if max(start[k, 2], end[k, 2]) < _NEAREST_MM or window is None:
            continue
        u, v = x[None, window[1]], y[window[0], None]
        found = _enter(
            u * u + (v * v + 1),
            u * axis[k, 0] + (v * axis[k, 1] + axis[k, 2]),
            u * start[k, 0] + (v * start[k, 1] + start[k, 2]),
            along[k], sa[k], ss[k], radius[k] ** 2,
        )  # fmt: skip
        nearer = found < depth[window]
        np.copyto(depth[window], found, where=nearer)
        np.copyto(hit[window], np.int16(k), where=nearer)
    return hit, depth


def _window(
    x: Float32[np.ndarray, " width"],
    y: Float32[np.ndarray, " height"],
    bounds: Float[np.ndarray, " 4"],
) -> tuple[slice, slice] | None:
    """Rows and columns of the rays within bounds; None if there are none."""
    (left, right), (top, bottom) = np.searchsorted(x, bounds[::2]), np.searchsorted(y, bounds[1::2])
    return None if left == right or top == bottom else (slice(top, bottom), slice(left, right))


def _shaded(
    room: Room,
    solids: Solids,
    owner: Int16[np.ndarray, " hits"],
    points: Float32[np.ndarray, "hits 3"],
    start: Float32[np.ndarray, "solids 3"],
    end: Float32[np.ndarray, "solids 3"],
    axes: Float32[np.ndarray, "3 3"],
) -> UInt8[np.ndarray, "hits 3"]:
    """Colours of points on capsules."""
    axis = end - start
    along = np.maximum((axis * axis).sum(-1), np.float32(1e-6))
    from_start, axis_of = points - start[owner], axis[owner]
    place = (from_start * axis_of).sum(-1) / along[owner]
    normal = from_start - np.clip(place, 0, 1)[:, None] * axis_of
    normal /= solids.radius[owner, None]
    facing = (normal * (solids.front @ axes.T)[owner]).sum(-1) > _FACING
    colour = solids.colours[owner, facing.astype(np.intp)]
    light = np.maximum(normal @ (axes @ room.light), 0)
    # What looks away from the camera is darker: outlines show.
    rim = np.clip(-normal[:, 2], 0, 1) * np.float32(0.3) + np.float32(0.7)
    length, width = np.sqrt(along)[owner], solids.stripes[owner]
    striped = (width > 0) & (place * length / np.maximum(width, 1) % 2 < 1)
    rim[striped] *= np.float32(0.6)
    colour *= room.ambient + light[:, None] * room.direct
    colour *= np.float32(255) * rim[:, None]
    return np.minimum(colour, 255, out=colour).astype(np.uint8)


def _background(
    room: Room,
    x: Float32[np.ndarray, " width"],
    y: Float32[np.ndarray, " height"],
    axes: Float32[np.ndarray, "3 3"],
    position: Float32[np.ndarray, " 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The room's inside."""
    rays = [np.add.outer(y * axes[1, k] + axes[2, k], x * axes[0, k]) for k in range(3)]
    # One over the depth of each pair of walls: positive for the wall ahead only.
    nearness = [
        np.maximum(ray / (room.high[k] - position[k]), ray / (room.low[k] - position[k]))
        for k, ray in enumerate(rays)
    ]
    nearest = np.maximum(nearness[0], nearness[1])
    across_x, level = nearness[0] == nearest, nearness[2] > nearest
    depth = np.float32(1 / _TEXEL_MM) / np.maximum(nearest, nearness[2])
    hit = [
        (ray * depth + np.float32(place / _TEXEL_MM)).astype(np.int32) & (TEXTURE - 1)
        for ray, place in zip(rays, position, strict=True)
    ]
    surface = np.where(level, 2 + (rays[2] > 0), 1 - across_x.astype(np.int32))
    column = np.where(across_x & ~level, hit[1], hit[0])
    row = np.where(level, hit[1], hit[2])
    texel = ((surface * TEXTURE) + row) * TEXTURE + column
    return np.take(room.textures, texel).view(np.uint8).reshape(*texel.shape, 4)[..., :3]


def _darken(
    picture: UInt8[np.ndarray, "height width 3"],
    x: Float32[np.ndarray, " width"],
    y: Float32[np.ndarray, " height"],
    axes: Float32[np.ndarray, "3 3"],
    feet: Float32[np.ndarray, "feet 3"],
) -> None:
    """Soft shadows around points of the floor, in camera axes."""
    up = axes[:, 2]  # in camera axes
    for foot in feet:
        if foot[2] < 2 * _SHADOW_MM:
            continue
        window = _window(x, y, outline(foot, foot, np.full((), _SHADOW_MM)))
        if window is None:
            continue
        u, v = x[None, window[1]], y[window[0], None]
        # Where rays meet the plane of the floor.
        with np.errstate(divide="ignore"):
            depth = (foot @ up) / (u * up[0] + (v * up[1] + up[2]))
        gap = (u * depth - foot[0]) ** 2 + (v * depth - foot[1]) ** 2 + (depth - foot[2]) ** 2
        dark = 1 - np.float32(0.35) * np.maximum(1 - gap / np.float32(_SHADOW_MM**2), 0)
        picture[window] = picture[window] * dark[..., None]
