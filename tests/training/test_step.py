"""The training step against plain single-device computations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jrepose import parallel
from jrepose.errors import InputError
from jrepose.losses.objective import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.schedule import decay_per_epoch
from jrepose.training.state import adamw, create_state
from jrepose.training.step import make_train_step, relative_labels

BATCH, FRAMES = 8, 5


class Lifter(nn.Module):
    """Two layers with dropout between them."""

    drop_rate: float = 0.0

    @nn.compact
    def __call__(self, keypoints, train=False):
        hidden = nn.tanh(nn.Dense(4)(keypoints))
        hidden = nn.Dropout(self.drop_rate, deterministic=not train)(hidden)
        return nn.Dense(3)(hidden)


def make_batch(seed=0):
    random = np.random.default_rng(seed)
    return {
        "inputs": random.normal(size=(BATCH, FRAMES, 17, 3)).astype(np.float32),
        "targets": random.normal(size=(BATCH, FRAMES, 17, 3)).astype(np.float32),
    }


def assemble(arrays, selection):
    del arrays
    return selection["inputs"], selection["targets"]


def run(devices=1, steps=3, drop_rate=0.0, learn=(), ema_decay=None, rate=1e-2, **options):
    """Final state and the metrics of every step."""
    devices = parallel.select_devices(devices)
    model = Lifter(drop_rate)
    objective = create_objective({"mpjpe": 1.0, "velocity": 0.5}, HUMAN36M_17, learn_weights=learn)
    schedule = decay_per_epoch(rate, 0.5, batch_size=BATCH, clips=BATCH)
    optimizer = adamw(schedule, 0.01)
    state = create_state(
        model,
        objective,
        optimizer,
        clip_shape=(FRAMES, 17, 3),
        seed=0,
        average=ema_decay is not None,
    )
    step = make_train_step(
        model, objective, optimizer, assemble, schedule, seed=0, ema_decay=ema_decay, **options
    )
    step = parallel.data_parallel(step, devices=devices, donate=(0,))
    state = parallel.replicate(state, devices)
    history = []
    for number in range(steps):
        selection = parallel.shard(make_batch(number), devices)
        selection["stop"] = parallel.replicate(np.int32(0), devices)
        state, metrics = step(state, {}, selection)
        history.append(parallel.unreplicate(metrics))
        copies = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        assert all((leaf == leaf[:1]).all() for leaf in copies), "devices disagree"
    return parallel.unreplicate(state), history


def reference(steps=3, **options):
    """The same training without any of the step's machinery."""
    state, _ = run(steps=0)
    model = Lifter()
    objective = create_objective({"mpjpe": 1.0, "velocity": 0.5}, HUMAN36M_17)
    optimizer = optax.adamw(lambda step: 1e-2 * 0.5**step, weight_decay=0.01)
    params = jax.tree.map(jnp.asarray, state.params)
    moments = optimizer.init(params)
    totals = []
    for number in range(steps):
        batch = make_batch(number)
        targets = relative_labels(jnp.asarray(batch["targets"]), "clip_first", 0)

        def loss(params, batch=batch, targets=targets):
            predicted = model.apply({"params": params}, batch["inputs"])
            return objective({}, predicted, targets, jnp.asarray(batch["inputs"]))[0]

        total, gradient = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(gradient, moments, params)
        params = optax.apply_updates(params, updates)
        totals.append(float(total))
    return params, totals


def assert_close(a, b, **tolerance):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, **{"rtol": 2e-5, "atol": 1e-6, **tolerance}),
        a,
        b,
    )


def test_equals_plain_training_on_one_and_several_devices():
    params, totals = reference()
    for devices in (1, 2, 4):
        state, history = run(devices)
        assert state.step == 3
        assert_close(state.params, params)
        np.testing.assert_allclose([m["total"] for m in history], totals, rtol=1e-5)
        np.testing.assert_allclose(
            [m["learning_rate"] for m in history], [1e-2, 5e-3, 2.5e-3], rtol=1e-6
        )
        for m in history:
            total = m["terms"]["mpjpe"] + 0.5 * m["terms"]["velocity"]
            np.testing.assert_allclose(m["total"], total, rtol=1e-5)


@pytest.mark.parametrize("devices, accumulate", [(1, 4), (1, 8), (2, 2)])
def test_accumulation_equals_the_big_batch(devices, accumulate):
    expected, metrics = run(1)
    state, history = run(devices, accumulate=accumulate)
    assert_close(state.params, expected.params)
    assert_close(history, metrics)


