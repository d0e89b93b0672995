"""Real motion capture: a folder of clips as Human3.6M-17 recordings.

Reads ASF/AMC and BVH, repairs what is known to be wrong in them, settles unit, axes and floor by
what a body looks like, and resamples.  What each step does: `docs/mocap.md`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from jrepose.data.mocap import asf_amc, body, bvh, cmu, joint_names
from jrepose.data.mocap.asf_amc import AsfSkeleton
from jrepose.data.mocap.conversions import with_thorax, without_added_pose
from jrepose.data.mocap.glitches import bridge, find_glitches, find_untracked
from jrepose.data.mocap.index import Entry, read_index
from jrepose.data.mocap.motion_text import decoded
from jrepose.data.mocap.recording import Recording
from jrepose.data.mocap.resampling import resample
from jrepose.errors import InputError, listed
from jrepose.skeleton import HUMAN36M_17

_log = logging.getLogger(__name__)

_FORMATS = (".amc", ".amc.gz", ".bvh", ".bvh.gz")  # the first that holds a clip is read
_SKELETONS = (".asf", ".asf.gz")
_FRAME_RATES = (10.0, 1000.0)


@dataclass(frozen=True)
class _Clip:
    name: str
    subject: str
    path: Path
    copies: tuple[Path, ...]  # the same clip in other formats or folders, not read
    aliases: frozenset[str]  # what the user may call it in `index.csv`
    entry: Entry = Entry()

    @property
    def is_bvh(self) -> bool:
        return _ending(self.path.name, _FORMATS).startswith(".bvh")


@dataclass(frozen=True)
class _Take:
    """One clip as its file has it, in millimetres."""

    positions_mm: Float[np.ndarray, "frames 17 3"]
    rest_mm: Float[np.ndarray, "17 3"]  # with every rotation zero
    root_offset_mm: Float[np.ndarray, " 3"]  # where the root rests, not in the positions
    values: Float[np.ndarray, "frames values"]
    frame_rate: float
    mm_per_unit: float
    assumed: list[str]


@dataclass
class _Notes:
    """What was assumed about clips: a line for all of which the same was."""

    clips: dict[tuple[int, str], list[str]] = field(default_factory=dict)

    def add(self, clip: _Clip, level: int, texts: Iterable[str]) -> None:
        for text in texts:
            self.clips.setdefault((level, text), []).append(clip.name)

    def report(self) -> None:
        for (level, text), names in self.clips.items():
            count = (
                f"clip {names[0]}" if len(names) == 1 else f"{len(names)} clips ({listed(names)})"
            )
            _log.log(level, "%s: %s", count, text)


def read_mocap(
    path: str | os.PathLike,
    frame_rate: float = 50.0,
    subjects: Sequence[str] | None = None,
    fallback_asf: str | os.PathLike | None = None,
) -> list[Recording]:
    """All clips below a folder, mapped to Human3.6M's 17 joints, repaired and resampled.

    Clips are `*.amc` with an `.asf`, and `*.bvh` with joint names of usual programs
    (`joint_names`) or of a `joints.json`, each also `.gz`, in any folder structure.  A CMU name
    (`02_01.amc`) gives subject and clip; other clips belong to the subject their folder is named
    after.  A clip present in several formats is read once.  An `index.csv` in `path` states
    what files do not: `clip,action,frame_rate,unit,up,skip`.  What neither states and the body
    has to tell is logged, a line for all clips of which the same was assumed.

    Args:
        path: folder to search.
        frame_rate: of the recordings, frames per second.
        subjects: read only these; None reads all.
        fallback_asf: skeleton for AMC clips whose subject has no ASF file.  Default:
            `35.asf` where found, else the first ASF file.

    Returns:
        Recordings sorted by subject, then name; world millimetres, z up, floor near z = 0,
        float32.  `valid` is False where a capture glitch was interpolated, and where most of
        the body was not tracked.

    Raises:
        InputError: nothing found, an unknown subject, a malformed file (names the line), or
            one whose unit, rate or orientation cannot be a person's.
    """
    path = Path(path)
    files = list(_find_files(path))
    clips = _find_clips(files)
    if not clips:
        raise InputError(
            f"no motion capture found in {path}: expected SUBJECT/*.amc[.gz] with an .asf, or *.bvh"
        )
    index = read_index(path)
    clips = [dataclasses.replace(clip, entry=index.entry(clip.aliases)) for clip in clips]
    for line in index.complaints():
        _log.warning("%s", line)
    clips = [clip for clip in clips if not clip.entry.skip]
    if not clips:
        raise InputError(f"{index.path}: every clip of {path} is to be skipped")
    if subjects is not None:
        known = sorted({clip.subject for clip in clips})
        for subject in subjects:
            if subject not in known:
                raise InputError(
                    f"no motion capture of subject {subject!r} in {path}: found {', '.join(known)}"
                )
        clips = [clip for clip in clips if clip.subject in subjects]
    skeletons = _Skeletons(files, fallback_asf)
    names = _Names(path)
    notes = _Notes()
    recordings = []
    for clip in tqdm(clips, desc="motion capture", unit="clip", disable=None, leave=False):
        recordings.append(_read_clip(clip, skeletons, names, frame_rate, notes)[0])
    for clip in clips:
        for other in clip.copies:
            _log.warning("clip %s: read from %s, not from %s", clip.name, clip.path, other)
    skeletons.report()
    notes.report()
    return recordings


def clip_files(path: str | os.PathLike) -> list[Path]:
    """The files of the clips that `read_mocap` finds below a folder."""
    return [clip.path for clip in _find_clips(list(_find_files(Path(path))))]


def describe_clip(path: str | os.PathLike) -> tuple[str, list[str]]:
    """What `read_mocap` makes of one clip among the skeletons beside it.

    Returns:
        The file's axis that points up, and lines: unit, axis, rate and what was assumed, or why
        it is refused.
    """
    path = Path(path)
    files = [file for file in _find_files(path.parent) if file.path.parent == path.parent]
    clips = [clip for clip in _find_clips(files) if path in (clip.path, *clip.copies)]
    if not clips:
        return "y", [f"as data: refused, its name does not end in {', '.join(_FORMATS)}"]
    index = read_index(path.parent)
    clip = dataclasses.replace(clips[0], path=path, entry=index.entry(clips[0].aliases))
    notes = _Notes()
    try:
        up = _read_clip(clip, _Skeletons(files, None), _Names(path.parent), 50.0, notes)[1]
    except InputError as error:
        # The picture is of this file: its folder is not repeated.
        return "y", [f"as data: refused, {str(error).replace(f'{path.parent}/', '')}"]
    return up, [f"as data: {text}" for _, text in sorted(notes.clips)]


@dataclass(frozen=True)
class _File:
    """A file, and its place below the folder as the names in it spell it."""

    path: Path
    place: PurePosixPath


def _find_files(top: Path) -> Iterator[_File]:
    """Motion files and skeletons; what systems and archives leave beside them is passed over.

    Backslashes are folders: programs that unpack archives of Windows may keep them in names.
    """
    if not top.is_dir():
        return
    name = top.resolve().name
    for file in sorted(top.rglob("*")):
        parts = str(file.relative_to(top)).replace("\\", "/").split("/")
        if not _ending(parts[-1], (*_FORMATS, *_SKELETONS)) or file.is_dir():
            continue
        if any(part.startswith(".") or part.upper() == "__MACOSX" for part in parts):
            continue
        parts = [decoded(os.fsencode(part)) for part in (name, *parts)]
        if not all(part.isprintable() for part in parts):
            raise InputError(f"{file}: a control character in the name")
        yield _File(file, PurePosixPath(*parts))


def _ending(name: str, endings: Sequence[str]) -> str:
    name = name.lower()
    return max((ending for ending in endings if name.endswith(ending)), key=len, default="")


def _find_clips(files: Sequence[_File]) -> list[_Clip]:
    """One clip per name, in the preferred format."""
    found: dict[tuple[str, str], list[_File]] = {}
    for file in files:
        ending = _ending(file.path.name, _FORMATS)
        if not ending:
            continue
        stem = file.place.name[: -len(ending)]
        cmu_name = re.fullmatch(r"(\d+)_\d+", stem)
        subject = cmu_name.group(1) if cmu_name else file.place.parent.name
        name = stem if stem.startswith(f"{subject}_") else f"{subject}_{stem}"
        found.setdefault((subject, name), []).append(file)
    clips = []
    for (subject, name), copies in sorted(found.items()):
        copies.sort(key=lambda file: _FORMATS.index(_ending(file.path.name, _FORMATS)))
        aliases = {name}
        for file in copies:
            below = PurePosixPath(*file.place.parts[1:])
            for whole in (file.place.name, str(below)):
                aliases |= {whole, whole[: -len(_ending(whole, _FORMATS))]}
        paths = [file.path for file in copies]
        clips.append(_Clip(name, subject, paths[0], tuple(paths[1:]), frozenset(aliases)))
    return clips


class _Names:
    """The user's `joints.json` files, read when a clip lies below one."""

    def __init__(self, top: Path):
        self.top = top
        self.read: dict[Path, dict[str, str]] = {}

    def of(self, clip: Path, index: Mapping[str, int]) -> dict[str, str] | None:
        """Human3.6M joint -> file's joint as the user states them, or None."""
        file = joint_names.names_file(clip, self.top)
        if file is None:
            return None
        if file not in self.read:
            self.read[file] = joint_names.read_names(file)
        for name in self.read[file].values():
            if name not in index:
                raise InputError(f"{clip}: no joint {name!r}, which {file} names")
        return self.read[file]


