"""What a rendered recording looks like: its person's clothes, its room, light and clutter.

All of it is a pure function of seed and names, so that other recordings change nothing.
"""

from __future__ import annotations

import colorsys
import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt32
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from jrepose.camera import Camera, unit_vectors
from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.occlusion import HUMAN36M_BODY
from jrepose.data.simulation.render import TEXTURE, Room, Solids, joined, outline, ray_depth, render
from jrepose.data.simulation.seeds import named_generator
from jrepose.data.simulation.settings import Settings
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton

_FOOT_MM, _FOOT_RADIUS_MM = 135.0, 42.0
_GRAINS = 65_537
# A capsule hides a joint if it is entered so much nearer to the camera than the joint is.
_CLEARANCE_MM = 30.0
_SKINS = ((0.93, 0.76, 0.65), (0.80, 0.60, 0.46), (0.62, 0.43, 0.31), (0.40, 0.26, 0.18))


@dataclass(frozen=True)
class SceneConfig(Settings):
    """How rendered recordings look.

    Args:
        furniture: pillars and boards that stand around, at most.
        clutter_share: part of a recording's length in which something stands in front of one of
            its cameras, and covers part of the person.
        clutter_seconds: how long such a stretch is.
        clutter_solids: boards and pillars of which it consists.
        noise: standard deviation of the sensor's noise, grey levels.

    Raises:
        InputError: an impossible value.
    """

    furniture: int = 4
    clutter_share: float = 0.25
    clutter_seconds: float = 1.0
    clutter_solids: int = 4
    noise: float = 3.0

    def __post_init__(self):
        if not 0 <= self.clutter_share <= 1:
            raise InputError(f"scene: clutter_share {self.clutter_share}, expected 0 to 1")
        if self.clutter_seconds <= 0:
            raise InputError(f"scene: clutter_seconds {self.clutter_seconds}, expected above 0")
        for name in ("furniture", "clutter_solids", "noise"):
            if not 0 <= getattr(self, name) <= 100:
                raise InputError(f"scene: {name} {getattr(self, name)}, expected 0 to 100")


@dataclass(frozen=True, eq=False)
class Scene:
    """A recording with all that its cameras see.

    Args:
        name, seed: what the room's look is drawn from.
        noise: see `SceneConfig`.
        low, high: corners of the room, mm.
        person: its capsules at all moments.
        furniture: what stands around.
        clutter: what stands in the way; of the camera `occluded` at those moments only.
        occluded: moments at which the clutter is in front of a camera.
        feet: world points over the shadows, mm.
    """

    name: str
    seed: int
    noise: float
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    person: Solids
    furniture: Solids
    clutter: Solids
    occluded: Bool[np.ndarray, "moments views"]
    feet: Float[np.ndarray, "moments feet 3"]

    @property
    def room(self) -> Room:
        """Walls and light; of the scenes used last they are kept."""
        return _room(self.name, self.seed, self.noise, self.low, self.high)

    def picture(
        self,
        camera: Camera,
        moment: int,
        view: int,
        to_image: Float[np.ndarray, "2 3"],
        size: tuple[int, int],
    ) -> UInt8[np.ndarray, "height width 3"]:
        """What a camera sees at a moment, or a part of it; the arguments are those of `render`."""
        solids = joined(self.person.at(moment), self.furniture)
        if self.occluded[moment, view]:
            solids = joined(solids, self.clutter.at(moment))
        shift = 31 * moment + view
        return render(camera, self.room, solids, to_image, size, self.feet[moment], shift)


