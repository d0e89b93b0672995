"""Exchange with PyTorch checkpoints, without importing torch.

The name maps are one file per model family; each gives the PyTorch key of every parameter.
"""

from __future__ import annotations

from jrepose.interop.convert import from_torch, to_torch
from jrepose.interop.torch_files import read_state_dict, read_torch_file

__all__ = ["from_torch", "read_state_dict", "read_torch_file", "to_torch"]
