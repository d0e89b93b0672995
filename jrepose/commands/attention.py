"""Draws what a transformer attends to in one clip: joints to joints, and frames to frames.

examples:
  jrepose attention --checkpoint runs/demo --clip 3
  jrepose attention --checkpoint runs/demo --layer 0 --joint left_wrist
"""

from __future__ import annotations

from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.commands import from_checkpoint
from jrepose.config_fields import main_fields
from jrepose.errors import InputError


def attention(argv: Sequence[str]) -> int:
    """Draws what a transformer attends to in one clip, see `jrepose.evaluation.attention`."""
    line = CommandLine(argv, __doc__, config="[--config CONFIG]", fields=main_fields("data"))
    from_checkpoint.define_flags(line)
    line.text("output", None, "Folder for the pictures (CHECKPOINT/attention).", value="DIR")
    line.whole("clip", 0, "Which clip of the split's evaluation windows.")
    line.text("layer", "last", "Number of a layer, or last.", value="N")
    line.whole("frame", None, "Frame of the clip whose spatial map to draw (the mean).")
    line.text("joint", None, "Joint whose temporal map to draw (the mean).", value="NAME")
    line.choice(
        "scale", "min_max", "Smallest weight 0 and largest 1, or only the largest 1.",
        ["min_max", "max"],
    )  # fmt: skip
    line.show_help()

    from jrepose.evaluation.attention import draw_clip
    from jrepose.tasks.lifting import create_model

    chosen = from_checkpoint.load(line)
    layer = line["layer"]
    if layer != "last" and not layer.isdecimal():
        raise InputError(f"--layer is {layer!r}, expected a number or 'last'")
    for written in draw_clip(
        create_model(chosen.config),
        chosen.variables,
        chosen.dataset,
        chosen.config,
        line["output"] or chosen.folder / "attention",
        clip=line["clip"],
        layer=None if layer == "last" else int(layer),
        frame=line["frame"],
        joint=line["joint"],
        scale=line["scale"],
    ):
        print(f"wrote {written}")
    return 0
