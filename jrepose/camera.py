"""Camera geometry: quaternions, world and camera axes, projection, screen units.

Axes: the world is right-handed with z up, a camera has x right, y down and z away from it.
Quaternions are (w, x, y, z), unit length.  All functions take NumPy arrays or JAX arrays
(traced ones too) and return the same kind in the same precision.

The conventions, and the values wherever a choice is possible, are those of VideoPose3D
(Pavllo et al., CVPR 2019), which the Human3.6M lifters share.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from jrepose.errors import InputError

AnyArray = Array | np.ndarray


def quaternion_inverse(quaternion: Float[AnyArray, "*batch 4"]) -> Float[AnyArray, "*batch 4"]:
    """The opposite rotation: the conjugate, since quaternions have unit length here."""
    xp = _namespace(quaternion)
    return quaternion * xp.asarray([1.0, -1.0, -1.0, -1.0], dtype=quaternion.dtype)


def quaternion_rotate(
    quaternion: Float[AnyArray, "*#batch 4"], points: Float[AnyArray, "*#batch 3"]
) -> Float[AnyArray, "*#batch 3"]:
    """Rotates points: v + 2 (w (u x v) + u x (u x v)) with u the quaternion's vector part.

    Leading axes broadcast; a single quaternion `[4]` rotates any number of points.
    """
    xp = _namespace(points)
    vector = quaternion[..., 1:]
    once = xp.cross(vector, points)
    twice = xp.cross(vector, once)
    return points + 2 * (quaternion[..., :1] * once + twice)


def world_to_camera(
    points: Float[AnyArray, "*batch 3"],
    orientation_wxyz: Float[AnyArray, " 4"],
    translation: Float[AnyArray, " 3"],
) -> Float[AnyArray, "*batch 3"]:
    """World points in camera axes.

    Args:
        points: world coordinates, any length unit.
        orientation_wxyz: rotation from camera axes to world axes.
        translation: camera centre in the world, same unit as the points.
    """
    return quaternion_rotate(
        _like(quaternion_inverse(orientation_wxyz), points), points - _like(translation, points)
    )


def camera_to_world(
    points: Float[AnyArray, "*batch 3"],
    orientation_wxyz: Float[AnyArray, " 4"],
    translation: Float[AnyArray, " 3"],
) -> Float[AnyArray, "*batch 3"]:
    """Camera points in world axes; the inverse of `world_to_camera`."""
    return quaternion_rotate(_like(orientation_wxyz, points), points) + _like(translation, points)


def unit_vectors(vectors: Float[AnyArray, "*any 3"]) -> Float[AnyArray, "*any 3"]:
    """Of length one; zero where they have none."""
    xp = _namespace(vectors)
    return vectors / xp.maximum(xp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def project_to_2d(
    points: Float[AnyArray, "*batch 3"], intrinsics: Float[AnyArray, "*#batch 9"]
) -> Float[AnyArray, "*batch 2"]:
    """Perspective projection with lens distortion.

    With x = X/Z and y = Y/Z, each clamped to [-1, 1], and r² = x² + y², the distorted ray is
    (x, y) (1 + k1 r² + k2 r⁴ + k3 r⁶ + p1 x + p2 y) + (p1, p2) r².  The tangential terms
    carry no factor 2 and p1 goes with x, unlike OpenCV's.

    Args:
        points: camera axes, any length unit.
        intrinsics: fx, fy, cx, cy, k1, k2, k3, p1, p2; broadcast against the points.  The
            result has the unit of the first four (pixels, or normalised screen units).

    Points at or behind the camera (Z <= 0) are not guarded against.  The gradient is 1 at
    the clamp's bounds and 0 beyond them, as in torch.
    """
    ray = _clamped_ray(points)
    r2 = (ray**2).sum(-1)[..., None]
    k1, k2, k3 = (intrinsics[..., i : i + 1] for i in (4, 5, 6))
    tangential = intrinsics[..., 7:9]
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    along = (tangential * ray).sum(-1)[..., None]
    distorted = ray * (radial + along) + tangential * r2
    return intrinsics[..., :2] * distorted + intrinsics[..., 2:4]


def project_to_2d_linear(
    points: Float[AnyArray, "*batch 3"], intrinsics: Float[AnyArray, "*#batch 9"]
) -> Float[AnyArray, "*batch 2"]:
    """`project_to_2d` without distortion: focal length and centre only, same clamp."""
    return intrinsics[..., :2] * _clamped_ray(points) + intrinsics[..., 2:4]


def unproject(
    image: Float[AnyArray, "*batch 2"],
    depths: Float[AnyArray, "*batch"],
    intrinsics: Float[AnyArray, "*#batch _"],
) -> Float[AnyArray, "*batch 3"]:
    """Points in camera axes from where they are seen; undoes a projection without distortion.

    Args:
        image: x, y in the unit of the intrinsics.
        depths: Z, any length unit, the result's.
        intrinsics: fx, fy, cx, cy and perhaps more, see `project_to_2d`.
    """
    ray = (image - intrinsics[..., 2:4]) / intrinsics[..., :2]
    depths = depths[..., None]
    return _namespace(image).concatenate([ray * depths, depths], axis=-1)


def normalize_screen_coordinates(
    pixels: Float[AnyArray, "*batch 2"], width: int, height: int
) -> Float[AnyArray, "*batch 2"]:
    """Pixels to screen units: the width becomes [-1, 1], the height keeps the aspect ratio."""
    xp = _namespace(pixels)
    # A float64 offset rounds once, as the official preprocessing does (NumPy arrays only).
    offset = xp.asarray([1.0, height / width])
    return (pixels / width * 2 - offset).astype(pixels.dtype)


def image_coordinates(
    screen: Float[AnyArray, "*batch 2"], width: int, height: int
) -> Float[AnyArray, "*batch 2"]:
    """Screen units back to pixels; the inverse of `normalize_screen_coordinates`."""
    xp = _namespace(screen)
    offset = xp.asarray([1.0, height / width])
    return ((screen + offset) * width / 2).astype(screen.dtype)


class SquareCrop(NamedTuple):
    """Affine maps between images and square crops.

    Args:
        to_crop, to_image: 2x3 matrices on (x, y, 1).
        side: of the crop in the image, px.
    """

    to_crop: Float[np.ndarray, "boxes 2 3"]
    to_image: Float[np.ndarray, "boxes 2 3"]
    side: Float[np.ndarray, " boxes"]


def square_crop(
    boxes: Float[np.ndarray, "boxes 4"], *, padding: float = 1.25, size: int = 224
) -> SquareCrop:
    """The squares around the centres of boxes, as images of `size` pixels; no half-pixel term.

    Args:
        boxes: x, y of the corner, width, height, px.
        padding: side over the box's longer one.
        size: pixels of a crop's side.
    """
    side = padding * boxes[:, 2:].max(-1)
    centre = boxes[:, :2] + boxes[:, 2:] / 2

    def scaled(scale, offset):
        matrix = scale[:, None, None] * np.eye(2)
        return np.concatenate([matrix, offset[..., None]], axis=-1)

    to_crop = scaled(size / side, size / 2 - centre * (size / side)[:, None])
    to_image = scaled(side / size, centre - side[:, None] / 2)
    return SquareCrop(to_crop, to_image, side)


def transformed(
    maps: Float[np.ndarray, "*entries 2 3"], points: Float[np.ndarray, "*entries points 2"]
) -> Float[np.ndarray, "*entries points 2"]:
    """Points under affine maps on (x, y, 1), such as a `SquareCrop`'s."""
    return np.einsum("...ij,...nj->...ni", maps[..., :2], points) + maps[..., None, :, 2]


