"""Size of a model: parameters, multiply-accumulates and measured speed.

    jrepose complexity --config repose_mocap

Multiply-accumulates (MACs) are counted in the traced program, so they are those of the network
that runs: of linear layers and convolutions, and of the two products of attention, q k^T and
weights v.  Norms, activations and softmax are not counted, as is usual.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jrepose import models
from jrepose.models import functional


@dataclass(frozen=True)
class Complexity:
    """What a model costs on one clip.

    Args:
        parameters: trained numbers.
        linear_macs: multiply-accumulates of linear layers and convolutions, per clip.
        attention_macs: multiply-accumulates of attention's two products, per clip.
        frames: predicted frames per clip.
    """

    parameters: int
    linear_macs: int
    attention_macs: int
    frames: int

    @property
    def macs(self) -> int:
        return self.linear_macs + self.attention_macs


@dataclass(frozen=True)
class Published:
    """What a paper says of its system's size.

    Args:
        parameters, macs: as printed.
        source: paper and table.
        note: where the numbers belong to something else than the released code.
    """

    parameters: str
    macs: str
    source: str
    note: str


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "repose": Published(
            "16.0 M",
            "43.7 G per clip of 243 frames",
            "RePOSE, ECCV 2024, Table 2",
            "The released network (mlp_ratio 4) has these parameters; the MACs fit mlp_ratio 2, "
            "linear layers only (43.89 G, 10.7 M parameters).",
        ),
        "mixste": Published(
            "33.7 M",
            "645 M FLOPs per frame of a clip of 243",
            "MixSTE, CVPR 2022",
            "The released network has 33.78 M; its multiply-accumulates are 606.7 M per frame.  "
            "What the paper counts besides is not said.",
        ),
        "stcformer": Published(
            "4.7 M",
            "19.6 G per clip of 243 frames",
            "RePOSE, ECCV 2024, Table 2",
            "The MACs are those of linear layers and convolutions, without attention products.",
        ),
        "pstmo_s": Published(
            "6.2 M",
            "0.7 G",
            "RePOSE, ECCV 2024, Table 2, as P-STMO",
            "The parameters are without those of the places of the frames, the MACs without "
            "attention products.",
        ),
        "poseformer": Published(
            "9.5 M",
            "2.5 G",
            "RePOSE, ECCV 2024, Table 2",
            "The MACs fit 243 frames, linear layers only (2.44 G), not the 81 of its Table 1.",
        ),
        "mhformer": Published(
            "30.9 M",
            "7.0 G per clip of 351 frames",
            "RePOSE, ECCV 2024, Table 2",
            "The parameters are without the embeddings of places, the MACs (7.07 G) without "
            "attention products.",
        ),
        "motionagformer": Published(
            "11.7 M",
            "48.3 G per clip of 243 frames",
            "MotionAGFormer, WACV 2024, model B",
            "The MACs (47.96 G) are without the products of attention and of the graphs.",
        ),
    }
)
"""Model name -> what its paper prints."""


def measure(model: nn.Module, clip_shape: tuple[int, int, int]) -> Complexity:
    """Counts without computing anything.

    Args:
        model: the lifter.
        clip_shape: frames, joints and channels of its input.

    Raises:
        InputError: the model does not take such clips.
    """
    clip = jax.ShapeDtypeStruct((1, *clip_shape), jnp.float32)
    # Of programs for several platforms, all would count.
    with functional.for_any_platform():
        traced, (outputs, variables) = jax.make_jaxpr(model.init_with_output, return_shape=True)(
            jax.random.key(0), clip
        )
    macs = {"linear": 0, "attention": 0}
    for kind, count in _products(traced.jaxpr):
        macs[kind] += count
    return Complexity(
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"])),
        linear_macs=macs["linear"],
        attention_macs=macs["attention"],
        frames=models.main_output(outputs).shape[1],
    )


def _products(jaxpr: Any) -> Iterator[tuple[str, int]]:
    """Kind and multiply-accumulates of every matrix product and convolution in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            features = equation.params["dimension_numbers"].rhs_spec[0]
            inner = math.prod(kernel) // kernel[features]  # zeros beyond the borders count too
            yield "linear", inner * math.prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "dot_general":
            (contracted, _), (batch, _) = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contracted)
            # A layer's kernel is the same for all; in attention both sides differ by head.
            yield (
                "attention" if batch else "linear",
                inner * math.prod(equation.outvars[0].aval.shape),
            )
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for called in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(called):
                for kind, count in _products(called):
                    yield kind, times * count


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns")


def clips_per_second(
    model: nn.Module, clip_shape: tuple[int, int, int], batch: int, seconds: float = 5.0
) -> float:
    """Measured speed of prediction on the default device, compilation left out.

    Args:
        model: the lifter.
        clip_shape: frames, joints and channels of its input.
        batch: clips at a time.
        seconds: how long to measure, at least one batch.
    """
    clips = jnp.zeros((batch, *clip_shape), jnp.float32)
    shape = jax.ShapeDtypeStruct((1, *clip_shape), jnp.float32)
    variables = model.lazy_init(jax.random.key(0), shape)
    apply = jax.jit(model.apply)
    apply(variables, clips).block_until_ready()
    batches, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not batches:
        apply(variables, clips).block_until_ready()
        batches += 1
    return batches * batch / elapsed


def describe(name: str, complexity: Complexity, speed: float | None) -> str:
    """A table of a model's size, with its paper's numbers beside it."""

    def macs(count: int) -> str:
        return f"{count / 1e9:10.2f} G {count / complexity.frames / 1e6:12.1f} M"

    lines = [
        f"{name}: {complexity.parameters:,} parameters, {complexity.frames} frames a clip",
        f"{'multiply-accumulates':<24}{'per clip':>12}{'per frame':>15}",
        f"{'linear, convolution':<24}{macs(complexity.linear_macs)}",
        f"{'attention products':<24}{macs(complexity.attention_macs)}",
        f"{'together':<24}{macs(complexity.macs)}",
    ]
    if speed is not None:
        device = jax.devices()[0].device_kind
        lines.append(
            f"prediction: {speed:.2f} clips/s, {speed * complexity.frames:.0f} frames/s on {device}"
        )
    if name in PUBLISHED:
        paper = PUBLISHED[name]
        lines.append(f"{paper.source}: {paper.parameters} parameters, {paper.macs}. {paper.note}")
    return "\n".join(lines)
