"""Keypoint files of 2D detectors, recognised by their content: one file per format.

`read_keypoints` gives the people in a file, `read_detections` everything that is in it.  A format's
file has `recognise`, whether a file is of it, and `read`, which checks and adds its people to a
`Collector`.  docs/formats.md describes what they accept.
"""

from __future__ import annotations

import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from jrepose.errors import InputError
from jrepose.files import open_regular
from jrepose.motion.readers import (
    alphapose,
    arrays,
    coco,
    csv_files,
    deeplabcut,
    mediapipe,
    mmpose,
    openpose,
    ultralytics,
    videopose3d,
)
from jrepose.motion.readers.detections import Collector, Detections
from jrepose.motion.readers.json_files import LIST, Part, json_parts, parse_json
from jrepose.restricted_pickle import read_npz, reading

__all__ = ["JSON_FORMATS", "Detections", "read_detections"]


class JsonFormat(NamedTuple):
    """A format of JSON files.

    Attributes:
        title: its name.
        recognise: whether a file that begins with these parts is of it.
        read: adds the people of a file, or of one frame's file, to a collector.
    """

    title: str
    recognise: Callable[[Sequence[Part]], bool]
    read: Callable[[Iterable[Part], Collector, str | None], None]


JSON_FORMATS = tuple(
    JsonFormat(module.TITLE, module.recognise, module.read)
    for module in (openpose, alphapose, coco, mmpose, ultralytics, mediapipe, arrays)
)
"""In the order in which they are tried: arrays of anything come last."""

SUPPORTED = (
    "OpenPose, AlphaPose, COCO, MMPose, MediaPipe, Ultralytics YOLO, Detectron and VideoPose3D, "
    "DeepLabCut, and arrays of keypoints (.npy, .npz, .json)"
)
_FIRST_PARTS = 8
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_detections(path: str | os.PathLike[str]) -> Detections:
    """Everybody in a keypoint file, or in a folder with a file per frame.

    Args:
        path: file or folder; what it is is told by its content.

    Raises:
        InputError: nothing there, no known format, nobody in it, or content that cannot be; in
            one line.
        MissingExtra: an optional package is needed.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _read_folder(path)
    start = _start(path)
    if start.startswith(b"PK\3\4") or start.startswith(b"\x93NUMPY"):
        return _read_numpy(path)
    if start.startswith(_HDF5):
        return _read_with(path, deeplabcut.TITLE, deeplabcut.read_hdf5)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise InputError(f"{path}: an empty file; expected keypoints of {SUPPORTED}")
    if text[:1] in (b"[", b"{"):
        return _read_json(path)
    first = text.splitlines()[0]
    if ultralytics.looks_like_text(first):
        collector = Collector(str(path), ultralytics.TITLE)
        ultralytics.read_text(str(path), collector, path.name)
        return collector.finish()
    if first.lower().lstrip(b"\"'").startswith(b"scorer"):
        return _read_with(path, deeplabcut.TITLE, deeplabcut.read_csv)
    if any(separator in first for separator in (b",", b";", b"\t")) and b"\0" not in start:
        return _read_with(path, csv_files.TITLE, csv_files.read)
    raise InputError(f"{path}: a file that starts with {start[:16]!r}; expected keypoints of "
                     f"{SUPPORTED}")  # fmt: skip


def _read_with(
    path: pathlib.Path, title: str, read: Callable[[pathlib.Path, Collector], None]
) -> Detections:
    collector = Collector(str(path), title)
    with reading(str(path)):
        read(path, collector)
    return collector.finish()


def _start(path: pathlib.Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(2**16)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _read_json(path: pathlib.Path) -> Detections:
    parts = json_parts(path)
    first = list(islice(parts, _FIRST_PARTS))
    chosen = _json_format(first)
    if chosen is None:
        raise _unknown(path, first)
    collector = Collector(str(path), chosen.title)
    with reading(str(path)):
        chosen.read(chain(first, parts), collector, None)
    return collector.finish()


def _json_format(parts: Sequence[Part]) -> JsonFormat | None:
    if not parts:
        return None
    return next((form for form in JSON_FORMATS if form.recognise(parts)), None)


def _unknown(path: pathlib.Path, parts: Sequence[Part]) -> InputError:
    keys = list(dict.fromkeys(key for key, _ in parts if key != LIST))
    if not parts:
        found = "nothing"
    elif keys:
        found = f"an object of {', '.join(map(ascii, keys[:6]))}"
    else:
        found = f"a list of {_described(parts[0][1])}"
    return InputError(f"{path}: JSON that holds {found}; expected keypoints of {SUPPORTED}")


def _described(entry: Any) -> str:
    if isinstance(entry, dict):
        return f"objects of {', '.join(map(ascii, list(entry)[:6])) or 'nothing'}"
    return {list: "lists", str: "texts", type(None): "nulls"}.get(type(entry), "numbers")


def _read_numpy(path: pathlib.Path) -> Detections:
    if zipfile.is_zipfile(path):
        with reading(str(path), "zip file"), zipfile.ZipFile(path) as archive:
            if not any(name.endswith(".npy") for name in archive.namelist()):
                raise InputError(f"{path}: a zip file without arrays; expected keypoints of "
                                 f"{SUPPORTED}")  # fmt: skip
    entries = read_npz(path)
    archive = videopose3d if videopose3d.recognise(entries) else arrays
    collector = Collector(str(path), archive.TITLE)
    with reading(str(path)):
        _archive_reader(archive)(entries, collector)
    return collector.finish()


def _archive_reader(module: Any) -> Callable[[Mapping[str, Any], Collector], None]:
    return module.read_archive if module is arrays else module.read


def _read_folder(folder: pathlib.Path) -> Detections:
    """A file per frame, of the kind that the folder has most of."""
    files = _files(folder)
    if not files and (folder / "labels").is_dir():  # Ultralytics' runs
        folder = folder / "labels"
        files = _files(folder)
    if not files:
        raise InputError(f"{folder}: no .json or .txt file in this folder; expected one per frame, "
                         "or a file with all frames")  # fmt: skip
    if files[0].suffix.lower() == ".txt":
        collector = Collector(str(folder), ultralytics.TITLE)
        for file in files:
            ultralytics.read_text(str(file), collector, file.name)
        return collector.finish()
    return _read_json_folder(folder, files)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from None
    for suffix in (".json", ".txt"):
        found = [folder / name for name in names if name.lower().endswith(suffix)]
        if found:
            return found
    return []


def _read_json_folder(folder: pathlib.Path, files: list[pathlib.Path]) -> Detections:
    chosen: JsonFormat | None = None
    collector = Collector(str(folder), "JSON per frame")
    for file in files:
        content = parse_json(file)
        parts = list(_parts_of(content))
        if parts and chosen is None:
            chosen = _json_format(parts)
            if chosen is None:
                raise _unknown(file, parts)
            collector.title = chosen.title
        collector.where = str(file)
        if not parts:
            collector.frame(file.name)  # nobody was found
            continue
        if not chosen.recognise(parts):
            raise InputError(f"{file}: not of the same format as those before, {chosen.title}; "
                             "expected a folder of one video's frames")  # fmt: skip
        with reading(str(file)):
            chosen.read(parts, collector, file.name)
    collector.where = str(folder)
    return collector.finish()


def _parts_of(content: Any) -> Iterator[Part]:
    """What `json_parts` gives of a file with this content."""
    if isinstance(content, list):
        yield from ((LIST, entry) for entry in content)
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, list) and value:
                yield from ((key, entry) for entry in value)
            else:
                yield key, value
