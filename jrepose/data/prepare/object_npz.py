"""The .npz files of VideoPose3D and its descendants: nested dicts in object arrays."""

from __future__ import annotations

import io
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

_RECONSTRUCT = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n"
_RECONSTRUCT_NUMPY_2 = b"\x80\x03cnumpy._core.multiarray\n_reconstruct\n"


def write_object_npz(path: pathlib.Path, entries: Mapping[str, Any]) -> None:
    """Writes `entries` as `np.savez_compressed(path, **entries)` of NumPy 1 would.

    Each entry becomes a 0-d object array: `np.load(path, allow_pickle=True)[name].item()`.
    NumPy 2 names its pickled arrays so that older versions, which most published PyTorch
    repositories pin, cannot load them; these files name them the old way, which both can.

    Args:
        path: the file, with suffix.  Not atomic: see `jrepose.files.atomic_path`.
        entries: dicts, lists, strings, numbers and numeric arrays, nested as one likes.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            array = np.empty((), object)
            array[()] = content
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, np.lib.format.header_data_from_array_1_0(array)
                )
                pickle.dump(array, _OldNames(member), protocol=3)


class _OldNames:
    """Passes a pickle on to a file, and names the function that makes arrays the old way.

    The outermost object is an array, so a pickle begins with that name; whatever follows only
    refers back to it.
    """

    def __init__(self, file: io.BufferedIOBase):
        self._file, self._at_start = file, True

    def write(self, data: bytes) -> int:
        if self._at_start and data[: len(_RECONSTRUCT_NUMPY_2)] == _RECONSTRUCT_NUMPY_2:
            data = _RECONSTRUCT + data[len(_RECONSTRUCT_NUMPY_2) :]
        self._at_start = False
        return self._file.write(data)
