"""Biovision BVH motion: hierarchy, channels in any order, and the joints' positions.

With T a joint's translation and M the product of its rotations in the order of its channels
(the first channel is the leftmost factor): R = R_parent M, p = p_parent + R_parent T.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jrepose.data.mocap.motion_text import (
    bulk_numbers,
    finite_number,
    line_error,
    read_text,
    shown,
    tokens_per_line,
)
from jrepose.data.mocap.rotation import identity, rotate, turn
from jrepose.errors import InputError

_MAX_JOINTS = 1024
_FRAMES_PER_BLOCK = 4096  # bounds memory; a block's rotations stay in the cache
_CHANNELS = tuple(axis + kind for kind in ("position", "rotation") for axis in "xyz")


@dataclass(frozen=True, eq=False)
class BvhJoint:
    """One joint of a hierarchy.

    Args:
        name: as in the file; the end site of joint J is called `"J/end"`.
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
    lines = read_text(path).split(b"\n")
    motion_line = next(
        (number for number, line in enumerate(lines) if line.strip().upper() == b"MOTION"), None
    )
    if motion_line is None:
        raise InputError(f"{path}: not a BVH file: it has no MOTION section")
    joints = _HierarchyParser(path, lines[:motion_line]).parse()
    header = []
    for number in range(motion_line + 1, len(lines)):
        words = lines[number].replace(b":", b" ").split()
        if words:
            header.append((number + 1, words))
        if len(header) == 2:
            break
    if len(header) < 2:
        raise line_error(path, len(lines), "the file ends before the motion table")
    frames = _header_value(path, *header[0], [b"frames"])
    frame_time = _header_value(path, *header[1], [b"frame", b"time"])
    if frames != int(frames) or frames < 1:
        raise line_error(path, header[0][0], "expected one frame or more")
    if frame_time <= 0:
        raise line_error(path, header[1][0], "expected a positive frame time")
    width = sum(len(joint.channels) for joint in joints)
    first = header[1][0]
    values = _read_table(path, lines[first:], first + 1, width)
    if len(values) != frames:
        raise line_error(path, header[0][0], f"{int(frames)} frames announced, {len(values)} found")
    return BvhMotion(str(path), joints, values, frame_time)


def _header_value(
    path: str | os.PathLike, line: int, words: list[bytes], keyword: list[bytes]
) -> float:
    value = finite_number(words[-1])
    if [word.lower() for word in words[:-1]] != keyword or value is None:
        title = " ".join(word.decode().capitalize() for word in keyword)
        raise line_error(path, line, f"expected '{title}: NUMBER'")
    return value


class _HierarchyParser:
    """Reads the HIERARCHY section token by token; a stack of open joints, no recursion."""

    def __init__(self, path: str | os.PathLike, lines: list[bytes]):
        self.path = Path(path)
        self.line = 1
        self.tokens = self._tokens(lines)

    def _tokens(self, lines: list[bytes]) -> Iterator[bytes]:
        for number, line in enumerate(lines, start=1):
            self.line = number
            yield from line.split()

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
            words.append(token.decode("latin-1"))
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
                raise self._error(f"expected 3 numbers after OFFSET, found {shown(token)}")
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
                raise self._error(f"a second joint {name!r}")
            if len(joints) == _MAX_JOINTS:
                raise self._error(f"more than {_MAX_JOINTS} joints")
            names.add(name)
            parent = open_joints[-1] if open_joints else -1
            offset, channels = self._offset(), ()
            if not name.endswith("/end"):
                self._expect(b"CHANNELS")
                channels = self._channels()
            joints.append(BvhJoint(name, parent, offset, channels))
            open_joints.append(len(joints) - 1)
            while (token := self._next("JOINT, End Site or }")) == b"}":
                open_joints.pop()
                if not open_joints:
                    return self._finish(joints)
            if joints[open_joints[-1]].name.endswith("/end"):
                raise self._error(f"expected }} of the end site, found {shown(token)}")
            if token.upper() == b"JOINT":
                name = self._name()
                if name.endswith("/end"):
                    raise self._error(f"joint name {name!r} is reserved for end sites")
            elif token.upper() == b"END":
                self._expect(b"SITE")
                self._expect(b"{")
                name = f"{joints[open_joints[-1]].name}/end"
            else:
                raise self._error(f"expected JOINT, End Site or }}, found {shown(token)}")

    def _finish(self, joints: list[BvhJoint]) -> tuple[BvhJoint, ...]:
        token = next(self.tokens, None)
        if token is not None:
            raise self._error(f"expected MOTION after the hierarchy, found {shown(token)}")
        return tuple(joints)


def _read_table(
    path: str | os.PathLike, lines: list[bytes], first_line: int, width: int
) -> Float[np.ndarray, "frames channels"]:
    """The motion table, one line per frame; blank lines are skipped."""
    text = b"\n".join(lines).strip() + b"\n"
    buffer = np.frombuffer(text, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(buffer == ord("\n"))[:-1] + 1])
    if (tokens_per_line(buffer, starts) == width).all():
        numbers = bulk_numbers(text, len(starts) * width)
        if numbers is not None:
            return numbers.reshape(len(starts), width)
    rows = []
    for number, line in enumerate(lines, start=first_line):
        words = line.split()
        if not words:
            continue
        if len(words) != width:
            raise line_error(path, number, f"expected {width} values, found {len(words)}")
        values = [finite_number(word) for word in words]
        if None in values:
            raise line_error(
                path, number, f"expected a number, found {shown(words[values.index(None)])}"
            )
        rows.append(np.array(values, np.float64))
    return np.array(rows).reshape(len(rows), width)


def joint_positions(motion: BvhMotion) -> Float[np.ndarray, "frames joints 3"]:
    """Positions of all joints and end sites in file units and axes (CMU: y up).

    The root's position channels add to its offset; those of other joints replace it, as
    programs that write six channels per joint mean them.
    """
    frames = len(motion.values)
    positions = np.empty((frames, len(motion.joints), 3))
    for start in range(0, frames, _FRAMES_PER_BLOCK):
        block = slice(start, start + _FRAMES_PER_BLOCK)
        positions[block] = _block_positions(motion.joints, motion.values[block])
    return positions


def _block_positions(
    joints: tuple[BvhJoint, ...], values: Float[np.ndarray, "frames channels"]
) -> Float[np.ndarray, "frames joints 3"]:
    values = np.ascontiguousarray(values.T)
    frames = values.shape[1]
    rotations: list[np.ndarray] = []
    positions = np.empty((len(joints), 3, frames))
    column = 0
    for number, joint in enumerate(joints):
        is_root = joint.parent < 0
        rotation = identity(frames) if is_root else rotations[joint.parent]
        local = None
        turned = rotation
        for name, value in zip(joint.channels, values[column:], strict=False):
            axis = "xyz".index(name[0])
            if name.endswith("rotation"):
                turned = turn(turned, axis, np.deg2rad(value))
            else:
                if local is None:
                    local = np.repeat(joint.offset[:, None], frames, axis=1)
                local[axis] = local[axis] + value if is_root else value
        column += len(joint.channels)
        rotations.append(turned)
        if local is None:
            moved = rotate(rotation, joint.offset)
        else:
            moved = np.einsum("ijt,jt->it", rotation, local)
        positions[number] = moved if is_root else positions[joint.parent] + moved
    return positions.transpose(2, 0, 1)
