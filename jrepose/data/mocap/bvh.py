"""Biovision BVH motion: hierarchy, channels in any order, and the joints' positions.

With T a joint's translation and M the product of its rotations in the order of its channels
(the first channel is the leftmost factor): R = R_parent M, p = p_parent + R_parent T.  T is the
OFFSET.  A position channel adds to the root's and replaces that of other joints; files that
mean it otherwise are put in this form by `settled`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jrepose.data.mocap.motion_text import (
    block_of,
    bulk_numbers,
    check_count,
    decoded,
    finite_number,
    found,
    line_error,
    read_text,
    shown,
    tokens_per_line,
)
from jrepose.data.mocap.rotation import identity, rotate, turn
from jrepose.errors import InputError

_MAX_JOINTS = 1024
_FRAMES_PER_BLOCK = 4096
_END = re.compile(r"/end\d*$")
_ON_TOP = 0.25  # of the positions' distance from the OFFSETs, their distance from zero
_STILL = 1e-3  # of a usual bone; positions that change less are digits that were rounded
_RATES = (10.0, 12.0, 15.0, 20.0, 24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 72.0, 75.0, 80.0, 90.0)
_RATES += (100.0, 120.0, 144.0, 150.0, 180.0, 200.0, 240.0, 250.0, 300.0, 360.0, 480.0, 500.0)
_BROADCAST_RATES = (24 / 1.001, 30 / 1.001, 60 / 1.001, 120 / 1.001)
_CHANNELS = tuple(axis + kind for kind in ("position", "rotation") for axis in "xyz")


@dataclass(frozen=True, eq=False)
class BvhJoint:
    """One joint of a hierarchy.

    Args:
        name: as in the file; the end sites of joint J are called `"J/end"`, `"J/end2"`, ...
        parent: index of the parent joint, -1 for the root.
        offset: from the parent in the zero pose, file units.
        channels: such as `("zrotation", "yrotation", "xrotation")`; empty for end sites.
    """

    name: str
    parent: int
    offset: Float[np.ndarray, " 3"]
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class BvhMotion:
    """A BVH file.

    Args:
        path: the file.
        joints: each after its parent, end sites included.
        values: the motion table; positions in file units, rotations in degrees.
        frame_time: seconds per frame.
    """

    path: str
    joints: tuple[BvhJoint, ...]
    values: Float[np.ndarray, "frames channels"]
    frame_time: float

    @cached_property
    def index(self) -> dict[str, int]:
        """Joint index by name."""
        return {joint.name: number for number, joint in enumerate(self.joints)}


def read_bvh(path: str | os.PathLike) -> BvhMotion:
    """The hierarchy and motion of a BVH file.

    Raises:
        InputError: the file is malformed; the message names the line.
    """
    text = read_text(path)
    start = re.search(rb"^[ \t]*MOTION[ \t]*$", text, re.IGNORECASE | re.MULTILINE)
    if start is None:
        raise InputError(f"{path}: not a BVH file: it has no MOTION section")
    joints = _HierarchyParser(path, text[: start.start()]).parse()
    line = text.count(b"\n", 0, start.start()) + 1
    header, at = [], start.end() + 1
    while len(header) < 2 and at < len(text):
        stop = text.find(b"\n", at) % (len(text) + 1)
        line += 1
        words = text[at:stop].replace(b":", b" ").split()
        if words:
            header.append((line, words))
        at = stop + 1
    if len(header) < 2:
        raise line_error(path, line, "the file ends before the motion table")
    frames = _header_value(path, *header[0], [b"frames"])
    frame_time = _header_value(path, *header[1], [b"frame", b"time"])
    if frames != int(frames) or frames < 1:
        raise line_error(path, header[0][0], "expected one frame or more")
    if frame_time <= 0:
        raise line_error(path, header[1][0], "expected a positive frame time")
    width = sum(len(joint.channels) for joint in joints)
    values = _read_table(path, text[at:], line + 1, width)
    if len(values) != frames:
        raise line_error(path, header[0][0], f"{int(frames)} frames announced, {len(values)} found")
    return BvhMotion(str(path), joints, values, frame_time)


def _header_value(
    path: str | os.PathLike, line: int, words: list[bytes], keyword: list[bytes]
) -> float:
    value = finite_number(words[-1])
    if [word.lower() for word in words[:-1]] != keyword or value is None:
        title = " ".join(word.decode().capitalize() for word in keyword)
        raise line_error(path, line, f"expected '{title}: NUMBER', {found(words[-1])}")
    return value


class _HierarchyParser:
    """Reads the HIERARCHY section token by token; a stack of open joints, no recursion."""

    def __init__(self, path: str | os.PathLike, text: bytes):
        self.path = Path(path)
        self.line = 1
        self.tokens = self._tokens(text)

    def _tokens(self, text: bytes) -> Iterator[bytes]:
        for match in re.finditer(rb"\n|[{}]|[^\s{}]+", text):
            if match[0] == b"\n":
                self.line += 1
            else:
                yield match[0]

    def _error(self, problem: str) -> InputError:
        return line_error(self.path, self.line, problem)

    def _next(self, expected: str) -> bytes:
        token = next(self.tokens, None)
        if token is None:
            raise self._error(f"expected {expected}, found the end of the hierarchy")
        return token

    def _expect(self, word: bytes) -> None:
        token = self._next(word.decode())
        if token.upper() != word:
            raise self._error(f"expected {word.decode()}, found {shown(token)}")

    def _name(self) -> str:
        words = []
        while (token := self._next("a joint name and {")) != b"{":
            words.append(decoded(token))
        if not words:
            raise self._error("expected a joint name before {")
        return " ".join(words)

    def _offset(self) -> np.ndarray:
        self._expect(b"OFFSET")
        values = []
        for _ in range(3):
            token = self._next("an offset")
            value = finite_number(token)
            if value is None:
                raise self._error(f"expected 3 numbers after OFFSET, {found(token)}")
            values.append(value)
        return np.array(values, np.float64)

    def _channels(self) -> tuple[str, ...]:
        token = self._next("the number of channels")
        if not token.isdigit() or int(token[:9]) > len(_CHANNELS):
            raise self._error(f"expected up to 6 channels, found {shown(token)}")
        channels = []
        for _ in range(int(token)):
            token = self._next("a channel")
            channel = token.decode("latin-1").lower()
            if channel not in _CHANNELS or channel in channels:
                raise self._error(f"expected a channel such as Xrotation, found {shown(token)}")
            channels.append(channel)
        return tuple(channels)

    def parse(self) -> tuple[BvhJoint, ...]:
        self._expect(b"HIERARCHY")
        self._expect(b"ROOT")
        joints: list[BvhJoint] = []
        names: set[str] = set()
        name, open_joints = self._name(), []
        while True:
            # A joint's body has just been opened.
            if name in names:
                raise self._error(f"a second joint {shown(name.encode())}")
            if len(joints) == _MAX_JOINTS:
                raise self._error(f"more than {_MAX_JOINTS} joints")
            names.add(name)
            parent = open_joints[-1] if open_joints else -1
            offset, channels = self._offset(), ()
            is_end = _END.search(name) is not None
            token = self._next("CHANNELS" if not is_end else "}")
            if token.upper() == b"CHANNELS":
                channels = self._channels()
                token = self._next("JOINT, End Site or }")
            elif not is_end:
                raise self._error(f"expected CHANNELS, found {shown(token)}")
            joints.append(BvhJoint(name, parent, offset, channels))
            open_joints.append(len(joints) - 1)
            while token == b"}":
                open_joints.pop()
                if not open_joints:
                    return self._finish(joints)
                token = self._next("JOINT, End Site or }")
            above = joints[open_joints[-1]].name
            if token.upper() == b"END":
                self._end_site()
                number = 1
                while (name := f"{above}/end{number if number > 1 else ''}") in names:
                    number += 1
            elif _END.search(above):
                raise self._error(f"expected }} of the end site, found {shown(token)}")
            elif token.upper() == b"JOINT":
                name = self._name()
                if _END.search(name):
                    raise self._error(f"joint name {name!r} is reserved for end sites")
            else:
                raise self._error(f"expected JOINT, End Site or }}, found {shown(token)}")

    def _end_site(self) -> None:
        """`End Site {`, which some programs give a name."""
        self._expect(b"SITE")
        while (token := self._next("{")) != b"{":
            if token.upper() in (b"OFFSET", b"}"):
                raise self._error(f"expected {{, found {shown(token)}")

    def _finish(self, joints: list[BvhJoint]) -> tuple[BvhJoint, ...]:
        token = next(self.tokens, None)
        if token is not None:
            raise self._error(f"expected MOTION after the hierarchy, found {shown(token)}")
        return tuple(joints)


def _read_table(
    path: str | os.PathLike, text: bytes, first_line: int, width: int
) -> Float[np.ndarray, "frames channels"]:
    """The motion table, one line per frame; blank lines are skipped."""
    buffer = np.frombuffer(text + b"\n", np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(buffer == ord("\n"))[:-1] + 1])
    counts = tokens_per_line(buffer, starts)
    frames = int(np.count_nonzero(counts))
    if np.isin(counts, (0, width)).all():
        numbers = bulk_numbers(text, frames * width)
        if numbers is not None:
            return numbers.reshape(frames, width)
    numbers = array("d")
    for number, (start, count) in enumerate(zip(starts, counts, strict=True), start=first_line):
        if not count:
            continue
        words = _line(text, int(start)).split()
        if len(words) != width:
            raise line_error(path, number, f"expected {width} values, found {len(words)}")
        for word in words:
            value = finite_number(word)
            if value is None:
                raise line_error(path, number, f"expected a number, {found(word)}")
            numbers.append(value)
    return np.array(numbers).reshape(frames, width)


def _line(text: bytes, start: int) -> bytes:
    stop = text.find(b"\n", start)
    return text[start:] if stop < 0 else text[start:stop]


def settled(motion: BvhMotion) -> tuple[BvhMotion, list[str]]:
    """The motion with position channels in the form that `joint_positions` reads.

    - The root's replace its OFFSET, as in Blender: the OFFSET is where the root rests.
    - Programs that write six channels per joint mean a position instead of the OFFSET; some mean
      one on top of it, which shows in positions near zero beside OFFSETs that are not.
    - Positions that do not change, which is how rigid bones are spelled, become the OFFSET.

    Returns:
        The motion, and what was assumed, in words.
    """
    joints, values = list(motion.joints), motion.values.copy()
    stops = np.cumsum([len(joint.channels) for joint in joints])
    moved: list[tuple[int, list[int], list[int]]] = []  # joint, its axes and their columns
    for number, (joint, stop) in enumerate(zip(joints, stops, strict=True)):
        channels = dict(enumerate(joint.channels, start=int(stop) - len(joint.channels)))
        columns = [column for column, name in channels.items() if name.endswith("position")]
        if columns:
            axes = ["xyz".index(channels[column][0]) for column in columns]
            moved.append((number, axes, columns))
    if moved and moved[0][0] == 0:
        _, axes, _ = moved.pop(0)
        offset = joints[0].offset.copy()
        offset[axes] = 0.0
        joints[0] = dataclasses.replace(joints[0], offset=offset)

    usual = [np.median(values[:, columns], axis=0) for _, _, columns in moved]
    offsets = [joints[number].offset[axes] for number, axes, _ in moved]
    instead = sum(
        np.linalg.norm(place - offset) for place, offset in zip(usual, offsets, strict=True)
    )
    on_top = sum(np.linalg.norm(place) for place in usual)
    adds = on_top < _ON_TOP * instead
    sizes = [np.linalg.norm(joint.offset) for joint in joints[1:]] + list(
        map(np.linalg.norm, usual)
    )
    still = _STILL * np.median([size for size in sizes if size > 0] or [0.0])
    dropped: list[int] = []
    for (number, axes, columns), place, offset in zip(moved, usual, offsets, strict=True):
        if adds:
            values[:, columns] += offset
        if np.ptp(values[:, columns], axis=0).max() <= still:
            fixed = joints[number].offset.copy()
            fixed[axes] = place + offset if adds else place
            channels = tuple(name for name in joints[number].channels if "rotation" in name)
            joints[number] = dataclasses.replace(joints[number], offset=fixed, channels=channels)
            dropped += columns
    values = np.delete(values, dropped, axis=1)
    notes = ["joint positions were taken to add to the OFFSETs, being near zero"] if adds else []
    return dataclasses.replace(motion, joints=tuple(joints), values=values), notes


def frame_rate(frame_time: float) -> tuple[float, list[str]]:
    """Frames per second of a frame time, which programs round, and what was assumed, in words.

    The usual rate whose frame time is written so: 0.033 is 30, 0.0083 is 120.
    """
    exact = 1 / frame_time
    digit = 10.0 ** Decimal(repr(frame_time)).as_tuple().exponent
    fitting = [
        rate
        for rate in (*_RATES, *_BROADCAST_RATES)
        # Rounded, or cut off.
        if frame_time - digit / 2 <= 1 / rate < frame_time + digit
    ]
    whole = [rate for rate in fitting if rate in _RATES] or fitting
    if not whole:
        return (float(round(exact)) if abs(exact - round(exact)) < 1e-4 * exact else exact), []
    rate = min(whole, key=lambda rate: abs(rate - exact))
    if abs(rate - exact) < 1e-3 * exact:
        return rate, []
    return rate, [f"frame time {frame_time:g} s taken to be {rate:g} frames per second, rounded"]


def rest_positions(motion: BvhMotion) -> Float[np.ndarray, "joints 3"]:
    """All joints with every rotation zero and the root's OFFSET at the origin."""
    positions = np.zeros((len(motion.joints), 3))
    for number, joint in enumerate(motion.joints[1:], start=1):
        positions[number] = positions[joint.parent] + joint.offset
    return positions


