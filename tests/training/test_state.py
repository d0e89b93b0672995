"""The first state, and the way of a state into a checkpoint and back."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jrepose import checkpoints
from jrepose.errors import InputError
from jrepose.losses.objective import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import Lifting
from jrepose.training.optimizer import adamw
from jrepose.training.state import (
    create_state,
    create_variables,
    from_plain,
    to_plain,
    variables_of,
    with_variables,
)


class Lifter(nn.Module):
    """One linear layer over the joints' coordinates."""

    width: int = 3
    normalise: bool = False

    @nn.compact
    def __call__(self, keypoints, train=False):
        if self.normalise:
            keypoints = nn.BatchNorm(use_running_average=not train)(keypoints)
        return nn.Dense(3)(nn.Dense(self.width)(keypoints))


def make_variables(learn=(), seed=0, **model):
    objective = create_objective({"mpjpe": 1, "velocity": 2}, HUMAN36M_17, learn_weights=learn)
    task = Lifting(Lifter(**model), HUMAN36M_17, HUMAN36M_17, objective)
    return create_variables(task, {"keypoints": np.zeros((1, 4, 17, 3), np.float32)}, seed=seed)


def make_state(average=True, **options):
    return create_state(make_variables(**options), adamw(lambda step: 1e-3, 0.01), average=average)


def test_first_state():
    state = make_state()
    assert state.step == 0 and state.objective == {} and state.collections == {}
    jax.tree.map(np.testing.assert_array_equal, state.params, state.ema)
    assert make_state(average=False).ema == {}
    same, other = make_state(), make_state(seed=1)
    jax.tree.map(np.testing.assert_array_equal, state.params, same.params)
    assert not np.array_equal(state.params["Dense_0"]["kernel"], other.params["Dense_0"]["kernel"])
    assert make_state(learn=("velocity",)).objective["velocity"] == pytest.approx(-np.log(2))
    normalised = make_state(normalise=True)
    assert set(normalised.collections) == {"batch_stats"}
    assert set(variables_of(normalised)) == {"params", "batch_stats"}


def test_survives_a_checkpoint(tmp_path):
    state = jax.tree.map(
        lambda leaf: np.asarray(np.asarray(leaf) + 1),
        make_state(learn=("velocity",), normalise=True),
    )
    writer = checkpoints.CheckpointWriter(tmp_path, 1, "mpjpe")
    writer.save(1, to_plain(state), config={}, data={}, validation=None, log={})
    writer.close()
    plain = checkpoints.load(tmp_path).state
    back = from_plain(make_state(learn=("velocity",), normalise=True), dict(plain))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="does not fit the config"):
        from_plain(make_state(width=5, learn=("velocity",)), dict(plain))
    with pytest.raises(InputError, match="does not fit the config"):
        from_plain(make_state(learn=()), dict(plain))


def test_checkpoints_of_before_there_were_collections():
    state = make_state()
    plain = to_plain(state)
    del plain["collections"]
    back = from_plain(state, plain)
    assert back.collections == {}
    assert checkpoints.predicting_variables(plain) == {"params": plain["ema"]}


def test_begins_with_given_variables():
    drawn, other = make_variables(normalise=True), make_variables(normalise=True, seed=1)
    whole = with_variables(drawn, {k: other[k] for k in ("params", "batch_stats")})
    jax.tree.map(np.testing.assert_array_equal, whole, other)
    state = create_state(whole, adamw(lambda step: 1e-3, 0.0), average=True)
    jax.tree.map(np.testing.assert_array_equal, state.ema, other["params"])

    statistics = {"BatchNorm_0": {"mean": np.float32([1, 2, 3])}}
    given = {
        "params": {"Dense_0": {"kernel": other["params"]["Dense_0"]["kernel"]}},
        "batch_stats": statistics,
    }
    with pytest.raises(InputError, match="var is absent"):
        with_variables(drawn, given)
    some = with_variables(drawn, given, partial=True)
    for path, expected in (
        (("params", "Dense_0", "kernel"), other), (("params", "Dense_1", "kernel"), drawn),
        (("batch_stats", "BatchNorm_0", "mean"), given),
        (("batch_stats", "BatchNorm_0", "var"), drawn),
    ):  # fmt: skip
        found = some
        for key in path:
            found, expected = found[key], expected[key]
        np.testing.assert_array_equal(found, expected)
    for wrong in (
        {"params": {"Dense_7": {"bias": np.zeros(3)}}},
        {"params": {"Dense_0": {"bias": np.zeros(5)}}},
        {"elsewhere": {"bias": np.zeros(5)}},
    ):
        with pytest.raises(InputError, match="does not fit the config"):
            with_variables(drawn, wrong, partial=True)
