"""Weights from runs, archives and PyTorch files, all of them or those that fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jrepose import checkpoints, interop, models
from jrepose.config import load_config
from jrepose.errors import InputError
from jrepose.interop.state_dicts import known_variables
from jrepose.interop.weights import load_run_or_file, load_what_fits
from jrepose.motion.pretrained import Pretrained, load_pretrained
from jrepose.skeleton import HUMAN36M_17

# Human3.6M and HumanEva in small.
TRAINED = {"name": "mixste", "num_frame": 6, "num_joints": 17, "embed_dim_ratio": 8, "depth": 2,
           "num_heads": 2}  # fmt: skip
WANTED = {**TRAINED, "num_frame": 4, "num_joints": 15}


def variables_of(model, seed=0):
    network = models.create(**model)
    clip = jnp.zeros((1, *network.input_shape))
    shapes = jax.eval_shape(network.init, jax.random.key(0), clip)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), dict(shapes))


def write_run(folder, model, variables):
    writer = checkpoints.CheckpointWriter(folder, keep=1, score="mpjpe")
    state = {"params": variables["params"], "ema": {}}
    writer.save(0, state, config={"model": model}, data={}, validation=None, log={})
    writer.close()
    return folder


def write_file(path, model, variables):
    interop.write_state_dict(interop.to_torch(model["name"], variables), path, entry="model_pos")
    return path


def write_archive(path, model, variables):
    pretrained = Pretrained(
        model=model, variables=variables, skeleton=HUMAN36M_17, keypoint_skeleton=HUMAN36M_17,
        target_space="camera_m", frames=model["num_frame"], frame_rates=(50.0,),
    )  # fmt: skip
    pretrained.save(path, half=False)
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder, variables = tmp_path_factory.mktemp("weights"), variables_of(TRAINED)
    run = write_run(folder / "run", TRAINED, variables)
    file = write_file(folder / "f.bin", TRAINED, variables)
    archive = write_archive(folder / "a.npz", TRAINED, variables)
    return {"run": run, "file": file, "archive": archive}, variables


@pytest.mark.parametrize("source", ["run", "file", "archive"])
def test_everything(sources, source):
    paths, variables = sources
    found, described = load_run_or_file(paths[source], TRAINED)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert str(paths[source]) in described
    with pytest.raises(InputError, match="num_frame is 4|Temporal_pos_embed"):
        load_run_or_file(paths[source], WANTED)


@pytest.mark.parametrize("source", ["run", "file", "archive"])
def test_other_joints_and_frames(sources, source):
    paths, variables = sources
    found, report = load_what_fits(paths[source], WANTED)
    taken, trained = flatten_dict(found["params"]), flatten_dict(variables["params"])
    assert trained.keys() - taken.keys() == {("Spatial_pos_embed",), ("Temporal_pos_embed",)}
    for key, value in taken.items():
        np.testing.assert_array_equal(value, trained[key])
    assert f"{len(trained) - 2} of {len(trained)} parameters taken" in report
    assert "2 of another shape (" in report
    assert "Spatial_pos_embed [1, 17, 8] for [1, 15, 8]" in report
    assert "0 missing there; 0 left over" in report and "\n" not in report
    assert ("num_frame 6, here 4, num_joints 17, here 15" in report) == (source != "file")


@pytest.mark.parametrize("source", ["run", "file", "archive"])
def test_other_depth(sources, source):
    paths, _ = sources
    deeper = load_what_fits(paths[source], {**TRAINED, "depth": 3})[1]
    assert "24 missing there (" in deeper and "_2/" in deeper and "and 18 more)" in deeper
    found, shallower = load_what_fits(paths[source], {**TRAINED, "depth": 1})
    assert "24 left over (" in shallower and "0 missing there;" in shallower
    assert not any("_1" in key for key in found["params"] if "blocks" in key)


def test_weights_that_ship_have_a_name():
    config = load_config("lift_small").model.to_dict()
    found, described = load_run_or_file("small", config)
    jax.tree.map(np.testing.assert_array_equal, found, load_pretrained("small").variables)
    # The file has halves.
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float32"}
    assert described.endswith("small.npz")
    assert "0 missing there; 0 left over" in load_what_fits("small", config)[1]
    with pytest.raises(InputError, match="config.model.depth is 2, the checkpoint was trained"):
        load_run_or_file("small", {**config, "depth": 2})
    with pytest.raises(InputError, match="no"):
        load_run_or_file("large", config)


@pytest.mark.parametrize(
    "description",
    ["[]", "{}", '{"model": {"name": 3}}', "{", "[" * 100_000,
     '{"model": {"name": "repose", "mlp_ratio": Infinity}}'],
    ids=["list", "empty", "number", "broken", "deep", "infinite"],
)  # fmt: skip
def test_archives_that_do_not_describe_themselves(tmp_path, description):
    path = tmp_path / "a.npz"
    np.savez(path, description=np.array(description), **{"params/a": np.zeros(2)})
    for load in (load_run_or_file, load_what_fits):
        with pytest.raises(InputError, match=r"a.npz: no archive of weights \("):
            load(path, TRAINED)


@pytest.mark.parametrize("kind", [np.complex64, "U5"], ids=str)
def test_an_archive_with_arrays_of_no_real_numbers(tmp_path, kind):
    variables = variables_of(TRAINED)
    variables["params"]["head_1"]["bias"] = variables["params"]["head_1"]["bias"].astype(kind)
    path = write_archive(tmp_path / "a.npz", TRAINED, variables)
    with pytest.raises(InputError, match=r"a.npz: no archive of weights \(Cannot cast array"):
        load_run_or_file(path, TRAINED)


def test_an_archive_with_weights_that_are_not_finite(tmp_path):
    variables = variables_of(TRAINED)
    variables["params"]["head_1"]["bias"][0] = np.nan
    path = write_archive(tmp_path / "a.npz", TRAINED, variables)
    for load in (load_run_or_file, load_what_fits, lambda path, _: load_pretrained(path)):
        with pytest.raises(InputError, match="weights that are not finite: head_1/bias"):
            load(path, TRAINED)


@pytest.mark.parametrize("spoil", ["missing", "misshapen", "surplus"])
def test_an_archive_with_other_arrays_than_its_network_has(sources, tmp_path, spoil):
    name = "params/head_1/bias"
    with np.load(sources[0]["archive"]) as archive:
        arrays = dict(archive)
    if spoil == "missing":
        del arrays[name]
    elif spoil == "misshapen":
        arrays[name] = np.zeros(7, np.float32)
    else:
        name = "params/head_1/more"
        arrays[name] = np.zeros(7, np.float32)
    np.savez(tmp_path / "a.npz", **arrays)
    for load in (lambda: load_run_or_file(tmp_path / "a.npz", TRAINED),
                 lambda: load_pretrained(tmp_path / "a.npz")):  # fmt: skip
        with pytest.raises(InputError, match=f"(?s)a.npz.*head_1/{name[14:]}") as raised:
            load()
        assert "\n" not in str(raised.value)


def test_heads_have_no_shape_but_are_reported(sources):
    report = load_what_fits(sources[0]["run"], {**TRAINED, "num_heads": 4})[1]
    assert "it was trained with num_heads 2, here 4" in report


def test_what_is_no_parameter_is_left_over():
    weights = interop.to_torch("mixste", variables_of(TRAINED))
    weights["head.1.bias"] = np.zeros(3, np.int64)
    weights["extra"] = np.zeros(2, np.float32)
    found, left_over = known_variables("mixste", weights, depth=2, num_heads=2, embed_dim_ratio=8)
    assert sorted(left_over) == ["extra", "head.1.bias"]
    assert ("params", "head_1", "bias") not in found
    assert ("params", "head_1", "kernel") in found


def test_nothing_fits(tmp_path, sources):
    other = {"name": "repose", "dim_feat": 4, "dim_rep": 4, "depth": 1, "num_heads": 1}
    for path in sources[0].values():
        with pytest.raises(InputError, match="none of its parameters fits repose"):
            load_what_fits(path, other)
    with pytest.raises(InputError, match="no checkpoint"):
        load_what_fits(tmp_path, other)


@pytest.mark.parametrize("source", ["run", "file", "archive"])
def test_another_model_is_named(sources, source):
    repose = {"name": "repose", "dim_feat": 4, "dim_rep": 4, "depth": 1, "num_heads": 1}
    with pytest.raises(InputError, match="config is repose, checkpoint is mixste: "):
        load_run_or_file(sources[0][source], repose)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    variables = variables_of(TRAINED)
    variables["params"]["head_1"]["bias"][1] = value
    run = write_run(tmp_path / "run", TRAINED, variables)
    path = write_file(tmp_path / "f.bin", TRAINED, variables)
    with pytest.raises(InputError, match="not finite: head_1/bias$"):
        load_run_or_file(run, TRAINED)
    with pytest.raises(InputError, match="f.bin.*head.1.bias has 1 of 3 values that are not fin"):
        load_run_or_file(path, TRAINED)
    for source in (run, path):
        with pytest.raises(InputError, match="not finite: head_1/bias$"):
            load_what_fits(source, {**TRAINED, "depth": 1})
