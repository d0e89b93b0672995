"""Real motion capture: a folder of CMU clips as Human3.6M-17 recordings.

Reads ASF/AMC and BVH, repairs what is known to be wrong in them, and resamples.  What each
step does, and where to get the whole database: `docs/mocap.md`.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from jrepose.data.mocap import asf_amc, bvh, cmu
from jrepose.data.mocap.asf_amc import AsfSkeleton
from jrepose.data.mocap.bvh import BvhMotion
from jrepose.data.mocap.glitches import bridge, find_glitches, find_untracked
from jrepose.data.mocap.motion_text import line_error, read_text
from jrepose.data.mocap.recording import Recording
from jrepose.data.mocap.resampling import resample
from jrepose.errors import InputError
from jrepose.skeleton import HUMAN36M_17

_log = logging.getLogger(__name__)

_FORMATS = (".amc", ".amc.gz", ".bvh")  # the first that holds a clip is read
_LEG_MM = (400.0, 1400.0)  # hip to ankle of anyone from a child to the tallest adult
_REACH_MM = 1e6
_FRAME_RATES = (10.0, 1000.0)


@dataclass(frozen=True)
class _Clip:
    name: str
    subject: str
    path: Path
    copies: tuple[Path, ...]  # the same clip in other formats or folders, not read

    @property
    def is_bvh(self) -> bool:
        return _format(self.path) == ".bvh"


def read_mocap(
    path: str | os.PathLike,
    frame_rate: float = 50.0,
    subjects: Sequence[str] | None = None,
    fallback_asf: str | os.PathLike | None = None,
) -> list[Recording]:
    """All clips below a folder, mapped to Human3.6M's 17 joints, repaired and resampled.

    Clips are `*.amc`, `*.amc.gz` with an `.asf`, and `*.bvh` with the joint names of the
    CMU conversions, in any folder structure.  A CMU name (`02_01.amc`) gives subject and
    clip; other clips belong to the subject their folder is named after.  A clip present in
    several formats is read once.  An `index.csv` in `path` with the columns `clip,action` and
    optionally `frame_rate` (of AMC files) adds to the built-in actions.

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
        InputError: nothing found, an unknown subject, or a malformed file (names the line).
    """
    path = Path(path)
    files = sorted(path.rglob("*")) if path.is_dir() else []
    clips = _find_clips(files)
    if not clips:
        raise InputError(
            f"no motion capture found in {path}: expected SUBJECT/*.amc[.gz] with an .asf, or *.bvh"
        )
    if subjects is not None:
        known = sorted({clip.subject for clip in clips})
        for subject in subjects:
            if subject not in known:
                raise InputError(
                    f"no motion capture of subject {subject!r} in {path}: found {', '.join(known)}"
                )
        clips = [clip for clip in clips if clip.subject in subjects]
    index = _read_index(path / "index.csv")
    skeletons = _Skeletons(files, fallback_asf)
    recordings = []
    for clip in tqdm(clips, desc="motion capture", unit="clip", disable=None, leave=False):
        recordings.append(_read_clip(clip, skeletons, index, frame_rate))
    for clip in clips:
        for other in clip.copies:
            _log.warning("clip %s: read from %s, not from %s", clip.name, clip.path, other)
    skeletons.report()
    return recordings


def _format(path: Path) -> str:
    name = path.name.lower()
    return next((ending for ending in reversed(_FORMATS) if name.endswith(ending)), "")


def _find_clips(files: Sequence[Path]) -> list[_Clip]:
    """One clip per name, in the preferred format."""
    found: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        ending = _format(file)
        if not ending or not file.is_file():
            continue
        stem = file.name[: -len(ending)]
        cmu_name = re.fullmatch(r"(\d+)_\d+", stem)
        subject = cmu_name.group(1) if cmu_name else file.parent.name
        name = stem if stem.startswith(f"{subject}_") else f"{subject}_{stem}"
        found.setdefault((subject, name), []).append(file)
    clips = []
    for (subject, name), copies in sorted(found.items()):
        copies.sort(key=lambda file: _FORMATS.index(_format(file)))
        clips.append(_Clip(name, subject, copies[0], tuple(copies[1:])))
    return clips


def _read_index(path: Path) -> dict[str, dict]:
    """`index.csv`: clip name -> its action and frame rate, as far as given."""
    index: dict[str, dict] = {}
    if not path.is_file():
        return index
    rows = csv.reader(read_text(path).decode("utf-8-sig", "replace").splitlines())
    columns = [name.strip() for name in next(rows, [])]
    if not {"clip", "action"} <= set(columns):
        raise line_error(path, 1, "expected the columns clip,action and optionally frame_rate")
    for row in rows:
        if not row:
            continue
        if len(row) != len(columns):
            raise line_error(
                path, rows.line_num, f"expected {len(columns)} values, found {len(row)}"
            )
        entry = {name: value.strip() for name, value in zip(columns, row, strict=True)}
        if entry.get("frame_rate"):
            try:
                rate = float(entry["frame_rate"])
            except ValueError:
                rate = 0.0
            if not 0 < rate < np.inf:
                raise line_error(path, rows.line_num, "expected a positive frame rate")
            entry["frame_rate"] = rate
        index[entry["clip"]] = entry
    return index


class _Skeletons:
    """The ASF files of a folder, read when a clip asks for one."""

    def __init__(self, files: Sequence[Path], fallback: str | os.PathLike | None):
        self.files = [file for file in files if file.suffix.lower() == ".asf" and file.is_file()]
        if fallback is None:
            named = [file for file in self.files if file.stem == "35"]
            fallback = next(iter(named + self.files), None)
        self.fallback = None if fallback is None else Path(fallback)
        self.read: dict[Path, AsfSkeleton] = {}
        self.borrowed: dict[str, int] = {}

    def own(self, clip: _Clip) -> AsfSkeleton | None:
        """The skeleton of the clip's own subject."""
        here = [file for file in self.files if file.parent == clip.path.parent]
        named = [file for file in here + self.files if file.stem == clip.subject]
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
    clip: _Clip, skeletons: _Skeletons, index: Mapping[str, dict], frame_rate: float
) -> Recording:
    entry = index.get(clip.name, {})
    with np.errstate(over="ignore", invalid="ignore"):  # `_check_size` finds what overflowed
        if clip.is_bvh:
            motion = _without_added_pose(bvh.read_bvh(clip.path))
            positions = _bvh_poses(_with_thorax(motion, skeletons.own(clip)))
            source_rate = _bvh_frame_rate(motion.frame_time)
        else:
            skeleton = skeletons.own_or_borrowed(clip)
            motion = asf_amc.read_amc(clip.path, skeleton)
            positions = _asf_poses(skeleton, motion)
            source_rate = motion.frame_rate or entry.get("frame_rate") or cmu.FRAME_RATE
    _check_size(clip.path, positions)
    if not _FRAME_RATES[0] <= source_rate <= _FRAME_RATES[1]:
        raise InputError(
            f"{clip.path}: {source_rate:g} frames per second: "
            f"expected {_FRAME_RATES[0]:g} to {_FRAME_RATES[1]:g}"
        )
    glitch = find_glitches(positions, source_rate)
    untracked = find_untracked(motion.values) & ~glitch
    if glitch.any() or untracked.any():
        _log.info(
            "clip %s: of %d frames, %d bridged and %d not tracked",
            clip.name, len(glitch), glitch.sum(), untracked.sum(),
        )  # fmt: skip
    valid = ~(glitch | untracked)
    positions, valid = resample(bridge(positions, glitch), valid, source_rate, frame_rate)
    return Recording(
        name=clip.name,
        subject=clip.subject,
        action=entry.get("action") or cmu.ACTIONS.get(clip.name, cmu.UNKNOWN_ACTION),
        frame_rate=float(frame_rate),
        positions_mm=_z_up(positions).astype(np.float32),
        valid=valid,
    )


