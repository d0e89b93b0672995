"""The subcommands of `jrepose`: a file each, with a function of the file's name.

A command parses its flags before it imports what it needs, so that `--help` is quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "lift": "Lift a 2D detector's keypoints to 3D motion: BVH, TRC, C3D, HTML ...",
        "train": "Train a model, or go on with a run.",
        "evaluate": "Score a checkpoint: tables, predictions, pictures.",
        "robustness": "How predictions bear shifts of the person and wide movements.",
        "attention": "Draw what a transformer attends to.",
        "inspect": "Tell what a file of keypoints or poses is, and draw a frame.",
        "render": "Rendered people as images or videos with COCO-style JSON.",
        "prepare": "Convert a dataset's original files.",
        "convert": "Checkpoints from PyTorch and back.",
        "export": "A network as StableHLO or ONNX.",
        "parity": "Compare with what the official PyTorch code computed.",
        "complexity": "Parameters, multiply-accumulates and speed of a model.",
        "compare-gradients": "JAX and PyTorch side by side, gradient by gradient.",
        "configs": "The configs that come with jrepose.",
    }
)
"""Subcommand -> what it does."""


def command(name: str) -> Callable[[Sequence[str]], int]:
    """The function of a subcommand: `argv`, program name first -> exit status."""
    word = name.replace("-", "_")
    return getattr(importlib.import_module(f"{__name__}.{word}"), word)
