"""HDF5 files point elsewhere and swell; neither is followed."""

import os

import h5py
import numpy as np
import pytest

from jrepose.data.formats.hdf5_files import open_hdf5
from jrepose.errors import InputError


@pytest.fixture
def path(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(96)))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["a"] = np.ones((3, 4))
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["numbers"] = np.arange(12.0).reshape(3, 4)
        file["link"] = h5py.ExternalLink("other.h5", "/a")
        file["soft"] = h5py.SoftLink("/numbers")
        file.create_dataset("stored", (3, 4), "f8", external=[(tmp_path / "secret", 0, 96)])
        layout = h5py.VirtualLayout((3, 4), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "a", (3, 4))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", (2**28,), "f8")  # takes no room until something is written
        big = file.create_dataset("#refs#/a", data=np.zeros(2**20), compression="gzip")
        file["cells"] = np.full(50, big.ref, h5py.ref_dtype)
        file["few"] = np.full(3, big.ref, h5py.ref_dtype)
        for name in ("stored", "virtual"):
            file[f"cells {name}"] = np.full(1, file[name].ref, h5py.ref_dtype)
    return tmp_path / "file.h5"


def test_what_is_in_the_file(path):
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.numbers("numbers"), np.arange(12.0).reshape(3, 4))
        assert file.cells("numbers") is None
        assert [part.shape for part in file.cells("few")] == [(2**20,)] * 3


@pytest.mark.parametrize(
    "name, message",
    [
        ("link", "link is a link"),
        ("soft", "soft is a link"),
        ("stored", "the values of stored are in other files"),
        ("virtual", "the values of virtual are in other files"),
        ("cells stored", "are in other files"),
        ("cells virtual", "are in other files"),
        ("huge", "refused, huge would take far more memory"),
        ("cells", "refused, cells would take far more memory"),
        ("#refs#", "#refs# is not numeric"),
    ],
)
def test_what_is_not(path, name, message):
    with open_hdf5(path) as file, pytest.raises(InputError, match=message):
        file.cells(name) or file.numbers(name)


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(InputError, match="pipe.h5: a pipe"), open_hdf5(tmp_path / "pipe.h5"):
        pass
