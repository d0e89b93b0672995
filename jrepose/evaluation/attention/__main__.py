"""`python -m jrepose.evaluation.attention` is `jrepose attention`."""

import sys

from jrepose.command import run
from jrepose.commands.attention import attention

if __name__ == "__main__":
    sys.exit(run(attention, ["python -m jrepose.evaluation.attention", *sys.argv[1:]]))
