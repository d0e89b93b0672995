"""The comparison from config to result: both frameworks on the same weights and batches."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jrepose import interop, models
from jrepose.data.dataset import PoseDataset
from jrepose.errors import InputError, MissingExtra
from jrepose.host_memory import return_freed_memory
from jrepose.interop.gradients.clips import training_clips
from jrepose.interop.gradients.edge_cases import run_edge_cases
from jrepose.interop.gradients.findings import Findings, PrecisionResult
from jrepose.interop.gradients.jax_side import JaxSide
from jrepose.interop.gradients.measures import compare_parameters, cosine, relative_error
from jrepose.interop.gradients.ranking_lens import AXES, inspect_ranking
from jrepose.interop.gradients.side import BackwardPass, Clips, Side
from jrepose.interop.gradients.terms import push_per_layer
from jrepose.interop.gradients.trajectory import compare_runs
from jrepose.losses.objective import Objective
from jrepose.models.dstformer import DSTformer
from jrepose.tasks.lifting import batch_objective

_LOG = logging.getLogger(__name__)

PRECISIONS = ("float32", "tf32", "bfloat16")

_COARSE = {"tf32": 2e-2, "bfloat16": 2e-1}
"""Tolerances of the precisions below float32; one rounding is 5e-4 and 4e-3."""

# Beyond this many parameters times frames a step takes seconds on a CPU.
_LONG_STEP = 1e9
_STEPS, _FEW_STEPS = 10, 4

_JUMP = 10
"""A pair of depths that the two predictions order differently makes the ranking losses'
gradients jump; this many times the jump at the poses is allowed for at the parameters."""


@dataclass(frozen=True)
class Options:
    """What to compare, besides what the config says.

    Args:
        checkpoint: workdir of a run, one checkpoint of it, or a PyTorch file; None draws the
            weights that training would begin with.
        torch_root: checkout of official code; None takes our own rendition.
        torch_class: MODULE:CLASS of the network in the checkout.
        torch_losses: module in the checkout with the losses; None takes our own rendition.
        precisions: which of `PRECISIONS` to compare.
        reference: whether to compute the gradient in float64, to tell who is nearer to it;
            otherwise the coarser precisions are measured by PyTorch's float32.
        steps: of training; None takes 10, or 4 where a step is long.
        tolerance: largest relative error in float32 that counts as agreement.
    """

    checkpoint: str | None = None
    torch_root: str | None = None
    torch_class: str = "lib.model.RePOSE:RePOSE"
    torch_losses: str | None = None
    precisions: Sequence[str] = PRECISIONS
    reference: bool = True
    steps: int | None = None
    tolerance: float | int = 1e-4

    def __post_init__(self):
        if unknown := set(self.precisions) - set(PRECISIONS):
            raise InputError(
                f"unknown precision {', '.join(sorted(unknown))}; known: {', '.join(PRECISIONS)}"
            )
        if "float32" not in self.precisions:
            raise InputError("precisions must include float32, which the others are measured by")
        if self.steps is not None and self.steps < 0:
            raise InputError(f"steps is {self.steps}, expected at least 0")
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance is {self.tolerance}, expected between 0 and 1")
        if self.torch_losses is not None and self.torch_root is None:
            raise InputError("torch-losses names a module of a checkout; torch-root is missing")


def compare_gradients(config: ConfigDict, options: Options, dataset: PoseDataset) -> Findings:
    """Runs both frameworks and measures how far they are apart.

    Args:
        config: model, objective, clips and optimiser.
        options: what to compare.
        dataset: the training split.

    Raises:
        InputError: a model or loss without counterpart, weights that do not fit, no data.
        MissingExtra: PyTorch is missing.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("torch", "comparing gradients", "compare")
    from jrepose.interop.gradients.pytorch import side as torch_side

    name, hyperparameters = _model(config)
    objective = batch_objective(config, dataset.skeleton)
    if objective.learn_weights:
        raise InputError("objective.learn_weights has no counterpart in PyTorch; leave it empty")
    network, losses, origin = _torch_parts(options, hyperparameters)
    if unknown := set(objective.weights) - set(losses):
        raise InputError(
            f"objective: {', '.join(sorted(unknown))} has no counterpart in PyTorch; known: "
            + ", ".join(losses)
        )
    variables, weights_origin = _variables(config, options, name, hyperparameters)
    state = interop.to_torch(name, variables)
    size = sum(array.size for array in state.values())
    steps = _steps(options, config, size)
    batches = training_clips(config, dataset, max(1, steps))

    def ours(precision: str) -> JaxSide:
        return JaxSide(name, hyperparameters, objective, variables, precision)

    def theirs(precision: str) -> torch_side.TorchSide:
        return torch_side.TorchSide(network, losses, objective.weights, state, precision)

    findings = Findings(
        setup={
            "model": f"{name}, {size:,} parameters",
            "weights": weights_origin,
            "batch": "{} clips of {} frames".format(*batches[0].keypoints.shape),
            "data": f"{config.data.source}, {len(dataset.videos)} videos",
            "objective": " + ".join(f"{w:g} {term}" for term, w in objective.weights.items()),
            "JAX": f"jax {jax.__version__} on {jax.devices()[0].device_kind}",
            "PyTorch": torch_side.version(),
            "PyTorch code": origin,
            "reference": "PyTorch in float64" if options.reference else "PyTorch in float32",
        },
        joint_names=dataset.skeleton.joint_names,
        weights=dict(objective.weights),
        tolerance=float(options.tolerance),
        broken_weights={
            key: int(count)
            for key, array in state.items()
            if (count := np.sum(~np.isfinite(array)))
        },
    )
    reference = None
    if options.reference:
        with _stage(findings, "float64 reference"):
            reference = _by_clip(theirs("float64"), batches[0])
    both = (ours("float32"), theirs("float32"))
    passes = _compare_float32(findings, both, batches[0], reference, objective)
    reference = reference or passes[1]
    noise = {error.name for error in findings.precisions["float32"].noise}
    for precision in options.precisions:
        if precision == "tf32" and not (jax.default_backend() == "gpu" and torch_side.has_gpu()):
            findings.not_run[precision] = "needs a GPU in both frameworks"
        elif precision != "float32":
            with _stage(findings, precision):
                coarse = [
                    side(precision).backward(batches[0], per_term=False) for side in (ours, theirs)
                ]
                findings.precisions[precision] = _precision_result(
                    precision, coarse, reference, tolerance=_COARSE[precision], noise=noise
                )
    if steps:
        with _stage(findings, f"{steps} training steps"):
            rates = {
                "learning_rate": config.training.learning_rate,
                "weight_decay": config.training.weight_decay,
            }
            runs = (side.train(iter(batches), **rates) for side in both)
            findings.trajectory = compare_runs(*runs, state, objective.weights)
    return findings


