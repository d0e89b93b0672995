"""Pickles and NumPy archives, read without trusting them.

A pickle can call anything.  The readers here know NumPy arrays, numbers, strings and plain
containers; any other name in a file is refused, nothing of it is imported, and lengths are
checked against the file before memory is taken.  What makes much out of a small file is refused
as well: containers that hold one another many times over, nesting without end, dictionary keys
made to collide, archives that swell.
"""

from jrepose.restricted_pickle.admitted import LEAVES, NAMES, Discarded
from jrepose.restricted_pickle.files import read_npz, read_pickle
from jrepose.restricted_pickle.machine import load
from jrepose.restricted_pickle.messages import reading

__all__ = ["LEAVES", "NAMES", "Discarded", "load", "read_npz", "read_pickle", "reading"]
