"""Signals are noted once and handled as before afterwards."""

import signal
import threading

import pytest

from jrepose.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_is_noted_second_acts(number):
    seen = []
    previous = signal.signal(number, lambda *_: seen.append("outer"))
    try:
        with Interrupts() as interrupts:
            assert interrupts.received is None
            signal.raise_signal(number)
            assert interrupts.received == number and seen == []
            signal.raise_signal(number)
            assert seen == ["outer"]
        with Interrupts():
            pass
        signal.raise_signal(number)
        assert seen == ["outer", "outer"]
    finally:
        signal.signal(number, previous)


def test_other_threads_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    inside = []

    def body():
        with Interrupts() as interrupts:
            inside.append((interrupts.received, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert inside == [(None, before)]