def _compare_float32(
    findings: Findings,
    sides: tuple[Side, Side],
    clips: Clips,
    reference: BackwardPass | None,
    objective: Objective,
) -> list[BackwardPass]:
    """What is looked at in float32 only: terms apart, the ranking losses, the edge cases.

    Returns:
        JAX's and PyTorch's backward pass.
    """
    passes = []
    for framework, side in zip(("JAX", "PyTorch"), sides, strict=True):
        with _stage(findings, f"float32, {framework}"):
            passes.append(side.backward(clips, per_term=True))
    ours, theirs = passes
    with _stage(findings, "float32, losses"):
        at_ours, at_theirs = (sides[0].loss_gradients(p.poses, clips.targets) for p in passes)
        torch_at_ours = sides[1].loss_gradients(ours.poses, clips.targets)
        depths, depths_torch = (
            {
                term: weight * gradients[term].gradient[..., 2]
                for term, weight in objective.weights.items()
            }
            for gradients in (at_ours, torch_at_ours)
        )
        findings.lenses = [
            inspect_ranking(
                term,
                ours.poses,
                clips.targets,
                depths[term],
                depths_torch[term],
                depths.get("mpjpe"),
                theirs.poses,
            )
            for term in objective.weights
            if term in AXES
        ]
        findings.edge_cases = run_edge_cases(*sides)
    with _stage(findings, "float32, measures"):
        findings.layers = push_per_layer(ours.gradients, theirs.gradients, objective.weights)
        jump = 0.0
        if any(lens.decided_differently for lens in findings.lenses):
            whole, whole_too = (
                sum(weight * side[term].gradient for term, weight in objective.weights.items())
                for side in (at_ours, at_theirs)
            )
            jump = relative_error(whole, whole_too)
        findings.precisions["float32"] = _precision_result(
            "float32", passes, reference, tolerance=findings.tolerance + _JUMP * jump
        )
    return passes


