"""What every transformer's hyperparameters must satisfy."""

from __future__ import annotations

import flax.linen as nn

from jrepose.errors import InputError


def check_hyperparameters(module: nn.Module, sizes: tuple[str, ...], width: str) -> None:
    """Checks sizes, number of heads and dropout rates.

    Args:
        module: has the fields `num_heads`, `drop_rate`, `attn_drop_rate` and `drop_path_rate`.
        sizes: fields that are numbers of something.
        width: the field with the channels that the heads divide.

    Raises:
        InputError: a size below 1, heads that do not divide the width, a rate outside [0, 1).
    """
    name = type(module).__name__
    for field in (*sizes, "num_heads"):
        if getattr(module, field) < 1:
            raise InputError(f"{name}: {field} is {getattr(module, field)}, expected >= 1")
    if getattr(module, width) % module.num_heads:
        raise InputError(
            f"{name}: {width} {getattr(module, width)} does not divide over "
            f"num_heads {module.num_heads}"
        )
    for field in ("drop_rate", "attn_drop_rate", "drop_path_rate"):
        if not 0 <= getattr(module, field) < 1:
            raise InputError(f"{name}: {field} is {getattr(module, field)}, expected [0, 1)")
