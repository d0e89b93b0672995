"""The multi-view detector by what it promises; its parts' numbers: tests/interop/test_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import compute, draw_variables

from jrepose import models
from jrepose.errors import InputError
from jrepose.models.layers import ATTENTION
from jrepose.models.multiview import mean_of_kept, normalised
from jrepose.models.relational import FrameRelations, KeypointHead

TINY = {"num_joints": 2, "img_size": 16, "window_size": 2, "embed_dim": 4, "depths": (1, 1),
        "num_heads": (1, 2), "relation_heads": 2, "frames": 4, "views": 3, "time_depth": 1,
        "view_depth": 1}  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(0).normal(size=(1, 4, 3, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def detector(clip):
    """The network, its variables, and one compiled function of images and the views seen."""
    model = models.create("multiview", **TINY)
    variables = draw_variables(model, clip)
    apply = jax.jit(lambda images, seen, keep: model.apply(variables, images, seen, keep=keep))
    return model, variables, apply


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("multiview", 65_467_804), ("multiview_vit", 65_467_804 + 8 * (4 * 768**2 + 2 * 768))],
)
def test_sizes(name, parameters):
    model = models.create(name)
    relations = FrameRelations(
        num_heads=model.relation_heads,
        mlp_ratio=model.relation_mlp_ratio,
        time_depth=model.time_depth,
        view_depth=model.view_depth,
    )
    tokens = jnp.zeros((1, 1, model.views, 768))
    shapes = jax.eval_shape(relations.init, jax.random.key(0), tokens)
    swin = 27_519_354  # tests/models/test_swin.py
    assert swin + sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


def test_two_views_are_enough_for_a_view_encoder_and_joints_start_where_they_are_told():
    tokens = jnp.zeros((1, 1, 2, 8))
    sizes = {"num_joints": 2, "frames": 2, "time_depth": 0, "view_depth": 1, "num_heads": 2}
    for views, encoders in ((1, set()), (2, {"view"})):
        model = FrameRelations(**sizes, views=views)
        drawn = jax.eval_shape(model.init, jax.random.key(0), tokens[:, :, :views])["params"]
        assert drawn.keys() - {"head"} == encoders
    head = KeypointHead(2, start_px=100.0).init(jax.random.key(0), tokens[0, 0])["params"]
    np.testing.assert_allclose(head["head_1"]["bias"], 100, atol=1)


def test_nobody_looks_at_a_camera_that_is_absent(detector, clip):
    _, _, apply = detector
    seen = np.ones((1, 4, 3), bool)
    seen[0, :, 2] = seen[0, 1, 1] = False
    changed = clip.copy()
    changed[~seen] += 1
    moved = np.abs(apply(changed, seen, 0.7) - apply(clip, seen, 0.7)).max((-1, -2))
    assert not moved[seen].any()
    # But at those that are there, of other moments and other views.
    changed = clip.copy()
    changed[0, 0, 0] += 1
    moved = np.abs(apply(changed, seen, 0.7) - apply(clip, seen, 0.7)).max((-1, -2))
    assert (moved[seen] > 0).all()


def test_a_schedule_may_keep_more_patches(detector, clip):
    model, variables, apply = detector
    seen = np.ones((1, 4, 3), bool)
    keypoints, kept = compute(model, variables, clip, mutable=ATTENTION)
    np.testing.assert_allclose(keypoints, apply(clip, seen, 0.7), atol=1e-5)
    (received,), (chosen,) = (kept[ATTENTION][name] for name in ("received", "kept"))
    assert received.shape == chosen.shape == (12, 2, 2) and (chosen.sum((1, 2)) == 3).all()
    assert np.abs(apply(clip, seen, 1.0) - keypoints).max() > 1e-3


def test_the_released_network_knows_no_order_of_frames_and_no_other_views(clip):
    model = models.create("multiview_released", **{**TINY, "view_depth": 0, "frames": 2})
    variables = draw_variables(model, clip)
    apply = jax.jit(model.apply)
    order, keypoints = [2, 0, 3, 1], apply(variables, clip)
    np.testing.assert_allclose(apply(variables, clip[:, order]), keypoints[:, order], atol=1e-5)
    np.testing.assert_allclose(apply(variables, clip[:, :, ::-1]), keypoints[:, :, ::-1], atol=1e-5)


def test_blocks_are_computed_again_in_bfloat16(clip):
    model = models.create("multiview", **TINY, remat=True, dtype="bfloat16")
    variables = jax.eval_shape(model.init, jax.random.key(0), clip)

    def loss(variables):
        rngs = {"dropout": jax.random.key(0)}
        return jnp.sum(model.apply(variables, clip, None, True, rngs=rngs))

    program = str(jax.make_jaxpr(jax.grad(loss))(variables))
    assert program.count("remat2[") + program.count("checkpoint[") >= 4  # two encoders, two stages
    assert "bf16" in program
    out = jax.eval_shape(model.apply, variables, clip)
    assert (out.shape, out.dtype) == ((1, 4, 3, 2, 2), jnp.float32)


def test_one_token_of_the_kept_patches():
    tokens = jnp.arange(6.0).reshape(1, 3, 2)
    kept, received = jnp.array([[True, False, True]]), jnp.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(mean_of_kept(tokens, kept), [[2, 3]])
    fused = (tokens[0, 0] + tokens[0, 2] + 0.5 * tokens[0, 1]) / 3
    np.testing.assert_allclose(mean_of_kept(tokens, kept, received), [fused])
    everything = jnp.ones((1, 3), bool)
    np.testing.assert_allclose(mean_of_kept(tokens, everything, received), [[2, 3]])


def test_colours():
    grey = normalised(np.full((1, 1, 1, 3), 255, np.uint8))[0, 0, 0]
    np.testing.assert_allclose(grey, [2.2489, 2.4286, 2.64], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"keep": 0.0}, None, "keep is 0.0, expected above 0"),
        ({"relation_heads": 3}, None, "8 channels of Swin's last stage.*relation_heads 3"),
        ({}, (1, 4, 4, 16, 16, 3), "4 views, the model takes at most 3"),
        ({}, (1, 5, 3, 16, 16, 3), "clip of 5 frames, the model takes at most 4"),
        ({}, (1, 4, 3, 32, 32, 3), "32 x 32 pixels, the model takes 16 x 16"),
    ],
)
def test_what_cannot_be(changes, shape, message):
    with pytest.raises(InputError, match=message):
        model = models.create("multiview", **{**TINY, **changes})
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
