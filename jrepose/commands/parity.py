"""Compares this library with what the official PyTorch code computed, number by number.

Exit status: 0 agreement, 1 past tolerance, 2 unusable input.

example:
  jrepose parity FIXTURE.npz --verbose
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine


def parity(argv: Sequence[str]) -> int:
    """Prints a table of errors, by group of arrays."""
    line = CommandLine(argv, __doc__, arguments={"FIXTURE": ".npz with parameters and results."})
    line.switch("verbose", False, "List every array.")
    line.number(
        "tolerance", 1e-5,
        "Largest relative error of outputs and losses; gradients may have ten times it.",
        lower_bound=0.0,
    )  # fmt: skip
    (fixture,) = line.parse()

    import jax

    from jrepose.interop.parity import compare_fixture, not_compared, report

    path, tolerance = pathlib.Path(fixture), line["tolerance"]
    comparisons = compare_fixture(path)
    print(report(comparisons, tolerance, line["verbose"]))
    if left := not_compared(path, comparisons):
        print(f"no counterpart here, not compared: {', '.join(left)}")
    agree = all(comparison.within(tolerance) for comparison in comparisons)
    print("agreement" if agree else "DISAGREEMENT", "on", jax.devices()[0].device_kind)
    return 0 if agree else 1
