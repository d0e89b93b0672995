"""Variables to and from a PyTorch state dict (a mapping from key to array).

Paths of arrays begin with the collection: `("params", "head", "kernel")`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jrepose import models
from jrepose.errors import InputError, listed
from jrepose.interop.names import NameMap, name_map
from jrepose.interop.wrappers import network_in

_LOG = logging.getLogger(__name__)

# How name maps say that weights are not their network's.
_NOT_ITS = (KeyError, IndexError, ValueError, ZeroDivisionError)
# PyTorch's count of the batches that a BatchNorm has seen, beside its statistics.
_MEAN, _COUNTER = "running_mean", "num_batches_tracked"


def from_torch(
    model_name: str, state_dict: Mapping[str, Any], **hyperparameters: Any
) -> dict[str, Any]:
    """Variables of a model from a PyTorch state dict.

    Args:
        model_name: name in `jrepose.models`.
        state_dict: key -> array (anything NumPy can read, CPU tensors included).  Prefixes that
            wrappers leave (data-parallel training, `torch.compile`, Lightning, averages) and what
            stands beside the network are taken off; what that was is logged where it matters.
        **hyperparameters: as for `jrepose.models.create`.

    Returns:
        `{"params": ...}`, and `"batch_stats"` where the model has BatchNorm, with float32 NumPy
        arrays, for `model.apply`; float64, float16 and bfloat16 are converted.

    Raises:
        InputError: keys are missing or left over, shapes are wrong, values are not finite, or a
            constant of the network is another; the first of each are named.
    """
    model = models.create(model_name, **hyperparameters)
    names = name_map(model_name)
    shapes = variable_shapes(model)
    keys = {path: names.torch_key(path[1:]) for path in shapes}
    wanted = set(keys.values())

    def score(part: Mapping[str, Any]) -> int:
        found = len(wanted & part.keys())
        return found if 2 * found >= len(wanted) else 0

    given, note = network_in(state_dict, lambda part: score(names.renamed(part)))
    state_dict, theirs, notes = _adapted(names, given, model)
    constants = names.constants(model)

    problems = []
    if missing := sorted(wanted - set(state_dict)):
        problems.append(f"missing {listed(missing)}")
    known = {*keys.values(), *counters(keys.values()), *constants}
    if unknown := sorted(theirs[key] for key in set(state_dict) - known):
        problems.append(f"unexpected {listed(unknown)}")
    variables, misfits = {}, []
    for path, shape in shapes.items():
        if keys[path] not in state_dict:
            continue
        layout = names.layout(path[1:])
        found = np.asarray(state_dict[keys[path]])
        value = _arranged(layout.to_flax, found)
        if value is None or not jnp.issubdtype(found.dtype, jnp.floating) or value.shape != shape:
            expected = layout.to_torch(np.broadcast_to(np.float32(0), shape)).shape
            misfits.append(
                f"{theirs[keys[path]]} is {found.dtype} {list(found.shape)}, "
                f"expected float32 {list(expected)}"
            )
            continue
        with np.errstate(over="ignore"):
            variables[path] = np.array(value, dtype=np.float32, order="C")
        if wrong := np.count_nonzero(~np.isfinite(variables[path])):
            misfits.append(
                f"{theirs[keys[path]]} has {wrong} of {found.size} values that are not finite"
            )
    if misfits:
        problems.append(listed(misfits))
    others = [
        theirs.get(key, key) for key in constants if not _same(state_dict.get(key), constants[key])
    ]
    if others:
        problems.append(f"{listed(others)}: not the constant of this network")
    if problems:
        if missing and (other := another_model(model_name, state_dict)):
            problems = [f"it is a {other}'s"]
        elif missing or unknown or len(misfits) > 1:
            problems = [*_other_sizes(names, given, model), *problems]
        raise InputError(f"state dict does not fit {model_name}: {'; '.join(problems)}")
    _say(note, *notes)
    return unflatten_dict(variables)


def to_torch(
    model_name: str, variables: Mapping[str, Any], **hyperparameters: Any
) -> dict[str, np.ndarray]:
    """The PyTorch state dict of a model's variables; the inverse of `from_torch`.

    Args:
        model_name: name in `jrepose.models`.
        variables: `{"params": ..., "batch_stats": ...}` as from `model.init` or a checkpoint;
            other collections are left out.
        **hyperparameters: as for `jrepose.models.create`; only networks with constant buffers
            look at them.

    Returns:
        key -> contiguous array, without the `module.` prefix.  Weights and BatchNorm's statistics
        are float32, its `num_batches_tracked` is 0; constant buffers are there too, in the name
        map's precision, so that `load_state_dict` is content with `strict=True`.

    Raises:
        InputError: no such model or hyperparameter, or constants of another size than the weights.
    """
    # A task's checkpoint may hold more, statistics of another network for instance.
    of_model = {name: tree for name, tree in variables.items() if name in ("params", "batch_stats")}
    names, flat = name_map(model_name), flatten_dict(of_model)
    state_dict = {
        names.torch_key(path[1:]): np.array(
            names.layout(path[1:]).to_torch(np.asarray(value)), dtype=np.float32, order="C"
        )
        for path, value in flat.items()
    }
    state_dict |= {key: np.array(0, np.int64) for key in counters(state_dict)}
    model = models.create(model_name, **hyperparameters)
    constants = names.constants(model)
    if constants and variable_shapes(model) != {path: value.shape for path, value in flat.items()}:
        raise InputError(f"the variables are not those of {model_name} with these hyperparameters")
    return state_dict | {key: np.array(value, order="C") for key, value in constants.items()}


def infer_hyperparameters(model_name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that the weights' shapes tell, for `from_torch` and `models.create`.

    Args:
        model_name: name in `jrepose.models`.
        state_dict: as for `from_torch`.

    Raises:
        InputError: no such model, or the weights are not those of one.
    """
    names = name_map(model_name)
    weights, _ = network_in(state_dict, lambda part: _sizes(names, part) is not None)
    try:
        return names.hyperparameters(weights)
    except _NOT_ITS as error:
        if other := another_model(model_name, state_dict):
            raise InputError(f"state dict does not fit {model_name}: it is a {other}'s") from None
        raise InputError(
            f"state dict does not fit {model_name}: no {error}; it has {listed(list(weights))}"
        ) from None


