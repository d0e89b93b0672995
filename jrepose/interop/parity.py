"""Compares this library with what the official PyTorch code computed, number by number.

    python -m jrepose.interop.parity FIXTURE.npz [--verbose] [--tolerance 1e-5]

A fixture is an `.npz` of arrays and a JSON string `config`; it holds parameters, inputs and
what the official code makes of them: outputs, intermediate activations, losses and gradients.
Sizes come from the fixture.  The error of an array is relative to the array's largest
magnitude.  The exit status is 1 when an error exceeds the tolerance (ten times the tolerance
for gradients), 2 when the fixture cannot be used.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jrepose import losses, models
from jrepose.errors import InputError
from jrepose.interop.state_dicts import from_torch, to_torch
from jrepose.skeleton import HUMAN36M_17

GRADIENT_SLACK = 10  # gradients may differ this much more than values

# The fixtures' loss names -> f(predicted, target, extra arrays of the case).
LOSSES: Mapping[str, Callable[..., jax.Array]] = {
    "mpjpe": lambda p, y, extra: losses.mpjpe(p, y),
    "weighted_mpjpe": lambda p, y, extra: losses.weighted_mpjpe(p, y, extra["w"]),
    "n_mpjpe": lambda p, y, extra: losses.n_mpjpe(p, y),
    "spatial": lambda p, y, extra: losses.spatial_ranking(p, y),
    "temporal": lambda p, y, extra: losses.temporal_ranking(p, y),
    "spatial_rank": lambda p, y, extra: losses.spatial_ranking(p, y),
    "temporal_rank": lambda p, y, extra: losses.temporal_ranking(p, y),
    "velocity": lambda p, y, extra: losses.velocity(p, y),
    "limb_var": lambda p, y, extra: losses.limb_variance(p),
    "limb_gt": lambda p, y, extra: losses.limb_length(p, y),
    "angle": lambda p, y, extra: losses.angle(p, y),
    "angle_velocity": lambda p, y, extra: losses.angle_velocity(p, y),
    "joint_l1": lambda p, y, extra: losses.joint_l1(p, y),
    "proj_2d": lambda p, y, extra: losses.reprojection_2d(p[..., :2], y[..., :2], extra["conf"]),
}

# The official training objectives whose gradients the fixtures hold, per official class.
_MOTIONBERT_3D = {"mpjpe": 1.0, "n_mpjpe": 0.5, "velocity": 20.0}
OBJECTIVES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "RePOSE": {"": {"mpjpe": 1.0, "spatial_rank": 20.0, "temporal_rank": 20.0}},
    "DSTformer": {
        "_all": {
            **_MOTIONBERT_3D,
            "limb_var": 0.3,
            "limb_gt": 0.7,
            "angle": 0.2,
            "angle_velocity": 0.1,
        },
        "_2d": {"proj_2d": 1.0},
        "": _MOTIONBERT_3D,
    },
}


@dataclass(frozen=True)
class Comparison:
    """One array of the fixture against ours.

    Args:
        name: the array's key in the fixture.
        absolute: largest absolute difference; infinite where shapes or NaNs differ.
        relative: the same over the largest magnitude of the fixture's array.
    """

    name: str
    absolute: float
    relative: float

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    def within(self, tolerance: float) -> bool:
        slack = GRADIENT_SLACK if "grad" in self.group else 1
        return self.relative <= slack * tolerance


def compare_fixture(path: pathlib.Path) -> list[Comparison]:
    """Computes every array of a fixture that this library has a counterpart of.

    Args:
        path: `.npz` of RePOSE, MotionBERT (DSTformer) or of the losses alone.

    Returns:
        One comparison per array, in the fixture's order.

    Raises:
        InputError: not a readable fixture, or one of another system.
    """
    arrays, config = _read(path)
    if config.get("model") in OBJECTIVES:
        ours = _model_arrays(arrays, config)
    elif any(key.startswith("input/") and key.endswith("/pred") for key in arrays):
        ours = _loss_arrays(arrays)
    else:
        raise InputError(
            f"{path}: holds {config.get('model', 'an unknown system')}, expected one of "
            f"{', '.join(OBJECTIVES)} or the losses alone"
        )
    with jax.default_matmul_precision("highest"):
        found = dict(ours)
    comparisons = [_compare(name, found[name], arrays[name]) for name in arrays if name in found]
    if not comparisons:
        raise InputError(f"{path}: holds no result to compare with")
    return comparisons


def _read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return arrays, json.loads(str(arrays.pop("config")))
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise InputError(f"{path}: not a fixture ({error})") from error


def _compare(name: str, ours: Any, expected: np.ndarray) -> Comparison:
    ours = np.asarray(ours, np.float64)
    if ours.shape != expected.shape or not np.array_equal(np.isnan(ours), np.isnan(expected)):
        return Comparison(name, np.inf, np.inf)
    absolute = float(np.nanmax(np.abs(ours - expected), initial=0.0))
    scale = float(np.nanmax(np.abs(expected), initial=0.0))
    return Comparison(name, absolute, absolute / scale if scale else absolute)


def _model_arrays(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Our value of everything in a fixture that depends on its models."""
    for instance in ("", "alt_"):
        if f"{instance}constructor" in config:
            hyperparameters = {
                **config[f"{instance}constructor"],
                "norm_eps": config.get("norm_eps", 1e-6),
            }
            ours = _instance_arrays(
                _below(arrays, instance), hyperparameters, OBJECTIVES[config["model"]]
            )
            yield from ((instance + name, value) for name, value in ours)


