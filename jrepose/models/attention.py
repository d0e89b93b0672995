"""Attention by the implementation that is fastest where it runs.

The layers call `multi_head_attention`.  On CPUs, and wherever nothing else can be, it is
`functional.attention`.  On an NVIDIA GPU the table `attention.json` beside this file says which
implementation is fastest for a device, a dtype and a size; `benchmarks/gpu.py
--write-attention-table` measures and writes it.  What it chooses is decided as a function is
traced; a program for several platforms has another one on CUDA only.

All give the same but for rounding: softmax is in float32 everywhere.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float

from jrepose.errors import InputError, MissingExtra
from jrepose.files import atomic_path
from jrepose.models import functional

AUTO = "auto"
"""The override that leaves the choice to the table."""

TABLE = pathlib.Path(__file__).with_suffix(".json")
"""Rows of device, dtype, tokens and head size, and the implementations, fastest first."""

_LARGEST_GRID = 65535  # blocks of a CUDA grid's second and third axis

_USUAL = jax.ShapeDtypeStruct((1, 8, 243, 32), jnp.bfloat16)

_override = AUTO


def multi_head_attention(
    q: Float[Array, "rows heads tokens head_dim"],
    k: Float[Array, "rows heads tokens head_dim"],
    v: Float[Array, "rows heads tokens head_dim"],
    scale: float,
) -> Float[Array, "rows heads tokens head_dim"]:
    """`softmax(scale q k^T) v`, as `functional.attention`."""
    device = None if functional.is_for_any_platform() else cuda_device()
    name = chosen(device, q)
    if name in _ANYWHERE:
        return IMPLEMENTATIONS[name](q, k, v, scale)
    return jax.lax.platform_dependent(
        q,
        k,
        v,
        cuda=lambda *qkv: IMPLEMENTATIONS[name](*qkv, scale),
        default=lambda *qkv: functional.attention(*qkv, scale),
    )


def chosen(device: str | None, q: Array | jax.ShapeDtypeStruct) -> str:
    """The implementation's name for queries `[rows, heads, tokens, head_dim]`.

    Args:
        device: kind of NVIDIA GPU, as JAX calls it; None: there is none.
        q: queries; keys and values are of the same shape and dtype.
    """
    if _override != AUTO:
        return _override if can_run(_override, device, q) else PLAIN
    if device is None or any(map(jax.export.is_symbolic_dim, q.shape)):
        return PLAIN
    *_, tokens, head_dim = q.shape
    fastest = _fastest(device, jnp.dtype(q.dtype).name, tokens, head_dim)
    return next((name for name in fastest if can_run(name, device, q)), PLAIN)


def can_run(name: str, device: str | None, q: Array | jax.ShapeDtypeStruct) -> bool:
    """Whether an implementation takes such queries on such a device; arguments of `chosen`."""
    if name in _ANYWHERE:
        return True
    if device is None or any(map(jax.export.is_symbolic_dim, q.shape)):
        return False
    return q.shape[0] <= _LARGEST_GRID and _takes(name, device, q.shape, jnp.dtype(q.dtype))


@functools.cache
def _takes(name: str, device: str, shape: tuple[int, ...], dtype: jnp.dtype) -> bool:
    """Whether an implementation is there and does not refuse such queries."""
    del device  # the one that programs are for

    def loss(q):
        return jnp.sum(IMPLEMENTATIONS[name](q, q, q, 1.0).astype(jnp.float32))

    try:
        jax.eval_shape(jax.grad(loss), jax.ShapeDtypeStruct(shape, dtype))
    # Each says in its way that a dtype, a size, a device or cuDNN's version is none of its own.
    except (ImportError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True


def cuda_device() -> str | None:
    """Kind of the NVIDIA GPU that programs are for; None: they are for something else."""
    if jax.default_backend() != "gpu":
        return None
    device = jax.devices()[0]
    return device.device_kind if "cuda" in device.client.platform_version.lower() else None


def override(name: str) -> None:
    """Takes one implementation for all that is traced from now on, where it can run.

    Call it after `parallel.initialise_distributed`.

    Args:
        name: a key of `IMPLEMENTATIONS`, or `AUTO`.

    Raises:
        InputError: no such implementation, or none that this machine can run.
    """
    global _override
    if name not in CHOICES:
        raise InputError(f"attention is {name!r}, expected one of {', '.join(CHOICES)}")
    device = cuda_device()
    if name not in (AUTO, *_ANYWHERE) and device is None:
        raise InputError(
            f"attention is {name!r}, which needs an NVIDIA GPU; JAX has found "
            f"{jax.default_backend()}"
        )
    if name == "triton" and importlib.util.find_spec("tokamax") is None:
        raise MissingExtra("tokamax", "attention 'triton'", "triton")
    if name != AUTO and not can_run(name, device, _USUAL):
        raise InputError(f"attention is {name!r}, which JAX refuses on this {device}: no cuDNN?")
    _override = name


@contextmanager
def only(name: str) -> Iterator[None]:
    """What is traced within has this implementation; arguments and errors of `override`."""
    before = _override
    override(name)
    try:
        yield
    finally:
        override(before)


def _by_tokens(function, q, k, v, **options):
    """Calls what wants `[rows, tokens, heads, head_dim]`."""
    return function(*(x.swapaxes(1, 2) for x in (q, k, v)), **options).swapaxes(1, 2)


def _xla(q, k, v, scale):
    return _by_tokens(jax.nn.dot_product_attention, q, k, v, scale=scale, implementation="xla")


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def fused(
    q: Float[Array, "rows heads tokens head_dim"],
    k: Float[Array, "rows heads tokens head_dim"],
    v: Float[Array, "rows heads tokens head_dim"],
    scale: float,
    implementation: str = "cudnn",
) -> Float[Array, "rows heads tokens head_dim"]:
    """`jax.nn.dot_product_attention` with a gradient for any number of tokens.

    JAX refuses cuDNN's backward pass for an odd number; with a gradient a token is added then,
    which nobody attends to.

    Args:
        q, k, v: queries, keys and values.
        scale: factor of the scores.
        implementation: JAX's name of it.
    """
    return _by_tokens(
        jax.nn.dot_product_attention, q, k, v, scale=scale, implementation=implementation
    )


def _fused_forward(q, k, v, scale, implementation):
    rows, _, tokens, _ = q.shape
    odd = tokens % 2
    lengths = jnp.full(rows, tokens, jnp.int32) if odd else None

    def of_even_tokens(*qkv):
        out = _by_tokens(
            jax.nn.dot_product_attention,
            *(jnp.pad(x, ((0, 0), (0, 0), (0, odd), (0, 0))) for x in qkv),
            scale=scale,
            query_seq_lengths=lengths,
            key_value_seq_lengths=lengths,
            implementation=implementation,
        )
        return out[:, :, :tokens]

    return jax.vjp(of_even_tokens, q, k, v)


def _fused_backward(scale, implementation, backward, g):
    del scale, implementation
    return backward(g)


fused.defvjp(_fused_forward, _fused_backward)


def _triton(q, k, v, scale):
    import tokamax

    return _by_tokens(tokamax.dot_product_attention, q, k, v, scale=scale, implementation="triton")


PLAIN = "plain"
"""`functional.attention`."""

IMPLEMENTATIONS: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {PLAIN: functional.attention, "xla": _xla, "cudnn": fused, "triton": _triton}
)
"""Name -> function of q, k, v and scale: ours; `jax.nn.dot_product_attention` as XLA compiles it
and as cuDNN's fused kernel; tokamax's Triton kernel."""

CHOICES = (AUTO, *IMPLEMENTATIONS)
"""What `override` takes."""

_ANYWHERE = (PLAIN, "xla")

# It keeps every head's weights for the backward pass, the others compute them again: taken
# where it is clearly faster only.
_KEEPS_WEIGHTS, _CLEARLY = "xla", 1.1


def _fastest(device: str, dtype: str, tokens: int, head_dim: int) -> Sequence[str]:
    """Of the rows for the device, or of those for all, the one of the nearest size."""
    rows = [row for row in _rows() if row["dtype"] == dtype]
    rows = [row for row in rows if row["device"] == device] or [
        row for row in rows if row["device"] is None
    ]

    def distance(row: Mapping[str, Any]) -> float:
        return abs(math.log(tokens / row["tokens"])) + abs(math.log(head_dim / row["head_dim"]))

    return min(rows, key=distance)["fastest"] if rows else ()


@functools.cache
def _rows() -> list[dict[str, Any]]:
    return json.loads(TABLE.read_text(encoding="utf-8"))["rows"]


def write_rows(device: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces a device's rows of the table.

    Args:
        device: kind of GPU, as JAX calls it.
        rows: `dtype`, `tokens`, `head_dim`, and `ms`: implementation -> milliseconds of a forward
            and a backward pass.  `xla` counts as a tenth slower, as it keeps the weights.
    """
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    kept = [row for row in table["rows"] if row["device"] != device]
    measured = [{"device": device, **row, "fastest": _preferred(row["ms"])} for row in rows]
    lines = ",\n".join("  " + json.dumps(row) for row in kept + measured)
    about = json.dumps(table["about"])
    text = f'{{\n "about": {about},\n "rows": [\n{lines}\n ]\n}}\n'
    with atomic_path(TABLE) as path:
        path.write_text(text, encoding="utf-8")
    _rows.cache_clear()


def _preferred(ms: Mapping[str, float]) -> list[str]:
    return sorted(ms, key=lambda name: ms[name] * (_CLEARLY if name == _KEEPS_WEIGHTS else 1))
