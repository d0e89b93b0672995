"""Footage, images or videos of synchronised cameras on a disk, as an image dataset."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jrepose.camera import Camera, transformed
from jrepose.data.images.crops import Workers, clean_boxes, place_crops
from jrepose.data.images.dataset import ImageDataset, ImageSequence, View
from jrepose.data.images.decode import pillow, pyav, video_frames
from jrepose.data.images.files import FileCrops, broken_files, leave_out, sizes_of
from jrepose.data.plausibility import check_limbs
from jrepose.errors import InputError, listed
from jrepose.skeleton import HUMAN36M_17

_LOG = logging.getLogger(__name__)

FILE = "annotations.json"
"""Of a folder, what it shows."""

MOST_VIEWS = 4

_JOINTS = HUMAN36M_17.num_joints
_SAMPLE = 1000  # images whose poses are looked at


class Frame(NamedTuple):
    """One image of a camera.

    Args:
        file: its name, or the video's, relative to the folder.
        video_frame: number in the video; -1: an image.
        width, height: px.
        box: of the person, px; None: nobody is there.
        keypoints: x, y, visibility; None: unknown.
        pose_mm: in the camera's axes; None: unknown.
        occluded: whether something stands in front of the person; None: unknown.
    """

    file: str
    video_frame: int
    width: int
    height: int
    box: Sequence[float] | None
    keypoints: np.ndarray | None
    pose_mm: np.ndarray | None
    occluded: bool | None


class Footage(NamedTuple):
    """The frames of a sequence.

    Args:
        name, subject, action, frame_rate: see `ImageSequence`.
        views: camera's name -> moment -> its image.
        cameras: calibrations, by name, of those that are calibrated.
    """

    name: str
    subject: str
    action: str
    frame_rate: float
    views: dict[str, dict[int, Frame]]
    cameras: Mapping[str, Camera]


class ImageSettings(NamedTuple):
    """How footage becomes crops: fields of `config.data.images`."""

    size: int = 224
    padding: float = 1.25
    cameras: tuple[str, ...] = ()
    workers: Workers | None = None
    skip_broken: bool = False
    max_megapixels: float = 64.0


def assemble(
    folder: pathlib.Path, footage: Sequence[Footage], settings: ImageSettings, where: object
) -> ImageDataset:
    """The dataset of footage; every sequence is cut to its shortest camera.

    Args:
        folder: that the files' names are relative to.
        footage: at least one sequence.
        settings: of the crops.
        where: what it comes from, for messages.

    Raises:
        InputError: missing or unreadable files, cameras that are not there or too many.
    """
    chosen = [(one, _chosen_cameras(one, settings.cameras, where)) for one in footage]
    max_pixels = 1e6 * settings.max_megapixels
    usable = _usable_files(folder, chosen, settings, max_pixels, where)
    views = max(len(names) for _, names in chosen)
    rows = [_arrays(one, names, views, usable) for one, names in chosen]
    sequences, start = [], 0
    for (one, names), row in zip(chosen, rows, strict=True):
        length = len(row["file"])
        sequences.append(
            ImageSequence(
                one.name, one.subject, one.action, one.frame_rate, start, start + length,
                tuple(_view(one, name) for name in names),
            )
        )  # fmt: skip
        start += length
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    names, numbers = np.unique(columns.pop("file"), return_inverse=True)
    numbers = numbers.reshape(columns["frame"].shape)
    seen = names[numbers] != ""
    widths, heights = columns.pop("width"), columns.pop("height")
    image_sizes = np.stack([widths, heights], -1)
    columns["boxes"][seen] = clean_boxes(columns["boxes"][seen], image_sizes[seen])
    placed = place_crops(columns["boxes"], settings.padding, settings.size)
    if (outside := seen & ~placed.present).any():
        file = names[numbers[outside][0]]
        raise InputError(f"{where}: the box of {file} holds nothing of the image")
    keypoints, poses = columns.pop("keypoints"), columns.pop("pose_mm")
    some = poses[seen][:: max(1, int(seen.sum()) // _SAMPLE)]
    check_limbs(some, HUMAN36M_17, f"{where}: keypoints_camera_mm")
    joints = transformed(placed.to_crop, keypoints[..., :2])
    # 2 is visible, 1 is known; files with flags alone have no 2.
    least = 2 if (keypoints[..., 2] == 2).any() else 1
    occluded = columns.pop("occluded")
    return ImageDataset(
        images=FileCrops(
            starts=np.array([sequence.start for sequence in sequences]),
            to_image=placed.to_image,
            views_seen=seen,
            size=settings.size,
            workers=settings.workers or Workers(),
            folder=folder,
            names=tuple(names.tolist()),
            bytes=np.array([usable.get(name, 0) for name in names.tolist()], np.int64),
            file=numbers.astype(np.int32),
            frame=columns.pop("frame"),
            widths=widths,
            heights=heights,
            max_pixels=max_pixels,
        ),
        joints_px=joints.astype(np.float32),
        joints_seen=(keypoints[..., 2] >= least) & seen[..., None],
        views_seen=seen,
        crops=placed.to_image,
        boxes=columns["boxes"],
        sequences=tuple(sequences),
        poses_camera_mm=poses if np.isfinite(poses[seen]).all() else None,
        occluded=occluded == 1 if (occluded[seen] >= 0).all() else None,
    )


def _chosen_cameras(one: Footage, wanted: Sequence[str], where: object) -> tuple[str, ...]:
    names = tuple(sorted(one.views))
    if missing := [name for name in wanted if name not in names]:
        raise InputError(
            f"{where}: sequence {one.name!r} has no camera {', '.join(missing)} of "
            f"config.data.images.cameras; it has {', '.join(names)}"
        )
    names = tuple(wanted) or names
    if len(names) > MOST_VIEWS:
        raise InputError(
            f"{where}: sequence {one.name!r} has {len(names)} cameras; name at most {MOST_VIEWS} "
            "in config.data.images.cameras"
        )
    return names


def _places(one: Footage, names: Sequence[str]) -> dict[int, int]:
    """Where each moment goes: those that any camera has, to the end of the shortest one."""
    moments = sorted(set().union(*(one.views[name] for name in names)))
    places = {moment: place for place, moment in enumerate(moments)}
    lengths = [places[max(one.views[name])] + 1 for name in names]
    if min(lengths) < max(lengths):
        _LOG.warning(
            "sequence %s: its cameras have %s moments; cut to %d",
            one.name,
            ", ".join(map(str, lengths)),
            min(lengths),
        )
    if len(set(np.diff(moments).tolist())) > 1:
        _LOG.warning("sequence %s: moments are missing between others", one.name)
    return {moment: place for moment, place in places.items() if place < min(lengths)}


def _usable_files(
    folder: pathlib.Path,
    chosen: Sequence[tuple[Footage, tuple[str, ...]]],
    settings: ImageSettings,
    max_pixels: float,
    where: object,
) -> dict[str, int]:
    """The files that are not left out, and their bytes.

    Raises:
        InputError: a file is absent, or a video has too few frames, and is not to be left out.
    """
    sizes: dict[str, tuple[int, int]] = {}
    last: dict[str, int] = {}
    for one, names in chosen:
        for frame in (frame for name in names for frame in one.views[name].values()):
            sizes[frame.file] = frame.width, frame.height
            if frame.video_frame >= 0:
                last[frame.file] = max(last.get(frame.file, 0), frame.video_frame)
    (pyav if last else pillow)(f"reading the images of {where}")
    found = sizes_of(folder, list(sizes))
    absent = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    if settings.skip_broken:
        present = {name: size for name, size in sizes.items() if name not in absent}
        absent |= broken_files(folder, present, last, max_pixels)
        leave_out(absent, len(sizes))
        return {name: size for name, size in found.items() if name not in absent}
    if absent:
        raise InputError(
            f"{where}: names {len(absent)} of {len(sizes)} files that are not there: "
            f"{listed(list(absent))}"
        )
    for name, frame in last.items():
        frames = video_frames(folder / name, sizes[name], max_pixels)
        if frame >= frames:
            raise InputError(f"{folder / name}: {frames} frames, {where} names frame {frame}")
    return found


def _arrays(
    one: Footage, names: Sequence[str], views: int, usable: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Rows of all moments of a sequence; what is absent has no file."""
    places = _places(one, names)
    shape = (len(places), views)
    out = {
        "file": np.full(shape, "", object),
        "frame": np.full(shape, -1, np.int32),
        "width": np.zeros(shape, np.int32),
        "height": np.zeros(shape, np.int32),
        "boxes": np.zeros((*shape, 4), np.float32),
        "keypoints": np.zeros((*shape, _JOINTS, 3), np.float32),
        "pose_mm": np.full((*shape, _JOINTS, 3), np.nan, np.float32),
        "occluded": np.full(shape, -1, np.int8),
    }
    for view, name in enumerate(names):
        for moment, frame in one.views[name].items():
            if moment not in places or frame.box is None or frame.file not in usable:
                continue
            at = places[moment], view
            out["file"][at], out["frame"][at] = frame.file, frame.video_frame
            out["width"][at], out["height"][at] = frame.width, frame.height
            out["boxes"][at] = frame.box
            if frame.keypoints is not None:
                out["keypoints"][at] = frame.keypoints
            if frame.pose_mm is not None:
                out["pose_mm"][at] = frame.pose_mm
            if frame.occluded is not None:
                out["occluded"][at] = frame.occluded
    return out


def _view(one: Footage, name: str) -> View:
    first = next(iter(one.views[name].values()))
    return View(name, first.width, first.height, one.cameras.get(name))