def joint_positions(
    motion: BvhMotion, wanted: Sequence[int] | None = None
) -> Float[np.ndarray, "frames wanted 3"]:
    """Positions of joints and end sites in file units and axes (CMU: y up).

    Args:
        motion: a BVH file.
        wanted: indices of joints; None: all, in the file's order.

    Raises:
        InputError: so many joints for so few numbers in the file that memory would not do.
    """
    wanted = range(len(motion.joints)) if wanted is None else wanted
    check_count(motion.path, len(motion.values), len(wanted), motion.values.size)
    needed = set(wanted)
    for number in reversed(range(len(motion.joints))):
        if number in needed:
            needed.add(motion.joints[number].parent)
    frames, step = len(motion.values), block_of(_FRAMES_PER_BLOCK, len(needed))
    positions = np.empty((frames, len(wanted), 3))
    for start in range(0, frames, step):
        block = slice(start, start + step)
        placed = _block_positions(motion.joints, motion.values[block], needed)
        positions[block] = np.stack([placed[joint] for joint in wanted]).transpose(2, 0, 1)
    return positions


def _block_positions(
    joints: tuple[BvhJoint, ...], values: Float[np.ndarray, "frames channels"], needed: set[int]
) -> dict[int, Float[np.ndarray, "3 frames"]]:
    values = np.ascontiguousarray(values.T)
    frames = values.shape[1]
    rotations: dict[int, np.ndarray] = {-1: identity(frames)}
    positions: dict[int, np.ndarray] = {-1: np.zeros((3, frames))}
    column = 0
    for number, joint in enumerate(joints):
        given = values[column : column + len(joint.channels)]
        column += len(joint.channels)
        if number not in needed:
            continue
        turned = rotation = rotations[joint.parent]
        local = None
        for name, value in zip(joint.channels, given, strict=True):
            axis = "xyz".index(name[0])
            if name.endswith("rotation"):
                turned = turn(turned, axis, np.deg2rad(value))
            else:
                if local is None:
                    local = np.repeat(joint.offset[:, None], frames, axis=1)
                local[axis] = value + (joint.offset[axis] if joint.parent < 0 else 0.0)
        rotations[number] = turned
        moved = (
            rotate(rotation, joint.offset)
            if local is None
            else np.einsum("ijt,jt->it", rotation, local)
        )
        positions[number] = positions[joint.parent] + moved
    return positions
