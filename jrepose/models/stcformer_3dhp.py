"""STCFormer's released network for MPI-INF-3DHP, another than the one for Human3.6M."""

from __future__ import annotations

from typing import ClassVar

from jrepose.models.stcformer import STCFormer, Variant

MPI_INF_3DHP = Variant(
    parts=(0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0),
    embeddings=20,
    part_factors=(1e-4, 0.0),
    untrained_part=0,
    scaled_halves=2,
    unused_norm=True,
)
"""For MPI-INF-3DHP's joints; the parts are torso and head, right arm, left arm, right leg, left
leg."""


class STCFormer3DHP(STCFormer):
    """Lifts clips of MPI-INF-3DHP's joints, all frames at once (seq2seq).

    The defaults are those of the released model for 81 frames (4,754,432 parameters).  Fewer and
    wider heads, scores scaled by all channels, and body parts that count in attention over joints
    only, those of torso and head not at all: see `MPI_INF_3DHP`.

    Attributes:
        frames, num_heads: as in `STCFormer`, which has all the others.
    """

    variant: ClassVar[Variant] = MPI_INF_3DHP

    frames: int = 81
    num_heads: int = 4
