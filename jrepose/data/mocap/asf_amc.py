"""Acclaim motion capture: ASF skeletons, AMC motions, and their joint positions.

An ASF file lists bones with a direction and a length in the zero pose; an AMC file gives
joint angles per frame.  A joint is the tip of its bone.  With C the bone's axis rotation and
M the rotation of its angles, R = R_parent C M C^T and tip = tip_parent + R (length direction).
"""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

MM_PER_INCH = 25.4
_MAX_BONES = 1024
_FRAMES_PER_BLOCK = 4096
_ROTATIONS = ("rx", "ry", "rz")
_TRANSLATIONS = ("tx", "ty", "tz")


@dataclass(frozen=True, eq=False)
class Bone:
    """One bone of an ASF skeleton.

    Args:
        name: as in the file; the root is called `"root"`.
        parent: index of the parent bone, -1 for the root.
        offset_mm: from the parent's tip to this bone's tip in the zero pose (for the root:
            its position).
        axis: the constant rotation C of the bone's own axes.
        order: axes of the bone's rotation in the order they are applied, such as `"xyz"`.
        dof: names of the bone's values in an AMC line, such as `("rx", "rz")`; empty for a
            bone that is rigid with its parent.
    """

    name: str
    parent: int
    offset_mm: Float[np.ndarray, " 3"]
    axis: Float[np.ndarray, "3 3"]
    order: str
    dof: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AsfSkeleton:
    """The bones of an ASF file, each after its parent, and its units.

    Args:
        path: the file.
        bones: root first.
        mm_per_unit: millimetres of one unit of length.
        degrees: whether its angles are degrees.
    """

    path: str
    bones: tuple[Bone, ...]
    mm_per_unit: float
    degrees: bool

    @cached_property
    def index(self) -> dict[str, int]:
        """Bone index by name."""
        return {bone.name: number for number, bone in enumerate(self.bones)}

    @cached_property
    def columns(self) -> tuple[slice, ...]:
        """The columns of each bone's values in `AmcMotion.values`."""
        stops = np.cumsum([len(bone.dof) for bone in self.bones])
        return tuple(
            slice(int(stop) - len(bone.dof), int(stop))
            for bone, stop in zip(self.bones, stops, strict=True)
        )

    @property
    def num_values(self) -> int:
        """Values per frame."""
        return self.columns[-1].stop


@dataclass(frozen=True, eq=False)
class AmcMotion:
    """The frames of an AMC file.

    Args:
        values: angles in radians and root translations in millimetres, bone after bone in
            the skeleton's order.
        frame_rate: frames per second where the file states it, else None.
        path: the file, if any.
    """

    values: Float[np.ndarray, "frames values"]
    frame_rate: float | None
    path: str = ""


def read_asf(path: str | os.PathLike) -> AsfSkeleton:
    """The skeleton of an ASF file.

    Lengths are scaled by the file's `length` unit (one unit is 1/length inch), angles by its
    `angle` unit (`deg` or `rad`).

    Raises:
        InputError: the file cannot be read; the message names the line.
    """
    return _AsfParser(path).parse()


