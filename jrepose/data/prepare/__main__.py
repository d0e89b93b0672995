"""`python -m jrepose.data.prepare` is `jrepose prepare`."""

import sys

from jrepose.command import run
from jrepose.commands.prepare import prepare

if __name__ == "__main__":
    sys.exit(run(prepare, ["python -m jrepose.data.prepare", *sys.argv[1:]]))