def test_gradient_clipping():
    _, free = run(steps=1)
    norm = float(free[0]["gradient_norm"])
    clipped, history = run(steps=1, gradient_clip=0.5 * norm)
    assert history[0]["gradient_norm"] == pytest.approx(norm)
    # Adam's first moment is a tenth of the gradient that reached it.
    moment = clipped.optimizer[0].mu["params"]
    squares = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(moment))
    assert squares**0.5 == pytest.approx(0.05 * norm, rel=1e-4)
    loose, _ = run(steps=1, gradient_clip=2 * norm)
    unclipped, _ = run(steps=1)
    assert_close(loose.params, unclipped.params)


@pytest.mark.parametrize("devices, accumulate", [(1, 1), (2, 2)])
def test_backward_seeded_with_the_loss(devices, accumulate):
    plain, metrics = run(steps=1)
    options = {"backward_seed": "loss", "accumulate": accumulate}
    seeded, history = run(devices, steps=1, **options)
    total = float(metrics[0]["total"])
    assert history[0]["total"] == pytest.approx(total)
    assert history[0]["gradient_norm"] == pytest.approx(total * metrics[0]["gradient_norm"])
    # Adam's first moment is a tenth of the gradient that reached it.
    expected = jax.tree.map(lambda leaf: total * leaf, plain.optimizer[0].mu)
    assert_close(seeded.optimizer[0].mu, expected)
    with pytest.raises(InputError, match="unknown training.backward_seed 'two'; expected one of"):
        run(backward_seed="two")


def test_moving_average():
    expected = run(steps=0)[0].params
    for number in range(1, 4):
        params = run(steps=number)[0].params
        expected = jax.tree.map(lambda old, new: 0.8 * old + 0.2 * new, expected, params)
    state, _ = run(devices=2, ema_decay=0.8)
    assert_close(state.ema, expected)
    assert_close(state.params, run()[0].params)
    assert run()[0].ema == {}


def test_objective_weights_are_learned():
    state, history = run(learn=("velocity",))
    assert state.objective["velocity"] != pytest.approx(-np.log(0.5))
    assert history[0]["terms"]["weight/velocity"] == pytest.approx(0.5)
    assert history[2]["terms"]["weight/velocity"] != pytest.approx(0.5)


def test_dropout_depends_on_seed_step_and_device():
    first, history = run(drop_rate=0.5)
    again, _ = run(drop_rate=0.5)
    assert_close(first.params, again.params, rtol=0, atol=0)
    other, _ = run(drop_rate=0.5, devices=2)
    assert history[0]["total"] != run()[1][0]["total"]
    assert not np.allclose(first.params["Dense_0"]["kernel"], other.params["Dense_0"]["kernel"])


def test_stop_request_of_one_device_reaches_all():
    devices = parallel.select_devices(4)
    model, objective = Lifter(), create_objective({"mpjpe": 1.0}, HUMAN36M_17)
    schedule = decay_per_epoch(1e-2, 0.5, batch_size=BATCH, clips=BATCH)
    optimizer = adamw(schedule, 0.01)
    state = create_state(
        model, objective, optimizer, clip_shape=(FRAMES, 17, 3), seed=0, average=False
    )
    step = make_train_step(model, objective, optimizer, assemble, schedule, seed=0)
    selection = parallel.shard(make_batch(), devices)
    selection["stop"] = parallel.place(np.array([0, 0, 1, 0], np.int32), devices)
    _, metrics = parallel.data_parallel(step, devices=devices)(
        parallel.replicate(state, devices), {}, selection
    )
    assert np.asarray(metrics["stop"]).tolist() == [1, 1, 1, 1]


def test_labels_by_hand():
    targets = np.random.default_rng(0).normal(size=(2, 3, 17, 3)).astype(np.float32)
    root = 4
    clip_first = targets.copy()
    frame = targets.copy()
    for clip in range(2):
        clip_first[clip, :, :, 2] -= targets[clip, 0, root, 2]
        for t in range(3):
            frame[clip, t] -= targets[clip, t, root]
    for name, expected in (("clip_first", clip_first), ("frame", frame)):
        labels = relative_labels(jnp.asarray(targets), name, root)
        np.testing.assert_allclose(labels, expected, atol=1e-6)
    with pytest.raises(InputError, match="unknown training.root 'neck'"):
        run(root="neck")
    a, b = run(steps=1)[1], run(steps=1, root="frame")[1]
    assert a[0]["total"] != b[0]["total"]
