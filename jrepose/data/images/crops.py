"""Crops around people: boxes, the warp, and crops that are made when they are asked for."""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from jrepose.camera import square_crop
from jrepose.workers import process_pool


def clean_boxes(
    boxes: Float[np.ndarray, "*entries 4"], sizes: Int[np.ndarray, "*#entries 2"]
) -> Float[np.ndarray, "*entries 4"]:
    """Boxes within their image, as the multi-view detector's code cuts them.

    Args:
        boxes: x and y of the corner, width, height, px.
        sizes: width and height of their images.
    """
    low = np.maximum(boxes[..., :2], 0)
    high = np.minimum(sizes - 1, low + np.maximum(boxes[..., 2:] - 1, 0))
    return np.concatenate([low, np.maximum(high - low, 0)], -1)


class Placed(NamedTuple):
    """Where crops are.

    Args:
        to_image: affine maps from crop to image pixels; of empty boxes the identity.
        to_crop: their inverses.
        present: boxes that are not empty.
    """

    to_image: Float32[np.ndarray, "*entries 2 3"]
    to_crop: Float[np.ndarray, "*entries 2 3"]
    present: Bool[np.ndarray, "*entries"]


def place_crops(boxes: Float[np.ndarray, "*entries 4"], padding: float, size: int) -> Placed:
    """The squares around boxes, see `camera.square_crop`."""
    flat = boxes.reshape(-1, 4)
    present = (flat[:, 2:] > 0).all(-1)
    to_image, to_crop = (np.tile(np.eye(2, 3), (len(flat), 1, 1)) for _ in range(2))
    squares = square_crop(flat[present].astype(np.float64), padding=padding, size=size)
    to_image[present], to_crop[present] = squares.to_image, squares.to_crop
    shape = boxes.shape[:-1]
    return Placed(
        to_image.astype(np.float32).reshape(*shape, 2, 3),
        to_crop.reshape(*shape, 2, 3),
        present.reshape(shape),
    )


def warp(
    image: UInt8[np.ndarray, "height width 3"], to_image: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """A crop of an image: bilinear, zero outside of it.

    Args:
        image: RGB.
        to_image: scale and shift from the crop's pixels to the image's.
        size: pixels of the crop's side.
    """
    places = np.arange(size)
    y = _taps(to_image[1, 1] * places + to_image[1, 2], image.shape[0])
    x = _taps(to_image[0, 0] * places + to_image[0, 2], image.shape[1])
    # Rows first, of the columns that are needed.
    first, last = x.index.min(), x.index.max() + 1
    part = image[:, first:last]
    rows = sum(y.weight[k, :, None, None] * part[y.index[k]] for k in range(2))
    crop = sum(x.weight[k, :, None] * rows[:, x.index[k] - first] for k in range(2))
    return np.rint(crop).astype(np.uint8)


class _Taps(NamedTuple):
    """The two neighbours of places along an axis, and their weights, 0 outside."""

    index: Int[np.ndarray, "2 places"]
    weight: Float32[np.ndarray, "2 places"]


def _taps(places: Float[np.ndarray, " places"], length: int) -> _Taps:
    low = np.floor(places).astype(np.int64)
    index = np.stack([low, low + 1])
    weight = np.stack([1 - (places - low), places - low])
    weight[(index < 0) | (index >= length)] = 0
    return _Taps(np.clip(index, 0, length - 1), weight.astype(np.float32))


@dataclass(frozen=True)
class Workers:
    """Who makes crops beside the training step.

    Args:
        count: how many; 0: one for each core.
        processes: processes in place of threads; each of them gets a copy of what the crops are
            made from.
    """

    count: int = 0
    processes: bool = False

    @property
    def number(self) -> int:
        return self.count or os.cpu_count() or 1


class _Job(NamedTuple):
    """Crops of one view at some moments, in their order."""

    sequence: int
    view: int
    moments: Int[np.ndarray, " moments"]


@dataclass(frozen=True, eq=False)
class Crops(ABC):
    """Crops of all moments, made by workers when they are asked for.

    Equal moments of a request are made once.  Nothing is kept: memory is that of the answer and
    of an image for each worker.

    Args:
        starts: first moment of every sequence.
        to_image: affine maps from crop to image pixels.
        views_seen: which there are; the others are black.
        size: pixels of a crop's side.
        workers: who makes them.
    """

    starts: Int[np.ndarray, " sequences"]
    to_image: Float32[np.ndarray, "moments views 2 3"]
    views_seen: Bool[np.ndarray, "moments views"]
    size: int
    workers: Workers

    moments_per_job = 4

    @abstractmethod
    def make(self, sequence: int, view: int, moments: Sequence[int]) -> Sequence[np.ndarray]:
        """Crops of one view of one sequence at some of the dataset's moments, in their order."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """A few bytes that tell the images apart from others."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(moments, views, rows, columns, 3)."""
        return *self.views_seen.shape, self.size, self.size, 3

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.views_seen)

    def __getitem__(
        self, moments: Int[np.ndarray, "*entries"]
    ) -> UInt8[np.ndarray, "*entries views height width 3"]:
        """Those of some moments.

        Raises:
            InputError: an image cannot be read.
        """
        wanted, places = np.unique(np.asarray(moments), return_inverse=True)
        made = np.zeros((len(wanted), *self.shape[1:]), np.uint8)
        jobs = self._jobs(wanted)
        pool = _pool(self)
        results = [pool.submit(_made, None if self.workers.processes else self, j) for j in jobs]
        try:
            for job, result in zip(jobs, results, strict=True):
                made[np.searchsorted(wanted, job.moments), job.view] = result.result()
        finally:
            for result in results:
                result.cancel()
        return made[places.reshape(np.shape(moments))]

    def _jobs(self, wanted: Int[np.ndarray, " wanted"]) -> list[_Job]:
        owner = np.searchsorted(self.starts, wanted, side="right") - 1
        jobs = []
        for sequence in np.unique(owner):
            here = wanted[owner == sequence]
            for view in range(self.views_seen.shape[1]):
                seen = here[self.views_seen[here, view]]
                for first in range(0, len(seen), self.moments_per_job):
                    part = seen[first : first + self.moments_per_job]
                    jobs.append(_Job(int(sequence), view, part))
        return jobs


def _made(source: Crops | None, job: _Job) -> np.ndarray:
    source = _source if source is None else source
    return np.stack(source.make(job.sequence, job.view, job.moments.tolist()))


def _pool(source: Crops) -> Executor:
    """The workers: threads are shared, processes are the source's own."""
    workers = source.workers
    return _processes(source) if workers.processes else _threads(workers.number)


@functools.cache
def _threads(number: int) -> Executor:
    return ThreadPoolExecutor(number, thread_name_prefix="images")


@functools.lru_cache(maxsize=4)
def _processes(source: Crops) -> Executor:
    return process_pool(source.workers.number, _begin, source)


_source: Crops | None = None  # in a worker process: what it makes crops from


def _begin(source: Crops) -> None:
    global _source
    _source = source