def another_model(model_name: str, state_dict: Mapping[str, Any]) -> str | None:
    """The registered model of another network than this one's that a state dict is of, if any."""
    own, _ = models.networks()[model_name]

    def entries(name: str) -> int:
        """How many of its entries are a network's."""
        try:
            names = name_map(name)
        except InputError:
            return 0
        choice = network_in(state_dict, lambda part: _sizes(names, part) is not None)
        return len(choice.weights) if _sizes(names, choice.weights) is not None else 0

    # A network of several parts may have another one's as a part: RIE has VideoPose3D's, a
    # detector a whole Swin.
    least = max(entries(model_name), len(state_dict) / 2)
    others = (name for name, (network, _) in models.networks().items() if network is not own)
    return next((name for name in others if entries(name) > least), None)


def _sizes(names: NameMap, state_dict: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the shapes tell; None if the weights are of another network."""
    try:
        return names.hyperparameters(state_dict)
    except _NOT_ITS:
        return None


def _other_sizes(names: NameMap, state_dict: Mapping[str, Any], model: nn.Module) -> list[str]:
    """In what the network that the shapes tell is another one than the model."""
    told = _sizes(names, state_dict) or {}
    return [
        f"its {field} is {theirs!r}, here {getattr(model, field)!r}"
        for field, theirs in told.items()
        if getattr(model, field) != theirs
    ]


def _adapted(
    names: NameMap, given: Mapping[str, Any], model: nn.Module
) -> tuple[Mapping[str, Any], dict[str, str], list[str]]:
    """Weights as the name map has them, the keys that they are given by, and what was done."""
    renamed = names.renamed(given)
    weights, notes = names.fitted(renamed, model)
    return weights, dict(zip(renamed, given, strict=True)), notes


def _say(*notes: str) -> None:
    if said := "; ".join(filter(None, notes)):
        _LOG.info("%s", said)


def known_variables(
    model_name: str, state_dict: Mapping[str, Any], **hyperparameters: Any
) -> tuple[dict[tuple[str, ...], np.ndarray], list[str]]:
    """The weights in a state dict that go by a model's names, whatever their shapes.

    Args:
        model_name, state_dict, hyperparameters: as for `from_torch`.

    Returns:
        Path in the variables -> float32 array, and the keys that are no variable.

    Raises:
        InputError: no such model or hyperparameter.
    """
    model, names = models.create(model_name, **hyperparameters), name_map(model_name)
    keys = {path: names.torch_key(path[1:]) for path in variable_shapes(model)}
    wanted = set(keys.values())

    def score(part: Mapping[str, Any]) -> int:
        found = len(wanted & part.keys())
        return found if 2 * found >= len(part) else 0

    given, note = network_in(state_dict, lambda part: score(names.renamed(part)))
    weights, theirs, notes = _adapted(names, given, model)
    _say(note, *notes)
    state_dict, found = {key: np.asarray(value) for key, value in weights.items()}, {}
    for path, key in keys.items():
        if key in state_dict and jnp.issubdtype(state_dict[key].dtype, jnp.floating):
            value = _arranged(names.layout(path[1:]).to_flax, state_dict[key])
            if value is not None:
                found[path] = np.array(value, dtype=np.float32, order="C")
                del state_dict[key]
    constants = names.constants(model)
    known = {*counters(wanted), *constants}
    return found, [theirs[key] for key in state_dict if key not in known]


@functools.lru_cache(maxsize=16)
def variable_shapes(model: nn.Module) -> Mapping[tuple[str, ...], tuple[int, ...]]:
    """Path in the variables -> shape, of all parameters and BatchNorm statistics."""
    variables = jax.eval_shape(model.init, jax.random.key(0), *models.example_inputs(model))
    return MappingProxyType({path: leaf.shape for path, leaf in flatten_dict(variables).items()})


def counters(keys: Iterable[str]) -> set[str]:
    """PyTorch's keys of BatchNorm's counters, beside its statistics' among `keys`."""
    return {key.removesuffix(_MEAN) + _COUNTER for key in keys if key.rpartition(".")[2] == _MEAN}


def _arranged(function, array: np.ndarray) -> np.ndarray | None:
    """The array in the other layout; None if it is not one of such a shape."""
    try:
        return function(array)
    except (ValueError, IndexError):  # also numpy.exceptions.AxisError
        return None


def _same(found: Any, constant: np.ndarray) -> bool:
    """Whether a buffer is absent or has that value, up to the rounding of its data type."""
    if found is None:
        return True
    found, constant = np.asarray(found), np.asarray(constant)
    if found.shape != constant.shape:
        return False
    half = jnp.issubdtype(found.dtype, jnp.floating) and found.dtype.itemsize < 4
    tolerance = 1e-2 if half else 1e-4
    found = found.astype(np.float64)
    return np.allclose(found, constant, rtol=tolerance, atol=tolerance, equal_nan=True)
