"""Recognises folders by the names of the files in them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable

from jrepose.data.dataset import PoseDataset
from jrepose.data.formats import human36m_sh
from jrepose.data.formats.mpi_inf_3dhp import LABELS, read_mpi_inf_3dhp, source_files
from jrepose.data.formats.videopose3d import read_human36m, read_humaneva
from jrepose.data.inspect import motion, originals
from jrepose.data.inspect.content import Content, of_datasets
from jrepose.data.inspect.numpy_files import stacked_hourglass
from jrepose.data.inspect.outline import names
from jrepose.data.mocap.folder import clip_files
from jrepose.errors import InputError

_POSITIONS = {
    "D3_Positions/*.cdf": ".cdf",
    "D3_Positions/*.cdf.mat": ".cdf.mat",
    "3D_positions/*.h5": ".h5",
}
_DEEPEST = 4


def folder(path: pathlib.Path) -> Content | None:
    """What a folder holds, or None if it is nothing that is supported.

    Raises:
        InputError: it cannot be read, or what it holds is damaged.
    """
    recognisers = (
        _stacked_hourglass, _human36m, _humaneva, _mpi_inf_3dhp, _original_positions, _clips
    )  # fmt: skip
    try:
        return next(filter(None, (recognise(path) for recognise in recognisers)), None)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _stacked_hourglass(path: pathlib.Path) -> Content | None:
    return stacked_hourglass(path) if (path / human36m_sh.FILE_NAME).is_file() else None


def _human36m(path: pathlib.Path) -> Content | None:
    return _videopose3d(path, "Human3.6M", "h36m", "human36m", read_human36m)


def _humaneva(path: pathlib.Path) -> Content | None:
    return _videopose3d(path, "HumanEva-I", "humaneva15", "humaneva", read_humaneva)


def _videopose3d(
    path: pathlib.Path, title: str, stem: str, source: str, read: Callable[..., PoseDataset]
) -> Content | None:
    files = sorted(file.name for file in path.glob(f"data_2d_{stem}_*.npz"))
    if not files or not (path / f"data_3d_{stem}.npz").is_file():
        return None
    detections = [name.removeprefix(f"data_2d_{stem}_").removesuffix(".npz") for name in files]
    use = [f"--config.data.source={source} --config.data.path={path}"]
    if len(detections) > 1:
        use.append(f"--config.data.detections=NAME chooses: {names(detections, most=20)}")
    return of_datasets(
        f"{title} in the layout of VideoPose3D, here with {files[0]}",
        {"": read(path, detections[0])},
        [f"data_3d_{stem}.npz", *files],
        use,
    )


def _mpi_inf_3dhp(path: pathlib.Path) -> Content | None:
    for label in LABELS:
        try:
            files = source_files(path, label)
        except InputError:  # nothing of that label
            continue
        present = [str(file.relative_to(path)) for split in files.values() for file in split]
        return of_datasets(
            f"MPI-INF-3DHP, {label}",
            read_mpi_inf_3dhp(path, label),
            present,
            [
                f"--config.data.source=mpi_inf_3dhp --config.data.path={path} "
                f"--config.data.label={label}"
            ],
        )
    return None


def _original_positions(path: pathlib.Path) -> Content | None:
    for pattern, suffix in _POSITIONS.items():
        files = [file for depth in range(_DEEPEST) for file in path.glob("*/" * depth + pattern)]
        if files:
            first = min(files)
            content = originals.positions(first, suffix)
            return dataclasses.replace(
                content,
                format=f"original positions of Human3.6M, {len(files)} recordings; here {first}",
                use=[f"python -m jrepose.data.prepare human36m --source {path} --out FOLDER"],
            )
    return None


def _clips(path: pathlib.Path) -> Content | None:
    files = clip_files(path)
    if not files:
        return None
    first = files[0]
    is_bvh = first.name.lower().endswith((".bvh", ".bvh.gz"))
    content = (motion.bvh_motion if is_bvh else motion.amc_motion)(first)
    kinds = Counter(file.name.partition(".")[2].lower() for file in files)
    found = ", ".join(f"{count} .{kind}" for kind, count in sorted(kinds.items()))
    return dataclasses.replace(
        content,
        format=f"motion capture, {found} files; here {first}",
        use=[f"--config.data.source=mocap --config.data.path={path}"],
    )
