"""The ranking losses against all pairs written out in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from jrepose.errors import InputError
from jrepose.losses import spatial_ranking, temporal_ranking

value_and_grads = {
    loss: jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    for loss in (spatial_ranking, temporal_ranking)
}
both = pytest.mark.parametrize("loss", [spatial_ranking, temporal_ranking])


def all_pairs(loss, predicted, target, margin=0.0):
    """Mean over ordered pairs and its derivative by depth, [batch, frames, joints]."""
    depths, true_depths = (poses[..., 2].astype(np.float64) for poses in (predicted, target))
    if loss is temporal_ranking:
        depths, true_depths = depths.swapaxes(1, 2), true_depths.swapaxes(1, 2)
    difference = depths[..., :, None] - depths[..., None, :]
    gap = true_depths[..., None, :] - true_depths[..., :, None]
    ordered = gap > 0
    difference = difference + np.minimum(margin, gap)
    # Half a step at equal predictions.
    slope = ordered * (1 + np.sign(difference)) / 2 / difference.size
    value = np.sum(ordered * np.maximum(difference, 0)) / difference.size
    gradient = slope.sum(-1) - slope.sum(-2)
    return value, gradient.swapaxes(1, 2) if loss is temporal_ranking else gradient


def assert_equals_all_pairs(loss, predicted, target):
    value, grads = value_and_grads[loss](predicted, target)
    gradient, target_gradient = map(np.asarray, grads)
    expected, expected_gradient = all_pairs(loss, predicted, target)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    np.testing.assert_allclose(gradient[..., 2], expected_gradient, rtol=1e-6, atol=1e-12)
    assert not np.any(gradient[..., :2]), "x and y must not matter"
    assert not np.any(target_gradient)


@both
def test_a_margin_asks_for_a_distance(loss):
    predicted, target = random_poses((3, 6, 5))
    with_margin = jax.jit(jax.value_and_grad(functools.partial(loss, margin=0.7)))
    value, gradient = with_margin(predicted, target)
    expected, expected_gradient = all_pairs(loss, predicted, target, 0.7)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    np.testing.assert_allclose(gradient[..., 2], expected_gradient, rtol=1e-6, atol=1e-12)
    # Equal depths no longer satisfy it, true ones do however near they are.
    assert with_margin(np.zeros_like(target), target)[0] > 0.1
    assert with_margin(target, target)[0] == 0


def random_poses(shape, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(2, *shape, 3)).astype(np.float32)


tied_poses = st_numpy.arrays(
    np.float32, (2, 5, 4, 3), elements=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 3.0])
)


@both
@settings(max_examples=60, deadline=None)
@given(predicted=tied_poses, target=tied_poses)
def test_any_mixture_of_ties(loss, predicted, target):
    assert_equals_all_pairs(loss, predicted, target)


# Around the sizes at which the walk over the rows changes its shape.
@pytest.mark.parametrize("ranked", [1, 2, 3, 7, 32, 33, 47])
@both
def test_every_length_of_list(loss, ranked):
    shape = (2, ranked, 3) if loss is temporal_ranking else (2, 3, ranked)
    assert_equals_all_pairs(loss, *random_poses(shape, seed=ranked))


@both
def test_published_clip_length(loss):
    assert_equals_all_pairs(loss, *random_poses((2, 243, 17)))


@both
def test_small_errors_on_a_far_body_keep_their_digits(loss):
    # Distinct depths a quantum apart around 1000: the sum must not be taken of large numbers.
    _, target = random_poses((1, 100, 17), seed=3)
    target = 1000 + np.round(target * 1024) / 1024
    _, noise = random_poses((1, 100, 17), seed=4)
    predicted = target + np.round(noise * 8) / 1024
    assert_equals_all_pairs(loss, predicted.astype(np.float32), target.astype(np.float32))


@both
def test_equal_predictions_pass_half_the_gradient(loss):
    _, target = random_poses((1, 4, 3))
    value, (gradient, _) = value_and_grads[loss](np.zeros_like(target), target)
    assert value == 0
    ranks = target[..., 2].argsort(axis=1 if loss is temporal_ranking else 2)
    nearest = np.take_along_axis(
        np.asarray(gradient[..., 2]), ranks, 1 if loss is temporal_ranking else 2
    )
    nearest = nearest[:, 0] if loss is temporal_ranking else nearest[:, :, 0]
    ranked, pairs = (4, 4 * 4 * 3) if loss is temporal_ranking else (3, 3 * 3 * 4)
    np.testing.assert_allclose(nearest, 0.5 * (ranked - 1) / pairs, rtol=1e-6)


@both
def test_perfect_prediction(loss):
    _, target = random_poses((2, 6, 5))
    value, (gradient, _) = value_and_grads[loss](target, target)
    assert value == 0 and not np.any(gradient)


def test_what_leaves_them_unchanged():
    predicted, target = random_poses((2, 6, 5))
    per_frame = random_poses((2, 6, 1), seed=1)[0]
    per_clip = per_frame[:, :1]

    def moves(loss, change):
        value, moved = (
            value_and_grads[loss](p, target)[0] for p in (predicted, predicted + change)
        )
        return not np.isclose(moved, value)

    assert not moves(spatial_ranking, per_frame)
    assert not moves(temporal_ranking, per_clip)
    assert moves(temporal_ranking, per_frame)


def test_sum_is_the_mean_times_the_number_of_ordered_pairs():
    predicted, target = random_poses((2, 6, 5))
    for loss, pairs in ((spatial_ranking, 2 * 6 * 5**2), (temporal_ranking, 2 * 5 * 6**2)):
        mean, _ = value_and_grads[loss](predicted, target)
        total = jax.jit(functools.partial(loss, reduction="sum"))(predicted, target)
        np.testing.assert_allclose(total, pairs * mean, rtol=1e-6)


@both
def test_bfloat16_predictions_are_summed_in_float32(loss):
    predicted, target = random_poses((2, 60, 17))
    rounded = predicted.astype(jnp.bfloat16)
    value, (gradient, _) = value_and_grads[loss](rounded, target)
    expected, expected_gradient = all_pairs(loss, np.asarray(rounded, np.float32), target)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    by_depth = np.asarray(gradient)[..., 2].astype(np.float32)
    np.testing.assert_allclose(by_depth, expected_gradient, rtol=2**-8)


@both
def test_forward_mode_and_batching(loss):
    predicted, target = random_poses((2, 6, 5))
    direction = random_poses((2, 6, 5), seed=9)[0]

    @jax.jit
    def both_ways(predicted, target):
        forward = jax.jvp(lambda p: loss(p, target), (predicted,), (direction,))
        return forward, jax.vmap(lambda p, t: loss(p[None], t[None]))(predicted, target)

    (value, slope), by_clip = both_ways(predicted, target)
    expected, (gradient, _) = value_and_grads[loss](predicted, target)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, np.sum(gradient * direction), rtol=1e-5)
    np.testing.assert_allclose(np.mean(by_clip), expected, rtol=1e-6)


def test_unknown_reduction():
    predicted, target = random_poses((1, 2, 3))
    with pytest.raises(InputError, match="'max'.*expected mean or sum"):
        spatial_ranking(predicted, target, reduction="max")


def temporary_bytes(function, frames, joints=17):
    poses = jax.ShapeDtypeStruct((1, frames, joints, 3), jnp.float32)
    compiled = jax.jit(function).lower(poses, poses).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None, "this backend does not report its memory"
    return compiled, analysis.temp_size_in_bytes


@pytest.fixture(scope="module")
def long_clip():
    """Poses, others, and the sum of both losses by all pairs."""
    predicted, target = random_poses((1, 4096, 17))
    return (
        predicted,
        target,
        sum(all_pairs_value(loss, predicted, target) for loss in value_and_grads),
    )


@pytest.mark.parametrize("mode", ["value", "gradient"])
def test_compiled_memory_grows_with_the_frames_not_their_square(mode, long_clip):
    def losses(predicted, target):
        return spatial_ranking(predicted, target) + temporal_ranking(predicted, target)

    function = losses if mode == "value" else jax.value_and_grad(losses)
    _, short = temporary_bytes(function, 1024)
    compiled, long = temporary_bytes(function, 4096)
    depths = 4 * 4096 * 17
    assert long < 24 * depths, f"{long} bytes, {long / depths:.0f} times the depths"
    assert long < 1.1 * 4 * short
    # One pair of frames of one joint in this many bytes would already be too many.
    assert long < 4096**2 / 2

    predicted, target, expected = long_clip
    result = compiled(jnp.asarray(predicted), jnp.asarray(target))
    value = result if mode == "value" else result[0]
    np.testing.assert_allclose(value, expected, rtol=2e-6)


def all_pairs_value(loss, predicted, target):
    """As `all_pairs`, for lists too long to hold all joints' pairs at once."""
    if loss is spatial_ranking:
        return all_pairs(loss, predicted, target)[0]
    joints = range(predicted.shape[2])
    single = [slice(joint, joint + 1) for joint in joints]
    values = []
    for joint in single:
        depths = predicted[0, :, joint, 2].astype(np.float64)
        ordered = target[0, :, joint, 2] < target[0, :, joint, 2].T
        values.append(np.mean(np.maximum(depths - depths.T, 0) * ordered))
    return np.mean(values)