class _AsfParser:
    """Collects the sections of one ASF file, then assembles the skeleton."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.line = 0
        self.length_unit = 1.0
        self.degrees = True
        self.root: dict = {"name": "root", "line": 1, "order": "xyz", "orientation": np.zeros(3)}
        self.root |= {"offset": np.zeros(3), "dof": _TRANSLATIONS + _ROTATIONS}
        self.bones: dict[str, dict] = {"root": self.root}
        self.bone: dict | None = None
        self.children: dict[str, list[str]] = {}
        self.parent_of: dict[str, str] = {}

    def parse(self) -> AsfSkeleton:
        sections = {
            "units": self._units,
            "root": self._root,
            "bonedata": self._bonedata,
            "hierarchy": self._hierarchy,
        }
        section = None
        seen = set()
        for number, line in _numbered_lines(read_text(self.path)):
            self.line = number
            words = line.split()
            if not words or words[0].startswith(b"#"):
                continue
            if words[0].startswith(b":"):
                name = words[0][1:].decode("latin-1").lower()
                if self.bone is not None:
                    raise self._error("expected 'end' of the bone before the next section")
                section = sections.get(name)
                seen.add(name)
            elif section is not None:
                section(decoded(words[0]).lower(), words[1:])
        if self.bone is not None:
            raise self._error("the file ends inside a bone")
        for name in ("bonedata", "hierarchy"):
            if name not in seen:
                raise InputError(f"{self.path}: not an ASF skeleton: it has no :{name} section")
        return self._assemble()

    def _error(self, problem: str) -> InputError:
        return line_error(self.path, self.line, problem)

    def _numbers(self, what: str, words: list[bytes], count: int) -> np.ndarray:
        if len(words) != count:
            raise self._error(f"expected {count} values for {what}, found {len(words)}")
        values = [finite_number(word) for word in words]
        for word, value in zip(words, values, strict=True):
            if value is None:
                raise self._error(f"expected a number for {what}, {found(word)}")
        return np.array(values, np.float64)

    def _rotation_order(self, words: list[bytes]) -> str:
        order = words[0].decode("latin-1").lower() if len(words) == 1 else ""
        if sorted(order) != ["x", "y", "z"]:
            raise self._error("expected an axis order such as XYZ")
        return order

    def _dof(self, words: list[bytes], known: tuple[str, ...]) -> tuple[str, ...]:
        dof = tuple(word.decode("latin-1").lower() for word in words)
        for name, word in zip(dof, words, strict=True):
            if name not in known or dof.count(name) > 1:
                raise self._error(f"expected each of {' '.join(known)} once, found {shown(word)}")
        return dof

    def _units(self, key: str, words: list[bytes]) -> None:
        if key == "length":
            self.length_unit = float(self._numbers("length", words, 1)[0])
            if self.length_unit <= 0:
                raise self._error("expected a positive length unit")
        elif key == "angle":
            unit = words[0].lower() if len(words) == 1 else b""
            if unit not in (b"deg", b"degrees", b"rad", b"radians"):
                raise self._error("expected the angle unit deg or rad")
            self.degrees = unit.startswith(b"deg")

    def _root(self, key: str, words: list[bytes]) -> None:
        self.root["line"] = self.line
        if key == "order":
            self.root["dof"] = self._dof(words, _TRANSLATIONS + _ROTATIONS)
        elif key == "axis":
            self.root["order"] = self._rotation_order(words)
        elif key == "position":
            self.root["offset"] = self._numbers("position", words, 3)
        elif key == "orientation":
            self.root["orientation"] = self._numbers("orientation", words, 3)

    def _bonedata(self, key: str, words: list[bytes]) -> None:
        if key == "begin":
            if self.bone is not None:
                raise self._error("expected 'end' of the bone before the next 'begin'")
            self.bone = {"line": self.line, "dof": (), "order": "xyz", "orientation": np.zeros(3)}
            return
        if self.bone is None:
            raise self._error(f"expected 'begin' of a bone, found {shown(key.encode('latin-1'))}")
        bone = self.bone
        if key == "name":
            if len(words) != 1:
                raise self._error("expected one bone name")
            bone["name"] = decoded(words[0])
        elif key == "direction":
            bone["direction"] = self._numbers("direction", words, 3)
        elif key == "length":
            bone["length"] = float(self._numbers("length", words, 1)[0])
        elif key == "axis":
            bone["orientation"] = self._numbers("axis", words[:3], 3)
            bone["order"] = self._rotation_order(words[3:])
        elif key == "dof":
            bone["dof"] = self._dof(words, _ROTATIONS)
        elif key == "end":
            for needed in ("name", "direction", "length"):
                if needed not in bone:
                    raise self._error(f"the bone has no {needed}")
            if bone["name"] in self.bones:
                raise self._error(f"a second bone {bone['name']!r}")
            if len(self.bones) > _MAX_BONES:
                raise self._error(f"more than {_MAX_BONES} bones")
            bone["offset"] = bone["direction"] * bone["length"]
            self.bones[bone["name"]] = bone
            self.bone = None

    def _hierarchy(self, key: str, words: list[bytes]) -> None:
        if key in ("begin", "end") and not words:
            return
        parent, *children = [key, *map(decoded, words)]
        # Names keep their case; only keywords are folded.
        parent = next((name for name in self.bones if name.lower() == parent), parent)
        for name in (parent, *children):
            if name not in self.bones:
                raise self._error(f"unknown bone {name!r} in the hierarchy")
        for child in children:
            if child in self.parent_of or child == "root":
                raise self._error(f"bone {child!r} has two parents")
            self.parent_of[child] = parent
        self.children.setdefault(parent, []).extend(children)

    def _assemble(self) -> AsfSkeleton:
        mm_per_unit = MM_PER_INCH / self.length_unit
        to_radians = np.pi / 180 if self.degrees else 1.0
        bones: list[Bone] = []
        waiting = [("root", -1)]
        while waiting:
            name, parent = waiting.pop(0)
            entry = self.bones[name]
            axis = identity(1)
            # Applied first means rightmost: C = Rz Ry Rx for the order xyz.
            for letter in reversed(entry["order"]):
                number = "xyz".index(letter)
                axis = turn(axis, number, entry["orientation"][number : number + 1] * to_radians)
            offset = entry["offset"] * mm_per_unit
            bones.append(Bone(name, parent, offset, axis[..., 0], entry["order"], entry["dof"]))
            waiting += [(child, len(bones) - 1) for child in self.children.get(name, ())]
        placed = {bone.name for bone in bones}
        for name, entry in self.bones.items():
            if name not in placed:
                raise line_error(
                    self.path, entry["line"], f"bone {name!r} does not hang on the root"
                )
        return AsfSkeleton(str(self.path), tuple(bones), mm_per_unit, self.degrees)


def read_amc(path: str | os.PathLike, skeleton: AsfSkeleton) -> AmcMotion:
    """The motion of an `.amc` or `.amc.gz` file, in radians and millimetres.

    Every bone with degrees of freedom needs a line in every frame, and frame numbers count
    up by one.  A file of regular layout is read in bulk; anything else line by line.

    Raises:
        InputError: the file does not fit the skeleton or is malformed; the message names
            the line.
    """
    text = read_text(path)
    degrees, frame_rate, start, line = _read_header(path, text, skeleton.degrees)
    values = _read_bulk(text[start:], skeleton)
    if values is None:
        values = _read_lines(path, text[start:], line, skeleton)
    for bone, columns in zip(skeleton.bones, skeleton.columns, strict=True):
        for name, column in zip(bone.dof, range(columns.start, columns.stop), strict=True):
            if name in _TRANSLATIONS:
                values[:, column] *= skeleton.mm_per_unit
            elif degrees:
                values[:, column] *= np.pi / 180
    return AmcMotion(values, frame_rate, str(path))


def _read_header(
    path: str | os.PathLike, text: bytes, degrees: bool
) -> tuple[bool, float | None, int, int]:
    """Whether angles are degrees, the frame rate, and offset and number of the first line."""
    frame_rate = None
    start, number = 0, 1
    while start < len(text):
        stop = text.find(b"\n", start)
        stop = len(text) if stop < 0 else stop
        words = text[start:stop].split()
        if words and not words[0].startswith((b"#", b":")):
            break
        keyword = words[0].lower() if words else b""
        if keyword in (b":degrees", b":radians"):
            degrees = keyword == b":degrees"
        elif keyword == b":samples-per-second":
            frame_rate = finite_number(words[1]) if len(words) == 2 else None
            if frame_rate is None or frame_rate <= 0:
                raise line_error(path, number, "expected a positive number of samples per second")
        start, number = stop + 1, number + 1
    return degrees, frame_rate, min(start, len(text)), number


def _read_bulk(text: bytes, skeleton: AsfSkeleton) -> Float[np.ndarray, "frames values"] | None:
    """All frames at once where each repeats the first one's lines, else None."""
    names = []
    for line in text.split(b"\n", skeleton.num_values + 2)[1:-1]:
        words = line.split()
        if len(words) == 1:
            break
        names.append(words[0] if words else b"")
    order = [skeleton.index.get(decoded(name), 0) for name in names]
    if sorted(order) != [number for number, bone in enumerate(skeleton.bones) if bone.dof]:
        return None

    # Blank the names out of a copy; what remains are numbers only.
    buffer = np.frombuffer(text.rstrip() + b"\n", np.uint8).copy()
    stops = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    counts = [1, *(1 + len(skeleton.bones[bone].dof) for bone in order)]
    if len(starts) % len(counts):
        return None
    if (tokens_per_line(buffer, starts).reshape(-1, len(counts)) != counts).any():
        return None
    for line, name in enumerate(names, start=1):
        at = starts[line :: len(counts)]
        if (stops[line :: len(counts)] - at <= len(name)).any():
            return None
        letters = at[:, None] + np.arange(len(name))
        if (buffer[letters] != np.frombuffer(name, np.uint8)).any():
            return None
        if (buffer[at + len(name)] > ord(" ")).any():
            return None
        buffer[letters] = ord(" ")

    frames, width = len(starts) // len(counts), 1 + skeleton.num_values
    numbers = bulk_numbers(buffer.tobytes(), frames * width)
    if numbers is None:
        return None
    table = numbers.reshape(frames, width)
    if (table[:, 0] != table[0, 0] + np.arange(frames)).any():
        return None
    columns = [np.arange(width - 1)[skeleton.columns[bone]] for bone in order]
    values = np.empty((frames, width - 1))
    values[:, np.concatenate(columns)] = table[:, 1:]
    return values


