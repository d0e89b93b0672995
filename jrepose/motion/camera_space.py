"""What a network says, in metres in front of the camera: size by the person's height, place by
perspective."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, median_filter

from jrepose.errors import InputError
from jrepose.motion.bones import bone_lengths, bone_vectors
from jrepose.skeleton import Skeleton

DEFAULT_HEIGHT_M = 1.7
ANKLE_SHARE = 0.046
"""Of the body's height, what an ankle is above the floor (Drillis and Contini)."""

_DEPTH_SMOOTHING_S = 0.25
"""Standard deviation of the Gaussian over time that takes the noise off the distance: one per cent
of it is four centimetres."""

_NEAREST = 0.3  # metres; nobody's pelvis is nearer
_UNKNOWN = 4.0  # metres, where nothing says how far


def default_focal_px(size: tuple[int, int]) -> float:
    """The longer side of the picture: 53 degrees along it, about a phone's or a webcam's."""
    return float(max(size))


def stature(lengths: Float[np.ndarray, " joints"], skeleton: Skeleton) -> float:
    """The height of a standing body with bones of these lengths, in their unit.

    The longer way from an ankle to the hip, from the pelvis to the head, and an ankle's height.

    Raises:
        InputError: the skeleton has no ankles, pelvis or head.
    """
    names = skeleton.joint_names
    tops = [name for name in ("head_top", "head", "nose") if name in names]
    needed = ["left_ankle", "right_ankle", "left_hip", "right_hip", "pelvis"]
    if not tops or not set(needed) <= set(names):
        raise InputError(f"{skeleton.name}: without ankles, hips, pelvis and head nothing says how "
                         "tall somebody is")  # fmt: skip

    def way(name: str, end: str) -> float:
        total, joint, goal = 0.0, names.index(name), names.index(end)
        while joint != goal and joint >= 0:
            total, joint = total + lengths[joint], skeleton.parents[joint]
        return total

    legs = np.mean([way(f"{side}_ankle", f"{side}_hip") for side in ("left", "right")])
    top = tops[0]
    trunk = way(top, "pelvis") if skeleton.root == names.index("pelvis") else 0.0
    if "neck" in names and skeleton.parents[names.index(top)] == names.index("neck"):
        # Not by way of the nose, which stands in front.
        trunk -= _DETOUR * (lengths[names.index(top)] + lengths[names.index("neck")])
    return float(legs + trunk) / (1 - ANKLE_SHARE)


_DETOUR = 0.1
"""By which the way from the thorax over the nose to the head's top is longer than the straight one
(the mean of Human3.6M's skeleton and of the puppet of `jrepose.data.simulation`)."""


def from_image_space(
    poses_px: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    *,
    size: tuple[int, int],
    fps: float,
    focal_px: float,
    height_m: float,
) -> Float[np.ndarray, "frames joints 3"]:
    """2.5D poses in camera axes (x right, y down, z away), metres, the camera at the origin.

    In 2.5D a joint's x and y are its projection and its z is in the pixels of its frame's root:
    z = f (Z - Z_root) / Z_root.  A pose is known up to a factor, Z_root / f, which is such that
    the body is as tall as it should be; for the root's place it is smoothed over time.

    Args:
        poses_px: x, y in pixels, depth relative to the root in pixels.
        skeleton: joint order.
        size: of the picture.
        fps: frames per second.
        focal_px: focal length.
        height_m: of the person.
    """
    shape = shape_in_camera(poses_px, size, focal_px)
    total = total_length(shape, skeleton)
    height = stature(bone_lengths(shape / total[:, None, None], skeleton), skeleton)
    metres_per_px = (height_m / (height * total))[:, None, None]
    root = shape[:, skeleton.root, None]
    distance = smoothed_ratio(metres_per_px.ravel(), fps)[:, None, None]
    return (shape - root) * metres_per_px + root * distance


def shape_in_camera(
    poses_px: Float[np.ndarray, "frames joints 3"], size: tuple[int, int], focal_px: float
) -> Float[np.ndarray, "frames joints 3"]:
    """2.5D poses in camera axes, in pixels: true up to a factor of each frame."""
    poses_px = poses_px.astype(np.float64)
    ray = poses_px[..., :2] - np.array(size) / 2
    nearness = np.maximum(1 + poses_px[..., 2:] / focal_px, 0.1)
    return np.concatenate([ray * nearness, focal_px * nearness], axis=-1)


