"""From a config to the train, validation and test datasets."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ml_collections import ConfigDict

from jrepose.data.capture import capture
from jrepose.data.dataset import PoseDataset
from jrepose.data.mocap import read_mocap
from jrepose.data.procedural import generate_motion
from jrepose.data.recording import Recording
from jrepose.errors import InputError

_LOG = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


def load_splits(data: ConfigDict, splits: Sequence[str] = SPLITS) -> dict[str, PoseDataset]:
    """Loads or generates the motion of the named splits and films it.

    Args:
        data: the config's `data` section.
        splits: which of `"train"`, `"validation"`, `"test"` to load.

    Returns:
        One dataset per split; no subject is in two of them.

    Raises:
        InputError: no data found, an unknown source, or a split that is empty or shares a
            subject with another.
    """
    check_split(data)
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
        out[split] = capture(
            chosen,
            rig=data.rig.to_dict(),
            detector=data.detector.to_dict(),
            depth_reference=data.depth_reference,
            seed=data.seed,
        )
        _LOG.info("%s: %s", split, describe(out[split]))
    return out


def check_split(data: ConfigDict) -> None:
    """Checks that every split has subjects and that none is in two splits.

    Raises:
        InputError: naming the split and the subject.
    """
    owner: dict[str, str] = {}
    for split in SPLITS:
        if not data.split[split]:
            raise InputError(f"config.data.split.{split} names no subject")
        for subject in data.split[split]:
            if subject in owner:
                raise InputError(
                    f"config.data.split: subject {subject} is in {owner[subject]} and {split}; "
                    "a subject belongs to one split"
                )
            owner[subject] = split


def describe(dataset: PoseDataset) -> str:
    """One line: subjects, videos, frames."""
    subjects = sorted({video.subject for video in dataset.videos})
    return (
        f"{dataset.frames} frames in {len(dataset.videos)} videos of subjects {', '.join(subjects)}"
    )


def _load_recordings(data: ConfigDict, subjects: Sequence[str]) -> list[Recording]:
    if data.source == "mocap":
        if data.path is None:
            raise InputError("config.data.path is not set; expected a folder of motion capture")
        return read_mocap(data.path, frame_rate=data.frame_rate, subjects=subjects)
    if data.source == "procedural":
        return generate_motion(
            subjects, seconds=data.seconds, frame_rate=data.frame_rate, seed=data.seed
        )
    raise InputError(f"config.data.source is {data.source!r}; expected 'mocap' or 'procedural'")
