"""What the model benchmarks share: flags, the official PyTorch model, paired timing, report."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import multiprocessing
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jrepose import models
from jrepose.host_memory import reuse_freed_memory
from jrepose.interop import to_torch
from jrepose.models.complexity import measure
from jrepose.precision import multiply_float32_in_full

# Dense peak in TFLOP/s as the vendor states it; float32 there means TF32 off.
KNOWN_PEAKS = {
    ("NVIDIA H200", "bfloat16"): 989.0,
    ("NVIDIA H200", "tf32"): 494.0,
    ("NVIDIA H200", "float32"): 67.0,
    ("NVIDIA H100 80GB HBM3", "bfloat16"): 989.0,
    ("NVIDIA H100 80GB HBM3", "tf32"): 494.0,
    ("NVIDIA H100 80GB HBM3", "float32"): 67.0,
    ("NVIDIA A100-SXM4-80GB", "bfloat16"): 312.0,
    ("NVIDIA A100-SXM4-80GB", "tf32"): 156.0,
    ("NVIDIA A100-SXM4-80GB", "float32"): 19.5,
}


def parse_arguments(
    description: str | None, extend: Callable[[argparse.ArgumentParser], None] = lambda _: None
) -> argparse.Namespace:
    """The common flags and what `extend` adds; also fixes how the process uses memory."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="repose", choices=list(models.MODELS))
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="a hyperparameter of the model, such as num_frame=81",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=243)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak-tflops", type=float, help="of the device; measured if unknown")
    parser.add_argument("--torch-root", type=pathlib.Path, help="checkout of the official code")
    parser.add_argument("--torch-class", default="lib.model.RePOSE:RePOSE")
    parser.add_argument(
        "--torch-set", action="append", default=[], metavar="NAME=VALUE", dest="torch_changes",
        help="an argument of the official class that is none of the model's hyperparameters",
    )  # fmt: skip
    parser.add_argument("--torch-compile", action="store_true")
    parser.add_argument(
        "--dropout", action="store_true",
        help="with the published rates of dropout; then results are not compared, only times",
    )  # fmt: skip
    parser.add_argument(
        "--keep-malloc", action="store_true", help="leave the C library's allocation as it is"
    )
    extend(parser)
    arguments = parser.parse_args()
    if not arguments.keep_malloc:
        reuse_freed_memory()
    multiply_float32_in_full()
    return arguments


def create_clips(arguments: argparse.Namespace, model) -> tuple[np.ndarray, np.ndarray]:
    """Random keypoints `[batch, frames, joints, channels]`, and poses as the model gives them."""
    random = np.random.default_rng(0)
    shape = (arguments.batch, arguments.frames, *model.input_shape[1:])
    keypoints = random.normal(size=shape).astype(np.float32)
    outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), keypoints)
    shape = models.main_output(outputs).shape
    return keypoints, random.normal(size=shape).astype(np.float32)


def hyperparameters(arguments: argparse.Namespace) -> dict[str, object]:
    """The model's, as given, and without dropout unless it is asked for: its draws cannot be
    compared."""
    return {
        **models.hyperparameters(arguments.model),
        **({} if arguments.dropout else models.without_dropout(arguments.model)),
        **_literals(arguments.changes),
        "dtype": arguments.precision,
    }


def _literals(changes: Sequence[str]) -> dict[str, object]:
    given = (change.partition("=") for change in changes)
    return {name: ast.literal_eval(value) for name, _, value in given}


def create_model(arguments: argparse.Namespace):
    """The model and random variables."""
    model = models.create(arguments.model, **hyperparameters(arguments))
    clip = jnp.zeros((1, *model.input_shape), jnp.float32)
    return model, jax.jit(model.init)(jax.random.key(0), clip)


class Opponent:
    """A function in a process of its own: neither side's memory disturbs the other's.

    Args:
        build: top-level function that the other process calls with `operands` and that
            returns the function to run.
    """

    def __init__(self, build: Callable, arguments: argparse.Namespace, *operands):
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        process = context.Process(
            target=_serve, args=(other_end, build, arguments, *operands), daemon=True
        )
        process.start()
        other_end.close()

    def __call__(self):
        """Runs it once and returns its result."""
        self._connection.send(None)
        try:
            return self._connection.recv()
        except EOFError:
            sys.exit("the PyTorch process failed, see above")


def _serve(connection, build, arguments, *operands) -> None:
    if not arguments.keep_malloc:
        reuse_freed_memory()
    run = build(arguments, *operands)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(run())