def furnish(
    recording: Recording, cameras: tuple[Camera, ...], config: SceneConfig, seed: int
) -> Scene:
    """Clothes, room, light and clutter of a recording, by its name and its subject's."""
    rng = named_generator(seed, "scene", recording.name)
    places = np.array([camera.translation_mm for camera in cameras])
    pelvis = recording.positions_mm[:, recording.skeleton.root].astype(np.float64)
    everything = np.concatenate([places, pelvis])
    middle = (everything.min(0) + everything.max(0)) / 2
    reach = np.abs(everything - middle).max(0) + rng.uniform(600, 2500, 3)
    low, high = middle - reach, middle + reach
    # Feet that go through the floor of the recording's lower it.
    low[2] = min(0.0, float(np.quantile(recording.positions_mm[..., 2], 0.01)) - 60)
    high[2] = everything[:, 2].max() + rng.uniform(1200, 2500)
    occluded = _stretches(rng, recording, len(cameras), config)
    ankles = [recording.skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    return Scene(
        name=recording.name,
        seed=seed,
        noise=config.noise,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        person=_dressed(recording, seed),
        furniture=_furniture(rng, config.furniture, pelvis, low, high),
        clutter=_clutter(rng, recording, places, occluded, config.clutter_solids),
        occluded=occluded,
        feet=recording.positions_mm[:, [recording.skeleton.root, *ankles]],
    )


@functools.lru_cache(maxsize=64)
def _room(
    name: str,
    seed: int,
    noise: float,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
) -> Room:
    rng = named_generator(seed, "room", name)
    light = rng.normal(size=3) * (1, 1, 0.3) + (0, 0, 1)
    warm, strength = rng.uniform(0.92, 1.08, 3), rng.uniform(0.45, 0.75)
    return Room(
        low=np.array(low, np.float32),
        high=np.array(high, np.float32),
        textures=np.concatenate([_texture(rng) for _ in range(4)]),
        light=(light / np.linalg.norm(light)).astype(np.float32),
        ambient=(warm * (1.1 - strength)).astype(np.float32),
        direct=(warm[::-1] * strength).astype(np.float32),
        grain=np.rint(noise * rng.standard_normal(_GRAINS)).astype(np.int16),
    )


def silhouette_bounds(scene: Scene, camera: Camera) -> Float[np.ndarray, "moments 4"]:
    """The person's bounds in a camera's image: least x and y, largest x and y, px."""
    start, end = camera.from_world(scene.person.start), camera.from_world(scene.person.end)
    bounds = outline(start, end, scene.person.radius)
    focal, centre = np.tile(camera.focal_px, 2), np.tile(camera.centre_px, 2)
    bounds = bounds * focal + centre
    return np.concatenate([bounds[..., :2].min(-2), bounds[..., 2:].max(-2)], -1)


def seen_joints(
    scene: Scene,
    poses_camera_mm: Float[np.ndarray, "moments joints 3"],
    camera: Camera,
    view: int,
    skeleton: Skeleton,
) -> Bool[np.ndarray, "moments joints"]:
    """Joints that nothing hides: each one's ray enters no capsule before it but its own.

    Whether it is inside the image is not asked.
    """
    poses = poses_camera_mm.astype(np.float32)
    rays = poses / poses[..., 2:]
    own = np.zeros((len(scene.person.radius), skeleton.num_joints), bool)
    for row, capsule in zip(own, HUMAN36M_BODY, strict=False):
        row[[skeleton.index(name) for name in capsule.own]] = True
    for row, side in zip(own[len(HUMAN36M_BODY) :], ("left", "right"), strict=True):
        row[[skeleton.index(f"{side}_ankle"), skeleton.index(f"{side}_knee")]] = True

    hidden = np.zeros(poses.shape[:2], bool)

    def hide(solids: Solids, moments: np.ndarray, own: np.ndarray | None = None) -> None:
        start, end = (
            np.broadcast_to(camera.from_world(p), (len(moments), *p.shape[-2:])).astype(np.float32)
            for p in (solids.start, solids.end)
        )
        for k, radius in enumerate(solids.radius.tolist()):
            depth = ray_depth(rays[moments], start[:, k, None], end[:, k, None], radius)
            before = depth < poses[moments, :, 2] - _CLEARANCE_MM
            hidden[moments] |= before if own is None else before & ~own[k]

    everywhere, covered = np.arange(len(poses)), np.flatnonzero(scene.occluded[:, view])
    hide(scene.person, everywhere, own)
    hide(scene.furniture, everywhere)
    hide(scene.clutter.at(covered), covered)
    return ~hidden


def _colour(rng: np.random.Generator, dull: float = 1.0) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.uniform(), dull * rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.95))


