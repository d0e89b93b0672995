"""Crops of images and videos on a disk."""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

from jrepose.data.images.crops import Crops, warp
from jrepose.data.images.decode import is_video, read_image, read_video
from jrepose.errors import InputError, listed

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FileCrops(Crops):
    """Crops of files that stay on the disk.

    Args:
        folder: that the names are relative to.
        names: of the files.
        bytes: of each file.
        file: number of the file of every moment and view; -1 where there is none.
        frame: number of the frame in a video, else -1.
        widths, heights: of the images, px.
        max_pixels: that an image may have.
    """

    folder: pathlib.Path
    names: tuple[str, ...]
    bytes: Int[np.ndarray, " files"]
    file: Int32[np.ndarray, "moments views"]
    frame: Int32[np.ndarray, "moments views"]
    widths: Int32[np.ndarray, "moments views"]
    heights: Int32[np.ndarray, "moments views"]
    max_pixels: float

    @property
    def moments_per_job(self) -> int:
        # A video is decoded from the key frame before: runs are not cut into small pieces.
        return 64 if (self.frame >= 0).any() else 4

    def make(self, sequence: int, view: int, moments: Sequence[int]) -> list[np.ndarray]:
        del sequence
        crops: dict[int, np.ndarray] = {}
        by_file: dict[int, list[int]] = {}
        for moment in moments:
            by_file.setdefault(int(self.file[moment, view]), []).append(moment)
        for file, chosen in by_file.items():
            path = self.folder / self.names[file]
            if self.frame[chosen[0], view] < 0:
                size = int(self.widths[chosen[0], view]), int(self.heights[chosen[0], view])
                image = read_image(path, self.max_pixels, size)
                images: Iterable[np.ndarray] = [image] * len(chosen)
            else:
                chosen.sort(key=lambda moment: self.frame[moment, view])
                frames = self.frame[chosen, view].tolist()
                images = read_video(path, frames, self.max_pixels)
            for moment, image in zip(chosen, images, strict=True):
                crops[moment] = warp(image, self.to_image[moment, view], self.size)
        return [crops[moment] for moment in moments]

    def fingerprint(self) -> bytes:
        """Of names, sizes and which frames, not of every pixel."""
        digest = hashlib.sha256(repr((self.size, self.names)).encode())
        for array in (self.bytes, self.file, self.frame):
            digest.update(np.ascontiguousarray(array).view(np.uint8))
        return digest.digest()


def sizes_of(folder: pathlib.Path, names: Sequence[str]) -> dict[str, int | str]:
    """The bytes of files, or what is wrong with them."""
    found: dict[str, int | str] = {}
    for name in names:
        try:
            found[name] = os.stat(folder / name).st_size
        except OSError as error:
            found[name] = f"cannot read {folder / name}: {error.strerror}"
    return found


def broken_files(
    folder: pathlib.Path,
    sizes: Mapping[str, tuple[int, int]],
    last_frame: Mapping[str, int],
    max_pixels: float,
) -> dict[str, str]:
    """Decodes all files; what is wrong with those that cannot be read.

    Args:
        folder: that the names are relative to.
        sizes: width and height of every file.
        last_frame: of videos, the last frame that is needed.
        max_pixels: that an image may have.
    """
    found = {}
    for name, size in sizes.items():
        try:
            if is_video(name):
                frames = range(last_frame[name] + 1)
                for _ in read_video(folder / name, frames, max_pixels):
                    pass
            else:
                read_image(folder / name, max_pixels, size)
        except InputError as error:
            found[name] = str(error)
    return found


def leave_out(reasons: Mapping[str, str], total: int) -> None:
    """Says which files are left out of how many."""
    if reasons:
        _LOG.warning(
            "%d of %d files cannot be read and are left out: %s",
            len(reasons),
            total,
            listed(list(reasons.values())),
        )
