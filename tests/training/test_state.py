"""The optimiser's semantics, and the state's way into a checkpoint and back."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jrepose import checkpoints
from jrepose.errors import InputError
from jrepose.losses.objective import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.state import adamw, create_state, from_plain, to_plain, with_parameters

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
    trainable = {"params": jnp.array(TORCH_START), "objective": {}}
    state = optimizer.init(trainable)
    for gradient, expected in zip(TORCH_GRADIENTS, TORCH_PARAMETERS, strict=True):
        gradient = {"params": jnp.array(gradient), "objective": {}}
        updates, state = optimizer.update(gradient, state, trainable)
        trainable = optax.apply_updates(trainable, updates)
        np.testing.assert_allclose(trainable["params"], expected, rtol=2e-6)


def test_steps_have_their_exact_length():
    # Equal gradients move a parameter by the learning rate, whatever the step's number.  Bias
    # corrections computed as 1 - b2**t in float32 would be 2e-5 off.
    optimizer = adamw(lambda step: 1.0, 0.0)
    trainable = {"params": jnp.zeros(()), "objective": {}}
    state = optimizer.init(trainable)
    for _ in range(12):
        gradient = {"params": jnp.float32(3.0), "objective": {}}
        updates, state = optimizer.update(gradient, state, trainable)
        np.testing.assert_allclose(updates["params"], -1.0, rtol=1e-6)


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


class Lifter(nn.Module):
    """One linear layer over the joints' coordinates."""

    width: int = 3
    normalise: bool = False

    @nn.compact
    def __call__(self, keypoints, train=False):
        if self.normalise:
            keypoints = nn.BatchNorm(use_running_average=not train)(keypoints)
        return nn.Dense(3)(nn.Dense(self.width)(keypoints))


def make_state(learn=(), average=True, seed=0, **model):
    objective = create_objective({"mpjpe": 1, "velocity": 2}, HUMAN36M_17, learn_weights=learn)
    return create_state(
        Lifter(**model),
        objective,
        adamw(lambda step: 1e-3, 0.01),
        clip_shape=(4, 17, 3),
        seed=seed,
        average=average,
    )


def test_first_state():
    state = make_state()
    assert state.step == 0 and state.objective == {}
    jax.tree.map(np.testing.assert_array_equal, state.params, state.ema)
    assert make_state(average=False).ema == {}
    same, other = make_state(), make_state(seed=1)
    jax.tree.map(np.testing.assert_array_equal, state.params, same.params)
    assert not np.array_equal(state.params["Dense_0"]["kernel"], other.params["Dense_0"]["kernel"])
    assert make_state(learn=("velocity",)).objective["velocity"] == pytest.approx(-np.log(2))
    with pytest.raises(InputError, match="batch_stats"):
        make_state(normalise=True)


def test_survives_a_checkpoint(tmp_path):
    state = jax.tree.map(
        lambda leaf: np.asarray(np.asarray(leaf) + 1), make_state(learn=("velocity",))
    )
    writer = checkpoints.CheckpointWriter(tmp_path, 1, {})
    writer.save(1, to_plain(state), config={}, data={}, validation=None, log={})
    writer.close()
    plain = checkpoints.load(tmp_path).state
    back = from_plain(make_state(learn=("velocity",)), dict(plain))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="does not fit the config"):
        from_plain(make_state(width=5, learn=("velocity",)), dict(plain))
    with pytest.raises(InputError, match="does not fit the config"):
        from_plain(make_state(learn=()), dict(plain))


def test_begins_with_given_parameters():
    state, other = make_state(), make_state(seed=1)
    whole = with_parameters(state, other.params)
    jax.tree.map(np.testing.assert_array_equal, whole.params, other.params)
    jax.tree.map(np.testing.assert_array_equal, whole.ema, other.params)

    given = {"Dense_0": {"kernel": other.params["Dense_0"]["kernel"]}}
    with pytest.raises(InputError, match="Dense_0/bias is absent"):
        with_parameters(state, given)
    some = with_parameters(state, given, partial=True)
    for params in (some.params, some.ema):
        np.testing.assert_array_equal(params["Dense_0"]["kernel"], given["Dense_0"]["kernel"])
        for name in ("kernel", "bias"):
            np.testing.assert_array_equal(params["Dense_1"][name], state.params["Dense_1"][name])
    for wrong in ({"Dense_7": {"bias": np.zeros(3)}}, {"Dense_0": {"bias": np.zeros(5)}}):
        with pytest.raises(InputError, match="does not fit the config"):
            with_parameters(state, wrong, partial=True)
