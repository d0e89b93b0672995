"""The training step against plain single-device computations."""

import functools
import re

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
from jrepose.tasks import Outcome, Task
from jrepose.tasks.lifting import Lifting, relative_labels
from jrepose.training.optimizer import adamw, matching_paths
from jrepose.training.schedule import Epochs
from jrepose.training.state import create_state, create_variables
from jrepose.training.step import make_train_step

BATCH, FRAMES = 8, 5


class Lifter(nn.Module):
    """Two layers with dropout between them, and perhaps batch normalisation before."""

    drop_rate: float = 0.0
    normalise: bool = False

    @nn.compact
    def __call__(self, keypoints, train=False):
        if self.normalise:
            keypoints = nn.BatchNorm(use_running_average=not train, momentum=0.9)(keypoints)
        hidden = nn.tanh(nn.Dense(4)(keypoints))
        hidden = nn.Dropout(self.drop_rate, deterministic=not train)(hidden)
        return nn.Dense(3)(hidden)


def make_batch(seed=0):
    random = np.random.default_rng(seed)
    return {
        "keypoints": random.normal(size=(BATCH, FRAMES, 17, 3)).astype(np.float32),
        "poses": random.normal(size=(BATCH, FRAMES, 17, 3)).astype(np.float32),
    }


def assemble(arrays, selection):
    del arrays
    return {name: selection[name] for name in ("keypoints", "poses")}


# Alike tasks are one: what is compiled for it serves all runs of it.
@functools.cache
def make_task(drop_rate=0.0, learn=(), root="clip_first", normalise=False, **options):
    objective = create_objective({"mpjpe": 1.0, "velocity": 0.5}, HUMAN36M_17, learn_weights=learn)
    model = Lifter(drop_rate, normalise)
    return Lifting(model, HUMAN36M_17, HUMAN36M_17, objective, root, **options)


def run(devices=1, steps=3, task=None, ema_decay=None, rate=1e-2, seed=0, freeze=(), optimizer=None,
        batches=make_batch, **options):  # fmt: skip
    """Final state and the metrics of every step."""
    state, step = prepare(
        devices, task or make_task(), ema_decay, rate, seed, freeze, optimizer, **options
    )
    devices = parallel.select_devices(devices)
    state = parallel.replicate(state, devices)
    history = []
    for number in range(steps):
        selection = parallel.shard(batches(number), devices)
        selection["stop"] = parallel.replicate(np.int32(0), devices)
        state, metrics = step(state, {}, selection)
        history.append(parallel.unreplicate(metrics))
        copies = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        assert all((leaf == leaf[:1]).all() for leaf in copies), "devices disagree"
    return parallel.unreplicate(state), history


@functools.cache
def prepare(devices, task, ema_decay, rate, seed, freeze, optimizer, **options):
    """The first state and the step."""
    epochs = Epochs(BATCH, BATCH)

    def schedule(step):
        return rate * 0.5 ** epochs.whole(step)

    optimizer = optimizer or adamw(schedule, 0.01)
    clip = {name: column[:1] for name, column in make_batch().items()}
    variables = create_variables(task, clip, seed=0)
    frozen = matching_paths(variables, freeze, "training.freeze")
    state = create_state(variables, optimizer, average=ema_decay is not None, frozen=frozen)
    step = make_train_step(
        task,
        optimizer,
        assemble,
        schedule,
        seed=seed,
        ema_decay=ema_decay,
        frozen=frozen,
        **options,
    )
    devices = parallel.select_devices(devices)
    return state, parallel.data_parallel(step, devices=devices, donate=(0,))


def reference(steps=3, **options):
    """The same training without any of the step's machinery."""
    state, _ = run(steps=0)
    model = Lifter()
    objective = create_objective({"mpjpe": 1.0, "velocity": 0.5}, HUMAN36M_17)
    optimizer = optax.adamw(lambda step: 1e-2 * 0.5**step, weight_decay=0.01)

    @jax.jit
    def update(params, moments, batch):
        targets = relative_labels(batch["poses"], "clip_first", 0)

        def loss(params):
            predicted = model.apply({"params": params}, batch["keypoints"])
            return objective({}, predicted, targets, batch["keypoints"])[0]

        total, gradient = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, total

    params, moments, totals = state.params, jax.jit(optimizer.init)(state.params), []
    for number in range(steps):
        params, moments, total = update(params, moments, make_batch(number))
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


