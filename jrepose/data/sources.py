"""From a config to the train, validation and test datasets."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ml_collections import ConfigDict

from jrepose.config_fields import check_names
from jrepose.data import cache
from jrepose.data.dataset import Dataset, FrameRange, PoseDataset
from jrepose.data.formats.custom import custom_files, read_custom
from jrepose.data.formats.human36m_sh import human36m_sh_file, read_human36m_sh
from jrepose.data.formats.mpi_inf_3dhp import read_mpi_inf_3dhp, source_files
from jrepose.data.formats.videopose3d import (
    human36m_files,
    humaneva_files,
    read_human36m,
    read_humaneva,
)
from jrepose.data.images.crops import Workers
from jrepose.data.images.dataset import ImageDataset
from jrepose.data.images.footage import ImageSettings
from jrepose.data.images.read import read_images
from jrepose.data.images.rendered import render_dataset
from jrepose.data.labels import check_depth_reference
from jrepose.data.mocap.folder import read_mocap
from jrepose.data.mocap.recording import Recording
from jrepose.data.simulation.bodies import performances
from jrepose.data.simulation.capture import capture
from jrepose.data.simulation.procedural import generate_motion
from jrepose.data.simulation.rig import RigConfig
from jrepose.data.simulation.scene import SceneConfig
from jrepose.errors import InputError

_LOG = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"
"""The split whose labels are not looked at; only semi-supervised training has it."""

OF_IMAGES = ("rendered", "images")
"""Sources of an `ImageDataset`; all others are of a `PoseDataset`."""

# Whose motion is filmed by virtual cameras.
_SIMULATED = ("procedural", "mocap")
# Where a split may name no subject: validation takes the end of the training videos, the test
# whoever is in no other split.
_OPTIONAL = dict.fromkeys(("custom", "images"), ("validation", "test"))
_HELD_OUT = 10  # validation takes the last of so many parts
# Published protocols that select the model on the test subjects.
_BENCHMARKS = ("human36m_sh", "human36m", "humaneva", "mpi_inf_3dhp")


@dataclass(frozen=True)
class _Reader:
    """How one kind of file becomes datasets.

    Args:
        files: everything that is read for a config's `data`.
        options: its fields that the result depends on besides.
        read: parses the files; the datasets' names tell them apart and nothing else.
    """

    files: Callable[[ConfigDict], Sequence[pathlib.Path]]
    options: tuple[str, ...]
    read: Callable[[ConfigDict], Mapping[str, PoseDataset]]


def _read_human36m(data: ConfigDict) -> Mapping[str, PoseDataset]:
    image_labels = data.target_space == "image" or data.keypoints == "ground_truth"
    return {"all": read_human36m(data.path, data.detections, image_labels=image_labels)}


def _mpi_inf_3dhp_files(data: ConfigDict) -> list[pathlib.Path]:
    return [file for files in source_files(data.path, data.label).values() for file in files]


_READERS: Mapping[str, _Reader] = {
    "human36m_sh": _Reader(
        lambda data: [human36m_sh_file(data.path)], (), lambda data: read_human36m_sh(data.path)
    ),
    "human36m": _Reader(
        lambda data: human36m_files(data.path, data.detections),
        ("target_space", "keypoints"),
        _read_human36m,
    ),
    "humaneva": _Reader(
        lambda data: humaneva_files(data.path, data.detections),
        (),
        lambda data: {"all": read_humaneva(data.path, data.detections)},
    ),
    "mpi_inf_3dhp": _Reader(
        _mpi_inf_3dhp_files, ("label",), lambda data: read_mpi_inf_3dhp(data.path, data.label)
    ),
    "custom": _Reader(
        lambda data: custom_files(data.path),
        ("depth_reference",),
        lambda data: {"all": read_custom(data.path, depth_reference=data.depth_reference)},
    ),
}

SOURCES = (*_SIMULATED, *_READERS, *OF_IMAGES)


def load_splits(data: ConfigDict, splits: Sequence[str] = SPLITS) -> dict[str, Dataset]:
    """Loads the named splits: files of a benchmark, motion that is filmed, or images.

    Args:
        data: the config's `data` section.
        splits: which of `SPLITS` and `UNLABELLED` to load.

    Returns:
        One dataset per split.

    Raises:
        InputError: no data found, an unknown source, or a split that is empty or shares a
            subject with another.
    """
    check_split(data)
    if data.source in OF_IMAGES:
        return _load_images(data, splits)
    if data.source in _SIMULATED:
        out = _film(data, splits)
    else:
        parts = _read(data)
        out = {split: _choose(parts, data, split) for split in splits}
    for split, dataset in out.items():
        if data.target_space is not None:
            dataset = dataclasses.replace(dataset, target_space=data.target_space)
        if data.keypoints == "ground_truth":
            dataset = dataset.with_true_keypoints()
        if split == "train" and data.subset < 1:
            dataset = dataset.select(_subset(dataset.videos, data.subset))
        out[split] = dataclasses.replace(dataset, scaling=data.scaling)
        if data.heatmaps is not None:
            out[split] = out[split].with_heatmaps(data.heatmaps)
        _LOG.info("%s: %s", split, describe(dataset))
    return out


def _load_images(data: ConfigDict, splits: Sequence[str]) -> dict[str, Dataset]:
    """The splits of images, without what is done to keypoints and poses."""
    plain = {"target_space": None, "keypoints": "detected", "heatmaps": None, "scaling": "screen"}
    for field, value in plain.items():
        if data[field] != value:
            raise InputError(
                f"config.data.{field} is {data[field]!r}, and images have none; expected {value!r}"
            )
    read = _read_images if data.source == "images" else _render
    out = read(data, splits)
    for split in splits:
        if split in ("train", "validation") and not out[split].labelled:
            raise InputError(
                f"config.data.split.{split}: no image of {data.path} has keypoints, to learn from "
                "or to compare with"
            )
        if split == "train" and data.subset < 1:
            out[split] = out[split].select(_subset(out[split].videos, data.subset))
        _LOG.info("%s: %s", split, describe(out[split]))
    return out


def _render(data: ConfigDict, splits: Sequence[str]) -> dict[str, ImageDataset]:
    """Motion in rendered rooms."""
    return {
        split: render_dataset(
            recordings,
            rig=RigConfig.from_mapping(data.rig.to_dict()),
            scene=SceneConfig.from_mapping(data.scene.to_dict()),
            seed=data.seed,
            size=data.images.size,
            padding=data.images.padding,
            workers=Workers(data.images.workers, data.images.processes),
        )
        for split, recordings in _recordings(data, splits).items()
    }


def _read_images(data: ConfigDict, splits: Sequence[str]) -> dict[str, ImageDataset]:
    """Images and videos on a disk."""
    if data.path is None:
        raise InputError("config.data.path is not set; expected a folder of images, or their JSON")
    if not pathlib.Path(data.path).exists():
        raise InputError(f"config.data.path: no file or folder {data.path}")
    images = data.images
    settings = ImageSettings(
        size=images.size,
        padding=images.padding,
        cameras=tuple(images.cameras),
        workers=Workers(images.workers, images.processes),
        skip_broken=images.skip_broken,
        max_megapixels=images.max_megapixels,
    )
    parts = {"all": read_images(data.path, settings)}
    return {split: _choose(parts, data, split) for split in splits}


def check_split(data: ConfigDict) -> None:
    """Checks that every split has subjects and that none is in two splits.

    Benchmarks may validate on test subjects, as their published results do.  With one's own data
    validation and test may name nobody.

    Raises:
        InputError: naming the split and the subject, or the unknown source.
    """
    if data.source not in SOURCES:
        raise InputError(
            f"config.data.source is {data.source!r}; expected one of {', '.join(SOURCES)}"
        )
    if data.keypoints not in ("detected", "ground_truth"):
        raise InputError(
            f"config.data.keypoints is {data.keypoints!r}; expected 'detected' or 'ground_truth'"
        )
    check_depth_reference(data.depth_reference)
    check_names(data, "data.")
    if data.source == "procedural" and data.path is not None:
        raise InputError(
            f"config.data.path is {data.path!r}, and config.data.source 'procedural' reads no "
            "file; expected another source, mocap for instance, or no path"
        )
    if data.depth_reference != "frame_root" and data.source in _BENCHMARKS:
        raise InputError(
            f"config.data.depth_reference is {data.depth_reference!r}, and labels of "
            f"config.data.source {data.source!r} are as they are published: expected 'frame_root'"
        )
    if data.heatmaps is not None and data.subset < 1:
        raise InputError(
            "config.data.heatmaps are of whole videos; expected config.data.subset=1.0"
        )
    if data.actions and data.source in (*_SIMULATED, "rendered"):
        raise InputError(
            f"config.data.actions is {data.actions!r}, and motion of config.data.source "
            f"{data.source!r} has no actions to choose from; expected ()"
        )
    owner: dict[str, str] = {}
    for split in (*SPLITS, UNLABELLED):
        optional = (*_OPTIONAL.get(data.source, ()), UNLABELLED)
        if not data.split[split] and split not in optional:
            raise InputError(f"config.data.split.{split} names no subject")
        for subject in data.split[split]:
            pair = (owner.get(subject), split)
            shared = pair == ("validation", "test") and data.source in _BENCHMARKS
            if subject in owner and not shared:
                raise InputError(
                    f"config.data.split: subject {subject} is in {owner[subject]} and {split}; "
                    "a subject belongs to one split"
                )
            owner[subject] = split


def describe(dataset: Dataset) -> str:
    """One line: subjects, videos, frames."""
    subjects = sorted({video.subject for video in dataset.videos})
    return (
        f"{dataset.frames} frames in {len(dataset.videos)} videos of subjects {', '.join(subjects)}"
    )


def _read(data: ConfigDict) -> Mapping[str, PoseDataset]:
    """The datasets of a file reader, from the cache where they have been read before."""
    if data.path is None:
        raise InputError(f"config.data.path is not set; {data.source} reads a file or folder")
    if not pathlib.Path(data.path).exists():
        raise InputError(f"config.data.path: no file or folder {data.path}")
    reader = _READERS[data.source]
    options = {"source": data.source} | {name: data[name] for name in reader.options}
    folder = {None: cache.default_folder(), "": None}.get(data.cache, data.cache)
    folder = None if folder is None else pathlib.Path(folder)
    return cache.cached(reader.files(data), options, lambda: dict(reader.read(data)), folder)


def _choose(parts: Mapping[str, Dataset], data: ConfigDict, split: str) -> Dataset:
    """The videos of a split's subjects and of the wanted actions."""
    subjects, actions = data.split[split], tuple(data.actions)
    held_out = split in ("train", "validation") and not data.split.validation
    if not subjects and split == "validation":
        subjects = data.split.train
    if not subjects:
        others = {*data.split.train, *data.split.validation}
        everybody = sorted({video.subject for part in parts.values() for video in part.videos})
        subjects = tuple(subject for subject in everybody if subject not in others)
        if not subjects:
            raise InputError(
                f"config.data.split.{split} names no subject, and {data.path} has none besides "
                + ", ".join(sorted(others))
            )
    owners = [part for part in parts.values() if {v.subject for v in part.videos} & set(subjects)]
    present = {video.subject for part in parts.values() for video in part.videos}
    missing = [subject for subject in subjects if subject not in present]
    if missing:
        raise InputError(
            f"config.data.split.{split}: no subject {', '.join(missing)} in {data.path}; "
            f"it has {', '.join(sorted(present))}"
        )
    if len(owners) > 1:
        raise InputError(
            f"config.data.split.{split}: its subjects come from different parts of {data.path}, "
            "which do not have the same labels"
        )
    (part,) = owners
    chosen = [video for video in part.videos if video.subject in subjects]
    if actions:
        chosen = [video for video in chosen if video.action.startswith(actions)]
    if not chosen:
        raise InputError(
            f"config.data.actions: no video of {', '.join(subjects)} has an action that begins "
            f"with {' or '.join(actions)}"
        )
    if held_out:
        chosen = _part_of_videos(chosen, split)
    return part.select(chosen)


