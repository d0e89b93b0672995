"""The comparison with PyTorch itself; skipped where it is not installed."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from training import tiny

from jrepose import interop, models
from jrepose.commands import command
from jrepose.errors import InputError
from jrepose.interop.fixtures.arrays import below
from jrepose.interop.gradients.both_sides import Options, compare_gradients
from jrepose.interop.gradients.jax_side import JaxSide
from jrepose.interop.gradients.side import Clips
from jrepose.losses import create_objective
from jrepose.skeleton import HUMAN36M_17

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `compare`)")

from jrepose.interop.gradients.pytorch import losses, model, official  # noqa: E402
from jrepose.interop.gradients.pytorch.side import TorchSide  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIGHTS = {"mpjpe": 1.0, "spatial_ranking": 20.0, "temporal_ranking": 20.0}


@pytest.fixture(scope="module")
def compared():
    """The comparison on a tiny model, with everything in it."""
    return compare_gradients(tiny.ranking_config(), Options(steps=3), tiny.dataset())


# ---- our rendition against what the official code computes -------------------------------


@pytest.fixture(scope="module")
def rendition(golden):
    arrays, config = golden("repose")
    weights = below(arrays, "param/")
    network = model.create(
        models.hyperparameters("repose") | config["constructor"] | {"norm_eps": config["norm_eps"]}
    )
    return arrays, TorchSide(network, losses.LOSSES, WEIGHTS, weights, "float32")


@pytest.mark.parametrize("suffix", ["", "_short"])
def test_rendition_agrees_with_the_official_code(rendition, suffix):
    arrays, side = rendition
    clips = Clips(arrays[f"input/x{suffix}"], arrays[f"target/y{suffix}"])
    found = side.backward(clips, per_term=False)
    np.testing.assert_allclose(found.poses, arrays[f"output/pred{suffix}"], atol=2e-6)
    for ours, theirs in (
        ("mpjpe", "mpjpe"),
        ("spatial_ranking", "spatial_rank"),
        ("temporal_ranking", "temporal_rank"),
    ):
        assert found.terms[ours] == pytest.approx(arrays[f"loss{suffix}/{theirs}"], rel=1e-5)
    expected = below(arrays, f"grad{suffix}/")
    assert found.gradients["total"].keys() == expected.keys()
    for name, gradient in found.gradients["total"].items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient, expected[name], atol=1e-4 * scale + 1e-9, err_msg=name)


def test_rendition_of_the_losses_agrees(golden):
    arrays, _ = golden("repose_losses")
    compared = 0
    for key in arrays:
        group, _, rest = key.partition("/")
        case, _, name = rest.partition("/")
        if group != "loss" or name not in ("spatial", "temporal"):
            continue
        poses = torch.tensor(arrays[f"input/{case}/pred"], requires_grad=True)
        target = torch.tensor(arrays[f"target/{case}/gt"])
        value = losses.LOSSES[f"{name}_ranking"](poses, target)
        value.backward()
        assert value.item() == pytest.approx(float(arrays[key]), rel=1e-5, abs=1e-12)
        np.testing.assert_allclose(poses.grad, arrays[f"grad/{case}/{name}"], atol=1e-7)
        compared += 1
    assert compared >= 20


@pytest.mark.parametrize(
    "changes", [{}, {"att_fuse": False}, {"qkv_bias": False}, {"qk_scale": 0.3}, {"mlp_ratio": 1.5}]
)
def test_every_hyperparameter_has_its_counterpart(changes):
    small = {"dim_feat": 8, "dim_rep": 6, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "maxlen": 5}
    hyperparameters = {**models.hyperparameters("repose"), **small, **changes}
    flax_model = models.create("repose", **hyperparameters)
    random = np.random.default_rng(0)
    clips = Clips(*random.normal(size=(2, 2, 4, 17, 3)).astype(np.float32))
    variables = jax.device_get(jax.jit(flax_model.init)(jax.random.key(0), clips.keypoints))
    # Biases and fusions begin at constants; random numbers show where they go.
    variables = jax.tree.map(
        lambda x: x + 0.1 * random.normal(size=x.shape).astype(np.float32), variables
    )
    objective = create_objective(WEIGHTS, HUMAN36M_17)
    ours = JaxSide("repose", hyperparameters, objective, variables, "float32")
    network = model.create(hyperparameters)
    state = interop.to_torch("repose", variables)
    theirs = TorchSide(network, losses.LOSSES, WEIGHTS, state, "float32")
    found = [side.backward(clips, per_term=True) for side in (ours, theirs)]
    np.testing.assert_allclose(found[0].poses, found[1].poses, atol=1e-5)
    for objective, gradient in found[1].gradients.items():
        for name, expected in gradient.items():
            difference = np.abs(found[0].gradients[objective][name] - expected).max()
            assert difference <= 1e-4 * np.abs(expected).max() + 1e-6, (objective, name)


# ---- the whole comparison ----------------------------------------------------------------


def test_the_frameworks_agree(compared):
    assert compared.complaints == []
    assert compared.precisions["float32"].whole < 1e-5
    assert 1e-4 < compared.precisions["bfloat16"].whole < 0.1
    assert compared.not_run.keys() == {"tf32"} or jax.default_backend() == "gpu"
    assert {layer.layer for layer in compared.layers} >= {"embedding", "blocks_st.0", "head"}
    assert [lens.name for lens in compared.lenses] == ["spatial_ranking", "temporal_ranking"]
    assert all(result.agrees for result in compared.edge_cases)
    assert len(compared.trajectory) == 3 and compared.trajectory[-1].loss_error < 1e-4


def test_key_biases_are_told_from_offenders(compared):
    noise = {error.name for error in compared.precisions["float32"].noise}
    assert noise == {f"blocks_{s}.0.attn_{a}.qkv.bias[k]" for s in ("st", "ts") for a in "st"}


def test_terms_add_up_to_the_objective(compared):
    for layer in compared.layers:
        assert sum(layer.along.values()) == pytest.approx(1, abs=1e-4)
        assert max(layer.relative.values()) < 1e-4


@pytest.mark.parametrize("value", [2.0, np.nan])
def test_a_wrong_gradient_is_found(monkeypatch, value):
    backward = JaxSide.backward

    def spoiled(self, clips, *, per_term):
        found = backward(self, clips, per_term=per_term)
        gradient = {**found.gradients["total"]}
        gradient["head.weight"] = value * gradient["head.weight"]
        return dataclasses.replace(found, gradients={**found.gradients, "total": gradient})

    monkeypatch.setattr(JaxSide, "backward", spoiled)
    options = Options(steps=0, precisions=("float32",), reference=False)
    found = compare_gradients(tiny.ranking_config(), options, tiny.dataset())
    assert "head.weight" in found.complaints[0]
    assert found.precisions["float32"].parameters[0].name == "head.weight"


def test_another_loss_is_found(monkeypatch):
    def relu_ranking(predicted, target):
        depths, truths = predicted[..., 2], target[..., 2]
        gaps = torch.relu(depths[..., :, None] - depths[..., None, :])
        return (gaps * (truths[..., :, None] < truths[..., None, :])).mean()

    wrong = {**losses.LOSSES, "spatial_ranking": relu_ranking}
    monkeypatch.setattr(losses, "LOSSES", wrong)
    options = Options(steps=0, precisions=("float32",), reference=False)
    found = compare_gradients(tiny.ranking_config(), options, tiny.dataset())
    assert found.complaints and all("edge case" in text for text in found.complaints)


def test_weights_from_a_pytorch_file(compared, tmp_path):
    config = tiny.ranking_config()
    network = model.create(models.hyperparameters("repose") | config.model.to_dict())
    torch.save({"model_pos": network.state_dict()}, tmp_path / "best.bin")
    options = Options(
        checkpoint=str(tmp_path / "best.bin"), steps=0, precisions=("float32",), reference=False
    )
    found = compare_gradients(config, options, tiny.dataset())
    assert found.complaints == [] and "best.bin" in found.setup["weights"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective__weights": {"mpjpe": 1.0, "velocity": 1.0}}, "velocity has no counterpart"),
        ({"objective__learn_weights": ("mpjpe",)}, "learn_weights has no counterpart"),
        ({"training__root": "pelvis"}, "training.root is 'pelvis'"),
    ],
)
def test_configs_without_counterpart(changes, message):
    config = tiny.ranking_config()
    with config.unlocked():
        for field, value in changes.items():
            section, name = field.split("__")
            config[section][name] = value
    with pytest.raises(InputError, match=message):
        compare_gradients(config, Options(steps=0), tiny.dataset())


# ---- official code -----------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a network and losses of other names; modules are imported once."""
    folder = tmp_path / f"checkout_{tmp_path.name}"
    package = folder / f"pkg_{tmp_path.name.replace('-', '_')}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text(
        "from jrepose.interop.gradients.pytorch.model import RePOSE as Base\n"
        "class Theirs(Base):\n"
        "    def __init__(self, dim_feat, dim_rep, depth, num_heads, mlp_ratio, maxlen,\n"
        "                 norm_layer):\n"
        "        super().__init__(dim_in=3, dim_out=3, dim_feat=dim_feat, dim_rep=dim_rep,\n"
        "            depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio, num_joints=17,\n"
        "            maxlen=maxlen, qkv_bias=True, qk_scale=None, att_fuse=True,\n"
        "            norm_eps=norm_layer(4).eps)\n"
        "def function(): pass\n"
    )
    (package / "losses.py").write_text(
        "from jrepose.interop.gradients.pytorch import losses\n"
        "loss_mpjpe = losses.mpjpe\n"
        "loss_spatial_rank = losses.spatial_ranking\n"
        "loss_temporal_rank = losses.temporal_ranking\n"
    )
    (package / "broken.py").write_text("raise RuntimeError('out of order')\n")
    yield folder, package.name
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]