# A step as long as the gradient, so that nothing hides its length.
SGD = optax.sgd(1.0)


def test_gradient_clipping():
    start = run(steps=0)[0].params
    free, history = run(steps=1, optimizer=SGD)
    norm = float(history[0]["gradient_norm"])

    def length(state):
        moves = jax.tree.map(lambda a, b: ((a - b) ** 2).sum(), state.params, start)
        return float(sum(jax.tree.leaves(moves))) ** 0.5

    assert length(free) == pytest.approx(norm, rel=1e-4)
    clipped, history = run(steps=1, optimizer=SGD, gradient_clip=0.5 * norm)
    assert history[0]["gradient_norm"] == pytest.approx(norm)
    assert length(clipped) == pytest.approx(0.5 * norm, rel=1e-4)
    # A gradient below the limit is not scaled up to it.
    loose, _ = run(steps=1, optimizer=SGD, gradient_clip=2 * norm)
    assert length(loose) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("devices, accumulate", [(1, 1), (2, 2)])
def test_gradient_times_the_loss(devices, accumulate):
    plain, metrics = run(steps=1)
    scaled, history = run(devices, steps=1, gradient_times_loss=True, accumulate=accumulate)
    total = float(metrics[0]["total"])
    assert history[0]["total"] == pytest.approx(total)
    assert history[0]["gradient_norm"] == pytest.approx(total * metrics[0]["gradient_norm"])
    # Adam's first moment is a tenth of the gradient that reached it.
    expected = jax.tree.map(lambda leaf: total * leaf, plain.optimizer[0].mu)
    assert_close(scaled.optimizer[0].mu, expected)


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
    state, history = run(task=make_task(learn=("velocity",)))
    assert state.objective["velocity"] != pytest.approx(-np.log(0.5))
    assert history[0]["terms"]["weight/velocity"] == pytest.approx(0.5)
    assert history[2]["terms"]["weight/velocity"] != pytest.approx(0.5)


def same_clips(number):
    """Every clip of every batch alike, so that losses differ by what is dropped only."""
    del number
    return {name: np.repeat(column[:1], BATCH, 0) for name, column in make_batch().items()}


def test_dropout_depends_on_seed_step_device_and_micro_batch():
    dropping = make_task(drop_rate=0.5)

    def losses(**options):
        # Without a learning rate, so that the parameters stay as they are.
        return [float(m["total"]) for m in run(task=dropping, batches=same_clips, rate=0.0,
                                               **options)[1]]  # fmt: skip

    first = losses()
    assert losses() == first
    assert len(set(first)) == 3, "every step draws anew"
    assert not set(losses(seed=1)) & set(first)

    # Were the draws of all parts alike, their mean would be that of any one of them.
    def parts(devices, accumulate):
        seen = []

        class Recorded(Lifting):
            def loss(self, variables, batch, key, step):
                jax.debug.callback(
                    lambda data: seen.append(data.tolist()), jax.random.key_data(key)
                )
                return super().loss(variables, batch, key, step)

        task = Recorded(Lifter(), HUMAN36M_17, HUMAN36M_17, make_task().objective)
        run(devices, steps=1, task=task, accumulate=accumulate)
        jax.effects_barrier()
        return seen

    for devices, accumulate in ((4, 1), (1, 4), (2, 2)):
        keys = parts(devices, accumulate)
        assert len(keys) == len({tuple(key) for key in keys}) == 4


def test_batch_statistics_are_those_of_all_parts():
    task = make_task(normalise=True)
    one, _ = run(task=task, accumulate=4)
    batch = make_batch(2)["keypoints"].reshape(4, -1, 3)
    last = run(task=task, accumulate=4, steps=2)[0].collections["batch_stats"]["BatchNorm_0"]
    found = one.collections["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(
        found["mean"], 0.9 * last["mean"] + 0.1 * batch.mean((0, 1)), rtol=1e-4
    )
    expected = 0.9 * last["var"] + 0.1 * batch.var(1).mean(0)
    np.testing.assert_allclose(found["var"], expected, rtol=1e-4)
    for devices, accumulate in ((2, 2), (4, 1)):
        other, _ = run(devices, task=task, accumulate=accumulate)
        assert_close(other.collections, one.collections)
        assert_close(other.params, one.params, atol=1e-5)


