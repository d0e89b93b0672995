"""Lists the configs that come with jrepose; with a name, says what is in that one.

examples:
  jrepose configs
  jrepose configs repose_mocap:small
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from jrepose import config_files
from jrepose.command import CommandLine


def configs(argv: Sequence[str]) -> int:
    """Lists configs, or shows one."""
    line = CommandLine(argv, __doc__, optional={"CONFIG": "Name or file, NAME:VARIANT."})
    given = line.parse()
    if not given:
        print(_listing())
        return 0

    from jrepose.config import load_config, to_json

    config = load_config(given[0])
    path, _ = config_files.find(given[0])
    if path.suffix == ".py" and (text := config_files.docstring(path)):
        print(f"{text}\n")
    print(to_json(config))
    return 0


def _listing() -> str:
    lines = []
    for name in config_files.names():
        path = config_files.folder() / f"{name}.py"
        lines.append(f"{name:<22}{config_files.summary(path)}")
        if variants := config_files.variants(path):
            text = "variants: " + ", ".join(f":{variant}" for variant in variants)
            lines += textwrap.wrap(text, 96, initial_indent=" " * 22, subsequent_indent=" " * 22)
    return "\n".join(lines)
