"""Everything that an evaluation leaves on disk."""

from __future__ import annotations

import os
import pathlib

from jrepose.data.dataset import PoseDataset
from jrepose.evaluation import plots, tables
from jrepose.evaluation.scores import EvaluationResult


def write_report(
    result: EvaluationResult,
    dataset: PoseDataset,
    out_dir: str | os.PathLike[str],
    *,
    pictures: bool = True,
) -> list[pathlib.Path]:
    """Writes scores, tables, predictions and pictures.

    Numbers come first: `scores.json`, `per_action.csv`, `per_subject.csv`, `per_joint.csv`,
    `predictions.npz`; then `joint_errors.png`, `error_distribution.png`, `poses.png`.

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
    if pictures:
        write("joint_errors.png", plots.plot_joint_errors, result)
        write("error_distribution.png", plots.plot_error_distribution, result, dataset)
        write("poses.png", plots.plot_poses, result, dataset)
    return paths
