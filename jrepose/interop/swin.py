"""PyTorch parameter names of Swin, and of the relational transformers.

They are those of Microsoft's code.  torchvision's are others, timm's are so since its release 0.9.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jrepose.errors import listed
from jrepose.interop.names import LEAF, indexed
from jrepose.models.swin import Swin, relative_positions, shift_mask

_STAGE = re.compile(r"layers_(\d+)_(?:blocks_(\d+)|(downsample))")
_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight")
_MERGING = re.compile(r"layers\.(\d+)\.(downsample\..+)")
_FEATURES = re.compile(r"features\.(\d+)\.(?:(\d+)\.)?(.+)")
_TABLES = re.compile(r"(layers\.(\d+)\.blocks\.\d+\.)attn\.relative_position_bias_table")
_CLASSIFIER = re.compile(r"head\.(fc\.)?(weight|bias)")
_TABLE, _INDEX, _MASK = "relative_position_bias_table", "relative_position_index", "attn_mask"
_PATCHES: Mapping[str, str] = MappingProxyType({"0": "proj", "2": "norm"})
_LARGEST = 4096  # a map's side times its windows'; the mask has the square of it
_KEYS = -0.75  # PyTorch's parameter of the cubic kernel


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `layers_0_blocks_1/attn/qkv/kernel` is `layers.0.blocks.1.attn.qkv.weight`, `head_1/bias` is
    `head.1.bias`.
    """
    *modules, leaf = path
    names = []
    for module in modules:
        if found := _STAGE.fullmatch(module):
            stage, block, _ = found.groups()
            module = f"layers.{stage}." + (f"blocks.{block}" if block else "downsample")
        elif module.startswith(("blocks_", "head_")):
            module = indexed(module)
        names.append(module)
    return ".".join([*names, LEAF.get(leaf, leaf)])


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The images are as large as the masks of shifted maps tell; where there are none, as small as
    they can be without a window that is cut.  Rates of dropout leave no trace.

    Raises:
        KeyError, ValueError: the weights are not a Swin's, or not one's with a single window.
    """
    weights = renamed(state_dict)
    embed_dim, in_chans, patch_size, _ = weights["patch_embed.proj.weight"].shape
    if "layers.0.blocks.0.attn.logit_scale" in weights or any("cpb_mlp" in key for key in weights):
        raise ValueError(f"{_TABLE}: it is a Swin V2's")
    blocks = [tuple(map(int, f.groups())) for key in weights if (f := _BLOCK.fullmatch(key))]
    stages = 1 + max((stage for stage, _ in blocks), default=0)
    tables = [weights[f"layers.{stage}.blocks.0.attn.{_TABLE}"] for stage in range(stages)]
    windows = [_window(table.shape[0]) for table in tables]
    img_size = windows[-1] * patch_size * 2 ** (stages - 1)
    if (mask := weights.get(f"layers.0.blocks.1.{_MASK}")) is not None:
        img_size = math.isqrt(mask.shape[0]) * windows[0] * patch_size
    found = {
        "img_size": img_size,
        "patch_size": patch_size,
        "in_chans": in_chans,
        "embed_dim": embed_dim,
        "depths": tuple(sum(own == stage for own, _ in blocks) for stage in range(stages)),
        "num_heads": tuple(table.shape[1] for table in tables),
        "window_size": max(windows),
        "mlp_ratio": weights["layers.0.blocks.0.mlp.fc1.weight"].shape[0] / embed_dim,
        "qkv_bias": "layers.0.blocks.0.attn.qkv.bias" in weights,
    }
    if windows != [min(max(windows), img_size // patch_size // 2**i) for i in range(stages)]:
        raise ValueError(f"window that all stages share but {', '.join(map(str, windows))}")
    if img_size // patch_size * max(windows) > _LARGEST:
        raise ValueError(f"map of usual size: {img_size} pixels in windows of {max(windows)}")
    return found


def constants(model: Swin) -> dict[str, np.ndarray]:
    """What Microsoft's code keeps: rows of the bias tables, and masks of shifted maps."""
    found: dict[str, np.ndarray] = {}
    for stage, depth in enumerate(model.depths):
        side, window = _side(model, stage), _window_of(model, stage)
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}."
            found[f"{block}attn.{_INDEX}"] = relative_positions(window)
            if number % 2 and side > window:
                found[block + _MASK] = shift_mask(side, side, window, window // 2)
    return found


def renamed(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """torchvision's and timm's keys as Microsoft's, entry by entry; any others as they are."""
    if "features.1.0.attn.qkv.weight" in state_dict:
        key_of = _of_torchvision
    elif "layers.1.downsample.norm.weight" in state_dict and not any(
        key.startswith("layers.0.downsample.") for key in state_dict
    ):
        key_of = _of_timm
    else:
        return state_dict
    found = {key_of(key): value for key, value in state_dict.items()}
    return found if len(found) == len(state_dict) else state_dict


def _of_timm(key: str) -> str:
    """Patches are merged at the beginning of a stage there, here at the end of the one before."""
    if found := _MERGING.fullmatch(key):
        return f"layers.{int(found[1]) - 1}.{found[2]}"
    return key


def _of_torchvision(key: str) -> str:
    """One list there: the patches, then the blocks of a stage and a merging by turns."""
    if (found := _FEATURES.fullmatch(key)) is None:
        return key
    place, part, rest = int(found[1]), found[2], found[3]
    stage = (place - 1) // 2
    if place == 0 and part in _PATCHES:
        return f"patch_embed.{_PATCHES[part]}.{rest}"
    if place % 2 and part is not None:
        rest = rest.replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")
        return f"layers.{stage}.blocks.{part}.{rest}"
    if place and part is None:
        return f"layers.{stage}.downsample.{rest}"
    return key


def fitted(state_dict: Mapping[str, Any], model: Swin) -> tuple[Mapping[str, Any], list[str]]:
    """Without the classifier and the buffers, and with bias tables of the model's windows.

    Args:
        state_dict: with Microsoft's keys.
        model: whose `window_size` and `img_size` count.

    Returns:
        What is left, which includes buffers that are not what they must be; and what was done.
    """
    found, notes, resized = dict(state_dict), [], set()
    for key in state_dict:
        if (named := _TABLES.fullmatch(key)) is None:
            continue
        table, block, stage = np.asarray(state_dict[key]), named[1], int(named[2])
        try:
            places, _ = table.shape
            window = _window(places)
        except ValueError:
            continue
        for name, value in list(_buffers(found, block, window)):
            if np.array_equal(np.asarray(found[name]).ravel(), value.ravel()):
                del found[name]
        if stage >= len(model.depths) or not jnp.issubdtype(table.dtype, jnp.floating):
            continue
        if window != (wanted := _window_of(model, stage)):
            found[key] = resized_table(table, wanted)
            resized.add((window, wanted))
    if classifier := sorted(filter(_CLASSIFIER.fullmatch, found)):
        notes.append(f"left out, as they are the classifier's: {listed(classifier)}")
        found = {key: value for key, value in found.items() if key not in classifier}
    for old, new in sorted(resized):
        notes.append(f"bias tables for windows of {old} resized to windows of {new}")
    return found, notes


def _buffers(
    state_dict: Mapping[str, Any], block: str, window: int
) -> Iterator[tuple[str, np.ndarray]]:
    """What the buffers of a block in a file must be, by the window of its own table."""
    index, mask = f"{block}attn.{_INDEX}", block + _MASK
    if np.size(state_dict.get(index)) == window**4:
        yield index, relative_positions(window)
    if mask in state_dict:
        side = window * math.isqrt(np.size(state_dict[mask]) // window**4)
        yield mask, shift_mask(side, side, window, window // 2)


def resized_table(
    table: Float[np.ndarray, "places heads"], window: int
) -> Float[np.ndarray, "resized_places heads"]:
    """A table of relative position biases for another window, bicubic as in Swin's fine-tuning.

    Args:
        table: of all offsets in a window, rows changing more slowly.
        window: patches of the new window's side.

    Returns:
        What PyTorch's `interpolate` gives of the table as a picture: no smoothing where it
        shrinks, what lies beyond the edge as the edge.

    Raises:
        ValueError: not the table of a square window.
    """
    old, new = 2 * _window(len(table)) - 1, 2 * window - 1
    weights = _bicubic(old, new)
    picture = np.asarray(table, np.float64).reshape(old, old, -1)
    picture = np.einsum("ro,ck,okh->rch", weights, weights, picture)
    return picture.reshape(new * new, -1).astype(np.float32)


def _bicubic(old: int, new: int) -> Float[np.ndarray, "{new} {old}"]:
    """What each of `old` places counts for each of `new` on the same length."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(centres).astype(int)
    weights = np.zeros((new, old))
    for step in (-1, 0, 1, 2):
        x = np.abs(centres - first - step)
        near = ((_KEYS + 2) * x - (_KEYS + 3)) * x * x + 1
        far = _KEYS * (((x - 5) * x + 8) * x - 4)
        places = np.clip(first + step, 0, old - 1)
        np.add.at(weights, (np.arange(new), places), np.where(x <= 1, near, far))
    return weights


def _window(places: int) -> int:
    """Side of the window that has so many offsets.

    Raises:
        ValueError: none has.
    """
    side = math.isqrt(places)
    if side * side != places or side % 2 == 0:
        raise ValueError(f"square window with {places} offsets")
    return (side + 1) // 2


def _side(model: Swin, stage: int) -> int:
    """Patches of the map's side in a stage."""
    return model.img_size // model.patch_size // 2**stage


def _window_of(model: Swin, stage: int) -> int:
    return min(model.window_size, _side(model, stage))
