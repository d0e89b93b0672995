"""What trainers put around the names of weights, and what they keep beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jrepose.errors import listed

# Parts of a name that torch.compile and the parallel wrappers generate, wherever they stand.
_GENERATED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

# First parts that stand before every name.
_WRAPPERS = {
    "module", "model", "net", "network", "backbone", "lifter", "pose_lifter", "pose_model",
    "generator", "state_dict", "online_model", "student", "teacher", "ema", "ema_model",
    "model_ema", "averaged_model", "shadow",
}  # fmt: skip

# Counts of the averaging wrappers, one number each; thop leaves its own in every layer.
_COUNTS = {"n_averaged", "num_updates", "update_count", "initted", "step", "decay"}
_PROFILES = {"total_ops", "total_params"}

# First parts of names that are no network's: of losses with weights of their own, of scores.
_BESIDE = {"loss", "losses", "loss_fn", "criterion", "criterions", "metric", "metrics"}
_DEEPEST = 4  # parts of a prefix
_AVERAGED = re.compile(r"ema|shadow|averag|swa|teacher", re.IGNORECASE)


def unwrapped(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict without the wrappers that all names share, and without their counts."""
    found = {key: value for key, value in state_dict.items() if not _is_count(key, value)}
    found = _without_parts(found, _GENERATED)
    for _ in range(_DEEPEST):
        firsts = {key.partition(".")[0] for key in found}
        if len(firsts) > 1 or not firsts <= _WRAPPERS or not all("." in key for key in found):
            break
        found = {key.partition(".")[2]: value for key, value in found.items()}
    return found


def is_average(name: str) -> bool:
    """Whether weights under that name are a moving average of the trained ones."""
    return _AVERAGED.search(name) is not None


class Choice(NamedTuple):
    """The part of a state dict that is a network's.

    Attributes:
        weights: its entries, with the names that the network gives them.
        note: one line about what else was there, empty if nothing was.
    """

    weights: dict[str, Any]
    note: str


def network_in(state_dict: Mapping[str, Any], score: Callable[[Mapping[str, Any]], int]) -> Choice:
    """The network in a state dict, under whatever prefix it stands.

    Args:
        state_dict: name -> array.
        score: how well a part of it, its prefix taken off, fits; 0 where not at all.  Of equal
            ones trained weights come before their moving average, then the shorter prefix.
    """
    everything = unwrapped(state_dict)
    inner = _without_parts(everything, {"module"})
    if score(inner) > score(everything):
        everything = inner
    parts: dict[str, dict[str, Any]] = {}
    for key, value in everything.items():
        pieces = key.split(".", _DEEPEST)
        for length in range(1, len(pieces)):
            prefix, rest = ".".join(pieces[:length]), ".".join(pieces[length:])
            parts.setdefault(prefix, {})[rest] = value
    parts = {"": everything} | {prefix: unwrapped(part) for prefix, part in parts.items()}
    scores = {prefix: score(part) for prefix, part in parts.items()}
    best = max(scores.values())
    if not best:
        return Choice(everything, "")
    fitting = [prefix for prefix in parts if scores[prefix] == best]
    fitting.sort(key=lambda prefix: (is_average(prefix), len(prefix)))
    chosen, others = fitting[0], []
    for prefix in fitting[1:]:
        # What stands inside another one, or around it, is the same network.
        if not any(_nested(prefix, known) for known in (chosen, *others)):
            others.append(prefix)

    def is_other(key: str) -> bool:
        return any(key.startswith(f"{prefix}.") for prefix in others)

    weights = parts[chosen]
    if chosen:
        outside = [key for key in everything if not key.startswith(f"{chosen}.")]
    else:
        weights = {key: value for key, value in weights.items() if not _is_beside(key)}
        weights = {key: value for key, value in weights.items() if not is_other(key)}
        outside = [key for key in everything if _is_beside(key)]
    return Choice(weights, _note(chosen, others, [k for k in outside if not is_other(k)]))


def _note(chosen: str, others: list[str], outside: list[str]) -> str:
    said = []
    if others:
        said.append(
            f"the weights are there more than once: taken {_named(chosen)}, not "
            f"{', '.join(map(_named, others))} (FILE::{others[0]} or --entry takes that)"
        )
    if outside:
        said.append(f"left out, as it is not of the network: {listed(outside)}")
    return "; ".join(said)


def _named(prefix: str) -> str:
    kind = "the moving average" if is_average(prefix) else "those"
    return f"{kind} under {prefix}." if prefix else "those without prefix"


def below(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries under `prefix.`, without it and without their wrappers."""
    start = f"{prefix}."
    return unwrapped(
        {k.removeprefix(start): v for k, v in state_dict.items() if k.startswith(start)}
    )


def _nested(a: str, b: str) -> bool:
    """Whether one of two prefixes is the other or stands inside it."""
    return bool(a and b) and (f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}."))


def _is_beside(key: str) -> bool:
    return key.partition(".")[0] in _BESIDE


def _is_count(key: str, value: Any) -> bool:
    last = key.rpartition(".")[2]
    return last in _PROFILES or (
        last in _COUNTS and key.count(".") <= 2 and np.size(np.asarray(value)) == 1
    )


def _without_parts(state_dict: Mapping[str, Any], parts: set[str]) -> dict[str, Any]:
    """The state dict with these parts of names taken out; as it is if names would coincide."""
    found = {
        ".".join(piece for piece in key.split(".") if piece not in parts): value
        for key, value in state_dict.items()
    }
    return found if len(found) == len(state_dict) else dict(state_dict)
