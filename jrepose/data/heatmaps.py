"""A detector's heatmaps: for every video a file that stays on the disk.

`FOLDER/VIDEO.npy` holds `[frames, joints, rows, columns]`, numbers that are larger where the joint
is more likely; what is negative counts as 0, and their sum does not matter.  They cover the whole
image, or of every frame the part that `FOLDER/VIDEO.boxes.npy` tells, `[frames, 4]`: x and y in
pixels of its first and of its last corner.  A `/` in a video's name is a folder.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from jrepose.errors import InputError


@dataclass(frozen=True, eq=False)
class Heatmaps:
    """Heatmaps of all frames of a dataset, read when they are asked for.

    Args:
        folder: of the files.
        files: of every video, memory-mapped.
        starts: first frame of every video.
        boxes_px: part of the image that they cover.
    """

    folder: pathlib.Path
    files: tuple[np.ndarray, ...]
    starts: Int[np.ndarray, " videos"]
    boxes_px: Float32[np.ndarray, "frames 4"]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, joints, rows, columns)."""
        return len(self.boxes_px), *self.files[0].shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """What they are given as, whatever the files have."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.boxes_px)

    def __getitem__(
        self, frames: Int[np.ndarray, "*entries"]
    ) -> Float[np.ndarray, "*entries joints rows columns"]:
        """Those of some frames.

        Raises:
            InputError: one is not finite.
        """
        flat = np.asarray(frames).reshape(-1)
        out = np.empty((len(flat), *self.shape[1:]), np.float32)
        owner = np.searchsorted(self.starts, flat, side="right") - 1
        for video in np.unique(owner):
            here = np.flatnonzero(owner == video)
            out[here] = self.files[video][flat[here] - self.starts[video]]
        bad = ~np.isfinite(out).reshape(len(flat), -1).all(1)
        if bad.any():
            frame = flat[np.flatnonzero(bad)[0]]
            video = int(np.searchsorted(self.starts, frame, side="right") - 1)
            raise InputError(
                f"{self.files[video].filename}: the heatmaps of frame "
                f"{int(frame - self.starts[video])} are not finite"
            )
        return out.reshape(*np.shape(frames), *self.shape[1:])

    def fingerprint(self) -> bytes:
        """Of sizes, boxes and of every video's first frame."""
        digest = hashlib.sha256(repr(self.shape).encode())
        digest.update(np.ascontiguousarray(self.boxes_px).view(np.uint8))
        for file in self.files:
            digest.update(np.ascontiguousarray(file[0]).view(np.uint8))
        return digest.digest()


def open_heatmaps(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    sizes: Sequence[tuple[int, int, int]],
    joints: int,
) -> Heatmaps:
    """The heatmaps of some videos.

    Args:
        folder: of the files.
        names: of the videos.
        sizes: frames, and width and height in pixels, of each.
        joints: how many there must be.

    Raises:
        InputError: a file is absent, is no array of numbers, or has other frames, joints, rows or
            columns.
    """
    folder = pathlib.Path(folder)
    files, boxes = [], []
    for name, (frames, width, height) in zip(names, sizes, strict=True):
        place = pathlib.PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise InputError(f"config.data.heatmaps: video {name!r} is no name of a file")
        path = folder / f"{name}.npy"
        maps = _mapped(path)
        if maps.ndim != 4 or maps.shape[:2] != (frames, joints) or 0 in maps.shape:
            raise InputError(
                f"{path}: heatmaps {list(maps.shape)}, expected [{frames}, {joints}, rows, columns]"
            )
        if files and maps.shape[2:] != files[0].shape[2:]:
            raise InputError(
                f"{path}: heatmaps of {maps.shape[2]} rows and {maps.shape[3]} columns, those of "
                f"{files[0].filename} have {files[0].shape[2]} and {files[0].shape[3]}"
            )
        files.append(maps)
        of_boxes = folder / f"{name}.boxes.npy"
        if not of_boxes.exists():
            boxes.append(np.tile(np.array([0, 0, width, height], np.float32), (frames, 1)))
            continue
        found = _mapped(of_boxes)
        if found.shape != (frames, 4):
            raise InputError(f"{of_boxes}: boxes {list(found.shape)}, expected [{frames}, 4]")
        found = np.asarray(found, np.float32)
        if not (np.isfinite(found).all() and (found[:, 2:] > found[:, :2]).all()):
            raise InputError(
                f"{of_boxes}: expected finite x, y of a first corner and a larger x, y of a last "
                "one"
            )
        boxes.append(found)
    starts = np.cumsum([0, *(frames for frames, _, _ in sizes)])[:-1]
    return Heatmaps(folder, tuple(files), starts, np.concatenate(boxes))


def _mapped(path: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"config.data.heatmaps: no file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not an array of numbers in NumPy's format ({error})") from None
    if not isinstance(array, np.memmap) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected an array of numbers in NumPy's .npy format")
    return array