@dataclass(frozen=True)
class Camera:
    """A calibrated camera: where it is, where it looks, what its lens does.

    Args:
        name: identifier, such as `"camera_0"`.
        width, height: image size in pixels.
        focal_px: focal lengths (fx, fy) in pixels.
        centre_px: principal point (cx, cy) in pixels.
        orientation_wxyz: unit quaternion rotating camera axes into world axes.
        translation_mm: camera centre in the world, millimetres.
        radial: distortion coefficients k1, k2, k3 of r², r⁴, r⁶.
        tangential: distortion coefficients p1 (with x), p2 (with y).

    Raises:
        InputError: the quaternion is not of unit length, or a size is not positive.
    """

    name: str
    width: int
    height: int
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    orientation_wxyz: tuple[float, float, float, float]
    translation_mm: tuple[float, float, float]
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        if self.width <= 0 or self.height <= 0 or min(self.focal_px) <= 0:
            raise InputError(f"camera {self.name}: image size and focal length must be positive")
        norm = float(np.linalg.norm(self.orientation_wxyz))
        if abs(norm - 1) > 1e-4:
            raise InputError(f"camera {self.name}: quaternion has length {norm:.6g}, expected 1")

    @property
    def intrinsics_px(self) -> Float[np.ndarray, " 9"]:
        """fx, fy, cx, cy in pixels, then k1, k2, k3, p1, p2."""
        return np.array(
            [*self.focal_px, *self.centre_px, *self.radial, *self.tangential], np.float32
        )

    @property
    def intrinsics_screen(self) -> Float[np.ndarray, " 9"]:
        """The same in normalised screen units (`normalize_screen_coordinates`)."""
        vector = self.intrinsics_px
        vector[:2] = vector[:2] / self.width * 2
        vector[2:4] = normalize_screen_coordinates(vector[2:4], self.width, self.height)
        return vector

    def from_world(self, points_mm: Float[AnyArray, "*batch 3"]) -> Float[AnyArray, "*batch 3"]:
        """World points in this camera's axes, mm."""
        xp = _namespace(points_mm)
        return world_to_camera(
            points_mm, xp.asarray(self.orientation_wxyz), xp.asarray(self.translation_mm)
        )

    def to_world(self, points_mm: Float[AnyArray, "*batch 3"]) -> Float[AnyArray, "*batch 3"]:
        """Points in this camera's axes in the world, mm."""
        xp = _namespace(points_mm)
        return camera_to_world(
            points_mm, xp.asarray(self.orientation_wxyz), xp.asarray(self.translation_mm)
        )

    def project(
        self, points_mm: Float[AnyArray, "*batch 3"], distortion: bool = True
    ) -> Float[AnyArray, "*batch 2"]:
        """Pixels of points given in this camera's axes.

        Args:
            points_mm: camera axes, mm, in front of the camera.
            distortion: whether the lens distortion is applied.
        """
        xp = _namespace(points_mm)
        intrinsics = xp.asarray(self.intrinsics_px, dtype=points_mm.dtype)
        return (project_to_2d if distortion else project_to_2d_linear)(points_mm, intrinsics)


