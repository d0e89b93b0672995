"""Human3.6M and HumanEva-I in the files of VideoPose3D (Pavllo et al., CVPR 2019).

Two archives lie in one folder, each entry a pickled dictionary:

  data_3d_h36m.npz               positions_3d: subject -> action -> [frames, 32, 3], metres, world
  data_2d_h36m_DETECTIONS.npz    positions_2d: subject -> action -> [frames, keypoints, 2] for each
                                 camera, pixels; a third channel is the detector's score
                                 metadata: num_joints, keypoints_symmetry, layout_name

and the same for HumanEva-I with `humaneva15` for `h36m` and 15 joints.  MixSTE and most later
lifters read these files.  DiffPose's own are read too:

  data_2d_h36m_DETECTIONS_gmm.npz  positions_2d: ... -> [frames, 17, kernels, 5] for each camera:
                                   weight, x and y in pixels, and the scale of the noise of u, v
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
from jaxtyping import Float32

from jrepose.camera import Camera, world_to_camera
from jrepose.data.dataset import KERNEL_CHANNELS, PoseDataset, Video
from jrepose.data.formats import human36m, humaneva
from jrepose.data.formats.videopose3d_files import (
    AnyCamera,
    Benchmark,
    Leaf,
    find_files,
    has_kernels,
    heaviest,
    load,
)
from jrepose.data.labels import image_labels as labels_of
from jrepose.data.plausibility import check_plausible
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17, HUMANEVA_15, Skeleton

_FARTHEST_M = 100.0
"""No studio is so large: positions beyond are in another unit."""

_NEAREST_MM = 1.0
"""Depth from which on a joint counts as in front of the camera and has a 2.5D label."""


_HUMAN36M = Benchmark(
    file_stem="h36m",
    skeleton=HUMAN36M_17,
    joints={human36m.NUM_RECORDED_JOINTS: human36m.JOINTS_17, 17: tuple(range(17))},
    subjects=human36m.SUBJECTS,
    cameras=human36m.cameras,
    frame_rate=human36m.FRAME_RATE,
    corrupt=human36m.CORRUPT_RECORDINGS,
)

_HUMANEVA = Benchmark(
    file_stem="humaneva15",
    skeleton=HUMANEVA_15,
    joints={15: tuple(range(15))},
    subjects=humaneva.SUBJECTS,
    cameras=humaneva.cameras,
    frame_rate=humaneva.FRAME_RATE,
)


def human36m_files(folder: str | os.PathLike[str], detections: str) -> tuple[pathlib.Path, ...]:
    """The two files that `read_human36m` reads: 3D positions and 2D keypoints.

    Raises:
        InputError: one of them is not there; says which, and what is.
    """
    return find_files(_HUMAN36M, folder, detections)


def humaneva_files(folder: str | os.PathLike[str], detections: str) -> tuple[pathlib.Path, ...]:
    """The two files that `read_humaneva` reads: 3D positions and 2D keypoints.

    Raises:
        InputError: one of them is not there; says which, and what is.
    """
    return find_files(_HUMANEVA, folder, detections)


def read_human36m(
    folder: str | os.PathLike[str], detections: str = "gt", *, image_labels: bool = False
) -> PoseDataset:
    """Human3.6M from `data_3d_h36m.npz` and `data_2d_h36m_DETECTIONS.npz`.

    Every camera's view of a recording is a video, named such as `"S9/Walking 1/54138969"`, of
    action `"Walking"`.  Subjects come in the order S1, S5, S6, S7, S8, S9, S11, actions in that
    of the 2D file, then cameras.  Keypoints that continue after the poses have ended are cut.
    Subjects without poses (S2, S3, S4 in some 2D files) are left out, and so is the corrupt
    recording S11 "Directions".

    Args:
        folder: holds both files.
        detections: of which detector, such as `"gt"`, `"cpn_ft_h36m_dbb"`,
            `"detectron_pt_coco"` or `"sh_ft_h36m"`; `"gt_gmm"`, `"cpn_ft_h36m_dbb_gmm"`:
            DiffPose's, whose heaviest kernels are the keypoints.
        image_labels: whether to compute the 2.5D label from the calibration too, which adds
            half to the size of the dataset: depth relative to each frame's root.

    Returns:
        `poses_camera_mm` keep the root's position in camera axes; the target space is
        `"camera_m"`.  Confidence is the score where the file has one, else 1.
        The left and right joints of `keypoint_skeleton` pair up as the file lists them, which
        for MPII is hip with ankle.

    Raises:
        InputError: a file is missing or damaged, or holds something else; subjects, actions,
            cameras, joints or lengths of the two files do not fit together; a value is not
            finite, or the units or axes are others.  It names the file and the entry.
    """
    return _read(_HUMAN36M, folder, detections, image_labels)


def read_humaneva(folder: str | os.PathLike[str], detections: str = "gt") -> PoseDataset:
    """HumanEva-I from `data_3d_humaneva15.npz` and `data_2d_humaneva15_DETECTIONS.npz`.

    A recording is a chunk between gaps of the motion capture, a video one camera's view of it,
    named such as `"Train/S1/Walking 1 chunk0/C1"`, of subject `"Train/S1"` and action
    `"Walking"`.  Order as in `read_human36m`: Train before Validate, S1, S2, S3 each.  What
    is called `Unlabeled/` has no poses and is left out.

    The lenses are unknown, so there is no 2.5D label.  The files of the 20-joint skeleton are
    not read.

    Args:
        folder: holds both files.
        detections: of which detector, `"gt"` or `"detectron_pt_coco"`.

    Returns, raises:
        as `read_human36m`.
    """
    return _read(_HUMANEVA, folder, detections, image_labels=False)


def camera_metres(
    poses_m: Float32[np.ndarray, "frames joints 3"], camera: AnyCamera
) -> Float32[np.ndarray, "frames joints 3"]:
    """World poses in a camera's axes, metres, rounded as VideoPose3D does: float32 throughout."""
    orientation = np.array(camera.orientation_wxyz, np.float32)
    return world_to_camera(poses_m, orientation, np.array(camera.translation_mm, np.float32) / 1000)


