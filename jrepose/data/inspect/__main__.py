"""Command line: `python -m jrepose.data.inspect --help`."""

import sys

from jrepose.command import run
from jrepose.data.inspect import main

if __name__ == "__main__":
    sys.exit(run(main, ["python -m jrepose.data.inspect", *sys.argv[1:]]))
