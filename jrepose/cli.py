"""The `jrepose` command.

Exit status: 0 done, 2 unusable input or a diverged loss (one line on standard error), 130 stopped
by a signal after saving.  What else a command says is in its help.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jrepose import __version__
from jrepose.command import nearest, run
from jrepose.commands import COMMANDS, command
from jrepose.errors import InputError
from jrepose.interrupts import end_quietly

_EXAMPLES = """\
examples:
  jrepose train --config demo --workdir runs/demo
  jrepose evaluate --checkpoint runs/demo
  jrepose inspect FILE"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `jrepose`: the first argument names the subcommand."""
    if argv is None:
        end_quietly()
    argv = list(sys.argv if argv is None else argv)
    name, rest = (argv[1], argv[2:]) if len(argv) > 1 else ("--help", [])
    if name == "help":
        name, rest = (rest[0], ["--help"]) if rest else ("--help", [])
    if name in ("--help", "-help", "-h"):
        print(overview())
        return 0
    if name in ("--version", "-version"):
        print(f"jrepose {__version__}")
        return 0
    if name not in COMMANDS:
        return run(_unknown, ["jrepose", name])
    return run(command(name), [f"jrepose {name}", *rest])


def overview() -> str:
    """What `jrepose --help` prints."""
    rows = [f"  {name:<19}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jrepose COMMAND [FLAGS]",
            "",
            "2D keypoints to 3D human pose in JAX/Flax.",
            "",
            "commands (jrepose COMMAND --help says more):",
            *rows,
            "",
            "flags:",
            "  --version          Show the version.",
            "  --help             Show this.",
            "",
            _EXAMPLES,
        ]
    )


def _unknown(argv: Sequence[str]) -> int:
    name = argv[1]
    hint = nearest(name, list(COMMANDS)) or f"; the commands are {', '.join(COMMANDS)}"
    raise InputError(f"unknown command {name!r}{hint}")
