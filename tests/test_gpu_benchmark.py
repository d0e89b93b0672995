"""benchmarks/gpu.py as a whole, with tiny networks and on a CPU."""

import json
import os
import pathlib
import subprocess
import sys
import time
from dataclasses import replace

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "gpu.py"

# A machine with JAX and Flax alone: these cannot be found.
ABSENT = """
from importlib.machinery import PathFinder

_find = PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name in ("jaxtyping", "ml_collections") else _find(name, path, target)


PathFinder.find_spec = staticmethod(find_spec)
"""

# What XLA's compiler has to know, of an H100; its repository tells more.
CARD = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 l2_cache_size: 52428800
  memory_bandwidth: 3352320000000 device_memory_size: 84942979072 device_address_bits: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  cuda_compute_capability { major: 9 }
  name: "NVIDIA H100" device_vendor: "NVIDIA Corporation"
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H100"
"""


def start(folder, *arguments):
    (folder / "sitecustomize.py").write_text(ABSENT)
    command = [sys.executable, str(SCRIPT), "--smoke", f"--out={folder / 'out'}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    results = json.loads((folder / "out" / "gpu.json").read_text())
    assert "| model | what |" in done.stdout
    assert done.stdout.strip().endswith((folder / "out" / "gpu.md").read_text().strip())
    return results


@pytest.mark.timeout(1500)
def test_all_parts(tmp_path):
    report = start(tmp_path)
    results = report["results"]
    assert report["machine"]["device"] == "cpu" and report["machine"]["jax"]
    with_torch = "torch" in report["machine"]
    wanted = {"repose", "mixste", "others", "attention", "losses", "sampler", "torch"}
    assert {result["part"] for result in results} == wanted
    failed = [result for result in results if "failed" in result]
    assert (
        not failed if with_torch else [r["failed"] for r in failed] == ["PyTorch is not installed"]
    )
    for result in results:
        if result not in failed:
            assert result["ms"] > 0
    of_repose = [result for result in results if result["part"] == "repose"]
    first, _, largest = of_repose
    assert (first["what"], first["precision"], first["batch"]) == ("step", "bfloat16", 4)
    assert first["compile_s"] > 0 and first["from_cache_s"] > 0 and first["mfu"] > 0
    # Twice the clips, more memory.
    assert largest["batch"] == 8 and largest["memory_mib"] > 1.3 * first["memory_mib"]
    assert {r["side"] for r in results if r not in failed} == (
        {"jax", "eager", "compile"} if with_torch else {"jax"}
    )
    assert [r["model"] for r in results if r["part"] == "attention"] == ["plain x32", "xla x32"]
    assert not (tmp_path / "out" / "xla").exists()


def test_what_there_is_no_time_for_is_said(tmp_path):
    report = start(tmp_path, "--parts=losses", "--seconds=0")
    assert {result["failed"] for result in report["results"]} == {"time ran out"}


def test_a_batch_that_does_not_fit_after_all_is_halved(tmp_path, monkeypatch):
    def measure(case, *_, **__):
        if case.batch > 64:
            raise RuntimeError("RESOURCE_EXHAUSTED: 80 GiB")
        return {"ms": 1.0}

    monkeypatch.syspath_prepend(SCRIPT.parent)
    import gpu

    monkeypatch.setattr(gpu, "_filled", lambda case, *_: replace(case, batch=case.batch or 256))
    monkeypatch.setattr(gpu, "prepare", lambda *_: None)
    monkeypatch.setattr(gpu, "_compiled", lambda _: None)
    monkeypatch.setattr(gpu, "_measure_program", measure)
    run = gpu.Run(tmp_path, time.time() + 60, smoke=False, torch_root=None)
    gpu.measure_networks([[gpu.Case("repose", "repose", "step", "bfloat16", 0)]], run)
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert [result["batch"] for result in results] == [256, 128, 64]
    assert [result.get("failed") for result in results] == ["out of memory"] * 2 + [None]


def test_memory_on_a_card_that_is_not_there(tmp_path):
    pytest.importorskip("jax_plugins.xla_cuda13", reason="jax[cuda13] is not installed")
    (tmp_path / "card.txtpb").write_text(CARD)
    results = start(tmp_path, "--parts=repose", f"--target={tmp_path / 'card.txtpb'}")["results"]
    step, forward = results
    assert step["memory_mib"] > forward["memory_mib"] > 0 and step["compile_s"] > 0
    assert "ms" not in step and "failed" not in step


def test_a_card_that_jax_does_not_compile_for(tmp_path):
    (tmp_path / "card.txtpb").write_text("gpu_device_info { of nothing }")
    command = [sys.executable, str(SCRIPT), "--smoke", f"--out={tmp_path}"]
    command += [f"--target={tmp_path / 'card.txtpb'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    said = done.stderr.splitlines()[-1]  # XLA's log may come before
    assert "--target takes jax[cuda13]" in said or "no description of a card" in said


@pytest.mark.parametrize(
    "given, said",
    [
        (["--parts=all"], "unknown part 'all'"),
        (["--target=absent.txtpb"], "absent.txtpb: no such file"),
        (["--target=absent.txtpb", "--parts=losses"], "known: repose, mixste, others"),
    ],
)
def test_wrong_arguments(given, said, tmp_path):
    command = [sys.executable, str(SCRIPT), f"--out={tmp_path}", *given]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr
