"""Human3.6M from its official 3D positions."""

from __future__ import annotations

import pathlib

from jrepose.errors import InputError


def prepare(
    source: pathlib.Path, out: pathlib.Path, *, overwrite: bool, allow_missing: bool
) -> list[pathlib.Path]:
    raise InputError(f"{source}: not readable yet")