def test_the_comparison_takes_the_checkout(checkout):
    folder, package = checkout
    options = Options(
        torch_root=str(folder),
        torch_class=f"{package}.network:Theirs",
        torch_losses=f"{package}.losses",
        precisions=("float32",),
        reference=False,
        steps=0,
    )
    found = compare_gradients(tiny.ranking_config(), options, tiny.dataset())
    assert found.complaints == []
    assert f"{package}.network:Theirs" in found.setup["PyTorch code"]
    wide = Options(torch_root=str(folder), torch_class=f"{package}.network:Theirs", steps=0)
    config = tiny.ranking_config()
    with config.unlocked():
        config.model.num_joints = 15  # which that class does not know
    with pytest.raises(InputError, match="weights do not fit Theirs"):
        compare_gradients(config, wide, tiny.dataset())


@pytest.mark.parametrize(
    ("class_path", "message"),
    [
        ("{}.network:Missing", "names no network"),
        ("{}.network:function", "names no network"),
        ("{}.network", "names no network"),
        ("{}.absent:Theirs", "cannot import"),
        ("{}.broken:Theirs", "out of order"),
    ],
)
def test_checkouts_that_cannot_be_used(checkout, class_path, message):
    folder, package = checkout
    with pytest.raises(InputError, match=message):
        official.official_model(
            folder, class_path.format(package), models.hyperparameters("repose")
        )


