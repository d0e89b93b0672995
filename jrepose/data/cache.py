"""Benchmark files are parsed once: the datasets are kept as memory-mapped arrays.

An entry is found by the content of the source files and the options of the reader, and used
only if the readers' own code has not changed since and every byte of it is as it was written:
all of it is read and summed at each start.  It is safe to delete the folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jrepose.data.dataset import PoseDataset, Video
from jrepose.disk import sole_writer
from jrepose.errors import InputError
from jrepose.skeleton import SKELETONS, Skeleton

_LOG = logging.getLogger(__name__)

Datasets = dict[str, PoseDataset]

# Of a sum: 1 MiB at a time, in rows of 4 KiB.
_BLOCK, _ROW = 2**20, 2**12

# After which an unfinished entry that nobody has locked was left by a killed process.
_ABANDONED_AFTER_S = 60.0


def default_folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/jrepose`, by default `~/.cache/jrepose`."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "jrepose"


def cached(
    files: Sequence[pathlib.Path],
    options: Mapping[str, Any],
    read: Callable[[], Datasets],
    folder: pathlib.Path | None,
) -> Datasets:
    """What `read` returns, from the cache if it has been read before.

    Args:
        files: everything that `read` reads.
        options: what else its result depends on, plain values.
        read: parses the files.
        folder: of all entries; None neither looks nor writes.

    Returns:
        Named datasets; from the cache their arrays are memory-mapped and read-only.  Where the
        cache cannot be written the result stays in memory, with a warning.

    Raises:
        InputError: a file cannot be read.
    """
    if folder is None:
        return read()
    entry = folder / _content_key(files, options)
    found = _load(entry)
    if found is not None:
        _LOG.info("read from the cache: %s", entry)
        return found
    datasets = read()
    try:
        _store(datasets, entry)
    except (OSError, InputError) as error:
        _LOG.warning("cannot write the cache %s: %s", entry, getattr(error, "strerror", 0) or error)
        return datasets
    return _load(entry) or datasets


def _content_key(files: Sequence[pathlib.Path], options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in files:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from None
        # Names matter too: readers tell subjects and sequences apart by their folders.
        digest.update(f"\n{'/'.join(path.parts[-3:])} {content}".encode())
    return digest.hexdigest()[:32]


def _code_key() -> str:
    """Of the code whose results are kept, and of the calibrations beside it."""
    package = pathlib.Path(__file__).parent.parent
    patterns = (
        "data/**/*.py",
        "data/formats/*.json",
        "restricted_pickle/*.py",
        "skeleton.py",
        "camera.py",
    )
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in package.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _store(datasets: Datasets, entry: pathlib.Path) -> None:
    """Writes an entry beside its place and moves it there when it is whole."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(entry.parent)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        with sole_writer(temporary):
            described = {}
            for name, dataset in datasets.items():
                for field, array in dataset.arrays().items():
                    np.save(temporary / f"{name}.{field}.npy", np.ascontiguousarray(array))
                described[name] = {
                    "arrays": list(dataset.arrays()),
                    "videos": [list(dataclasses.astuple(video)) for video in dataset.videos],
                    "skeleton": _describe(dataset.skeleton),
                    "keypoint_skeleton": _describe(dataset.keypoint_skeleton),
                    "target_space": dataset.target_space,
                }
            sums = {path.name: _sum(path) for path in sorted(temporary.glob("*.npy"))}
            content = {"code": _code_key(), "datasets": described, "sums": sums}
            content["checksum"] = zlib.crc32(_canonical(content))
            (temporary / "content.json").write_text(json.dumps(content))
            shutil.rmtree(entry, ignore_errors=True)
            try:
                os.rename(temporary, entry)
            except OSError:
                # Another process was faster; its entry is as good as ours.
                if not entry.exists():
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Removes the unfinished entries of killed processes, and no others."""
    for path in folder.glob(".*.*"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                with sole_writer(path):  # not if it is being written
                    shutil.rmtree(path)
                _LOG.info("removed what a killed process left in the cache: %s", path.name)
        except (OSError, InputError):
            continue


def _load(entry: pathlib.Path) -> Datasets | None:
    """An entry, or None if there is none that can be used; damage is told."""
    if not entry.exists():
        return None
    try:
        content = json.loads((entry / "content.json").read_text())
        if content["code"] != _code_key():
            return None
        if content.pop("checksum") != zlib.crc32(_canonical(content)):
            raise ValueError("content.json is not as it was written")
        for name, expected in content["sums"].items():
            if _sum(entry / name) != expected:
                raise ValueError(f"{name} is not as it was written")
        return {
            name: PoseDataset(
                **{
                    field: np.load(entry / f"{name}.{field}.npy", mmap_mode="r")
                    for field in description["arrays"]
                },
                videos=tuple(Video(*_tuples(fields)) for fields in description["videos"]),
                skeleton=_skeleton(description["skeleton"]),
                keypoint_skeleton=_skeleton(description["keypoint_skeleton"]),
                target_space=description["target_space"],
            )
            for name, description in content["datasets"].items()
        }
    except Exception as error:  # damage has no end of forms
        reason = str(error).splitlines()[:1] or [type(error).__name__]
        _LOG.warning("damaged cache %s (%s); the files are read anew", entry, reason[0][:200])
        return None


def _sum(path: pathlib.Path) -> list[int]:
    """Size of a file, and the CRC-32 of what its blocks' columns of 64-bit words add up to.

    Any flipped bit changes it, and so do missing, zeroed or exchanged blocks.  Three times as
    fast as a CRC of all bytes.
    """
    block = np.zeros(_BLOCK // 8, np.uint64)
    view, size, checksum = memoryview(block).cast("B"), 0, 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(view):
            view[count:] = bytes(_BLOCK - count)
            size += count
            checksum = zlib.crc32(block.reshape(-1, _ROW // 8).sum(axis=0), checksum)
    return [size, checksum]


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _describe(skeleton: Skeleton) -> dict[str, Any]:
    return {
        field.name: getattr(skeleton, field.name)
        for field in dataclasses.fields(skeleton)
        if field.name != "groups"
    } | {"groups": dict(skeleton.groups)}


def _skeleton(description: dict[str, Any]) -> Skeleton:
    """The skeleton of that description: the one everybody uses where it is the same."""
    groups = {name: _tuples(joints) for name, joints in description["groups"].items()}
    fields = {name: _tuples(value) for name, value in description.items()} | {"groups": groups}
    known = SKELETONS.get(fields["name"])
    return known if known is not None and _describe(known) == fields else Skeleton(**fields)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
