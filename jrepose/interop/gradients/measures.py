"""How far two gradients are apart, parameter by parameter.  Plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from jrepose.interop.gradients.side import Gradient

# Below this share of the root mean square over all parameters a gradient is rounding noise
# around a true zero: key biases (the softmax does not see them) are at 1e-9 in float32 and at
# 1e-18 in float64, the smallest true gradients seen are above 1e-5.
_NOISE = {"float32": 1e-7, "float64": 1e-12}

OWN_ERRORS = 4
"""A gradient may differ by this many times PyTorch's own error, where that is known."""


@dataclass(frozen=True)
class ParameterError:
    """The two gradients of one parameter, ours and PyTorch's.

    Args:
        name: PyTorch's name; queries, keys and values of an attention layer stand apart, as
            `....qkv.weight[k]`.
        layer: what it belongs to, see `layer_of`.
        size: numbers in it.
        relative: ||ours - theirs|| / ||theirs||; infinite where only one of them is zero or
            finite.
        cosine: of the angle between them; nan where one of them is zero or not finite.
        largest: largest absolute difference of two elements.
        norm_jax, norm_torch: their Euclidean norms.
        nonfinite_jax, nonfinite_torch: how many of their elements are NaN or infinite.
        jax_error, torch_error: relative distance of each from the reference; None without.
        noise: whether the true gradient is zero, so that only rounding is left to compare.
        negligible: whether the difference is small beside the gradient of the same layer's
            weight.  A bias' gradient is a sum over all tokens; where it nearly cancels, the
            rounding of its summands is left, and their size shows in the weight's.
        allowed: the largest `relative` that counts as agreement.
    """

    name: str
    layer: str
    size: int
    relative: float
    cosine: float
    largest: float
    norm_jax: float
    norm_torch: float
    nonfinite_jax: int
    nonfinite_torch: int
    jax_error: float | None
    torch_error: float | None
    noise: bool
    negligible: bool
    allowed: float

    @property
    def finite(self) -> bool:
        return not (self.nonfinite_jax or self.nonfinite_torch)

    @property
    def agrees(self) -> bool:
        return self.finite and (self.noise or self.negligible or self.relative <= self.allowed)

    @property
    def verdict(self) -> str:
        """One or two words for tables."""
        if not self.finite:
            return "NOT FINITE"
        if self.noise:
            return "true zero"
        if self.relative <= self.allowed:
            return "agrees"
        return "negligible" if self.negligible else "DIFFERS"


def compare_parameters(
    ours: Gradient,
    theirs: Gradient,
    reference: Gradient | None = None,
    *,
    tolerance: float,
    noise: Iterable[str] | None = None,
) -> list[ParameterError]:
    """Compares two gradients, the worst parameter first.

    Non-finite ones come before all others, rounding noise after.

    Args:
        ours, theirs: gradients by PyTorch's names.
        reference: the same in float64, if there is one.
        tolerance: largest relative error that counts as agreement; where the reference shows
            PyTorch's own error to be larger, `OWN_ERRORS` times that is allowed.
        noise: names (with `[k]` and the like) whose true gradient is known to be zero; None
            finds them with `true_zeros`.  Ours must be small there, too.
    """
    if noise is None:
        noise = true_zeros(theirs if reference is None else reference)
    noise = frozenset(noise)
    exact = {} if reference is None else dict(split_attention(reference))
    theirs_by_name = dict(split_attention(theirs))
    typical = _typical(theirs_by_name)
    errors = []
    for name, a in split_attention(ours):
        b, truth = theirs_by_name[name], exact.get(name)
        torch_error = None if truth is None else relative_error(b, truth)
        weight = theirs_by_name.get(name.replace(".bias", ".weight"), b)
        errors.append(
            ParameterError(
                name=name,
                layer=layer_of(name),
                size=a.size,
                relative=relative_error(a, b),
                cosine=cosine(a, b),
                largest=float(np.nanmax(np.abs(a - b), initial=0.0)),
                norm_jax=float(np.linalg.norm(a)),
                norm_torch=float(np.linalg.norm(b)),
                nonfinite_jax=int(np.sum(~np.isfinite(a))),
                nonfinite_torch=int(np.sum(~np.isfinite(b))),
                jax_error=None if truth is None else relative_error(a, truth),
                torch_error=torch_error,
                noise=name in noise and _rms(a) <= tolerance * typical,
                negligible=_rms(a - b) <= tolerance * _rms(weight) < math.inf,
                allowed=max(tolerance, OWN_ERRORS * (torch_error or 0.0)),
            )
        )
    return sorted(errors, key=_badness, reverse=True)


