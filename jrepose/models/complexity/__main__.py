"""`python -m jrepose.models.complexity` is `jrepose complexity`."""

import sys

from jrepose.command import run
from jrepose.commands.complexity import complexity

if __name__ == "__main__":
    sys.exit(run(complexity, ["python -m jrepose.models.complexity", *sys.argv[1:]]))
