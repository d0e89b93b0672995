"""The 2.5D labels that lifters train on, from poses in front of a camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from jrepose.camera import Camera
from jrepose.errors import InputError

DEPTH_REFERENCES = ("frame_root", "video_root")


def check_depth_reference(depth_reference: str) -> None:
    """Checks that labels can be relative to that.

    Raises:
        InputError: naming what they can be relative to.
    """
    if depth_reference not in DEPTH_REFERENCES:
        raise InputError(
            f"depth_reference {depth_reference!r}; expected {' or '.join(DEPTH_REFERENCES)}"
        )


def image_labels(
    poses_camera_mm: Float[np.ndarray, "frames joints 3"],
    camera: Camera,
    *,
    root: int,
    depth_reference: str = "frame_root",
) -> tuple[Float32[np.ndarray, "frames joints 3"], Float32[np.ndarray, " frames"]]:
    """The 2.5D labels that lifters train on, and the factor back to millimetres.

    x and y are the undistorted perspective projection in pixels; depth is
    (Z - Z_reference) / factor with factor = Z_root / f in mm per pixel, so that one unit is
    the same length on all three axes at the root's depth (LCN, Ci et al., TPAMI 2020).

    Args:
        poses_camera_mm: joints in the camera's axes.
        camera: whose projection.
        root: index of the root joint.
        depth_reference: origin of the depth.  `"frame_root"`: each frame's own root;
            `"video_root"`: the root of the first frame, which keeps the trajectory.

    Returns:
        labels, factor_mm_per_px.

    Raises:
        InputError: an unknown depth reference.
    """
    check_depth_reference(depth_reference)
    poses = np.asarray(poses_camera_mm, np.float64)
    root_depth = poses[:, root, 2]
    factor = root_depth / camera.focal_px[0]
    reference = root_depth if depth_reference == "frame_root" else root_depth[:1]
    depth = (poses[..., 2] - reference[:, None]) / factor[:, None]
    xy = camera.project(poses, distortion=False)
    labels = np.concatenate([xy, depth[..., None]], axis=-1)
    return labels.astype(np.float32), factor.astype(np.float32)