def _badness(error: ParameterError) -> tuple[bool, bool, bool, float]:
    return not error.finite, not error.agrees, not error.noise, error.relative


def split_attention(gradient: Gradient) -> Iterator[tuple[str, np.ndarray]]:
    """Flat float64 arrays by name, the packed query, key and value layers in their three parts."""
    for name, array in gradient.items():
        if ".qkv." in name:
            for letter, part in zip("qkv", np.split(np.asarray(array), 3), strict=True):
                yield f"{name}[{letter}]", part.astype(np.float64).ravel()
        else:
            yield name, np.asarray(array, np.float64).ravel()


def true_zeros(gradient: Gradient) -> frozenset[str]:
    """Names of the parameters whose gradient is nothing but rounding.

    Such are the biases of the keys, which shift all scores of a query alike.  Gradients that
    are exactly zero, such as that of an unused parameter, are not noise.
    """
    parts = dict(split_attention(gradient))
    dtype = np.result_type(*gradient.values()).name if gradient else "float32"
    limit = _NOISE.get(dtype, _NOISE["float32"]) * _typical(parts)
    return frozenset(name for name, part in parts.items() if 0 < _rms(part) < limit)


def _typical(parts: Mapping[str, np.ndarray]) -> float:
    """Root mean square over the finite elements of all parameters."""
    return _rms(np.concatenate([part[np.isfinite(part)] for part in parts.values()]))


def _rms(vector: np.ndarray) -> float:
    return math.sqrt(float(vector @ vector) / max(1, vector.size))


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to: a block, a fusion, or the part's own name.

    `blocks_st.3.attn_s.qkv.weight` belongs to `blocks_st.3`, `joints_embed.weight`,
    `pos_embed` and `temp_embed` to `embedding`.
    """
    head, *rest = name.split(".")
    if head in ("joints_embed", "pos_embed", "temp_embed"):
        return "embedding"
    return f"{head}.{rest[0]}" if rest and rest[0].isdigit() else head


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / ||b|| in float64; 0 where they are equal, infinite where it has no value."""
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    distance, norm = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    if distance == 0:
        return 0.0
    return distance / norm if norm else math.inf


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two arrays; nan where one is zero or not finite."""
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if not norms or not math.isfinite(norms):
        return math.nan
    # Rounding can take it past 1.
    return max(-1.0, min(1.0, float(a @ b) / norms))


def by_layer(gradient: Gradient) -> dict[str, np.ndarray]:
    """All of a layer's gradients in one vector; layers from the input to the output."""
    members: dict[str, list[np.ndarray]] = {}
    # Sorted, as the frameworks list their parameters in different orders.
    for name in sorted(gradient):
        members.setdefault(layer_of(name), []).append(np.asarray(gradient[name]).ravel())
    return {
        layer: np.concatenate(members[layer]) for layer in sorted(members, key=depth_in_network)
    }


def depth_in_network(layer: str) -> tuple[int, int, str]:
    """Sorts layers from the input to the output."""
    head, _, level = layer.partition(".")
    if level.isdigit():
        return 1, int(level), head  # blocks_st, blocks_ts, ts_attn
    return {"embedding": 0, "norm": 2, "pre_logits": 3}.get(head, 4), 0, head