def test_frozen_variables_stand_still():
    task = make_task(normalise=True)
    start, _ = run(task=task, steps=0)
    freeze = ("params/Dense_0/.*", "batch_stats/.*")
    state, _ = run(devices=2, task=task, freeze=freeze, ema_decay=0.5)
    jax.tree.map(np.testing.assert_array_equal, state.params["Dense_0"], start.params["Dense_0"])
    jax.tree.map(np.testing.assert_array_equal, state.ema["Dense_0"], start.params["Dense_0"])
    jax.tree.map(np.testing.assert_array_equal, state.collections, start.collections)
    assert not np.array_equal(state.params["Dense_1"]["kernel"], start.params["Dense_1"]["kernel"])
    assert set(state.optimizer[0].mu["params"]) == {"Dense_1", "BatchNorm_0"}
    # What is not frozen moves as if the rest were a constant; its statistics go on.
    moving, _ = run(task=task, freeze=freeze[:1])
    assert not np.array_equal(
        moving.collections["batch_stats"]["BatchNorm_0"]["mean"],
        start.collections["batch_stats"]["BatchNorm_0"]["mean"],
    )
    with pytest.raises(InputError, match="nothing is left to train"):
        run(freeze=("params/.*",))
    with pytest.raises(
        InputError, match=re.escape("'params/Dense_7/.*' matches no variable; there")
    ):
        run(freeze=("params/Dense_7/.*",))
    with pytest.raises(InputError, match="no regular expression"):
        run(freeze=("params/(",))


class Denoiser(Task):
    """A task with an encoder that stands still, and no poses in its batches."""

    inputs = columns = ("keypoints",)
    score = "loss"

    def init(self, key, batch):
        encoder, decoder = (
            {"kernel": jax.random.normal(part, (3, 3))} for part in jax.random.split(key)
        )
        return {"params": decoder, "encoder": encoder, "objective": {}}

    def loss(self, variables, batch, key, step):
        clean = batch["keypoints"]
        noisy = clean + 0.1 * jax.random.normal(key, clean.shape)
        context = noisy @ variables["encoder"]["kernel"]
        error = jnp.mean((context @ variables["params"]["kernel"] - clean) ** 2)
        weight = jnp.where(step < 2, 1.0, 0.5)
        return weight * error, Outcome({"error": error, "weight/error": weight}, {})


def test_a_task_of_another_kind():
    def only_keypoints(arrays, selection):
        del arrays
        return {"keypoints": selection["keypoints"]}

    task, devices = Denoiser(), parallel.select_devices(2)
    variables = create_variables(task, make_batch(), seed=0)
    optimizer = adamw(lambda step: 1e-2, 0.0)
    step = make_train_step(task, optimizer, only_keypoints, lambda step: 1e-2, seed=0)
    step = parallel.data_parallel(step, devices=devices)
    state = parallel.replicate(create_state(variables, optimizer, average=False), devices)
    weights, errors = [], []
    for _ in range(3):
        selection = parallel.shard({"keypoints": make_batch()["keypoints"]}, devices)
        selection["stop"] = parallel.replicate(np.int32(0), devices)
        state, metrics = step(state, {}, selection)
        terms = parallel.unreplicate(metrics)["terms"]
        weights.append(float(terms["weight/error"]))
        errors.append(float(terms["error"]))
    assert weights == [1.0, 1.0, 0.5] and errors[2] < errors[0]
    encoder = parallel.unreplicate(state).collections["encoder"]["kernel"]
    np.testing.assert_array_equal(encoder, variables["encoder"]["kernel"])


def test_stop_request_of_one_device_reaches_all():
    devices = parallel.select_devices(4)
    task, optimizer = make_task(), adamw(lambda step: 1e-2, 0.01)
    state = create_state(create_variables(task, make_batch(), seed=0), optimizer, average=False)
    step = make_train_step(task, optimizer, assemble, lambda step: 1e-2, seed=0)
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
        make_task(root="neck")
    a, b = run(steps=1)[1], run(steps=1, task=make_task(root="frame"))[1]
    assert a[0]["total"] != b[0]["total"]
