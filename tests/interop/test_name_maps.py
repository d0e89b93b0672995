"""What a name map may say: BatchNorm, grouped convolutions, layouts and constants of its own."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from lifters import LIFTERS

from jrepose import checkpoints, interop, models
from jrepose.errors import InputError
from jrepose.interop import convert, names, state_dicts
from jrepose.interop.torch_writer import write_state_dict


class Tower(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (3,), feature_group_count=2, name="widen_conv")(x)
        x = nn.BatchNorm(use_running_average=True, name="widen_bn")(x)
        return nn.Dense(3, use_bias=False, name="shrink")(x)


class TwoTowers(nn.Module):
    """Trajectory and pose, a network each."""

    frames: int = 5

    @property
    def input_shape(self):
        return self.frames, 2, 2

    @nn.compact
    def __call__(self, keypoints):
        x = keypoints.reshape(*keypoints.shape[:2], -1)
        return Tower(name="pos")(x) + Tower(name="traj")(x)


def torch_key(path):
    tower, layer, leaf = path
    return f"model_{tower}.{layer}.{names.LEAF[leaf]}"


def layout(path):
    """The last layer is a convolution over one frame there."""
    if path[-2] != "shrink":
        return names.usual_layout(path)
    return names.Layout(lambda conv: conv[..., 0].T, lambda kernel: kernel.T[..., None])


def constants(model):
    return {
        "order": np.arange(model.frames),
        "table": np.float32(np.sin(np.arange(model.frames) / 3)),
    }


MAP = names.NameMap(torch_key, lambda state: {"frames": 5}, layout, constants)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "towers": (TwoTowers, {})})
    found = names.name_map
    for module in (state_dicts, names):
        monkeypatch.setattr(
            module, "name_map", lambda name: MAP if name == "towers" else found(name)
        )


@pytest.fixture(scope="module")
def weights():
    """As PyTorch would save it."""
    rng = np.random.default_rng(0)
    found = {"order": np.arange(5), "table": np.float32(np.sin(np.arange(5) / 3))}
    for tower in ("model_pos", "model_traj"):
        found[f"{tower}.widen_conv.weight"] = rng.normal(size=(6, 2, 3))
        found[f"{tower}.widen_conv.bias"] = rng.normal(size=6)
        for leaf in ("weight", "bias", "running_mean"):
            found[f"{tower}.widen_bn.{leaf}"] = rng.normal(size=6)
        found[f"{tower}.widen_bn.running_var"] = rng.uniform(0.5, 2, size=6)
        found[f"{tower}.widen_bn.num_batches_tracked"] = np.array(12)
        found[f"{tower}.shrink.weight"] = rng.normal(size=(3, 6, 1))
    floats = lambda x: x.astype(np.float32) if x.dtype == np.float64 else x  # noqa: E731
    return {key: floats(value) for key, value in found.items()}


def test_every_key_both_ways(weights):
    variables = interop.from_torch("towers", weights)
    shapes = jax.eval_shape(
        TwoTowers().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 5, 2, 2), np.float32)
    )
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    back = interop.to_torch("towers", variables)
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        counter = key.endswith("num_batches_tracked")
        np.testing.assert_array_equal(back[key], 0 if counter else value)
        assert np.issubdtype(back[key].dtype, np.integer) == np.issubdtype(value.dtype, np.integer)


def test_computes_what_pytorch_computes(weights):
    """Against the network written out: cross-correlation in two groups, running statistics."""
    keypoints = np.random.default_rng(1).normal(size=(1, 5, 2, 2)).astype(np.float32)
    x = np.pad(keypoints.reshape(5, 4), ((1, 1), (0, 0)))
    expected = 0
    for tower in ("model_pos", "model_traj"):
        w = {key.removeprefix(f"{tower}."): value for key, value in weights.items()}
        kernel = w["widen_conv.weight"]
        groups = [
            sum(x[k : k + 5, 2 * g : 2 * g + 2] @ kernel[3 * g : 3 * g + 3, :, k].T
                for k in range(3))
            for g in range(2)
        ]  # fmt: skip
        y = np.concatenate(groups, axis=-1) + w["widen_conv.bias"]
        y = (y - w["widen_bn.running_mean"]) / np.sqrt(w["widen_bn.running_var"] + 1e-5)
        y = y * w["widen_bn.weight"] + w["widen_bn.bias"]
        expected = expected + y @ w["shrink.weight"][..., 0].T
    found = jax.jit(TwoTowers().apply)(interop.from_torch("towers", weights), keypoints)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


def test_buffers_may_be_absent_but_not_another(weights):
    fewer = {k: v for k, v in weights.items() if k not in ("order", "table")}
    fewer = {k: v for k, v in fewer.items() if "num_batches" not in k}
    interop.from_torch("towers", fewer)
    half = weights | {"table": weights["table"].astype(np.float16)}
    interop.from_torch("towers", half)
    with pytest.raises(InputError, match="missing model_traj.widen_bn.running_var"):
        interop.from_torch("towers", {k: v for k, v in weights.items() if k[:9] != "model_tra"}
                           | {k: v for k, v in weights.items() if k[:9] == "model_tra"
                              and "_var" not in k})  # fmt: skip
    with pytest.raises(InputError, match="unexpected model_pos.shrink.num_batches_tracked"):
        interop.from_torch("towers", {**weights, "model_pos.shrink.num_batches_tracked": 3})
    for other in (weights["order"][::-1], weights["order"][:4]):
        with pytest.raises(InputError, match="order: not the constant of this network"):
            interop.from_torch("towers", {**weights, "order": other})
    with pytest.raises(InputError, match="not the constant"):
        interop.from_torch("towers", {**weights, "table": weights["table"] + 1e-3})
    with pytest.raises(InputError, match=r"shrink.weight is float32 \[3\], expected .*\[3, 6, 1\]"):
        interop.from_torch("towers", {**weights, "model_pos.shrink.weight": np.ones(3, "f4")})


def test_what_is_known_of_another_network(weights):
    found, left_over = state_dicts.known_variables("towers", {**weights, "extra": np.ones(2)})
    assert left_over == ["extra"]
    assert ("batch_stats", "traj", "widen_bn", "var") in found


@pytest.mark.parametrize("lifter", LIFTERS, ids=lambda lifter: lifter.name)
def test_no_model_is_taken_for_another(lifter):
    model = models.create(lifter.name, **lifter.small)
    shapes = state_dicts.variable_shapes(model)
    variables = unflatten_dict({path: np.zeros(s, np.float32) for path, s in shapes.items()})
    weights = interop.to_torch(lifter.name, variables, **lifter.small)
    assert state_dicts.another_model(lifter.name, weights) is None


def test_commands_carry_batch_statistics(weights, tmp_path):
    write_state_dict(weights, tmp_path / "w.pth")
    convert.import_checkpoint(tmp_path / "w.pth", tmp_path / "c", "towers")
    variables = checkpoints.load(tmp_path / "c").variables
    jax.tree.map(np.testing.assert_array_equal, variables, interop.from_torch("towers", weights))
    for path in ("w.pth", "c"):
        for load in (interop.load_run_or_file, interop.load_what_fits):
            found, described = load(tmp_path / path, {"name": "towers"})
            jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert "; 14 of 14 parameters taken; 0 of another shape; 0 missing there; 0 left" in described
    convert.export_checkpoint(tmp_path / "c", tmp_path / "back.pth", "towers")
    assert interop.read_state_dict(tmp_path / "back.pth").keys() == weights.keys()


def test_sizes_of_constants_are_those_of_the_weights(weights, monkeypatch):
    variables = interop.from_torch("towers", weights)
    assert interop.to_torch("towers", variables, frames=7)["order"].shape == (7,)
    del variables["params"]["pos"]["shrink"]
    with pytest.raises(InputError, match="are not those of towers with these hyperparameters"):
        interop.to_torch("towers", variables)


def test_torch_loads_batch_norm_strictly(weights, tmp_path):
    torch = pytest.importorskip("torch")
    back = interop.to_torch("towers", interop.from_torch("towers", weights))
    prefix = "model_pos.widen_bn."
    own = {key.removeprefix(prefix): v for key, v in back.items() if key.startswith(prefix)}
    write_state_dict(own, tmp_path / "bn.pth")
    loaded = torch.load(tmp_path / "bn.pth", weights_only=True)
    torch.nn.BatchNorm1d(6).load_state_dict(loaded, strict=True)


def test_a_model_without_a_map(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(models, "MODELS", {"towers": (TwoTowers, {})})
    with pytest.raises(InputError, match="names of towers's weights in PyTorch are not known"):
        names.name_map("towers")
