"""Signals are noted once and handled as before afterwards."""

import signal
import subprocess
import sys
import threading
import time

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


def test_first_is_answered_at_once(caplog):
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
            deadline = time.monotonic() + 5
            while not caplog.messages and time.monotonic() < deadline:
                time.sleep(0.01)
        assert caplog.messages == ["SIGINT: stopping after this step; again to stop now"]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGINT, previous)


_EARLY = """
import sys, time
from jrepose.interrupts import Interrupts, end_quietly
end_quietly()
def work():
    print("ready", flush=True)
    while True:
        time.sleep(60)
def swallow():
    while True:
        try:
            work()
        except BaseException:
            pass
def convert():
    try:
        work()
    except KeyboardInterrupt:
        raise ImportError("numpy could not be imported")
def inside():
    with Interrupts():
        swallow()
locals()[sys.argv[1]]()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "body, times", [("work", 1), ("swallow", 1), ("convert", 1), ("inside", 2)]
)
def test_before_the_run_a_signal_ends_the_process_quietly(body, times, number):
    process = subprocess.Popen(
        [sys.executable, "-c", _EARLY, body],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err and err.count("\n") <= times - 1