class _Skeletons:
    """The ASF files of a folder, read when a clip asks for one."""

    def __init__(self, files: Sequence[_File], fallback: str | os.PathLike | None):
        self.names = {
            file.path: file.place.name[: -len(ending)]
            for file in files
            if (ending := _ending(file.path.name, _SKELETONS))
        }
        self.folders = {file.path: file.place.parent for file in files}
        if fallback is None:
            named = [file for file, name in self.names.items() if name == "35"]
            fallback = next(iter([*named, *self.names]), None)
        self.fallback = None if fallback is None else Path(fallback)
        self.read: dict[Path, AsfSkeleton] = {}
        self.borrowed: dict[str, int] = {}

    def own(self, clip: _Clip) -> AsfSkeleton | None:
        """The skeleton of the clip's own subject."""
        folder = self.folders[clip.path]
        here = [file for file in self.names if self.folders[file] == folder]
        named = [file for file in (*here, *self.names) if self.names[file] == clip.subject]
        # Outside CMU's naming, the one skeleton beside a clip is the clip's.
        beside = here if len(here) == 1 and not clip.subject.isdigit() else []
        file = next(iter(named + beside), None)
        return None if file is None else self._skeleton(file)

    def own_or_borrowed(self, clip: _Clip) -> AsfSkeleton:
        own = self.own(clip)
        if own is not None:
            return own
        if self.fallback is None:
            raise InputError(f"{clip.path}: no .asf of subject {clip.subject} and none to borrow")
        self.borrowed[clip.subject] = self.borrowed.get(clip.subject, 0) + 1
        return self._skeleton(self.fallback)

    def _skeleton(self, file: Path) -> AsfSkeleton:
        if file not in self.read:
            self.read[file] = asf_amc.read_asf(file)
        return self.read[file]

    def report(self) -> None:
        for subject, clips in self.borrowed.items():
            _log.warning(
                "subject %s has no .asf: %d clip(s) played on the skeleton %s",
                subject, clips, self.fallback,
            )  # fmt: skip


