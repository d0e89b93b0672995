"""Precision of matrix products."""

from __future__ import annotations

import jax


def multiply_float32_in_full() -> None:
    """Makes GPUs multiply float32 as float32, as PyTorch does by default; JAX would take TF32.

    Nothing changes for bfloat16 or on CPUs.  Call it after `parallel.initialise_distributed`.
    """
    if jax.default_backend() == "gpu":
        jax.config.update("jax_default_matmul_precision", "float32")
