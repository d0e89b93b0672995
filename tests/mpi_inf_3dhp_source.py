"""Small files in the original layouts of MPI-INF-3DHP, with made-up content."""

import pathlib

import h5py
import numpy as np
from scipy.io import savemat

# The 28 joints in the order of the training annotations.
JOINTS = (
    "spine3 spine4 spine2 spine pelvis neck head head_top left_clavicle left_shoulder left_elbow "
    "left_wrist left_hand right_clavicle right_shoulder right_elbow right_wrist right_hand "
    "left_hip left_knee left_ankle left_foot left_toe right_hip right_knee right_ankle right_foot "
    "right_toe"
).split()
VERSIONS = ("5", "7.3")


def training(frames: int = 7, seed: int = 0) -> dict:
    """Variables of an annot.mat, with MATLAB's axes; lists are cell arrays."""
    random = np.random.default_rng(seed)

    def cells(low, high, columns):
        return [random.uniform(low, high, (frames, columns)) for _ in range(14)]

    return {
        "annot2": cells(0, 2048, 28 * 2),
        "annot3": cells(-900, 4000, 28 * 3),
        "univ_annot3": cells(-900, 4000, 28 * 3),
        "cameras": np.arange(14, dtype=np.uint8)[None],
        "frames": np.arange(frames, dtype=np.uint16)[:, None],
    }


def test(frames: int = 9, seed: int = 0) -> dict:
    """Variables of an annot_data.mat, with MATLAB's axes."""
    random = np.random.default_rng(seed)
    valid = random.integers(0, 2, (1, frames)).astype(float)
    valid[0, 0] = 1
    return {
        "annot2": random.uniform(0, 1900, (2, 17, 1, frames)),
        "annot3": random.uniform(-900, 4000, (3, 17, 1, frames)),
        "univ_annot3": random.uniform(-900, 4000, (3, 17, 1, frames)),
        "valid_frame": valid,
        "activity_annotation": random.integers(1, 8, (1, frames)).astype(float),
        "bb_crop": [random.uniform(0, 1, (1, 34)) for _ in range(frames)],
    }


def write(path: pathlib.Path, variables: dict, version: str, **options) -> pathlib.Path:
    """Writes a .mat file; `options` go to `savemat`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if version == "5":
        savemat(path, {name: _cell_array(value) for name, value in variables.items()}, **options)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        contents = file.create_group("#refs#")
        for name, value in variables.items():
            if isinstance(value, list):
                file[name] = _references(contents, name, value)
            else:
                file[name] = value.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def write_all(folder: pathlib.Path, version: str = "5", frames: int = 3) -> dict:
    """The sixteen training and six test sequences; returns their variables by name."""
    written = {}
    for number in range(16):
        subject, sequence = f"S{number // 2 + 1}", f"Seq{number % 2 + 1}"
        variables = training(frames, seed=number)
        write(folder / subject / sequence / "annot.mat", variables, version)
        written[f"{subject} {sequence}"] = variables
    for number in range(1, 7):
        variables = test(frames + number, seed=100 + number)
        write(folder / f"mpi_inf_3dhp_test_set/TS{number}/annot_data.mat", variables, version)
        written[f"TS{number}"] = variables
    return written


def _cell_array(value):
    if not isinstance(value, list):
        return value
    cells = np.empty((len(value), 1), object)
    cells[:, 0] = value
    return cells


def _references(contents, name, parts):
    references = np.empty((1, len(parts)), h5py.ref_dtype)
    for number, part in enumerate(parts):
        contents[f"{name}_{number}"] = part.T
        references[0, number] = contents[f"{name}_{number}"].ref
    return references
