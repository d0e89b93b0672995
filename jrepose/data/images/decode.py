"""Images and videos from anybody's disk as RGB arrays, within limits, errors in one line.

Images through Pillow, videos through PyAV, both in the extra `images`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from jrepose.errors import InputError, MissingExtra
from jrepose.files import check_regular, open_regular
from jrepose.restricted_pickle import reading

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def pillow(purpose: str) -> ModuleType:
    """The module `PIL.Image`.

    Raises:
        MissingExtra: Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("Pillow", purpose, "images") from None
    return Image


def pyav(purpose: str) -> ModuleType:
    """The module `av`.

    Raises:
        MissingExtra: PyAV is missing.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("PyAV (av)", purpose, "images") from None
    return av


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name ends as a video's."""
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def read_image(
    path: str | os.PathLike[str], max_pixels: float, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """An image of 8 bits a channel; transparency is dropped.

    Args:
        path: JPEG, PNG, WebP or BMP.
        max_pixels: that it may have; a larger one is refused before it is decoded.
        size: width and height that it must have; None: any.

    Raises:
        InputError: no such file, damaged, too large, or of another size.
        MissingExtra: Pillow is missing.
    """
    module = pillow(f"reading {path}")
    with reading(str(path), "image"), open_regular(path) as file:
        try:
            image = module.open(file, formats=_FORMATS)
        except module.DecompressionBombError:
            raise InputError(
                f"{path}: more pixels than config.data.images.max_megapixels, {max_pixels / 1e6:g}"
            ) from None
        except module.UnidentifiedImageError:
            raise InputError(f"{path}: no image in one of {', '.join(_FORMATS)}") from None
        with image:
            _check_size(path, image.size, max_pixels, size)
            if image.mode not in _MODES:
                raise InputError(
                    f"{path}: pixels of mode {image.mode}, expected 8 bits for each colour"
                )
            return np.asarray(image.convert("RGB"))


def _check_size(
    path: str | os.PathLike[str],
    found: tuple[int, int],
    max_pixels: float,
    size: tuple[int, int] | None = None,
) -> None:
    if found[0] * found[1] > max_pixels:
        raise InputError(
            f"{path}: {found[0]} x {found[1]} pixels, more than "
            f"config.data.images.max_megapixels, {max_pixels / 1e6:g}"
        )
    if size is not None and tuple(found) != tuple(size):
        raise InputError(
            f"{path}: {found[0]} x {found[1]} pixels, its annotations are for {size[0]} x {size[1]}"
        )


@dataclass(frozen=True)
class VideoIndex:
    """Where a video's frames are.

    Args:
        times: presentation times of all frames, ascending, in the stream's unit.
        width, height: pixels.
        frame_rate: frames per second; 0 where the file does not say.
    """

    times: tuple[int, ...]
    width: int
    height: int
    frame_rate: float


@contextmanager
def _opened(path: str | os.PathLike[str], max_pixels: float) -> Iterator[tuple]:
    av = pyav(f"reading {path}")
    with reading(str(path), "video"):
        check_regular(path)
        try:
            # No other protocol than a file, whatever its name or its content says.
            container = av.open(
                os.fspath(path), options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        except av.error.FFmpegError as error:
            raise InputError(f"{path}: damaged video ({error.strerror})") from None
        with container:
            if not container.streams.video:
                raise InputError(f"{path}: no video in it")
            stream = container.streams.video[0]
            context = stream.codec_context
            _check_size(path, (context.width, context.height), max_pixels)
            context.thread_count = 1  # workers are enough
            yield container, stream


def video_frames(path: str | os.PathLike[str], size: tuple[int, int], max_pixels: float) -> int:
    """How many frames a video has: what its head says, else they are counted.

    Raises:
        InputError: no such file, damaged, too large, or of another size.
        MissingExtra: PyAV is missing.
    """
    with _opened(path, max_pixels) as (_, stream):
        context = stream.codec_context
        _check_size(path, (context.width, context.height), max_pixels, size)
        frames = stream.frames
    return frames or len(video_index(path, max_pixels).times)


def video_index(path: str | os.PathLike[str], max_pixels: float) -> VideoIndex:
    """Reads where a video's frames are, without decoding them; the latest ones are remembered.

    Raises:
        InputError: no such file, damaged, too large, or without frames.
        MissingExtra: PyAV is missing.
    """
    with reading(str(path), "video"):
        modified = os.stat(path).st_mtime_ns
    return _video_index(os.fspath(path), modified, max_pixels)


@functools.lru_cache(maxsize=512)
def _video_index(path: str, modified: int, max_pixels: float) -> VideoIndex:
    del modified
    with _opened(path, max_pixels) as (container, stream):
        times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        if not times:
            raise InputError(f"{path}: a video without frames")
        context = stream.codec_context
        rate = float(stream.average_rate or 0)
        return VideoIndex(tuple(sorted(times)), context.width, context.height, rate)


def read_video(
    path: str | os.PathLike[str], frames: Sequence[int], max_pixels: float
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Some frames of a video, one after another.

    It is decoded from the key frame before the first of them, and a frame at a time is in memory.

    Args:
        path: whatever FFmpeg reads.
        frames: numbers from 0, ascending.
        max_pixels: that a frame may have.

    Raises:
        InputError: no such file or frame, damaged, or too large.
        MissingExtra: PyAV is missing.
    """
    index = video_index(path, max_pixels)
    if frames and frames[-1] >= len(index.times):
        raise InputError(f"{path}: no frame {frames[-1]}, the video has {len(index.times)}")
    wanted = [index.times[frame] for frame in frames]
    with _opened(path, max_pixels) as (container, stream):
        container.seek(wanted[0], stream=stream, backward=True)
        done = 0
        for frame in container.decode(stream):
            if frame.pts == wanted[done]:
                size = frame.width, frame.height
                _check_size(path, size, max_pixels, (index.width, index.height))
                yield frame.to_ndarray(format="rgb24")
                done += 1
                if done == len(wanted):
                    return
        raise InputError(f"{path}: damaged video (frame {frames[done]} cannot be decoded)")
