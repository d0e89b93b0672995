"""Virtual cameras around a recording: a rig like Human3.6M's, or random ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jrepose.camera import Camera, look_at
from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.seeds import named_generator
from jrepose.data.simulation.settings import Settings
from jrepose.errors import InputError

# Azimuth, horizontal distance and height of Human3.6M's four cameras, mean over its seven
# calibrated subjects.
_HUMAN36M_AZIMUTH_DEG = (67.7, -68.7, 108.0, -113.4)
_HUMAN36M_DISTANCE_MM = (5324.0, 5477.0, 5456.0, 4187.0)
_HUMAN36M_HEIGHT_MM = (1568.0, 1604.0, 1499.0, 1561.0)

_NEAREST_JOINT_MM = 1000.0


@dataclass(frozen=True)
class RigConfig(Settings):
    """Where the cameras stand and what they are.

    Args:
        kind: `"human36m"`: the azimuths, distances and heights of Human3.6M's cameras, one
            focal length.  `"random"`: everything drawn from the ranges below.
        cameras: number of cameras; at most 4 for `"human36m"`.
        width, height: image size, pixels.
        focal_px: focal length of the `"human36m"` cameras, pixels.
        radial, tangential: lens distortion of all cameras.  It moves the keypoints only;
            labels are undistorted, as Human3.6M-SH's are.
        turn: whether each recording's `"human36m"` rig is turned about the vertical by a
            random angle, so that people who always walk the same way are seen from all sides.
        in_view: share of the frames in which every joint must be inside the image.
        margin_px: what counts as inside: this far from the image's border.
        focal_range_px, distance_range_mm, height_range_mm: ranges of the `"random"` rig;
            distances are horizontal, heights above the floor.
        roll_deg: standard deviation by which `"random"` cameras are not level.

    Raises:
        InputError: an impossible value.
    """

    kind: str = "human36m"
    cameras: int = 4
    width: int = 1000
    height: int = 1000
    focal_px: float = 1145.0
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)
    turn: bool = True
    in_view: float = 0.99
    margin_px: float = 20.0
    focal_range_px: tuple[float, float] = (900.0, 1500.0)
    distance_range_mm: tuple[float, float] = (3500.0, 6500.0)
    height_range_mm: tuple[float, float] = (600.0, 2400.0)
    roll_deg: float = 0.0

    def __post_init__(self):
        if self.kind not in ("human36m", "random"):
            raise InputError(f"rig: kind {self.kind!r}, expected 'human36m' or 'random'")
        most = len(_HUMAN36M_AZIMUTH_DEG) if self.kind == "human36m" else 10_000
        if not 1 <= self.cameras <= most:
            raise InputError(f"rig: {self.cameras} cameras, expected 1 to {most} for {self.kind}")
        if not 0 <= self.margin_px < min(self.width, self.height) / 2:
            raise InputError(f"rig: margin_px {self.margin_px} leaves nothing of the image")
        if not 0 < self.in_view <= 1:
            raise InputError(f"rig: in_view {self.in_view}, expected a share in (0, 1]")
        if not 0 <= self.roll_deg <= 90:
            raise InputError(f"rig: roll_deg {self.roll_deg}, expected 0 to 90")
        if self.focal_px <= 0:
            raise InputError(f"rig: focal_px {self.focal_px}, expected a positive number")
        for name in ("focal_range_px", "distance_range_mm", "height_range_mm"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"rig: {name} {low}..{high}, expected 0 < low <= high")


def place_cameras(recording: Recording, config: RigConfig, seed: int = 0) -> tuple[Camera, ...]:
    """The rig around one recording.

    Every camera looks at the middle of the volume that the recording's root crosses.  Where
    the person would leave the image in more than `1 - in_view` of the frames, that camera is
    moved back, away from the middle, until they do not; it is never moved closer than the
    rig says.  All joints of all frames end up at least one metre in front of every camera.

    A pure function of the configuration, the seed, the recording's name and its motion.
    """
    rng = named_generator(seed, "rig", recording.name)
    count = config.cameras
    if config.kind == "human36m":
        turn = rng.uniform(-180, 180) if config.turn else 0.0
        azimuths = np.array(_HUMAN36M_AZIMUTH_DEG[:count]) + turn
        distances = np.array(_HUMAN36M_DISTANCE_MM[:count])
        heights = np.array(_HUMAN36M_HEIGHT_MM[:count])
        focals, rolls = np.full(count, config.focal_px), np.zeros(count)
    else:
        # One camera per sector: all sides are covered however few there are.
        azimuths = (np.arange(count) + rng.uniform(0, 1, count)) * (360 / count)
        distances = rng.uniform(*config.distance_range_mm, count)
        heights = rng.uniform(*config.height_range_mm, count)
        focals = rng.uniform(*config.focal_range_px, count)
        rolls = np.radians(config.roll_deg) * rng.standard_normal(count)
    return tuple(
        _back_off(
            f"camera_{k}",
            recording,
            config,
            azimuth=math.radians(azimuths[k]),
            distance=float(distances[k]),
            height=float(heights[k]),
            focal=float(focals[k]),
            roll=float(rolls[k]),
        )
        for k in range(count)
    )


def _back_off(
    name: str,
    recording: Recording,
    config: RigConfig,
    *,
    azimuth: float,
    distance: float,
    height: float,
    focal: float,
    roll: float,
) -> Camera:
    """A camera on the given azimuth, at `distance` or as much further as the view needs."""
    points = np.asarray(recording.positions_mm, np.float64)
    middle = _volume_middle(recording)
    direction = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    half = np.array([config.width, config.height]) / 2 - config.margin_px
    nearest = distance
    # Turning the camera with its distance changes the need a little: a few rounds settle it.
    for _ in range(20):
        position = middle + distance * direction
        position[2] = height
        camera = Camera(
            name=name,
            width=config.width,
            height=config.height,
            focal_px=(focal, focal),
            centre_px=(config.width / 2, config.height / 2),
            orientation_wxyz=look_at(position, middle, roll),
            translation_mm=tuple(position.tolist()),
            radial=config.radial,
            tangential=config.tangential,
        )
        local = camera.from_world(points)
        sideways = (np.abs(local[..., :2]) * (focal / half)).max(-1)
        wanted = np.quantile((sideways - local[..., 2]).max(-1), config.in_view)
        hard = _NEAREST_JOINT_MM - local[..., 2].min()
        needed = max(wanted, hard)
        if needed <= 0 and (distance <= nearest or needed > -1):
            return camera
        # Two tenths of a millimetre more than needed, so that the rounds end.
        distance = max(nearest, distance + needed + 0.2)
    raise InputError(f"recording {recording.name}: no distance keeps the person in view")


def _volume_middle(recording: Recording) -> Float[np.ndarray, " 3"]:
    """Middle of the box that the root's path spans; vertically, of all joints."""
    points = np.asarray(recording.positions_mm, np.float64)
    root = points[:, recording.skeleton.root]
    middle = (root.min(0) + root.max(0)) / 2
    middle[2] = (points[..., 2].min() + points[..., 2].max()) / 2
    return middle
