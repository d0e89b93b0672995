"""Memory of a program that computes on the CPU."""

from __future__ import annotations

import ctypes
import platform

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def reuse_freed_memory() -> bool:
    """Makes the C library keep freed memory instead of returning it to the system.

    XLA allocates a step's buffers at every step.  By default glibc maps each large one afresh
    and unmaps it after use, and the system clears every page again: a third of the time of a
    small model's step (`benchmarks/README.md`).  The process keeps its peak memory afterwards.
    Call it before the first computation.

    Returns:
        Whether it took effect; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {
        _M_ARENA_MAX: 1,  # other arenas cannot hold buffers of this size
        _M_MMAP_MAX: 0,
        _M_TOP_PAD: 256 * 2**20,
        _M_TRIM_THRESHOLD: -1,  # never
    }
    return all([mallopt(name, value) == 1 for name, value in settings.items()])


def return_freed_memory() -> bool:
    """Gives the memory that the C library keeps for reuse back to the system, once.

    For a program whose parts need much memory one after another, each in pieces of its own sizes.

    Returns:
        Whether any was returned; False where the C library is not glibc.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).malloc_trim(0) == 1
