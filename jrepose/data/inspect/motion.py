"""Recognises motion capture: ASF skeletons, AMC and BVH motions."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jrepose.data.inspect.content import Content, Track
from jrepose.data.inspect.outline import names
from jrepose.data.mocap import asf_amc, bvh
from jrepose.data.mocap.folder import describe_clip
from jrepose.errors import InputError
from jrepose.skeleton import Skeleton

_USE = ["--config.data.source=mocap --config.data.path=FOLDER reads a folder of clips"]


def bvh_motion(path: pathlib.Path) -> Content:
    """A hierarchy with its motion."""
    motion = bvh.read_bvh(path)
    positions = bvh.joint_positions(motion)
    joints = [(joint.name, joint.parent) for joint in motion.joints]
    rate = 1 / motion.frame_time
    up, as_data = describe_clip(path)
    return Content(
        "motion capture, BVH",
        [
            f"{len(joints)} joints and end sites: {names(name for name, _ in joints)}",
            f"{len(positions)} frames of {motion.values.shape[1]} channels, {rate:.4g} a second",
            *as_data,
        ],
        [_track(path, positions)],
        skeleton=_skeleton(joints),
        unit="units of the file",
        up=up,
        use=_USE,
    )


def asf_skeleton(path: pathlib.Path) -> Content:
    """Bones, drawn in their zero pose."""
    skeleton = asf_amc.read_asf(path)
    zero = asf_amc.AmcMotion(np.zeros((1, skeleton.num_values)), None)
    return _bones("motion capture, ASF skeleton in its zero pose", path, skeleton, zero, ())


def amc_motion(path: pathlib.Path) -> Content:
    """A motion, with the skeleton beside it."""
    beside = sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".asf")
    subject = path.name.partition("_")[0]
    named = [file for file in beside if file.stem == subject] or beside
    if len(named) != 1:
        raise InputError(
            f"{path}: an AMC motion, whose skeleton is not told: expected one .asf beside it, or "
            f"one called {subject}.asf; found {len(beside)}"
        )
    skeleton = asf_amc.read_asf(named[0])
    motion = asf_amc.read_amc(path, skeleton)
    rate = "" if motion.frame_rate is None else f", {motion.frame_rate:.4g} a second"
    frames = f"{len(motion.values)} frames of {skeleton.num_values} values{rate}"
    up, as_data = describe_clip(path)
    lines = [f"skeleton: {named[0].name}", frames, *as_data]
    return dataclasses.replace(_bones("motion capture, AMC", path, skeleton, motion, lines), up=up)


def _bones(
    title: str,
    path: pathlib.Path,
    skeleton: asf_amc.AsfSkeleton,
    motion: asf_amc.AmcMotion,
    lines: Sequence[str],
) -> Content:
    bones = [(bone.name, bone.parent) for bone in skeleton.bones]
    return Content(
        title,
        [*lines, f"{len(bones)} bones: {names(name for name, _ in bones)}"],
        [_track(path, asf_amc.joint_positions(skeleton, motion))],
        skeleton=_skeleton(bones),
        up="y",
        use=_USE,
    )


def _track(path: pathlib.Path, positions: np.ndarray) -> Track:
    name = path.name.partition(".")[0]
    return Track(name, name.partition("_")[0], poses=positions)


def _skeleton(joints: Sequence[tuple[str, int]]) -> Skeleton | None:
    """Of (name, parent); sides are told by names that pair up, such as LeftFoot, RightFoot."""
    index = {name: number for number, (name, _) in enumerate(joints)}
    if len(index) != len(joints):
        return None  # a file may call two joints the same
    pairs = [
        (number, index[other])
        for name, number in index.items()
        for left, right in (("Left", "Right"), ("L", "R"), ("l", "r"))
        if name.startswith(left) and (other := right + name.removeprefix(left)) in index
    ]
    return Skeleton(
        name="of the file",
        joint_names=tuple(index),
        parents=tuple(parent for _, parent in joints),
        left=tuple(left for left, _ in pairs),
        right=tuple(right for _, right in pairs),
    )
