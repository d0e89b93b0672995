"""Terms, ranking losses, edge cases and training runs, on arrays made by hand."""

import numpy as np
import pytest
from interop.gradient_sides import WEIGHTS, NumpySide, gradients, poses, ranking
from training import tiny

from jrepose.data.batches import ClipOrder
from jrepose.data.windows import training_windows
from jrepose.errors import InputError
from jrepose.interop.gradients.clips import training_clips
from jrepose.interop.gradients.edge_cases import CASES, run_edge_cases
from jrepose.interop.gradients.jax_side import JaxSide
from jrepose.interop.gradients.ranking_lens import BINS, count_pairs, inspect_ranking
from jrepose.interop.gradients.side import TrainingStep
from jrepose.interop.gradients.terms import push_per_layer
from jrepose.interop.gradients.trajectory import compare_runs
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17

# ---- batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_batches_are_those_of_training(flip):
    config, dataset = tiny.config(training__flip=flip, training__batch_size=3), tiny.dataset()
    batches = training_clips(config, dataset, 3)
    assert len(batches) == 3
    windows = training_windows(dataset.videos, 8, 4, "cover").inputs
    order = ClipOrder(len(windows), 3, config.seed, flip)
    mirrored = 0
    for step, clips in enumerate(batches):
        frames = windows[order.indices(step)]
        signs = np.where(order.flips(step), -1, 1)[:, None]
        mirrored += (signs < 0).sum()
        root = (slice(None), slice(None), HUMAN36M_17.root)
        inputs, targets = dataset.model_inputs()[frames], dataset.model_targets()[frames]
        np.testing.assert_array_equal(clips.keypoints[root][..., 0], signs * inputs[root][..., 0])
        np.testing.assert_array_equal(clips.targets[root][..., 0], signs * targets[root][..., 0])
        assert not clips.targets[:, 0, HUMAN36M_17.root, 2].any()  # relative to the clip's start
    assert bool(mirrored) == flip


def test_unknown_root():
    with pytest.raises(InputError, match="training.root is 'pelvis'"):
        training_clips(tiny.config(training__root="pelvis"), tiny.dataset(), 1)


# ---- terms and layers --------------------------------------------------------------------


def test_shares_and_contributions_add_up():
    sides = gradients()
    for layer in push_per_layer(sides, sides, WEIGHTS):
        assert sum(layer.share.values()) == pytest.approx(1)
        assert sum(layer.along.values()) == pytest.approx(1, abs=1e-6)
        assert set(layer.relative.values()) == {0.0}
        assert layer.norm_jax == pytest.approx(layer.norm_torch)


def test_who_pushes_a_layer():
    def vector(*values):
        return {"head.bias": np.array(values, np.float32)}

    ours = {
        "mpjpe": vector(3, 0),
        "spatial_ranking": vector(0, 0.2),
        "temporal_ranking": vector(0, 0),
    }
    ours["total"] = vector(3, 4)
    theirs = {**ours, "spatial_ranking": vector(0, 0.1)}
    (layer,) = push_per_layer(ours, theirs, WEIGHTS)
    assert layer.layer == "head" and layer.size == 2
    assert layer.norm_jax == pytest.approx(dict(zip(WEIGHTS, (3, 4, 0), strict=True)))
    assert layer.norm_torch["spatial_ranking"] == pytest.approx(2)
    assert layer.share == pytest.approx(dict(zip(WEIGHTS, (3 / 7, 4 / 7, 0), strict=True)))
    assert layer.along == pytest.approx(dict(zip(WEIGHTS, (9 / 25, 16 / 25, 0), strict=True)))
    assert layer.cosines["mpjpe, spatial_ranking"] == pytest.approx(0)
    assert layer.relative["spatial_ranking"] == pytest.approx(1)


# ---- ranking losses ----------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, -2])
def test_pairs_are_counted_like_one_by_one(axis):
    random = np.random.default_rng(0)
    # Few different values, so that there are ties of both kinds.
    depths, truths = random.integers(0, 4, size=(2, 2, 5, 6)).astype(np.float32)
    pairs, wrong_per_depth, ordered_per_depth = count_pairs(depths, truths, axis)
    counts = np.zeros(3, int)
    wrong, ordered = (np.zeros(depths.shape, int) for _ in range(2))
    for place in np.ndindex(depths.shape):
        for other in range(depths.shape[axis]):
            partner = (place[0], place[1], other) if axis == -1 else (place[0], other, place[2])
            if truths[place] < truths[partner]:
                is_wrong = depths[place] > depths[partner]
                counts += [1, is_wrong, depths[place] == depths[partner]]
                for end in (place, partner):
                    wrong[end] += is_wrong
                    ordered[end] += 1
    assert (pairs.ordered, pairs.wrong, pairs.tied) == tuple(counts)
    assert pairs.all == depths.size * depths.shape[axis]
    np.testing.assert_array_equal(wrong_per_depth, wrong)
    np.testing.assert_array_equal(ordered_per_depth, ordered)


def lens(predicted, target, name="spatial_ranking", other=None):
    found = NumpySide().loss_gradients(predicted, target)
    ranked, mpjpe = (found[term].gradient[..., 2] for term in (name, "mpjpe"))
    return inspect_ranking(
        name, predicted, target, ranked, ranked, mpjpe, predicted if other is None else other
    )