def _read_clip(
    clip: _Clip, skeletons: _Skeletons, names: _Names, frame_rate: float, notes: _Notes
) -> tuple[Recording, str]:
    """The clip, and its file's axis that points up."""
    path = str(clip.path)
    with np.errstate(over="ignore", invalid="ignore"):  # `body.unit_of` finds what overflowed
        take = (_bvh_take if clip.is_bvh else _amc_take)(clip, skeletons, names)
    if not _FRAME_RATES[0] <= take.frame_rate <= _FRAME_RATES[1]:
        raise InputError(
            f"{path}: {take.frame_rate:g} frames per second: "
            f"expected {_FRAME_RATES[0]:g} to {_FRAME_RATES[1]:g}; index.csv can state the rate"
        )
    up, up_assumed = body.up_of(path, take.positions_mm, take.rest_mm, clip.entry.up)
    positions = body.z_up(take.positions_mm, up)
    shift, floor_assumed = body.floor_of(positions, body.z_up(take.root_offset_mm, up))
    positions = positions + shift
    odd = body.check_motion(path, positions, take.frame_rate)
    notes.add(clip, logging.WARNING, [*take.assumed, *up_assumed, *floor_assumed, *odd])
    summary = f"1 unit = {take.mm_per_unit:.4g} mm, {up} up, {take.frame_rate:g} frames per second"
    notes.add(clip, logging.INFO, [summary])

    glitch = find_glitches(positions, take.frame_rate)
    untracked = find_untracked(take.values) & ~glitch
    if glitch.any() or untracked.any():
        _log.info(
            "clip %s: of %d frames, %d bridged and %d not tracked",
            clip.name, len(glitch), glitch.sum(), untracked.sum(),
        )  # fmt: skip
    valid = ~(glitch | untracked)
    positions, valid = resample(bridge(positions, glitch), valid, take.frame_rate, frame_rate)
    recording = Recording(
        name=clip.name,
        subject=clip.subject,
        action=clip.entry.action or cmu.ACTIONS.get(clip.name, cmu.UNKNOWN_ACTION),
        frame_rate=float(frame_rate),
        positions_mm=positions.astype(np.float32),
        valid=valid,
    )
    return recording, up


