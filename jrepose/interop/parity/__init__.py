"""Compares this library with what the official PyTorch code computed, number by number.

    jrepose parity FIXTURE.npz [--verbose] [--tolerance 1e-5]

A fixture is an `.npz` of arrays and a JSON string `config`; it holds parameters, inputs and
what the official code makes of them: outputs, intermediate activations, losses and gradients.
Sizes come from the fixture.  The error of an array is relative to the array's largest
magnitude.  The exit status is 1 when an error exceeds the tolerance (ten times the tolerance
for gradients), 2 when the fixture cannot be used.
"""

from __future__ import annotations

import collections
import json
import pathlib
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax.errors import FlaxError

from jrepose.errors import InputError
from jrepose.interop.fixtures import reader_of
from jrepose.interop.fixtures.arrays import Rounded
from jrepose.restricted_pickle import read_npz
from jrepose.restricted_pickle.messages import shown

GRADIENT_SLACK = 10  # gradients may differ this much more than values


@dataclass(frozen=True)
class Comparison:
    """One array of the fixture against ours.

    Args:
        name: the array's key in the fixture.
        absolute: largest absolute difference; infinite where shapes or NaNs differ.
        relative: the same over the largest magnitude of the fixture's array, or a larger one that
            its rounding is relative to (`fixtures.arrays.Rounded`).
    """

    name: str
    absolute: float
    relative: float

    @property
    def group(self) -> str:
        return _group(self.name)

    def within(self, tolerance: float) -> bool:
        slack = GRADIENT_SLACK if "grad" in self.group else 1
        return self.relative <= slack * tolerance


# What a fixture of several networks holds under a prefix for each, `mpi/grad/KEY`.
_KINDS = (
    "param", "input", "target", "output", "output_train", "loss", "grad", "buffer_after",
)  # fmt: skip


def _group(name: str) -> str:
    first, *rest = name.split("/")
    return f"{first}/{rest[0]}" if rest and rest[0] in _KINDS else first


def compare_fixture(path: pathlib.Path) -> list[Comparison]:
    """Computes every array of a fixture that this library has a counterpart of.

    Args:
        path: `.npz` of one of the systems in `jrepose.interop.fixtures.READERS`.

    Returns:
        One comparison per array, in the fixture's order.

    Raises:
        InputError: not a readable fixture, or one of another system.
    """
    arrays, config = _read(path)
    try:
        system, reader = reader_of(arrays, config)
        with jax.default_matmul_precision("highest"):
            found = dict(reader(arrays, config))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, FlaxError) as error:
        reason = shown(next(iter(str(error).splitlines()), type(error).__name__))
        raise InputError(f"{path}: not a whole fixture of {system} ({reason})") from error
    comparisons = [_compare(name, found[name], arrays[name]) for name in arrays if name in found]
    if not comparisons:
        raise InputError(f"{path}: holds no result to compare with")
    return comparisons


def _read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = read_npz(path)
    try:
        config = json.loads(str(arrays.pop("config")))
    except KeyError:
        raise InputError(f"{path}: not a fixture, it has no config") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not a fixture, its config is not JSON") from None
    wrong = [name for name, array in arrays.items() if not _is_plain(array)]
    if not isinstance(config, dict) or wrong:
        found = f"{shown(wrong[0])} that is no plain array" if wrong else "another config"
        raise InputError(f"{path}: not a fixture, it has {found}")
    return arrays, config


def _is_plain(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "biufcSU"


def _compare(name: str, ours: Any, expected: np.ndarray) -> Comparison:
    if expected.dtype.kind in "SU":
        difference = 0.0 if np.array_equal(ours, expected) else np.inf
        return Comparison(name, difference, difference)
    known = ~np.isnan(expected)
    scale = float(np.max(np.abs(expected), initial=0.0, where=known))
    if isinstance(ours, Rounded):
        ours, scale = ours.value, max(scale, float(ours.scale))
    ours = np.asarray(ours, np.float64)
    if ours.shape != expected.shape or not np.array_equal(~np.isnan(ours), known):
        return Comparison(name, np.inf, np.inf)
    absolute = float(np.max(np.abs(ours - expected), initial=0.0, where=known))
    return Comparison(name, absolute, absolute / scale if scale else absolute)


def report(comparisons: list[Comparison], tolerance: float, verbose: bool) -> str:
    """A table, a line for each group of arrays, or with `verbose` for each array."""
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(comparison.group, []).append(comparison)
    lines = [f"{'group':<20}{'arrays':>7}{'relative':>11}{'absolute':>11}  largest relative at"]
    for group, members in groups.items():
        if verbose:
            lines += [f"{'':<27}{m.relative:>11.2e}{m.absolute:>11.2e}  {m.name}" for m in members]
        worst = max(members, key=lambda member: member.relative)
        absolute = max(member.absolute for member in members)
        verdict = "" if worst.within(tolerance) else "  PAST TOLERANCE"
        lines.append(
            f"{group:<20}{len(members):>7}{worst.relative:>11.2e}{absolute:>11.2e}"
            f"  {worst.name}{verdict}"
        )
    return "\n".join(lines)


def not_compared(path: pathlib.Path, comparisons: list[Comparison]) -> list[str]:
    """Groups of results in the fixture, with the number of arrays that have no comparison."""
    given = {"param", "alt_param", "input", "alt_input", "target", "alt_target", "train", "test"}
    compared = {comparison.name for comparison in comparisons}
    left = collections.Counter(_group(key) for key in _read(path)[0] if key not in compared)
    left = {group: count for group, count in left.items() if group.split("/")[-1] not in given}
    return [f"{group} ({count})" for group, count in left.items()]
