"""Settings of the simulators: frozen dataclasses that a plain mapping can fill."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jrepose.errors import InputError


class Settings:
    """Base of a frozen dataclass whose fields are plain numbers, strings, and tuples of them."""

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Settings:
        """Settings from a config section; fields not named keep their defaults.

        Numbers given as integers are accepted for float fields and lists for tuples.

        Raises:
            InputError: an unknown field, or a value of the wrong kind.
        """
        defaults = {f.name: f.default for f in dataclasses.fields(cls)}
        values = {}
        for name, value in fields.items():
            if name not in defaults:
                raise InputError(
                    f"{cls.__name__}: unknown field {name!r}; known: {', '.join(defaults)}"
                )
            values[name] = _as_kind_of(defaults[name], value, f"{cls.__name__}.{name}")
        return cls(**values)


def _as_kind_of(default: Any, value: Any, where: str) -> Any:
    """The value, converted to the kind of the default where nothing is lost."""
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        if len(value) != len(default):
            raise InputError(f"{where}: {len(value)} values, expected {len(default)}")
        return tuple(_as_kind_of(d, v, where) for d, v in zip(default, value, strict=True))
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise InputError(
            f"{where}: {value!r} is a {type(value).__name__}, expected {type(default).__name__}"
        )
    return value