def _amc_take(clip: _Clip, skeletons: _Skeletons, names: _Names) -> _Take:
    skeleton = skeletons.own_or_borrowed(clip)
    motion = asf_amc.read_amc(clip.path, skeleton)
    joints = names.of(clip.path, skeleton.index) or cmu.ASF_JOINTS
    for name in joints.values():
        if name not in skeleton.index:
            raise InputError(f"{skeleton.path}: no joint {name!r}: expected CMU's joint names")
    wanted = [skeleton.index[joints[joint]] for joint in joint_names.NAMED]
    own = skeleton.mm_per_unit
    poses = _human36m(asf_amc.joint_positions(skeleton, motion, wanted)) / own
    rest = asf_amc.AmcMotion(np.zeros((1, skeleton.num_values)), None)
    unit, assumed = body.unit_of(str(clip.path), poses, own, clip.entry.unit)
    return _Take(
        positions_mm=poses * unit,
        rest_mm=_human36m(asf_amc.joint_positions(skeleton, rest, wanted))[0] * (unit / own),
        root_offset_mm=np.zeros(3),
        values=motion.values,
        frame_rate=clip.entry.frame_rate or motion.frame_rate or cmu.FRAME_RATE,
        mm_per_unit=unit,
        assumed=assumed,
    )


def _bvh_take(clip: _Clip, skeletons: _Skeletons, names: _Names) -> _Take:
    path = str(clip.path)
    whole = bvh.read_bvh(clip.path)
    motion, assumed = bvh.settled(whole)
    motion = without_added_pose(motion)
    joints = names.of(clip.path, motion.index)
    if joints is None:
        motion, joints, guessed = joint_names.recognised(motion)
        assumed += guessed
    wanted = [motion.index[joints[joint]] for joint in joint_names.NAMED]
    own = cmu.MM_PER_UNIT if joint_names.is_cmu(motion) else None
    poses = _human36m(bvh.joint_positions(motion, wanted))
    unit, guessed = body.unit_of(path, poses, own, clip.entry.unit)
    repaired = with_thorax(motion, skeletons.own(clip), unit)
    if repaired is not motion:
        poses = _human36m(bvh.joint_positions(repaired, wanted))
    rate, rate_guessed = bvh.frame_rate(motion.frame_time)
    if clip.entry.frame_rate is not None:
        rate, rate_guessed = clip.entry.frame_rate, []
    return _Take(
        positions_mm=poses * unit,
        rest_mm=_human36m(bvh.rest_positions(repaired)[None, wanted])[0] * unit,
        root_offset_mm=(whole.joints[0].offset - motion.joints[0].offset) * unit,
        values=motion.values,
        frame_rate=rate,
        mm_per_unit=unit,
        assumed=[*assumed, *guessed, *rate_guessed],
    )


def _human36m(named: Float[np.ndarray, "frames 16 3"]) -> Float[np.ndarray, "frames 17 3"]:
    """Human3.6M's joints, of which all but the pelvis have a name in the file."""
    poses = np.empty((len(named), HUMAN36M_17.num_joints, 3))
    poses[:, [HUMAN36M_17.index(joint) for joint in joint_names.NAMED]] = named
    hips = [HUMAN36M_17.index("left_hip"), HUMAN36M_17.index("right_hip")]
    poses[:, HUMAN36M_17.root] = poses[:, hips].mean(axis=1)
    return poses
