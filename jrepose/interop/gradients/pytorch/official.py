"""The authors' own PyTorch code, from a checkout that the user names."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pathlib
import sys
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from torch import nn

from jrepose.errors import InputError
from jrepose.interop.gradients.pytorch.losses import Loss

LOSS_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "mpjpe": "loss_mpjpe",
        "spatial_ranking": "loss_spatial_rank",
        "temporal_ranking": "loss_temporal_rank",
    }
)
"""What the release calls the losses, by our names."""

Path = str | os.PathLike[str]


def import_from(root: Path, module: str) -> ModuleType:
    """Imports a module of a checkout.  This runs its code.

    Args:
        root: folder of the checkout.
        module: dotted name below it, such as `"lib.model.loss"`.

    Raises:
        InputError: no such folder, or the import fails.
    """
    root = pathlib.Path(root).absolute()
    if not root.is_dir():
        raise InputError(f"no checkout of PyTorch code at {root}")
    # It stays on the path: such code also imports while it runs.
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module(module)
    except Exception as error:  # a stranger's module can fail in any way
        raise InputError(f"cannot import {module} from {root}: {error}") from error


def official_model(root: Path, class_path: str, hyperparameters: Mapping[str, Any]) -> nn.Module:
    """The network of a checkout, with random weights.

    Args:
        root: folder of the checkout.
        class_path: MODULE:CLASS, such as `"lib.model.RePOSE:RePOSE"`.
        hyperparameters: as of `jrepose.models.hyperparameters`; the constructor is given those
            that it has, and the LayerNorm's epsilon, if there is one, as `norm_layer`.

    Raises:
        InputError: it cannot be found, imported or built.
    """
    module, _, name = class_path.partition(":")
    constructor = getattr(import_from(root, module), name, None)
    if not (inspect.isclass(constructor) and issubclass(constructor, nn.Module)):
        raise InputError(f"{class_path!r} names no network in {root}; expected MODULE:CLASS")
    given = dict(hyperparameters)
    if "norm_eps" in given:
        given["norm_layer"] = functools.partial(nn.LayerNorm, eps=given["norm_eps"])
    known = inspect.signature(constructor).parameters
    try:
        return constructor(**{key: value for key, value in given.items() if key in known})
    except Exception as error:
        raise InputError(f"cannot build {class_path} from {root}: {error}") from error


def official_losses(root: Path, module: str) -> dict[str, Loss]:
    """The losses of a checkout's module, by our names.

    Raises:
        InputError: it cannot be imported or lacks one of `LOSS_NAMES`.
    """
    imported = import_from(root, module)
    if missing := [name for name in LOSS_NAMES.values() if not hasattr(imported, name)]:
        raise InputError(f"{module} in {root} has no {', '.join(missing)}")
    return {ours: getattr(imported, theirs) for ours, theirs in LOSS_NAMES.items()}
