"""COCO-style JSON of image folders and videos; docs/images.md says more.

`images`: `id`, `file_name`, `width`, `height`, and where they are known `sequence`, `camera`,
`moment`, `subject`, `action`, `frame_rate`, of a video's frame `video_frame`.  `annotations`:
`image_id`, `bbox`, `keypoints` (Human3.6M's 17, x, y, visibility), and where they are known
`keypoints_camera_mm` and `occluded`.  `cameras`: the calibration of each, see `camera.Camera`.

What an image entry does not say is read off its file's name: `S1_Directions_1.54138969_000001.jpg`
as Human3.6M's frames are called, else its folder is the sequence and the order of names the time.
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jrepose.camera import Camera
from jrepose.data.images.decode import is_video
from jrepose.data.images.footage import Footage, Frame
from jrepose.errors import InputError, listed
from jrepose.files import open_regular
from jrepose.restricted_pickle import reading
from jrepose.skeleton import HUMAN36M_17

_LOG = logging.getLogger(__name__)

_HUMAN36M_NAME = re.compile(r"(?P<subject>S\d+)_(?P<action>.+)\.(?P<camera>\d{8})_(?P<moment>\d+)")
_JOINTS = HUMAN36M_17.num_joints
_LARGEST = 1e9  # of pixels and millimetres


def read_coco(path: str | os.PathLike[str]) -> list[Footage]:
    """What a JSON file says of the images that it names.

    Args:
        path: the file.

    Raises:
        InputError: naming the file and the entry that cannot be used.
    """
    path = pathlib.Path(path)
    with reading(str(path), "JSON file"):
        with open_regular(path) as file:
            content = json.loads(file.read().decode("utf-8-sig"))
        return _footage(path, content)


def _footage(path: pathlib.Path, content: Any) -> list[Footage]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images and annotations")
    entry = _Entry(path)
    _check_joint_names(path, content)
    annotations = _annotations(entry, content)
    calibrated = _cameras(entry, content)
    found: dict[str, Footage] = {}
    known, unnumbered = set(), []
    for number, image in enumerate(entry.rows(content, "images")):
        entry.at(f"image {number}", image)
        identity = entry.identity("id")
        known.add(identity)
        file = _file_name(entry, image, annotations.get(identity))
        said = _said_by_name(file, image.get("sequence"))
        name = entry.text("sequence", said["sequence"])
        camera = entry.text("camera", said["camera"])
        frame = Frame(
            file,
            entry.whole("video_frame", -1),
            entry.whole("width", least=1),
            entry.whole("height", least=1),
            *_labels(_Entry(path), annotations.get(identity)),
        )
        if is_video(file) != (frame.video_frame >= 0):
            raise entry.wrong("video_frame", "the number of a frame of a video, and of no image")
        footage = found.setdefault(
            name,
            Footage(
                name,
                entry.text("subject", said["subject"]),
                entry.text("action", said["action"]),
                entry.number("frame_rate", 50.0),
                {},
                calibrated.get(name, {}),
            ),
        )
        for field in ("subject", "action"):
            if entry.text(field, said[field]) != getattr(footage, field):
                other = json.dumps(getattr(footage, field))
                raise entry.wrong(field, f"{other} as in other images of sequence {name!r}")
        moment = entry.whole("moment", said["moment"])
        if moment < 0:
            unnumbered.append((footage, camera, frame))
            continue
        _put(path, footage, camera, moment, frame)
    unknown = [str(identity) for identity in annotations if identity not in known]
    if unknown:
        raise InputError(f"{path}: annotations of images that are not listed: {listed(unknown)}")
    for footage, camera, frame in sorted(unnumbered, key=lambda row: row[2][:2]):
        _put(path, footage, camera, len(footage.views.get(camera, ())), frame)
    return list(found.values())


def _put(path: pathlib.Path, footage: Footage, camera: str, moment: int, frame: Frame) -> None:
    images = footage.views.setdefault(camera, {})
    if moment in images:
        raise InputError(
            f"{path}: {images[moment].file} and {frame.file} are both moment {moment} of camera "
            f"{camera!r} in sequence {footage.name!r}"
        )
    images[moment] = frame


class _Entry:
    """An object in the file, whose fields are checked as they are read."""

    def __init__(self, path: pathlib.Path):
        self._path, self._where, self._values = path, "", {}

    def at(self, where: str, values: Mapping[str, Any]) -> None:
        self._where, self._values = where, values

    def rows(self, content: Mapping[str, Any], name: str, needed: bool = True) -> Iterator[dict]:
        rows = content.get(name, None if needed else [])
        if not isinstance(rows, list) or (needed and not rows):
            raise InputError(f"{self._path}: no list of {name}")
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise InputError(f"{self._path}: {name} {number} is no object")
            yield row

    def wrong(self, field: str, expected: str) -> InputError:
        value = self._values.get(field)
        what = "is missing" if value is None else f"is {json.dumps(value)[:60]}"
        return InputError(f"{self._path}: {self._where}: {field} {what}, expected {expected}")

    def naming(self, error: InputError) -> InputError:
        """The error with the file's name in it."""
        text = str(error)
        return InputError(text if text.startswith(str(self._path)) else f"{self._path}: {text}")

    def identity(self, field: str) -> int | str:
        value = self._values.get(field)
        if not isinstance(value, int | str):
            raise self.wrong(field, "the id of an image")
        return value

    def text(self, field: str, default: str | None = None) -> str:
        value = self._values.get(field, default)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.wrong(field, "a name")
        return value

    def whole(self, field: str, default: int | None = None, least: int = 0) -> int:
        if field not in self._values and default is not None:
            return default
        value = self._values.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
            raise self.wrong(field, f"a whole number from {least}")
        return value

    def number(self, field: str, default: float) -> float:
        (value,) = self.numbers(field, 1, wrap=True) if field in self._values else (default,)
        if value <= 0:
            raise self.wrong(field, "a positive number")
        return value

    def numbers(self, field: str, count: int, *, wrap: bool = False) -> list[float]:
        values = self._values.get(field)
        values = [values] if wrap else values
        good = isinstance(values, list) and len(values) == count
        if not good or not all(
            isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _LARGEST
            for v in values
        ):
            raise self.wrong(field, f"{count} finite numbers")
        return [float(v) for v in values]


