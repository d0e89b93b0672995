"""What a registered model promises, whatever its architecture."""

import argparse
import functools
import importlib.util
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from lifters import LIFTERS, draw_variables

from jrepose import interop, models
from jrepose.errors import InputError
from jrepose.evaluation.attention import attention_maps
from jrepose.interop import parity
from jrepose.interop.fixtures import plain
from jrepose.interop.names import name_map
from jrepose.models import complexity

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIPS = 6  # over fewer, the gradients behind a BatchNorm nearly vanish
MANY = 512  # 2048 poses: summed in bfloat16, half of an embedding's gradient is lost

# Names that differ only in the published sizes are one architecture.
ARCHITECTURES = {models.MODELS[lifter.name][0]: lifter for lifter in reversed(LIFTERS)}
each = pytest.mark.parametrize(
    "lifter", ARCHITECTURES.values(), ids=lambda lifter: models.MODELS[lifter.name][0].__name__
)


@functools.cache
def create(lifter, **changes):
    """The small model with weights of which none is 0; variances and graphs are positive."""
    model = models.create(lifter.name, **lifter.small, **changes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *model.input_shape)))
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        values = (rng.normal(size=leaf.shape) * 0.5).astype(np.float32)
        return np.exp(values) if path[-1].key in ("var", "A_hat") else values

    return model, jax.tree_util.tree_map_with_path(draw, dict(shapes))


@each
def test_hyperparameters_are_in_their_ranges(lifter):
    """Whoever creates a network: archives and PyTorch files say what they like."""
    known = models.hyperparameters(lifter.name)
    for name, value in (("norm_eps", -1.0), ("depth", 10**6), ("mlp_ratio", 10**400)):
        if name in known:
            with pytest.raises(InputError, match=f"{name} is {value!r}, "):
                models.create(lifter.name, **{**lifter.small, name: value})
    for name in {"filter_widths", "stride_num"} & known.keys():
        with pytest.raises(InputError, match=f"{name} has 1001 values, expected 1000 or less"):
            models.create(lifter.name, **{**lifter.small, name: (3,) * 1001})
    if "filter_widths" in known:
        with pytest.raises(InputError, match="whose product is the frames of a clip; expected a f"):
            models.create(lifter.name, **{**lifter.small, "filter_widths": (3,) * 13})
    if "mlp_ratio" in known:
        model = models.create(lifter.name, **{**lifter.small, "mlp_ratio": 1e-3})
        with pytest.raises(InputError, match="expected hyperparameters that leave every layer a"):
            jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *model.input_shape)))


def keypoints_for(lifter, clips=CLIPS):
    shape = (clips, lifter.frames, 17, 3)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def cotangent_for(lifter):
    shape = (CLIPS, lifter.frames_out, 17, 3)
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def poses_and_gradients(lifter, variables, keypoints):
    """Poses, and gradients of them times the cotangent, by the program of recorded fixtures."""
    model, _ = create(lifter)
    with jax.default_matmul_precision("highest"):  # or it is another program
        return plain.poses_and_gradients(model, variables, keypoints, cotangent_for(lifter))


@functools.cache
def gradients_in_training(model):
    """A function of variables, clips and a loss: its gradients, and the poses.

    The loss is the mean of each output's square (1.0) or of the sine of its threefold (0.0), in one
    program.
    """

    @jax.jit
    def compute(variables, clips, squared):
        def loss(params):
            outputs = model.apply({**variables, "params": params}, clips, train=True)
            everything = jnp.concatenate([output.ravel() for output in jax.tree.leaves(outputs)])
            sines = jnp.sin(3 * everything)
            value = jnp.mean(squared * everything**2 + (1 - squared) * sines)
            return value, models.main_output(outputs)

        return jax.grad(loss, has_aux=True)(variables["params"])

    return lambda *operands: jax.device_get(compute(*operands))


def without_dropout(lifter, dtype="float32"):
    return models.create(
        lifter.name, **lifter.small, **models.without_dropout(lifter.name), dtype=dtype
    )


