"""Converters from the datasets' original files: `python -m jrepose.data.prepare DATASET ...`.

A converter is a module of this package, named after the dataset and listed in `CONVERTERS`,
with one function:

    prepare(source: Path, out: Path, *, overwrite: bool, allow_missing: bool) -> list[Path]

It reads what lies below `source`, writes into the folder `out` and returns the files it
wrote.  It shows a progress bar, writes all of its files or none, does not replace existing
ones unless `overwrite` is set, and raises `InputError` for whatever the user can mend.
Missing or additional recordings are such an error; `allow_missing` makes them a warning.
"""

from __future__ import annotations

import argparse
import importlib
import pathlib
from collections.abc import Sequence

from jrepose.errors import InputError

CONVERTERS = {
    "human36m": "Human3.6M, official 3D positions (.cdf, .cdf.mat) or the .h5 files of "
    "Martinez et al.",
    "mpi_inf_3dhp": "MPI-INF-3DHP, original annotations annot.mat and annot_data.mat",
}
"""Dataset -> what its converter reads, one line of `--help`."""


def main(argv: Sequence[str]) -> int:
    """The command: parses `argv` (program name first), converts, names the written files."""
    arguments = _parser(argv[0]).parse_args(argv[1:])
    converter = importlib.import_module(f"{__name__}.{arguments.dataset}")
    written = converter.prepare(
        arguments.source,
        arguments.out,
        overwrite=arguments.overwrite,
        allow_missing=arguments.allow_missing,
    )
    for path in written:
        print(f"wrote {path}")
    return 0


class _Parser(argparse.ArgumentParser):
    """Its complaints are one line, as everybody's."""

    def error(self, message: str):
        raise InputError(f"{message} (see --help)")


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description="Converts a dataset's original files.")
    datasets = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    for name, summary in CONVERTERS.items():
        module = importlib.import_module(f"{__name__}.{name}")
        dataset = datasets.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        dataset.add_argument(
            "--source", type=pathlib.Path, required=True, metavar="DIR",
            help="folder that holds the extracted archives",
        )  # fmt: skip
        dataset.add_argument(
            "--out", type=pathlib.Path, required=True, metavar="DIR",
            help="folder for the converted files",
        )  # fmt: skip
        dataset.add_argument(
            "--overwrite", action="store_true", help="replace converted files that exist"
        )
        dataset.add_argument(
            "--allow-missing", action="store_true",
            help="convert what is there although recordings are missing or unexpected",
        )  # fmt: skip
    return parser
