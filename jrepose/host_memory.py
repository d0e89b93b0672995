"""Memory of a program that computes on the CPU."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import pathlib
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_DEVICES = pathlib.Path("/dev")


def reuse_freed_memory() -> bool:
    """Makes the C library keep freed memory instead of returning it to the system.

    XLA allocates a step's buffers at every step.  By default glibc maps each large one afresh
    and unmaps it after use, and the system clears every page again: a third of the time of a
    small model's step (`benchmarks/README.md`).  The process keeps its peak memory afterwards.
    Call it before the first computation.  Where a GPU computes, nothing changes: a step's buffers
    are not the C library's there, and the compiler's threads, sharing one arena, would wait for
    each other.

    Returns:
        Whether it took effect; False with a GPU, or where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc" or _gpu_computes():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {
        _M_ARENA_MAX: 1,  # other arenas cannot hold buffers of this size
        _M_MMAP_MAX: 0,
        _M_TOP_PAD: 256 * 2**20,
        _M_TRIM_THRESHOLD: -1,  # never
    }
    return all([mallopt(name, value) == 1 for name, value in settings.items()])


def collect_garbage_less_often() -> None:
    """Makes Python look for circular garbage every 10,000 objects, not every 700.

    To trace a network makes hundreds of thousands, nearly all of which stay: looking through them
    is a tenth of the time until its first step.
    """
    youngest, *older = gc.get_threshold()
    gc.set_threshold(max(youngest, 10_000), *older)


def _gpu_computes() -> bool:
    """Whether JAX will find an NVIDIA GPU; JAX itself, if asked, would start its threads."""
    wanted = os.environ.get("JAX_PLATFORMS") != "cpu"
    installed = importlib.util.find_spec("jax_plugins") is not None
    return wanted and installed and any(_DEVICES.glob("nvidia[0-9]*"))


def return_freed_memory() -> bool:
    """Gives the memory that the C library keeps for reuse back to the system, once.

    For a program whose parts need much memory one after another, each in pieces of its own sizes.

    Returns:
        Whether any was returned; False where the C library is not glibc.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).malloc_trim(0) == 1


def available_bytes() -> int | None:
    """Memory that this process can take more than it has.

    On Linux what the system has available without swapping, or what control groups (containers,
    Slurm) leave if that is less; on macOS all of the machine's.

    Returns:
        None where the system does not say.
    """
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        names = getattr(os, "sysconf_names", {})  # Windows has none
        if "SC_PHYS_PAGES" not in names:
            return None
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min([*found, *_left_by_groups()], default=None)


def _left_by_groups(system: pathlib.Path = pathlib.Path("/")) -> list[int]:
    """Bytes that the process's control group, and every one that it is in, leaves.

    Args:
        system: where `proc` and `sys` are.
    """
    try:
        memberships = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            top, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A container sees its own group as the topmost, whatever its path says.
        parts = pathlib.PurePosixPath(path.lstrip("/"))
        for folder in {system / top / part for part in (parts, *parts.parents)}:
            left += _left_by_group(folder, *names)
    return left


def _left_by_group(folder: pathlib.Path, limit: str, used: str, reclaimable: str) -> list[int]:
    """The bytes that one group leaves; none where it has no limit or there is no such group."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return []
        present = int((folder / used).read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
    except (OSError, ValueError):
        return []
    # File caches that the system drops before it ends a process.
    return [max(int(most) - present + int(statistics.get(reclaimable, 0)), 0)]