def _asf_poses(
    skeleton: AsfSkeleton, motion: asf_amc.AmcMotion
) -> Float[np.ndarray, "frames 17 3"]:
    return _human36m(
        skeleton.path, asf_amc.joint_positions(skeleton, motion), skeleton.index, cmu.ASF_JOINTS
    )


def _bvh_poses(motion: BvhMotion) -> Float[np.ndarray, "frames 17 3"]:
    for names in cmu.BVH_JOINTS:
        if set(names.values()) <= motion.index.keys():
            positions = bvh.joint_positions(motion) * cmu.MM_PER_UNIT
            return _human36m(motion.path, positions, motion.index, names)
    raise InputError(
        f"{motion.path}: unknown joint names: expected those of a CMU conversion, such as "
        "LeftUpLeg and LeftLeg, or LeftHip and LeftKnee"
    )


def _human36m(
    path: str,
    positions: Float[np.ndarray, "frames joints 3"],
    index: Mapping[str, int],
    names: Mapping[str, str],
) -> Float[np.ndarray, "frames 17 3"]:
    """Human3.6M's joints, of which all but the pelvis have a name in the file."""
    poses = np.empty((len(positions), HUMAN36M_17.num_joints, 3))
    for joint, name in names.items():
        if name not in index:
            raise InputError(f"{path}: no joint {name!r}: expected CMU's joint names")
        poses[:, HUMAN36M_17.index(joint)] = positions[:, index[name]]
    hips = [HUMAN36M_17.index("left_hip"), HUMAN36M_17.index("right_hip")]
    poses[:, HUMAN36M_17.root] = poses[:, hips].mean(axis=1)
    return poses


