"""Writes rendered people as images or videos with COCO-style JSON, for `data.source=images`.

What is rendered is a config's data, `data.source=rendered`.  Stopped, the same command goes on.

example:
  jrepose render --config multiview_rendered --out data/rendered
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.config_fields import main_fields
from jrepose.errors import InputError


def render(argv: Sequence[str]) -> int:
    """Renders, says what was written."""
    line = CommandLine(argv, __doc__, config="[--config CONFIG]", fields=main_fields("data"))
    line.text("out", None, "Folder for the images.", value="DIR")
    line.choice("format", "png", "Of images, or of videos.", ["png", "jpg", "mp4"])
    line.whole("every", 1, "Write each k-th moment.", lower_bound=1)
    line.texts(
        "splits", ["train", "validation", "test"], "Which parts of the data.", value="SPLIT,..."
    )
    line.show_help()

    from jrepose.config import default_config, parse_flags
    from jrepose.data.images.write import write_rendered
    from jrepose.data.sources import SPLITS, load_splits

    def rendered_config():
        config = default_config()
        config.data.source = "rendered"
        config.data.split.update(train=("S1", "S5", "S6", "S7"), validation=("S8",), test=("S9",))
        return config

    config = parse_flags(line.flags, argv, rendered_config)
    if line["out"] is None:
        raise InputError("--out DIR is missing")
    if config.data.source != "rendered":
        raise InputError(
            f"config.data.source is {config.data.source!r}; expected 'rendered', which is written"
        )
    if unknown := [split for split in line["splits"] if split not in SPLITS]:
        raise InputError(f"--splits has {unknown[0]!r}; expected some of {', '.join(SPLITS)}")
    folder = pathlib.Path(line["out"])
    written, kept = write_rendered(
        load_splits(config.data, tuple(line["splits"])),
        folder,
        kind=line["format"],
        every=line["every"],
        workers=config.data.images.workers or os.cpu_count() or 1,
    )
    print(f"wrote {written} files to {folder}" + (f", {kept} were there" if kept else ""))
    return 0
