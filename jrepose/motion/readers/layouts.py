"""Which joint order keypoints are in: told by names, by number, by geometry where that is open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jrepose.errors import InputError, listed
from jrepose.skeleton import (
    BLAZEPOSE_33,
    BODY_25,
    BODY_25B,
    COCO_17,
    COCO_18,
    HALPE_26,
    HUMAN36M_17,
    HUMANEVA_15,
    MPI_INF_3DHP_17,
    MPII_16,
    Skeleton,
)


class Layout(NamedTuple):
    """A joint order of detectors.

    Attributes:
        skeleton: of the keypoints that are taken, the first ones.
        count: keypoints in all, with face and hands.
    """

    skeleton: Skeleton
    count: int


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {s.name: Layout(s, s.num_joints) for s in (COCO_17, COCO_18, BODY_25, BODY_25B, HALPE_26)}
    | {
        "halpe_136": Layout(HALPE_26, 136),
        "coco_wholebody_133": Layout(COCO_17, 133),
        "coco_wholebody_134": Layout(COCO_18, 134),  # rtmlib's to_openpose
        "body_135": Layout(BODY_25B, 135),
    }
    | {s.name: Layout(s, s.num_joints) for s in (BLAZEPOSE_33, MPII_16)}
    | {s.name: Layout(s, s.num_joints) for s in (HUMAN36M_17, MPI_INF_3DHP_17, HUMANEVA_15)}
)
"""What `--layout` takes."""

COUNTS = frozenset(layout.count for layout in LAYOUTS.values())

_ALIASES = {
    "head": "head_top", "top_of_head": "head_top", "hip": "pelvis", "mid_hip": "pelvis",
    "midhip": "pelvis", "root": "pelvis", "hips": "pelvis", "left_hand": "left_wrist",
    "right_hand": "right_wrist", "left_mouth": "mouth_left", "right_mouth": "mouth_right",
}  # fmt: skip
_SIDES = {"l": "left", "r": "right"}
_NEEDED = ("shoulder", "hip", "knee")  # without them there is nothing to lift
_LIMBS = {
    ("hip", "knee"): 0.245, ("knee", "ankle"): 0.246, ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146, ("shoulder", "hip"): 0.288,
}  # fmt: skip
"""Lengths in body heights (Drillis and Contini, as in Winter, "Biomechanics and Motor Control of
Human Movement")."""

_LEAST_LIMBS = 6
_QUANTILE = 0.8  # over frames: limbs look shorter than they are
_BETTER = 0.08
_NO_BODY = 0.5
"""Mean distances of the logarithms of lengths: a body is at 0.05 to 0.15, a wrong order at 0.25 to
1.2 (measured on real files of five detectors)."""


def layout_named(name: str) -> Layout:
    """The layout of that name.

    Raises:
        InputError: there is none.
    """
    if not isinstance(name, str) or name not in LAYOUTS:
        raise InputError(f"unknown layout {name!r}; expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def tell_layout(
    points: Float[np.ndarray, "rows keypoints 2"],
    confidence: Float[np.ndarray, "rows keypoints"],
    where: str,
    usual: str | None = None,
) -> tuple[str, str | None]:
    """The layout of keypoints by their number and, where several have as many, by their geometry.

    In the right order arms, legs and trunk have the proportions of a body and both sides are alike.

    Args:
        points: any unit with square pixels.
        confidence: 0 where missing.
        where: the file, for messages.
        usual: what it is taken for where the geometry leaves it open, if it has this number.

    Returns:
        The layout's name, and a line about the choice where there was one.

    Raises:
        InputError: no layout has that number, or none or several fit.
    """
    count = points.shape[1]
    candidates = [name for name, layout in LAYOUTS.items() if layout.count == count]
    if not candidates:
        known = ", ".join(map(str, sorted(COUNTS)))
        raise InputError(f"{where}: {count} keypoints, which is no layout known here (they have "
                         f"{known}); reorder them, or give their names in the file")  # fmt: skip
    if len(candidates) == 1:
        return candidates[0], f"{count} keypoints are {candidates[0]} by their number"
    errors = {
        name: _disproportion(points, confidence, LAYOUTS[name].skeleton) for name in candidates
    }
    told = {name: error for name, error in errors.items() if error is not None}
    names = " or ".join(candidates)
    by_default = f"{count} keypoints are taken for {usual}, as is usual; --layout says otherwise"
    if not told and usual in candidates:
        return usual, by_default
    if not told:
        raise InputError(f"{where}: {count} keypoints are {names}, and too few are there to tell; "
                         "--layout says it")  # fmt: skip
    best, *others = sorted(told, key=told.__getitem__)
    clear = not others or told[others[0]] - told[best] >= _BETTER
    if usual in candidates and (told[best] > _NO_BODY or not clear):
        return usual, by_default
    if told[best] > _NO_BODY:
        raise InputError(f"{where}: {count} keypoints would be {names}, and form a body in no such "
                         "order; --layout says it")  # fmt: skip
    if not clear:
        raise InputError(f"{where}: {count} keypoints, {best} or {others[0]}: both are possible; "
                         "--layout says which")  # fmt: skip
    rest = [name for name in candidates if name != best]
    return best, f"{count} keypoints are {best} and not {' or '.join(rest)} by their geometry"


def _disproportion(points: np.ndarray, confidence: np.ndarray, skeleton: Skeleton) -> float | None:
    """How far the limbs are from a body's proportions; None if too few are there."""
    logarithms = []
    for (start, end), height in _LIMBS.items():
        for side in ("left", "right"):
            first, last = (skeleton.index(f"{side}_{part}") for part in (start, end))
            present = (confidence[:, first] > 0) & (confidence[:, last] > 0)
            if present.any():
                apart = np.linalg.norm(points[present, first] - points[present, last], axis=-1)
                length = float(np.quantile(apart.astype(np.float64), _QUANTILE))
                logarithms.append(np.log(max(length, 1e-9) / height))
    if len(logarithms) < _LEAST_LIMBS:
        return None
    return float(np.abs(logarithms - np.median(logarithms)).mean())


def by_names(names: Sequence[str], where: str) -> tuple[Skeleton, list[int | None], str | None]:
    """The layout that keypoints have by their names.

    Args:
        names: of the keypoints, in any spelling: `LEFT_HIP`, `l_hip`, `leftHip`, `LHip`.
        where: the file, for messages.

    Returns:
        The layout whose joints most of them are; for each of its joints the place among `names`,
        None where there is none; a line about what was left out.

    Raises:
        InputError: a name twice, or no shoulders, hips and knees among them.
    """
    spelt = [plain_name(name) for name in names]
    known = {joint for layout in LAYOUTS.values() for joint in layout.skeleton.joint_names}
    for place, name in enumerate(spelt):
        if name in known and name in spelt[:place]:
            raise InputError(f"{where}: the keypoint {names[place]!r} is there twice")

    def spelt_for(joints: Sequence[str]) -> list[str]:
        return [name if name in joints else _ALIASES.get(name, name) for name in spelt]

    def fitting(skeleton: Skeleton) -> tuple[int, bool, int]:
        joints = skeleton.joint_names
        found = spelt_for(joints)
        return len(set(joints) & set(found)), tuple(found) == joints, -len(joints)

    skeleton = max((layout.skeleton for layout in LAYOUTS.values()), key=fitting)
    spelt = spelt_for(skeleton.joint_names)
    lacking = [part for part in _NEEDED if not {f"left_{part}", f"right_{part}"} <= set(spelt)]
    if lacking:
        raise InputError(
            f"{where}: keypoints {listed(list(names))}, of which none are called left_{lacking[0]} "
            f"and right_{lacking[0]}; expected names such as those of COCO"
        )
    places = [spelt.index(joint) if joint in spelt else None for joint in skeleton.joint_names]
    unused = [name for name, plain in zip(names, spelt, strict=True)
              if plain not in skeleton.joint_names]  # fmt: skip
    absent = [joint for joint in skeleton.joint_names if joint not in spelt]
    remarks = [f"keypoints by their names, as {skeleton.name}"] if absent or unused else []
    remarks += [f"not used: {listed(unused)}"] if unused else []
    remarks += [f"not there: {listed(absent)}"] if absent else []
    return skeleton, places, "; ".join(remarks) or None


def plain_name(name: str) -> str:
    """A joint's name in this house's spelling."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    text = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if match := re.fullmatch(r"(l|r)_(.+)", text):
        text = f"{_SIDES[match[1]]}_{match[2]}"
    elif match := re.fullmatch(r"(.+)_(l|r|left|right)", text):
        if match[1] != "mouth":
            text = f"{_SIDES.get(match[2], match[2])}_{match[1]}"
    elif match := re.fullmatch(
        r"(l|r|left|right)(eye|ear|shoulder|elbow|wrist|hip|knee|ankle|heel|big_?toe|small_?toe)",
        text,
    ):
        text = f"{_SIDES.get(match[1], match[1])}_{match[2]}"
    return text.replace("bigtoe", "big_toe").replace("smalltoe", "small_toe")
