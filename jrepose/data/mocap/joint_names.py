"""Which of a file's joints are Human3.6M's: told by words that programs use, or by the user.

Read are the names of the CMU conversions, MotionBuilder, Mixamo, LAFAN1, Xsens MVN, Rokoko, Daz
and Poser, SMPL, Biped and Unreal: with namespaces (`mixamorig:`), prefixes and any spelling of
the sides.  A name counts only where the hierarchy agrees with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jrepose.data.mocap.bvh import BvhJoint, BvhMotion, rest_positions
from jrepose.data.mocap.motion_text import read_text
from jrepose.errors import InputError, listed
from jrepose.skeleton import HUMAN36M_17

FILE_NAME = "joints.json"
"""Beside the clips or in a folder above: `{"left_hip": "name in the files", ...}`."""

NAMED = tuple(name for name in HUMAN36M_17.joint_names if name != "pelvis")
"""The joints that need a name; the pelvis is the midpoint of the hips."""

# The first that a file has is taken: "LeftShoulder" is the collar beside a "LeftArm".
_WORDS: Mapping[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "hip", "leg"),
    "knee": ("knee", "shin", "calf", "lowerleg", "lowleg", "leg"),
    "ankle": ("ankle", "foot"),
    "shoulder": ("upperarm", "uparm", "shldr", "arm", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm"),
    "wrist": ("wrist", "hand"),
}
_SIDED = {word for words in _WORDS.values() for word in words}
_LIMBS = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
_HEAD_TOPS = ("headtopend", "headtop", "headend", "headnub", "headsite", "headtip")
_PREFIX = re.compile(r"^(mixamorig\d*|character\d*|bip(ed)?\d+|biped)(?=.)")
# Of a head without a tip: of the legs' length, as in CMU's skeletons.
_HEAD_LENGTH = 0.12
_SHORTEST_HEAD = 0.03


def is_cmu(motion: BvhMotion) -> bool:
    """Whether the joints are those of a CMU conversion that kept the database's skeleton."""
    return "lowerback" in plain_names(motion).values()


def plain_names(motion: BvhMotion) -> dict[str, str]:
    """Each joint's name in lower-case letters and digits, without namespace or common prefix."""
    short = {
        joint.name: re.split(r"[:|]", joint.name)[-1]
        for joint in motion.joints
        if "/" not in joint.name  # end sites
    }
    prefix = os.path.commonprefix(list(short.values())) if len(short) > 1 else ""
    cut = max(prefix.rfind(mark) for mark in "_ .-") + 1
    words = {name: re.sub(r"[^a-z0-9]", "", word[cut:].lower()) for name, word in short.items()}
    return {name: _PREFIX.sub("", word) for name, word in words.items()}


def recognised(motion: BvhMotion) -> tuple[BvhMotion, dict[str, str], list[str]]:
    """Finds Human3.6M's joints by their names.

    Returns:
        The motion, with a tip of the head where it had none; Human3.6M joint -> file's joint;
        and what was assumed, in words.

    Raises:
        InputError: naming the joints that were not found.
    """
    plain = plain_names(motion)
    names: dict[str, str] = {}
    for side in ("left", "right"):
        sided = {}
        for name, word in plain.items():
            if (part := _part(word, side)) is not None:
                sided.setdefault(part, name)
        for limb in _LIMBS:
            chain = [
                next((sided[word] for word in _WORDS[part] if word in sided), None) for part in limb
            ]
            if None not in chain and _is_chain(motion, chain):
                names |= {f"{side}_{part}": name for part, name in zip(limb, chain, strict=True)}
    head = next((name for name, word in plain.items() if word == "head"), None)
    spine = _ancestors(motion, head) if head else []
    neck = next((name for name in spine if "neck" in plain[name]), None)
    if neck is not None:
        names |= {"thorax": neck, "neck": head}
        below = [name for name in spine[: spine.index(neck)] if name != motion.joints[0].name]
        if below:
            names["spine"] = _middle(motion, below, neck, plain)
    missing = [joint for joint in NAMED if joint not in names and joint != "head"]
    if missing:
        found = listed([ascii(name)[1:-1] for name in plain])
        raise InputError(
            f"{motion.path}: unknown joint names: none for {listed(missing)}; the file has "
            f"{found}; a {FILE_NAME} beside it can say which is which (docs/mocap.md)"
        )
    return _with_head(motion, names, plain)


