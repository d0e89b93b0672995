"""The processes of one run find each other, and end together.

JAX's own service aborts a process with a stack of C++ calls a minute or more after another one
has died, or minutes after one did not come.  Here they meet before it starts, over one TCP
connection from each process to process 0, which stays: the kernel closes it when a process
dies, and a beat tells a machine that has gone from one that is busy.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import sys
import threading
import time
from typing import Any

from jrepose.errors import InputError

_LOG = logging.getLogger(__name__)

MEETING_S = 120.0
"""How long all processes have to come to the first one."""

SILENCE_S = 60.0
"""After how long without a beat a process counts as gone."""

STATUS = 2
"""Exit status of a process that cannot go on without another."""

_BEAT_S = 5.0
# How long an error waits for the news that explains it.
_VERDICT_S = 3.0
_HINT = "; the same command on all processes continues the run"
_HELLO = "jrepose run"

_watch: _Watch | None = None


def address(coordinator: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, of `[HOST]:PORT` for an IPv6 address.

    Raises:
        InputError: it is something else.
    """
    host, colon, port = coordinator.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()):
        raise InputError(f"coordinator is {coordinator!r}, expected HOST:PORT of process 0")
    if not 0 < int(port) < 65536:
        raise InputError(f"coordinator {coordinator!r}: a port is 1..65535")
    return host.strip("[]"), int(port)


def meet(
    coordinator: str, num_processes: int, process_id: int, timeout_s: float | None = None
) -> None:
    """Waits for all processes of a run; from then on watches them until this one ends.

    Args:
        coordinator: `HOST:PORT`; process 0 listens there until all have come, and then leaves
            the port to JAX.
        num_processes, process_id: as `jax.distributed.initialize` takes them.
        timeout_s: how long to wait; None: `MEETING_S`.

    Raises:
        InputError: a process did not come in time, came twice, or was told another number of
            processes; or the address cannot be used.
    """
    global _watch
    host, port = address(coordinator)
    timeout_s = MEETING_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + timeout_s
    if process_id == 0:
        connections = _receive(coordinator, port, num_processes, deadline, timeout_s)
    else:
        connections = {0: _go(host, port, num_processes, process_id, deadline, timeout_s)}
    if connections:
        _watch = _Watch(connections, process_id)
        atexit.register(_watch.finish)
        sys.excepthook = _watch.excepthook


def leave(line: str, status: int = STATUS) -> None:
    """Ends this process of a run; the others end with its line, and status 2.

    Returns only where there are no others.
    """
    if _watch is not None:
        _watch.leave(line, status)


class _Connection:
    """Lines of JSON over a socket."""

    def __init__(self, connected: socket.socket):
        self._socket, self._rest = connected, b""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: Any) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float) -> Any:
        """The next message; None at the end.

        Raises:
            OSError: nothing came in time, or the connection broke.
            ValueError: what came is no message.
        """
        self._socket.settimeout(max(timeout_s, 0.001))
        while b"\n" not in self._rest:
            received = self._socket.recv(4096)
            if not received:
                return None
            self._rest += received
            if len(self._rest) > 65536:
                raise ValueError("no message")
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        self._socket.close()


