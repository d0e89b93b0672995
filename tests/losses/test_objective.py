"""The objective assembled from a configuration."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from jrepose import losses
from jrepose.errors import InputError
from jrepose.losses import LOSSES, create_objective
from jrepose.skeleton import COCO_17, HUMAN36M_17, HUMANEVA_15

REPOSE = {"mpjpe": 1, "spatial_ranking": 20, "temporal_ranking": 20}


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)
    predicted, target = random.normal(size=(2, 2, 9, 17, 3)).astype(np.float32)
    keypoints = random.uniform(size=(2, 9, 17, 3)).astype(np.float32)
    return predicted, target, keypoints


def test_repose(batch):
    predicted, target, _ = batch
    objective = create_objective(REPOSE, HUMAN36M_17)
    assert objective.init() == {}
    total, terms = jax.jit(objective)({}, *batch)
    parts = losses.mpjpe, losses.spatial_ranking, losses.temporal_ranking
    mpjpe, spatial, temporal = (jax.jit(loss)(predicted, target) for loss in parts)
    expected = mpjpe + 20 * spatial + 20 * temporal
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert list(terms) == list(REPOSE)
    assert total.dtype == jnp.float32 and all(t.dtype == jnp.float32 for t in terms.values())


def test_every_loss_has_a_name_and_a_finite_gradient(batch):
    predicted, target, keypoints = batch
    everything = ml_collections.ConfigDict(dict.fromkeys(LOSSES, 0.5))
    objective = create_objective(everything, HUMAN36M_17)
    compute = jax.jit(
        jax.value_and_grad(lambda p: objective({}, p, target, keypoints), has_aux=True)
    )
    (total, terms), gradient = compute(predicted)
    assert terms.keys() == LOSSES.keys() and all(value > 0 for value in terms.values())
    np.testing.assert_allclose(total, 0.5 * sum(terms.values()), rtol=1e-6)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.isfinite(compute(target)[1])), "at the perfect prediction"
    assert np.all(np.isfinite(compute(jnp.zeros_like(predicted))[1])), "at a collapsed body"


def test_joint_weights_are_the_skeletons(batch):
    predicted, target, keypoints = (array[:, :, :15] for array in batch)
    mixste = {"weighted_mpjpe": 1, "temporal_consistency": 0.5, "velocity": 2}
    weights = losses.joint_weights(HUMANEVA_15)
    compute = jax.jit(create_objective(mixste, HUMANEVA_15))
    total, terms = compute({}, predicted, target, keypoints)
    np.testing.assert_allclose(
        terms["weighted_mpjpe"],
        np.mean(weights * np.linalg.norm(predicted - target, axis=-1)),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        terms["temporal_consistency"],
        np.mean(weights[:, None] * np.diff(predicted, axis=1) ** 2),
        rtol=1e-5,
    )
    for name in ("weighted_mpjpe", "temporal_consistency"):
        with pytest.raises(InputError, match="no joint weights for skeleton coco_17; known"):
            create_objective({name: 1}, COCO_17)


def test_weight_zero_is_watched_but_not_minimised(batch):
    predicted, target, keypoints = batch

    def minimised(**weights):
        objective = create_objective(weights, HUMAN36M_17)
        total = lambda p: objective({}, p, target, keypoints)  # noqa: E731
        return jax.jit(jax.value_and_grad(total, has_aux=True))(predicted)

    (watched, terms), gradient = minimised(mpjpe=1, n_mpjpe=0)
    (alone, _), gradient_alone = minimised(mpjpe=1)
    assert terms["n_mpjpe"] > 0
    np.testing.assert_allclose(watched, alone, rtol=1e-6)
    np.testing.assert_allclose(gradient, gradient_alone, rtol=1e-5, atol=1e-9)


def test_reprojection_is_onto_the_keypoints(batch):
    predicted, target, keypoints = batch
    objective = jax.jit(create_objective({"reprojection_2d": 1}, HUMAN36M_17))
    expected = np.mean(
        np.linalg.norm((predicted - keypoints)[..., :2] * keypoints[..., 2:], axis=-1)
    )
    np.testing.assert_allclose(objective({}, *batch)[0], expected, rtol=1e-5)
    expected = np.mean(np.linalg.norm((predicted - keypoints)[..., :2], axis=-1))
    without_confidence = objective({}, predicted, target, keypoints[..., :2])[0]
    np.testing.assert_allclose(without_confidence, expected, rtol=1e-5)


def test_margin_reaches_the_ranking_losses(batch):
    weights = {"spatial_ranking": 1, "temporal_ranking": 2}
    total, _ = create_objective(weights, HUMAN36M_17, ranking_margin=0.5)({}, *batch)
    expected = losses.spatial_ranking(*batch[:2], margin=0.5)
    expected += 2 * losses.temporal_ranking(*batch[:2], margin=0.5)
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_sum_reduction_reaches_the_ranking_losses(batch):
    objective = create_objective({"spatial_ranking": 1}, HUMAN36M_17, ranking_reduction="sum")
    total, _ = jax.jit(objective)({}, *batch)
    summed = functools.partial(losses.spatial_ranking, reduction="sum")
    expected = jax.jit(summed)(batch[0], batch[1])
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_learned_weights_settle_at_one_over_the_loss(batch):
    objective = create_objective(REPOSE, HUMAN36M_17, learn_weights=["spatial_ranking"])
    params = objective.init()
    total, terms = jax.jit(objective)(params, *batch)
    np.testing.assert_allclose(terms["weight/spatial_ranking"], 20, rtol=1e-6)
    plain, _ = jax.jit(create_objective(REPOSE, HUMAN36M_17))({}, *batch)
    np.testing.assert_allclose(total, plain - np.log(20), rtol=1e-5)

    optimiser = optax.adam(0.1)
    state = jax.jit(optimiser.init)(params)

    @jax.jit
    def step(params, state):
        gradient, terms = jax.grad(lambda p: objective(p, *batch), has_aux=True)(params)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, updates), state, terms

    for _ in range(200):
        params, state, terms = step(params, state)
    np.testing.assert_allclose(
        terms["weight/spatial_ranking"], 1 / terms["spatial_ranking"], rtol=1e-3
    )


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ({"mpjpe": 1, "mpjp": 1}, {}, "unknown loss 'mpjp'; known: mpjpe, n_mpjpe"),
        ({"mpjpe": -1}, {}, "weight of mpjpe is -1; expected a finite number"),
        ({"mpjpe": float("nan")}, {}, "weight of mpjpe is nan"),
        ({"mpjpe": True}, {}, "weight of mpjpe is True"),
        ({"mpjpe": 0}, {}, "no loss has a weight above 0"),
        ({}, {}, "no loss has a weight above 0"),
        ({"mpjpe": 1}, {"learn_weights": ["velocity"]}, "'velocity', which has no weight"),
        ({"mpjpe": 1, "velocity": 0}, {"learn_weights": ["velocity"]}, "'velocity', which has"),
        ({"mpjpe": 1}, {"ranking_reduction": "max"}, "'max'; expected mean or sum"),
        ({"mpjpe": 1}, {"ranking_margin": -0.1}, "ranking_margin is -0.1"),
    ],
)
def test_mistakes_are_named_in_one_line(weights, options, message):
    with pytest.raises(InputError, match=message) as caught:
        create_objective(weights, HUMAN36M_17, **options)
    assert "\n" not in str(caught.value)


def test_a_loss_of_one_of_several_outputs(batch):
    predicted, target, keypoints = batch
    outputs = {"poses": predicted[:, 4:5] + 1, "sequence": predicted}
    weights = {"mpjpe": 1, "sequence/mpjpe": 2, "sequence/velocity": 0, "reprojection_2d": 3}
    objective = create_objective(weights, HUMAN36M_17)
    total, terms = jax.jit(objective)({}, outputs, target, keypoints)
    # One frame is compared with the one in the middle.
    mpjpe = jax.jit(losses.mpjpe)
    centre = mpjpe(predicted[:, 4:5] + 1, target[:, 4:5])
    whole = mpjpe(predicted, target)
    seen = jax.jit(losses.reprojection_2d)(
        predicted[:, 4:5, :, :2] + 1, keypoints[:, 4:5, :, :2], keypoints[:, 4:5, :, 2:]
    )
    np.testing.assert_allclose(total, centre + 2 * whole + 3 * seen, rtol=1e-5)
    assert terms.keys() == weights.keys()
    velocity = jax.jit(losses.velocity)(predicted, target)
    np.testing.assert_allclose(terms["sequence/velocity"], velocity, rtol=1e-6)
    with pytest.raises(InputError, match="no output 'sequence'; it has poses"):
        jax.eval_shape(objective, {}, predicted, target, keypoints)
    with pytest.raises(InputError, match="unknown loss 'sequence/speed'"):
        create_objective({"sequence/speed": 1}, HUMAN36M_17)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (((0, 0.5),), {0: 0.5, 9: 0.5}),
        (((2, 0), (4, 1)), {0: 0, 2: 0, 2.5: 0.25, 3: 0.5, 4: 1, 7: 1}),
        (((2, 0), (2, 1)), {0: 0, 1.99: 0, 2: 1, 5: 1}),
        (((1, 1), (2, 0.5), (2, 2), (4, 0)), {0: 1, 1.5: 0.75, 2: 2, 3: 1, 4: 0, 8: 0}),
    ],
    ids=["constant", "ramp", "step", "several"],
)
def test_weights_follow_the_epochs(batch, points, expected):
    objective = create_objective(
        {"mpjpe": 1, "velocity": 10}, HUMAN36M_17, schedules={"velocity": points, "mpjpe": ()}
    )
    compute = jax.jit(lambda epoch: objective({}, *batch, epoch))
    for epoch, factor in expected.items():
        total, terms = compute(float(epoch))
        np.testing.assert_allclose(terms["weight/velocity"], 10 * factor, atol=1e-6)
        plain = terms["mpjpe"] + 10 * factor * terms["velocity"]
        np.testing.assert_allclose(total, plain, rtol=1e-5)
        assert "weight/mpjpe" not in terms
    total, terms = jax.jit(objective)({}, *batch)
    np.testing.assert_allclose(total, terms["mpjpe"] + 10 * terms["velocity"], rtol=1e-5)


def test_schedules_that_cannot_be():
    for points, message in (
        (((5, 0), (3, 1)), "do not ascend"),
        (((5, -1),), "factors of at least 0"),
        (((5, 0, 1),), "expected pairs"),
        ((5, 0), "expected pairs"),
        (((0, 10**400),), "expected pairs"),
    ):
        with pytest.raises(InputError, match=message):
            create_objective({"mpjpe": 1}, HUMAN36M_17, schedules={"mpjpe": points})
    for name, learned in (("velocity", ()), ("mpjpe", ("mpjpe",))):
        with pytest.raises(InputError, match="no weight above 0 or a learned one"):
            create_objective(
                {"mpjpe": 1}, HUMAN36M_17, learn_weights=learned, schedules={name: ((0, 1),)}
            )
