"""What a registered model promises, whatever its architecture."""

import argparse
import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from lifters import LIFTERS

from jrepose import interop, models
from jrepose.evaluation.attention import attention_maps
from jrepose.interop import parity
from jrepose.interop.names import name_map
from jrepose.models import complexity

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 4, 17, 3)).astype(np.float32)

# Names that differ only in the published sizes are one architecture.
ARCHITECTURES = {models.MODELS[lifter.name][0]: lifter for lifter in reversed(LIFTERS)}
each = pytest.mark.parametrize(
    "lifter", ARCHITECTURES.values(), ids=lambda lifter: models.MODELS[lifter.name][0].__name__
)


@pytest.fixture(autouse=True)
def no_rank_promotion():
    """Arrays of different ranks meet only where the code says so."""
    with jax.numpy_rank_promotion("raise"):
        yield


def create(lifter, **changes):
    """The small model with weights of which none is 0."""
    model = models.create(lifter.name, **lifter.small, **changes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *model.input_shape)))
    rng = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.5, jnp.float32)  # noqa: E731
    return model, jax.tree.map(draw, dict(shapes))


def test_the_list_is_complete():
    assert [lifter.name for lifter in LIFTERS] == list(models.MODELS)
    known = set(models.MODELS)
    used = set()
    for path in (ROOT / "configs").glob("*.py"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        used.add(module.get_config().model.name)
    # MotionBERT trains with its own pre-training, which is not here.
    assert used == known - {"motionbert", "motionbert_lite"}


@each
def test_poses_of_every_frame(lifter):
    model, variables = create(lifter)
    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    assert poses.shape == (2, 4, 17, 3) and poses.dtype == jnp.float32
    alone = jax.jit(model.apply)(variables, KEYPOINTS[1:])
    np.testing.assert_allclose(alone[0], poses[1], rtol=0, atol=1e-5)
    half, _ = create(lifter, dtype="bfloat16")
    rounded = jax.jit(half.apply)(variables, KEYPOINTS)
    assert rounded.dtype == jnp.float32
    assert 0 < np.abs(rounded - poses).max() < 0.2 * np.abs(poses).max()


@each
def test_every_parameter_is_trained(lifter):
    model, variables = create(lifter, **models.without_dropout(lifter.name))

    @jax.jit
    @jax.grad
    def gradient(variables):
        return jnp.mean(jnp.sin(3 * model.apply(variables, KEYPOINTS, train=True)))

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(variables)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


@each
def test_gradients_are_summed_in_float32(lifter):
    # 2048 poses: summed in bfloat16, half of an embedding's gradient is lost.
    keypoints = np.random.default_rng(0).normal(1, 0.3, size=(512, 4, 17, 3)).astype(np.float32)
    exact, rounded = (
        models.create(
            lifter.name, **lifter.small, **models.without_dropout(lifter.name), dtype=dtype
        )
        for dtype in ("float32", "bfloat16")
    )
    variables = jax.jit(exact.init)(jax.random.key(0), keypoints)

    def gradient(model):
        loss = lambda v: jnp.mean(model.apply(v, keypoints, train=True) ** 2)  # noqa: E731
        return jax.jit(jax.grad(loss))(variables)

    wanted = jax.tree_util.tree_leaves_with_path(gradient(exact))
    for (path, leaf), found in zip(wanted, jax.tree.leaves(gradient(rounded)), strict=True):
        assert np.linalg.norm(found - leaf) < 3e-2 * np.linalg.norm(leaf), path


@each
def test_weights_both_ways(lifter):
    model, variables = create(lifter)
    weights = interop.to_torch(lifter.name, variables, **lifter.small)
    keys = [name_map(lifter.name).torch_key(path[1:]) for path in flatten_dict(variables)]
    assert len(set(keys)) == len(keys) == len(jax.tree.leaves(variables))
    back = interop.from_torch(lifter.name, weights, **lifter.small)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    found = interop.infer_hyperparameters(lifter.name, weights)
    for name, value in lifter.small.items():
        assert (name in found) == (name not in lifter.traceless)
        assert found.get(name, value) == value


@each
def test_attention_can_be_looked_at(lifter):
    maps = attention_maps(*create(lifter), KEYPOINTS[0])
    assert {found.spatial for found in maps} == {True, False}
    assert {found.layer for found in maps} == set(range(lifter.small["depth"]))


@each
def test_size_is_counted(lifter):
    model, variables = create(lifter)
    found = complexity.measure(model, (4, 17, 3))
    assert found.parameters == sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert found.linear_macs > found.attention_macs > 0


@each
def test_a_recorded_fixture_of_the_model(lifter, tmp_path):
    """The form that docs/adding_a_model.md records."""
    model, variables = create(lifter)
    cotangent = np.random.default_rng(2).normal(size=(2, 4, 17, 3)).astype(np.float32)

    @jax.jit
    def results(variables):
        poses, pull = jax.vjp(lambda variables: model.apply(variables, KEYPOINTS), variables)
        return poses, pull(cotangent)[0]

    poses, gradients = results(variables)
    content = {"input/keypoints": KEYPOINTS, "input/cotangent": cotangent, "output/poses": poses}
    for group, values in (("param", variables), ("grad", gradients)):
        named = interop.to_torch(lifter.name, values, **lifter.small)
        content |= {f"{group}/{key}": value for key, value in named.items()}
    config = json.dumps({"model": lifter.name, "hyperparameters": lifter.small})
    path = tmp_path / "fixture.npz"
    content["output/poses"] = np.asarray(poses) + 1e-2
    np.savez(path, config=config, **content)
    comparisons = parity.compare_fixture(path)
    assert {found.group for found in comparisons} == {"output", "param", "grad"}
    assert [found.name for found in comparisons if not found.within(1e-5)] == ["output/poses"]


@each
def test_the_benchmarks_run_it(lifter, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import contest
    import train_step

    arguments = argparse.Namespace(
        model=lifter.name,
        changes=[f"{name}={value}" for name, value in lifter.small.items()],
        precision="float32",
        batch=2,
        frames=4,
    )
    model, variables = contest.create_model(arguments)
    keypoints, target = contest.create_clips(arguments, model)
    # As a training step calls it: no key for dropout.
    assert model.apply(variables, keypoints, train=True).shape == target.shape
    assert lifter.name in train_step.OBJECTIVES
