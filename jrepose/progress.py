"""How far a long computation is: a bar on a terminal, a line now and then in a file."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Counts units of work and shows them, on standard error.

    On a terminal it is a bar that is drawn anew several times a second.  Elsewhere, in a file or
    a pipe, it is a line every 30 seconds and one at the end.  The rate is in the unit that is
    counted.

    Args:
        total: units of the whole work.
        unit: what is counted, in the singular.
        name: stands before the numbers.
        done: units that were done before, by an earlier start.
        shown: False shows nothing.
        stream: where to write; None takes standard error.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        name: str,
        *,
        done: int = 0,
        shown: bool = True,
        stream: io.TextIOBase | None = None,
    ):
        self._total, self._unit, self._name = total, unit, name
        self._done = self._first = self._shown = done
        self._stream = stream or sys.stderr
        self._start = self._last_line = time.monotonic()
        self._notes: Mapping[str, str] = {}
        self._bar = None
        self._writes = shown and not self._stream.isatty()
        if shown and not self._writes:
            self._bar = tqdm(
                total=total, initial=done, unit=unit, desc=name, dynamic_ncols=True,
                file=self._stream,
            )  # fmt: skip

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def to(self, done: int, notes: Mapping[str, str] | None = None) -> None:
        """Says how much is done.

        Args:
            done: units, counted from the beginning of the work.
            notes: shown beside the numbers, `{"loss": "0.123"}`.
        """
        self._done, self._notes = done, notes or self._notes
        if self._bar is not None:
            if notes:
                self._bar.set_postfix(notes, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._writes and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._write_line()

    def close(self) -> None:
        """The last state stays."""
        if self._bar is not None:
            self._bar.close()
        elif self._writes and self._done > self._shown:
            self._write_line()
        self._bar, self._writes = None, False

    def _write_line(self) -> None:
        self._last_line, self._shown = time.monotonic(), self._done
        numbers = tqdm.format_meter(
            self._done, self._total, self._last_line - self._start, unit=self._unit,
            initial=self._first, postfix=", ".join(f"{k}={v}" for k, v in self._notes.items()),
            bar_format="{n_fmt} of {total_fmt} {unit}s ({percentage:.0f} %), {elapsed} passed, "
            "{remaining} left, {rate_fmt}{postfix}",
        )  # fmt: skip
        self._stream.write(f"{self._name}: {numbers}\n")
        self._stream.flush()