def test_no_checkout(tmp_path):
    with pytest.raises(InputError, match="no checkout"):
        official.import_from(tmp_path / "nowhere", "lib")


def test_losses_that_a_checkout_lacks(checkout):
    folder, package = checkout
    with pytest.raises(InputError, match="has no loss_mpjpe, loss_spatial_rank"):
        official.official_losses(folder, f"{package}.network")


def test_losses_of_a_checkout(checkout):
    folder, package = checkout
    found = official.official_losses(folder, f"{package}.losses")
    assert found["temporal_ranking"] is losses.temporal_ranking


# ---- the command -------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = [
        "compare_gradients.py", "--config=compare_gradients:small",
        "--config.model.depth=1", "--config.data.seconds=6.0", "--steps=1", "--noreference",
        "--precisions=float32", f"--output={tmp_path / 'out'}",
    ]  # fmt: skip
    assert command("compare-gradients")(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("wrote ") == 2 and "AGREE" in printed
    assert json.loads((tmp_path / "out" / "gradients.json").read_text())["agree"] is True

    assert command("compare-gradients")([*arguments, "--steps=0", "--tolerance=1e-9"]) == 1
    assert "DISAGREE" in capsys.readouterr().out


def test_bad_input_is_one_line_and_status_2(tmp_path):
    typed = [sys.executable, "compare_gradients.py", "--precisions", "float16"]
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith("unknown precision float16; known: float32, tf32, bfloat16")
    )
