"""Tiny runs in processes of their own, forked from one that has imported what they need.

The imports are most of such a process's time.  As a script this is the one that is forked.
"""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent


class Process:
    """One that runs, or has run, `tiny.main`; see `Forks.start`."""

    def __init__(self, forks: "Forks", pid: int, output: pathlib.Path):
        self._forks, self.pid, self._output = forks, pid, output

    def end(self, limit_s: float = 240) -> tuple[int, str]:
        """Waits for its end; its exit status, or minus the signal's number, and what it said.

        Raises:
            TimeoutError: it took longer, and was killed.
        """
        status, hangs = self._forks.wait(self.pid, limit_s)
        said = self._output.read_text()
        if hangs:
            raise TimeoutError(f"did not end within {limit_s} s and was killed; it said:\n{said}")
        return status, said


class Forks:
    """Starts processes; a context, at the end of which there are none."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        paths = os.pathsep.join(map(str, (FOLDER.parents[1], FOLDER)))
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        self._count, self._running = 0, set()
        return self

    def __exit__(self, *_):
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        self._server.communicate(timeout=60)
        self._folder.cleanup()

    def start(self, *arguments: object, **environment: str) -> Process:
        """`python tiny.py ARGUMENTS` with some variables of the environment changed."""
        self._count += 1
        output = pathlib.Path(self._folder.name, str(self._count))
        argv = ["tiny.py", *map(str, arguments)]
        self._order({"argv": argv, "environment": environment, "output": str(output)})
        pid = self._answer()
        self._running.add(pid)
        return Process(self, pid, output)

    def wait(self, pid: int, limit_s: float) -> tuple[int, bool]:
        """How a process ends, and whether it had to be killed for that."""
        self._order({"wait": pid})
        # Nobody but the server can take a process's number from the system before it answers.
        if hangs := not select.select([self._server.stdout], [], [], limit_s)[0]:
            os.kill(pid, signal.SIGKILL)
        self._running.discard(pid)
        return self._answer(), hangs

    def _order(self, order: dict) -> None:
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()

    def _answer(self) -> int:
        return int(self._server.stdout.readline())


def serve() -> None:
    """Follows the orders on the standard input, with a number each on the standard output."""
    # What the runs import when they begin.
    import tiny

    from jrepose.training import stages  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            os.environ.update(order["environment"])
            output = os.open(order["output"], os.O_WRONLY | os.O_CREAT)
            for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
                os.dup2(output, descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
            sys.exit(tiny.run(tiny.main, order["argv"]))
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
