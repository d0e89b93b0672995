"""Writers of motion, a file per format, found by the suffix of a path.

A format's module has `write(motion, path, name, **options)` where its file holds one person, or
`write_all(motions, path, name, **options)` where it holds several: `path` is a temporary one,
`name` that which the file will have.  `check()`, if there is one, says whether what it needs is
installed.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pathlib
import re
import types
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from jrepose.command import nearest
from jrepose.errors import InputError
from jrepose.files import atomic_path, check_replaceable
from jrepose.motion.motion import Motion

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".bvh": "bvh",
        ".trc": "trc",
        ".c3d": "c3d",
        ".json": "json",
        ".npz": "npz",
        ".csv": "csv",
        ".html": "html",
        ".htm": "html",
        ".mp4": "video",
        ".gif": "video",
    }
)
"""Suffix -> module of this folder that writes it."""


def check_output(path: str | os.PathLike[str]) -> types.ModuleType:
    """The module that writes a path's format, before anything is computed for it.

    Raises:
        InputError: no such format, a folder has that name, or a package is missing.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        hint = nearest(suffix, list(FORMATS)) or f"; it writes {', '.join(FORMATS)}"
        raise InputError(f"{path}: jrepose does not write {suffix or 'files without suffix'}{hint}")
    check_replaceable(path)
    module = importlib.import_module(f"{__name__}.{FORMATS[suffix]}")
    if hasattr(module, "check"):
        module.check()
    return module


def write_motions(
    path: str | os.PathLike[str], motions: Sequence[Motion], **options: str | float | bool
) -> list[pathlib.Path]:
    """What `jrepose.motion.motion.save_motions` does."""
    path = pathlib.Path(path)
    module = check_output(path)
    if not motions:
        raise InputError(f"{path}: nobody to write")
    names = [_file_name(motion.person) for motion in motions]
    if len(set(names)) != len(names):
        raise InputError(f"{path}: two people of one name among {', '.join(names)}")
    if hasattr(module, "write_all"):
        _check_options(path, module.write_all, options)
        with atomic_path(path) as temporary:
            module.write_all(motions, temporary, path.name, **options)
        return [path]
    _check_options(path, module.write, options)
    paths = (
        [path]
        if len(motions) == 1
        else [path.with_name(f"{path.stem}_{name}{path.suffix}") for name in names]
    )
    with contextlib.ExitStack() as files:
        for motion, target in zip(motions, paths, strict=True):
            temporary = files.enter_context(atomic_path(target))
            module.write(motion, temporary, target.name, **options)
    return paths


def _file_name(person: str) -> str:
    return re.sub(r"[^\w-]+", "_", person) or "_"


def _check_options(path: pathlib.Path, write: Callable, options: Mapping[str, object]) -> None:
    known = list(inspect.signature(write).parameters)[3:]
    for name in options:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"{path}: no option {name!r} of {path.suffix} files; {has}")
