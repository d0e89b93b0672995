"""Ctrl-C and SIGTERM: an end at once, or a request to save and stop.

Python runs a signal's handler between two instructions of the main thread, which may be inside
compiled code for minutes, and what the handler raises may be swallowed by whatever is running.
A signal is therefore heard by a thread of its own as well.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_LOG = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STATUS = 130
"""Exit status of a command that a signal stopped."""

_GRACE_S = 2.0


def end_quietly() -> None:
    """From now on SIGINT and SIGTERM end this process with status 130 and without a traceback.

    For command lines, before anything slow is imported.  `KeyboardInterrupt` is raised, so
    that temporary files are removed; a process that has not ended two seconds later, or that
    gets another signal, is ended in any case.
    """
    received: list[int] = []

    def hear(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(STATUS)
        timer = threading.Timer(_GRACE_S, os._exit, (STATUS,))
        timer.daemon = True
        timer.start()

    def end(*error: object) -> None:
        del error
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(STATUS)

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        # An interrupted import or callback fails in ways of its own: nobody wants to read them.
        sys.excepthook = end
        sys.unraisablehook = lambda *_: None
        raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, interrupt)
    _start_hearing(hear)


class Interrupts:
    """Context in which the first SIGTERM or SIGINT is only noted, and answered with a line.

    A second one acts as it did outside.  Outside of the main thread, where Python does not
    deliver signals, nothing changes.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._heard = False
        self._previous: dict[signal.Signals, object] = {}
        self._hearing: tuple[int, int, threading.Thread] | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
            self._hearing = _start_hearing(self._hear)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()
        if self._hearing is not None:
            before, writer, thread = self._hearing
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            os.close(writer)
            thread.join()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number)
        self._restore()

    def _hear(self, number: int) -> None:
        if not self._heard:
            self._heard = True
            self.received = signal.Signals(number)
            _LOG.warning("%s: stopping after this step; again to stop now", self.received.name)
        elif self._hearing is not None:
            # Whoever listened outside decides about the second.
            with suppress(OSError):
                os.write(self._hearing[0], bytes([number]))

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _start_hearing(listener: Callable[[int], None]) -> tuple[int, int, threading.Thread]:
    """Calls `listener(number)` in a thread as soon as a signal arrives.

    Returns:
        What `signal.set_wakeup_fd` said before, the end of the pipe that ends the thread when
        it is closed, and the thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen() -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while heard := pipe.read(1):
                if heard[0] in SIGNALS:
                    listener(heard[0])

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    return before, writer, thread
