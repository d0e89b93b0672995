"""`python -m jrepose.interop.convert` is `jrepose convert`."""

import sys

from jrepose.command import run
from jrepose.commands.convert import convert

if __name__ == "__main__":
    sys.exit(run(convert, ["python -m jrepose.interop.convert", *sys.argv[1:]]))
