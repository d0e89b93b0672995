"""The networks, found by name: `create("repose", maxlen=81)`.

One file per published system on the shared `layers.py`.  Most are lifters; denoisers take a noisy
pose and a diffusion step, image encoders and detectors take images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jrepose.config_fields import is_number, range_of
from jrepose.errors import InputError
from jrepose.models.checks import dropout_rates
from jrepose.models.d3dp import D3DP
from jrepose.models.diffpose import DiffPose
from jrepose.models.dstformer import DSTformer
from jrepose.models.gcndiff import GCNdiff
from jrepose.models.graformer import GraFormer
from jrepose.models.mhformer import MHFormer
from jrepose.models.mixste import MixSTE
from jrepose.models.motionagformer import MotionAGFormer
from jrepose.models.multiview import MultiViewDetector
from jrepose.models.poseformer import PoseFormer
from jrepose.models.poseformerv2 import PoseFormerV2
from jrepose.models.pstmo import PSTMO
from jrepose.models.rie import RIE
from jrepose.models.stcformer import STCFormer
from jrepose.models.stcformer_3dhp import STCFormer3DHP
from jrepose.models.swin import Swin
from jrepose.models.videopose3d import VideoPose3D

_MOST = 1000  # values of one hyperparameter, each of which may be a layer

MODELS: Mapping[str, tuple[type[nn.Module], Mapping[str, Any]]] = MappingProxyType(
    {
        "repose": (DSTformer, {}),
        "motionbert": (DSTformer, {"dim_feat": 512, "mlp_ratio": 2.0}),
        "motionbert_lite": (DSTformer, {}),
        "mixste": (MixSTE, {}),
        "stcformer": (STCFormer, {}),
        "stcformer_3dhp": (STCFormer3DHP, {}),
        "videopose3d": (VideoPose3D, {}),
        "rie": (RIE, {}),
        "poseformer": (PoseFormer, {}),
        "pstmo": (PSTMO, {}),
        "pstmo_s": (PSTMO, {"depth": 3}),
        "poseformerv2": (PoseFormerV2, {}),
        "graformer": (GraFormer, {}),
        "mhformer": (MHFormer, {}),
        "motionagformer": (MotionAGFormer, {}),
    }
)
"""Lifter -> (module class, hyperparameters in which it differs from the class defaults)."""

DENOISERS: Mapping[str, tuple[type[nn.Module], Mapping[str, Any]]] = MappingProxyType(
    {"gcndiff": (GCNdiff, {}), "diffpose": (DiffPose, {}), "d3dp": (D3DP, {})}
)
"""The same for the networks that are called `model.apply(variables, noisy, steps, train=False)`,
noisy poses `[*batch, *model.input_shape]`, whose last axes are joints and channels, and their
diffusion steps `[*batch]`; some take `context=` besides, features of the poses' joints."""

IMAGE_ENCODERS: Mapping[str, tuple[type[nn.Module], Mapping[str, Any]]] = MappingProxyType(
    {"swin": (Swin, {})}
)
"""The same for the networks that are called `model.apply(variables, images)`, `[images, height,
width, channels]`.  Public weights of theirs are converted, to begin a detector with."""

DETECTORS: Mapping[str, tuple[type[nn.Module], Mapping[str, Any]]] = MappingProxyType(
    {
        "multiview": (MultiViewDetector, {}),
        "multiview_vit": (MultiViewDetector, {"relation_heads": 12, "relation_mlp_ratio": 4.0}),
        "multiview_released": (
            MultiViewDetector,
            {"keep": 1.0, "view_depth": 0, "placed": False, "unused": True},
        ),
    }
)
"""The same for the networks that are called `model.apply(variables, images, views_seen)`, `[clips,
frames, views, height, width, channels]`, and give the images' keypoints."""


def networks() -> dict[str, tuple[type[nn.Module], Mapping[str, Any]]]:
    """Lifters, denoisers, image encoders and detectors."""
    return {**MODELS, **DENOISERS, **IMAGE_ENCODERS, **DETECTORS}


