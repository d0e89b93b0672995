"""What a file holds, in one form for all formats: enough to describe and draw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Track:
    """One person over time: as one camera sees them, in 3D, or both.

    Args:
        name: unique in the file.
        subject, action, camera: empty where the file does not tell.
        keypoints_px: 2D joints; NaN where missing.
        confidence: 0 where missing; None: the file has none.
        poses: 3D joints, in the unit and axes of the `Content`; NaN where missing.
        valid: False for frames that are not scored; None: all are.
        image_size: width and height in pixels, where known.
    """

    name: str
    subject: str = ""
    action: str = ""
    camera: str = ""
    keypoints_px: Float[np.ndarray, "frames keypoints 2"] | None = None
    confidence: Float[np.ndarray, "frames keypoints"] | None = None
    poses: Float[np.ndarray, "frames joints 3"] | None = None
    valid: Bool[np.ndarray, " frames"] | None = None
    image_size: tuple[int, int] | None = None

    @property
    def frames(self) -> int:
        return len(self.poses if self.keypoints_px is None else self.keypoints_px)

    @property
    def missing(self) -> Bool[np.ndarray, "frames keypoints"]:
        """Which keypoints are NaN or have no confidence."""
        missing = np.isnan(self.keypoints_px).any(-1)
        return missing if self.confidence is None else missing | ~(self.confidence > 0)


@dataclass(frozen=True, eq=False)
class Content:
    """A recognised file.

    Args:
        format: what it is, in words.
        outline: its layout, a line each.
        tracks: of which all have 2D, all have 3D, or both; may be empty.
        keypoint_skeleton, skeleton: joint order of 2D and 3D; None: unknown.
        unit: of the poses.
        up: the poses' axis that points up, such as `"-y"` (a camera's axes), `"y"` or `"z"`.
        use: what to do with it, a line each.
    """

    format: str
    outline: Sequence[str] = ()
    tracks: Sequence[Track] = field(default_factory=tuple)
    keypoint_skeleton: Skeleton | None = None
    skeleton: Skeleton | None = None
    unit: str = "mm"
    up: str = "-y"
    use: Sequence[str] = ()


def joints(value: Any, columns: Sequence[int], where: str) -> Float[np.ndarray, "frames joints c"]:
    """The value, which must be numbers `[frames, joints, one of columns]`, as floating-point ones.

    Raises:
        InputError: it is something else; the message starts with `where`.
    """
    is_array = isinstance(value, np.ndarray)
    if not is_array or value.dtype.kind not in "fiu" or value.ndim != 3 or not value.size:
        found = f"{value.dtype} {list(value.shape)}" if is_array else type(value).__name__
        raise InputError(f"{where}: expected an array [frames, joints, channels], found {found}")
    if value.shape[2] not in columns:
        expected = " or ".join(map(str, columns))
        raise InputError(f"{where}: {value.shape[2]} channels; expected {expected}")
    return value if value.dtype.kind == "f" else value.astype(np.float64)


def mapping(value: Any, where: str) -> dict[str, Any]:
    """The value, which must be a dictionary that is not empty.

    Raises:
        InputError: it is something else; the message starts with `where`.
    """
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: expected a dictionary with something in it")
    return {str(key): item for key, item in value.items()}


def of_datasets(
    format: str,
    datasets: dict[str, PoseDataset],
    outline: Sequence[str] = (),
    use: Sequence[str] = (),
) -> Content:
    """The content of a file that a reader made datasets of.

    Args:
        format, outline, use: as in `Content`.
        datasets: by the name of the split, `""` if there is only one.
    """
    first = next(iter(datasets.values()))
    label = "poses_image_px" if first.poses_camera_mm is None else "poses_camera_mm"
    return Content(
        format=format,
        outline=outline,
        tracks=[track for split in datasets.items() for track in _tracks(*split, label)],
        keypoint_skeleton=first.keypoint_skeleton,
        skeleton=first.skeleton,
        unit="px, the 2.5D label" if label == "poses_image_px" else "mm",
        use=use,
    )


def _tracks(split: str, dataset: PoseDataset, label: str) -> Iterable[Track]:
    poses = getattr(dataset, label)
    for video in dataset.videos:
        rows = slice(video.start, video.stop)
        yield Track(
            name=f"{split}: {video.name}" if split else video.name,
            subject=video.subject,
            action=video.action,
            camera=video.camera,
            keypoints_px=dataset.keypoints_px[rows],
            confidence=dataset.confidence[rows],
            poses=None if poses is None else poses[rows],
            valid=dataset.valid[rows],
            image_size=(video.width, video.height),
        )
