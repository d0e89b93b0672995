"""Shared by all tests: run-time shape checks, simulated devices, reference fixtures."""

import gc
import json
import os
import pathlib

import compilation

# Four host devices, so that data-parallel code is exercised without accelerators.  Both
# variables must be set before JAX starts.
os.environ["XLA_FLAGS"] = " ".join(
    (compilation.FLAGS, os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4")
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Arrays of different ranks meet only where the code says so.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

import jax  # noqa: E402
import jaxtyping  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("jrepose", "shape_checks.when_called")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

# What JAX keeps is much: to look through it as often as Python would takes a tenth of the time.
gc.set_threshold(50_000, 20, 100)
gc.disable()  # while modules are imported, which stay

SHARED = pathlib.Path(os.environ.get("JREPOSE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """Folder of reference fixtures and real motion capture."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data absent: {SHARED} (set JREPOSE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared_dir):
    """Loads a fixture by name: `(arrays, config)` of what the official code computes."""

    def load(name: str) -> tuple[dict[str, np.ndarray], dict]:
        path = shared_dir / "golden" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"fixture absent: {path}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key != "config"}
            config = json.loads(str(archive["config"])) if "config" in archive.files else {}
        return arrays, config

    return load


# Linux gives a process 65,530 parts of memory.  Every compiled program takes some, and with none
# left the compiler ends the process.
_MOST_PARTS = 20_000


@pytest.fixture(scope="module", autouse=True)
def old_programs_are_forgotten():
    """Before the next file, where there are many."""
    yield
    parts = pathlib.Path("/proc/self/maps")
    if parts.exists() and parts.read_bytes().count(b"\n") > _MOST_PARTS:
        jax.clear_caches()


@pytest.fixture
def numpy_ranks():
    """Arrays of fewer axes meet others as in NumPy, in textbook formulas and for its namesakes."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def unchecked():
    """Turns the shape checks off, to reach the errors that users meet without them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# The longest, and those that wait for processes of their own: first, so that none runs on alone.
_LONG = (
    "test_recovery.py", "test_benchmarks.py", "test_parity.py", "test_cli.py",
    "test_every_lifter.py", "test_official_batch_norm_steps.py", "test_gpu_benchmark.py",
    "test_masked.py", "test_drills.py", "test_stages.py", "test_loop.py", "test_step.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
