"""Biovision BVH: a rest pose and the joints' rotations.

Centimetres, y up, z forward, x to the left of someone who faces z: what Blender, Maya, Unity and
Mixamo expect.  Who faces the camera faces z.
"""

from __future__ import annotations

import itertools
import pathlib

import numpy as np

from jrepose.errors import InputError
from jrepose.motion.motion import Motion
from jrepose.motion.rotations import Turned, euler_angles, fit_rotations
from jrepose.motion.writers.text import write_rows

ORDERS = tuple("".join(order) for order in itertools.permutations("XYZ"))
"""Orders of rotation channels."""

_CM_PER_M = 100


def write(motion: Motion, path: pathlib.Path, name: str, rotation_order: str = "ZXY") -> None:
    """Writes one person.

    Bones have constant lengths (`bones.bone_lengths`), so positions are those of
    `with_constant_bones`.  Joints are called as in the skeleton; where several start from one
    joint, each but the main one has a joint `NAME_base` without length before it.

    Args:
        motion: what to write.
        path: where to write it.
        name: of the file, for messages.
        rotation_order: of the rotation channels; the first is applied last.

    Raises:
        InputError: no such order.
    """
    order = rotation_order.upper()
    if order not in ORDERS:
        raise InputError(
            f"{name}: rotation_order is {rotation_order!r}, expected one of {', '.join(ORDERS)}"
        )
    x, forward, up = np.moveaxis(motion.poses_m.astype(np.float64) * _CM_PER_M, -1, 0)
    poses = np.stack([x, up, -forward], axis=-1)
    parts = fit_rotations(poses, motion.skeleton, float(motion.fps))
    columns = [poses[:, motion.skeleton.root]]
    columns += [euler_angles(part.rotation, order) for part in parts]
    table = np.round(np.concatenate(columns, axis=1), 4) + 0.0  # no minus zero
    row = " ".join(["%.4f"] * table.shape[1]) + "\n"
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(_hierarchy(parts, order))
        file.write(f"MOTION\nFrames: {len(table)}\nFrame Time: {1 / motion.fps:.8f}\n")
        write_rows(file, row, table)


def _hierarchy(parts: list[Turned], order: str) -> str:
    lines, depth = ["HIERARCHY"], []  # depth: the open parts
    rotations = " ".join(f"{axis}rotation" for axis in order)
    for number, part in enumerate(parts):
        while depth and depth[-1] != part.parent:
            depth.pop()
            lines.append("\t" * len(depth) + "}")
        kind = "JOINT" if depth else "ROOT"
        positions = "" if depth else "Xposition Yposition Zposition "
        tabs = "\t" * len(depth)
        lines += [
            f"{tabs}{kind} {_word(part.name)}",
            f"{tabs}{{",
            f"{tabs}\tOFFSET {_numbers(part.offset)}",
            f"{tabs}\tCHANNELS {3 if depth else 6} {positions}{rotations}",
        ]
        if part.tip is not None:
            lines += [
                f"{tabs}\tEnd Site",
                f"{tabs}\t{{",
                f"{tabs}\t\tOFFSET {_numbers(part.tip)}",
                f"{tabs}\t}}",
            ]
        depth.append(number)
    lines += ["\t" * level + "}" for level in reversed(range(len(depth)))]
    return "\n".join(lines) + "\n"


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.4f}" for value in np.round(values, 4) + 0.0)


def _word(name: str) -> str:
    return "_".join(name.split())
