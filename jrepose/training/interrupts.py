"""SIGTERM and SIGINT as a request to save and stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupts:
    """Context in which the first SIGTERM or SIGINT is only noted.

    A second one acts as it did outside.  Outside of the main thread, where Python does not
    deliver signals, nothing changes.
    """

    signals = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
