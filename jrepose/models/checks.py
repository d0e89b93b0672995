"""What every model's hyperparameters must satisfy."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
from jaxtyping import ArrayLike, Float

from jrepose.errors import InputError


def dropout_rates(module: type[nn.Module]) -> list[str]:
    """The fields that are probabilities of dropping something: all that end in `_rate`."""
    return [field.name for field in dataclasses.fields(module) if field.name.endswith("_rate")]


def check_hyperparameters(
    module: nn.Module, sizes: tuple[str, ...], width: str | None = None, *, streams: int = 1
) -> None:
    """Checks sizes, number of heads and dropout rates.

    Args:
        module: has the fields named below.
        sizes: fields that are numbers of something.
        width: the field with the channels that its `num_heads` heads divide; None: it has no heads.
        streams: equal parts of these channels, each with `num_heads` heads of its own.

    Raises:
        InputError: a size below 1, heads that do not divide the width, a rate outside [0, 1).
    """
    name = type(module).__name__
    for field in (*sizes, *(["num_heads"] if width else [])):
        if getattr(module, field) < 1:
            raise InputError(f"{name}: {field} is {getattr(module, field)}, expected >= 1")
    if width and getattr(module, width) % (streams * module.num_heads):
        times = f"{streams} times " if streams > 1 else ""
        raise InputError(
            f"{name}: {width} {getattr(module, width)} does not divide over "
            f"{times}num_heads {module.num_heads}"
        )
    for field in dropout_rates(type(module)):
        if not 0 <= getattr(module, field) < 1:
            raise InputError(f"{name}: {field} is {getattr(module, field)}, expected [0, 1)")


def check_frames(
    keypoints: Float[ArrayLike, "batch frames joints channels"], expected: int, field: str
) -> None:
    """Refuses clips of another length, for models that know one only.

    Args:
        keypoints: of the clips.
        expected: the model's.
        field: where the model has it.

    Raises:
        InputError: they differ.
    """
    frames = keypoints.shape[1]
    if frames != expected:
        raise InputError(f"clip of {frames} frames, the model expects exactly {expected} ({field})")


def check_most(found: Any, most: int, what: str, field: str) -> None:
    """Refuses more of something than a model has places for.

    Args:
        found: as many as a clip has, a number or `jax.export`'s symbol of one.
        most: the model's.
        what: they are.
        field: where the model has it.

    Raises:
        InputError: there are more.
    """
    if found > most:
        raise InputError(f"clip of {found} {what}, the model takes at most {most} ({field})")


def check_noisy(
    noisy: Float[ArrayLike, "*batch joints channels"], joints: int, channels: int
) -> None:
    """Refuses other poses than a denoiser takes.

    Args:
        noisy: poses.
        joints, channels: what the denoiser expects.

    Raises:
        InputError: other joints or channels.
    """
    if noisy.shape[-2:] != (joints, channels):
        raise InputError(
            f"noisy poses have {noisy.shape[-2]} joints of {noisy.shape[-1]} channels, the model "
            f"expects {joints} joints of {channels}"
        )


def check_keypoints(
    keypoints: Float[ArrayLike, "*clips joints channels"], joints: int, channels: int
) -> None:
    """Refuses other keypoints than a model takes.

    Args:
        keypoints: of the clips; sizes of clips may be symbols.
        joints: how many the model expects.
        channels: how many it looks at, the first ones.

    Raises:
        InputError: other joints, or too few channels.
    """
    found = keypoints.shape[-2:]
    if found[0] != joints or found[1] < channels:
        raise InputError(
            f"keypoints have {found[0]} joints of {found[1]} channels, the model expects "
            f"{joints} joints of at least {channels} channels"
        )
