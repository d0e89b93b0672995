"""`python evaluate.py` is `jrepose evaluate`."""

import sys

from jrepose.interrupts import end_quietly

if __name__ == "__main__":
    end_quietly()
    from jrepose.command import run
    from jrepose.commands.evaluate import evaluate

    sys.exit(run(evaluate, sys.argv))