def _receive(
    coordinator: str, port: int, num_processes: int, deadline: float, timeout_s: float
) -> dict[int, _Connection]:
    """Process 0: one connection from each of the others."""
    try:
        listener = (
            socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
            if socket.has_dualstack_ipv6()
            else socket.create_server(("", port))
        )
    except OSError as error:
        raise InputError(
            f"process 0 cannot listen on port {port} of {coordinator}: {error.strerror or error}"
        ) from None
    here: dict[int, _Connection] = {}
    refusal = None
    announced = time.monotonic() + 10
    with listener:
        while len(here) < num_processes - 1 and refusal is None:
            missing = [str(k) for k in range(1, num_processes) if k not in here]
            if time.monotonic() > deadline:
                refusal = (
                    f"process {', '.join(missing)} of {num_processes} did not come to "
                    f"{coordinator} within {timeout_s:.0f} s"
                )
                break
            if time.monotonic() > announced:
                announced += 30
                _LOG.info("waiting at %s for process %s", coordinator, ", ".join(missing))
            listener.settimeout(0.5)
            try:
                connection = _Connection(listener.accept()[0])
                hello = connection.receive(5)
                process, theirs = hello[_HELLO]
            except (OSError, ValueError, KeyError, TypeError):
                continue  # nobody, or a stranger
            if theirs != num_processes:
                refusal = (
                    f"process {process} was told of {theirs} processes, process 0 of "
                    f"{num_processes}"
                )
            elif process in here or not 0 < process < num_processes:
                refusal = f"two processes say that they are process {process}"
            else:
                here[process] = connection
                continue
            _try_to_send(connection, {"refused": refusal})
        for connection in here.values():
            _try_to_send(connection, {"refused": refusal} if refusal else {"begin": True})
    if refusal:
        raise InputError(refusal)
    return here


def _go(
    host: str, port: int, num_processes: int, process_id: int, deadline: float, timeout_s: float
) -> _Connection:
    """Another process: the connection to process 0."""
    reason = "no answer"
    while time.monotonic() < deadline:
        try:
            connection = _Connection(socket.create_connection((host, port), timeout=5))
            connection.send({_HELLO: [process_id, num_processes]})
            answer = connection.receive(deadline + 5 - time.monotonic())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
                raise InputError(f"coordinator {host}:{port}: {reason}") from None
            time.sleep(0.5)
            continue
        if answer and "begin" in answer:
            return connection
        if answer and "refused" in answer:
            raise InputError(answer["refused"])
        reason = "process 0 ended, or another program listens there"
        connection.close()
        time.sleep(0.5)
    raise InputError(
        f"process {process_id} did not reach process 0 at {host}:{port} within "
        f"{timeout_s:.0f} s: {reason}"
    )


def _try_to_send(connection: _Connection, message: Any) -> None:
    try:
        connection.send(message)
    except OSError:
        pass


class _Watch:
    """Threads that send beats and listen to those of the others; process 0 passes news on."""

    def __init__(self, connections: dict[int, _Connection], process_id: int):
        self._connections, self._done = connections, set()
        self._lock, self._ending = threading.Lock(), False
        self._process_id, self._excepthook = process_id, sys.excepthook
        for process in connections:
            threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def tell(self, message: Any) -> None:
        """Sends a message to all neighbours."""
        with self._lock:
            for connection in self._connections.values():
                _try_to_send(connection, message)

    def finish(self) -> None:
        """This process has ended as it should: the others go on."""
        self._ending = True
        self.tell({"done": True})

    def leave(self, line: str, status: int) -> None:
        """This process cannot go on, so none can."""
        self._ending = True
        self.tell({"left": f"process {self._process_id}: {line.splitlines()[0][:500]}"})
        _end(status)

    def excepthook(self, kind: type, error: BaseException, traceback: Any) -> None:
        """For an error that nobody expected: often only that another process has died."""
        time.sleep(_VERDICT_S)
        self._excepthook(kind, error, traceback)
        self.leave(f"{kind.__name__}: {error}", 1)

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_S)
            self.tell({"beat": True})

    def _listen(self, process: int) -> None:
        connection = self._connections[process]
        while True:
            try:
                message = connection.receive(SILENCE_S)
            except TimeoutError:
                line = f"process {process} has not answered for {SILENCE_S:.0f} s"
            except (OSError, ValueError):
                line = f"process {process} has died"
            else:
                if message is None:
                    line = f"process {process} has died"
                elif "left" in message:
                    line = message["left"]
                elif "done" in message:
                    return
                else:
                    continue
            self.tell({"left": line})
            with self._lock:  # neighbours that end for one reason are heard at the same time
                first, self._ending = not self._ending, True
            if first:
                print(f"{sys.argv[0]}: error: {line}{_HINT}", file=sys.stderr, flush=True)
                _end(STATUS)
            return


def _end(status: int) -> None:
    """Ends the process without JAX's farewell, which waits for all."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