def _read(
    benchmark: Benchmark, folder: str | os.PathLike[str], detections: str, image_labels: bool
) -> PoseDataset:
    files = find_files(benchmark, folder, detections)
    sequences, keypoint_skeleton = load(benchmark, *files)
    # All of Human3.6M takes a gigabyte: room is made once, and what is copied there is let go.
    frames = sum(len(sequence.views) * sequence.frames for sequence in sequences)
    arrays = _allocate(frames, benchmark.skeleton, keypoint_skeleton, image_labels)
    if has_kernels(files[1]):
        count = max(view.array.shape[2] for sequence in sequences for view in sequence.views)
        # One that a video has not has no weight.
        shape = (frames, keypoint_skeleton.num_joints, count, len(KERNEL_CHANNELS))
        arrays["kernels"] = np.zeros(shape, np.float32)
    videos: list[Video] = []
    while sequences:
        sequence = sequences.popleft()
        poses_m = _poses_m(sequence.poses, benchmark)
        for camera, view in zip(benchmark.cameras(sequence.subject), sequence.views, strict=True):
            start = videos[-1].stop if videos else 0
            video = Video(
                name=f"{sequence.subject}/{sequence.action}/{camera.name}",
                subject=sequence.subject,
                action=human36m.action_class(sequence.action),
                camera=camera.name,
                width=camera.width,
                height=camera.height,
                frame_rate=benchmark.frame_rate,
                start=start,
                stop=start + sequence.frames,
                intrinsics=_intrinsics(camera),
            )
            videos.append(video)
            part = {name: array[video.start : video.stop] for name, array in arrays.items()}
            _fill_keypoints(part, view)
            _fill_poses(part, poses_m, camera, sequence.poses.where)
    dataset = PoseDataset(
        **arrays,
        videos=tuple(videos),
        skeleton=benchmark.skeleton,
        keypoint_skeleton=keypoint_skeleton,
        target_space="camera_m",
    )
    poses_file, keypoints_file = (path.name for path in files)
    check_plausible(
        dataset,
        str(folder),
        keypoints=f"{keypoints_file}: positions_2d",
        poses=f"{poses_file}: positions_3d",
        confidence=f"{keypoints_file}: the third channel of positions_2d",
        unit_mm=1000.0,
    )
    return dataset


