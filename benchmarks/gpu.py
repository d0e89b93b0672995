"""Every figure of a GPU by one command, for nine minutes at most on one card.

    python benchmarks/gpu.py --out FOLDER [--torch-root CHECKOUT_OF_REPOSE]

It needs JAX and Flax, and no network; from a checkout jrepose need not be installed.  Where there
is PyTorch it is measured beside it: our rendition of RePOSE, eager and under `torch.compile`, and
with `--torch-root` the official code.  The most important parts come first, each in a process of
its own; what was measured is in `gpu.json` and `gpu.md` at any moment, also if time runs out or
a part fails.  What there was no time for is named: `--parts` measures it by another call, in the
order given.  `--smoke` measures all with tiny networks, on any device.  `--target FILE` needs no
card: networks are compiled for the one that the file describes (of XLA's repository,
xla/backends/gpu/target_config/specs) and not run; it tells their memory, and takes `jax[cuda13]`.

- `repose`, `mixste`, `others`: forward pass and the trainer's step of the registered lifters in
  float32, TF32 and bfloat16, up to the batch that memory holds; time, share of peak (MFU), memory,
  and RePOSE's seconds to compile, without a cache and from one;
- `torch`, `official`: the same of RePOSE in PyTorch;
- `attention`: each implementation that can run, at the sizes of the lifters;
  `--write-attention-table` makes the fastest of each size what this checkout chooses on such a GPU;
- `losses`: both depth-ranking losses with their gradient, up to 4096 frames;
- `sampler`: DiffPose's way back, all hypotheses.

A step counts three forward passes' operations.  Memory is what the compiled program asks for, or
PyTorch's peak.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

_CLIPS = 32
_LARGEST = 1024
_AT_ONCE = min(16, os.cpu_count() or 1)  # programs compiled at the same time
_SECONDS = 1.0  # that a case is run at least, in all
_SHARE = 0.9  # of the free memory
_ATTENDED = (  # dtype, head size, tokens
    ("bfloat16", 32, 17), ("bfloat16", 32, 243), ("bfloat16", 64, 17), ("bfloat16", 64, 243),
    ("bfloat16", 32, 81), ("float32", 32, 17), ("float32", 32, 243),
)  # fmt: skip
_PASSES = ("step", "forward")
_NO_TIME, _NO_MEMORY = "time ran out", "out of memory"
_MATMUL = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}


@dataclass(frozen=True)
class Case:
    """What is measured.

    Args:
        part: see the module.
        model: of `jrepose.models`, or what else is timed.
        what: "forward" or "step".
        precision: "float32" (in full), "tf32" or "bfloat16".
        batch: clips; 0: as many as memory holds, of those that double.
        side: "jax", or how PyTorch runs: "eager" or "compile".
        frames: of a clip; 0: the model's own.
        alone: compiled alone, and once more from the cache.
    """

    part: str
    model: str
    what: str
    precision: str
    batch: int = _CLIPS
    side: str = "jax"
    frames: int = 0
    alone: bool = False


class Run:
    """Where results go, and how much time is left.

    Args:
        out: folder of the results.
        until: `time.time()` at which to stop.
        smoke: tiny networks, each timed once.
        torch_root: checkout of the official code.
        target: description of the card that programs are for, if there is none.
    """

    def __init__(
        self,
        out: pathlib.Path,
        until: float,
        smoke: bool,
        torch_root: pathlib.Path | None,
        target: pathlib.Path | None = None,
    ):
        self.out, self.until, self.smoke, self.torch_root = out, until, smoke, torch_root
        self.target = target

    @functools.cached_property
    def device(self) -> Any:
        """What programs are compiled for."""
        import jax

        if self.target is None:
            return jax.devices()[0]
        from jax.experimental import topologies

        text = self.target.read_text(encoding="utf-8")
        try:
            (device,) = topologies.get_topology_desc(
                "one card", "cuda", target_config=text, topology="1x1x1"
            ).devices
        except NotImplementedError:
            sys.exit("--target takes jax[cuda13]: this JAX does not compile for NVIDIA GPUs")
        except jax.errors.JaxRuntimeError as error:
            sys.exit(f"--target {self.target}: no description of a card: {error}")
        return device

    def record(self, case: Case, **measured: Any) -> None:
        """Adds a result and writes the report anew."""
        with open(self.out / _LINES, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({**asdict(case), **measured}) + "\n")
        write_report(self.out)

    def attempt(self, case: Case, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measures, unless time has run out, and records it; a failure is a result."""
        if time.time() > self.until:
            measured = {"failed": _NO_TIME}
        else:
            try:
                measured = measure()
            except Exception as error:  # one case must not take the others with it
                text = " ".join(f"{type(error).__name__}: {error}".split())
                measured = {"failed": _NO_MEMORY if _is_memory(text) else text[:200]}
        self.record(case, **measured)
        return measured

    def seconds(self, run: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
        """Median seconds of a call, of several that are waited for together."""
        wait(run())
        started = time.perf_counter()
        wait(run())
        once = time.perf_counter() - started
        if self.smoke:
            return once
        calls = max(1, min(100, int(_SECONDS / 5 / once)))
        rounds = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(calls):
                last = run()
            wait(last)
            rounds.append((time.perf_counter() - started) / calls)
        return statistics.median(rounds)


def _is_memory(text: str) -> bool:
    return "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def networks(part: str, models: Iterable[str], smoke: bool) -> list[list[Case]]:
    """The cases of a part about networks, in groups that are compiled together."""
    kinds = ("bfloat16", "tf32", "float32")
    if part in ("torch", "official"):
        ways = ["eager", "compile"] if part == "torch" else ["eager"]
        cases = [
            Case(part, "repose", what, kind, side=side)
            for side in ways
            for what in _PASSES
            for kind in (kinds if side == "eager" else kinds[:1])
        ]
        return [[replace(case, batch=4) for case in cases[::3]] if smoke else cases]
    if part == "others":
        names = [name for name in models if name not in ("repose", "mixste")]
        names = ["videopose3d"] if smoke else names
        cases = [Case(part, name, what, "bfloat16") for name in names for what in _PASSES]
        return [cases[k : k + _AT_ONCE] for k in range(0, len(cases), _AT_ONCE)]
    first = [Case(part, part, "step", "bfloat16", alone=part == "repose")]
    forward = [Case(part, part, "forward", "bfloat16", batch) for batch in (_CLIPS, 1)]
    full = [replace(case, batch=0, alone=False) for case in (first[0], forward[0])]
    rest = [Case(part, part, what, kind) for what in ("forward", "step") for kind in kinds[1:]]
    if smoke:
        return [first, rest[1:2], full[:1]] if part == "repose" else [rest[1:2]]
    if part == "repose":
        return [first, forward, rest + full]
    return [first + forward, rest + full]


def prepare(case: Case, run: Run) -> tuple[Any, Callable[[Any], Callable[[], Any]], dict[str, Any]]:
    """A lowered program, what makes a function of it when compiled, and what is known of it."""
    import contest
    import jax
    import numpy as np
    import train_step

    from jrepose import models, parallel

    model = models.create(case.model, **hyperparameters(case, run))
    frames = model.input_shape[0]
    size = argparse.Namespace(batch=case.batch, frames=frames)
    keypoints, target = contest.create_clips(size, model)
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0), keypoints[:1])
    # Values do not matter; drawn by the model they would be one more program.
    variables = jax.tree.map(
        lambda leaf: random.uniform(0.01, 0.03, leaf.shape).astype("f4"), shapes
    )
    flops = contest.model_flops(model, keypoints) * (3 if case.what == "step" else 1)
    known = {"frames": frames, "gflop": flops / 1e9}
    devices = [run.device]
    with jax.default_matmul_precision(_MATMUL[case.precision]):
        if case.what == "forward":
            forward = jax.jit(
                model.apply, in_shardings=jax.sharding.SingleDeviceSharding(run.device)
            )
            lowered = forward.lower(variables, keypoints)

            def function(program):
                operands = jax.device_put((variables, keypoints), run.device)
                return lambda: program(*operands)

            return lowered, function, known
        step, *operands = train_step.create_step(
            case.model, model, variables, keypoints, target, devices
        )
        state, selection = (parallel.shapes_of_replicated(tree, devices) for tree in operands)
        lowered = step.lower(state, {}, selection)

    def function(program):
        state, selection = (parallel.replicate(tree, devices) for tree in operands)

        def once():
            nonlocal state
            state, metrics = program(state, {}, selection)
            return metrics["total"]

        return once

    return lowered, function, known