def test_the_list_is_complete():
    assert [lifter.name for lifter in LIFTERS] == list(models.MODELS)
    known = set(models.MODELS)
    used = set()
    for path in (ROOT / "configs").glob("*.py"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        used.add(module.get_config().model.name)
    others = {*models.DENOISERS, *models.DETECTORS}
    assert used - others == known - {"motionbert_lite"}  # a variant's


@each
def test_poses(lifter):
    model, variables = create(lifter)
    keypoints = keypoints_for(lifter)
    poses, _ = poses_and_gradients(lifter, variables, keypoints)
    assert poses.shape == (CLIPS, lifter.frames_out, 17, 3) and poses.dtype == jnp.float32
    # A clip's poses are its own: in company of others, in another place, and of a batch of one.
    others = np.roll(keypoints[::-1], 3, axis=2)
    others[3] = keypoints[1]
    among_others, _ = poses_and_gradients(lifter, variables, others)
    closeness = 1e-5 * max(1.0, float(np.abs(poses).max()))
    np.testing.assert_allclose(among_others[3], poses[1], rtol=0, atol=closeness)
    alone = jax.eval_shape(model.apply, variables, keypoints[1:2])
    assert models.main_output(alone).shape == (1, lifter.frames_out, 17, 3)


@each
def test_every_parameter_is_trained(lifter):
    _, variables = create(lifter)
    # The program of the next test, unless gradients vanish over so many clips.
    clips = keypoints_for(lifter, MANY if lifter.cancelled == "none" else CLIPS)
    found, _ = gradients_in_training(without_dropout(lifter))(variables, clips, 0.0)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(found))
    for path, leaf in flatten_dict(found, sep="/").items():
        assert np.isfinite(leaf).all(), path
        trained = np.abs(leaf).max() > 1e-6 * largest
        assert trained != bool(re.search(lifter.in_front_of_norm, path)), path


@each
def test_bfloat16_computes_and_float32_sums(lifter):
    clips = 1 + 0.3 * keypoints_for(lifter, MANY)
    exact = without_dropout(lifter)
    # With this seed no network is near to cancelling its gradients.
    variables = draw_variables(exact, clips[:2], seed=3)
    (wanted, poses), (found, near) = (
        gradients_in_training(model)(variables, clips, 1.0)
        for model in (exact, without_dropout(lifter, "bfloat16"))
    )
    assert near.dtype == np.float32
    assert 0 < np.abs(near - poses).max() < 0.2 * np.abs(poses).max()
    wanted, found = (flatten_dict(gradients, sep="/") for gradients in (wanted, found))
    for path, leaf in wanted.items():
        if not re.search(f"{lifter.in_front_of_norm}|{lifter.cancelled}", path):
            off = np.linalg.norm(found[path] - leaf)
            assert off < lifter.rounding * np.linalg.norm(leaf), path


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
    if not lifter.attends:
        with pytest.raises(InputError, match="attention"):
            attention_maps(*create(lifter), keypoints_for(lifter)[0])
        return
    maps = attention_maps(*create(lifter), keypoints_for(lifter)[0])
    assert {found.spatial for found in maps} == set(lifter.attends)
    assert {found.layer for found in maps} == set(range(lifter.small["depth"]))


@each
def test_size_is_counted(lifter):
    model, variables = create(lifter)
    found = complexity.measure(model, (lifter.frames, 17, 3))
    assert found.parameters == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert found.linear_macs > found.attention_macs and found.frames == lifter.frames_out
    assert found.attention_macs > 0 or not lifter.attends


@each
def test_a_recorded_fixture_of_the_model(lifter, tmp_path):
    """The form that docs/adding_a_model.md records."""
    _, variables = create(lifter)
    keypoints, cotangent = keypoints_for(lifter), cotangent_for(lifter)
    poses, gradients = poses_and_gradients(lifter, variables, keypoints)
    content = {"input/keypoints": keypoints, "input/cotangent": cotangent, "output/poses": poses}
    for group, values in (("param", variables), ("grad", gradients)):
        named = interop.to_torch(lifter.name, values, **lifter.small)
        content |= {f"{group}/{key}": value for key, value in named.items()}
    config = json.dumps({"model": lifter.name, "hyperparameters": lifter.small})
    path = tmp_path / "fixture.npz"
    content["output/poses"] = np.asarray(poses) + 1e-2
    np.savez(path, config=config, **content)
    comparisons = parity.compare_fixture(path)
    assert {found.group for found in comparisons} == {"output", "param", "grad"}
    rounding = {
        f"grad/{name_map(lifter.name).torch_key(path[1:])}"
        for path in flatten_dict(variables)
        if re.search(lifter.in_front_of_norm, "/".join(path))
    }
    off = {found.name for found in comparisons if not found.within(1e-5)}
    assert off - rounding == {"output/poses"}


@each
def test_the_benchmarks_run_it(lifter, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import contest
    import train_step

    arguments = argparse.Namespace(
        model=lifter.name,
        changes=[f"{name}={value!r}" for name, value in lifter.small.items()],
        precision="float32",
        batch=CLIPS,
        frames=lifter.frames,
        dropout=False,
    )
    models_created = []

    def create():
        model, variables = contest.create_model(arguments)
        models_created.append(model)
        return variables

    variables = jax.eval_shape(create)  # to draw them is a dear program
    (model,) = models_created
    keypoints, target = contest.create_clips(arguments, model)
    # As a training step calls it: no key for dropout.
    outputs = jax.eval_shape(functools.partial(model.apply, train=True), variables, keypoints)
    assert models.main_output(outputs).shape == target.shape
    assert lifter.name in train_step.OBJECTIVES
