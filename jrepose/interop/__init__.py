"""Exchange with PyTorch checkpoints, without importing torch.

The name maps are one file per model family; each gives the PyTorch key of every array.
"""

from __future__ import annotations

from jrepose.interop.state_dicts import from_torch, infer_hyperparameters, to_torch
from jrepose.interop.torch_files import read_model, read_state_dict, read_torch_file
from jrepose.interop.torch_writer import write_state_dict
from jrepose.interop.weights import load_context, load_run_or_file, load_what_fits

__all__ = [
    "from_torch",
    "infer_hyperparameters",
    "load_context",
    "load_run_or_file",
    "load_what_fits",
    "read_model",
    "read_state_dict",
    "read_torch_file",
    "to_torch",
    "write_state_dict",
]