def look_at(
    position: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], roll: float = 0.0
) -> tuple[float, float, float, float]:
    """Orientation (w, x, y, z) of a camera at `position` that looks at `target`.

    Level: the image's x axis is horizontal in the world.  `roll`: radians by which the camera is
    then turned clockwise about its view.

    Raises:
        InputError: the target is straight above or below, where no such orientation exists.
    """
    away = np.asarray(target, np.float64) - np.asarray(position, np.float64)
    right = np.cross(away, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6 * max(np.linalg.norm(away), 1e-12):
        raise InputError("look_at: the target lies straight above or below the camera")
    away /= np.linalg.norm(away)
    right /= np.linalg.norm(right)
    down = np.cross(away, right)
    cos, sin = np.cos(roll), np.sin(roll)
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, away], axis=1)
    return _quaternion_from_matrix(rotation)


def _quaternion_from_matrix(
    rotation: Float[np.ndarray, "3 3"],
) -> tuple[float, float, float, float]:
    """Unit quaternion (w, x, y, z), w >= 0, of a proper rotation matrix."""
    r = rotation
    # The quaternion is the top eigenvector of this matrix, at every angle alike (Bar-Itzhack,
    # "New method for extracting the quaternion from a rotation matrix", 2000).
    trace = np.trace(r)
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    matrix = np.empty((4, 4))
    matrix[0, 0] = trace
    matrix[0, 1:] = matrix[1:, 0] = skew
    matrix[1:, 1:] = r + r.T - trace * np.eye(3)
    quaternion = np.linalg.eigh(matrix)[1][:, -1]
    quaternion *= 1.0 if quaternion[0] >= 0 else -1.0
    w, x, y, z = (float(value) for value in quaternion)
    return w, x, y, z


def _clamped_ray(points: Float[AnyArray, "*batch 3"]) -> Float[AnyArray, "*batch 2"]:
    """(X/Z, Y/Z), each clamped to [-1, 1]."""
    xp = _namespace(points)
    ray = points[..., :2] / points[..., 2:]
    # `clip` would halve the gradient at the bounds in JAX; torch passes all of it.
    return xp.where(ray > 1, xp.ones_like(ray), xp.where(ray < -1, -xp.ones_like(ray), ray))


def _namespace(array: AnyArray) -> ModuleType:
    """`numpy` or `jax.numpy`, whichever made the array."""
    return array.__array_namespace__()


def _like(values: AnyArray, points: AnyArray) -> AnyArray:
    """Values in the points' namespace and precision."""
    return _namespace(points).asarray(values, dtype=points.dtype)