def _dressed(recording: Recording, seed: int) -> Solids:
    """A subject's body, in clothes that go with the name: the same in all recordings."""
    rng = named_generator(seed, "clothes", recording.subject)
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.9, 1.05)
    hair = np.array(_colour(rng, 0.4)) * rng.uniform(0.2, 0.8)
    shirt, print_on_it, trousers, shoes = (np.array(_colour(rng)) for _ in range(4))
    short_sleeves, shorts = rng.uniform(size=2) < (0.6, 0.3)
    stripes = float(rng.choice([0, 0, 45, 80]))

    skeleton, poses = recording.skeleton, recording.positions_mm.astype(np.float64)
    chest, hips = _forward(poses, skeleton)
    start, end, radius, colours, front, striped = [], [], [], [], [], []

    def add(a, b, r, facing, back, before, stripe=0.0):
        start.append(a)
        end.append(b)
        radius.append(r)
        colours.append((back, before))
        front.append(facing)
        striped.append(stripe)

    def end_of(weights):
        return sum(weight * poses[:, skeleton.index(name)] for name, weight in weights)

    for capsule in HUMAN36M_BODY:
        part = capsule.name.removeprefix("left ").removeprefix("right ")
        facing = chest if part in ("trunk", "flank", "head", "neck") else hips
        look = {
            "trunk": (shirt, print_on_it, stripes),
            "flank": (shirt, shirt, stripes),
            "neck": (skin, skin, 0.0),
            "head": (hair, skin, 0.0),
            "upper arm": (shirt, shirt, stripes),
            "forearm": (skin, skin, 0.0) if short_sleeves else (shirt, shirt, stripes),
            "thigh": (trousers, trousers, 0.0),
            "shank": (skin, skin, 0.0) if shorts else (trousers, trousers, 0.0),
        }[part]
        add(end_of(capsule.start), end_of(capsule.end), capsule.radius_mm, facing, *look)
    for side in ("left", "right"):
        ankle, knee = (poses[:, skeleton.index(f"{side}_{name}")] for name in ("ankle", "knee"))
        shank = unit_vectors(ankle - knee)
        toes = unit_vectors(hips - (hips * shank).sum(-1, keepdims=True) * shank)
        tip = ankle + _FOOT_MM * toes + 45 * shank
        add(ankle + 25 * shank, tip, _FOOT_RADIUS_MM, toes, shoes, shoes)
    parts = (np.stack(start, 1), np.stack(end, 1), radius, colours, np.stack(front, 1), striped)
    return Solids(*(np.asarray(part, np.float32) for part in parts))


def _forward(
    poses: Float[np.ndarray, "moments joints 3"], skeleton: Skeleton
) -> tuple[Float[np.ndarray, "moments 3"], Float[np.ndarray, "moments 3"]]:
    """Where chest and hips face: to the left, times up the trunk."""

    def joint(name):
        return poses[:, skeleton.index(name)]

    up = joint("thorax") - joint("pelvis")
    return tuple(
        unit_vectors(np.cross(joint(f"left_{name}") - joint(f"right_{name}"), up))
        for name in ("shoulder", "hip")
    )


