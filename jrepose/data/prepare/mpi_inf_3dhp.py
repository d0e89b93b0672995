"""MPI-INF-3DHP from its original annotations, in the layout of P-STMO.

Below the source folder, up to three levels down:

  S1/Seq1/annot.mat ... S8/Seq2/annot.mat   training set
  TS1/annot_data.mat ... TS6/annot_data.mat test set

in MATLAB's version 5 or 7.3.  Written are, for the sets that are there,

  data_train_3dhp.npz  8 of the 14 cameras, 17 of the 28 joints, pixels and millimetres
  data_test_3dhp.npz   the test set, with its valid frames and activities

The 3D poses are univ_annot3, scaled to one body size.  For annot3 (true size) no conversion is
needed: jrepose reads the original files, too.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
from typing import Any

from tqdm import tqdm

from jrepose.data.formats.mpi_inf_3dhp import NPZ_FILES
from jrepose.data.formats.mpi_inf_3dhp_annotations import (
    SEQUENCES,
    find_annotations,
    read_annotations,
)
from jrepose.data.prepare.object_npz import write_object_npz
from jrepose.errors import InputError
from jrepose.files import atomic_path

LABEL = "univ_annot3"
FILES = NPZ_FILES[LABEL]

_log = logging.getLogger("jrepose")


def prepare(
    source: pathlib.Path, out: pathlib.Path, *, overwrite: bool = False, allow_missing: bool = False
) -> list[pathlib.Path]:
    """Converts the original annotations of MPI-INF-3DHP.

    The files hold what P-STMO's own conversion gives (Shan et al., ECCV 2022), in the same
    order of nesting and the originals' precision, and for each test sequence the `activity` of
    its frames besides.

    Args:
        source: folder with the extracted archives; the module's docstring shows its layout.
        out: folder for the converted files, made if need be.
        overwrite: whether existing ones may be replaced.
        allow_missing: whether missing or unexpected sequences are only warned about.
            Unexpected ones are skipped.

    Returns:
        The files written: two, or one if the source has nothing of the other set.

    Raises:
        InputError: nothing to convert, sequences missing or unexpected, a file that cannot be
            read or holds something else, converted files that exist.  Nothing is written.
        MissingExtra: a file in MATLAB 7.3, and h5py is missing.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: not a folder; expected one for the converted files")
    found = _find(source, allow_missing)
    paths = {split: out / FILES[split] for split in found}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already (--overwrite replaces it)")
    for split in FILES.keys() - paths.keys():
        _log.info("%s: no %s sequence there, %s is not made", source, split, FILES[split])
    with contextlib.ExitStack() as stack:
        for split, path in paths.items():
            temporary = stack.enter_context(atomic_path(path))
            write_object_npz(temporary, {"data": _read(split, found[split])})
    return list(paths.values())


def _read(split: str, files: dict[str, pathlib.Path]) -> dict[str, Any]:
    progress = tqdm(files.items(), desc=f"MPI-INF-3DHP {split}", unit="file", disable=None)
    return {name: read_annotations(path, split, name, LABEL) for name, path in progress}


def _find(source: pathlib.Path, allow_missing: bool) -> dict[str, dict[str, pathlib.Path]]:
    """Split -> sequence -> file of what is to be converted.

    Raises:
        InputError: none at all; or not exactly the expected ones and not `allow_missing`.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; expected one with the extracted archives")
    found = find_annotations(source)
    known = {
        split: {name: path for name, path in files.items() if name in SEQUENCES[split]}
        for split, files in found.items()
    }
    if not any(known.values()):
        raise InputError(
            f"{source}: no annotations of MPI-INF-3DHP below it; expected S1/Seq1/annot.mat... "
            "or TS1/annot_data.mat..."
        )
    deviations = []
    for split, files in found.items():
        missing = [name for name in SEQUENCES[split] if name not in files]
        if known[split] and missing:
            deviations.append(f"{', '.join(missing)} missing")
        deviations += [f"{name} unknown" for name in files if name not in known[split]]
    if deviations:
        message = f"{source}: {'; '.join(deviations)}; expected all of S1 to S8 or TS1 to TS6"
        if not allow_missing:
            raise InputError(f"{message} (--allow-missing converts what is there)")
        _log.warning("%s", message)
    return {split: files for split, files in known.items() if files}
