"""XLA's persistent compilation cache: the second start of a run compiles nothing."""

from __future__ import annotations

import os
import pathlib

import jax


def enable_compilation_cache() -> pathlib.Path:
    """Lets XLA keep compiled programs on the disk.

    They go to `$XDG_CACHE_HOME/jrepose/xla` (`~/.cache/jrepose/xla`) unless
    `JAX_COMPILATION_CACHE_DIR` names another folder.

    Returns:
        The folder.
    """
    configured = jax.config.jax_compilation_cache_dir
    if configured:
        return pathlib.Path(configured)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache) / "jrepose" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder
