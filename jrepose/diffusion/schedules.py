"""How much of a pose is left at each diffusion step, and which steps the way back visits.

With K steps, `betas` and `alpha_bars` are `[K]`: the share of noise that a step adds, and the
product of all `1 - beta` up to it.  Index 0 is the first noisy level, the papers' k = 1.
They are NumPy arrays; nothing here depends on data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from jrepose.errors import InputError

BETAS: Mapping[str, Callable[[int, float, float], np.ndarray]] = MappingProxyType(
    {
        "linear": lambda steps, start, end: np.linspace(start, end, steps),
        "quad": lambda steps, start, end: np.linspace(start**0.5, end**0.5, steps) ** 2,
        "const": lambda steps, start, end: np.full(steps, float(end)),
        "jsd": lambda steps, start, end: 1 / np.linspace(steps, 1, steps),
        "sigmoid": lambda steps, start, end: (
            start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, steps)))
        ),
        "cosine": lambda steps, start, end: _cosine(steps),
    }
)
"""Name -> `f(steps, start, end)`.  All but "cosine" are DiffPose's.  "jsd" and "cosine", which have
no start and end, leave nothing of the pose whatever the number of steps."""


def _cosine(steps: int) -> np.ndarray:
    """A. Nichol and P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021."""
    left = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - left[1:] / left[:-1], 0.999)


def betas(
    kind: str, steps: int, start: float = 1e-4, end: float = 2e-3
) -> Float[np.ndarray, " steps"]:
    """The noise that each step adds, float64.

    Args:
        kind: a name in `BETAS`.
        steps: how many.
        start, end: of the first and the last step.

    Raises:
        InputError: no such kind, no steps, or noise outside [0, 1].
    """
    if kind not in BETAS:
        raise InputError(f"noise schedule is {kind!r}, expected one of {', '.join(BETAS)}")
    if steps < 1:
        raise InputError(f"diffusion has {steps} steps, expected at least 1")
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise InputError(f"noise of a step goes from {start} to {end}, expected both in [0, 1]")
    return BETAS[kind](steps, start, end)


def alpha_bars(betas: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Products of `1 - beta`, in the precision of the betas.

    The factors are rounded to it, their product is not, which is what PyTorch does in float32.
    """
    return np.cumprod((1 - betas).astype(np.float64)).astype(betas.dtype)


def with_clean_level(alpha_bars: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " levels"]:
    """With the level before the first step in front, where all of the pose is left."""
    return np.concatenate([np.ones(1, alpha_bars.dtype), alpha_bars])


def visited_steps(kind: str, levels: int, count: int) -> Int[np.ndarray, " visited"]:
    """The steps that the way back evaluates the network at, ascending.

    Args:
        kind: `"uniform"`: 0, s, 2s and so on below `levels`, `s = levels // count`, which are more
            than `count` where that does not divide `levels`; `"quad"`: squares of `count`
            equally spaced numbers from 0 to the root of 0.8 `levels`, rounded down; `"trailing"`:
            `count` equally spaced ones of which the last is `levels - 1`, so that the way back
            begins where the forward process ends (S. Lin et al., WACV 2024); `"truncated"`: the
            same, rounded towards 0.  The first two are DiffPose's, the last is D3DP's.
        levels: see above; at most the diffusion's number of steps.
        count: how many steps.

    Raises:
        InputError: no such kind, or a count outside 1 to `levels`.
    """
    if not 1 <= count <= levels:
        raise InputError(f"{count} sampling steps over {levels} levels, expected 1 to {levels}")
    if kind == "uniform":
        return np.arange(0, levels, levels // count)
    if kind == "quad":
        return (np.linspace(0, np.sqrt(levels * 0.8), count) ** 2).astype(np.int64)
    if kind == "trailing":
        return np.round(np.arange(1, count + 1) * (levels / count)).astype(np.int64) - 1
    if kind == "truncated":
        return np.linspace(-1, levels - 1, count + 1)[1:].astype(np.int64)
    raise InputError(
        f"spacing of sampling steps is {kind!r}, expected 'uniform', 'quad', 'trailing' or "
        "'truncated'"
    )