def _part_of_videos(videos: Sequence[FrameRange], split: str) -> list[FrameRange]:
    """The last tenth of every video, for validation, or all before it.

    All cameras see the same at the same time, so whole videos would not be apart.
    """
    ends = {video.name: video.stop - video.frames // _HELD_OUT for video in videos}
    if split == "train":
        return [dataclasses.replace(video, stop=ends[video.name]) for video in videos]
    parts = [dataclasses.replace(v, start=ends[v.name]) for v in videos if ends[v.name] < v.stop]
    if not parts:
        raise InputError(
            "config.data.split.validation names no subject, and no training video has the "
            f"{_HELD_OUT} frames of which the last would be held out"
        )
    _LOG.info("no validation subject: the last tenth of every training video is held out")
    return parts


def _subset(videos: Sequence[FrameRange], share: float) -> list[FrameRange]:
    """A run of frames of every video, where in it is drawn from its length (VideoPose3D)."""
    chosen = []
    for video in videos:
        frames = round(video.frames * share)
        drawn = hashlib.sha256(str(video.frames).encode()).digest()[:4]
        place = int.from_bytes(drawn, "little") / (2**32 - 1)
        left = video.frames - frames
        start = video.start + min(int(place * (left + 1)), left)
        if frames:
            chosen.append(dataclasses.replace(video, start=start, stop=start + frames))
    if not chosen:
        raise InputError(f"config.data.subset is {share:g}, which leaves no frame of any video")
    return chosen


def _film(data: ConfigDict, splits: Sequence[str]) -> dict[str, PoseDataset]:
    """Motion in front of virtual cameras."""
    return {
        split: capture(
            recordings,
            rig=data.rig.to_dict(),
            detector=data.detector.to_dict(),
            depth_reference=data.depth_reference,
            seed=data.seed,
            processes=data.processes,
        )
        for split, recordings in _recordings(data, splits).items()
    }


def _recordings(data: ConfigDict, splits: Sequence[str]) -> dict[str, list[Recording]]:
    """The motion of every split, for training in as many performances as are wanted."""
    wanted = sorted({subject for split in splits for subject in data.split[split]})
    recordings = _load_recordings(data, wanted)
    out = {}
    for split in splits:
        chosen = [r for r in recordings if r.subject in data.split[split]]
        present = {recording.subject for recording in chosen}
        missing = [subject for subject in data.split[split] if subject not in present]
        if missing:
            raise InputError(
                f"config.data.split.{split}: no recording of subject {', '.join(missing)} "
                f"in {data.path or data.source}"
            )
        if split == "train":
            chosen += _procedural(data, [f"procedural{k}" for k in range(data.procedural_people)])
            chosen = performances(
                chosen, data.copies, data.body_spread, data.limb_spread_deg, data.seed
            )
        out[split] = chosen
    return out


def _load_recordings(data: ConfigDict, subjects: Sequence[str]) -> list[Recording]:
    if data.source == "procedural" or (data.source == "rendered" and data.path is None):
        return _procedural(data, subjects)
    if data.path is None:
        raise InputError("config.data.path is not set; expected a folder of motion capture")
    return read_mocap(data.path, frame_rate=data.frame_rate, subjects=subjects)


def _procedural(data: ConfigDict, subjects: Sequence[str]) -> list[Recording]:
    if not subjects:
        return []
    return generate_motion(
        subjects, seconds=data.seconds, frame_rate=data.frame_rate, seed=data.seed
    )
