"""What the commands share that look at a checkpoint: which weights, and on which data."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

from jrepose.command import CommandLine
from jrepose.errors import InputError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from jrepose.data.dataset import PoseDataset


class Chosen(NamedTuple):
    """Weights and data.

    Args:
        config: the run's own, or what `--config` says instead; flags override either.
        variables: the model's.
        dataset: the split.
        folder: beside which results belong.
        origin: where the weights are from, for the results.
    """

    config: ConfigDict
    variables: dict[str, Any]
    dataset: PoseDataset
    folder: pathlib.Path
    origin: dict[str, Any]


def define_flags(line: CommandLine) -> None:
    """`--checkpoint`, `--split` and `--which`."""
    line.text(
        "checkpoint", None,
        "Workdir of a run, one checkpoint of it, or a PyTorch file (.pth, .bin, .safetensors), "
        "which needs --config.", value="PATH",
    )  # fmt: skip
    line.choice("split", "test", "Which part of the data.", ["train", "validation", "test"])
    line.choice("which", "best", "Which checkpoint of a workdir.", ["best", "latest"])


def load(line: CommandLine) -> Chosen:
    """Reads the config, the weights and the split that the command line names.

    Raises:
        InputError: nothing there, weights of another model, or data that they are not for.
    """
    from jrepose import checkpoints, config_files, interop
    from jrepose.config import from_plain, parse_flags
    from jrepose.data.sources import load_splits
    from jrepose.precision import multiply_float32_in_full

    found: list[checkpoints.Checkpoint] = []

    def config_of_run() -> ConfigDict:
        path, which = line.peek("checkpoint"), line.peek("which") or "best"
        if path is None:
            raise InputError("--checkpoint DIR is missing")
        if pathlib.Path(path).is_file():
            raise InputError(
                f"--config FILE is missing: {path} does not say on what data and how to evaluate; "
                f"jrepose has {', '.join(config_files.names())}"
            )
        found.append(checkpoints.load(path, which))
        if "data" not in found[0].config:
            raise InputError(
                f"--config FILE is missing: {path} was converted and does not say on what data "
                "and how to evaluate"
            )
        return from_plain(found[0].config)

    config = parse_flags(line.flags, line.argv, config_of_run)
    if line["checkpoint"] is None:
        raise InputError("--checkpoint DIR is missing")
    multiply_float32_in_full()
    path, split = pathlib.Path(line["checkpoint"]), line["split"]
    variables, described = interop.load_run_or_file(path, config.model.to_dict(), line["which"])
    print(described)
    dataset = load_splits(config.data, (split,))[split]
    folder = path.parent / path.stem if path.is_file() else path
    return Chosen(config, variables, dataset, folder, {})
