"""PyTorch parameter names of the multi-view relational detector.

They are those of the released code, whose `keypoint_head` are the encoder over frames and the head.
It has no encoder over views; ours is written as `view_head`.  Public Swin weights are those of its
backbone, public ViT weights (timm's and torchvision's keys) those of the encoder over frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from jrepose.errors import listed
from jrepose.interop import poseformer, swin
from jrepose.interop.names import Layout, usual_layout
from jrepose.models.multiview import MultiViewDetector

_BACKBONE, _TIME, _VIEW = "backbone.", "keypoint_head.", "view_head."
_PREFIXES: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        ("backbone",): _BACKBONE,
        ("relations", "time"): _TIME,
        ("relations", "view"): _VIEW,
        ("relations", "head"): _TIME,
    }
)
_PLACES = _TIME + "Temporal_pos_embed"
_MEAN, _HEAD = _TIME + "weighted_mean.", _BACKBONE + "head."
_CLASS = ("cls_token", "class_token")
_LAYER = re.compile(r"(?:blocks|encoder\.layers\.encoder_layer_)\.?(\d+)\.(.+)")
_BLOCK = re.compile(re.escape(_TIME) + r"blocks\.(\d+)\..+")
_OF_TORCHVISION: Mapping[str, str] = MappingProxyType(
    {
        "ln_1.": "norm1.",
        "ln_2.": "norm2.",
        "self_attention.in_proj_": "attn.qkv.",
        "self_attention.out_proj.": "attn.proj.",
        "mlp.linear_1.": "mlp.fc1.",
        "mlp.linear_2.": "mlp.fc2.",
        "mlp.0.": "mlp.fc1.",
        "mlp.3.": "mlp.fc2.",
    }
)
_VIT_HEAD_CHANNELS = 64


def torch_key(path: tuple[str, ...]) -> str:
    """PyTorch key of the array at `path` in its collection.

    `relations/time/blocks_0/attn/qkv/kernel` is `keypoint_head.blocks.0.attn.qkv.weight`.
    """
    if path[0] in ("backbone_head", "weighted_mean"):
        prefix = _HEAD if path[0] == "backbone_head" else _MEAN
        return prefix + swin.torch_key(path[1:])
    length = 1 if path[0] == "backbone" else 2
    return _PREFIXES[path[:length]] + swin.torch_key(path[length:])


def layout(path: tuple[str, ...]) -> Layout:
    """The mean of the frames is a convolution there, as in PoseFormer."""
    return poseformer.layout(path) if path[0] == "weighted_mean" else usual_layout(path)


def hyperparameters(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes of the weights say about the network.

    The number of heads of the encoders, which patches are kept, whether the embedding of the frames
    is added and the rates of dropout leave no trace.

    Raises:
        KeyError, ValueError: the weights are not such a detector's.
    """
    found = swin.hyperparameters(_below(state_dict, _BACKBONE))
    found["num_joints"] = state_dict[_TIME + "head.1.weight"].shape[0] // 2
    for name, count, prefix in (("time", "frames", _TIME), ("view", "views", _VIEW)):
        blocks = [key for key in state_dict if re.match(re.escape(prefix) + r"blocks\.\d", key)]
        found[f"{name}_depth"] = len({key.split(".")[2] for key in blocks})
        if blocks:
            found[count] = state_dict[prefix + "Temporal_pos_embed"].shape[1]
            hidden, width = state_dict[prefix + "blocks.0.mlp.fc1.weight"].shape
            found["relation_mlp_ratio"] = hidden / width
    found["unused"] = _MEAN + "weight" in state_dict
    return found


def constants(model: MultiViewDetector) -> dict[str, np.ndarray]:
    """Swin's."""
    return _under(_BACKBONE, swin.constants(model.backbone_sizes()))


