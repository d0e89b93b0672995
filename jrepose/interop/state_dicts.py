"""Parameters to and from a PyTorch state dict (a mapping from key to array)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jrepose import models
from jrepose.errors import InputError, listed
from jrepose.interop import dstformer, mixste, stcformer
from jrepose.interop.torch_files import without_module

# Per model the module that knows its names: `torch_key(path)` gives the PyTorch key of a
# parameter, `hyperparameters(state_dict)` what the shapes tell.
NAME_MAPS: Mapping[str, ModuleType] = {
    "repose": dstformer,
    "motionbert": dstformer,
    "motionbert_lite": dstformer,
    "mixste": mixste,
    "stcformer": stcformer,
}


def from_torch(
    model_name: str, state_dict: Mapping[str, Any], **hyperparameters: Any
) -> dict[str, Any]:
    """Variables of a model from a PyTorch state dict.

    Args:
        model_name: name in `jrepose.models`.
        state_dict: key -> array (anything NumPy can read, CPU tensors included).  A
            `module.` in front of every key, which data-parallel training leaves, is removed.
        **hyperparameters: as for `jrepose.models.create`.

    Returns:
        `{"params": ...}` with float32 NumPy arrays, for `model.apply`; float64, float16 and
        bfloat16 are converted.

    Raises:
        InputError: keys are missing or left over, or shapes are wrong; the first of each are named.
    """
    state_dict = without_module(state_dict)
    shapes = parameter_shapes(models.create(model_name, **hyperparameters))
    keys = {path: NAME_MAPS[model_name].torch_key(path) for path in shapes}

    problems = []
    if missing := sorted(set(keys.values()) - set(state_dict)):
        problems.append(f"missing {listed(missing)}")
    if unknown := sorted(set(state_dict) - set(keys.values())):
        problems.append(f"unexpected {listed(unknown)}")
    params, misfits = {}, []
    for path, shape in shapes.items():
        if keys[path] not in state_dict:
            continue
        value = _flax_layout(path, np.asarray(state_dict[keys[path]]))
        if not jnp.issubdtype(value.dtype, jnp.floating) or value.shape != shape:
            expected = _torch_layout(path, np.broadcast_to(np.float32(0), shape)).shape
            found = np.asarray(state_dict[keys[path]])
            misfits.append(
                f"{keys[path]} is {found.dtype} {list(found.shape)}, "
                f"expected float32 {list(expected)}"
            )
        params[path] = np.array(value, dtype=np.float32, order="C")
    if misfits:
        problems.append(listed(misfits))
    if problems:
        raise InputError(f"state dict does not fit {model_name}: {'; '.join(problems)}")
    return {"params": unflatten_dict(params)}


def to_torch(model_name: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The PyTorch state dict of a model's variables; the inverse of `from_torch`.

    Args:
        model_name: name in `jrepose.models`.
        variables: `{"params": ...}` as from `model.init` or a checkpoint.

    Returns:
        key -> float32 array, contiguous, without the `module.` prefix.

    Raises:
        InputError: no such model.
    """
    models.hyperparameters(model_name)  # an unknown name is refused here
    return {
        NAME_MAPS[model_name].torch_key(path): np.array(
            _torch_layout(path, np.asarray(value)), dtype=np.float32, order="C"
        )
        for path, value in flatten_dict(variables["params"]).items()
    }


def infer_hyperparameters(model_name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that the weights' shapes tell, for `from_torch` and `models.create`.

    Args:
        model_name: name in `jrepose.models`.
        state_dict: as for `from_torch`.

    Raises:
        InputError: no such model, or the weights are not those of one.
    """
    models.hyperparameters(model_name)
    try:
        return NAME_MAPS[model_name].hyperparameters(without_module(state_dict))
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"state dict does not fit {model_name}: no {error}") from None


def known_parameters(
    model_name: str, state_dict: Mapping[str, Any], **hyperparameters: Any
) -> tuple[dict[tuple[str, ...], np.ndarray], list[str]]:
    """The parameters in a state dict that go by a model's names, whatever their shapes.

    Args:
        model_name, state_dict, hyperparameters: as for `from_torch`.

    Returns:
        Path in `variables["params"]` -> float32 array, and the keys that are no parameter.

    Raises:
        InputError: no such model or hyperparameter.
    """
    state_dict = {key: np.asarray(value) for key, value in without_module(state_dict).items()}
    found = {}
    for path in parameter_shapes(models.create(model_name, **hyperparameters)):
        key = NAME_MAPS[model_name].torch_key(path)
        if key in state_dict and jnp.issubdtype(state_dict[key].dtype, jnp.floating):
            value = _flax_layout(path, state_dict.pop(key))
            found[path] = np.array(value, dtype=np.float32, order="C")
    return found, list(state_dict)


def parameter_shapes(model: nn.Module) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Path in `variables["params"]` -> shape, of all parameters."""
    keypoints = jax.ShapeDtypeStruct((1, *model.input_shape), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), keypoints)
    return {path: leaf.shape for path, leaf in flatten_dict(variables["params"]).items()}


def _flax_layout(path: tuple[str, ...], value: np.ndarray) -> np.ndarray:
    """A PyTorch kernel [out, in, *window] as Flax has it, [*window, in, out]; the rest is alike."""
    if path[-1] != "kernel" or value.ndim < 2:
        return value
    return np.moveaxis(value, (0, 1), (-1, -2))


def _torch_layout(path: tuple[str, ...], value: np.ndarray) -> np.ndarray:
    """The inverse of `_flax_layout`."""
    return np.moveaxis(value, (-1, -2), (0, 1)) if path[-1] == "kernel" else value
