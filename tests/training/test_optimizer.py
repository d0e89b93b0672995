"""Optimisers with the semantics of `torch.optim`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from jrepose.errors import InputError
from jrepose.training.optimizer import (
    adam,
    adamw,
    create_optimizer,
    leave_out,
    matching_paths,
    merge,
    muon,
    rmsprop,
)

# What torch 2.13 computes: AdamW(lr=0.05, weight_decay=0.1), rate halved after steps 2 and 4.
TORCH_START = [1.0, -2.0, 0.5, 3.0]
TORCH_GRADIENTS = [
    [0.1, -1.0, 0.0, 2.0],
    [0.2, 1.0, 1e-9, -2.0],
    [-0.3, 0.5, 0.0, 1e3],
    [0.0, 0.0, 0.0, 0.0],
    [1.0, -1.0, 5.0, 0.3],
    [0.1, 0.1, 0.1, 0.1],
]
TORCH_PARAMETERS = [
    [0.94499999, -1.9400001, 0.4975, 2.9350002],
    [0.89201593, -1.9329317, 0.49255475, 2.9229569],
    [0.89145088, -1.9343853, 0.49053845, 2.8996823],
    [0.89058614, -1.9346983, 0.48875132, 2.8793535],
    [0.88328749, -1.930303, 0.48132175, 2.8702247],
    [0.87626666, -1.9265509, 0.47471392, 2.8618703],
]


def test_adamw_follows_torch():
    optimizer = adamw(lambda step: 0.05 * 0.5 ** (step // 2), 0.1)
    trainable = {"params": {"w": jnp.array(TORCH_START)}, "objective": {}}
    state = optimizer.init(trainable)
    for gradient, expected in zip(TORCH_GRADIENTS, TORCH_PARAMETERS, strict=True):
        gradient = {"params": {"w": jnp.array(gradient)}, "objective": {}}
        updates, state = optimizer.update(gradient, state, trainable)
        trainable = optax.apply_updates(trainable, updates)
        np.testing.assert_allclose(trainable["params"]["w"], expected, rtol=2e-6)


def test_steps_have_their_exact_length():
    # Equal gradients move a parameter by the learning rate, whatever the step's number.  Bias
    # corrections computed as 1 - b2**t in float32 would be 2e-5 off.
    optimizer = adamw(lambda step: 1.0, 0.0)
    trainable = {"params": {"w": jnp.zeros(())}, "objective": {}}
    state = optimizer.init(trainable)
    for _ in range(12):
        gradient = {"params": {"w": jnp.float32(3.0)}, "objective": {}}
        updates, state = optimizer.update(gradient, state, trainable)
        np.testing.assert_allclose(updates["params"]["w"], -1.0, rtol=1e-6)


def test_decay_spares_the_objective_only():
    optimizer = adamw(lambda step: 0.1, 0.5)
    trainable = {
        "params": {"kernel": jnp.ones(2), "bias": jnp.ones(2), "norm": {"scale": jnp.ones(2)}},
        "objective": {"mpjpe": jnp.ones(())},
    }
    zeros = jax.tree.map(jnp.zeros_like, trainable)
    updates, _ = optimizer.update(zeros, optimizer.init(trainable), trainable)
    after = optax.apply_updates(trainable, updates)
    for leaf in jax.tree.leaves(after["params"]):
        np.testing.assert_allclose(leaf, 0.95)
    assert after["objective"]["mpjpe"] == 1


def halved(step):
    return 0.05 * 0.5 ** (step // 2)


# What torch 2.13 computes for the same gradients and rates: parameters after the last step.
TORCH_OTHERS = {
    "Adam(weight_decay=0.1)": (
        adam(halved, 0.1), [0.86663485, -1.93304491, 0.33776906, 2.90587878]
    ),
    "Adam(amsgrad=True, betas=(0.8, 0.9))": (
        adam(halved, 0.0, b1=0.8, b2=0.9, amsgrad=True),
        [0.89487875, -1.9650774, 0.48258427, 2.91756153],
    ),
    "Adam(betas=(0.0, 0.9))": (
        adam(halved, 0.0, b1=0.0, b2=0.9),
        [0.894726038, -2.00074244, 0.469472468, 2.95883346],
    ),
    "AdamW(weight_decay=0.1, amsgrad=True, betas=(0.8, 0.9))": (
        adamw(halved, 0.1, b1=0.8, b2=0.9, amsgrad=True),
        [0.8784675, -1.93084657, 0.47392812, 2.8661232],
    ),
    "RMSprop(weight_decay=0.1)": (
        rmsprop(halved, 0.1), [0.13252325, -1.73040724, -0.12719209, 2.55354595]
    ),
    "RMSprop(alpha=0.9, momentum=0.9)": (
        rmsprop(halved, 0.0, smoothing=0.9, momentum=0.9),
        [0.31179678, -1.81241083, 0.41339377, 2.57007122],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH_OTHERS)
def test_other_optimizers_follow_torch(name):
    optimizer, expected = TORCH_OTHERS[name]
    trained = {"params": {"w": jnp.array(TORCH_START)}, "objective": {}}
    state = optimizer.init(trained)
    for gradient in TORCH_GRADIENTS:
        gradient = {"params": {"w": jnp.array(gradient)}, "objective": {}}
        updates, state = optimizer.update(gradient, state, trained)
        trained = optax.apply_updates(trained, updates)
    np.testing.assert_allclose(trained["params"]["w"], expected, rtol=5e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "rmsprop", "muon"])
def test_made_from_a_config(name):
    training = tiny.config(
        training__optimizer__name=name, training__optimizer__beta2=0.9,
        training__optimizer__amsgrad=True, training__weight_decay=0.5,
        training__no_decay=(".*/bias", "params/norm/.*"),
    ).training  # fmt: skip
    optimizer = create_optimizer(training, lambda step: 0.1)
    trained = {
        "params": {"layer": {"kernel": jnp.ones(2), "bias": jnp.ones(2)},
                   "norm": {"scale": jnp.ones(2)}},
        "objective": {"mpjpe": jnp.ones(())},
    }  # fmt: skip
    zeros = jax.tree.map(jnp.zeros_like, trained)
    updates, _ = optimizer.update(zeros, optimizer.init(trained), trained)
    assert (updates["params"]["layer"]["kernel"] < 0).all()
    for kept in (updates["params"]["layer"]["bias"], updates["params"]["norm"]["scale"]):
        np.testing.assert_array_equal(kept, 0)
    assert updates["objective"]["mpjpe"] == 0
    if name in ("adam", "adamw"):
        betas = {"adam": adam, "adamw": adamw}[name]
        same = betas(lambda step: 0.1, 0.5, training.no_decay, b2=0.9, amsgrad=True)
        gradient = jax.tree.map(lambda leaf: 0.3 * leaf, trained)
        ours, theirs = (
            tried.update(gradient, tried.init(trained), trained)[0] for tried in (optimizer, same)
        )
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_muon_moves_matrices_along_all_directions_alike_and_other_leaves_as_nadamw():
    rng = np.random.default_rng(0)
    trained = {
        "params": {"kernel": jnp.asarray(rng.normal(size=(6, 24)), jnp.float32),
                   "bias": jnp.ones(24)},
        "objective": {"mpjpe": jnp.ones(())},
    }  # fmt: skip
    # Singular values from 1 to 100: a plain gradient step would move along few of them.
    left, _, right = np.linalg.svd(rng.normal(size=(6, 24)), full_matrices=False)
    matrix = left * np.geomspace(1, 100, 6) @ right
    gradients = {
        "params": {"kernel": jnp.asarray(matrix, jnp.float32), "bias": jnp.full(24, 0.3)},
        "objective": {"mpjpe": jnp.full((), -2.0)},
    }
    optimizer = muon(lambda step: 0.1, 0.5)
    updates, _ = optimizer.update(gradients, optimizer.init(trained), trained)
    step = np.asarray(updates["params"]["kernel"]) + 0.1 * 0.5 * np.asarray(
        trained["params"]["kernel"]
    )
    # Newton-Schulz's five iterations bring singular values to between 0.7 and 1.2.
    directions = -left.T @ step @ right.T / (0.1 * 0.2 * np.sqrt(24))
    assert (np.abs(directions - np.diag(np.diag(directions))) < 1e-3).all()
    assert (np.diag(directions) > 0.6).all() and (np.diag(directions) < 1.3).all()
    like = optax.nadamw(0.1, weight_decay=0.5, mask={"params": True, "objective": False})
    others, _ = like.update(gradients, like.init(trained), trained)
    np.testing.assert_allclose(updates["params"]["bias"], others["params"]["bias"], rtol=1e-5)
    np.testing.assert_allclose(updates["objective"]["mpjpe"], others["objective"]["mpjpe"], 1e-5)


def test_unknown_optimizer():
    training = tiny.config(training__optimizer__name="adamax").training
    with pytest.raises(InputError, match="'adamax'; expected one of adamw, adam, rmsprop, muon"):
        create_optimizer(training, lambda step: 0.1)


def test_patterns_match_whole_paths():
    variables = {
        "params": {"encoder": {"kernel": 1, "bias": 2}, "encoder_2": {"kernel": 3}},
        "batch_stats": {"encoder": {"mean": 4}},
    }
    found = matching_paths(variables, ("params/encoder/.*",), "training.freeze")
    assert found == {("params", "encoder", "kernel"), ("params", "encoder", "bias")}
    kept = leave_out(variables["params"], "params", found)
    assert kept == {"encoder_2": {"kernel": 3}}
    assert merge(variables["params"], {"encoder_2": {"kernel": 5}})["encoder_2"] == {"kernel": 5}
    assert matching_paths(variables, (".*encoder/.*",), "x") == found | {
        ("batch_stats", "encoder", "mean")
    }
    with pytest.raises(InputError, match="training.freeze: 'encoder/.*' matches no variable"):
        matching_paths(variables, ("encoder/.*",), "training.freeze")
