"""`python -m jrepose.interop.parity` is `jrepose parity`."""

import sys

from jrepose.command import run
from jrepose.commands.parity import parity

if __name__ == "__main__":
    sys.exit(run(parity, ["python -m jrepose.interop.parity", *sys.argv[1:]]))
