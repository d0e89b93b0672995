"""`python compare_gradients.py` is `jrepose compare-gradients`."""

import sys

from jrepose.command import run
from jrepose.commands.compare_gradients import compare_gradients

if __name__ == "__main__":
    sys.exit(run(compare_gradients, sys.argv))