def renamed(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Swin's weights as the backbone's, a ViT's as the encoder's over frames; any others as they
    are."""
    if _is_vit(state_dict):
        return {_of_vit(key): value for key, value in state_dict.items()}
    inner = swin.renamed(state_dict)
    is_swin = "layers.0.blocks.0.norm1.weight" in inner
    return _under(_BACKBONE, inner) if is_swin else state_dict


def _is_vit(state_dict: Mapping[str, Any]) -> bool:
    return any(key in state_dict for key in _CLASS) and any(map(_LAYER.fullmatch, state_dict))


def _of_vit(key: str) -> str:
    if found := _LAYER.fullmatch(key):
        number, rest = found.groups()
        for theirs, ours in _OF_TORCHVISION.items():
            if rest.startswith(theirs):
                rest = ours + rest.removeprefix(theirs)
                break
        return f"{_TIME}blocks.{number}.{rest}"
    if key in ("pos_embed", "encoder.pos_embedding"):
        return _PLACES
    if key.startswith(("norm.", "encoder.ln.")):
        return f"{_TIME}Temporal_norm.{key.rpartition('.')[2]}"
    return key


def fitted(
    state_dict: Mapping[str, Any], model: MultiViewDetector
) -> tuple[Mapping[str, Any], list[str]]:
    """Without what the model does not have, and with tables of its windows and clips.

    Args:
        state_dict: with the released keys.
        model: whose windows, frames and depth count.

    Returns:
        What is left, and what was done.
    """
    found, notes = dict(state_dict), []
    stored = {key: value for key, value in found.items() if key.startswith((_MEAN, _HEAD))}
    found = {key: value for key, value in found.items() if key not in stored}
    inner, said = swin.fitted(_below(found, _BACKBONE), model.backbone_sizes())
    notes += said
    found = {key: value for key, value in found.items() if not key.startswith(_BACKBONE)}
    found |= _under(_BACKBONE, inner)
    if model.unused and any(key.startswith(_MEAN) for key in stored):
        found |= stored
    elif stored:
        notes.append(f"left out, as nothing uses it: {listed(sorted(stored))}")
    if _is_vit_renamed(state_dict):
        return _without_what_only_vit_has(found, model, notes)
    return found, notes


def _is_vit_renamed(state_dict: Mapping[str, Any]) -> bool:
    return any(key in state_dict for key in _CLASS) and _PLACES in state_dict


def _without_what_only_vit_has(
    found: Mapping[str, Any], model: MultiViewDetector, notes: list[str]
) -> tuple[Mapping[str, Any], list[str]]:
    left = {}
    for key, value in found.items():
        block = _BLOCK.fullmatch(key)
        if key.startswith(_TIME) and not (block and int(block[1]) >= model.time_depth):
            left[key] = value
    places = np.asarray(left[_PLACES])
    if places.ndim == 3 and places.shape[1] > 1:
        left[_PLACES] = resized_places(places[:, 1:], model.frames)
        notes.append(
            f"ViT's embedding of {places.shape[1] - 1} patches resized to {model.frames} frames"
        )
    width = places.shape[-1]
    if width != _VIT_HEAD_CHANNELS * model.relation_heads:
        notes.append(
            f"ViT's heads have {_VIT_HEAD_CHANNELS} channels, and relation_heads "
            f"{model.relation_heads} makes another attention of its weights"
        )
    notes.append(f"of ViT only its first {model.time_depth} blocks and its last norm are taken")
    return left, notes


def resized_places(
    table: Float[np.ndarray, "1 places channels"], length: int
) -> Float[np.ndarray, "1 {length} channels"]:
    """An embedding of so many places for another number of them, in a straight line between its
    neighbours."""
    old = table.shape[1]
    centres = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, old - 1)
    lower = np.floor(centres).astype(int)
    share = (centres - lower)[:, None]
    upper = np.minimum(lower + 1, old - 1)
    table = np.asarray(table, np.float64)
    resized = (1 - share) * table[:, lower] + share * table[:, upper]
    return resized.astype(np.float32)


def _below(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}


def _under(prefix: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state_dict.items()}
