"""Tables of numbers as text."""

from __future__ import annotations

from typing import TextIO

import numpy as np
from jaxtyping import Float

_ROWS_PER_BLOCK = 1024


def write_rows(file: TextIO, row: str, table: Float[np.ndarray, "rows columns"]) -> None:
    """Writes a table, a block of rows at a time.

    Args:
        file: opened to write text.
        row: how a row is formatted, its end included, `"%d\\t%.6f\\n"` for instance.
        table: the numbers.
    """
    for start in range(0, len(table), _ROWS_PER_BLOCK):
        block = table[start : start + _ROWS_PER_BLOCK]
        file.write(row * len(block) % tuple(block.ravel()))
