"""Command line: see `train` in jrepose/cli.py, or `python train.py --help`."""

import sys

from jrepose import cli

if __name__ == "__main__":
    sys.exit(cli.run(cli.train, sys.argv))