def _instance_arrays(arrays, hyperparameters, objectives) -> Iterator[tuple[str, Any]]:
    """One model on each of its inputs: `input/x`, `input/x_short`, ..."""
    model = models.create("repose", **hyperparameters)
    variables = from_torch("repose", _below(arrays, "param/"), **hyperparameters)
    for suffix, keypoints in _below(arrays, "input/x").items():
        outputs = dict(_outputs(model, variables, jnp.asarray(keypoints)))
        yield from ((f"output/{name}{suffix}", value) for name, value in outputs.items())
        activations = _activations(model, variables, keypoints)
        yield from ((f"intermediate{suffix}/{name}", value) for name, value in activations)

        if (target := arrays.get(f"target/y{suffix}")) is None:
            continue
        extra = {"conf": arrays.get(f"input/conf{suffix}")}
        values = {
            name: jax.jit(LOSSES[name])(outputs["pred"], target, extra)
            for name in _below(arrays, f"loss{suffix}/")
            if name in LOSSES
        }
        yield from ((f"loss{suffix}/{name}", value) for name, value in values.items())
        for objective, weights in objectives.items():
            if weights.keys() <= values.keys():
                total = sum(weight * values[name] for name, weight in weights.items())
                yield f"loss{suffix}/total{objective}", total
            if _below(arrays, f"grad{objective}{suffix}/"):
                gradients = _gradients(model, variables, keypoints, target, extra, weights)
                for key, value in to_torch("repose", gradients).items():
                    yield f"grad{objective}{suffix}/{key}", value


def _outputs(model, variables, keypoints: jax.Array) -> Iterator[tuple[str, jax.Array]]:
    apply = jax.jit(model.apply, static_argnames="return_representation")
    poses = apply(variables, keypoints)
    yield "pred", poses
    yield "rep", apply(variables, keypoints, return_representation=True)
    if keypoints.shape[2] == HUMAN36M_17.num_joints:
        yield "pred_flip_tta", (poses + _flip(apply(variables, _flip(keypoints)))) / 2