def kind(name: str) -> str:
    """What the model of that name is: a lifter, a denoiser, an image encoder or a detector.

    Raises:
        InputError: no such model.
    """
    _registered(name)
    if name in IMAGE_ENCODERS:
        return "an image encoder"
    if name in DETECTORS:
        return "a detector"
    return "a denoiser" if name in DENOISERS else "a lifter"


def example_inputs(model: nn.Module) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of what a network is called with, a batch of one; `model.init` takes such arrays."""
    shapes = [(1, *model.input_shape)]
    if type(model) in {network for network, _ in DENOISERS.values()}:
        shapes.append((1,))
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


def hyperparameters(name: str) -> dict[str, Any]:
    """Hyperparameters of the model of that name, with their published values.

    Raises:
        InputError: no such model.
    """
    module, published = _registered(name)
    fields = {
        field.name: field.default
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
    }
    return {**fields, **published}


def without_dropout(name: str) -> dict[str, float]:
    """The hyperparameters with which the model of that name draws nothing in training.

    Raises:
        InputError: no such model.
    """
    module, _ = _registered(name)
    return dict.fromkeys(dropout_rates(module), 0.0)


def create(name: str, **changes: Any) -> nn.Module:
    """Builds the model of that name; from a config: `create(**config.model)`.

    Args:
        name: a key of `networks()`.
        **changes: hyperparameters that differ from the published ones (`hyperparameters`
            lists them).  `dtype` may be a name, such as `"bfloat16"`.

    Returns:
        A Linen module, for a lifter: `model.apply(variables, keypoints [batch, frames, joints,
        channels], train=False, rngs={"dropout": key}) -> poses [batch, frames_out, joints, 3]`,
        float32; of all frames (seq2seq) or those in the middle (seq2frame).  `model.input_shape` is
        `(frames, joints, channels)` of its longest clip, or of its shortest where that gives one
        pose, for `model.init(key, jnp.zeros((1, *model.input_shape)))`.

    Raises:
        InputError: unknown name or hyperparameter, or a value that cannot be.
    """
    known = hyperparameters(name)
    for change in changes:
        if change not in known:
            raise InputError(
                f"model {name} has no hyperparameter {change!r}; it has {', '.join(known)}"
            )
    module, _ = _registered(name)
    values = {key: _checked(key, changes.get(key, known[key]), known[key]) for key in known}
    built = module(**values)  # with checks of its own, which say more
    for key, value in values.items():
        expected = range_of(f"model.{key}")
        for part in value if isinstance(value, tuple) else (value,):
            if is_number(part) and part not in expected:
                raise InputError(f"hyperparameter {key} is {value!r}, expected {expected}")
    return built


def main_output(outputs: Any) -> Any:
    """The poses among what a model gives, if they are not all."""
    return outputs["poses"] if isinstance(outputs, Mapping) else outputs


def _registered(name: str) -> tuple[type[nn.Module], Mapping[str, Any]]:
    known = networks()
    if name not in known:
        raise InputError(f"unknown model {name!r}; known: {', '.join(known)}")
    return known[name]


def _checked(field: str, value: Any, published: Any) -> Any:
    """The value in the published one's type; configs may write 0 for 0.0, files lists."""
    if field == "dtype":
        if value not in ("float32", "bfloat16", jnp.float32, jnp.bfloat16):
            raise InputError(f"dtype is {value!r}, expected 'float32' or 'bfloat16'")
        return jnp.dtype(value)
    if field == "qk_scale" and value is None:
        return None
    expected = float if field == "qk_scale" else type(published)
    if expected is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if expected is tuple and type(value) is list:
        value = tuple(value)
    if type(value) is not expected:
        raise InputError(f"hyperparameter {field} is {value!r}, expected {expected.__name__}")
    if expected is tuple and len(value) > _MOST:
        raise InputError(
            f"hyperparameter {field} has {len(value)} values, expected {_MOST} or less"
        )
    if expected is tuple and any(type(item) is not type(published[0]) for item in value):
        kind = type(published[0]).__name__
        raise InputError(f"hyperparameter {field} is {value!r}, expected a tuple of {kind}")
    return value
