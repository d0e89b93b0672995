"""Processes of a run meet, and none is left alone; without JAX, as it all comes before JAX."""

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from jrepose import peers
from jrepose.errors import InputError

_PROCESS = """
import sys, time
from jrepose import peers
from jrepose.errors import InputError
address, processes, process, timeout, then = sys.argv[1:]
peers._BEAT_S, peers.SILENCE_S, peers._VERDICT_S = 0.2, 1.5, 0.1
try:
    peers.meet(address, int(processes), int(process), float(timeout))
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print("met", flush=True)
if then == "leave":
    peers.leave("bad file")
if then == "fail":
    raise KeyError("x")
if then == "wait":
    time.sleep(60)
time.sleep(float(then))
print("ended", flush=True)
"""


@pytest.fixture
def start():
    processes = []
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"

    def start(process, then="wait", of=3, timeout=20):
        arguments = (address, of, process, timeout, then)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", _PROCESS, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def met(*processes):
    for process in processes:
        assert process.stdout.readline() == "met\n", process.communicate()


def end(process):
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize("victim", [0, 2])
@pytest.mark.parametrize("number, said", [("SIGKILL", "has died"), ("SIGSTOP", "has not answered")])
def test_the_death_of_one_ends_all(start, victim, number, said):
    run = [start(process) for process in range(3)]
    met(*run)
    run[victim].send_signal(getattr(signal, number))
    for process in run:
        if process is not run[victim]:
            status, _, err = end(process)
            assert status == 2
            assert f"error: process {victim} {said}" in err and err.count("\n") == 1
            assert "the same command on all processes continues the run" in err


def test_two_who_end_together_are_one_line(monkeypatch, capsys):
    ends, neighbours = [], {}
    monkeypatch.setattr(peers, "_end", ends.append)
    monkeypatch.setattr(peers._Watch, "_beat", lambda self: None)  # it would go on
    for process in (1, 2):
        with socket.create_server(("localhost", 0)) as server:
            far = peers._Connection(socket.create_connection(server.getsockname()))
            neighbours[process] = peers._Connection(server.accept()[0])
        far.send({"left": "process 1: bad file"})
    before = set(threading.enumerate())
    peers._Watch(neighbours, 0)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=1)
    assert ends == [2] and capsys.readouterr().err.count("process 1: bad file") == 1


@pytest.mark.parametrize(
    "then, status, said", [("leave", 2, "bad file"), ("fail", 1, "KeyError: 'x'")]
)
def test_the_reason_of_one_is_told_by_all(start, then, status, said):
    run = [start(0), start(1), start(2, then)]
    met(run[2])  # the others may be told before they come to say that they have met
    assert end(run[2])[0] == status
    for process in run[:2]:
        status, _, err = end(process)
        assert status == 2 and f"error: process 2: {said};" in err and err.count("\n") == 1


def test_who_ends_as_it_should_ends_nobody_else(start):
    run = [start(0, "1"), start(1, "0"), start(2, "2")]
    for process in run:
        assert end(process) == (0, "met\nended\n", "")


def test_one_that_does_not_come(start):
    for process in (start(0, timeout=3), start(1, timeout=30)):
        status, _, err = end(process)
        assert status == 2 and "process 2 of 3 did not come to localhost:" in err
        assert "within 3 s" in err and err.count("\n") == 1


def test_one_that_comes_to_nobody(start):
    err = end(start(1, timeout=1))[2]
    assert "process 1 did not reach process 0 at localhost:" in err
    assert "within 1 s: Connection refused" in err and err.count("\n") == 1


def test_contradictions(start):
    first, other = start(0), start(1, of=2)
    for process in (first, other):
        status, _, err = end(process)
        assert status == 2 and "process 1 was told of 2 processes, process 0 of 3" in err
    first, one, two = start(0), start(1), start(1)
    errors = [end(process)[2] for process in (first, one, two)]
    assert sum("two processes say that they are process 1" in err for err in errors) == 3


def test_strangers_at_the_port_are_ignored(start):
    first = start(0, "0", of=2)
    for _ in range(100):
        time.sleep(0.05)
        port = int(first.args[3].rpartition(":")[2])
        try:
            with socket.create_connection(("localhost", port), timeout=1) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            break
        except OSError:
            continue
    second = start(1, "0", of=2)
    assert end(first)[0] == end(second)[0] == 0


@pytest.mark.parametrize(
    "text", ["nonsense", "", ":1", "host:", "host:x", "host:0", "host:65536", "host:-1"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(InputError, match="coordinator"):
        peers.address(text)
    assert peers.address("[::1]:80") == ("::1", 80)


def test_a_port_in_use():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"process 0 cannot listen on port {port} of"):
            peers.meet(f"localhost:{port}", 2, 0, 1.0)