def _read_lines(
    path: str | os.PathLike, text: bytes, first_line: int, skeleton: AsfSkeleton
) -> Float[np.ndarray, "frames values"]:
    """All frames line by line: any order of bones, blank lines, comments; errors have a line."""
    moving = {bone.name for bone in skeleton.bones if bone.dof}
    values, row = array("d"), np.empty(skeleton.num_values)
    missing: set[str] = set()
    frame, number = None, first_line
    for number, line in _numbered_lines(text, first_line):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if len(words) == 1 and finite_number(words[0]) is not None:
            if missing:
                raise line_error(path, number, _ends_without(frame, missing))
            # More digits than any frame number has are no number at all.
            following = int(words[0]) if words[0].isdigit() and len(words[0]) < 10 else None
            if following is None or following != (following if frame is None else frame + 1):
                expected = "a frame number" if frame is None else f"frame {frame + 1}"
                raise line_error(path, number, f"expected {expected}, found {shown(words[0])}")
            if frame is not None:
                values.frombytes(row.tobytes())
            frame, missing = following, set(moving)
            continue
        name = decoded(words[0])
        bone = skeleton.index.get(name)
        if frame is None:
            raise line_error(path, number, f"expected a frame number, found {shown(words[0])}")
        if bone is None:
            raise line_error(
                path, number, f"unknown bone {shown(words[0])}: {skeleton.path} has no such bone"
            )
        dof = skeleton.bones[bone].dof
        if not dof:
            raise line_error(
                path, number, f"unexpected line for {name}, which has no degrees of freedom"
            )
        if len(words) - 1 != len(dof):
            raise line_error(
                path, number, f"expected {len(dof)} values for {name}, found {len(words) - 1}"
            )
        if name not in missing:
            raise line_error(path, number, f"a second line for {name} in frame {frame}")
        missing.remove(name)
        numbers = [finite_number(word) for word in words[1:]]
        for word, value in zip(words[1:], numbers, strict=True):
            if value is None:
                raise line_error(path, number, f"expected a number for {name}, {found(word)}")
        row[skeleton.columns[bone]] = numbers
    if missing:
        raise line_error(path, number, _ends_without(frame, missing))
    if frame is None:
        raise InputError(f"{path}: no frames found")
    values.frombytes(row.tobytes())
    return np.array(values).reshape(-1, skeleton.num_values)


