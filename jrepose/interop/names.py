"""What the name maps share, and how the one of a model is found.

A name map is a module of this folder, called as the module of `jrepose.models` that it belongs to.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from jrepose import models
from jrepose.errors import InputError

LEAF: Mapping[str, str] = MappingProxyType(
    {
        "kernel": "weight",
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    }
)
"""Our name of a layer's array -> PyTorch's."""


def indexed(name: str) -> str:
    """`blocks_0`, member of a list here, as PyTorch writes it: `blocks.0`."""
    stem, index = name.rsplit("_", 1)
    return f"{stem}.{index}"


class Layout(NamedTuple):
    """How an array's elements are arranged there and here.

    Attributes:
        to_flax: PyTorch's array as Flax has it.
        to_torch: the inverse.
    """

    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


AS_IT_IS = Layout(lambda array: array, lambda array: array)
"""Biases, scales, embeddings."""

KERNEL = Layout(
    lambda array: array if array.ndim < 2 else np.moveaxis(array, (0, 1), (-1, -2)),
    lambda array: np.moveaxis(array, (-1, -2), (0, 1)),
)
"""Kernels of linear layers and of convolutions in any number of dimensions and groups: PyTorch's
`[outputs, inputs, *window]`, Flax's `[*window, inputs, outputs]`."""


def usual_layout(path: tuple[str, ...]) -> Layout:
    """`KERNEL` for arrays of that name, `AS_IT_IS` for all others."""
    return KERNEL if path[-1] == "kernel" else AS_IT_IS


def no_constants(model: nn.Module) -> Mapping[str, np.ndarray]:
    """For networks whose state dict holds nothing but weights and BatchNorm's buffers."""
    del model
    return {}


def as_they_are(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """For networks whose weights are published under one set of names."""
    return state_dict


def as_it_fits(
    state_dict: Mapping[str, Any], model: nn.Module
) -> tuple[Mapping[str, Any], list[str]]:
    """For networks whose weights fit as they are, or not at all."""
    del model
    return state_dict, []


class NameMap(NamedTuple):
    """What a name map's module defines; the last four only where they differ from these.

    Attributes:
        torch_key: PyTorch's key of the array at a path in its collection, `("fc1", "kernel")`
            in `params`, `("norm", "mean")` in `batch_stats`.
        hyperparameters: what the shapes in a state dict tell; KeyError, IndexError or ValueError
            where it is not such a network's.
        layout: of the array at a path, as for `torch_key`.
        constants: the buffers of a network that are no weights (position tables, adjacency,
            indices), PyTorch's key -> value.  A file may lack them, but not differ; a file that is
            written has them.
        renamed: a state dict of the same network by others, entry by entry under the keys of
            `torch_key`; any other as it is.
        fitted: a state dict without what only others' networks have, and what depends on the size
            of the input brought to the model's; and a line about each.
    """

    torch_key: Callable[[tuple[str, ...]], str]
    hyperparameters: Callable[[Mapping[str, np.ndarray]], dict[str, Any]]
    layout: Callable[[tuple[str, ...]], Layout] = usual_layout
    constants: Callable[[nn.Module], Mapping[str, np.ndarray]] = no_constants
    renamed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = as_they_are
    fitted: Callable[[Mapping[str, Any], nn.Module], tuple[Mapping[str, Any], list[str]]] = (
        as_it_fits
    )


def name_map(model_name: str) -> NameMap:
    """The name map of a model.

    Raises:
        InputError: no such model, or none whose PyTorch names are known.
    """
    models.hyperparameters(model_name)  # an unknown name is refused here
    module = models.networks()[model_name][0].__module__.rpartition(".")[2]
    found = f"{__package__}.{module}"
    if importlib.util.find_spec(found) is None:
        raise InputError(f"the names of {model_name}'s weights in PyTorch are not known here")
    hooks = vars(importlib.import_module(found))
    return NameMap(**{name: hooks[name] for name in NameMap._fields if name in hooks})
