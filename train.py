"""`python train.py` is `jrepose train`."""

import sys

from jrepose.interrupts import end_quietly

if __name__ == "__main__":
    end_quietly()
    from jrepose.command import run
    from jrepose.commands.train import train

    sys.exit(run(train, sys.argv))
