"""What every command line shares: exit statuses and one-line errors."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from jrepose.errors import InputError
from jrepose.host_memory import reuse_freed_memory


def run(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Runs a command; unusable input becomes one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("jrepose").setLevel(logging.INFO)
    reuse_freed_memory()
    try:
        return command(argv)
    except InputError as error:
        print(f"{argv[0]}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