def _precision_result(
    name: str,
    passes: Sequence[BackwardPass],
    reference: BackwardPass | None,
    *,
    tolerance: float,
    noise: set[str] | None = None,
) -> PrecisionResult:
    ours, theirs = (one.gradients["total"] for one in passes)
    exact = None if reference is None else reference.gradients["total"]
    a, b, truth = (
        None if gradient is None else np.concatenate([gradient[k].ravel() for k in theirs])
        for gradient in (ours, theirs, exact)
    )
    return PrecisionResult(
        name=name,
        tolerance=tolerance,
        terms_jax=passes[0].terms,
        terms_torch=passes[1].terms,
        poses=relative_error(passes[0].poses, passes[1].poses),
        whole=relative_error(a, b),
        cosine=cosine(a, b),
        jax_error=None if truth is None else relative_error(a, truth),
        torch_error=None if truth is None else relative_error(b, truth),
        parameters=compare_parameters(ours, theirs, exact, tolerance=tolerance, noise=noise),
    )


def _model(config: ConfigDict) -> tuple[str, dict[str, Any]]:
    """Name and hyperparameters of the config's model, without dropout: its draws differ."""
    given = config.model.to_dict()
    name = given.pop("name")
    model = models.create(name, **given)
    if not isinstance(model, DSTformer):
        raise InputError(f"model {name} has no counterpart in PyTorch here; only DSTformers have")
    known = models.hyperparameters(name)
    return name, known | given | models.without_dropout(name)


def _torch_parts(options: Options, hyperparameters: Mapping[str, Any]):
    """PyTorch's network, its losses, and where they are from."""
    from jrepose.interop.gradients.pytorch import losses, model, official

    if options.torch_root is None:
        network = model.create(hyperparameters)
        return network, losses.LOSSES, "this project's rendition of RePOSE"
    network = official.official_model(options.torch_root, options.torch_class, hyperparameters)
    origin = f"{options.torch_class} in {options.torch_root}"
    if options.torch_losses is None:
        return network, losses.LOSSES, f"{origin}, this project's rendition of the losses"
    found = official.official_losses(options.torch_root, options.torch_losses)
    return network, found, f"{origin}, losses of {options.torch_losses}"


def _variables(
    config: ConfigDict, options: Options, name: str, hyperparameters: Mapping[str, Any]
) -> tuple[Mapping[str, Any], str]:
    """The weights and where they are from."""
    if options.checkpoint is not None:
        return interop.load_run_or_file(options.checkpoint, config.model.to_dict())
    model = models.create(name, **hyperparameters)
    # As training begins.
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    clip = jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32)
    return jax.device_get(model.lazy_init(key, clip)), f"random, seed {config.seed}"


def _steps(options: Options, config: ConfigDict, size: int) -> int:
    if options.steps is not None:
        return options.steps
    work = size * config.training.batch_size * config.clip.frames
    return _FEW_STEPS if work > _LONG_STEP and jax.default_backend() == "cpu" else _STEPS


def _by_clip(side: Side, clips: Clips) -> BackwardPass:
    """The batch's gradient as the mean over its clips: the memory of one.

    All losses are means over the batch.
    """
    passes = [
        side.backward(Clips(*(array[n : n + 1] for array in clips)), per_term=False)
        for n in range(len(clips.keypoints))
    ]
    return BackwardPass(
        poses=np.concatenate([one.poses for one in passes]),
        terms={k: float(np.mean([one.terms[k] for one in passes])) for k in passes[0].terms},
        gradients={
            "total": {
                name: sum(one.gradients["total"][name] for one in passes) / len(passes)
                for name in passes[0].gradients["total"]
            }
        },
    )


@contextlib.contextmanager
def _stage(findings: Findings, name: str) -> Iterator[None]:
    """Takes the time of a stage and says when it is done; the next one gets its memory."""
    begun = time.perf_counter()
    yield
    return_freed_memory()
    findings.seconds[name] = time.perf_counter() - begun
    _LOG.info("%6.1f s  %s", findings.seconds[name], name)
