"""Everything that an evaluation leaves on disk."""

from __future__ import annotations

import os
import pathlib

from jrepose.data.dataset import PoseDataset
from jrepose.evaluation import mpi_inf_3dhp, plots, tables
from jrepose.evaluation.scores import EvaluationResult
from jrepose.skeleton import MPI_INF_3DHP_17


def summary(result: EvaluationResult, dataset: PoseDataset, width: int = 100) -> str:
    """What the terminal shows: `tables.summary`, and MPI-INF-3DHP's own tables before it.

    Args:
        result: what was found.
        dataset: what it was found on.
        width: most characters in a line of the tables.
    """
    parts = [tables.summary(result, width)]
    if dataset.skeleton is MPI_INF_3DHP_17:
        sequences = mpi_inf_3dhp.sequence_report(result.per_frame, dataset)
        parts.insert(0, mpi_inf_3dhp.summary(sequences, width))
    return "\n\n".join(parts)


def write_report(
    result: EvaluationResult,
    dataset: PoseDataset,
    out_dir: str | os.PathLike[str],
    *,
    pictures: bool = True,
) -> list[pathlib.Path]:
    """Writes scores, tables, predictions and pictures.

    Numbers come first: `scores.json`, `per_action.csv`, `per_subject.csv`, `per_joint.csv`,
    `predictions.npz`, and for MPI-INF-3DHP those of `mpi_inf_3dhp.write`; then
    `joint_errors.png`, `error_distribution.png`, `poses.png`; of several hypotheses
    `reliability.png` and `hypotheses.png` too.

    Args:
        result: what was found.
        dataset: what it was found on.
        out_dir: folder, made if missing; files of an earlier report are replaced.
        pictures: draw them too.

    Returns:
        The files, in the order of writing.

    Raises:
        InputError: the folder cannot be written to.
        MissingExtra: pictures are wanted and Matplotlib is missing; the numbers are there.
    """
    folder = pathlib.Path(out_dir)
    paths = []

    def write(name, function, *arguments):
        function(*arguments, folder / name)
        paths.append(folder / name)

    write("scores.json", tables.write_json, result)
    write("per_action.csv", tables.write_action_csv, result)
    write("per_subject.csv", tables.write_subject_csv, result)
    write("per_joint.csv", tables.write_joint_csv, result)
    write("predictions.npz", tables.write_predictions, result, dataset)
    if dataset.skeleton is MPI_INF_3DHP_17:
        sequences = mpi_inf_3dhp.sequence_report(result.per_frame, dataset)
        paths += mpi_inf_3dhp.write(sequences, result.per_frame, dataset, folder)
    if pictures:
        write("joint_errors.png", plots.plot_joint_errors, result)
        write("error_distribution.png", plots.plot_error_distribution, result, dataset)
        write("poses.png", plots.plot_poses, result, dataset)
        if result.hypotheses is not None:
            if result.hypotheses.calibration is not None:
                write("reliability.png", plots.plot_reliability, result)
            write("hypotheses.png", plots.plot_hypotheses, result, dataset)
    return paths
