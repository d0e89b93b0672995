"""3D motion of one person: what a lifter returns and what the writers write."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jrepose.errors import InputError
from jrepose.motion.numeric import float_of, size_of, whole_number
from jrepose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Motion:
    """3D motion of one person, complete: every joint in every frame.

    Args:
        poses_m: metres in an upright world: x right and y forward as the camera sees it, z up.
        skeleton: joint order of the poses.
        fps: frames per second.
        keypoints: what was lifted, of the same frames: x and y in pixels, confidence.
        keypoint_skeleton: joint order of the keypoints.
        size: width and height of the image, pixels.
        person: who, unlike other people of the same file.
        notes: what was assumed, a sentence each.
        first_frame: number of the first frame in the file that the keypoints came from, where
            other people may have come earlier.

    Raises:
        InputError: the fields contradict each other, or something is not finite.
    """

    poses_m: Float[np.ndarray, "frames joints 3"]
    skeleton: Skeleton
    fps: float | int
    keypoints: Float[np.ndarray, "frames joints2d 3"] | None = None
    keypoint_skeleton: Skeleton | None = None
    size: tuple[int, int] | None = None
    person: str = "1"
    notes: tuple[str, ...] = ()
    first_frame: int = 0

    def __post_init__(self):
        where = f"motion of person {self.person!s:.50}"
        if not isinstance(self.person, str):
            raise InputError(f"{where}: person is no text")
        frames = _check_joints(where, "poses_m", self.poses_m, self.skeleton)
        if not 0 < float_of(self.fps) < np.inf:
            raise InputError(f"{where}: fps is {self.fps!r:.50}, expected a positive number")
        if (self.keypoints is None) != (self.keypoint_skeleton is None):
            raise InputError(f"{where}: keypoints and keypoint_skeleton go together")
        if self.keypoints is not None:
            found = _check_joints(where, "keypoints", self.keypoints, self.keypoint_skeleton)
            if found != frames:
                raise InputError(f"{where}: keypoints of {found} frames, poses of {frames}")
        if self.size is not None:
            size_of(f"{where}: size", self.size)
        # Writers put it into files as Python's own.
        first = whole_number(f"{where}: first_frame", self.first_frame, 0)
        object.__setattr__(self, "first_frame", first)

    def save(self, path: str | os.PathLike[str], **options: str | float | bool) -> pathlib.Path:
        """Writes the motion; the suffix decides the format, see `save_motions`.

        Returns:
            The path.

        Raises:
            InputError: no such format or option, or the file cannot be written.
        """
        return save_motions(path, [self], **options)[0]


def save_motions(
    path: str | os.PathLike[str], motions: Sequence[Motion], **options: str | float | bool
) -> list[pathlib.Path]:
    """Writes the motion of one or several people; the suffix decides the format.

    Formats that hold one person, such as BVH, become a file for each of several people:
    `NAME_PERSON.bvh`.  Either all files appear or none.

    Args:
        path: the file; `jrepose.motion.writers.FORMATS` has the suffixes.
        motions: a person each.
        options: of the format, keywords of its `write`.

    Returns:
        The files written.

    Raises:
        InputError: nobody, two people of one name, no such format or option, or the file cannot
            be written.
    """
    # Here, because writers know motions.
    from jrepose.motion.writers import write_motions

    return write_motions(path, motions, **options)


def _check_joints(where: str, name: str, values: np.ndarray, skeleton: Skeleton) -> int:
    """Number of frames of joints that agree with their skeleton and are finite."""
    if not isinstance(skeleton, Skeleton):
        raise InputError(f"{where}: {name} has the skeleton {skeleton!r:.50}; expected a Skeleton")
    if getattr(getattr(values, "dtype", None), "kind", "O") in "bcmMOSU":
        raise InputError(f"{where}: {name} is no array of real numbers")
    if values.ndim != 3 or values.shape[1:] != (skeleton.num_joints, 3) or not len(values):
        raise InputError(
            f"{where}: {name} is {list(values.shape)}, expected [frames, "
            f"{skeleton.num_joints}, 3] for {skeleton.name}"
        )
    finite = np.isfinite(values).all(-1)
    if not finite.all():
        frame, joint = np.argwhere(~finite)[0]
        raise InputError(
            f"{where}: {name} is not finite in frame {frame}, joint {skeleton.joint_names[joint]}"
        )
    return len(values)
