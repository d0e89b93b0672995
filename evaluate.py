"""Command line: see `evaluate` in jrepose/cli.py, or `python evaluate.py --help`."""

import sys

from jrepose import cli

if __name__ == "__main__":
    sys.exit(cli.run(cli.evaluate, sys.argv))
