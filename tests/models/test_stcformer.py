"""STCFormer against an independent NumPy version, and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifters import rates_in_training
from models import stcformer_oracle

from jrepose import models
from jrepose.errors import InputError
from jrepose.interop import from_torch, to_torch
from jrepose.models.stcformer import CrissCrossAttention
from jrepose.models.stcformer_3dhp import MPI_INF_3DHP

SMALL = {"frames": 4, "d_hid": 24, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
KEYPOINTS = np.random.default_rng(0).normal(size=(2, 4, 17, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def weights():
    return stcformer_oracle.random_state_dict("stcformer", np.random.default_rng(1), **SMALL)


@pytest.fixture(scope="module")
def variables(weights):
    return from_torch("stcformer", weights, **SMALL)


def create(**changes):
    return models.create("stcformer", **{**SMALL, **changes})


def test_independent_numpy_version(weights, variables):
    for frames in (4, 3):
        keypoints = KEYPOINTS[:, :frames]
        expected = stcformer_oracle.forward("stcformer", weights, keypoints[..., :2], **SMALL)
        poses = jax.jit(create().apply)(variables, keypoints)
        np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_network_for_mpi_inf_3dhp():
    name, small = "stcformer_3dhp", {**SMALL, "depth": 1}
    weights = stcformer_oracle.random_state_dict(name, np.random.default_rng(1), **small)
    model, variables = models.create(name, **small), from_torch(name, weights, **small)
    expected = stcformer_oracle.forward(name, weights, KEYPOINTS[..., :2], **small)

    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # Its weights are known from those of the other network, whose names they mostly share here.
    with pytest.raises(InputError, match="it is a stcformer_3dhp's"):
        from_torch("stcformer", weights, **small)


def test_nothing_is_learned_of_the_untrained_part():
    attention = CrissCrossAttention(MPI_INF_3DHP, 2, 0.0)
    x = jnp.asarray(KEYPOINTS[:1, :2, :, [0, 1, 2, 0]])

    @jax.jit
    def begin(key):
        variables = attention.init(key, x)
        return variables, jax.grad(lambda v: jnp.sum(attention.apply(v, x) ** 2))(variables)

    embedding, gradient = (tree["params"]["emb"] for tree in begin(jax.random.key(0)))
    np.testing.assert_array_equal((embedding != 0).all(axis=1), [False] + [True] * 19)
    assert (embedding[0] == 0).all()
    np.testing.assert_array_equal(np.flatnonzero(gradient.any(axis=1)), [1, 2, 3, 4])


def test_the_same_in_training_without_dropout(variables):
    """There the first layer is one product, otherwise three."""
    model = create(drop_rate=0.0, part_drop_rate=0.0)
    poses = jax.jit(model.apply)(variables, KEYPOINTS)
    trained = jax.jit(lambda v: model.apply(v, KEYPOINTS, train=True))(variables)
    np.testing.assert_allclose(trained, poses, rtol=0, atol=1e-5 * np.abs(poses).max())


def test_kernels_keep_frames_and_joints_apart(weights, variables):
    key = "stcformer.stc_block.1.stc_att.sep2_t.weight"
    kernel = variables["params"]["stc_block_1"]["stc_att"]["temporal"]["sep2"]["kernel"]
    assert kernel[0, 2, 0, 5] == weights[key][5, 0, 0, 2]
    np.testing.assert_array_equal(to_torch("stcformer", variables)[key], weights[key])


def test_every_block_drops_at_the_same_rates():
    rates = rates_in_training(create(depth=3, drop_rate=0.2, part_drop_rate=0.4))
    for block in range(3):
        for axis in ("spatial", "temporal"):
            assert rates.pop(f"stc_block_{block}/stc_att/{axis}/Dropout_0") == 0.4
    assert len(rates) == 6 and set(rates.values()) == {0.2}


def test_the_parts_are_dropped_for_the_whole_batch(variables):
    """A block's embedding over joints is there twice or not at all; over frames it is nothing."""
    one = {**variables["params"]}
    del one["stc_block_1"]
    model, same = create(depth=1, drop_rate=0.0), create(depth=1, drop_rate=0.0, part_drop_rate=0.0)
    scaled = lambda factor: jax.tree_util.tree_map_with_path(  # noqa: E731
        lambda path, leaf: leaf * factor if path[-1].key == "emb" else leaf, {"params": one}
    )
    plain = jax.jit(same.apply)
    expected = {factor: plain(scaled(factor), KEYPOINTS) for factor in (0.0, 2.0)}
    apply = jax.jit(
        lambda key: model.apply({"params": one}, KEYPOINTS, train=True, rngs={"dropout": key})
    )
    seen = set()
    for seed in range(8):
        poses = apply(jax.random.key(seed))
        distance = {factor: np.abs(poses - value).max() for factor, value in expected.items()}
        factor = min(distance, key=distance.get)
        assert distance[factor] < 1e-5 * np.abs(poses).max()
        seen.add(factor)
    assert seen == {0.0, 2.0}


def test_rematerialisation_changes_nothing(variables):
    one = {name: leaf for name, leaf in variables["params"].items() if name != "stc_block_1"}

    def gradient(model):
        def loss(params):
            return jnp.sum(model.apply({"params": params}, KEYPOINTS) ** 2)

        return jax.jit(jax.grad(loss))(one)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(a).max() + 1e-4),
        gradient(create(depth=1)),
        gradient(create(depth=1, remat=True)),
    )


def test_initialisation():
    params = jax.jit(create(d_hid=64, depth=1).init)(jax.random.key(3), KEYPOINTS)["params"]
    attention = params["stc_block_0"]["stc_att"]
    for layer, inputs in (
        (params["pose_emb"], 2),
        (params["stc_block_0"]["mlp"]["fc2"], 128),
        (attention["qkv"], 64),
        (attention["spatial"]["sep2"], 9),
        (attention["temporal"]["sep2"], 9),
    ):
        for leaf in jax.tree.leaves(layer):
            assert 0.8 * inputs**-0.5 < np.abs(leaf).max() <= inputs**-0.5
    assert 0.6 < np.std(attention["emb"]) < 1.4


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": 0}, "STCFormer: frames is 0, expected >= 1"),
        ({"d_hid": 20}, "d_hid 20 does not divide over 2 times num_heads 4"),
        ({"part_drop_rate": 1}, "part_drop_rate is 1.0"),
        ({"attn_drop_rate": 0.1}, "no hyperparameter 'attn_drop_rate'; it has frames, d_hid"),
    ],
)
def test_create_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        create(**changes)


def test_other_joints_are_refused(variables):
    with pytest.raises(InputError, match="15 joints of 2 channels.*17 joints of at least 2"):
        jax.eval_shape(create().apply, variables, np.zeros((1, 4, 15, 2)))
    with pytest.raises(InputError, match="17 joints of 1 channels"):
        jax.eval_shape(create().apply, variables, np.zeros((1, 4, 17, 1)))