def _activations(model, variables, keypoints) -> Iterator[tuple[str, jax.Array]]:
    apply = jax.jit(functools.partial(model.apply, capture_intermediates=True))
    captured = apply(variables, keypoints)[1]["intermediates"]
    yield "embed", _rows(captured["embed"])
    yield "norm", _rows(captured["norm"]["__call__"])
    for level in range(model.depth):
        yield f"block_st_{level}", _rows(captured[f"blocks_st_{level}"]["__call__"])
        yield f"block_ts_{level}", _rows(captured[f"blocks_ts_{level}"]["__call__"])
        if model.att_fuse:
            yield f"ts_attn_logits_{level}", _rows(captured[f"ts_attn_{level}"]["__call__"])


def _rows(captured: tuple[jax.Array]) -> jax.Array:
    """Clips and frames merged, as the official code has its activations."""
    (activation,) = captured
    return activation.reshape(-1, *activation.shape[2:])


def _flip(poses: jax.Array) -> jax.Array:
    return poses[:, :, HUMAN36M_17.flip_permutation].at[..., 0].multiply(-1)


def _gradients(model, variables, keypoints, target, extra, weights):
    @jax.jit
    @jax.grad
    def gradient(variables):
        predicted = model.apply(variables, keypoints)
        return sum(
            weight * LOSSES[name](predicted, target, extra) for name, weight in weights.items()
        )

    return gradient(variables)


def _loss_arrays(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Any]]:
    """Value and gradient of every loss in a fixture of the losses alone."""
    for key in arrays:
        group, _, rest = key.partition("/")
        case, _, name = rest.partition("/")
        if group != "loss" or name not in LOSSES:
            continue
        target = arrays[f"target/{case}/gt"]
        extra = _below(arrays, f"input/{case}/")
        value, gradient = jax.jit(jax.value_and_grad(LOSSES[name]))(extra["pred"], target, extra)
        yield key, value
        yield f"grad/{case}/{name}", gradient


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}


def _report(comparisons: list[Comparison], tolerance: float, verbose: bool) -> str:
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(comparison.group, []).append(comparison)
    lines = [f"{'group':<20}{'arrays':>7}{'relative':>11}{'absolute':>11}  largest relative at"]
    for group, members in groups.items():
        if verbose:
            lines += [f"{'':<27}{m.relative:>11.2e}{m.absolute:>11.2e}  {m.name}" for m in members]
        worst = max(members, key=lambda member: member.relative)
        absolute = max(member.absolute for member in members)
        verdict = "" if worst.within(tolerance) else "  PAST TOLERANCE"
        lines.append(
            f"{group:<20}{len(members):>7}{worst.relative:>11.2e}{absolute:>11.2e}"
            f"  {worst.name}{verdict}"
        )
    return "\n".join(lines)


def _not_compared(path: pathlib.Path, comparisons: list[Comparison]) -> list[str]:
    """Groups of results in the fixture, with the number of arrays that have no comparison."""
    given = {"param", "alt_param", "input", "alt_input", "target", "alt_target"}
    compared = {comparison.name for comparison in comparisons}
    left = collections.Counter(key.split("/")[0] for key in _read(path)[0] if key not in compared)
    return [f"{group} ({count})" for group, count in left.items() if group not in given]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jrepose.interop.parity",
        description="Compare this library with what the official PyTorch code computed.",
    )
    parser.add_argument("fixture", type=pathlib.Path, help=".npz with parameters and results")
    parser.add_argument("--verbose", action="store_true", help="list every array")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-5,
        help="largest relative error of outputs and losses; gradients may have ten times it "
        "(default: %(default)s)",
    )
    flags = parser.parse_args(arguments)
    try:
        comparisons = compare_fixture(flags.fixture)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_report(comparisons, flags.tolerance, flags.verbose))
    if left := _not_compared(flags.fixture, comparisons):
        print(f"no counterpart here, not compared: {', '.join(left)}")
    agree = all(comparison.within(flags.tolerance) for comparison in comparisons)
    print("agreement" if agree else "DISAGREEMENT", "on", jax.devices()[0].device_kind)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