def _texture(rng: np.random.Generator) -> UInt32[np.ndarray, " texels"]:
    """Smooth spots, tiles or boards in two colours, with some fine grain."""
    one, other = (np.array(_colour(rng, 0.6)) for _ in range(2))
    kind = rng.integers(3)
    rows, columns = np.indices((TEXTURE, TEXTURE))
    if kind == 0:
        pattern = gaussian_filter(
            rng.standard_normal((TEXTURE, TEXTURE)), rng.uniform(4, 20), mode="wrap"
        )
        pattern = np.clip(pattern / pattern.std() / 4 + 0.5, 0, 1)
    elif kind == 1:
        side = int(rng.choice([8, 16, 32, 64]))
        pattern = ((rows // side + columns // side) % 2).astype(float)
    else:
        side = int(rng.choice([8, 16, 32]))
        pattern = rng.uniform(size=TEXTURE // side)[columns // side]
    contrast = rng.uniform(0.15, 0.6)
    pattern = 0.5 + contrast * (pattern - 0.5) + 0.04 * rng.standard_normal(pattern.shape)
    colours = one + pattern[..., None] * (other - one)
    texels = np.zeros((TEXTURE**2, 4), np.uint8)
    texels[:, :3] = (np.clip(colours, 0, 1) * 230).reshape(-1, 3)
    return texels.view(np.uint32)[:, 0]


def _solids_at(rng, start, end, radius) -> Solids:
    count = len(radius)
    colours = np.array([(_colour(rng), _colour(rng)) for _ in range(count)]).reshape(count, 2, 3)
    facing = unit_vectors(rng.normal(size=(count, 3)))
    stripes = rng.choice([0.0, 40.0, 150.0], count)
    parts = (start, end, radius, colours, np.broadcast_to(facing, start.shape), stripes)
    return Solids(*(np.asarray(part, np.float32) for part in parts))


def _furniture(
    rng: np.random.Generator,
    most: int,
    pelvis: Float[np.ndarray, "moments 3"],
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
) -> Solids:
    """Pillars near the walls, away from where the person goes."""
    count = int(rng.integers(most + 1))
    place = rng.uniform(low, high, (count, 3))
    middle = pelvis.mean(0)
    clear = np.linalg.norm(pelvis[:, :2] - middle[:2], axis=-1).max() + 900
    away = place[:, :2] - middle[:2]
    distance = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1.0)
    # Against the nearest wall, unless the person comes there.
    place[:, :2] = middle[:2] + away / distance * np.maximum(distance, clear)
    nearest = np.minimum(place[:, :2] - low[:2], high[:2] - place[:, :2]).argmin(1)
    for k, axis in enumerate(nearest):
        near_low = place[k, axis] - low[axis] < high[axis] - place[k, axis]
        place[k, axis] = low[axis] + 150 if near_low else high[axis] - 150
    place[:, 2] = low[2]
    tops = place + np.stack([np.zeros(count), np.zeros(count), rng.uniform(400, 2200, count)], -1)
    return _solids_at(rng, place, tops, rng.uniform(60, 260, count))


def _stretches(
    rng: np.random.Generator, recording: Recording, views: int, config: SceneConfig
) -> Bool[np.ndarray, "moments views"]:
    """When which camera is covered: of every so many seconds a share, at one camera."""
    moments = recording.frames
    occluded = np.zeros((moments, views), bool)
    length = max(1, round(config.clutter_seconds * recording.frame_rate))
    if config.clutter_share == 0 or config.clutter_solids == 0:
        return occluded
    period = max(length, round(length / config.clutter_share))
    for first in range(0, moments, period):
        begin = first + int(rng.integers(period - length + 1))
        occluded[begin : begin + length, int(rng.integers(views))] = True
    return occluded


def _clutter(
    rng: np.random.Generator,
    recording: Recording,
    cameras: Float[np.ndarray, "views 3"],
    occluded: Bool[np.ndarray, "moments views"],
    count: int,
) -> Solids:
    """Boards and pillars between the covered camera and the person, whom they follow slowly."""
    moments = recording.frames
    pelvis = recording.positions_mm[:, recording.skeleton.root].astype(np.float64)
    path = gaussian_filter1d(pelvis, recording.frame_rate / 2, axis=0, mode="nearest")
    camera = cameras[occluded.argmax(1)]
    nearness = rng.uniform(0.45, 0.75, count)
    # In the plane across the view: sideways and up, as large as it looks beside the person.
    view = unit_vectors(path - camera)
    side = unit_vectors(np.cross(view, [0.0, 0.0, 1.0]))
    up = np.cross(side, view)
    offset = rng.uniform((-320, -750), (320, 650), (count, 2))
    angle = np.where(rng.uniform(size=count) < 0.5, 0.0, np.pi / 2) + rng.normal(0, 0.3, count)
    half = rng.uniform(120, 450, count)
    sway = np.sin(
        2 * np.pi * (np.arange(moments)[:, None] / (3 * recording.frame_rate))
        + rng.uniform(0, 2 * np.pi, count)
    ) * rng.uniform(0, 150, count)

    def placed(sideways, upwards):
        point = (
            path[:, None]
            + side[:, None] * (sideways + sway)[..., None]
            + up[:, None] * np.broadcast_to(upwards, sway.shape)[..., None]
        )
        return camera[:, None] + (point - camera[:, None]) * nearness[:, None]

    turn = half * np.sin(angle), half * np.cos(angle)
    start = placed(offset[:, 0] - turn[0], offset[:, 1] - turn[1])
    end = placed(offset[:, 0] + turn[0], offset[:, 1] + turn[1])
    return _solids_at(rng, start, end, rng.uniform(50, 130, count) * nearness)