def test_a_wrong_joint_draws_the_ranking_loss():
    target = np.zeros((1, 1, 17, 3), np.float32)
    target[..., 2] = np.arange(17)
    predicted = target.copy()
    predicted[..., 2] += 0.1 * np.sin(
        1 + np.arange(17)
    )  # small errors that order nothing otherwise
    predicted[0, 0, 3, 2] = 30  # behind everything
    found = lens(predicted, target)
    assert found.pairs.wrong == 13 and found.pairs.ordered == 17 * 16 // 2
    assert found.depths_wrong == pytest.approx(14 / 17)
    assert np.argmax(found.ranking.per_joint) == 3
    assert found.ranking.per_joint[3] == pytest.approx(13 / 17**2)
    assert found.wrong_per_joint[3] == pytest.approx(13 / 16)
    assert found.ranking.on_wrong == pytest.approx(1)
    assert found.mpjpe.on_wrong == pytest.approx(14 / 17)
    assert found.ranking.on_worst == pytest.approx(0.5)  # that joint against all the others
    assert found.ranking.correlation > 0.99 and found.ranking.half == pytest.approx(1 / 17)
    assert found.depths_per_bin.sum() == 17 and len(found.ranking.by_wrong_share) == BINS
    assert found.relative == 0 and found.decided_differently == 0


def test_perfect_order_has_no_pull():
    target = poses(0)
    found = lens(target.copy(), target)
    assert found.pairs.wrong == 0 and found.depths_wrong == 0
    assert not found.ranking.per_joint.any()
    assert np.isnan(found.ranking.on_wrong) and np.isnan(found.ranking.correlation)


def test_pairs_that_the_frameworks_decide_differently():
    target, predicted = poses(0), poses(1)
    other = predicted.copy()
    order = np.argsort(predicted[0, 0, :, 2])
    a, b = order[3], order[4]  # neighbours change places: one pair
    other[0, 0, [a, b], 2] = predicted[0, 0, [b, a], 2]
    assert lens(predicted, target, other=other).decided_differently == 1


@pytest.mark.parametrize("frames", [1, 4])
def test_temporal_ranking_under_the_lens(frames):
    found = lens(poses(0, frames), poses(1, frames), "temporal_ranking")
    assert found.pairs.all == 2 * 17 * frames**2
    if frames == 1:
        assert found.pairs.ordered == found.pairs.wrong == 0
    else:
        assert found.ranking.correlation > 0.3


# ---- edge cases --------------------------------------------------------------------------


def test_our_losses_pass_the_edge_cases():
    ours = JaxSide(
        "repose",
        {"dim_feat": 8, "depth": 1, "num_heads": 2},
        create_objective(WEIGHTS, HUMAN36M_17),
        {"params": {}},
        "float32",
    )
    results = run_edge_cases(ours, NumpySide())
    assert len(results) == len(CASES) * len(WEIGHTS)
    assert [(r.case, r.term) for r in results if not r.agrees] == []
    by_name = {(r.case, r.term): r for r in results}
    assert by_name["predicted tie", "spatial_ranking"].gradient_jax == pytest.approx(
        [1 / 8, -1 / 8]
    )
    assert by_name["one frame", "temporal_ranking"].value_jax == 0
    units, millimetres = (by_name[case, "spatial_ranking"] for case in ("units", "millimetres"))
    assert millimetres.value_jax == pytest.approx(1000 * units.value_jax)
    assert millimetres.gradient_jax == pytest.approx(units.gradient_jax)


def test_another_convention_at_ties_is_found():
    results = run_edge_cases(NumpySide(), NumpySide(tie=0.0))
    assert {r.case for r in results if not r.agrees} == {
        "predicted tie", "signed zeros", "tie over time", "zero head",
    }  # fmt: skip


def test_the_oracle_itself():
    value, gradient = ranking(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert value == 0.25 and gradient.tolist() == [[0.25, -0.25]]


# ---- training runs -----------------------------------------------------------------------


def steps(offset, *, loss=1.0, count=2):
    for number in range(1, count + 1):
        parameters = {
            "head.bias": np.array([3.0 * number + offset, 4.0 * number], np.float32),
            "norm.bias": np.zeros(2, np.float32),
        }
        yield TrainingStep({term: loss / number for term in WEIGHTS}, parameters)


def test_drift_of_two_runs():
    start = {"head.bias": np.zeros(2, np.float32), "norm.bias": np.zeros(2, np.float32)}
    found = compare_runs(steps(0.5, loss=1.01), steps(0.0), start, WEIGHTS)
    assert [step.step for step in found] == [1, 2]
    assert found[0].drift == found[0].drift_per_way == pytest.approx(0.5 / 5)
    assert found[1].drift == pytest.approx(0.5 / 10)
    assert found[0].loss_error == pytest.approx(0.01)
    assert found[0].total_torch == pytest.approx(41)
    assert found[0].layers == {"norm": 0.0, "head": pytest.approx(0.1)}


def test_equal_runs_do_not_drift():
    start = {"head.bias": np.ones(2, np.float32), "norm.bias": np.ones(2, np.float32)}
    for step in compare_runs(steps(0.0), steps(0.0), start, WEIGHTS):
        assert step.drift == step.drift_per_way == step.loss_error == 0


def test_runs_of_different_length_are_an_error():
    start = {"head.bias": np.ones(2, np.float32), "norm.bias": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match="zip"):
        compare_runs(steps(0.0, count=1), steps(0.0), start, WEIGHTS)
