import pathlib

import pytest
from absl import flags

from jrepose import models
from jrepose.config import (
    check_config,
    default_config,
    from_json,
    model_config,
    objective_weights,
    parse_flags,
    to_json,
)
from jrepose.errors import InputError
from jrepose.evaluation.published import benchmark_of, published_row
from jrepose.skeleton import HUMAN36M_17
from jrepose.training.experiment import batch_objective

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


def parse(*arguments):
    return parse_flags(flags.FlagValues(), ["train.py", *arguments])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_is_complete_and_documented(path):
    config = parse(f"--config={path}")
    assert config.name.startswith(path.stem.split("_")[0])
    assert '"""' in path.read_text()[:5], "the docstring gives the command and the expectation"


VARIANTS = {
    "repose_h36m": ("", "spatial", "temporal", "mpjpe", "small"),
    "repose_h36m_cpn": ("", "gt", "small"),
    "repose_mpi_inf_3dhp": ("", "small"),
    "mixste_h36m": ("", "81", "gt", "gt_81", "small"),
    "mixste_humaneva": ("", "interval1", "finetuned"),
    "mixste_mpi_inf_3dhp": ("", "1"),
    "stcformer_h36m": ("", "81", "27", "gt", "small"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_fits_together(name):
    names = set()
    for variant in VARIANTS[name]:
        config = parse(f"--config={ROOT / 'configs' / name}.py" + (variant and f":{variant}"))
        names.add(config.name)
        model = models.create(**config.model.to_dict())
        assert model.input_shape[0] == config.clip.frames == config.clip.evaluation_stride
        if config.published:
            published_row(benchmark_of(config.data), config.published)
    assert len(names) == len(VARIANTS[name])
    with pytest.raises(InputError, match="no variant 'huge'"):
        parse(f"--config={ROOT / 'configs' / name}.py:huge")


def test_overrides_reach_nested_fields():
    config = parse(
        f"--config={ROOT / 'configs/repose_mocap.py'}:small",
        "--config.training.epochs=3",
        "--config.objective.weights.spatial_ranking=0.5",
        "--config.training.max_steps=7",
        "--config.data.split.test=('a', 'b')",
    )
    assert config.training.epochs == 3 and config.training.max_steps == 7
    assert config.objective.weights.spatial_ranking == 0.5
    assert config.data.split.test == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.training.epoch=5"], "unknown config field epoch; did you mean epochs"),
        (["--config.nonsense=5"], "unknown config field nonsense"),
        (["--config.training.epochs=five"], "config.training.epochs=five"),
        (["--bogus=1"], "bogus"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_bad_flags_are_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(f"--config={ROOT / 'configs/demo.py'}", *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=configs/absent.py", "no config file.*absent.py"),
        (f"--config={ROOT / 'configs/repose_mocap.py'}:huge", "no variant 'huge'"),
    ],
)
def test_bad_config_files_are_one_line(flag, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(flag)
    assert "\n" not in str(caught.value)


def test_a_config_that_fails_to_run_says_why(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    return undefined_name\n")
    with pytest.raises(InputError, match="undefined_name"):
        parse(f"--config={broken}")


def test_missing_config_is_named():
    with pytest.raises(InputError, match="--config FILE is missing"):
        parse()


def test_unknown_and_missing_fields_are_named():
    config = default_config()
    config.training.momentum = 0.9
    with pytest.raises(InputError, match="config.training.momentum"):
        check_config(config)
    config = default_config()
    del config.clip.stride
    with pytest.raises(InputError, match="config.clip.stride is missing"):
        check_config(config)


def test_json_round_trip():
    config = default_config()
    config.data.split.train = ("a", "b")
    assert from_json(to_json(config)).to_dict() == config.to_dict()
    with pytest.raises(InputError, match="not a config in JSON"):
        from_json("{")


def test_every_hyperparameter_of_the_model_is_a_field():
    section = model_config("repose", maxlen=81, mlp_ratio=2)
    assert (section.name, section.maxlen, section.mlp_ratio) == ("repose", 81, 2.0)
    assert {"dtype"} == models.hyperparameters("repose").keys() - section.keys()
    models.create(**section.to_dict())
    section.qk_scale = 0.5
    with pytest.raises(InputError, match="unknown model 'nobody'"):
        model_config("nobody")
    with pytest.raises(KeyError, match="depht"):
        model_config("repose", depht=3)


def test_any_loss_can_be_set_by_a_flag():
    config = parse(
        f"--config={ROOT / 'configs/demo.py'}",
        "--config.objective.weights.velocity=20",
        "--config.objective.weights.angle=0",
    )
    objective = batch_objective(config, HUMAN36M_17)
    assert objective.weights["velocity"] == 20 and objective.weights["angle"] == 0
    assert set(objective.weights) == {
        "mpjpe", "spatial_ranking", "temporal_ranking", "velocity", "angle"
    }  # fmt: skip
    with pytest.raises(KeyError, match="velocty"):
        objective_weights(velocty=1)