def _ends_without(frame: int | None, missing: set[str]) -> str:
    return f"frame {frame} ends without {', '.join(sorted(missing)[:5])}"


def joint_positions(
    skeleton: AsfSkeleton, motion: AmcMotion, wanted: Sequence[int] | None = None
) -> Float[np.ndarray, "frames wanted 3"]:
    """The tips of bones in the file's world axes (CMU: y up), millimetres.

    Args:
        skeleton, motion: of an ASF and an AMC file.
        wanted: indices of bones; None: all, in the skeleton's order.

    Raises:
        InputError: so many bones for so few numbers in the file that memory would not do.
    """
    wanted = range(len(skeleton.bones)) if wanted is None else wanted
    check_count(motion.path, len(motion.values), len(wanted), motion.values.size)
    needed = set(wanted)
    for number in reversed(range(len(skeleton.bones))):
        if number in needed:
            needed.add(skeleton.bones[number].parent)
    frames, step = len(motion.values), block_of(_FRAMES_PER_BLOCK, len(needed))
    positions = np.empty((frames, len(wanted), 3))
    for start in range(0, frames, step):
        block = slice(start, start + step)
        tips = _block_positions(skeleton, motion.values[block], needed)
        positions[block] = np.stack([tips[bone] for bone in wanted]).transpose(2, 0, 1)
    return positions


def _block_positions(
    skeleton: AsfSkeleton, values: Float[np.ndarray, "frames values"], needed: set[int]
) -> dict[int, Float[np.ndarray, "3 frames"]]:
    values = np.ascontiguousarray(values.T)
    frames = values.shape[1]
    rotations: dict[int, np.ndarray] = {-1: identity(frames)}
    tips: dict[int, np.ndarray] = {}
    for number, (bone, columns) in enumerate(zip(skeleton.bones, skeleton.columns, strict=True)):
        if number not in needed:
            continue
        given = dict(zip(bone.dof, values[columns], strict=True))
        rotation = rotations[bone.parent]
        if any(name in given for name in _ROTATIONS):
            rotation = bone.axis.T @ rotation  # rotation C, the frame axis being last
            for letter in reversed(bone.order):
                if "r" + letter in given:
                    rotation = turn(rotation, "xyz".index(letter), given["r" + letter])
            rotation = bone.axis @ rotation  # rotation C^T
        rotations[number] = rotation
        if bone.parent < 0:
            tip = np.repeat(bone.offset_mm[:, None], frames, axis=1)
            for axis, name in enumerate(_TRANSLATIONS):
                if name in given:
                    tip[axis] += given[name]
            tips[number] = tip
        else:
            tips[number] = tips[bone.parent] + rotate(rotation, bone.offset_mm)
    return tips


def _numbered_lines(text: bytes, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """One line after the other; all at once would take many times the text's memory."""
    return enumerate(io.BytesIO(text + b"\n"), start=first)
