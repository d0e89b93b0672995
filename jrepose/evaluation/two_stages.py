"""From keypoints in images to 3D: what a detector found, as the dataset that a lifter sees."""

from __future__ import annotations

import numpy as np

from jrepose.data.dataset import PoseDataset, Video
from jrepose.data.images.dataset import ImageDataset, ImageSequence
from jrepose.data.labels import image_labels
from jrepose.errors import InputError
from jrepose.evaluation.detections import Found


def found_as_poses(
    dataset: ImageDataset, image_px: Found, *, target_space: str, scaling: str = "screen"
) -> PoseDataset:
    """Every camera of every sequence as a video, its keypoints those that were found.

    Confidence is 1.  Where a view is absent the keypoints are those of its neighbours in time,
    confidence is 0 and the frame is not scored.

    Args:
        dataset: what they were found in; its 3D poses, if it has them, are what is compared with.
        image_px: keypoints in pixels of the images, NaN where there are none.
        target_space, scaling: what the lifter predicts and sees, see `PoseDataset`.

    Raises:
        InputError: nothing was found, or 2.5D labels are wanted of cameras that are unknown.
    """
    parts: dict[str, list[np.ndarray]] = {}
    videos, end = [], 0
    for sequence in dataset.sequences:
        for number, view in enumerate(sequence.views):
            arrays = _video(dataset, image_px, sequence, number, target_space)
            if arrays is None:
                continue
            for name, values in arrays.items():
                parts.setdefault(name, []).append(values)
            camera = view.camera
            videos.append(
                Video(
                    name=f"{sequence.name}/{view.name}",
                    subject=sequence.subject,
                    action=sequence.action,
                    camera=view.name,
                    width=view.width,
                    height=view.height,
                    frame_rate=sequence.frame_rate,
                    start=end,
                    stop=end + sequence.frames,
                    intrinsics=None if camera is None else tuple(camera.intrinsics_screen.tolist()),
                )
            )
            end += sequence.frames
    if not videos:
        raise InputError("nothing to lift: no keypoints were found in any image")
    return PoseDataset(
        **{name: np.concatenate(values) for name, values in parts.items()},
        videos=tuple(videos),
        skeleton=dataset.skeleton,
        target_space=target_space,
        scaling=scaling,
    )


def _video(
    dataset: ImageDataset, image_px: Found, sequence: ImageSequence, number: int, space: str
) -> dict[str, np.ndarray] | None:
    """A pose dataset's arrays of one camera; None where it found nothing."""
    rows = slice(sequence.start, sequence.stop)
    points = image_px[rows, number]
    found = np.isfinite(points).all((-1, -2))
    if not found.any():
        return None
    # The nearest moment at which there is something.
    there = np.flatnonzero(found)
    nearest = np.abs(np.arange(len(found))[:, None] - there[None]).argmin(1)
    arrays = {
        "keypoints_px": points[there[nearest]].astype(np.float32),
        "confidence": np.repeat(found[:, None], points.shape[1], 1).astype(np.float32),
        "visible": dataset.joints_seen[rows, number],
        "valid": found,
    }
    if dataset.poses_camera_mm is None:
        return arrays
    poses = dataset.poses_camera_mm[rows, number]
    arrays["poses_camera_mm"] = poses
    if space == "image":
        camera = sequence.views[number].camera
        if camera is None:
            raise InputError(
                f"sequence {sequence.name}, {sequence.views[number].name}: the lifter predicts "
                "2.5D poses, and the camera, which makes millimetres of them, is unknown"
            )
        labels, factor = image_labels(poses, camera, root=dataset.skeleton.root)
        arrays |= {"poses_image_px": labels, "factor_mm_per_px": factor}
    return arrays
