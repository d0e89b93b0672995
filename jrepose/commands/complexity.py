"""Size of a model: parameters, multiply-accumulates and measured speed.

examples:
  jrepose complexity --config repose_h36m
  jrepose complexity --config repose_h36m --config.model.depth=3 --nothroughput
"""

from __future__ import annotations

from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.config_fields import main_fields


def complexity(argv: Sequence[str]) -> int:
    """Prints a table of a model's size, its paper's numbers beside it."""
    fields = main_fields("precision", "clip.frames", "model")
    line = CommandLine(argv, __doc__, config="--config CONFIG", fields=fields)
    line.whole("batch", 1, "Clips at a time.", lower_bound=1)
    line.switch("throughput", True, "Measure the speed too.")
    line.show_help()

    from jrepose.config import parse_flags
    from jrepose.models.complexity import clips_per_second, describe, measure
    from jrepose.tasks.lifting import create_model

    config = parse_flags(line.flags, argv)
    model = create_model(config)
    clip_shape = (config.clip.frames, *model.input_shape[1:])
    speed = None
    if line["throughput"]:
        speed = clips_per_second(model, clip_shape, line["batch"])
    print(describe(config.model.name, measure(model, clip_shape), speed))
    return 0
