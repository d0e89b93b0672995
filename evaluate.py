"""`python evaluate.py` is `jrepose evaluate`."""

import sys

from jrepose.command import run
from jrepose.commands.evaluate import evaluate

if __name__ == "__main__":
    sys.exit(run(evaluate, sys.argv))
