"""Steps of VideoPose3D's and of RIE's released training, replayed by the training step: parameters
and BatchNorm's statistics after it."""

import jax
import numpy as np
import pytest

from jrepose import interop, models, parallel
from jrepose.interop.fixtures.arrays import below
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17
from jrepose.tasks.lifting import Lifting, momentum_decay
from jrepose.training.optimizer import adam, adamw, matching_paths
from jrepose.training.state import create_state
from jrepose.training.step import make_train_step

RATE = 1e-3


def replay(name, weights, batch, optimizer, freeze=(), **changes):
    """Weights and statistics after one step in the official layout, and the loss before it."""
    sizes = {**interop.infer_hyperparameters(name, weights), **models.without_dropout(name)}
    model = models.create(name, **sizes, **changes, batch_norm_axis=parallel.AXIS)
    variables = interop.from_torch(name, weights, **sizes)
    frozen = matching_paths(variables, freeze, "freeze")
    task = Lifting(
        model, HUMAN36M_17, HUMAN36M_17, create_objective({"mpjpe": 1.0}, HUMAN36M_17), "frame",
        clock=lambda step: step * 0.0, batch_norm_momentum=momentum_decay(0.1, 0.001, 80),
    )  # fmt: skip
    step = make_train_step(
        task, optimizer, lambda arrays, selection: {key: selection[key] for key in batch},
        lambda step: RATE, seed=0, frozen=frozen,
    )  # fmt: skip
    devices = parallel.select_devices(2 if len(batch["poses"]) % 2 == 0 else 1)
    state = create_state(variables, optimizer, average=False, frozen=frozen)
    selection = parallel.shard(batch, devices)
    selection["stop"] = parallel.replicate(np.int32(0), devices)
    state, metrics = parallel.data_parallel(step, devices=devices)(
        parallel.replicate(state, devices), {}, selection
    )
    state = jax.device_get(parallel.unreplicate(state))
    after = interop.to_torch(name, {"params": state.params, **state.collections}, **sizes)
    return after, float(parallel.unreplicate(metrics)["total"])


def furthest(found, expected, skip=()):
    return max(
        np.abs(found[key] - value).max()
        for key, value in expected.items()
        if key not in skip and not key.endswith("num_batches_tracked")
    )


@pytest.mark.parametrize("form", ["strided", "dilated"])
def test_videopose3d(golden, form):
    arrays, _ = golden("videopose3d")
    clips, suffix = ("windows", "_optimized1f") if form == "strided" else ("sequence", "")
    weights = below(arrays, "param/")
    batch = {"keypoints": arrays[f"input/{clips}"], "poses": arrays[f"target/{clips}"]}
    after, loss = replay(
        "videopose3d", weights, batch, adam(lambda step: RATE, 0.0, amsgrad=True),
        strided=form == "strided",
    )  # fmt: skip
    assert loss == pytest.approx(float(arrays[f"loss/train_mpjpe{suffix}"]), rel=1e-5)
    assert furthest(after, below(arrays, f"buffer_after{suffix}/")) < 1e-5
    if form == "strided":
        expected = below(arrays, "param_after_step_optimized1f/")
    else:
        # Not recorded; the first step of Adam is known from the gradients, where they are not as
        # small as its epsilon.
        expected = {
            key: weights[key] - RATE * gradient / (np.abs(gradient) + 1e-8)
            for key, gradient in below(arrays, "grad/").items()
        }
    assert furthest(after, expected) < (1e-6 if form == "strided" else 0.05 * RATE)
    assert furthest(weights, expected) > 0.5 * RATE


def test_rie(golden):
    """The second stage's, which freezes a part; of the other two see the next test."""
    stage = "stage2"
    arrays, config = golden("pose3d_rie")
    weights = below(arrays, f"param/{stage}/")
    batch = {"keypoints": arrays["input/keypoints_2d"], "poses": arrays["target/pose_3d"]}
    after, loss = replay(
        "rie", weights, batch, adamw(lambda step: RATE, 0.01, amsgrad=True),
        freeze=("params/(LocalLayer_[^/]*|GlobalInfo)/.*",),
    )  # fmt: skip
    assert config["optimiser"]["lr"][stage] == RATE
    assert loss == pytest.approx(float(arrays[f"loss/{stage}_train_mpjpe"]), rel=1e-5)
    assert furthest(after, below(arrays, f"buffer_after/{stage}/")) < 1e-5
    expected = below(arrays, f"param_after_step/{stage}/")
    # Biases whose gradient is rounding, of which AdamW makes whole steps.
    rounding = config["structurally_zero_gradients"][stage]
    assert furthest(after, expected, rounding) < 0.05 * RATE
    assert furthest(weights, expected, rounding) > 0.5 * RATE
    still = {key: weights[key] for key in weights.keys() - expected.keys() if "running" not in key}
    assert furthest(after, still) == 0


@pytest.mark.parametrize("stage", ["stage1", "stage3"])
def test_steps_of_rie_follow_from_the_gradients(golden, stage):
    """Stages that freeze nothing; tests/interop/test_parity.py compares loss, gradients and
    statistics, and the program of the whole step takes half a minute to compile."""
    arrays, config = golden("pose3d_rie")
    weights, gradients, expected = (
        below(arrays, f"{group}/{stage}/") for group in ("param", "grad", "param_after_step")
    )
    still = weights.keys() - expected.keys()
    assert all(key.split(".")[-1].startswith(("running", "num_batches")) for key in still)
    rate = config["optimiser"]["lr"][stage]
    optimizer = adamw(lambda step: rate, 0.01, amsgrad=True)
    before, gradient, after = (
        np.concatenate([of[key].ravel() for key in expected])
        for of in (weights, gradients, expected)
    )
    given = {"params": {"all": before}, "objective": {}}
    updates, _ = optimizer.update(
        {"params": {"all": gradient}, "objective": {}}, optimizer.init(given), given
    )
    np.testing.assert_allclose(before + updates["params"]["all"], after, rtol=0, atol=1e-3 * rate)
    assert np.abs(after - before).max() > 0.5 * rate
