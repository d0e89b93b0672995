"""StableHLO, as `jax.export` serialises it: for CPUs, NVIDIA GPUs and TPUs.

JAX alone loads it: `jax.export.deserialize(bytearray(file)).call(keypoints)`; jrepose is not
needed.  Its compatibility is JAX's: six months back and three weeks ahead at least.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import jax
import jax.export
import numpy as np

from jrepose.interop.export import Network, freest

_PLATFORMS = ("cpu", "cuda", "tpu")


def check() -> None:
    """JAX can always write it."""


def write(network: Network, path: pathlib.Path) -> None:
    """Writes the network, weights included."""
    of_shape = jax.export.export(jax.jit(network.predict), platforms=_PLATFORMS)
    path.write_bytes(freest(network, of_shape).serialize())


def load(path: str | os.PathLike[str]) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file holds."""
    exported = jax.export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
    return lambda keypoints: np.asarray(exported.call(keypoints))