def hyperparameters(case: Case, run: Run) -> dict[str, Any]:
    """The published ones without dropout, or tiny ones."""
    from jrepose import models

    small = {}
    if run.smoke:
        from lifters import LIFTERS  # of the tests

        small = next(lifter.small for lifter in LIFTERS if lifter.name == case.model)
    dtype = "bfloat16" if case.precision == "bfloat16" else "float32"
    return {**models.without_dropout(case.model), **small, "dtype": dtype}


def memory_of(program: Any) -> int:
    """Bytes that a compiled program asks for."""
    size = program.memory_analysis()
    return (
        size.argument_size_in_bytes + size.output_size_in_bytes - size.alias_size_in_bytes
        + size.temp_size_in_bytes
    )  # fmt: skip


def measure_networks(groups: list[list[Case]], run: Run) -> None:
    """Cases in JAX; those of a group are compiled at the same time."""
    needed: dict[tuple[str, str, str], tuple[int, int]] = {}
    for group in groups:
        ready = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for case in (_filled(case, needed, run) for case in group):
                if case.batch == 0:
                    run.record(case, failed="no larger batch is known to fit")
                elif time.time() > run.until:
                    run.record(case, failed=_NO_TIME)
                else:
                    # Python traces the next one while this one is compiled.
                    prepared = _tried(prepare, case, run)
                    ready.append((case, prepared, pool.submit(_compiled, prepared)))
        smaller = []
        for case, prepared, compiled in ready:
            measured = run.attempt(
                case,
                functools.partial(
                    _measure_program, case, prepared, compiled.result(), run, needed,
                    timed=len(ready) == 1,
                ),
            )  # fmt: skip
            if measured.get("failed") == _NO_MEMORY and case.batch > 2 * _CLIPS:
                smaller.append(replace(case, batch=case.batch // 2))
        if smaller:
            measure_networks([smaller], run)


def _measure_program(case, prepared, program, run, needed, *, timed: bool) -> dict[str, Any]:
    import jax

    if isinstance(program, Exception):
        raise program
    program, seconds = program
    _, function, known = prepared
    needed[case.model, case.what, case.precision] = case.batch, memory_of(program)
    measured = {**known, "memory_mib": memory_of(program) / 2**20}
    if timed:
        measured["compile_s"] = seconds
    if run.target:
        return measured
    taken = run.seconds(function(program), jax.block_until_ready)
    measured |= speed(case, known["gflop"], taken, run)
    if case.alone:
        lowered = prepare(case, run)[0]
        started = time.perf_counter()
        lowered.compile()
        measured["from_cache_s"] = time.perf_counter() - started
    return measured


def _tried(function: Callable, *arguments: Any) -> Any:
    """The result, or the error, which is told where the case is measured."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _compiled(prepared: Any) -> Any:
    """The program and the seconds that it took, or the error that there was."""
    if isinstance(prepared, Exception):
        return prepared
    started = time.perf_counter()
    program = _tried(prepared[0].compile)
    if isinstance(program, Exception):
        return program
    return program, time.perf_counter() - started


def _filled(case: Case, needed: dict, run: Run) -> Case:
    """The case with the largest batch that fits, by what a smaller one needed; 0: none."""
    import jax

    from jrepose.host_memory import available_bytes

    if case.batch or (case.model, case.what, case.precision) not in needed:
        return replace(case, batch=min(case.batch, 4)) if run.smoke else case
    batch, count = needed[case.model, case.what, case.precision]
    known = jax.devices()[0].memory_stats() or {}
    free = known.get("bytes_limit") or available_bytes() or 0
    largest, times = (2 * batch if run.smoke else _LARGEST), 1
    while 2 * times * count <= _SHARE * free and 2 * times * batch <= largest:
        times *= 2
    return replace(case, batch=times * batch if times > 1 else 0)


def speed(case: Case, gflop: float, seconds: float, run: Run) -> dict[str, float]:
    """Time, throughput and share of peak."""
    import contest

    asked = argparse.Namespace(precision=case.precision, peak_tflops=1.0 if run.smoke else None)
    peak, source = contest.peak_flops(asked)
    return {
        "ms": 1e3 * seconds,
        "clips_per_s": case.batch / seconds,
        "mfu": gflop * 1e9 / seconds / peak,
        "peak": f"{peak / 1e12:.1f} TFLOP/s, {source}",
    }


def measure_torch(groups: list[list[Case]], run: Run) -> None:
    """RePOSE in PyTorch: our rendition, or the official code."""
    import contest
    import inference
    import torch
    import train_step

    from jrepose import models
    from jrepose.interop.gradients.pytorch import losses, model, official

    cuda = torch.cuda.is_available()
    if run.smoke:
        torch.set_num_threads(1)
    wait = torch.cuda.synchronize if cuda else lambda: None

    def measure(case: Case) -> dict[str, Any]:
        tf32 = case.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        settings = {**models.hyperparameters("repose"), **hyperparameters(case, run)}
        ours = models.create("repose", **settings)
        frames = ours.input_shape[0]
        size = argparse.Namespace(batch=case.batch, frames=frames)
        keypoints, target = contest.create_clips(size, ours)
        if case.part == "official":
            network = official.official_model(run.torch_root, "lib.model.RePOSE:RePOSE", settings)
            terms = official.official_losses(run.torch_root, "lib.model.loss")
        else:
            network, terms = model.create(settings), losses.LOSSES
        network = network.to("cuda" if cuda else "cpu")
        if case.side == "compile":
            network = torch.compile(network, backend="eager" if run.smoke else "inductor")
        reduced = case.precision == "bfloat16"
        if case.what == "forward":
            once = inference.torch_forward(network, keypoints, reduced=reduced)
        else:

            def objective(poses, labels):
                return sum(w * terms[name](poses, labels) for name, w in train_step.REPOSE.items())

            once = train_step.torch_step(
                network, objective, keypoints, target, reduced=reduced, weight_decay=0.01
            )
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        once()
        wait()
        first = time.perf_counter() - started
        taken = run.seconds(once, lambda _: wait())
        flops = contest.model_flops(ours, keypoints) * (3 if case.what == "step" else 1)
        measured = {"frames": frames, **speed(case, flops / 1e9, taken, run)}
        if case.side == "compile":
            measured["compile_s"] = first
        if cuda:
            measured["memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        return measured

    for case in (case for group in groups for case in group):
        run.attempt(case, lambda case=case: measure(case))


def measure_losses(run: Run) -> None:
    """Value and gradient of both depth-ranking losses: ours, and PyTorch's broadcast form."""
    import jax
    import ranking_losses

    for frames in (9, 17) if run.smoke else (243, 1024, 4096):
        clips = ranking_losses.poses(2 if run.smoke else 16, frames, 17)
        case = Case("losses", "ranking", "step", "float32", len(clips[0]), frames=frames)

        def in_jax(clips=clips):
            operands = jax.device_put(clips)
            program, seconds, temporary = ranking_losses.compile_value_and_grad(
                ranking_losses.ours, *operands
            )
            taken = run.seconds(lambda: program(*operands), jax.block_until_ready)
            return {"ms": 1e3 * taken, "memory_mib": temporary / 2**20, "compile_s": seconds}

        def in_torch(clips=clips):
            torch = ranking_losses.torch
            form = ranking_losses.torch_broadcast_form
            if run.torch_root:
                form = ranking_losses.official_form(run.torch_root)
            once, _ = ranking_losses.torch_contestant(form, *clips)
            if cuda := torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            measured = {"ms": 1e3 * run.seconds(once, lambda _: None)}
            if cuda:
                measured["memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
            return measured

        run.attempt(case, in_jax)
        if ranking_losses.torch is not None:
            run.attempt(replace(case, side="eager"), in_torch)


def measure_attention(run: Run, *, write: bool) -> None:
    """Every implementation of attention over joints and over frames, with its gradient.

    Args:
        run: where results go.
        write: whether the package's table is to say what was the fastest.
    """
    import contest
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jrepose.models import attention

    device = attention.cuda_device()
    rows = []
    for dtype, head_dim, tokens in _ATTENDED:
        if run.smoke and (dtype, head_dim, tokens) != _ATTENDED[0]:
            continue
        clips = 1 if run.smoke else _CLIPS
        shape = (clips * 243 * 17 // tokens, 8, tokens, head_dim)
        operand = jnp.asarray(np.random.default_rng(0).standard_normal(shape, "f4"), dtype)
        times: dict[str, float] = {}
        for name, function in attention.IMPLEMENTATIONS.items():
            if not attention.can_run(name, device, operand):
                continue
            case = Case("attention", f"{name} x{head_dim}", "step", dtype, clips, frames=tokens)

            def measure(function=function, operand=operand, times=times, name=name):
                def step(q, k, v, g):
                    out, backward = jax.vjp(
                        lambda *qkv: function(*qkv, q.shape[-1] ** -0.5), q, k, v
                    )
                    return out, backward(g)

                operands = (operand,) * 4
                program, seconds = contest.compiled(step, *operands)
                taken = run.seconds(lambda: program(*operands), jax.block_until_ready)
                times[name] = 1e3 * taken
                return {
                    "ms": 1e3 * taken, "compile_s": seconds,
                    "memory_mib": memory_of(program) / 2**20,
                }  # fmt: skip

            run.attempt(case, measure)
        sizes = {"dtype": dtype, "tokens": tokens, "head_dim": head_dim}
        rows += [{**sizes, "ms": times}] if times else []
    if write and device is None:
        print("the table of attention is of NVIDIA GPUs, and there is none: not written")
    elif write and rows:
        attention.write_rows(device, rows)


def measure_sampler(run: Run) -> None:
    """DiffPose's way back: the paper's denoiser and the released code's, as they are sampled."""
    import contest
    import jax
    import numpy as np

    from jrepose import models
    from jrepose.diffusion import ddim
    from jrepose.diffusion.presets import PRESETS

    for preset, name in (("paper", "diffpose"), ("released", "gcndiff")):
        settings = PRESETS[preset]
        sizes = {"hid_dim": 8, "depth": 1, "num_heads": 2} if run.smoke else {}
        for kind in ("bfloat16", "float32")[run.smoke :]:
            case = Case("sampler", name, "forward", kind, 4 if run.smoke else 1024, frames=1)

            def measure(case=case, settings=settings, name=name, sizes=sizes):
                model = models.create(name, **sizes, dtype=case.precision)
                shape = (settings.hypotheses, case.batch, *model.input_shape)
                starts = np.random.default_rng(0).normal(size=shape).astype("f4")
                drawn = jax.jit(model.init)(jax.random.key(0), starts[0, :1], np.zeros(1, "f4"))

                def sampled(variables, starts):
                    return ddim.sample_hypotheses(
                        lambda noisy, steps: model.apply(variables, noisy, steps),
                        starts,
                        settings.way_back(),
                        prediction=settings.prediction,
                    )

                operands = jax.device_put((drawn, starts))
                with jax.default_matmul_precision(_MATMUL[case.precision]):
                    program, seconds = contest.compiled(sampled, *operands)
                taken = run.seconds(lambda: program(*operands), jax.block_until_ready)
                return {
                    "ms": 1e3 * taken, "clips_per_s": case.batch / taken, "compile_s": seconds,
                    "memory_mib": memory_of(program) / 2**20,
                    "hypotheses": settings.hypotheses, "steps": settings.sampling_steps,
                }  # fmt: skip

            run.attempt(case, measure)


PARTS = ("repose", "torch", "losses", "sampler", "official", "mixste", "others", "attention")
_NETWORKS = ("repose", "mixste", "others")
_LINES = "results.jsonl"


def work(parts: Iterable[str], run: Run, *, write: bool) -> None:
    """Measures parts in this process; `write`: see `measure_attention`."""
    import jax

    from jrepose import models
    from jrepose.host_memory import reuse_freed_memory
    from jrepose.models import attention
    from jrepose.precision import multiply_float32_in_full

    reuse_freed_memory()
    multiply_float32_in_full()
    jax.config.update("jax_compilation_cache_dir", str(run.out / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with open(run.out / "machine.json", "w", encoding="utf-8") as file:
        json.dump(machine(run.device), file)
    if run.target:
        attention.cuda_device = lambda: run.device.device_kind
    for part in parts:
        if part == "losses":
            measure_losses(run)
        elif part == "sampler":
            measure_sampler(run)
        elif part == "attention":
            measure_attention(run, write=write)
        else:
            groups = networks(part, models.MODELS, run.smoke)
            if run.target:  # how large a batch its memory holds is reckoned on a card
                groups = [[case for case in group if case.batch] for group in groups]
            if part not in ("torch", "official"):
                measure_networks(groups, run)
            elif importlib.util.find_spec("torch") is None:
                run.record(groups[0][0], failed="PyTorch is not installed")
            else:
                measure_torch(groups, run)


def machine(device: Any) -> dict[str, str]:
    """What it was measured on."""
    import flax
    import jax

    found = {
        "device": device.device_kind,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if importlib.util.find_spec("torch") is not None:
        found["torch"] = importlib.metadata.version("torch")
    return found


_COLUMNS = {
    "ms": "{:.2f}", "clips_per_s": "{:.1f}", "mfu": "{:.1%}", "memory_mib": "{:.0f}",
    "compile_s": "{:.1f}", "from_cache_s": "{:.1f}",
}  # fmt: skip


def write_report(out: pathlib.Path) -> None:
    """`gpu.json` and `gpu.md` of what has been measured so far."""
    lines = (out / _LINES).read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    known = {}
    if (out / "machine.json").exists():
        known = json.loads((out / "machine.json").read_text(encoding="utf-8"))
    _replace(out / "gpu.json", json.dumps({"machine": known, "results": results}, indent=1))
    text = ["# GPU figures", "", ", ".join(f"{name} {value}" for name, value in known.items()), ""]
    for part in dict.fromkeys(result["part"] for result in results):
        head = ("model", "what", "side", "precision", "batch", "frames", *_COLUMNS, "")
        text += [f"## {part}", "", _row(head), _row(["---"] * len(head))]
        for result in (result for result in results if result["part"] == part):
            cells = [str(result[name]) for name in head[:6]]
            cells += [
                form.format(result[name]) if name in result else "–"
                for name, form in _COLUMNS.items()
            ]
            text.append(_row([*cells, result.get("failed", "")]))
        text.append("")
    peaks = dict.fromkeys(f"{r['precision']} {r['peak']}" for r in results if "peak" in r)
    text += ["mfu: share of " + "; ".join(peaks), ""] if peaks else []
    _replace(out / "gpu.md", "\n".join(text))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _replace(path: pathlib.Path, text: str) -> None:
    """Whole at any moment; `jrepose.files` is not at hand where nothing has been imported."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


class _StandIn(types.ModuleType):
    """In place of a package of which only annotations are used here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__class_getitem__": classmethod(lambda cls, item: Any)})


def stand_in() -> None:
    """For packages that a machine with JAX and Flax may lack."""
    for name in ("jaxtyping", "ml_collections"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = _StandIn(name)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the results")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=510.0, help="stop after so long")
    parser.add_argument("--torch-root", type=pathlib.Path, help="checkout of the official RePOSE")
    parser.add_argument(
        "--write-attention-table",
        action="store_true",
        help="the fastest attention of each size is taken from now on",
    )
    parser.add_argument("--smoke", action="store_true", help="tiny networks, on any device")
    parser.add_argument(
        "--target", type=pathlib.Path, help="compile for the card of XLA's file, and run nothing"
    )
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)  # time to stop at
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if arguments.target and arguments.parts == parser.get_default("parts"):
        parts = list(_NETWORKS)
    known = _NETWORKS if arguments.target else PARTS
    if unknown := sorted(set(parts) - set(known)):
        parser.error(f"unknown part {unknown[0]!r}; known: {', '.join(known)}")
    if arguments.target and not arguments.target.is_file():
        parser.error(f"--target {arguments.target}: no such file")
    if arguments.worker:
        stand_in()
        run = Run(
            arguments.out,
            arguments.worker,
            arguments.smoke,
            arguments.torch_root,
            arguments.target,
        )
        work(parts, run, write=arguments.write_attention_table)
        return 0

    until = time.time() + arguments.seconds
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    for name in (_LINES, "machine.json", "gpu.json", "gpu.md"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "xla", ignore_errors=True)  # the first compilation is to be a cold one
    if not arguments.torch_root:
        parts = [part for part in parts if part != "official"]
    status = 0
    for group in [parts] if arguments.smoke or arguments.target else [[part] for part in parts]:
        status |= _start(group, until, out, arguments)
    shutil.rmtree(out / "xla", ignore_errors=True)
    if (out / "gpu.md").exists():
        print((out / "gpu.md").read_text(encoding="utf-8"))
    return status


def _start(parts: list[str], until: float, out: pathlib.Path, arguments: Any) -> int:
    """Measures parts in a process of its own, which is ended when time is out."""
    if time.time() >= until:
        run = Run(out, until, arguments.smoke, arguments.torch_root)
        for part in parts:
            run.record(Case(part, "–", "–", "–"), failed=_NO_TIME)
        return 0
    command = [sys.executable, __file__, "--out", str(out), "--parts", ",".join(parts),
               "--worker", str(until)]  # fmt: skip
    command += ["--smoke"] * arguments.smoke
    command += ["--target", str(arguments.target.absolute())] if arguments.target else []
    command += ["--write-attention-table"] * arguments.write_attention_table
    command += ["--torch-root", str(arguments.torch_root)] if arguments.torch_root else []
    # Beside PyTorch JAX takes memory as it needs it: in regions that double in size and are not
    # joined, so that 19 GiB take 32 and a step of 75 finds no place in the 104 that JAX may have.
    environment = dict(os.environ)
    if set(parts) & {"torch", "official", "losses"}:
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    print(f"{time.strftime('%H:%M:%S')} {', '.join(parts)}", flush=True)
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait(timeout=max(until - time.time(), 0) + 15)
    except subprocess.TimeoutExpired:
        print(f"{', '.join(parts)}: time ran out", flush=True)
        return 0
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