def _intrinsics(camera: AnyCamera) -> tuple[float, ...] | None:
    return tuple(camera.intrinsics_screen.tolist()) if isinstance(camera, Camera) else None


def _allocate(
    frames: int, skeleton: Skeleton, keypoint_skeleton: Skeleton, image_labels: bool
) -> dict[str, np.ndarray]:
    """The dataset's arrays, with what these files do not tell filled in."""
    joints, keypoints = skeleton.num_joints, keypoint_skeleton.num_joints
    arrays = {
        "keypoints_px": np.empty((frames, keypoints, 2), np.float32),
        "confidence": np.ones((frames, keypoints), np.float32),
        "visible": np.ones((frames, joints), bool),
        "valid": np.ones(frames, bool),
        "poses_camera_mm": np.empty((frames, joints, 3), np.float32),
    }
    if image_labels:
        arrays["poses_image_px"] = np.empty((frames, joints, 3), np.float32)
        arrays["factor_mm_per_px"] = np.empty(frames, np.float32)
    return arrays


def _fill_keypoints(part: dict[str, np.ndarray], view: Leaf) -> None:
    """One video's keypoints, without what continues after the poses have ended."""
    channels = _float32(view.array[: len(part["keypoints_px"])], view.where)
    if "kernels" in part:
        _check_kernels(channels, view.where)
        part["kernels"][:, :, : channels.shape[2]] = channels
        part["keypoints_px"][...] = heaviest(channels)
        return
    part["keypoints_px"][...] = channels[..., :2]
    if channels.shape[-1] == 3:
        part["confidence"][...] = channels[..., 2]


def _check_kernels(kernels: Float32[np.ndarray, "frames joints kernels 5"], where: str) -> None:
    weights = kernels[..., 0]
    bad = (weights < 0).any(axis=(1, 2)) | (weights.sum(2) <= 0).any(1)
    bad |= (kernels[..., 3:] < 0).any(axis=(1, 2, 3))
    if bad.any():
        raise InputError(
            f"{where}: frame {int(bad.argmax())} has kernels of which a weight or a scale is "
            "negative, or no weight is positive"
        )


def _fill_poses(
    part: dict[str, np.ndarray],
    poses_m: Float32[np.ndarray, "frames joints 3"],
    camera: AnyCamera,
    where: str,
) -> None:
    """One video's poses and, where there is room for them, their 2.5D labels."""
    poses_mm = part["poses_camera_mm"]
    np.multiply(camera_metres(poses_m, camera), np.float32(1000), out=poses_mm)
    if "poses_image_px" not in part:
        return
    nearest = poses_mm[..., 2].min(axis=1)
    if nearest.min() < _NEAREST_MM:
        raise InputError(
            f"{where}: frame {int(nearest.argmin())} is not in front of camera {camera.name}; "
            "expected world coordinates in metres"
        )
    part["poses_image_px"][...], part["factor_mm_per_px"][...] = labels_of(
        poses_mm, camera, root=HUMAN36M_17.root
    )


def _poses_m(leaf: Leaf, benchmark: Benchmark) -> Float32[np.ndarray, "frames joints 3"]:
    """The joints of the skeleton, metres in the world."""
    poses_m = _float32(leaf.array[:, benchmark.joints[leaf.array.shape[1]]], leaf.where)
    farthest = max(-float(poses_m.min()), float(poses_m.max()))
    if farthest > _FARTHEST_M:
        raise InputError(f"{leaf.where}: coordinates up to {farthest:g}; expected metres")
    return poses_m


def _float32(array: np.ndarray, where: str) -> Float32[np.ndarray, "frames joints *channels"]:
    """The array in single precision.

    Raises:
        InputError: a value is not finite in it.
    """
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    # The extremes are not finite if any value is not, and take no memory to find.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        frame = int(np.isfinite(array).reshape(len(array), -1).all(1).argmin())
        raise InputError(f"{where}: frame {frame} of {len(array)} holds values that are not finite")
    return array
