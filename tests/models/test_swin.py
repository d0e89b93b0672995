"""Swin's and the relational detector's modules by what they promise; their numbers are in
tests/interop/test_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import compute, draw_variables

from jrepose.errors import InputError
from jrepose.models.layers import ATTENTION
from jrepose.models.relational import KeypointHead, PruningBlock, RelationalEncoder
from jrepose.models.swin import Swin, SwinBlock, kept_patches, relative_positions, shift_mask


def count(module, *shape):
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_published_sizes():
    # Swin-T has eight blocks more, which are counted by hand: tracing them takes long.
    blocks = {96: (3, 1), 192: (6, 1), 384: (12, 5), 768: (24, 1)}
    others = sum(n * (12 * c * c + 13 * c + 169 * h) for c, (h, n) in blocks.items())
    assert count(Swin(depths=(1, 1, 1, 1)), 1, 224, 224, 3) + others == 27_519_354
    encoder = RelationalEncoder(tokens=128)
    # Without the weighted mean that the release keeps and does not use.
    assert count(encoder, 1, 8, 768) + count(KeypointHead(), 1, 768) == 19_035_811 - 129


def test_patches_of_other_windows_do_not_see_each_other_before_they_are_moved():
    model = Swin(embed_dim=4, depths=(1,), num_heads=(2,), window_size=2)
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    variables = draw_variables(model, images)
    changed = images.copy()
    changed[:, :8, :8] += 1
    apply = jax.jit(model.apply)
    moved = np.abs(apply(variables, changed) - apply(variables, images)).max(-1)[0]
    assert (moved[:2, :2] > 0).all() and not moved[2:].any() and not moved[:, 2:].any()


def test_where_a_shifted_map_is_cut():
    places = relative_positions(2)
    np.testing.assert_array_equal(places[0], [4, 3, 1, 0])
    np.testing.assert_array_equal(places.diagonal(), 4)
    mask = shift_mask(4, 4, 2, 1)
    assert not mask[0].any()  # the first window is whole
    np.testing.assert_array_equal(mask[1][0], [0, -100, 0, -100])
    np.testing.assert_array_equal(mask[3] == 0, np.eye(4, dtype=bool))


def test_patches_that_are_looked_at_most():
    received = jnp.asarray([[0.3, 0, 0.5, 0.3, 0.1]], jnp.float32)
    kept, ranks = kept_patches(received, 0.6)
    assert ranks.tolist() == [[1, 4, 0, 2, 3]] and kept.tolist() == [[1, 0, 1, 1, 0]]
    assert kept_patches(received, 0.41)[0].sum() == 3  # rounded up
    assert kept_patches(received, 1.0)[0].all()
    # A seventh of 49 is a rounding above 7 in float32; a schedule gives a traced share.
    kept = jax.jit(kept_patches)(jnp.zeros((1, 49)), 1 / 7)[0]
    assert kept.tolist() == [[1] * 7 + [0] * 42]


def test_what_a_patch_receives_is_where_the_patch_is():
    """Of a shifted block, where patches come back to their places."""
    block = SwinBlock(num_heads=1, window_size=2, shift_size=1)
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    variables = draw_variables(block, x)
    (_, received), kept = compute(block, variables, x, mutable=ATTENTION)
    (weights,) = kept[ATTENTION]["attn"]["weights"]
    # The first window has the patches of rows and columns 1 and 2.
    np.testing.assert_allclose(received[0, 1:3, 1:3].ravel(), weights[0, 0].mean(0), atol=1e-6)


def test_a_pruned_block_keeps_the_class_token():
    block = PruningBlock(num_heads=2, keep_rate=0.5, fuse=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    variables = draw_variables(block, x)
    kept, index = compute(block, variables, x)
    assert kept.shape == (2, 1 + 3 + 1, 4) and index.shape == (2, 3)
    whole, order = compute(PruningBlock(num_heads=2, keep_rate=1.0), variables, x)
    np.testing.assert_array_equal(order[:, :3], index)
    np.testing.assert_allclose(whole[:, :4], kept[:, :4], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (2, 2)}, "expected a number of each for every stage"),
        ({"num_heads": (5, 6, 12, 24)}, "stage 0 has 96 channels.*num_heads 5"),
    ],
)
def test_stages_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        Swin(**changes)
    with pytest.raises(InputError, match="200 x 224 pixels, expected multiples of 32"):
        jax.eval_shape(Swin().init, jax.random.key(0), jnp.zeros((1, 200, 224, 3)))