def from_camera_space(
    poses: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    pixels: Float[np.ndarray, "frames keypoints 2"],
    confidence: Float[np.ndarray, "frames keypoints"],
    keypoint_skeleton: Skeleton,
    *,
    size: tuple[int, int],
    fps: float,
    focal_px: float,
    height_m: float,
) -> Float[np.ndarray, "frames joints 3"]:
    """Root-relative poses placed where they project onto the keypoints, metres.

    The place is the least squares solution of u (Z + t_z) = f (X + t_x), and so for y, over the
    joints that poses and keypoints share, weighted by confidence; its depth is smoothed over time.

    Args:
        poses: relative to the root, any unit, camera axes.
        pixels, confidence: of the same frames.
        others: as `from_image_space`.
    """
    poses = poses.astype(np.float64)
    poses = poses * (height_m / stature(bone_lengths(poses, skeleton), skeleton))
    place = projecting_place(
        poses, skeleton, pixels, confidence, keypoint_skeleton, size=size, focal_px=focal_px
    )
    ray = place[:, :2] / place[:, 2:]
    depth = smoothed_ratio(place[:, 2].clip(_NEAREST, 1e3), fps)[:, None]
    return poses + np.concatenate([ray * depth, depth], axis=-1)[:, None]


def projecting_place(
    poses_m: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton,
    pixels: Float[np.ndarray, "frames keypoints 2"],
    confidence: Float[np.ndarray, "frames keypoints"],
    keypoint_skeleton: Skeleton,
    *,
    size: tuple[int, int],
    focal_px: float,
) -> Float[np.ndarray, "frames 3"]:
    """Where each root-relative pose projects best onto the keypoints, see `from_camera_space`."""
    shared = [name for name in skeleton.joint_names if name in keypoint_skeleton.joint_names]
    if len(shared) < 3:
        return np.tile([0.0, 0.0, _UNKNOWN], (len(poses_m), 1))
    joints = [skeleton.index(name) for name in shared]
    points = [keypoint_skeleton.index(name) for name in shared]
    ray = (pixels[:, points].astype(np.float64) - np.array(size) / 2) / focal_px
    weight = confidence[:, points].astype(np.float64) + 1e-3
    body = poses_m[:, joints].astype(np.float64)
    # Rows (1, 0, -u) and (0, 1, -v) of the unknown t, right sides u Z - X and v Z - Y.
    right = ray * body[..., 2:] - body[..., :2]
    total = weight.sum(1)
    mean_ray = (weight[..., None] * ray).sum(1) / total[:, None]
    mean_right = (weight[..., None] * right).sum(1) / total[:, None]
    spread = (weight[..., None] * (ray - mean_ray[:, None]) ** 2).sum((1, 2))
    moment = (weight[..., None] * (ray - mean_ray[:, None]) * (right - mean_right[:, None])).sum(
        (1, 2)
    )
    depth = -moment / np.maximum(spread, 1e-12)
    depth = np.where(spread > 1e-9, depth, _UNKNOWN).clip(_NEAREST, 1e3)
    aside = mean_right + mean_ray * depth[:, None]
    return np.concatenate([aside, depth[:, None]], axis=-1)


def smoothed_ratio(
    values: Float[np.ndarray, " frames"], fps: float
) -> Float[np.ndarray, " frames"]:
    """Positive values without outliers of a frame or two, and without noise."""
    logarithms = median_filter(np.log(values), 5, mode="nearest")
    width = _DEPTH_SMOOTHING_S * fps
    # Continued through its ends, so that who comes near does not slow down there.
    beyond = min(int(np.ceil(4 * width)), len(values) - 1)
    padded = np.pad(logarithms, beyond, mode="reflect", reflect_type="odd")
    smooth = gaussian_filter1d(padded, width, mode="nearest")
    return np.exp(smooth[beyond : beyond + len(values)])


def total_length(
    poses: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, " frames"]:
    """The sum of all bones in each frame."""
    lengths = np.linalg.norm(bone_vectors(poses, skeleton), axis=-1)
    return np.maximum(lengths.sum(-1), 1e-9)
