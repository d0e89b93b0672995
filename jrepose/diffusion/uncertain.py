"""Uncertain poses: where the joints may be, by a detector's heatmaps and a lifter's depths.

DiffPose (J. Gong et al., CVPR 2023) begins its way back at them.  It takes x and y of every joint
from the detector's heatmaps and z from a histogram; the joints are drawn independently.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jrepose.models.functional import in_rank_of


class Planes(NamedTuple):
    """Normal distributions of the joints in x and y.

    Attributes:
        mean: of every joint.
        factor: times standard normal noise it is the deviation from the mean.
    """

    mean: Float[Array, "*batch joints 2"]
    factor: Float[Array, "*batch joints 2 2"]

    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, "count joints 2"]:
        """Points of one pose."""
        noise = jax.random.normal(key, (count, *self.mean.shape))
        return self.mean[None] + jnp.einsum("jab,njb->nja", self.factor, noise)


class Heatmaps(NamedTuple):
    """Where a detector says that the joints may be: the cells of its heatmaps.

    Attributes:
        values: of the cells; negative ones count as 0.
        box: x, y of the first and of the last corner of the image's part that they cover, in the
            unit of x and y.
    """

    values: Float[Array, "*batch joints rows columns"]
    box: Float[Array, "*batch 4"]

    @property
    def mean(self) -> Float[Array, "*batch joints 2"]:
        """Of every joint; of heatmaps without any value the box's middle."""
        *batch, rows, columns = self.values.shape
        shares = _shares(self.values.reshape(*batch, rows * columns))
        shares = shares.reshape(*batch, rows, columns)
        across = shares.sum(-2) @ (jnp.arange(columns) + 0.5) / columns
        down = shares.sum(-1) @ (jnp.arange(rows) + 0.5) / rows
        return self._placed(jnp.stack([across, down], -1))

    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, "count joints 2"]:
        """Points of one pose, anywhere in their cell."""
        joints, rows, columns = self.values.shape
        of_cells, of_places = jax.random.split(key)
        reached = jnp.cumsum(_shares(self.values.reshape(joints, rows * columns)), -1)
        uniform = jax.random.uniform(of_cells, (joints, count))
        cells = jax.vmap(jnp.searchsorted)(reached, uniform * reached[:, -1:])
        cells = jnp.minimum(cells, rows * columns - 1).T
        places = jnp.stack([cells % columns, cells // columns], -1)
        places = places + jax.random.uniform(of_places, places.shape)
        return self._placed(places / jnp.array([[[columns, rows]]]))

    def _placed(self, shares: Array) -> Array:
        """From shares of the box to its unit."""
        box = self.box.reshape(*self.box.shape[:-1], *[1] * (shares.ndim - self.box.ndim), 4)
        return box[..., :2] + shares * (box[..., 2:] - box[..., :2])


def _shares(values: Float[Array, "*batch cells"]) -> Float[Array, "*batch cells"]:
    """Of a sum of 1; all equal where there is nothing."""
    values = jnp.maximum(values, 0)
    total = values.sum(-1, keepdims=True)
    equal = 1 / values.shape[-1]
    return jnp.where(total > 0, values / jnp.where(total > 0, total, 1), equal)


def around_keypoints(
    keypoints: Float[Array, "*batch joints 2"],
    confidence: Float[Array, "*batch joints"],
    parents: tuple[int, ...],
    deviation: tuple[float, float],
    elongation: float,
) -> Planes:
    """Normal distributions around detected joints, where there are no heatmaps.

    What a detector's confidence says about its error is unknown; this is a guess.  Errors are
    larger along the bone that ends in the joint, and grow with the person in the image.

    Args:
        keypoints: x, y.
        confidence: 0 to 1.
        parents: the skeleton.
        deviation: at confidence 1 and at 0, as shares of the person's size: the root mean square
            distance of the joints that are detected from their middle.
        elongation: of the deviation, along the bone.
    """
    weight = confidence + 1e-6
    weight = (weight / weight.sum(-1, keepdims=True))[..., None]
    middle = jnp.sum(weight * keypoints, axis=-2, keepdims=True)
    size = jnp.sqrt(jnp.sum(weight * jnp.square(keypoints - middle), axis=(-2, -1)))
    sure, unsure = deviation
    deviations = size[..., None] * (unsure + (sure - unsure) * confidence)
    along = keypoints - keypoints[..., jnp.array([max(parent, 0) for parent in parents]), :]
    length = jnp.sqrt(jnp.sum(jnp.square(along), -1, keepdims=True))
    along = jnp.where(length > 0, along / jnp.where(length > 0, length, 1), 0)
    outer = along[..., :, None] * along[..., None, :]
    shape = jnp.eye(2).reshape(*[1] * (outer.ndim - 2), 2, 2) + (elongation - 1) * outer
    return Planes(keypoints, deviations[..., None, None] * shape)


def likeness(
    poses: Float[Array, "*batch joints 3"],
    points: Float[Array, "*batch joints 2"],
    weights: Float[Array, "*batch joints"],
) -> tuple[Float[Array, "*batch 1 1"], Float[Array, "*batch 1 2"]]:
    """Scale and shift by which x, y of poses are likest points of an image.

    Least squares; no smaller than a quarter of what makes both equally large, so that a pose that
    does not resemble the points at all keeps a size.  1 where the points are one.
    """
    weights = (weights + 1e-6)[..., None]
    weights = weights / weights.sum(-2, keepdims=True)

    def centred(values):
        middle = jnp.sum(weights * values, -2, keepdims=True)
        return values - middle, middle

    (flat, flat_middle), (seen, seen_middle) = centred(poses[..., :2]), centred(points)

    def total(values):
        return jnp.sum(weights * values, axis=(-2, -1))[..., None, None]

    extent = total(jnp.square(flat))
    extent = jnp.where(extent > 0, extent, 1)
    equal = jnp.sqrt(total(jnp.square(seen)) / extent)
    scale = jnp.clip(total(flat * seen) / extent, 0.25 * equal, equal)
    scale = jnp.where(scale > 0, scale, 1)
    return scale, seen_middle - scale * flat_middle


def histogram(
    values: Float[Array, "*batch joints"], bins: int, limit: float
) -> Float[Array, "joints bins"]:
    """Shares of each joint's values between `-limit` and `limit`; the outer bins have the rest.

    Args:
        values: of any number of poses.
        bins: of equal width.
        limit: of the values.
    """
    joints = values.shape[-1]
    cells = jnp.floor((values + limit) * (bins / (2 * limit))).astype(jnp.int32)
    cells = jnp.clip(cells, 0, bins - 1).reshape(-1, joints)
    counts = jnp.zeros((joints, bins)).at[jnp.arange(joints)[None], cells].add(1.0)
    return counts / len(cells)


def sample(
    key: Key[Array, ""],
    planes: Planes | Heatmaps,
    depth: Float[Array, " joints"],
    shares: Float[Array, "joints bins"],
    limit: float,
    count: int,
) -> Float[Array, "count joints 3"]:
    """Poses that one uncertain pose may be.

    Args:
        key: of the drawing.
        planes: x, y of its joints.
        depth: z of its joints.
        shares: histogram of what is added to the depth, as from `histogram`.
        limit: of its values.
        count: how many.
    """
    of_planes, of_bins, of_places = jax.random.split(key, 3)
    points = planes.sample(of_planes, count)
    joints, bins = shares.shape
    reached = jnp.cumsum(shares, -1)
    uniform = jax.random.uniform(of_bins, (joints, count))
    chosen = jax.vmap(jnp.searchsorted)(reached, uniform * reached[:, -1:])
    places = jnp.minimum(chosen, bins - 1).T + jax.random.uniform(of_places, (count, joints))
    added = places * (2 * limit / bins) - limit
    return jnp.concatenate([points, (in_rank_of(depth, added) + added)[..., None]], -1)
