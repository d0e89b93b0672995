"""The command lines: flags, config, one call into the package.

`python train.py ...` and `jrepose train ...` are the same command.  Exit status: 0 done, 2
unusable input or a diverged loss (one line on standard error), 130 stopped by a signal after
saving.
"""

from __future__ import annotations

import logging
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from jrepose.command import run
from jrepose.config import parse_flags
from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError, MissingExtra


def train(argv: Sequence[str]) -> int:
    """Trains, or resumes what the workdir holds."""
    flag_values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=flag_values)
    flags.DEFINE_string(
        "init", None,
        "Begin with these weights: workdir of a run, one checkpoint of it, or a PyTorch file.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_bool(
        "init_partial", False,
        "Take from --init what fits by name and shape, and report what does not.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "devices", None, "Local devices to use (all).", flag_values=flag_values, lower_bound=1
    )
    flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of process 0, for several processes.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_integer("num_processes", None, "How many.", flag_values=flag_values)
    flags.DEFINE_integer("process_id", None, "Which one is this.", flag_values=flag_values)
    config = parse_flags(flag_values, argv)
    if flag_values["workdir"].value is None:
        raise InputError("--workdir DIR is missing")
    init, partial = flag_values["init"].value, flag_values["init_partial"].value
    if partial and init is None:
        raise InputError("--init_partial needs --init PATH")

    from jrepose import interop, parallel
    from jrepose.data.sources import load_splits
    from jrepose.training.loop import train as run

    parallel.initialise_distributed(
        coordinator=flag_values["coordinator"].value,
        num_processes=flag_values["num_processes"].value,
        process_id=flag_values["process_id"].value,
    )
    devices = parallel.select_devices(flag_values["devices"].value)
    splits = load_splits(config.data, ("train", "validation"))
    workdir = pathlib.Path(flag_values["workdir"].value)
    initial = None
    if init is not None:
        load = interop.load_what_fits if partial else interop.load_run_or_file
        initial, described = load(init, config.model.to_dict())
        print(f"weights to begin with: {described}")
    result = run(config, workdir, splits, devices=devices, initial=initial, partial=partial)
    # A run stopped early may have no numbers to draw yet.
    if result.finished and parallel.is_primary():
        _draw_curves(workdir)
    return 130 if result.interrupted else 0


def _draw_curves(workdir: pathlib.Path) -> None:
    """Pictures of the run; without Matplotlib a hint, as the training itself is done."""
    from jrepose.evaluation.plots import plot_loss_curves
    from jrepose.training.metric_log import FILE

    try:
        plot_loss_curves(workdir / FILE, workdir / "curves.png")
    except MissingExtra as error:
        logging.getLogger("jrepose").warning("no curves.png: %s", error)


def evaluate(argv: Sequence[str]) -> int:
    """Evaluates a checkpoint: table, JSON, CSV, predictions, pictures."""
    flag_values = flags.FlagValues()
    _define_checkpoint_flags(flag_values)
    flags.DEFINE_string("output", None, "Folder for the results (CHECKPOINT/evaluation/SPLIT).",
                        flag_values=flag_values)  # fmt: skip
    config = parse_flags(flag_values, argv)

    import jax

    from jrepose.evaluation.evaluate import evaluate_dataset
    from jrepose.evaluation.report import summary, write_report
    from jrepose.training.experiment import create_model

    variables, dataset, folder = _load_checkpoint(config, flag_values)
    result = evaluate_dataset(
        create_model(config),
        jax.device_put(variables),
        dataset,
        config,
        progress=sys.stderr.isatty(),
    )
    print(summary(result, dataset))
    output = flag_values["output"].value or folder / "evaluation" / flag_values["split"].value
    for written in write_report(result, dataset, output):
        print(f"wrote {written}")
    return 0


def attention(argv: Sequence[str]) -> int:
    """Draws what a transformer attends to in one clip, see `jrepose.evaluation.attention`."""
    flag_values = flags.FlagValues()
    _define_checkpoint_flags(flag_values)
    flags.DEFINE_string("output", None, "Folder for the pictures (CHECKPOINT/attention).",
                        flag_values=flag_values)  # fmt: skip
    flags.DEFINE_integer("clip", 0, "Which clip of the split's evaluation windows.",
                         flag_values=flag_values)  # fmt: skip
    flags.DEFINE_string("layer", "last", "Number of a layer, or last.", flag_values=flag_values)
    flags.DEFINE_integer("frame", None, "Frame of the clip whose spatial map to draw (the mean).",
                         flag_values=flag_values)  # fmt: skip
    flags.DEFINE_string("joint", None, "Joint whose temporal map to draw (the mean).",
                        flag_values=flag_values)  # fmt: skip
    flags.DEFINE_enum(
        "scale", "min_max", ["min_max", "max"],
        "Smallest weight 0 and largest 1, or only the largest 1.", flag_values=flag_values,
    )  # fmt: skip
    config = parse_flags(flag_values, argv)
    layer = flag_values["layer"].value
    if layer != "last" and not layer.isdecimal():
        raise InputError(f"--layer is {layer!r}, expected a number or 'last'")

    from jrepose.evaluation.attention import draw_clip
    from jrepose.training.experiment import create_model

    variables, dataset, folder = _load_checkpoint(config, flag_values)
    for written in draw_clip(
        create_model(config),
        variables,
        dataset,
        config,
        flag_values["output"].value or folder / "attention",
        clip=flag_values["clip"].value,
        layer=None if layer == "last" else int(layer),
        frame=flag_values["frame"].value,
        joint=flag_values["joint"].value,
        scale=flag_values["scale"].value,
    ):
        print(f"wrote {written}")
    return 0


def _define_checkpoint_flags(flag_values: flags.FlagValues) -> None:
    """Which weights on which data."""
    flags.DEFINE_string(
        "checkpoint", None,
        "Workdir of a run, one checkpoint of it, or a PyTorch file (.pth, .bin, .safetensors).",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Which part of the data.",
                      flag_values=flag_values)  # fmt: skip
    flags.DEFINE_enum("which", "best", ["best", "latest"], "Which checkpoint of a workdir.",
                      flag_values=flag_values)  # fmt: skip


def _load_checkpoint(
    config: ConfigDict, flag_values: flags.FlagValues
) -> tuple[Any, PoseDataset, pathlib.Path]:
    """Variables, the split, and the folder beside which results belong."""
    if flag_values["checkpoint"].value is None:
        raise InputError("--checkpoint DIR is missing")

    from jrepose import interop
    from jrepose.data.sources import load_splits
    from jrepose.precision import multiply_float32_in_full

    multiply_float32_in_full()
    path = pathlib.Path(flag_values["checkpoint"].value)
    variables, described = interop.load_run_or_file(
        path, config.model.to_dict(), flag_values["which"].value
    )
    print(described)
    split = flag_values["split"].value
    dataset = load_splits(config.data, (split,))[split]
    return variables, dataset, path.parent / path.stem if path.is_file() else path


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": train,
    "evaluate": evaluate,
    "attention": attention,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `jrepose` command: the first argument names the subcommand."""
    argv = list(sys.argv if argv is None else argv)
    if len(argv) < 2 or argv[1] not in COMMANDS:
        print(f"usage: jrepose {{{','.join(COMMANDS)}}} --help", file=sys.stderr)
        return 2
    return run(COMMANDS[argv[1]], [f"jrepose {argv[1]}", *argv[2:]])
