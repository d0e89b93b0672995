"""Facts about Human3.6M: subjects, actions, cameras, and which of its joints are used.

The dataset: Ionescu et al., TPAMI 2014.  The conventions (17 of the 32 joints, names of the
actions, order of the cameras) are those of VideoPose3D (Pavllo et al., CVPR 2019), which the
Human3.6M lifters share.
"""

from __future__ import annotations

import functools
import importlib.resources
import json

from jrepose.camera import Camera
from jrepose.errors import InputError

FRAME_RATE = 50.0

TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
SUBJECTS = TRAIN_SUBJECTS + TEST_SUBJECTS
"""The subjects with published poses.  S2, S3 and S4 have none; S10 was never released."""

ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Photo",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Waiting",
    "WalkDog",
    "Walking",
    "WalkTogether",
)
"""The classes in the order of the published tables.  Each subject performs each twice."""

CORRUPT_RECORDINGS = (("S11", "Directions"),)
"""(subject, action) that are damaged and that everybody leaves out."""

CAMERA_IDS = ("54138969", "55011271", "58860488", "60457274")
"""In the order in which files list the cameras."""

NUM_RECORDED_JOINTS = 32
JOINTS_17 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The recorded joints that make up `skeleton.HUMAN36M_17`, in its order.  The others repeat
a neighbour or end a hand or a foot."""


def canonical_action(name: str) -> str:
    """The field's name of an action: "TakingPhoto 1" is "Photo 1", "WalkingDog" "WalkDog".

    The trial number stays; names that are canonical already are returned as they are.
    """
    return name.replace("TakingPhoto", "Photo").replace("WalkingDog", "WalkDog")


def action_class(name: str) -> str:
    """The class of a canonical action, which is its name up to the first space."""
    return name.partition(" ")[0]


@functools.cache
def cameras(subject: str) -> tuple[Camera, ...]:
    """The four calibrated cameras of a subject's recordings, in the order of `CAMERA_IDS`.

    A camera is named by its identifier.  The lenses are the same for all subjects, the
    positions are not.

    Raises:
        InputError: no calibration was published for that subject.
    """
    calibration = _calibration()
    if subject not in calibration["placements"]:
        raise InputError(
            f"Human3.6M has no camera calibration of subject {subject!r}; it has "
            + ", ".join(calibration["placements"])
        )
    lenses, placements = calibration["lenses"], calibration["placements"][subject]
    return tuple(Camera(name, **_tuples(lenses[name] | placements[name])) for name in CAMERA_IDS)


@functools.cache
def _calibration() -> dict:
    """The content of human36m_cameras.json."""
    file = importlib.resources.files("jrepose.data.formats") / "human36m_cameras.json"
    return json.loads(file.read_text("utf-8"))


def _tuples(fields: dict) -> dict:
    """The same fields with tuples for lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