def read_names(path: str | os.PathLike) -> dict[str, str]:
    """The user's own `joints.json`: Human3.6M joint -> name in the files.

    Raises:
        InputError: no JSON object of strings, or not the joints that need a name.
    """
    try:
        names = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f'{path}: expected {{"left_hip": "name in the files", ...}}')
    names.pop("pelvis", None)
    for what, odd in (
        ("unknown", sorted(names.keys() - set(NAMED))),
        ("missing", [joint for joint in NAMED if joint not in names]),
    ):
        if odd:
            raise InputError(
                f"{path}: {what} joints {listed(list(map(ascii, odd)))}; expected "
                f"{', '.join(NAMED)}"
            )
    return names


def names_file(clip: Path, top: Path) -> Path | None:
    """The `joints.json` nearest to a clip, up to the folder that is read."""
    for folder in clip.parents:
        if (folder / FILE_NAME).exists():
            return folder / FILE_NAME
        if folder == top:
            break
    return None


def _part(word: str, side: str) -> str | None:
    """The word for a body part of that side, if it is one: `leftupleg`, `lthigh`, `thighl`."""
    for mark in (side, side[0]):
        for part in (word.removeprefix(mark), word.removesuffix(mark)):
            if part != word and part in _SIDED:
                return part
    return None


def _ancestors(motion: BvhMotion, name: str) -> list[str]:
    """From the root to the joint itself."""
    chain, number = [], motion.index[name]
    while number >= 0:
        chain.append(motion.joints[number].name)
        number = motion.joints[number].parent
    return chain[::-1]


def _is_chain(motion: BvhMotion, chain: Sequence[str]) -> bool:
    above = _ancestors(motion, chain[-1])
    places = [above.index(name) for name in chain if name in above]
    return len(places) == len(chain) and all(np.diff(places) > 0)


def _middle(motion: BvhMotion, below: Sequence[str], neck: str, plain: Mapping[str, str]) -> str:
    """The spine joint nearest to half way; in CMU's skeletons the tip of the lower back."""
    for lower, name in zip(below, below[1:], strict=False):
        if plain[lower] == "lowerback":
            return name
    path = [motion.joints[0].name, *_ancestors(motion, neck)[1:]]
    steps = [np.linalg.norm(motion.joints[motion.index[name]].offset) for name in path[1:]]
    along = dict(zip(path, np.concatenate([[0.0], np.cumsum(steps)]), strict=True))
    return min(below, key=lambda name: abs(along[name] - along[neck] / 2))


def _with_head(
    motion: BvhMotion, names: dict[str, str], plain: Mapping[str, str]
) -> tuple[BvhMotion, dict[str, str], list[str]]:
    """Finds the tip of the head, or adds one."""
    rest = rest_positions(motion)
    head = motion.index[names["neck"]]
    leg = [motion.index[names[f"left_{part}"]] for part in ("hip", "knee", "ankle")]
    length = np.linalg.norm(np.diff(rest[leg], axis=0), axis=-1).sum()
    tops = [joint.name for joint in motion.joints if plain.get(joint.name) in _HEAD_TOPS]
    for name in (*tops, f"{names['neck']}/end"):
        if name in motion.index and names["neck"] in _ancestors(motion, name):
            if np.linalg.norm(rest[motion.index[name]] - rest[head]) >= _SHORTEST_HEAD * length:
                return motion, names | {"head": name}, []
    direction = rest[head] - rest[motion.index[names["thorax"]]]
    size = np.linalg.norm(direction)
    if not size > 0:
        raise InputError(f"{motion.path}: the head has no length and no tip")
    offset = direction * (_HEAD_LENGTH * length / size)
    top = BvhJoint(f"{names['neck']}/top", head, offset, ())
    motion = dataclasses.replace(motion, joints=(*motion.joints, top))
    return (
        motion,
        names | {"head": top.name},
        [f"no tip of the head in the file: one was put above it at {_HEAD_LENGTH} leg lengths"],
    )
