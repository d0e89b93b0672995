"""Sides of a gradient comparison made by hand, with plain NumPy instead of a framework."""

import dataclasses

import numpy as np

from jrepose.interop.gradients.edge_cases import run_edge_cases
from jrepose.interop.gradients.findings import Findings, PrecisionResult
from jrepose.interop.gradients.measures import compare_parameters, cosine, relative_error
from jrepose.interop.gradients.ranking_lens import inspect_ranking
from jrepose.interop.gradients.side import LossGradient, TrainingStep
from jrepose.interop.gradients.terms import push_per_layer
from jrepose.interop.gradients.trajectory import compare_runs
from jrepose.skeleton import HUMAN36M_17

WEIGHTS = {"mpjpe": 1.0, "spatial_ranking": 20.0, "temporal_ranking": 20.0}


def ranking(depths, truths, tie=0.5):
    """Value and gradient over the last axis, pair by pair; `tie` is the derivative at 0."""
    length = depths.shape[-1]
    divisor = depths.size * length
    value, gradient = 0.0, np.zeros(depths.shape)
    for index in np.ndindex(depths.shape[:-1]):
        for i in range(length):
            for j in range(length):
                if truths[index][i] < truths[index][j]:
                    gap = float(depths[index][i]) - float(depths[index][j])
                    value += max(0.0, gap) / divisor
                    step = 1.0 if gap > 0 else tie if gap == 0 else 0.0
                    gradient[index][i] += step / divisor
                    gradient[index][j] -= step / divisor
    return value, gradient


class NumpySide:
    """The losses of RePOSE, written for clarity."""

    def __init__(self, tie=0.5):
        self.tie = tie

    def loss_gradients(self, poses, targets):
        gap = np.asarray(poses - targets, np.float64)
        length = np.linalg.norm(gap, axis=-1, keepdims=True)
        unit = np.divide(gap, length, out=np.zeros_like(gap), where=length > 0)
        found = {"mpjpe": LossGradient(float(length.mean()), unit / length.size)}
        for name, axes in (("spatial_ranking", (0, 1, 2)), ("temporal_ranking", (0, 2, 1))):
            depths, truths = (x[..., 2].transpose(axes) for x in (poses, targets))
            value, gradient = ranking(depths, truths, self.tie)
            whole = np.zeros(poses.shape)
            whole[..., 2] = gradient.transpose(axes)  # either order is its own inverse
            found[name] = LossGradient(value, whole)
        return found


def gradients(seed=0):
    """Of every term and of the objective, for a network of a few parameters."""
    random = np.random.default_rng(seed)
    shapes = {
        "pos_embed": (1, 17, 4),
        "blocks_st.0.attn_s.qkv.bias": (12,),
        "blocks_ts.0.mlp_t.fc1.weight": (8, 4),
        "ts_attn.0.bias": (2,),
        "head.weight": (3, 4),
    }
    terms = {
        term: {name: random.normal(size=shape) for name, shape in shapes.items()}
        for term in WEIGHTS
    }
    for gradient in terms.values():
        gradient["blocks_st.0.attn_s.qkv.bias"][4:8] *= 1e-12
    total = {
        name: sum(weight * terms[term][name] for term, weight in WEIGHTS.items()) for name in shapes
    }
    return {
        objective: {name: array.astype(np.float32) for name, array in gradient.items()}
        for objective, gradient in {**terms, "total": total}.items()
    }


def poses(seed=0, frames=5):
    return np.random.default_rng(seed).normal(size=(2, frames, 17, 3)).astype(np.float32)


def comparison(ours=None, theirs=None, reference=None, torch_side=None, steps=3) -> Findings:
    """A comparison as the frameworks would have made it, from gradients by objective."""
    ours, theirs = ours or gradients(), theirs or gradients()
    side, torch_side = NumpySide(), torch_side or NumpySide()
    predicted, target = poses(1), poses(2)
    depths = {
        name: (WEIGHTS[name] * found.gradient[..., 2]).astype(np.float32)
        for name, found in side.loss_gradients(predicted, target).items()
    }
    vectors = [np.concatenate([a.ravel() for a in g["total"].values()]) for g in (ours, theirs)]
    result = PrecisionResult(
        name="float32",
        tolerance=1e-4,
        terms_jax={term: 0.5 for term in WEIGHTS},
        terms_torch={term: 0.5 for term in WEIGHTS},
        poses=1e-7,
        whole=relative_error(*vectors),
        cosine=cosine(*vectors),
        jax_error=None if reference is None else 2e-7,
        torch_error=None if reference is None else 3e-7,
        parameters=compare_parameters(ours["total"], theirs["total"], reference, tolerance=1e-4),
    )

    def run(gradient, rate):
        parameters = gradient["total"]
        for step in range(steps):
            parameters = {k: v - np.float32(rate) * v for k, v in parameters.items()}
            yield TrainingStep({term: 1.0 / (step + 1) for term in WEIGHTS}, parameters)

    return Findings(
        setup={"model": "by hand", "reference": "PyTorch in float64"},
        joint_names=HUMAN36M_17.joint_names,
        weights=WEIGHTS,
        tolerance=1e-4,
        precisions={
            "float32": result,
            "bfloat16": dataclasses.replace(result, name="bfloat16", tolerance=0.1),
        },
        not_run={"tf32": "needs a GPU in both frameworks"},
        layers=push_per_layer(ours, theirs, WEIGHTS),
        lenses=[
            inspect_ranking(
                name, predicted, target, depths[name], depths[name], depths["mpjpe"], predicted
            )
            for name in ("spatial_ranking", "temporal_ranking")
        ],
        edge_cases=run_edge_cases(side, torch_side),
        trajectory=compare_runs(run(ours, 0.1), run(theirs, 0.1), theirs["total"], WEIGHTS),
        seconds={"everything": 1.5},
    )
