"""Processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def process_pool(
    number: int, prepare: Callable[..., Any] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """A pool of processes, which do not answer to Ctrl-C and end when this process does.

    They import the main module, so a script that starts some does so under
    `if __name__ == "__main__":`.

    Args:
        number: how many.
        prepare, arguments: called first in each process; both are pickled.
    """
    # Not forked: JAX has threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, context, initializer=_begin, initargs=(prepare, *arguments))


def _begin(prepare: Callable[..., Any] | None, *arguments: Any) -> None:
    # Ctrl-C is the run's, which saves and stops; who loses it, by kill -9 too, ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()
    if prepare is not None:
        prepare(*arguments)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
