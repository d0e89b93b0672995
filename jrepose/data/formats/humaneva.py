"""Facts about HumanEva-I: subjects, actions, cameras.

The dataset: Sigal, Balan and Black, IJCV 2010.  The conventions (the train and validate parts
of each subject as subjects of their own, the placement of the cameras) are those of
VideoPose3D (Pavllo et al., CVPR 2019).
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass

from jrepose.errors import InputError

FRAME_RATE = 60.0

TRAIN_SUBJECTS = ("Train/S1", "Train/S2", "Train/S3")
TEST_SUBJECTS = ("Validate/S1", "Validate/S2", "Validate/S3")
SUBJECTS = TRAIN_SUBJECTS + TEST_SUBJECTS
"""Part and person.  Poses of the official test part, and of S4, were never released."""

ACTIONS = ("Walking", "Jog", "ThrowCatch", "Gestures", "Box")


@dataclass(frozen=True)
class PlacedCamera:
    """Where a camera is and how large its images are; nothing is known about its lens.

    Args:
        name: `"C1"`, `"C2"` or `"C3"`, the colour cameras.
        width, height: image size in pixels.
        orientation_wxyz: unit quaternion rotating camera axes into world axes.
        translation_mm: camera centre in the world, millimetres.
    """

    name: str
    width: int
    height: int
    orientation_wxyz: tuple[float, float, float, float]
    translation_mm: tuple[float, float, float]


@functools.cache
def cameras(subject: str) -> tuple[PlacedCamera, ...]:
    """The three cameras of a subject's recordings, in the order in which files list them.

    Args:
        subject: with its part, one of `SUBJECTS`; a person's two parts were filmed alike.

    Raises:
        InputError: no calibration was published for that subject.
    """
    if subject not in SUBJECTS:
        raise InputError(
            f"HumanEva-I has no camera calibration of subject {subject!r}; it has "
            + ", ".join(SUBJECTS)
        )
    calibration = _calibration()
    placements = calibration["placements"][subject.rpartition("/")[2]]
    return tuple(
        PlacedCamera(
            name,
            **image,
            **{field: tuple(values) for field, values in placements[name].items()},
        )
        for name, image in calibration["images"].items()
    )


@functools.cache
def _calibration() -> dict:
    """The content of humaneva_cameras.json."""
    file = importlib.resources.files("jrepose.data.formats") / "humaneva_cameras.json"
    return json.loads(file.read_text("utf-8"))
