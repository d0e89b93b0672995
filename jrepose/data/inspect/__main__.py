"""`python -m jrepose.data.inspect` is `jrepose inspect`."""

import sys

from jrepose.command import run
from jrepose.commands.inspect import inspect

if __name__ == "__main__":
    sys.exit(run(inspect, ["python -m jrepose.data.inspect", *sys.argv[1:]]))
