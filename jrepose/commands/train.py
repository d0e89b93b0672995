"""Trains, or goes on with the run that the workdir holds.

example:
  jrepose train --config repose_mocap:small --workdir runs/repose --config.data.path=FOLDER
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Sequence

from jrepose.command import CommandLine
from jrepose.config_fields import MAIN_FIELDS
from jrepose.errors import InputError, MissingExtra


def train(argv: Sequence[str]) -> int:
    """Trains, or resumes what the workdir holds."""
    line = CommandLine(argv, __doc__, config="--config CONFIG", fields=MAIN_FIELDS)
    line.text("workdir", None, "Folder of the run.", value="DIR")
    line.each(
        "init", [],
        "Begin with these weights: workdir of a run, one checkpoint of it, an archive of weights "
        "('small' is the one that comes with jrepose), or a PyTorch file; with --init_partial a "
        "second one adds its own.",
        value="PATH",
    )  # fmt: skip
    line.switch(
        "init_partial", False,
        "Take from --init what fits by name and shape, and report what does not.",
    )  # fmt: skip
    line.texts(
        "init_only", [],
        "Patterns of the variables taken from --init, 'params/encoder/.*'; the rest is drawn.",
        value="PATTERN,...",
    )  # fmt: skip
    line.switch(
        "restart", False,
        "Begin anew; what a run left in the workdir is kept in a folder inside.",
    )  # fmt: skip
    line.whole("devices", None, "Devices of each process to use (all).", lower_bound=1)
    line.text("coordinator", None, "Process 0, for several processes.", value="HOST:PORT")
    line.whole("num_processes", None, "How many.")
    line.whole("process_id", None, "Which one is this.")
    line.show_help()

    from jrepose.config import parse_flags, stage_configs

    config = parse_flags(line.flags, argv)
    if line["workdir"] is None:
        raise InputError("--workdir DIR is missing")
    init, partial = line["init"], line["init_partial"]
    if len(init) > 1 and not partial:
        raise InputError("--init is there more than once, which needs --init_partial")
    if (partial or line["init_only"]) and not init:
        name = "init_partial" if partial else "init_only"
        raise InputError(f"--{name} needs --init PATH")
    if line["init_only"]:  # of what begins with --init
        chosen = {"training": {"init_only": tuple(line["init_only"])}}
        with config.unlocked():
            next(iter(config.stages.values()), config).update(chosen)

    from jrepose import checkpoints, interop, parallel, tasks
    from jrepose.data.description import check_fits
    from jrepose.data.sources import UNLABELLED, load_splits
    from jrepose.training.optimizer import merge
    from jrepose.training.stages import train_stages

    parallel.initialise_distributed(
        coordinator=line["coordinator"],
        num_processes=line["num_processes"],
        process_id=line["process_id"],
    )
    devices = parallel.select_devices(line["devices"])
    wanted = ("train", "validation", *[UNLABELLED] * bool(config.data.split.unlabelled))
    splits = load_splits(config.data, wanted)
    workdir = pathlib.Path(line["workdir"])
    contexts, stages = {}, stage_configs(config)

    def holds_run(stage: str) -> bool:
        steps = checkpoints.steps_in(workdir / stage / checkpoints.FOLDER)
        return bool(steps) and not line["restart"]

    initial, (name, first) = None, next(iter(stages.items()), ("", config))
    if init and holds_run(name):
        logging.getLogger("jrepose").info(
            "%s holds a run; its weights count, not the given ones", workdir / name
        )
        init = []
    for path in init:
        some = partial or first.training.init_only
        load = interop.load_what_fits if some else interop.load_run_or_file
        given, described = load(path, first.model.to_dict())
        if not some and pathlib.Path(path).is_dir():
            run = checkpoints.load(path)
            try:
                check_fits(run.description, splits["train"], run.path)
            except InputError as error:  # fine-tuning may mean it
                logging.getLogger("jrepose").warning("--init: %s", error)
        initial = given if initial is None else merge(initial, given)
        print(f"weights to begin with: {described}")
    for name, stage in (stages or {"": config}).items():
        if stage.task not in tasks.WITH_CONTEXT or stage.context.path in stages:
            continue
        if holds_run(name):  # it has its encoder
            continue
        contexts[name], described = interop.load_context(stage.context.to_dict(), splits["train"])
        print(f"context encoder: {described}")
    result = train_stages(
        config,
        workdir,
        splits,
        devices=devices,
        initial=initial,
        partial=partial,
        restart=line["restart"],
        contexts=contexts,
    )
    # A run stopped early may have no numbers to draw yet.
    if result.finished and parallel.is_primary():
        for folder in [workdir / name for name in config.stages] or [workdir]:
            _draw_curves(folder)
    return 0 if result.finished else 130


def _draw_curves(workdir: pathlib.Path) -> None:
    """Pictures of the run; without Matplotlib a hint, as the training itself is done."""
    from jrepose.evaluation.plots import plot_loss_curves
    from jrepose.training.metric_log import FILE

    try:
        plot_loss_curves(workdir / FILE, workdir / "curves.png")
    except MissingExtra as error:
        logging.getLogger("jrepose").warning("no curves.png: %s", error)