def official(build: Callable, arguments: argparse.Namespace, variables, *operands):
    """`build(arguments, state_dict, *operands)` in a process of its own; None without torch."""
    if arguments.torch_root is None:
        print("no --torch-root: no comparison with PyTorch")
        return None
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed (pip install '.[compare]'): no comparison")
        return None
    state = to_torch(arguments.model, jax.device_get(variables))
    return Opponent(build, arguments, state, *operands)


def official_model(arguments: argparse.Namespace, state: Mapping[str, np.ndarray]):
    """The official module with our weights, on CUDA where there is one."""
    import torch

    from jrepose.interop.gradients.pytorch import official

    given = {**hyperparameters(arguments), **_literals(arguments.torch_changes)}
    built = official.official_model(arguments.torch_root, arguments.torch_class, given)
    for module in built.modules():
        # Some rates are no argument.
        if isinstance(module, torch.nn.Dropout) and not arguments.dropout:
            module.p = 0.0
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda tensor: tensor  # some code asks for it wherever it runs
    built.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    built = built.to("cuda" if torch.cuda.is_available() else "cpu")
    return torch.compile(built) if arguments.torch_compile else built


def compiled(function: Callable, *operands) -> tuple[Callable, float]:
    """The compiled function, which may be a mapped one, and the seconds that compiling took."""
    started = time.perf_counter()
    mapped = function if hasattr(function, "lower") else jax.jit(function)
    program = mapped.lower(*operands).compile()
    return program, time.perf_counter() - started


def seconds(run: Callable[[], object]) -> float:
    """Time of one run, after a pause in which the other side's idle threads stop spinning."""
    time.sleep(0.5)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak_flops(arguments: argparse.Namespace) -> tuple[float, str]:
    """Peak FLOP/s of one device and where the figure is from."""
    if arguments.peak_tflops:
        return arguments.peak_tflops * 1e12, "given"
    known = KNOWN_PEAKS.get((jax.devices()[0].device_kind, arguments.precision))
    if known:
        return known * 1e12, "vendor"
    size = 2048
    matrix = jnp.ones((size, size), _dtype(arguments.precision))
    product, _ = compiled(jnp.matmul, matrix, matrix)
    best = min(seconds(lambda: jax.block_until_ready(product(matrix, matrix))) for _ in range(10))
    return 2 * size**3 / best, f"best of ten {size} x {size} products"


def _dtype(precision: str) -> str:
    return "float32" if precision == "tf32" else precision


def model_flops(model, clips: np.ndarray) -> float:
    """Floating point operations of one forward pass: linear layers and attention's products."""
    return 2.0 * len(clips) * measure(model, clips.shape[1:]).macs


def report(
    arguments: argparse.Namespace,
    ours: Callable[[], object],
    theirs: Callable[[], object] | None,
    *,
    flops: float,
    compile_seconds: float,
    program,
) -> None:
    """Times both in turn and prints medians, throughput, share of peak, memory and the ratio."""
    for run in filter(None, (ours, theirs)):
        run()
    pairs = [
        (seconds(ours), seconds(theirs) if theirs else float("nan"))
        for _ in range(arguments.rounds)
    ]
    own = statistics.median(pair[0] for pair in pairs)
    peak, source = peak_flops(arguments)
    device = jax.devices()[0]
    used = device.memory_stats() or {}
    print(
        f"{arguments.model}, batch {arguments.batch}, {arguments.frames} frames, "
        f"{arguments.precision}, jax {jax.__version__} on {device.device_kind}"
    )
    print(f"  time            {1e3 * own:10.1f} ms  (median of {arguments.rounds})")
    print(f"  throughput      {arguments.batch / own:10.2f} clips/s")
    print(
        f"  model FLOP/s    {flops / own / 1e9:10.1f} G, {100 * flops / own / peak:.0f} % of "
        f"{peak / 1e9:.0f} G ({source})"
    )
    print(f"  compile time    {compile_seconds:10.1f} s")
    print(
        f"  temporary memory{program.memory_analysis().temp_size_in_bytes / 2**20:10.0f} MiB"
        + (f", peak on the device {used['peak_bytes_in_use'] / 2**20:.0f} MiB" if used else "")
    )
    if theirs:
        kind = "torch.compile" if arguments.torch_compile else "torch eager"
        print(f"  {kind:16s}{1e3 * statistics.median(p[1] for p in pairs):10.1f} ms")
        ratios = sorted(p[1] / p[0] for p in pairs)
        print(
            f"  speed-up        {statistics.median(ratios):10.2f}x over {kind} "
            f"(paired, {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
