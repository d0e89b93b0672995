"""Small fabricated recordings in the original file layouts of Human3.6M."""

import numpy as np

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
CLASSES = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "TakingPhoto", "Posing",
    "Purchases", "Sitting", "SittingDown", "Smoking", "Waiting", "WalkingDog", "Walking",
    "WalkTogether",
)  # fmt: skip
FILE_NAMES = tuple(name + trial for name in CLASSES for trial in ("", " 1"))


def positions_mm(seed: int, frames: int = 3) -> np.ndarray:
    """Joints within a metre of the middle of the studio, which all cameras see."""
    generator = np.random.default_rng(seed)
    return generator.uniform([-900, -900, 0], [900, 900, 1900], (frames, 32, 3))


def write_cdf(path, poses, *, variable="Pose", single=True, record_per_frame=False):
    """One record of all frames, as the official files have, or one record per frame."""
    from cdflib.cdfwrite import CDF

    rows = poses.reshape(len(poses), -1).astype(np.float32 if single else np.float64)
    file = CDF(path, cdf_spec={"Majority": "row_major"}, delete=True)
    specification = {
        "Variable": variable,
        "Data_Type": CDF.CDF_FLOAT if single else CDF.CDF_DOUBLE,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Dim_Sizes": list(rows.shape[1:] if record_per_frame else rows.shape),
        "Compress": 0,
    }
    file.write_var(specification, var_data=rows if record_per_frame else rows[None])
    file.close()


def write_mat(path, poses, *, variable="data"):
    """MATLAB's `data = cdfread(file); save(...)`: a cell array of one cell."""
    from scipy.io import savemat

    cell = np.empty((1, 1), object)
    cell[0, 0] = poses.reshape(1, len(poses), -1)
    savemat(path, {variable: cell}, appendmat=False)


def write_h5(path, poses, *, variable="3D_positions"):
    """One row per coordinate."""
    import h5py

    with h5py.File(path, "w") as file:
        file[variable] = poses.reshape(len(poses), -1).T


def write_subject(source, subject, write, suffix, *, seed=0, names=FILE_NAMES):
    """A subject's recordings, `{file name without suffix: poses}`."""
    folder = "MyPoses/3D_positions" if suffix == ".h5" else "MyPoseFeatures/D3_Positions"
    recordings = {}
    for number, name in enumerate(names):
        path = source / subject / folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        recordings[name] = positions_mm(1000 * seed + number, frames=1 + number % 3)
        write(path, recordings[name])
    return recordings
