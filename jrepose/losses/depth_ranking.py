"""RePOSE's depth ranking losses: predicted depths must be ordered like the true ones.

For a list of predicted depths z with true depths g the loss is taken over all ordered pairs,

    sum over i, j of  1[g_i < g_j] max(0, z_i - z_j),

over the joints of each frame (spatial) or over the frames of each joint (temporal).  Written
with broadcasting this needs several pairs-sized arrays, frames x frames for every joint of
every clip.  Here the second depth of the pair is walked in blocks of rows instead, and every
pair goes straight into two sums per depth: its loss and its derivative

    d/dz_i = sum over j of  1[g_i < g_j] step(z_i - z_j)  -  1[g_j < g_i] step(z_j - z_i),

with step(0) = 1/2.  The derivative is a count of pairs, so it is exact, it is all that the
backward pass needs, and nothing larger than the depths themselves is ever stored.

The published losses have no margin: depths that are all equal satisfy them.  With one, which is
ours, a pair counts until it is as far apart as the margin says, or as it truly is if that is less:

    sum over i, j of  1[g_i < g_j] max(0, z_i - z_j + min(margin, g_j - g_i)).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from jrepose.errors import InputError
from jrepose.losses.operands import matched_float32

# Rows per step of the walk.  They are written out one by one, which lets the compiler keep a
# whole block in registers: one pass over the depths instead of sixteen.
BLOCK_ROWS = 16


def spatial_ranking(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    reduction: str = "mean",
    margin: float = 0.0,
) -> Float[Array, ""]:
    """Depth order of the joints within each frame.

    Args:
        predicted, target: poses with depth in channel 2; x and y are not used.
        reduction: `"mean"` over all batch * frames * joints^2 ordered pairs, as in the released
            code, or `"sum"`.
        margin: in the poses' unit, at least 0; 0 is the published loss.

    Equal true depths order nothing and pass no gradient; predicted ties of ordered joints have
    loss 0 and half the gradient.  The loss has the poses' unit and float32 precision.

    RePOSE (ECCV 2024) equation 2 (the sum) and algorithm 1 (the mean).

    Raises:
        InputError: the shapes differ, or an unknown reduction.
    """
    predicted, target = matched_float32(predicted, target)
    batch, frames, joints, _ = predicted.shape

    def joints_first(poses):
        return poses[..., 2].reshape(batch * frames, joints).T

    return _reduce(joints_first(predicted), joints_first(target), reduction, margin)


def temporal_ranking(
    predicted: Float[ArrayLike, "batch frames joints 3"],
    target: Float[ArrayLike, "batch frames joints 3"],
    reduction: str = "mean",
    margin: float = 0.0,
) -> Float[Array, ""]:
    """Depth order of the frames of each joint; 0 for clips of one frame.

    Args:
        predicted, target: poses with depth in channel 2; x and y are not used.
        reduction: `"mean"` over all batch * joints * frames^2 ordered pairs, as in the released
            code, or `"sum"`.
        margin: as of `spatial_ranking`.

    Ties are treated as in `spatial_ranking`.  Subtracting a constant per clip from the depths
    changes nothing; subtracting each frame's root depth does.

    RePOSE (ECCV 2024) equation 3 (the sum) and algorithm 2 (the mean).

    Raises:
        InputError: the shapes differ, or an unknown reduction.
    """
    predicted, target = matched_float32(predicted, target)
    batch, frames, joints, _ = predicted.shape

    def frames_first(poses):
        return poses[..., 2].swapaxes(0, 1).reshape(frames, batch * joints)

    return _reduce(frames_first(predicted), frames_first(target), reduction, margin)


def _reduce(depths, true_depths, reduction, margin):
    total = _ranking_sum(depths, true_depths, margin)
    if reduction == "sum":
        return total
    if reduction == "mean":
        ranked, lists = depths.shape
        return total / float(lists * ranked**2)
    raise InputError(f"unknown reduction {reduction!r} of a ranking loss; expected mean or sum")


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _ranking_sum(
    depths: Float[Array, "ranked lists"], true_depths: Float[Array, "ranked lists"], margin: float
) -> Float[Array, ""]:
    """The loss summed over the pairs of every list; lists lie side by side in memory."""
    (losses,) = _walk_pairs(depths, true_depths, margin, (_pair_loss,))
    return jnp.sum(losses)


@_ranking_sum.defjvp
def _ranking_sum_jvp(margin, primals, tangents):
    losses, derivative = _walk_pairs(*primals, margin, (_pair_loss, _pair_derivative))
    # The true depths only enter comparisons and bound the margin, hence no derivative.
    return jnp.sum(losses), jnp.sum(derivative * tangents[0])


def _pair_loss(excess, nearer, farther):
    return jnp.where(nearer, jnp.maximum(excess, 0.0), 0.0)


def _pair_derivative(excess, nearer, farther):
    step = 0.5 * (excess > 0) + 0.5 * (excess >= 0)
    return jnp.where(nearer, step, 0.0) - jnp.where(farther, 1.0 - step, 0.0)


def _walk_pairs(depths, true_depths, margin, functions):
    """Sum every function over the pairs (i, j) of a list, for each i: [ranked, lists] each."""
    ranked = depths.shape[0]
    rows_per_block = max(1, min(BLOCK_ROWS, ranked // 2))
    odd_rows = ranked % rows_per_block

    def add_rows(sums, rows, true_rows):
        # Partial sums over the rows first: fewer roundings than adding pair by pair.
        partial_sums = [0.0] * len(functions)
        for row, true_row in zip(rows[:, None], true_rows[:, None], strict=True):
            excess = depths - row
            nearer, farther = true_depths < true_row, true_row < true_depths
            if margin:
                excess = excess + jnp.clip(true_row - true_depths, -margin, margin)
            for k, function in enumerate(functions):
                partial_sums[k] = partial_sums[k] + function(excess, nearer, farther)
        return [total + partial for total, partial in zip(sums, partial_sums, strict=True)]

    def add_block(carry, _):
        # Rotating the rows, rather than indexing them by the step, keeps every address in the
        # block static, so that the compiler can vectorise it.
        sums, rows, true_rows = carry
        sums = add_rows(sums, rows[:rows_per_block], true_rows[:rows_per_block])
        return (sums, *(jnp.roll(x, -rows_per_block, axis=0) for x in (rows, true_rows))), None

    sums = [jnp.zeros_like(depths)] * len(functions)
    sums = add_rows(sums, depths[:odd_rows], true_depths[:odd_rows])
    (sums, _, _), _ = lax.scan(
        add_block,
        (sums, depths[odd_rows:], true_depths[odd_rows:]),
        length=ranked // rows_per_block,
    )
    return sums