def _without_added_pose(motion: BvhMotion) -> BvhMotion:
    """Drops a frame 0 that is the zero pose, put before the captured motion by a converter.

    Told by its rotations: at most one in ten is not exactly zero, where the next frame, being
    captured, has more than half.
    """
    channels = [channel for joint in motion.joints for channel in joint.channels]
    rotations = np.array([channel.endswith("rotation") for channel in channels])
    nonzero = motion.values[:2, rotations] != 0
    if len(nonzero) < 2 or nonzero[0].mean() > 0.1 or nonzero[1].mean() <= 0.5:
        return motion
    _log.info("%s: frame 0, an added zero pose, dropped", motion.path)
    return dataclasses.replace(motion, values=motion.values[1:])


def _with_thorax(motion: BvhMotion, skeleton: AsfSkeleton | None) -> BvhMotion:
    """Restores the thorax segment, whose offset the CMU conversions wrote as zero.

    Its vector is the subject's ASF thorax bone, or without one a second copy of the spine
    segment before it.
    """
    for spine, children in cmu.BVH_THORAX.items():
        if spine not in motion.index or not set(children) <= motion.index.keys():
            continue
        above = [motion.index[child] for child in children]
        if any(motion.joints[joint].offset.any() for joint in above):
            return motion
        thorax = motion.joints[motion.index[spine]].offset
        if skeleton is not None and "thorax" in skeleton.index:
            bone = skeleton.bones[skeleton.index["thorax"]]
            thorax = bone.offset_mm / cmu.MM_PER_UNIT
        joints = list(motion.joints)
        for joint in above:
            joints[joint] = dataclasses.replace(joints[joint], offset=thorax)
        return dataclasses.replace(motion, joints=tuple(joints))
    return motion


def _bvh_frame_rate(frame_time: float) -> float:
    """Frames per second; a whole number where the rounded frame time means one."""
    rate = 1 / frame_time
    return float(round(rate)) if abs(rate - round(rate)) < 1e-4 * rate else rate


def _check_size(path: Path, positions: Float[np.ndarray, "frames 17 3"]) -> None:
    """Other units than CMU's would give giants or dwarfs, without any error."""
    if not np.abs(positions).max() <= _REACH_MM:  # nor where a product overflowed to NaN
        raise InputError(f"{path}: the motion leaves the 1 km around its origin")
    leg = [HUMAN36M_17.index(f"left_{joint}") for joint in ("hip", "knee", "ankle")]
    length = np.linalg.norm(np.diff(positions[0, leg], axis=0), axis=-1).sum()
    if not _LEG_MM[0] <= length <= _LEG_MM[1]:
        raise InputError(
            f"{path}: legs of {length:.0f} mm: expected {_LEG_MM[0]:.0f} to {_LEG_MM[1]:.0f} mm "
            "in CMU's units (1/0.45 inch)"
        )


def _z_up(positions: Float[np.ndarray, "frames joints 3"]) -> Float[np.ndarray, "frames joints 3"]:
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack([x, -z, y], axis=-1)
