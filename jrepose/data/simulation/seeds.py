"""Random generators that depend on names instead of on the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np


def named_generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that is a pure function of the seed and the names.

    The same names give the same stream whatever else has been drawn before, so a
    recording's simulation does not change when others are added or reordered.
    """
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(name)}:{name}" for name in names)
    digest = hashlib.sha256(text.encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, *words]))
