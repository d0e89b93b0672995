"""Rotation matrices of whole clips, built up by turning about coordinate axes.

The frame axis comes last, so that every operation runs over contiguous memory.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def turn(
    rotation: Float[np.ndarray, "3 3 frames"],
    axis: int,
    angle: Float[np.ndarray, " frames"],
) -> Float[np.ndarray, "3 3 frames"]:
    """`rotation @ R`, where R turns by `angle` (radians) about coordinate axis 0, 1 or 2."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = np.cos(angle), np.sin(angle)
    turned = rotation.copy()
    turned[:, u] = rotation[:, u] * cos + rotation[:, v] * sin
    turned[:, v] = rotation[:, v] * cos - rotation[:, u] * sin
    return turned


def identity(frames: int) -> Float[np.ndarray, "3 3 frames"]:
    """The rotation that changes nothing, for every frame."""
    return np.repeat(np.eye(3)[:, :, None], frames, axis=2)


def rotate(
    rotation: Float[np.ndarray, "3 3 frames"], vector: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 frames"]:
    """A fixed vector, rotated in every frame."""
    return vector @ rotation
