"""Converters from the datasets' original files: `jrepose prepare DATASET ...`.

A converter is a module of this package, named after the dataset and listed in `CONVERTERS`,
with one function:

    prepare(source: Path, out: Path, *, overwrite: bool, allow_missing: bool) -> list[Path]

It reads what lies below `source`, writes into the folder `out` and returns the files it
wrote.  It shows a progress bar, writes all of its files or none, does not replace existing
ones unless `overwrite` is set, and raises `InputError` for whatever the user can mend.
Missing or additional recordings are such an error; `allow_missing` makes them a warning.
"""

from __future__ import annotations

CONVERTERS = {
    "human36m": "Human3.6M, official 3D positions (.cdf, .cdf.mat) or the .h5 files of "
    "Martinez et al.",
    "mpi_inf_3dhp": "MPI-INF-3DHP, original annotations annot.mat and annot_data.mat",
}
"""Dataset -> what its converter reads, one line of `--help`."""
