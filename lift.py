"""`python lift.py` is `jrepose lift`."""

import sys

from jrepose.interrupts import end_quietly

if __name__ == "__main__":
    end_quietly()
    from jrepose.command import run
    from jrepose.commands.lift import lift

    sys.exit(run(lift, sys.argv))
