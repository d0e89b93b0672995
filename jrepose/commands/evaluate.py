"""Evaluates a checkpoint: tables, JSON, CSV, predictions, pictures.

A run says itself what it was trained on and how it is to be evaluated; `--config` takes another
config instead, `--config.FIELD=VALUE` changes one field.

Keypoints without poses are predicted and not scored: `predictions.npz` has the poses.

A detector's keypoints are scored (AP, AR, PCK, squared error) and written as NPZ and as COCO's
results; `--lifter RUN` lifts them and scores the poses, images to 3D by one command.

examples:
  jrepose evaluate --checkpoint runs/repose
  jrepose evaluate --checkpoint best_epoch.bin --config repose_h36m --config.data.path=FILE
  jrepose evaluate --checkpoint runs/multiview --lifter runs/poseformer
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.commands import from_checkpoint
from jrepose.config_fields import main_fields
from jrepose.errors import InputError


def evaluate(argv: Sequence[str]) -> int:
    """Evaluates a checkpoint: table, JSON, CSV, predictions, pictures."""
    fields = main_fields("data", "evaluation", "published")
    line = CommandLine(argv, __doc__, config="[--config CONFIG]", fields=fields)
    from_checkpoint.define_flags(line)
    line.text("output", None, "Folder for the results (CHECKPOINT/evaluation/SPLIT).", value="DIR")
    line.text("lifter", None, "Run that lifts what a detector finds.", value="RUN")
    line.show_help()

    import jax

    from jrepose import tasks

    given = line.peek("lifter")
    lifter = None if given is None else from_checkpoint.load_lifter(given)
    chosen = from_checkpoint.load(line, detectors=True)
    output = pathlib.Path(line["output"] or chosen.folder / "evaluation" / line["split"])
    if chosen.config.task in tasks.ON_IMAGES:
        return _evaluate_detector(chosen, lifter, output)
    if lifter is not None:
        raise InputError(
            f"--lifter is for a detector, and config.task is {chosen.config.task!r}: it lifts"
        )
    task = tasks.create(chosen.config, chosen.dataset)
    variables = jax.device_put(chosen.variables)
    _lift(task, variables, chosen.dataset, chosen.config, output, chosen.origin)
    return 0


def _evaluate_detector(
    chosen: from_checkpoint.Chosen, lifter: from_checkpoint.Lifting | None, output: pathlib.Path
) -> int:
    """Keypoints and their scores; with a lifter poses and theirs."""
    import jax
    import numpy as np

    from jrepose import tasks
    from jrepose.data.description import check_fits
    from jrepose.evaluation.detection_pictures import draw_detections
    from jrepose.evaluation.detection_report import summary, write_detections, write_keypoints
    from jrepose.evaluation.detections import detect_dataset, evaluate_detections
    from jrepose.evaluation.two_stages import found_as_poses

    config, dataset, variables = chosen.config, chosen.dataset, jax.device_put(chosen.variables)
    task = tasks.create(config, dataset)

    def as_poses(image_px):
        described = lifter.description
        poses = found_as_poses(
            dataset,
            image_px,
            target_space=described.get("target_space", "camera_m"),
            scaling=described.get("scaling", "screen"),
        )
        check_fits(described, poses, lifter.path)
        return poses

    if lifter is not None:  # what does not fit is said before anything is computed
        as_poses(np.zeros(dataset.joints_px.shape, np.float32))
    found = detect_dataset(task, variables, dataset, config, progress=True)
    if dataset.labelled:
        result = evaluate_detections(dataset, found, config)
        result = dataclasses.replace(result, settings={**chosen.origin, **result.settings})
        image_px = result.image_px
        print(summary(result))
        written = write_detections(result, dataset, output)
    else:
        image_px = dataset.to_image_px(found, np.arange(dataset.frames)).astype(np.float32)
        print("no joints to compare with: nothing is scored")
        written = write_keypoints(found, image_px, dataset, output)
    written += draw_detections(task, variables, dataset, found, config, output)
    for path in written:
        print(f"wrote {path}")
    if lifter is not None:
        poses = as_poses(image_px)
        lifting = tasks.create(lifter.config, poses)
        _lift(lifting, jax.device_put(lifter.variables), poses, lifter.config, output / "lifted")
    return 0


def _lift(task, variables, dataset, config, output: pathlib.Path, origin=None) -> None:
    """Poses of a dataset and their scores, if there is anything to compare them with."""
    from jrepose.evaluation.evaluate import evaluate_dataset, predict_dataset
    from jrepose.evaluation.report import summary, write_report
    from jrepose.evaluation.tables import write_unscored

    arguments = (task, variables, dataset, config)
    if not dataset.labelled:
        path = output / "predictions.npz"
        write_unscored(predict_dataset(*arguments, progress=True), dataset, path)
        print(f"no poses to compare with: nothing is scored\nwrote {path}")
        return
    result = evaluate_dataset(*arguments, progress=True)
    result = dataclasses.replace(result, settings={**(origin or {}), **result.settings})
    print(summary(result, dataset))
    for written in write_report(result, dataset, output):
        print(f"wrote {written}")
