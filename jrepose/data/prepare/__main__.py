"""Command line: `python -m jrepose.data.prepare --help`."""

import sys

from jrepose.command import run
from jrepose.data.prepare import main

if __name__ == "__main__":
    sys.exit(run(main, ["python -m jrepose.data.prepare", *sys.argv[1:]]))
