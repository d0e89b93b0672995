"""Lifting networks as files that run without jrepose: StableHLO and ONNX, a file per format.

A format's module has `check()`, which says whether what it needs is installed,
`write(network, path)` and `load(path)`, which gives a function from keypoints to poses.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jrepose.errors import InputError
from jrepose.files import atomic_path

FORMATS: Mapping[str, str] = MappingProxyType({"stablehlo": ".stablehlo", "onnx": ".onnx"})
"""Format, a module of this folder -> suffix of its files."""

# What a network's arithmetic may say about the number of frames, the freest first.
_FRAMES = ("frames >= 1", "frames <= {0}", "frames >= {0}")


@dataclass(frozen=True, eq=False)
class Network:
    """What is exported.

    Args:
        apply: variables, keypoints `[batch, frames, joints, channels]` -> poses.
        variables: its weights, arrays of NumPy or JAX.
        clip: frames, joints and channels that it is made for.
        about: what its user must know (joints, scaling, space of the poses), for the file.
    """

    apply: Callable[[Any, Array], Array]
    variables: Any
    clip: tuple[int, int, int]
    about: Mapping[str, Any]

    def predict(
        self, keypoints: Float[Array | np.ndarray, "batch frames joints channels"]
    ) -> Array:
        """Poses, with the weights as constants."""
        # NumPy's arrays cannot be cut to an unknown number of frames.
        return self.apply(jax.tree.map(jnp.asarray, self.variables), keypoints)

    def inputs(self) -> Iterator[jax.ShapeDtypeStruct]:
        """Keypoints of as many batches and frames as can be, ever less so.

        The batch is free in all; the last has the clip's frames.
        """
        frames, joints, channels = self.clip
        for rule in _FRAMES:
            shape = f"batch, frames, {joints}, {channels}"
            yield _keypoints(shape, (rule.format(frames),))
        yield _keypoints(f"batch, {frames}, {joints}, {channels}", ())


def _keypoints(shape: str, constraints: tuple[str, ...]) -> jax.ShapeDtypeStruct:
    dimensions = jax.export.symbolic_shape(shape, constraints=constraints)
    return jax.ShapeDtypeStruct(dimensions, jnp.float32)


def freest(network: Network, convert: Callable[[jax.ShapeDtypeStruct], Any]) -> Any:
    """What `convert` gives for the first of `network.inputs()` that the network can be of.

    Raises:
        InputError: it can be of none.
    """
    problem: Exception | None = None
    for keypoints in network.inputs():
        try:
            return convert(keypoints)
        # The network, JAX and a converter refuse sizes that they do not know, each in its way.
        except Exception as error:
            problem = error
    lines = str(problem).strip().splitlines() or [""]
    raise InputError(
        f"this network cannot be exported: {type(problem).__name__}: {lines[0][:200]}"
    ) from problem


def module(name: str) -> types.ModuleType:
    """The format of that name.

    Raises:
        InputError: no such format, or a package is missing.
    """
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}; expected one of {', '.join(FORMATS)}")
    found = importlib.import_module(f"{__name__}.{name}")
    found.check()
    return found


def export(network: Network, path: str | os.PathLike[str], form: str) -> list[pathlib.Path]:
    """Writes a network, and beside it `PATH.json`, what its user must know.

    Args:
        network: what to write.
        path: the file.
        form: a key of `FORMATS`.

    Returns:
        The files.

    Raises:
        InputError: no such format, a package is missing, or the file cannot be written.
    """
    writer = module(form)
    path = pathlib.Path(path)
    described = path.with_name(f"{path.name}.json")
    with atomic_path(described) as text, atomic_path(path) as temporary:
        writer.write(network, temporary)
        text.write_text(json.dumps(dict(network.about), indent=2) + "\n", "utf-8")
    return [path, described]


def largest_difference(network: Network, path: str | os.PathLike[str], form: str) -> float:
    """Loads a file that was written and compares it with the network, on made-up keypoints.

    Returns:
        The largest difference in units of the poses' standard deviation.
    """
    clips = np.random.default_rng(0).uniform(-1, 1, (2, *network.clip)).astype(np.float32)
    expected = np.asarray(jax.jit(network.predict)(clips))
    found = module(form).load(path)(clips)
    return float(np.abs(found - expected).max() / max(float(expected.std()), 1e-12))