def _check_joint_names(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Refuses other joints than Human3.6M's, where the file says which they are."""
    for category in content.get("categories") or ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if names is not None and len(names) != _JOINTS:
            raise InputError(f"{path}: categories have {len(names)} keypoints, expected {_JOINTS}")
        if names and "nose" in names and "left_eye" in names:
            raise InputError(
                f"{path}: categories have COCO's keypoints, expected Human3.6M's 17: "
                f"{', '.join(HUMAN36M_17.joint_names[:3])} ..."
            )


def _annotations(entry: _Entry, content: Mapping[str, Any]) -> dict[Any, dict]:
    """The annotation of every image; of several people the largest."""
    found: dict[Any, dict] = {}
    crowded = set()
    for number, row in enumerate(entry.rows(content, "annotations")):
        entry.at(f"annotation {number}", row)
        if row.get("iscrowd"):
            continue
        identity = entry.identity("image_id")
        _, _, width, height = entry.numbers("bbox", 4)
        if not (width > 0 and height > 0):
            raise entry.wrong("bbox", "x, y and a positive width and height")
        other = found.get(identity)
        if other is not None:
            crowded.add(identity)
            if other["bbox"][2] * other["bbox"][3] >= width * height:
                continue
        found[identity] = {**row, "_where": f"annotation {number}"}
    if crowded:
        _LOG.warning("%d images have several people, of whom the largest is taken", len(crowded))
    return found


def _labels(entry: _Entry, annotation: dict | None) -> tuple:
    """Box, keypoints, pose and whether something is in front."""
    if annotation is None:
        return None, None, None, None
    entry.at(annotation["_where"], annotation)
    keypoints = pose = None
    if annotation.get("keypoints"):
        keypoints = np.array(entry.numbers("keypoints", 3 * _JOINTS), np.float32).reshape(-1, 3)
    if "keypoints_camera_mm" in annotation:
        pose = np.array(entry.numbers("keypoints_camera_mm", 3 * _JOINTS), np.float32)
        pose = pose.reshape(-1, 3)
    occluded = annotation.get("occluded")
    return (
        entry.numbers("bbox", 4),
        keypoints,
        pose,
        None if occluded is None else bool(occluded),
    )


def _file_name(entry: _Entry, image: Mapping[str, Any], annotation: dict | None) -> str:
    """The image's own, or the one that its annotation has without an ending."""
    if "file_name" not in image and annotation and isinstance(annotation.get("file_name"), str):
        name = annotation["file_name"] + ".jpg"
    else:
        name = entry.text("file_name")
    place = pathlib.PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        raise entry.wrong("file_name", "a place within the folder")
    return name


def _said_by_name(file: str, sequence: Any) -> dict[str, Any]:
    """What an image does not say, by its file's name and perhaps its sequence's."""
    place = pathlib.PurePosixPath(file)
    if match := _HUMAN36M_NAME.fullmatch(place.stem):
        said: dict[str, Any] = match.groupdict()
        said["sequence"] = f"{said['subject']}/{said['action']}"
        return {**said, "moment": int(said["moment"])}
    folder = pathlib.PurePosixPath(sequence) if isinstance(sequence, str) else place.parent
    folder = folder if folder.parts else pathlib.PurePosixPath("images")
    return {
        "sequence": str(folder),
        "subject": folder.parts[0],
        "action": folder.name,
        "camera": "camera",
        "moment": -1,
    }


def _cameras(entry: _Entry, content: Mapping[str, Any]) -> dict[str, dict[str, Camera]]:
    """Calibrations by sequence and name."""
    found: dict[str, dict[str, Camera]] = {}
    for number, row in enumerate(entry.rows(content, "cameras", needed=False)):
        entry.at(f"camera {number}", row)
        name = entry.text("name")
        lens = {"radial": 3, "tangential": 2}
        try:
            camera = Camera(
                name=name,
                width=entry.whole("width", least=1),
                height=entry.whole("height", least=1),
                focal_px=tuple(entry.numbers("focal_px", 2)),
                centre_px=tuple(entry.numbers("centre_px", 2)),
                orientation_wxyz=tuple(entry.numbers("orientation_wxyz", 4)),
                translation_mm=tuple(entry.numbers("translation_mm", 3)),
                **{key: tuple(entry.numbers(key, n)) for key, n in lens.items() if key in row},
            )
        except InputError as error:
            raise entry.naming(error) from None
        found.setdefault(entry.text("sequence"), {})[name] = camera
    return found
