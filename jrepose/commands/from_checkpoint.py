"""What the commands share that look at a checkpoint: which weights, and on which data."""

from __future__ import annotations

import functools
import hashlib
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
        origin: `checkpoint` (path), `step` (None: a PyTorch file), `split`, and the SHA-256 of
            `config` and `data`, for the results.
    """

    config: ConfigDict
    variables: dict[str, Any]
    dataset: PoseDataset
    folder: pathlib.Path
    origin: dict[str, Any]


class Lifting(NamedTuple):
    """A run that lifts what another one has found.

    Args:
        config: the run's own.
        variables: the model's.
        description: what it was trained on.
        path: of the checkpoint.
    """

    config: ConfigDict
    variables: dict[str, Any]
    description: dict[str, Any]
    path: pathlib.Path


def load_lifter(path: str) -> Lifting:
    """Reads the run that `--lifter` names.

    Raises:
        InputError: nothing there, or no run that predicts poses.
    """
    from jrepose import checkpoints, tasks
    from jrepose.config import from_plain
    from jrepose.interop.weights import variables_of

    try:
        checkpoint = checkpoints.load(pathlib.Path(path))
        if "data" not in checkpoint.config:
            raise InputError(f"{path} was converted and does not say how it is to be evaluated")
        config = from_plain(checkpoint.config)
        if config.task in (*tasks.WITHOUT_POSES, *tasks.ON_IMAGES):
            raise InputError(f"{path} is of config.task {config.task!r}, which predicts no poses")
        variables = variables_of(checkpoint, config.model.to_dict())
    except InputError as error:
        raise InputError(f"--lifter: {error}") from None
    print(f"lifter: checkpoint of step {checkpoint.step}: {checkpoint.path}")
    return Lifting(config, variables, checkpoint.description, checkpoint.path)


def define_flags(line: CommandLine) -> None:
    """`--checkpoint`, `--split` and `--which`."""
    line.text(
        "checkpoint", None,
        "Workdir of a run, one checkpoint of it, or, with --config, a PyTorch file (.pth, .bin, "
        ".safetensors) or an archive of weights (.npz).", value="PATH",
    )  # fmt: skip
    line.choice("split", "test", "Which part of the data.", ["train", "validation", "test"])
    line.choice("which", "best", "Which checkpoint of a workdir.", ["best", "latest"])


def load(line: CommandLine, *, detectors: bool = False) -> Chosen:
    """Reads the config, the weights and the split that the command line names.

    Args:
        line: the command line.
        detectors: whether the command takes them too; all take what predicts poses.

    Raises:
        InputError: nothing there, weights of another model, or data that they are not for.
    """
    from jrepose import checkpoints, config_files, interop, tasks
    from jrepose.config import from_plain, parse_flags, to_json
    from jrepose.data.description import check_fits
    from jrepose.data.sources import load_splits
    from jrepose.interop.weights import variables_of
    from jrepose.models import attention
    from jrepose.precision import multiply_float32_in_full

    given, which = line.peek("checkpoint"), line.peek("which") or "best"
    if given is None:
        raise InputError("--checkpoint DIR is missing")
    path = pathlib.Path(given)
    # A file, or FILE::ENTRY, is PyTorch's or an archive.
    is_file = "::" in given or (path.exists() and not path.is_dir())
    run = None if is_file else path

    @functools.cache
    def checkpoint_of_run() -> checkpoints.Checkpoint:
        # Once: a run that goes on could have another best one the second time.
        return checkpoints.load(run, which)

    def config_of_run() -> ConfigDict:
        if run is None:
            raise InputError(
                f"--config FILE is missing: {path} does not say on what data and how to evaluate; "
                f"jrepose has {', '.join(config_files.names())}"
            )
        stored = checkpoint_of_run().config
        if "data" not in stored:
            raise InputError(
                f"--config FILE is missing: {path} was converted and does not say on what data "
                "and how to evaluate"
            )
        return from_plain(stored)

    config = parse_flags(line.flags, line.argv, config_of_run)
    if config.task in tasks.WITHOUT_POSES:
        raise InputError(
            f"config.task is {config.task!r}, which predicts no poses: {path}; a stage behind it "
            "does, and its own scores are in metrics.jsonl"
        )
    if config.task in tasks.ON_IMAGES and not detectors:
        raise InputError(
            f"config.task is {config.task!r}, which finds keypoints and predicts no poses: {path}; "
            "jrepose evaluate scores and draws what it finds"
        )
    multiply_float32_in_full()
    attention.override(config.attention)
    split, model = line["split"], config.model.to_dict()
    origin: dict[str, Any] = {"checkpoint": str(path.absolute()), "step": None, "split": split}
    if run is None:
        variables, described = interop.load_run_or_file(path, model)
    else:
        checkpoint = checkpoint_of_run()
        variables = variables_of(checkpoint, model)
        described = f"checkpoint of step {checkpoint.step}: {checkpoint.path}"
        origin |= {"checkpoint": str(checkpoint.path), "step": checkpoint.step}
    print(described)
    dataset = load_splits(config.data, (split,))[split]
    if run is not None:
        check_fits(checkpoint.description, dataset, checkpoint.path)
    if config.task in tasks.WITH_CONTEXT:
        trained_with = {} if run is None else checkpoint.config.get("context", {})
        if tasks.CONTEXT not in variables or config.context.path != trained_with.get("path"):
            context, described = interop.load_context(config.context.to_dict(), dataset)
            variables = {**variables, tasks.CONTEXT: context}
            print(f"context encoder: {described}")
    origin["config"] = hashlib.sha256(to_json(config).encode()).hexdigest()
    origin["data"] = dataset.fingerprint()
    folder = path.parent / path.stem if path.is_file() else path
    return Chosen(config, variables, dataset, folder, origin)
