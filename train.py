"""`python train.py` is `jrepose train`."""

import sys

from jrepose.command import run
from jrepose.commands.train import train

if __name__ == "__main__":
    sys.exit(run(train, sys.argv))
