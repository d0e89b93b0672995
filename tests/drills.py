"""Drills: runs that are killed, interrupted, damaged, doubled and starved of disk, and must hold.

    python tests/drills.py --minutes 10 [--seed 0]
        [--only kill stages signal corrupt fill race peer fuzz]

Tiny runs (`tests/training/tiny.py`) in processes of their own.  Whatever happens, a run must end
with status 0, 2 (one line) or 130 and without a traceback, and when it is started again it must end
bit-identical to one that nobody disturbed.  Prints a report; status 1 if a drill failed.  The same
seed makes the same plans; moments depend on the machine.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

TESTS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS / "training")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(TESTS.parent / ".cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import compilation  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import tiny  # noqa: E402

from jrepose import checkpoints  # noqa: E402
from jrepose.data import cache  # noqa: E402
from jrepose.errors import InputError  # noqa: E402
from jrepose.training.metric_log import MetricLog  # noqa: E402

# As train.py begins.
_SCRIPT = """
import sys
from jrepose.interrupts import end_quietly
end_quietly()
import tiny
sys.exit(tiny.run(tiny.main, sys.argv))
"""
_ENDS = (0, 2, 130, -signal.SIGKILL)

_STAGES = {
    "stage1": {"training": {"max_steps": 6}},
    "stage2": {
        "training": {
            "init_only": ("(params|batch_stats)/.*",),
            "freeze": ("params/network/shrink/.*",),
        }
    },
    "stage3": {"training": {"max_steps": 6}},  # the first one's programs
}
_STAGED = ("--stages", json.dumps(_STAGES))


class Failed(Exception):
    """What a drill found."""


class Drills:
    """The drills, over one folder and one undisturbed run.

    Args:
        folder: empty.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._count = folder, 0
        self._references: dict[tuple[str, ...], pathlib.Path] = {}
        self._seconds = 10.0

    def workdir(self) -> pathlib.Path:
        self._count += 1
        return self._folder / f"run_{self._count}"

    def start(self, workdir: pathlib.Path, *arguments: object, prefix: Sequence[str] = ()):
        environment = dict(os.environ)
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=1 {compilation.FLAGS}"
        environment["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
        command = [sys.executable, "-c", _SCRIPT, str(workdir)]
        return subprocess.Popen(
            [*prefix, *command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        )

    def end(self, process: subprocess.Popen, allowed: Sequence[int] = _ENDS) -> tuple[int, str]:
        """Status and output; a traceback, a hang and an unexpected status are failures."""
        busy = -1.0
        while True:
            try:
                output, _ = process.communicate(timeout=300)
                break
            except subprocess.TimeoutExpired:
                # On a busy machine a run takes many times as long as it computes.
                before, busy = busy, _cpu_seconds(process.pid)
                if before < busy < 600:
                    continue
                process.kill()
                raise Failed("hangs: " + process.communicate()[0][-500:]) from None
        if "Traceback" in output or process.returncode not in allowed:
            raise Failed(f"status {process.returncode}: {output[-1500:]}")
        return process.returncode, output

    def finish(self, workdir: pathlib.Path, *arguments: str) -> None:
        """Runs to the end, and compares with the undisturbed run."""
        self.end(self.start(workdir, *arguments), allowed=(0,))
        reference = self.reference(*arguments)
        for folder in _STAGES if arguments else ("",):
            self.compare(workdir / folder, reference / folder)

    def compare(self, workdir: pathlib.Path, reference: pathlib.Path | None = None) -> None:
        reference = reference or self.reference()
        ours, theirs = (checkpoints.load(w, "latest") for w in (workdir, reference))
        a, b = (jax.tree_util.tree_leaves_with_path(c.state) for c in (ours, theirs))
        same = ours.step == theirs.step and len(a) == len(b)
        same &= all(p == q and np.array_equal(x, y) for (p, x), (q, y) in zip(a, b, strict=True))
        if not same:
            raise Failed("the parameters are not those of the undisturbed run")
        if tiny.records(workdir) != tiny.records(reference):
            raise Failed("metrics.jsonl is not that of the undisturbed run")

    def reference(self, *arguments: str) -> pathlib.Path:
        """The undisturbed run with these arguments; how long it takes becomes known with it."""
        if arguments not in self._references:
            workdir = self._folder / f"undisturbed_{len(self._references)}"
            begin = time.monotonic()
            self.end(self.start(workdir, *arguments), allowed=(0,))
            self._seconds = time.monotonic() - begin
            self._references[arguments] = workdir
        return self._references[arguments]

    def kill(self, rng: random.Random) -> str:
        """`kill -9` at any moment, several times."""
        self.reference()
        workdir, times = self.workdir(), rng.randint(1, 3)
        for _ in range(times):
            process = self.start(workdir)
            time.sleep(rng.uniform(0, self._seconds))
            process.kill()
            self.end(process)
        self.finish(workdir)
        return f"{times} times"

    def stages(self, rng: random.Random) -> str:
        """`kill -9` in the second of three stages, then anywhere."""
        self.reference(*_STAGED)
        workdir = self.workdir()
        # The other stages have no such step.
        step = rng.randrange(6, 14)
        process = self.start(workdir, *_STAGED, "--kill_before", step)
        self.end(process, allowed=(-signal.SIGKILL,))
        if sorted(path.name for path in workdir.iterdir()) != ["stage1", "stage2"]:
            raise Failed(f"killed outside of the second stage, before step {step}")
        process = self.start(workdir, *_STAGED)
        time.sleep(rng.uniform(0, self._seconds))
        process.kill()
        self.end(process)
        self.finish(workdir, *_STAGED)
        return "twice"

    def signal(self, rng: random.Random) -> str:
        """SIGINT or SIGTERM at any moment, now and then twice."""
        self.reference()
        workdir = self.workdir()
        process = self.start(workdir)
        time.sleep(rng.uniform(0.3, self._seconds))
        for _ in range(rng.choice((1, 1, 2))):
            process.send_signal(rng.choice((signal.SIGINT, signal.SIGTERM)))
            time.sleep(rng.uniform(0, 0.5))
        # Before the interpreter runs the first line, the signal is the system's.
        status, _ = self.end(process, allowed=(0, 130, -signal.SIGINT, -signal.SIGTERM))
        self.finish(workdir)
        return f"status {status}"

    def corrupt(self, rng: random.Random) -> str:
        """Files of one or of all checkpoints damaged."""
        workdir = self.workdir()
        shutil.copytree(self.reference(), workdir)
        steps = checkpoints.steps_in(workdir / checkpoints.FOLDER)
        victims = steps if rng.random() < 0.3 else steps[-rng.randint(1, len(steps) - 1) :]
        for step in victims:
            folder = workdir / checkpoints.FOLDER / str(step)
            _damage(rng.choice(sorted(p for p in folder.rglob("*") if p.is_file())), rng)
        log = (workdir / "metrics.jsonl").read_bytes()
        status, output = self.end(self.start(workdir), allowed=(0, 2))
        if status == 2:
            if "--restart" not in output or (workdir / "metrics.jsonl").read_bytes() != log:
                raise Failed(f"no advice, or the log is lost: {output[-500:]}")
            return "all damaged, stopped"
        self.compare(workdir)
        return "went back" if "damaged checkpoint" in output else "harmless"

    def fill(self, rng: random.Random) -> str:
        """A disk of a few hundred kilobytes."""
        size = rng.randint(100, 2000)
        self.reference()
        workdir, disk = self.workdir(), self._folder / f"disk_{self._count}"
        disk.mkdir()
        script = f'mount -t tmpfs -o size={size}k tmpfs {disk} || exit 99; "$@"; s=$?; '
        script += f"cp -r {disk}/run {workdir}; umount {disk}; exit $s"
        prefix = ("unshare", "-rm", "sh", "-c", script, "sh")
        if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
            return "skipped, no right to mount"
        status, output = self.end(self.start(disk / "run", prefix=prefix), allowed=(0, 2))
        if status == 2 and "no space left on the disk" not in output:
            raise Failed(output[-1500:])
        for step in checkpoints.steps_in(workdir / checkpoints.FOLDER):
            checkpoints.read(workdir / checkpoints.FOLDER / str(step))
        self.finish(workdir)
        return "full" if status else "was enough"

    def race(self, rng: random.Random) -> str:
        """Two starts on one workdir."""
        self.reference()
        workdir = self.workdir()
        first = self.start(workdir)
        time.sleep(rng.choice((0, rng.uniform(0, self._seconds))))
        second = self.start(workdir)
        ends = [self.end(process, allowed=(0, 2)) for process in (first, second)]
        refused = [output for status, output in ends if status == 2]
        if len(refused) == 2 or any("is in use by process" not in line for line in refused):
            raise Failed(str(ends)[-1500:])
        self.compare(workdir)
        return f"{len(refused)} refused"

    def peer(self, rng: random.Random) -> str:
        """Two processes, one of which is killed."""
        self.reference()
        workdir = self.workdir()
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            fleet = ("--coordinator", f"localhost:{probe.getsockname()[1]}", "--processes", 2)
        run = [self.start(workdir, *fleet, "--process", k) for k in range(2)]
        time.sleep(rng.uniform(1, 1.5 * self._seconds))
        victim = rng.randrange(2)
        run[victim].kill()
        killed = time.monotonic()
        status, output = self.end(run[1 - victim], allowed=(0, 2))
        self.end(run[victim])
        if status and "process" not in output:
            raise Failed(output[-1500:])
        return f"ended after {time.monotonic() - killed:.0f} s" if status else "was done"

    def fuzz(self, rng: random.Random) -> str:
        """Flipped bits in the cache, in a checkpoint and in `metrics.jsonl`, many times."""
        folder = self.workdir()
        folder.mkdir()
        source, dataset = folder / "source", tiny.dataset()
        source.write_bytes(b"content")
        fingerprint = dataset.fingerprint()
        cache.cached([source], {}, lambda: {"all": dataset}, folder / "cache")
        (entry,) = (folder / "cache").iterdir()
        writer = checkpoints.CheckpointWriter(folder, 1, "mpjpe")
        state = {"params": {str(k): np.full(50, k, np.float32) for k in range(5)}, "ema": {}}
        writer.save(1, state, config={}, data={}, validation=None, log={})
        writer.close()
        step = folder / checkpoints.FOLDER / "1"
        for _ in range(8):
            _damage(rng.choice([path for path in entry.iterdir() if path.stat().st_size]), rng)
            found = cache.cached([source], {}, lambda: {"all": dataset}, folder / "cache")
            if found["all"].fingerprint() != fingerprint:
                raise Failed("the cache gave other data")
            victim = rng.choice(sorted(path for path in step.rglob("*") if path.is_file()))
            content = victim.read_bytes()
            _damage(victim, rng)
            try:
                leaves = checkpoints.read(step).state["params"]
            except InputError:
                leaves = state["params"]
            if any(not np.array_equal(leaves[k], v) for k, v in state["params"].items()):
                raise Failed(f"{victim} damaged, and other numbers read")
            victim.write_bytes(content)
            log = folder / "metrics.jsonl"
            lines = [json.dumps({"step": k, "loss/total": 1.0}) for k in range(1, 30)]
            log.write_text("\n".join(lines) + "\n")
            _damage(log, rng, keep=True)
            MetricLog(folder, 1, step=29, pending={}).close()
            left = len([json.loads(line) for line in log.read_text().splitlines()])
            if left < 26:
                raise Failed(f"{29 - left} lines lost to one damage")
        return "24 damages"


def _cpu_seconds(pid: int) -> float:
    """What a process has computed so far, its children not included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # A process that waits still uses a few hundredths.
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _damage(path: pathlib.Path, rng: random.Random, keep: bool = False) -> None:
    """Flips a bit; or cuts, empties, zeroes or removes the file."""
    content = bytearray(path.read_bytes())
    kind = "flip" if keep or not content else rng.choice(("flip", "flip", "cut", "zero", "remove"))
    if kind == "remove":
        path.unlink()
        return
    if content and kind == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "zero":
        content[:] = bytes(len(content))
    path.write_bytes(bytes(content))


KINDS = ("kill", "stages", "signal", "corrupt", "fill", "race", "peer", "fuzz")


def main(argv: Sequence[str] | None = None) -> int:
    """Drills until the time is over; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="begins no drill after these")
    parser.add_argument("--rounds", type=int, help="instead: so many of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args(argv)
    logging.getLogger("jrepose").setLevel(logging.ERROR)
    deadline = time.monotonic() + 60 * arguments.minutes
    outcomes: dict[str, collections.Counter] = {kind: collections.Counter() for kind in KINDS}
    failures = []
    with tempfile.TemporaryDirectory(prefix="drills_") as folder:
        drills, number = Drills(pathlib.Path(folder)), 0
        while number < (arguments.rounds or 10**9) and (
            arguments.rounds or time.monotonic() < deadline
        ):
            for kind in arguments.only:
                if not arguments.rounds and time.monotonic() > deadline:
                    break
                name = f"{arguments.seed}/{number}/{kind}"
                try:
                    outcome = getattr(drills, kind)(random.Random(name))
                except Failed as failure:
                    outcome = "FAILED"
                    failures.append(f"{name}: {failure}")
                outcomes[kind][outcome] += 1
                print(f"{name}: {outcome}", flush=True)
            number += 1
    print()
    for kind in arguments.only:
        told = ", ".join(f"{count} x {outcome}" for outcome, count in outcomes[kind].items())
        print(f"{kind:8} {sum(outcomes[kind].values()):4}   {told}")
    for failure in failures:
        print(f"\n{failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
