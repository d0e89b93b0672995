"""`python -m jrepose` is `jrepose`."""

import sys

from jrepose.cli import main

if __name__ == "__main__":
    sys.exit(main())
