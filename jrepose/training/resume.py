"""Whether a run may continue from a checkpoint: same experiment, same data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jrepose.errors import InputError

# What may change between two starts of one run: none of it enters a training step.
FREE_FIELDS = (
    "name",
    "checkpoint",
    "data.path",
    "data.resident_bytes",
    "evaluation.batch_size",
    "evaluation.every_epochs",
    "training.epochs",
    "training.log_every",
    "training.max_steps",
)


def check_same_config(
    saved: Mapping[str, Any], current: Mapping[str, Any], workdir: object
) -> None:
    """Compares the config of a checkpoint with that of a run that wants to continue.

    Args:
        saved, current: configs as plain values, as they come out of JSON.
        workdir: for the message.

    Raises:
        InputError: naming every field that differs, apart from `FREE_FIELDS`.
    """
    old, new = _flatten(saved), _flatten(current)
    missing = "(absent)"
    different = [
        f"{field}={new.get(field, missing)!r} (was {old.get(field, missing)!r})"
        for field in sorted(old.keys() | new.keys())
        if old.get(field, missing) != new.get(field, missing) and not _is_free(field)
    ]
    if different:
        raise InputError(
            f"{workdir} holds a run with another config: {', '.join(different)}; "
            "use another --workdir or the same values"
        )


def check_same_data(saved: Mapping[str, str], current: Mapping[str, str], workdir: object) -> None:
    """Compares the fingerprints of the splits.

    Raises:
        InputError: naming the splits that differ.
    """
    different = [split for split in sorted(saved) if current.get(split) != saved[split]]
    if different:
        split = different[0]
        raise InputError(
            f"{workdir} holds a run on other data: the fingerprint of {', '.join(different)} "
            f"differs ({split}: {str(current.get(split))[:12]}, was {saved[split][:12]}); "
            "use another --workdir or the same data"
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _is_free(field: str) -> bool:
    return any(field == free or field.startswith(free + ".") for free in FREE_FIELDS)
