"""Converts a dataset's original files to those that the field uses.

`jrepose prepare DATASET --help` says what a converter reads and writes.

example:
  jrepose prepare mpi_inf_3dhp --source DOWNLOADED --out data/mpi_inf_3dhp
"""

from __future__ import annotations

import importlib
import pathlib
import types
from collections.abc import Sequence

from jrepose.command import CommandLine, nearest
from jrepose.data.prepare import CONVERTERS
from jrepose.errors import InputError


def prepare(argv: Sequence[str]) -> int:
    """Converts, names the written files."""
    named = [word for word in argv[1:] if word in CONVERTERS]
    about = _converter(named[0]).__doc__ if named else __doc__
    datasets = "; ".join(f"{name}: {text}" for name, text in CONVERTERS.items())
    line = CommandLine(argv, about, arguments={"DATASET": datasets})
    line.text("source", None, "Folder that holds the extracted archives.", value="DIR")
    line.text("out", None, "Folder for the converted files.", value="DIR")
    line.switch("overwrite", False, "Replace converted files that exist.")
    line.switch(
        "allow-missing", False,
        "Convert what is there although recordings are missing or unexpected.",
    )  # fmt: skip
    (dataset,) = line.parse()
    if dataset not in CONVERTERS:
        hint = nearest(dataset, list(CONVERTERS)) or f"; known: {', '.join(CONVERTERS)}"
        raise InputError(f"no converter for {dataset!r}{hint}")
    for name in ("source", "out"):
        if line[name] is None:
            raise InputError(f"--{name} DIR is missing (see --help)")
    for path in _converter(dataset).prepare(
        pathlib.Path(line["source"]),
        pathlib.Path(line["out"]),
        overwrite=line["overwrite"],
        allow_missing=line["allow-missing"],
    ):
        print(f"wrote {path}")
    return 0


def _converter(dataset: str) -> types.ModuleType:
    return importlib.import_module(f"jrepose.data.prepare.{dataset}")
