"""Variables of MATLAB files, the same from either version."""

import re
import sys

import h5py
import mpi_inf_3dhp_source as fake
import numpy as np
import pytest
from scipy.io import savemat

from jrepose.data.formats.mat_files import read_mat
from jrepose.errors import InputError, MissingExtra


@pytest.fixture(params=fake.VERSIONS)
def version(request):
    return request.param


def write(path, version, **variables):
    return fake.write(path / "file.mat", variables, version)


def test_axes_and_values(tmp_path, version):
    values = {
        "cube": np.arange(24.0).reshape(2, 3, 4),
        "row": np.arange(5, dtype=np.uint8)[None],
        "single": np.float32([[1.5], [2.5]]),
    }
    path = write(tmp_path, version, **values)
    read = read_mat(path, ["cube", "row"], optional=["single", "absent"])
    assert list(read) == ["cube", "row", "single"]
    for name, array in read.items():
        assert array.dtype == values[name].dtype
        np.testing.assert_array_equal(array, values[name])


def test_cells(tmp_path, version):
    parts = [np.full((k + 1, 2), float(k)) for k in range(6)]
    path = tmp_path / "file.mat"
    cells = np.empty((2, 3), object)
    cells.flat[:] = parts
    if version == "5":
        savemat(path, {"cells": cells})
    else:
        with h5py.File(path, "w") as file:
            references = np.empty((3, 2), h5py.ref_dtype)
            for row, column in np.ndindex(2, 3):
                contents = file.create_dataset(f"#refs#/{row}{column}", data=cells[row, column].T)
                references[column, row] = contents.ref
            file["cells"] = references
    read = read_mat(path, cells=["cells"])["cells"]
    assert read.shape == (2, 3)
    for position in np.ndindex(2, 3):
        np.testing.assert_array_equal(read[position], cells[position])


def test_wrong_variables(tmp_path, version):
    path = write(tmp_path, version, numbers=np.ones((2, 2)), cells=[np.ones((1, 1))])
    for arguments, message in (
        ({"names": ["other"]}, "no variable 'other'; it has "),
        ({"cells": ["numbers"]}, "numbers is a numeric array; expected a cell array"),
        ({"names": ["cells"]}, "cells is a cell array; expected a numeric array"),
    ):
        with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
            read_mat(path, **arguments)


def test_groups_and_complex_numbers_are_no_numbers(tmp_path):
    path = tmp_path / "file.mat"
    with h5py.File(path, "w") as file:
        file.create_group("group")
        file["complex"] = np.ones((2, 2), complex)
        file["dangling"] = np.empty((1, 1), h5py.ref_dtype)
    for name in ("group", "complex"):
        with pytest.raises(InputError, match=f"{name} is not numeric"):
            read_mat(path, [name])
    with pytest.raises(InputError, match="damaged MATLAB file"):
        read_mat(path, cells=["dangling"])


def test_other_files(tmp_path):
    path = tmp_path / "file.mat"
    with pytest.raises(InputError, match="cannot read .*file.mat: No such file"):
        read_mat(path, ["a"])
    for content in (b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="file.mat") as caught:
            read_mat(path, ["a"])
        assert "\n" not in str(caught.value)


def test_only_version_73_needs_h5py(tmp_path, monkeypatch):
    paths = [write(tmp_path / v, v, a=np.ones((1, 2))) for v in fake.VERSIONS]
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert read_mat(paths[0], ["a"])["a"].shape == (1, 2)
    with pytest.raises(MissingExtra, match="h5py"):
        read_mat(paths[1], ["a"])
